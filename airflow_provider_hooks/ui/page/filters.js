// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// The filters of the list of deliveries. They are in the URL: outcome, endpoint, type, dag, q, period, from, to, cursor.

import { C, h, OutcomeIcon, useQuery } from "./common.js";
import { findZone, formatInZone, lookUp, parseInZone, toWords } from "./format.js";
import { FAILED_OUTCOMES, OUTCOMES } from "./outcomes.js";

const { useEffect, useRef } = globalThis.React;

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
const HOUR_MS = 3_600_000;
/** Those that a search applies; the others apply at once. */
const TYPED_FILTERS = ["q", "endpoint", "type", "dag", "from", "to"];
const FILTERS = [...TYPED_FILTERS, "outcome", "period"];

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
  const hours = lookUp(HOURS, period);
  return hours ? { since: new Date(now - hours * HOUR_MS).toISOString() } : {};
}

/** @param {{place: Place, endpoints: string[], types: string[]}} props the last two are suggestions */
export function Filters({ place, endpoints, types }) {
  const [params, , change] = useQuery();
  const set = (changes) => change({ ...changes, cursor: null });
  const search = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    set(Object.fromEntries(TYPED_FILTERS.map((name) => [name, (form.get(name) ?? params.get(name) ?? "").trim()])));
  };
  const typed = (name, label, props) =>
    h(TypedFilter, { key: name, name, label, value: params.get(name) ?? "", ...props });
  const times = { type: "datetime-local", width: "auto" };
  const zone = findZone();
  return h(
    "form",
    { onSubmit: search, role: "search", "aria-label": "Deliveries" },
    h(OutcomeFilter, { chosen: params.getAll("outcome"), onChange: (outcome) => set({ outcome }) }),
    h(
      C.Flex,
      { wrap: "wrap", gap: 3, align: "end", mt: 3 },
      typed("q", "Event or delivery id"),
      typed("endpoint", "Endpoint", { suggestions: endpoints }),
      typed("type", "Event type", { suggestions: types }),
      place.dagId === undefined ? typed("dag", "Dag id") : null,
      h(PeriodFilter, { value: params.get("period") ?? "", onChange: set }),
      params.get("period") === "custom" ? typed("from", `From (${zone})`, times) : null,
      params.get("period") === "custom" ? typed("to", `To (${zone})`, times) : null,
      h(C.Button, { id: "search", type: "submit", size: "sm", variant: "outline" }, "Search"),
      hasFilters(params) ? h(ClearButton, { onClear: () => change(NO_FILTERS) }) : null,
    ),
  );
}

/** @param {{onClear: () => void}} props */
export function ClearButton({ onClear }) {
  const clear = () => {
    onClear();
    document.getElementById("filter-q")?.focus();
  };
  return h(C.Button, { variant: "ghost", size: "sm", onClick: clear }, "Clear filters");
}

function TypedFilter({ name, label, value, suggestions = [], type = "text", width = "12rem" }) {
  const ref = useRef(null);
  useEffect(() => {
    ref.current.value = value;
  }, [value]);
  const id = `filter-${name}`;
  const list = `suggestions-${name}`;
  const options = suggestions.map((one) => h("option", { key: one, value: one }));
  const input = { id, ref, name, type, size: "sm", defaultValue: value, list, maxLength: 250, autoComplete: "off" };
  return h(
    C.Field.Root,
    { w: { base: "calc(50% - 0.375rem)", sm: width } },
    h(C.Field.Label, { htmlFor: id }, label),
    h(C.Input, input),
    h("datalist", { id: list }, options),
  );
}

function OutcomeFilter({ chosen, onChange }) {
  const toggle = (outcome) =>
    onChange(chosen.includes(outcome) ? chosen.filter((one) => one !== outcome) : [...chosen, outcome]);
  const isFailed = chosen.length === FAILED_OUTCOMES.length && FAILED_OUTCOMES.every((one) => chosen.includes(one));
  const buttons = OUTCOMES.map((outcome) => {
    const isOn = chosen.includes(outcome);
    return h(
      Toggle,
      { key: outcome, id: `outcome-${outcome}`, isOn, onClick: () => toggle(outcome) },
      h(OutcomeIcon, { outcome }),
      toWords(outcome),
    );
  });
  return h(
    C.Flex,
    { role: "group", "aria-label": "Outcome", wrap: "wrap", gap: 2 },
    h(Toggle, { id: "outcome-all", isOn: chosen.length === 0, onClick: () => onChange([]) }, "All outcomes"),
    h(
      Toggle,
      { id: "outcome-failed", isOn: isFailed, onClick: () => onChange(isFailed ? [] : FAILED_OUTCOMES) },
      "All failed",
    ),
    buttons,
  );
}

function Toggle({ id, isOn, onClick, children }) {
  const look = {
    size: "xs",
    borderRadius: "full",
    variant: isOn ? "solid" : "outline",
    colorPalette: isOn ? "brand" : "gray",
  };
  return h(C.Button, { ...look, id, "aria-pressed": isOn, onClick }, ...[children].flat());
}

function PeriodFilter({ value, onChange }) {
  const options = Object.entries(PERIODS).map(([name, label]) => h("option", { key: name, value: name }, label));
  const choose = (event) => onChange({ period: event.target.value, from: null, to: null });
  return h(
    C.Field.Root,
    { w: { base: "calc(50% - 0.375rem)", sm: "10rem" } },
    h(C.Field.Label, { htmlFor: "filter-period" }, "Time"),
    h(
      C.NativeSelect.Root,
      { size: "sm" },
      h(C.NativeSelect.Field, { id: "filter-period", value, onChange: choose }, options),
      h(C.NativeSelect.Indicator),
    ),
  );
}
