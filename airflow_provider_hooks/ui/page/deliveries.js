// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// The list of deliveries: all of them, or those of a Dag, a run or a task instance.

import { explainNotMarked, MarkDialog, ResendDialog } from "./actions.js";
import { useApi, withQuery } from "./api.js";
import {
  Announcement,
  AppLink,
  C,
  DataTable,
  Empty,
  ErrorMessage,
  h,
  Hidden,
  Loading,
  Notes,
  OutcomeBadge,
  Page,
  Quiet,
  Time,
  useQuery,
  Value,
} from "./common.js";
import { DeliveryDetails } from "./details.js";
import { ClearButton, Filters, hasFilters, NO_FILTERS, toApiQuery } from "./filters.js";
import { formatDuration, lookUp, toWords } from "./format.js";
import { ENDPOINTS_PATH, taskPath } from "./links.js";
import { FAILED_OUTCOMES } from "./outcomes.js";

const { useEffect, useMemo, useState } = globalThis.React;
const { useLocation } = globalThis.ReactRouterDOM;

/**
 * @typedef {import("./api.js").Delivery} Delivery
 * @typedef {import("./filters.js").Place} Place
 */

const PAGE_SIZE = 50;
const TABLE_ID = "deliveries";
/** What gets the focus when the next page of the list is shown: its table, or the link of the delivery that was open. */
let nextFocusId = "";

/** What Airflow renders: the props are those of the route. @param {Place} place */
export function DeliveriesPage(place) {
  const [params] = useQuery();
  const id = params.get("delivery");
  const isTab = place.dagId !== undefined;
  return id === null ? h(DeliveryList, { place, isTab }) : h(DeliveryDetails, { id, isTab, key: id });
}

function DeliveryList({ place, isTab }) {
  const { list, hasNone, isFirst } = useDeliveries(place);
  if (isTab && hasNone) return h(Empty, { title: "No webhook deliveries" });
  if (isTab && isFirst) return h(Loading, { label: "Loading deliveries…" });
  return h(
    Page,
    { title: "Webhook deliveries", isTab, actions: h(ListActions, { list, isTab }) },
    h(Notes, { notes: list.data?.notes ?? [] }),
    hasNone ? null : h(Filters, { place, ...suggest(list.data?.deliveries ?? []) }),
    h(ListBody, { list, place, hasNone }),
  );
}

/**
 * Read what the URL says.
 * @param {Place} place
 */
function useDeliveries(place) {
  const [params] = useQuery();
  const { dagId, runId, taskId, mapIndex } = place;
  const query = useMemo(() => toApiQuery(params, place), [`${params}`, dagId, runId, taskId, mapIndex]);
  const list = useApi(withQuery("deliveries", { ...query, limit: PAGE_SIZE }));
  useEffect(() => focusNext(list.data), [list.data]);
  const isUnfiltered = !hasFilters(params) && !params.has("cursor");
  const hasAnswer = !list.isLoading && !list.error;
  const hasNone = isUnfiltered && hasAnswer && list.data.deliveries.length === 0;
  return { list, hasNone, isFirst: isUnfiltered && list.data === null && !list.error };
}

function ListActions({ list, isTab }) {
  const refresh = {
    size: "sm",
    variant: "outline",
    "aria-label": "Refresh",
    onClick: list.reload,
    loading: list.isLoading,
  };
  return h(
    C.HStack,
    { gap: 4 },
    list.data?.may_see_endpoints && !isTab ? h(AppLink, { to: ENDPOINTS_PATH }, "Endpoints") : null,
    h(C.Button, refresh, "Refresh"),
  );
}

function focusNext(data) {
  const element = data === null ? null : document.getElementById(nextFocusId);
  if (!element) return;
  nextFocusId = "";
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
}

/** @param {Delivery[]} rows */
function suggest(rows) {
  const collect = (name) => [...new Set(rows.map((one) => one[name]).filter(Boolean))].sort();
  return { endpoints: collect("endpoint"), types: collect("event_type") };
}

function ListBody({ list, place, hasNone }) {
  if (list.error) return h(ErrorMessage, { error: list.error, onRetry: list.reload });
  if (list.data === null) return h(Loading, { label: "Loading deliveries…" });
  const { deliveries: rows, next_cursor: nextCursor, store } = list.data;
  if (hasNone) return h(NoDeliveries, { store });
  const announcement = { isLoading: list.isLoading, count: rows.length, noun: "delivery", plural: "deliveries" };
  return [
    h(Announcement, { key: "announcement", ...announcement }),
    rows.length === 0
      ? h(NoMatches, { key: "none" })
      : h(SelectableTable, { key: "table", rows, place, isBusy: list.isLoading, onChanged: list.reload }),
    list.isStale ? null : h(Pager, { key: "pager", nextCursor }),
  ];
}

