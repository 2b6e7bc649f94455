// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// One delivery: what happened, what to do, its attempts, its request and its payload.

import { MarkDialog, ResendDialog, toClause } from "./actions.js";
import { joinPath, useApi } from "./api.js";
import {
  AppLink,
  C,
  Command,
  CopyButton,
  ErrorMessage,
  Facts,
  h,
  Loading,
  OutcomeIcon,
  Page,
  Quiet,
  Section,
  TextBlock,
  Time,
  useQuery,
  Value,
} from "./common.js";
import { countOf, formatBody } from "./format.js";
import { OUTCOME_COLORS } from "./outcomes.js";
import { toAppPath } from "./links.js";
import { StreamSection } from "./stream.js";
import { Timeline } from "./timeline.js";

const { useState } = globalThis.React;

/**
 * @typedef {import("./api.js").Delivery} Delivery
 *
 * @typedef {object} Possibility
 * @property {boolean} is_possible
 * @property {string | null} reason why not, and what to do instead
 * @property {string} command
 *
 * @typedef {object} Details the answer of the API
 * @property {Delivery} delivery
 * @property {boolean} is_open whether it is being sent, or its task instance is running
 * @property {string} what_happened
 * @property {string[]} what_to_do
 * @property {Possibility} resend
 * @property {Possibility} mark_received
 * @property {{try_number: number, claimed_at: string, record: object}[]} attempts
 * @property {{method: string, url: string | null, headers: Record<string, string> | null, note: string | null} | null} request null for a stream
 * @property {{is_stored: boolean, stored_at: string | null, content_type: string | null, text: string | null, note: string | null}} payload
 * @property {object | null} stream
 * @property {{task_instance: string | null, run: string | null, dag: string | null}} links
 */

const REFRESH_MS = 5000;

/** @param {{id: string, isTab: boolean}} props */
export function DeliveryDetails({ id, isTab }) {
  const [, link] = useQuery();
  const [isOpen, setOpen] = useState(false);
  const details = useApi(`deliveries/${joinPath(id)}`, isOpen ? REFRESH_MS : 0);
  const data = details.data;
  const isUnfinished = data !== null && data.is_open;
  if (isUnfinished !== isOpen) setOpen(isUnfinished);
  const label = isTab ? "Deliveries" : "Webhook deliveries";
  const back = h(C.Box, { as: "nav", "aria-label": "Up" }, h(AppLink, { to: link({ delivery: null }) }, `← ${label}`));
  return h(
    Page,
    { title: `Delivery ${id}`, isTab, back },
    details.error ? h(ErrorMessage, { error: details.error, onRetry: details.reload }) : null,
    data === null && !details.error ? h(Loading, { label: "Loading the delivery…" }) : null,
    data === null ? null : h(Sections, { data, onChanged: details.reload }),
  );
}

function Sections({ data, onChanged }) {
  const { delivery, stream } = data;
  return [
    h(Summary, { key: "summary", data, onChanged }),
    stream ? h(StreamSection, { key: "stream", id: delivery.id, stream, updatedAt: delivery.updated_at }) : null,
    h(AboutSection, { key: "about", data }),
    data.attempts.length > 0 ? h(Timeline, { key: "attempts", attempts: data.attempts }) : null,
    data.request ? h(RequestSection, { key: "request", request: data.request }) : null,
    stream ? null : h(PayloadSection, { key: "payload", payload: data.payload }),
  ];
}

/** @param {{data: Details}} props */
function Summary({ data, onChanged }) {
  const steps = data.what_to_do.map((one) => h(C.List.Item, { key: one }, one));
  const sentence = h(C.Heading, { as: "h2", size: "md", overflowWrap: "anywhere" }, data.what_happened);
  const outcome = data.delivery.outcome;
  const color = `${OUTCOME_COLORS[outcome] ?? "gray"}.fg`;
  const icon = h(C.Box, { as: "span", color, flex: "none" }, h(OutcomeIcon, { outcome, size: 20 }));
  return h(
    C.Box,
    { as: "section", "aria-label": "What happened" },
    h(C.HStack, { gap: 2, mb: 2 }, icon, sentence),
    steps.length > 0
      ? h(C.Box, null, h(C.Text, { fontWeight: "semibold" }, "What to do"), h(C.List.Root, { ps: 5, mb: 3 }, steps))
      : null,
    h(Actions, { data, onChanged }),
  );
}

