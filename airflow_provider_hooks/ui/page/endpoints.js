// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// Endpoints with their health, and the hooks that each platform registry has.

import { ActionDialog } from "./actions.js";
import { callAirflow, callApi, joinPath, useApi, withQuery } from "./api.js";
import {
  Announcement,
  AppLink,
  C,
  DataTable,
  Empty,
  ErrorMessage,
  h,
  Loading,
  Notes,
  Notice,
  Page,
  Quiet,
  Section,
  Time,
  useQuery,
  Value,
} from "./common.js";
import { Chart } from "./chart.js";
import { countOf, formatNumber, lookUp } from "./format.js";
import { DELIVERIES_PATH } from "./links.js";

const { useRef, useState } = globalThis.React;

/**
 * @typedef {object} Endpoint
 * @property {string} endpoint the connection id
 * @property {number} deliveries
 * @property {number} delivered
 * @property {number | null} success_rate 0 to 1
 * @property {string | null} last_delivered_at
 * @property {number} failures_in_a_row
 * @property {string | null} paused_at
 * @property {string | null} pause_reason
 * @property {{begins_at: string, delivered: number, failed: number}[]} buckets
 * @property {boolean} may_edit
 */

const PERIODS = { 24: "Last 24 hours", 168: "Last 7 days", 720: "Last 30 days" };
const MAX_REASON_CHARACTERS = 500;
const PAUSE_EFFECT =
  "Deliveries to it are not sent until a user resumes it. Airflow's retries apply to them; a task without retries left fails.";
const TESTED_FIELDS = [
  "connection_id",
  "conn_type",
  "description",
  "host",
  "login",
  "password",
  "port",
  "schema",
  "extra",
];
const NOT_IN_DATABASE =
  "Airflow's database has no such connection: it is deleted, or comes from the environment or a secrets backend. Run:";

export function EndpointsPage() {
  const [params, , change] = useQuery();
  const hours = lookUp(PERIODS, params.get("hours")) ? params.get("hours") : "24";
  const answer = useApi(withQuery("endpoints", { hours }));
  const period = h(Period, { hours, onChange: (value) => change({ hours: value }) });
  const refresh = h(
    C.Button,
    { size: "sm", variant: "outline", "aria-label": "Refresh", onClick: answer.reload, loading: answer.isLoading },
    "Refresh",
  );
  const link = h(AppLink, { to: DELIVERIES_PATH }, "Deliveries");
  return h(
    Page,
    { title: "Webhook endpoints", actions: h(C.HStack, { gap: 4, wrap: "wrap" }, link, period, refresh) },
    h(Notes, { notes: answer.data?.notes ?? [] }),
    h(Body, { answer }),
  );
}

function Period({ hours, onChange }) {
  const options = Object.entries(PERIODS).map(([value, label]) => h("option", { key: value, value }, label));
  const field = { value: hours, onChange: (event) => onChange(event.target.value), "aria-label": "Period" };
  const select = h(C.NativeSelect.Field, field, options);
  return h(C.NativeSelect.Root, { size: "sm", w: "10rem" }, select, h(C.NativeSelect.Indicator));
}

function Body({ answer }) {
  if (answer.error) return h(ErrorMessage, { error: answer.error, onRetry: answer.reload });
  if (answer.data === null) return h(Loading, { label: "Loading endpoints…" });
  const { endpoints, registries, store } = answer.data;
  const announcement = { isLoading: answer.isLoading, count: endpoints.length, noun: "endpoint" };
  return [
    h(Announcement, { key: "announcement", ...announcement }),
    endpoints.length > 0
      ? h(EndpointTable, { key: "endpoints", endpoints, isBusy: answer.isLoading, onChanged: answer.reload })
      : h(NoEndpoints, { key: "none", store }),
    registries.length > 0 ? h(Registries, { key: "registries", registries }) : null,
  ];
}

/** Without a ledger, the notes of the API say why there are none. */
function NoEndpoints({ store }) {
  if (store !== "ledger") return null;
  const advice = "Choose a longer period, or deliver an event first.";
  return h(Empty, { title: "No endpoint had a delivery in this period" }, advice);
}

