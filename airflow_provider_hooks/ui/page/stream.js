// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// A stream: its counts per outcome, and its events that were not delivered, page by page from its records.

import { joinPath, useApi, withQuery } from "./api.js";
import {
  Announcement,
  C,
  DataTable,
  Empty,
  ErrorMessage,
  Facts,
  h,
  Loading,
  Notice,
  OutcomeBadge,
  Section,
  Value,
} from "./common.js";
import { OUTCOME_COLORS } from "./outcomes.js";
import { formatDuration, formatNumber, lookUp, toWords } from "./format.js";

const { useState } = globalThis.React;

const COUNTED = ["delivered", "rejected", "not_sent", "unknown"];
const PAGE_SIZE = 50;

/** @param {{id: number, stream: object}} props */
export function StreamSection({ id, stream }) {
  return [h(Counts, { key: "counts", stream }), h(FailedEvents, { key: "failed", id, counts: stream.outcomes })];
}

function Counts({ stream }) {
  const shown = COUNTED.filter((outcome) => stream.outcomes[outcome] > 0);
  const finished = shown.reduce((sum, outcome) => sum + stream.outcomes[outcome], 0);
  const parts = shown.map((outcome) =>
    h(C.Box, {
      key: outcome,
      bg: `${OUTCOME_COLORS[outcome]}.solid`,
      h: "100%",
      minW: "3px",
      style: { flexGrow: stream.outcomes[outcome] },
    }),
  );
  const bar = h(
    C.Flex,
    { h: 4, gap: "2px", borderRadius: "sm", overflow: "hidden", bg: "bg.muted", "aria-hidden": true },
    parts,
  );
  const numbers = COUNTED.map((outcome) =>
    h(
      C.HStack,
      { as: "li", key: outcome, gap: 1 },
      h(OutcomeBadge, { outcome }),
      formatNumber(stream.outcomes[outcome] ?? 0),
      h(Share, { count: stream.outcomes[outcome] ?? 0, total: finished }),
    ),
  );
  const live = stream.is_done
    ? null
    : h(Notice, { status: "info" }, `${describeState(stream.state)} The numbers are updated every 5 s.`);
  return h(
    Section,
    { title: "Stream", id: "stream" },
    live,
    h(C.Box, { my: 3 }, bar),
    h(C.Flex, { as: "ul", wrap: "wrap", gapX: 6, gapY: 2, mb: 3, listStyleType: "none" }, numbers),
    h(Facts, { facts: listFacts(stream) }),
  );
}

function Share({ count, total }) {
  if (count === 0) return null;
  const percent = (100 * count) / total;
  const text =
    percent < 0.1 ? "below 0.1 %" : percent > 99.9 && percent < 100 ? "above 99.9 %" : `${percent.toFixed(1)} %`;
  return h(C.Text, { as: "span", color: "fg.muted", fontSize: "xs" }, `(${text})`);
}

const STATES = {
  claimed: "The stream is running, or its process ended.",
  resending: "The stream is sending events again.",
  stopped: "The stream stopped before its end; its next try goes on.",
};

function describeState(state) {
  return lookUp(STATES, state) ?? "The stream is not done.";
}

function listFacts(stream) {
  const number = (value) => (typeof value === "number" ? formatNumber(Math.round(value * 10) / 10) : null);
  const percentiles = ["p50", "p95", "p99"]
    .filter((name) => typeof stream[`${name}_ms`] === "number")
    .map((name) => `${name} ${formatDuration(stream[`${name}_ms`])}`);
  return [
    ["Events", number(stream.total)],
    ["Invalid events", stream.invalid > 0 ? number(stream.invalid) : null],
    ["Sent by another run", stream.sent_before > 0 ? number(stream.sent_before) : null],
    ["Duration", formatDuration(typeof stream.seconds === "number" ? stream.seconds * 1000 : null)],
    ["Events per second", number(stream.events_per_second)],
    ["Response times", percentiles.join(", ")],
    ["Pauses", number(stream.pauses)],
    ["Batch", number(stream.batch)],
    ["Records", stream.records && h(Value, { isCode: true }, stream.records)],
  ];
}

function FailedEvents({ id, counts }) {
  const [outcome, setOutcome] = useState("");
  const [cursors, setCursors] = useState([null]);
  const query = { outcome, after: cursors.at(-1), limit: PAGE_SIZE };
  const page = useApi(withQuery(`deliveries/${joinPath(String(id))}/events`, query));
  const choose = (event) => {
    setOutcome(event.target.value);
    setCursors([null]);
  };
  return h(
    Section,
    { title: "Events that were not delivered", id: "failed-events" },
    h(OutcomeSelect, { outcome, counts, onChange: choose }),
    h(EventsBody, { page }),
    h(EventsPager, { cursors, next: page.data?.next_cursor ?? null, onChange: setCursors }),
  );
}

function OutcomeSelect({ outcome, counts, onChange }) {
  const options = COUNTED.slice(1).map((one) =>
    h("option", { key: one, value: one }, `${toWords(one)} (${formatNumber(counts[one] ?? 0)})`),
  );
  const select = h(
    C.NativeSelect.Field,
    { value: outcome, onChange },
    h("option", { value: "" }, "All that failed"),
    options,
  );
  return h(
    C.Field.Root,
    { w: "14rem", maxW: "100%", mb: 3 },
    h(C.Field.Label, null, "Outcome"),
    h(C.NativeSelect.Root, { size: "sm" }, select, h(C.NativeSelect.Indicator)),
  );
}

function EventsBody({ page }) {
  if (page.error) return h(ErrorMessage, { error: page.error, onRetry: page.reload });
  if (page.data === null) return h(Loading, { label: "Loading events…" });
  const { events, note } = page.data;
  const notice = note ? h(Notice, { key: "note", status: "warning" }, note) : null;
  if (events.length === 0) return [notice, note ? null : h(Empty, { key: "empty", title: "No such event" })];
  const table = {
    key: "table",
    caption: "Failed events of the stream",
    columns: COLUMNS,
    rows: events,
    getKey: (one) => one.offset,
  };
  const announcement = { isLoading: page.isLoading, count: events.length, noun: "event" };
  return [
    notice,
    h(Announcement, { key: "announcement", ...announcement }),
    h(DataTable, { ...table, isBusy: page.isLoading }),
  ];
}

const COLUMNS = [
  { title: "Offset", isRowHeader: true, render: (one) => formatNumber(one.offset) },
  { title: "Outcome", render: (one) => h(OutcomeBadge, { outcome: one.outcome }) },
  { title: "Event id", render: (one) => one.event_id && h(Value, { isCode: true, isCut: true }, one.event_id) },
  { title: "Status", render: (one) => (one.status_code ? `HTTP ${one.status_code}` : toWords(one.error_class ?? "")) },
  {
    title: "Reason",
    hideBelow: "md",
    render: (one) => h(Value, null, [one.message, one.response_body].filter(Boolean).join(": ")),
  },
];

function EventsPager({ cursors, next, onChange }) {
  if (cursors.length === 1 && next === null) return null;
  const look = { size: "xs", variant: "outline" };
  const back = { ...look, disabled: cursors.length === 1, onClick: () => onChange(cursors.slice(0, -1)) };
  const forward = { ...look, disabled: next === null, onClick: () => onChange([...cursors, next]) };
  return h(
    C.HStack,
    { as: "nav", "aria-label": "Pages of events", justify: "center", mt: 3 },
    h(C.Button, back, "Previous"),
    h(C.Button, forward, "Next"),
  );
}