function NoDeliveries({ store }) {
  const where = store === "ledger" ? "tasks, callbacks and commands" : "tasks";
  return h(
    Empty,
    { title: "No webhook deliveries yet" },
    `Deliveries of ${where} appear here as soon as the first one begins.`,
  );
}

function NoMatches() {
  const [params, , change] = useQuery();
  if (!hasFilters(params)) return h(Empty, { title: "No older deliveries" });
  return h(Empty, { title: "No delivery matches the filters" }, h(ClearButton, { onClear: () => change(NO_FILTERS) }));
}

/** Cursors lead to older pages only, so the history of the browser has those that lead back. */
function Pager({ nextCursor }) {
  const [params, link] = useQuery();
  const { state } = useLocation();
  const cursor = params.get("cursor");
  const before = state?.cursors ?? [];
  const hasNewer = cursor !== null && before.length > 0;
  const onClick = () => (nextFocusId = TABLE_ID);
  const newer = { to: link({ cursor: before.at(-1) }), state: { cursors: before.slice(0, -1) }, onClick };
  const older = { to: link({ cursor: nextCursor }), state: { cursors: [...before, cursor ?? ""] }, onClick };
  if (cursor === null && nextCursor === null) return null;
  return h(
    C.HStack,
    { as: "nav", "aria-label": "Pages of deliveries", justify: "center", gap: 6 },
    cursor === null ? null : h(AppLink, { key: "newest", to: link({ cursor: null }), onClick }, "Newest"),
    hasNewer ? h(AppLink, { key: "newer", ...newer }, "Newer") : null,
    nextCursor === null ? h(Quiet, null, "No older ones") : h(AppLink, { key: "older", ...older }, "Older"),
  );
}

function SelectableTable({ rows, place, isBusy, onChanged }) {
  const [, link] = useQuery();
  const [selected, setSelected] = useState([]);
  const [action, setAction] = useState(null);
  const editable = rows.filter((one) => one.may_edit);
  const chosen = editable.filter((one) => selected.includes(one.id));
  const close = (hasChanged) => {
    setAction(null);
    if (!hasChanged) return;
    setSelected([]);
    onChanged();
  };
  const columns = [
    ...(editable.length > 0 ? [selectColumn({ editable, selected, select: setSelected })] : []),
    ...makeColumns(place, link),
    ...(editable.length > 0 ? [resendColumn((one) => setAction({ kind: "resend", deliveries: [one] }))] : []),
  ];
  return h(
    C.Box,
    null,
    editable.length > 0 ? h(SelectionBar, { chosen, onAction: (kind) => setAction({ kind, deliveries: chosen }) }) : null,
    h(DataTable, {
      id: TABLE_ID,
      caption: "Webhook deliveries, newest first",
      columns,
      rows,
      getKey: (one) => one.id,
      isBusy,
    }),
    action?.kind === "resend" ? h(ResendDialog, { ...action, onClose: close }) : null,
    action?.kind === "mark" ? h(MarkDialog, { ...action, onClose: close }) : null,
  );
}

function SelectionBar({ chosen, onAction }) {
  const markable = chosen.filter((one) => explainNotMarked(one) === null);
  const text =
    chosen.length === 0
      ? "Select deliveries to send them again or mark them as received."
      : `${chosen.length} selected`;
  const button = (kind, label, count) =>
    count === 0
      ? null
      : h(C.Button, { key: kind, size: "xs", variant: "outline", onClick: () => onAction(kind) }, label);
  return h(
    C.HStack,
    { minH: 8, mb: 1, gap: 3, wrap: "wrap" },
    h(Quiet, { role: "status" }, text),
    button("resend", `Resend ${chosen.length}`, chosen.length),
    button("mark", `Mark ${markable.length} as received`, markable.length),
  );
}