function EndpointTable({ endpoints, isBusy, onChanged }) {
  const [paused, setPaused] = useState(null);
  const close = (hasChanged) => {
    setPaused(null);
    if (hasChanged) onChanged();
  };
  const columns = [
    { title: "Endpoint", isRowHeader: true, render: (one) => h(EndpointName, { one }) },
    { title: "Delivered", render: (one) => h(Rate, { one }) },
    { title: "Deliveries over time", hideBelow: "md", render: (one) => h(Chart, { one }) },
    {
      title: "Last delivered",
      hideBelow: "lg",
      render: (one) => (one.last_delivered_at ? h(Time, { time: one.last_delivered_at }) : "never"),
    },
    { title: "Failures in a row", hideBelow: "sm", render: (one) => formatNumber(one.failures_in_a_row) },
    { title: "Actions", render: (one) => h(EndpointActions, { one, onPause: () => setPaused(one), onChanged }) },
  ];
  return h(
    C.Box,
    null,
    h(DataTable, { caption: "Endpoints", columns, rows: endpoints, getKey: (one) => one.endpoint, isBusy }),
    paused ? h(PauseDialog, { endpoint: paused.endpoint, onClose: close }) : null,
  );
}

/** @param {{one: Endpoint}} props */
function EndpointName({ one }) {
  const link = h(
    AppLink,
    { to: withQuery(DELIVERIES_PATH, { endpoint: one.endpoint }) },
    h(Value, { isCut: true }, one.endpoint),
  );
  if (!one.paused_at) return link;
  const reason = one.pause_reason ? [": ", h(Value, { key: "reason" }, one.pause_reason)] : [];
  return h(
    C.Box,
    { maxW: "18rem" },
    link,
    h(C.Badge, { colorPalette: "orange", variant: "subtle" }, "❚❚ paused"),
    h(Quiet, { isBlock: true }, "since ", h(Time, { time: one.paused_at, isShort: true }), ...reason),
  );
}

/** @param {{one: Endpoint}} props */
function Rate({ one }) {
  if (one.success_rate === null) return h(Quiet, null, "no deliveries");
  const percent = Math.floor(1000 * one.success_rate + 1e-6) / 10;
  const counts = `${formatNumber(one.delivered)} of ${formatNumber(one.deliveries)}`;
  return h(C.Box, null, h(C.Text, { fontWeight: "semibold" }, `${percent} %`), h(Quiet, null, counts));
}

/** @param {{one: Endpoint}} props */
function EndpointActions({ one, onPause, onChanged }) {
  const [run, setRun] = useState({ isRunning: false, result: null });
  if (!one.may_edit) return null;
  const start = async (action) => {
    if (run.isRunning) return;
    setRun({ isRunning: true, result: null });
    try {
      setRun({ isRunning: false, result: await action() });
    } catch (error) {
      setRun({ isRunning: false, result: { error } });
    }
  };
  const resume = async () => {
    await callApi(`endpoints/${joinPath(one.endpoint)}/resume`, { body: {} });
    onChanged();
    return { text: "Resumed", isSuccess: true };
  };
  const button = (label, onClick) =>
    h(
      C.Button,
      {
        size: "xs",
        variant: "outline",
        "aria-label": `${label} ${one.endpoint}`,
        "aria-disabled": run.isRunning,
        onClick,
      },
      label,
    );
  return h(
    C.Box,
    { maxW: "20rem" },
    h(
      C.HStack,
      { gap: 2, wrap: "wrap" },
      button("Test", () => start(() => testConnection(one.endpoint))),
      one.paused_at ? button("Resume", () => start(resume)) : button("Pause", onPause),
    ),
    h(C.Box, { role: "status", mt: 1 }, h(RunResult, { run })),
  );
}

function RunResult({ run }) {
  if (run.isRunning) return h(C.HStack, null, h(C.Spinner, { size: "xs" }), h(Quiet, null, "Running…"));
  if (run.result === null) return null;
  if (run.result.error) return h(ErrorMessage, { error: run.result.error });
  const { text, isSuccess } = run.result;
  return h(Notice, { status: isSuccess ? "success" : "error", size: "sm" }, h(Value, null, text));
}

/**
 * Test a connection as Airflow's list of connections does. What Airflow masks stays masked: it puts in what is stored.
 * @param {string} id
 */
async function testConnection(id) {
  try {
    const stored = await callAirflow(`connections/${joinPath(id)}`);
    const fields = TESTED_FIELDS.map((name) => [name, stored[name] ?? undefined]);
    const { status, message } = await callAirflow("connections/test", { body: Object.fromEntries(fields) });
    return { text: message, isSuccess: status };
  } catch (error) {
    if (error.status === 404) return { text: `${NOT_IN_DATABASE} airflow connections test ${id}`, isSuccess: false };
    if (error.status === 403) return { text: error.message, isSuccess: false };
    throw error;
  }
}