/** @param {{data: Details}} props */
function Actions({ data, onChanged }) {
  const [action, setAction] = useState(null);
  const { delivery, resend, mark_received: mark } = data;
  const close = () => setAction(null);
  if (!delivery.may_edit && delivery.dag_id !== null) {
    return h(Quiet, null, "Your role allows you to read this delivery, not to change it.");
  }
  // The page clears tasks; other deliveries are sent again by the command.
  const canResend = delivery.may_edit && delivery.origin === "task";
  const isMarkable = delivery.outcome !== "delivered";
  const open = (kind) => () => setAction({ kind, deliveries: [delivery] });
  return h(
    C.VStack,
    { align: "start", gap: 3 },
    h(Way, { title: "Resend", possibility: resend, hasButton: canResend, onOpen: open("resend") }),
    isMarkable
      ? h(Way, { title: "Mark as received", possibility: mark, hasButton: delivery.may_edit, onOpen: open("mark") })
      : null,
    action?.kind === "resend" ? h(ResendDialog, { ...action, onDone: onChanged, onClose: close }) : null,
    action?.kind === "mark" ? h(MarkDialog, { ...action, onDone: onChanged, onClose: close }) : null,
  );
}

/**
 * A button, the command where the page has no button, or why it is not possible.
 * @param {{title: string, possibility: Possibility, hasButton: boolean, onOpen: () => void}} props
 */
function Way({ title, possibility, hasButton, onOpen }) {
  const { is_possible: isPossible, reason, command } = possibility;
  if (!isPossible) {
    return h(C.Text, { fontSize: "sm" }, `${title} is not possible: `, h(Value, null, toClause(reason ?? "")));
  }
  if (hasButton) return h(C.Button, { size: "sm", colorPalette: "brand", onClick: onOpen }, `${title}…`);
  const where = `${title}: run this command where Airflow's own commands run`;
  return h(C.Box, null, h(C.Text, { fontSize: "sm", mb: 1 }, where), h(Command, { command }));
}

/** @param {{data: Details}} props */
function AboutSection({ data }) {
  const { delivery, links } = data;
  const id = (text, label) =>
    text && h(C.HStack, { wrap: "wrap", gap: 2 }, h(Value, { isCode: true }, text), h(CopyButton, { text, label }));
  const facts = [
    ["Endpoint", delivery.endpoint && h(Value, null, delivery.endpoint)],
    ["Event type", delivery.event_type && h(Value, null, delivery.event_type)],
    ["Event id", id(delivery.event_id, "the event id")],
    ["Delivery id", id(delivery.delivery_id, "the delivery id")],
    ["Source", h(Value, null, delivery.source)],
    ["In Airflow", h(AirflowLinks, { links, tryNumber: delivery.try_number, delivery })],
    ["Slot", delivery.slot && h(Value, { isCode: true }, delivery.slot)],
    ["At most once", delivery.once === "event" ? "ever (once=event)" : "in each run or manual clear"],
    ["Claimed", h(Time, { time: delivery.claimed_at })],
    ["Last change", h(Time, { time: delivery.updated_at })],
  ];
  return h(Section, { title: "Delivery", id: "about" }, h(Facts, { facts }));
}

function AirflowLinks({ links, tryNumber, delivery }) {
  const task = toAppPath(links.task_instance);
  const shown = [
    ["Task log", task && `${task}?try_number=${Number(tryNumber)}`],
    ["Task", task && `${task}/details`],
    [`Run ${delivery.run_id}`, toAppPath(links.run)],
    [`Dag ${delivery.dag_id}`, toAppPath(links.dag)],
  ].filter(([, to]) => to);
  if (shown.length === 0) return h(Quiet, null, "no task");
  return h(
    C.HStack,
    { wrap: "wrap", gapX: 4, gapY: 1 },
    shown.map(([label, to]) => h(AppLink, { key: label, to }, label)),
  );
}

/** @param {{request: Details["request"]}} props */
function RequestSection({ request }) {
  const { method, url, headers, note } = request;
  return h(
    Section,
    { title: "Request", id: "request" },
    h(
      C.Text,
      { mb: 2, fontFamily: "mono", fontSize: "sm", overflowWrap: "anywhere" },
      `${method} ${url ?? "to an unknown URL"}`,
    ),
    headers ? h(Headers, { headers }) : null,
    note ? h(Quiet, { isBlock: true }, note) : null,
  );
}

/** @param {{headers: Record<string, string>}} props */
export function Headers({ headers }) {
  const facts = Object.entries(headers).map(([name, text]) => [name, h(Value, { isCode: true }, String(text))]);
  return h(Facts, { facts });
}

/** @param {{payload: Details["payload"]}} props */
function PayloadSection({ payload }) {
  const { is_stored: isStored, stored_at: storedAt, content_type: type, text, note } = payload;
  const stored = isStored
    ? h(
        C.Text,
        { fontSize: "sm", mb: 2 },
        `${type ?? "no content type"}, stored `,
        h(Time, { time: storedAt, isShort: true }),
      )
    : null;
  const size = text === null ? null : h(Quiet, null, countOf(text.length, "character"));
  return h(
    Section,
    { title: "Payload", id: "payload" },
    stored,
    text === null ? null : h(TextBlock, { label: "Text of the payload", text: formatBody(text) }),
    size,
    note ? h(C.Text, { fontSize: "sm", color: "fg.muted" }, note) : null,
  );
}
