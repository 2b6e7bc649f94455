// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// What a user can do with deliveries: the dialogs that send them again and mark them as received.

import { callApi, joinPath, useApi, withQuery } from "./api.js";
import { AppLink, C, Command, ErrorMessage, h, Loading, Notice, OutcomeBadge, Quiet, Value } from "./common.js";
import { countOf } from "./format.js";
import { taskPath } from "./links.js";

const { useEffect, useRef, useState } = globalThis.React;

/**
 * @typedef {import("./api.js").Delivery} Delivery
 *
 * @typedef {object} Clear the clear of one task instance
 * @property {string} dag_id
 * @property {string} run_id
 * @property {string} task_id
 * @property {number} map_index
 * @property {string} source
 * @property {number[]} deliveries
 * @property {Delivery[]} along what the task sends again too
 *
 * @typedef {object} Refusal
 * @property {number} id
 * @property {string} reason
 * @property {string | null} [command] what sends it again instead
 *
 * @typedef {object} Progress
 * @property {boolean} isRunning
 * @property {any[]} answers one for each Dag that was changed
 * @property {{dagId: string, error: any}[]} errors
 */

const NOT_STARTED = { isRunning: false, answers: null, errors: [] };

/**
 * Return why a delivery cannot be marked as received, or null. The server decides; this only leaves out what it refuses.
 * @param {Delivery} one
 */
export function explainNotMarked(one) {
  if (one.kind === "stream") return "is a stream, whose events have an outcome each";
  if (one.state === "settled") return "is marked already";
  if (one.outcome === "unknown" || one.outcome === "claimed") return null;
  if (one.outcome === "delivered") return "was delivered, so there is nothing to mark";
  if (one.outcome === "not_sent") return "was not sent, so the receiver does not have it";
  return "was rejected by the receiver";
}

/** Return a reason of the API, such as "is a stream" or "its task is running", as the end of a sentence. */
export function toClause(reason) {
  return /^(is|was|comes|does) /.test(reason) ? `it ${reason}` : reason;
}

/**
 * A dialog that says what will happen, and then what happened.
 * @param {object} props
 * @param {string} props.title
 * @param {string} props.verb of the button that confirms
 * @param {boolean} props.canConfirm
 * @param {Progress} props.progress
 * @param {(() => void) | null} props.onConfirm null if there is nothing to confirm
 * @param {() => void} props.onClose
 * @param {{current: HTMLElement | null}} [props.initialRef] what gets the focus; by default the button that cancels
 */
export function ActionDialog({ title, verb, canConfirm, progress, onConfirm, onClose, initialRef, children }) {
  const ref = useRef(null);
  const isDone = progress.answers !== null;
  useEffect(() => {
    if (isDone) ref.current?.focus();
  }, [isDone]);
  const cancel = { ref, variant: "outline", onClick: onClose, disabled: progress.isRunning };
  const run = { "aria-label": verb, disabled: !canConfirm, loading: progress.isRunning, onClick: onConfirm };
  const footer = [
    h(C.Button, { key: "cancel", ...cancel }, isDone ? "Close" : "Cancel"),
    isDone || !onConfirm ? null : h(C.Button, { key: "confirm", colorPalette: "brand", ...run }, verb),
  ];
  const content = h(
    C.Dialog.Content,
    null,
    h(C.Dialog.Header, null, h(C.Dialog.Title, null, title)),
    h(C.Dialog.Body, { "aria-live": "polite" }, h(C.VStack, { align: "stretch", gap: 4 }, children)),
    h(C.Dialog.Footer, null, footer),
  );
  const onOpenChange = ({ open }) => !open && !progress.isRunning && onClose();
  const look = {
    role: "alertdialog",
    scrollBehavior: "inside",
    size: "lg",
    initialFocusEl: () => (initialRef ?? ref).current,
  };
  return h(
    C.Dialog.Root,
    { open: true, onOpenChange, ...look },
    h(C.Portal, null, h(C.Dialog.Backdrop), h(C.Dialog.Positioner, { p: 2 }, content)),
  );
}

/**
 * Return the progress of an action, and what starts it. It calls a route once for each Dag, one after the other.
 * @param {() => void} [onDone] is called after the last one
 * @returns {[Progress, (route: string, bodies: Map<string, object>) => Promise<void>]}
 */
