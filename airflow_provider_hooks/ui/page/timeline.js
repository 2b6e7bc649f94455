// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// The attempts of a delivery, with the phases of each as bars, and what the receiver answered.

import { C, Facts, h, OutcomeBadge, Quiet, Section, TextBlock, Time, Value } from "./common.js";
import { formatBody, formatDuration, formatNumber, toWords } from "./format.js";

/**
 * @typedef {object} Record what is stored of an attempt; any field may be missing or of another type
 * @property {string} [outcome]
 * @property {number} [status_code]
 * @property {string} [error_class]
 * @property {string} [message]
 * @property {string} [requested_at]
 * @property {number} [duration_ms]
 * @property {Record<string, number | null>} [phases] milliseconds of each
 * @property {Record<string, string>} [response_headers]
 * @property {string | null} [response_body]
 */

const PHASES = [
  ["dns", "DNS"],
  ["connect", "Connect"],
  ["tls", "TLS"],
  ["first_byte", "First byte"],
];
const COLORS = {
  dns: "purple.solid",
  connect: "cyan.solid",
  tls: "orange.solid",
  first_byte: "blue.solid",
  rest: "gray.solid",
};

/** @param {{attempts: {try_number: number, claimed_at: string, record: Record | null}[]}} props */
export function Timeline({ attempts }) {
  const items = attempts.map((one, index) => h(AttemptItem, { key: index, attempt: one, number: index + 1 }));
  return h(
    Section,
    { title: "Attempts", id: "attempts" },
    h(C.VStack, { as: "ol", align: "stretch", gap: 5, listStyleType: "none" }, items),
  );
}

function AttemptItem({ attempt, number }) {
  const record = attempt.record ?? {};
  const status = [
    record.status_code ? `HTTP ${record.status_code}` : null,
    record.error_class ? toWords(text(record.error_class)) : null,
  ];
  const title = h(C.Heading, { as: "h3", size: "xs" }, `Attempt ${number}, try ${attempt.try_number}`);
  return h(
    C.Box,
    { as: "li", borderStartWidth: 2, borderColor: "border.emphasized", ps: 4, minW: 0 },
    h(
      C.HStack,
      { wrap: "wrap", gap: 3, mb: 1 },
      title,
      record.outcome ? h(OutcomeBadge, { outcome: text(record.outcome) }) : h(Quiet, null, "no outcome stored"),
      h(C.Text, { fontWeight: "semibold" }, status.filter(Boolean).join(", ")),
      h(Quiet, null, h(Time, { time: text(record.requested_at ?? attempt.claimed_at), isShort: true })),
      h(Quiet, null, formatDuration(record.duration_ms)),
    ),
    record.message ? h(C.Text, { mb: 2, overflowWrap: "anywhere" }, text(record.message)) : null,
    h(Phases, { record }),
    h(AttemptFacts, { record }),
    h(Response, { record, number }),
  );
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

/** @param {Record} record */
function listPhases(record) {
  const stored = record.phases ?? {};
  const known = PHASES.map(([name, label]) => ({ name, label, ms: stored[`${name}_ms`] ?? stored[name] })).filter(
    ({ ms }) => typeof ms === "number" && ms >= 0,
  );
  const sum = known.reduce((total, { ms }) => total + ms, 0);
  const rest = (typeof record.duration_ms === "number" ? record.duration_ms : sum) - sum;
  if (known.length > 0 && rest > 0.05) known.push({ name: "rest", label: "Rest", ms: rest });
  let begins = 0;
  return known.map((one) => {
    const placed = { ...one, begins };
    begins += one.ms;
    return placed;
  });
}

/** Each phase is a bar that begins where the one before ended. The numbers are next to the bars. */
function Phases({ record }) {
  const phases = listPhases(record);
  if (phases.length === 0) return null;
  const last = phases.at(-1);
  const total = Math.max(last.begins + last.ms, 0.001);
  const percent = (ms) => `${((100 * ms) / total).toFixed(2)}%`;
  const rows = phases.flatMap(({ name, label, ms, begins }) => [
    h(C.Box, { as: "dt", key: `${name}-name`, fontSize: "sm" }, label),
    h(
      C.Flex,
      { as: "dd", key: name, align: "center", gap: 2 },
      h(
        C.Box,
        { flex: 1, minW: 0, bg: "bg.muted", h: 3, borderRadius: "sm", overflow: "hidden", "aria-hidden": true },
        h(C.Box, {
          h: "100%",
          minW: "2px",
          bg: COLORS[name],
          style: { marginInlineStart: percent(begins), width: percent(ms) },
        }),
      ),
      h(C.Text, { as: "span", fontSize: "sm", w: "4rem", textAlign: "end", flex: "none" }, formatDuration(ms)),
    ),
  ]);
  return h(
    C.Grid,
    {
      as: "dl",
      "aria-label": "Phases",
      templateColumns: "5rem minmax(0, 1fr)",
      gapX: 3,
      gapY: 1,
      mb: 3,
      maxW: "40rem",
    },
    rows,
  );
}

function AttemptFacts({ record }) {
  const facts = [
    ["URL", record.url && h(Value, { isCode: true }, text(record.url))],
    ["Peer address", record.peer_address && h(Value, { isCode: true }, text(record.peer_address))],
    ["Signing scheme", record.scheme && h(Value, null, text(record.scheme))],
    ["Body", typeof record.body_bytes === "number" ? `${formatNumber(record.body_bytes)} bytes` : null],
    ["SHA-256", record.body_sha256 && h(Value, { isCode: true }, text(record.body_sha256))],
    ["Redelivery", record.redelivery ? "yes: the event may have been sent before" : null],
    ["Attempts in the run", record.attempts > 1 ? formatNumber(record.attempts) : null],
    ["Marked as received", record.settled ? "by a user" : null],
    ["Answered", record.responded_at && h(Time, { time: text(record.responded_at), isShort: true })],
  ];
  const summary = h("summary", { className: "shp-summary" }, "What was sent");
  return h("details", null, summary, h(C.Box, { my: 2 }, h(Facts, { facts })));
}

function Response({ record, number }) {
  const headers = Object.entries(record.response_headers ?? {});
  const body = record.response_body ? text(record.response_body) : null;
  if (headers.length === 0 && body === null) return null;
  const facts = headers.map(([name, value]) => [name, h(Value, { isCode: true }, text(value))]);
  return h(
    C.Box,
    { mt: 3 },
    h(C.Heading, { as: "h4", size: "xs", mb: 1 }, "Response"),
    headers.length > 0 ? h(Facts, { facts }) : null,
    body === null
      ? null
      : h(C.Box, { mt: 2 }, h(TextBlock, { label: `Response body of attempt ${number}`, text: formatBody(body) })),
  );
}