function PauseDialog({ endpoint, onClose }) {
  const ref = useRef(null);
  const [reason, setReason] = useState("");
  const [progress, setProgress] = useState({ isRunning: false, answers: null, errors: [] });
  const canConfirm = reason.trim() !== "" && !progress.isRunning;
  const pause = async () => {
    setProgress({ isRunning: true, answers: null, errors: [] });
    try {
      await callApi(`endpoints/${joinPath(endpoint)}/pause`, { body: { reason: reason.trim() } });
      onClose(true);
    } catch (error) {
      setProgress({ isRunning: false, answers: null, errors: [error] });
    }
  };
  const submit = (event) => {
    event.preventDefault();
    if (canConfirm) pause();
  };
  const change = (event) => setReason(event.target.value);
  const input = h(C.Input, { ref, value: reason, maxLength: MAX_REASON_CHARACTERS, onChange: change });
  const label = h(C.Field.Label, null, "Reason, shown in the records");
  const dialog = { title: `Pause ${endpoint}`, verb: "Pause", canConfirm, progress, onConfirm: pause, initialRef: ref };
  return h(
    ActionDialog,
    { ...dialog, onClose: () => onClose(false) },
    h(C.Text, { key: "text" }, PAUSE_EFFECT),
    h("form", { key: "form", onSubmit: submit }, h(C.Field.Root, { required: true }, label, input)),
    progress.errors.map((error) => h(ErrorMessage, { key: "error", error })),
  );
}

function Registries({ registries }) {
  const items = registries.map((one) => h(Registry, { key: one.conn_id, registry: one }));
  return h(
    Section,
    { title: "Platform registries", id: "registries" },
    h(C.VStack, { align: "stretch", gap: 4 }, items),
  );
}

function Registry({ registry }) {
  const [isOpen, setOpen] = useState(false);
  const toggle = { size: "xs", variant: "outline", "aria-expanded": isOpen, onClick: () => setOpen(!isOpen) };
  const label = isOpen ? "Hide hooks" : "Show hooks";
  return h(
    C.Box,
    null,
    h(
      C.HStack,
      { wrap: "wrap", gap: 3 },
      h(C.Heading, { as: "h3", size: "xs" }, h(Value, null, registry.conn_id)),
      registry.platform ? h(Quiet, null, registry.platform) : null,
      h(C.Button, { ...toggle, "aria-label": `${label} of ${registry.conn_id}` }, label),
    ),
    isOpen ? h(Hooks, { id: registry.conn_id }) : null,
  );
}

function Hooks({ id }) {
  const answer = useApi(`registries/${joinPath(id)}/hooks`);
  if (answer.error) return h(ErrorMessage, { error: answer.error, onRetry: answer.reload });
  if (answer.data === null) return h(Loading, { label: "Reading the hooks from the platform…" });
  const { hooks, note } = answer.data;
  const notice = note ? h(Notice, { key: "note", status: "info" }, note) : null;
  if (hooks.length === 0) return [notice, h(Empty, { key: "empty", title: "The platform has no hooks" })];
  const table = { caption: `Hooks of ${id}`, columns: HOOK_COLUMNS, rows: hooks, getKey: (one) => one.hook_id };
  return h(C.Box, { mt: 2 }, notice, h(Quiet, { role: "status" }, countOf(hooks.length, "hook")), h(DataTable, table));
}

const HOOK_COLUMNS = [
  {
    title: "Hook",
    isRowHeader: true,
    render: (one) =>
      h(C.Box, null, h(Value, { isCut: true }, one.name ?? one.hook_id), h(Quiet, { isBlock: true }, one.hook_id)),
  },
  { title: "URL", render: (one) => h(Value, null, one.url) },
  { title: "Events", hideBelow: "md", render: (one) => formatEvents(one.events) },
  {
    title: "Active",
    hideBelow: "sm",
    render: (one) => (one.is_active === null ? "unknown" : one.is_active ? "yes" : "no"),
  },
  {
    title: "Declared",
    render: (one) => (one.is_declared ? h(C.Box, null, "yes", h(Quiet, { isBlock: true }, one.variable ?? "")) : "no"),
  },
];

function formatEvents(events) {
  if (events === null) return h(Quiet, null, "unknown");
  return events.length > 0 ? h(Value, null, events.join(", ")) : h(Quiet, null, "none");
}