function selectColumn({ editable, selected, select }) {
  const ids = editable.map((one) => one.id);
  const count = ids.filter((one) => selected.includes(one)).length;
  const all = h(SelectBox, {
    label: "Select all deliveries of this page",
    checked: count === ids.length ? true : count > 0 ? "indeterminate" : false,
    onChange: (isOn) => select(isOn ? ids : []),
  });
  const render = (one) => {
    if (!one.may_edit) return null;
    const change = (isOn) => select(isOn ? [...selected, one.id] : selected.filter((id) => id !== one.id));
    return h(SelectBox, { label: `Select delivery ${one.id}`, checked: selected.includes(one.id), onChange: change });
  };
  return { key: "select", title: all, render };
}

function SelectBox({ label, checked, onChange }) {
  const ref = (box) => box && (box.indeterminate = checked === "indeterminate");
  const change = (event) => onChange(event.target.checked);
  return h("input", {
    ref,
    type: "checkbox",
    className: "shp-check",
    "aria-label": label,
    checked: checked === true,
    onChange: change,
  });
}

function resendColumn(onResend) {
  const render = (one) => {
    if (!canResend(one)) return null;
    const look = { type: "button", className: "shp-button", "aria-label": `Resend delivery ${one.id}` };
    return h("button", { ...look, onClick: () => onResend(one) }, "Resend");
  };
  return { title: "Actions", isTitleHidden: true, render };
}

/** Whether a user may want to send a delivery again, and the page can do it. @param {Delivery} one */
function canResend(one) {
  const isSentByTask = one.origin === "task" && one.kind === "event" && one.may_edit;
  return isSentByTask && FAILED_OUTCOMES.includes(one.outcome) && one.state === one.outcome;
}

/** @param {Place} place */
function makeColumns(place, link) {
  return [
    { title: "Outcome", render: (one) => h(OutcomeCell, { one }) },
    { title: "Event", isRowHeader: true, render: (one) => h(EventCell, { one, link }) },
    { title: "Endpoint", hideBelow: "md", render: (one) => one.endpoint && h(Value, { isCut: true }, one.endpoint) },
    { title: "Status", hideBelow: "md", render: formatStatus },
    ...(place.taskId === undefined
      ? [{ title: "Task", hideBelow: "lg", render: (one) => h(TaskCell, { one, place }) }]
      : []),
    { title: "Time", render: (one) => h(Time, { time: one.claimed_at }) },
    { title: "Duration", hideBelow: "xl", render: (one) => formatDuration(one.duration_ms) },
  ];
}

const STATE_NOTES = { settled: "marked by a user", resend: "marked to be sent again" };

function OutcomeCell({ one }) {
  const note = lookUp(STATE_NOTES, one.state);
  return h("div", null, h(OutcomeBadge, { outcome: one.outcome }), note ? h(Quiet, { isBlock: true }, note) : null);
}

function EventCell({ one, link }) {
  const id = `delivery-${one.id}`;
  const name = h(Value, { isCut: true }, one.event_type ?? "no event type");
  const eventId = one.kind === "event" && one.event_id;
  const narrow = [one.endpoint, formatStatus(one)].filter(Boolean).join(", ");
  return h(
    "div",
    null,
    h(
      AppLink,
      { id, to: link({ delivery: one.id }), onClick: () => (nextFocusId = id) },
      h(Hidden, null, `Delivery ${one.id}: `),
      name,
    ),
    one.kind === "stream" ? h("span", { className: "shp-badge" }, "stream") : null,
    eventId ? h(Quiet, { isBlock: true }, h(Value, { isCode: true, isCut: true }, eventId)) : null,
    h(Quiet, { isBlock: true, className: "shp-from-md" }, h(Value, { isCut: true }, narrow)),
  );
}

/** @param {Delivery} one */
export function formatStatus(one) {
  const parts = [one.status_code ? `HTTP ${one.status_code}` : null, one.error_class ? toWords(one.error_class) : null];
  return parts.filter(Boolean).join(", ");
}

function TaskCell({ one, place }) {
  if (one.dag_id === null || one.run_id === null || one.task_id === null) return h(Quiet, null, one.source);
  const index = (one.map_index ?? -1) < 0 ? "" : `[${one.map_index}]`;
  const name = place.dagId === undefined ? `${one.dag_id}.${one.task_id}${index}` : `${one.task_id}${index}`;
  const run = place.runId === undefined ? h(Quiet, { isBlock: true }, h(Value, { isCut: true }, one.run_id)) : null;
  return h("div", null, h(AppLink, { to: taskPath(one) }, h(Value, { isCut: true }, name)), run);
}