function useAction(onDone) {
  const [progress, setProgress] = useState(NOT_STARTED);
  const start = async (route, bodies) => {
    setProgress({ ...NOT_STARTED, isRunning: true });
    const answers = [];
    const errors = [];
    for (const [dagId, body] of bodies) {
      try {
        answers.push({ dagId, ...(await callApi(`dags/${joinPath(dagId)}/${route}`, { body })) });
      } catch (error) {
        errors.push({ dagId, error });
      }
    }
    setProgress({ isRunning: false, answers, errors });
    onDone?.();
  };
  return [progress, start];
}

function Failures({ errors }) {
  return errors.map(({ dagId, error }) =>
    h(C.Box, { key: dagId }, h(C.Text, { mb: 1 }, "Dag ", h(Value, null, dagId), ":"), h(ErrorMessage, { error })),
  );
}

/**
 * Send deliveries again.
 * @param {{deliveries: Delivery[], onDone?: () => void, onClose: (hasChanged: boolean) => void}} props
 */
export function ResendDialog({ deliveries, onDone, onClose }) {
  const plan = useApi(withQuery("resend-plan", { id: deliveries.map((one) => one.id) }));
  const [isAgreed, setAgreed] = useState(false);
  const [progress, start] = useAction(onDone);
  const clears = plan.data?.clears ?? [];
  const along = clears.flatMap((one) => one.along);
  const isDone = progress.answers !== null;
  const canConfirm = plan.data !== null && !plan.isLoading && clears.length > 0 && (along.length === 0 || isAgreed);
  const content = isDone
    ? h(ResendResult, { progress })
    : h(ResendPlan, { plan, clears, along, isAgreed, onAgree: setAgreed });
  const dialog = {
    title: `Resend ${countOf(deliveries.length, "delivery", "deliveries")}`,
    verb: "Resend",
    canConfirm,
    progress,
  };
  const onConfirm = plan.data !== null && clears.length === 0 ? null : () => start("resend", groupClears(clears));
  return h(ActionDialog, { ...dialog, onConfirm, onClose: () => onClose(isDone) }, content);
}

/** @param {Clear[]} clears */
function groupClears(clears) {
  const bodies = new Map();
  for (const one of clears) {
    const body = bodies.get(one.dag_id) ?? { ids: [], whole_task: false };
    const isWhole = body.whole_task || one.along.length > 0;
    bodies.set(one.dag_id, { ids: [...body.ids, ...one.deliveries], whole_task: isWhole });
  }
  return bodies;
}

function ResendPlan({ plan, clears, along, isAgreed, onAgree }) {
  if (plan.error) return h(ErrorMessage, { error: plan.error, onRetry: plan.reload });
  if (plan.data === null) return h(Loading, { label: "Looking up what a resend does…" });
  return [
    h(Clears, { key: "clears", clears }),
    h(Along, { key: "along", along, isAgreed, onAgree }),
    h(Refusals, { key: "refused", refused: plan.data.refused }),
  ];
}

function Clears({ clears }) {
  if (clears.length === 0) return h(Notice, { status: "warning" }, "None of these can be sent again from here.");
  const tasks = countOf(clears.length, "task instance");
  const many = clears.length > 1;
  const text = `${tasks} ${many ? "are" : "is"} cleared, nothing downstream. ${many ? "Each" : "It"} runs again and sends its deliveries with the same delivery ids, marked as redeliveries. Other work of the task is done again too.`;
  const items = clears.map((one) =>
    h(C.List.Item, { key: taskPath(one) }, h(Value, null, one.source), ` sends ${one.deliveries.join(", ")}`),
  );
  return h(C.Box, null, h(C.Text, { mb: 2 }, text), h(C.List.Root, { ps: 5 }, items));
}

function Along({ along, isAgreed, onAgree }) {
  if (along.length === 0) return null;
  const items = along.map((one) =>
    h(
      C.List.Item,
      { key: one.id },
      `${one.id}: `,
      h(Value, null, one.event_type ?? "no event type"),
      " to ",
      h(Value, null, one.endpoint ?? "an endpoint"),
      " ",
      h(OutcomeBadge, { outcome: one.outcome }),
    ),
  );
  const label = `Send ${along.length === 1 ? "this delivery" : `these ${along.length} deliveries`} again too`;
  const box = h(
    C.Checkbox.Root,
    { checked: isAgreed, onCheckedChange: ({ checked }) => onAgree(checked === true), mt: 2 },
    h(C.Checkbox.HiddenInput),
    h(C.Checkbox.Control),
    h(C.Checkbox.Label, null, label),
  );
  const title = h(C.Alert.Title, null, "The same tasks also send again, although you did not select them:");
  return h(Notice, { status: "warning" }, title, h(C.List.Root, { ps: 5 }, items), box);
}

