// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// Calls of the API of this package and of Airflow's own REST API, with the session of the user.

const { useCallback, useEffect, useState } = globalThis.React;

/**
 * @typedef {"delivered" | "rejected" | "not_sent" | "unknown" | "claimed"} Outcome
 *
 * @typedef {object} Delivery a row of the list
 * @property {number} id
 * @property {"event" | "stream"} kind
 * @property {"task" | "callback" | "command"} origin
 * @property {string} state the outcome, or "claimed", "settled", "resend", "done"
 * @property {Outcome} outcome
 * @property {string} claimed_at
 * @property {string} updated_at
 * @property {string | null} delivery_id
 * @property {string | null} event_id
 * @property {string | null} event_type
 * @property {string | null} endpoint
 * @property {number | null} status_code
 * @property {string | null} error_class
 * @property {number | null} duration_ms
 * @property {string | null} dag_id
 * @property {string | null} run_id
 * @property {string | null} task_id
 * @property {number | null} map_index
 * @property {number} try_number
 * @property {string} slot
 * @property {"run" | "event"} once
 * @property {string} source
 * @property {boolean} may_edit
 *
 * @typedef {object} Resource what ``useApi`` returns
 * @property {any} data the last answer; of another path while isStale
 * @property {ApiError | null} error
 * @property {boolean} isLoading
 * @property {boolean} isStale
 * @property {() => void} reload
 */

/** A response with an error. The status is 0 if there was no response. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/**
 * Return the path of a route with its query; what is null or empty is left out.
 * @param {string} path
 * @param {Record<string, unknown>} query
 */
export function withQuery(path, query) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") params.append(name, String(one));
    }
  }
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** @param {string[]} parts of a path, each of any text */
export function joinPath(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/**
 * Call a route of this package's API.
 * @param {string} path relative to it
 * @param {{body?: object, signal?: AbortSignal}} [options] with a body it is a POST
 */
export function callApi(path, options) {
  return call(`service-hooks/api/${path}`, options);
}

/**
 * Call a route of Airflow's REST API.
 * @param {string} path relative to it
 * @param {{body?: object}} [options]
 */
export function callAirflow(path, options) {
  return call(`api/v2/${path}`, options);
}

async function call(path, { body, signal } = {}) {
  const init = { credentials: "same-origin", headers: { Accept: "application/json" }, signal };
  if (body !== undefined) {
    Object.assign(init, { method: "POST", body: JSON.stringify(body) });
    init.headers["Content-Type"] = "application/json";
  }
  const response = await send(new URL(path, document.baseURI), init);
  if (!response.ok) throw new ApiError(response.status, await readDetail(response));
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(response.status, "The answer is not JSON. A proxy may have answered instead of Airflow.");
  }
}

async function send(url, init) {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "");
  }
}

async function readDetail(response) {
  try {
    return formatDetail((await response.json()).detail);
  } catch {
    return "";
  }
}

function formatDetail(detail) {
  if (detail === null || detail === undefined) return "";
  if (typeof detail !== "object") return String(detail);
  const list = Array.isArray(detail)
    ? detail.map((one) => (one?.msg ? `${(one.loc ?? []).join(".")}: ${one.msg}` : JSON.stringify(one)))
    : Object.entries(detail).map(([name, reason]) => `${name}: ${formatDetail(reason)}`);
  return list.join("\n");
}

/** Go to Airflow's login, and come back to this page. */
export function logIn() {
  const { pathname, search } = globalThis.location;
  globalThis.location.assign(new URL(withQuery("api/v2/auth/login", { next: pathname + search }), document.baseURI));
}

/**
 * Read a route of this package's API, again whenever its path changes.
 * @param {string | null} path null reads nothing
 * @param {number} [interval] milliseconds between an answer and the next call; 0 calls once
 * @returns {Resource}
 */
export function useApi(path, interval = 0) {
  const [answer, setAnswer] = useState({ path: null, data: null, error: null });
  const [isLoading, setLoading] = useState(path !== null);
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((one) => one + 1), []);
  useEffect(() => {
    if (path === null) return undefined;
    const controller = new AbortController();
    const settle = (change) => {
      if (controller.signal.aborted) return;
      setAnswer((old) => ({ path, data: old.path === path ? old.data : null, error: null, ...change }));
      setLoading(false);
    };
    setLoading(true);
    callApi(path, { signal: controller.signal }).then(
      (data) => settle({ data }),
      (error) => settle({ error }),
    );
    return () => controller.abort();
  }, [path, round]);
  useInterval(reload, isLoading ? 0 : interval, answer);
  return { data: answer.data, error: answer.error, isLoading, isStale: answer.path !== path, reload };
}

/** Call back once after a while, unless the page is hidden: then when it is shown again. */
function useInterval(callback, milliseconds, since) {
  useEffect(() => {
    if (milliseconds === 0) return undefined;
    const callWhenShown = () => {
      if (document.hidden) document.addEventListener("visibilitychange", callback, { once: true });
      else callback();
    };
    const timer = setTimeout(callWhenShown, milliseconds);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", callback);
    };
  }, [callback, milliseconds, since]);
}
