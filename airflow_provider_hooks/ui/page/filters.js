// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// The filters of the list of deliveries. They are in the URL: outcome, endpoint, type, dag, q, period, from, to, cursor.

import { C, h, OutcomeIcon, OUTCOMES, useQuery } from "./common.js";
import { findZone, formatInZone, parseInZone, toWords } from "./format.js";

const FAILED = ["rejected", "not_sent", "unknown"];
const PERIODS = {
  "": "Any time",
  hour: "Last hour",
  today: "Today",
  day: "Last 24 hours",
  week: "Last 7 days",
  month: "Last 30 days",
  custom: "Custom…",
};
const HOURS = { hour: 1, day: 24, week: 7 * 24, month: 30 * 24 };
const TEXT_FILTERS = ["q", "endpoint", "type", "dag"];
const FILTERS = [...TEXT_FILTERS, "outcome", "period", "from", "to"];

/**
 * @typedef {object} Place where the list is: a Dag, a run or a task instance; empty on the page of all deliveries
 * @property {string} [dagId]
 * @property {string} [runId]
 * @property {string} [taskId]
 * @property {string} [mapIndex]
 */

/** @param {URLSearchParams} params */
export function hasFilters(params) {
  return FILTERS.some((name) => (params.get(name) ?? "") !== "");
}

/** The change of the URL that removes all filters. */
export const NO_FILTERS = Object.fromEntries([...FILTERS, "cursor"].map((name) => [name, null]));

/**
 * Return the query of the API for what the URL says.
 * @param {URLSearchParams} params
 * @param {Place} place
 */
export function toApiQuery(params, place) {
  return {
    outcome: params.getAll("outcome").filter((one) => OUTCOMES.includes(one)),
    q: params.get("q"),
    endpoint: params.get("endpoint"),
    event_type: params.get("type"),
    dag_id: place.dagId ?? params.get("dag"),
    run_id: place.runId,
    task_id: place.taskId,
    map_index: place.mapIndex,
    ...findTimes(params, Date.now()),
    after: params.get("cursor"),
  };
}

function findTimes(params, now) {
  const period = params.get("period");
  const zone = findZone();
  if (period === "today") return { since: parseInZone(`${formatInZone(now, zone).slice(0, 10)}T00:00`, zone) };
  if (period === "custom") {
    return { since: parseInZone(params.get("from") ?? "", zone), until: parseInZone(params.get("to") ?? "", zone) };
  }
  return period in HOURS ? { since: new Date(now - HOURS[period] * 3_600_000).toISOString() } : {};
}

/** @param {{place: Place, endpoints: string[], types: string[]}} props the last two are suggestions */
export function Filters({ place, endpoints, types }) {
  const [params, , change] = useQuery();
  const set = (changes) => change({ ...changes, cursor: null });
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    set(Object.fromEntries(TEXT_FILTERS.map((name) => [name, (form.get(name) ?? params.get(name) ?? "").trim()])));
  };
  const text = (name, label, suggestions) =>
    h(TextFilter, { name, label, suggestions, value: params.get(name) ?? "", key: `${name}=${params.get(name)}` });
  const clear = { variant: "ghost", size: "sm", onClick: () => change(NO_FILTERS) };
  return h(
    "form",
    { onSubmit: submit, role: "search", "aria-label": "Deliveries" },
    h(OutcomeFilter, { chosen: params.getAll("outcome"), onChange: (outcome) => set({ outcome }) }),
    h(
      C.Flex,
      { wrap: "wrap", gap: 3, align: "end", mt: 3 },
      text("q", "Event or delivery id"),
      text("endpoint", "Endpoint", endpoints),
      text("type", "Event type", types),
      place.dagId === undefined ? text("dag", "Dag id") : null,
      h(TimeFilter, { params, onChange: set }),
      h(C.Button, { type: "submit", size: "sm", variant: "outline" }, "Search"),
      hasFilters(params) ? h(C.Button, clear, "Clear filters") : null,
    ),
  );
}

function TextFilter({ name, label, value, suggestions = [] }) {
  const list = `suggestions-${name}`;
  const options = suggestions.map((one) => h("option", { key: one, value: one }));
  return h(
    C.Field.Root,
    { w: { base: "100%", sm: "12rem" } },
    h(C.Field.Label, null, label),
    h(C.Input, { name, size: "sm", defaultValue: value, list, maxLength: 250, autoComplete: "off" }),
    h("datalist", { id: list }, options),
  );
}

function OutcomeFilter({ chosen, onChange }) {
  const toggle = (outcome) =>
    onChange(chosen.includes(outcome) ? chosen.filter((one) => one !== outcome) : [...chosen, outcome]);
  const isFailed = chosen.length === FAILED.length && FAILED.every((one) => chosen.includes(one));
  const buttons = OUTCOMES.map((outcome) => {
    const isOn = chosen.includes(outcome);
    return h(Toggle, { key: outcome, isOn, onClick: () => toggle(outcome) }, h(OutcomeIcon, { outcome }), toWords(outcome));
  });
  return h(
    C.Flex,
    { role: "group", "aria-label": "Outcome", wrap: "wrap", gap: 2 },
    h(Toggle, { isOn: chosen.length === 0, onClick: () => onChange([]) }, "All outcomes"),
    h(Toggle, { isOn: isFailed, onClick: () => onChange(isFailed ? [] : FAILED) }, "All failed"),
    buttons,
  );
}

function Toggle({ isOn, onClick, children }) {
  const look = { size: "xs", borderRadius: "full", variant: isOn ? "solid" : "outline", colorPalette: isOn ? "brand" : "gray" };
  return h(C.Button, { ...look, "aria-pressed": isOn, onClick }, ...[children].flat());
}

function TimeFilter({ params, onChange }) {
  const period = params.get("period") ?? "";
  const options = Object.entries(PERIODS).map(([value, label]) => h("option", { key: value, value }, label));
  const choose = (event) => onChange({ period: event.target.value, from: null, to: null });
  const select = h(C.NativeSelect.Field, { value: period, onChange: choose }, options);
  const field = h(
    C.Field.Root,
    { w: { base: "100%", sm: "10rem" } },
    h(C.Field.Label, null, "Time"),
    h(C.NativeSelect.Root, { size: "sm" }, select, h(C.NativeSelect.Indicator)),
  );
  if (period !== "custom") return field;
  const zone = findZone();
  const bound = (name, label) => {
    const value = params.get(name) ?? "";
    const onBlur = (event) => event.target.value !== value && onChange({ [name]: event.target.value });
    const input = { type: "datetime-local", size: "sm", defaultValue: value, key: value, onBlur };
    return h(C.Field.Root, { w: "auto", key: name }, h(C.Field.Label, null, `${label} (${zone})`), h(C.Input, input));
  };
  return [h(C.Box, { key: "period" }, field), bound("from", "From"), bound("to", "To")];
}