/** @param {{refused: Refusal[]}} props */
function Refusals({ refused }) {
  if (refused.length === 0) return null;
  const items = refused.map(({ id, reason, command }) =>
    h(
      C.List.Item,
      { key: id, mb: 1 },
      `${id}: `,
      h(Value, null, toClause(reason)),
      command ? h(Command, { command }) : null,
    ),
  );
  const title = h(C.Text, { fontWeight: "semibold", mb: 1 }, "Left out:");
  return h(C.Box, null, title, h(C.List.Root, { ps: 5 }, items));
}

function ResendResult({ progress }) {
  const cleared = progress.answers.flatMap(({ dagId, cleared: tasks }) =>
    tasks.map((one) => ({ dag_id: dagId, ...one })),
  );
  const items = cleared.map((one) =>
    h(
      C.List.Item,
      { key: taskPath(one) },
      h(AppLink, { to: taskPath(one) }, `${one.dag_id}.${one.task_id}`),
      h(Quiet, null, ` sends ${one.deliveries.join(", ")}`),
    ),
  );
  const title = h(
    C.Alert.Title,
    null,
    `${countOf(cleared.length, "task instance")} cleared; the deliveries are sent when they run:`,
  );
  const done = cleared.length === 0 ? null : h(Notice, { status: "success" }, title, h(C.List.Root, { ps: 5 }, items));
  return [h(C.Box, { key: "done" }, done), h(Failures, { key: "failed", errors: progress.errors })];
}

/**
 * Mark deliveries as received.
 * @param {{deliveries: Delivery[], onDone?: () => void, onClose: (hasChanged: boolean) => void}} props
 */
export function MarkDialog({ deliveries, onDone, onClose }) {
  const [progress, start] = useAction(onDone);
  const chosen = deliveries.filter((one) => explainNotMarked(one) === null && one.dag_id !== null);
  const refused = deliveries.filter((one) => !chosen.includes(one)).map(refuseToMark);
  const isDone = progress.answers !== null;
  const content = isDone ? h(MarkResult, { progress }) : h(MarkPlan, { chosen, refused });
  const title = `Mark ${countOf(chosen.length, "delivery", "deliveries")} as received`;
  const dialog = { title, verb: "Mark as received", canConfirm: chosen.length > 0, progress };
  const onConfirm = chosen.length === 0 ? null : () => start("mark-received", groupMarks(chosen));
  return h(ActionDialog, { ...dialog, onConfirm, onClose: () => onClose(isDone) }, content);
}

/** @param {Delivery[]} chosen */
function groupMarks(chosen) {
  const bodies = new Map();
  for (const one of chosen) bodies.set(one.dag_id, { ids: [...(bodies.get(one.dag_id)?.ids ?? []), one.id] });
  return bodies;
}

/** @param {Delivery} one */
function refuseToMark(one) {
  const reason = explainNotMarked(one);
  if (reason !== null) return { id: one.id, reason };
  const command = `airflow service-hooks deliveries mark-delivered ${one.id}`;
  return { id: one.id, reason: `comes from a ${one.origin}, not from a Dag; run:`, command };
}

function MarkPlan({ chosen, refused }) {
  const ids = chosen.map((one) => one.id).join(", ");
  const text = `Only do this if the receiver has ${chosen.length === 1 ? "the event" : "the events"}. Nothing is sent now. The next retry or clear of the task sends nothing either, and succeeds.`;
  const plan = [
    h(C.Text, { mb: 2 }, text),
    h(C.Text, null, `${countOf(chosen.length, "delivery is", "deliveries are")} marked as received: ${ids}`),
  ];
  const none = h(Notice, { status: "warning" }, "None of these can be marked as received from here.");
  return [h(C.Box, { key: "plan" }, ...(chosen.length > 0 ? plan : [none])), h(Refusals, { key: "refused", refused })];
}

function MarkResult({ progress }) {
  const ids = progress.answers.flatMap((one) => one.marked);
  const done = ids.length === 0 ? null : h(Notice, { status: "success" }, `Marked as received: ${ids.join(", ")}`);
  return [h(C.Box, { key: "done" }, done), h(Failures, { key: "failed", errors: progress.errors })];
}
