// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// What all pages are made of: elements, links, badges, times, states, and the table.
//
// Every text of the API can come from any sender. ``h`` puts it into the document as text, with what cannot be seen shown
// as an escape; no page makes an element in another way.

import { logIn } from "./api.js";
import { countOf, escapeInvisible, findZone, formatRelative, formatTime, toWords } from "./format.js";

const { createElement, useEffect, useRef, useState } = globalThis.React;
const { Link, useSearchParams } = globalThis.ReactRouterDOM;
/** The components of Chakra UI, with the theme of Airflow. */
export const C = globalThis.ChakraUI;

/**
 * @typedef {object} Column
 * @property {any} title
 * @property {string} [key] where the title is no text
 * @property {(row: any) => any} render
 * @property {string} [hideBelow] the width of the window that the column needs: "sm", "md", "lg", "xl"
 * @property {boolean} [isRowHeader] whether its cell names the row
 * @property {boolean} [isTitleHidden] whether only screen readers read the title
 */

const TEXT_PROPS = ["aria-label", "title", "placeholder"];

/**
 * Make an element.
 * @param {any} type the name of an HTML element, or a component
 * @param {object | null} [props]
 * @param {...any} children
 */
export function h(type, props, ...children) {
  const safe = { ...props };
  for (const name of TEXT_PROPS) if (typeof safe[name] === "string") safe[name] = escapeInvisible(safe[name]);
  return createElement(type, safe, ...children.map(clean));
}

function clean(child) {
  if (Array.isArray(child)) return child.map(clean);
  return typeof child === "string" ? escapeInvisible(child) : child;
}

/**
 * Return the parameters of the URL, and a function that returns a link with some of them changed; null removes one.
 * @returns {[URLSearchParams, (changes: Record<string, unknown>) => string, (changes: object, options?: object) => void]}
 */
export function useQuery() {
  const [params, setParams] = useSearchParams();
  const link = (changes) => `?${changeParams(params, changes)}`;
  const change = (changes, options) => setParams(changeParams(params, changes), options);
  return [params, link, change];
}

function changeParams(params, changes) {
  const changed = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    changed.delete(name);
    for (const one of [value].flat()) if (one !== null && one !== "") changed.append(name, String(one));
  }
  return changed;
}

/**
 * A link to another page of Airflow.
 * @param {{to: string, id?: string, [prop: string]: unknown}} props
 */
export function AppLink({ to, children, id, state, ...props }) {
  return h(C.Link, { asChild: true, color: "fg.info", overflowWrap: "anywhere", ...props }, h(Link, { to, id, state }, children));
}

/** A text of the API: it does not change the direction of what is around it, and breaks where it must. */
export function Value({ children, isCode = false, isCut = false }) {
  const cut = isCut ? { display: "block", maxW: "16rem", truncate: true, title: String(children) } : {};
  const font = isCode ? { fontFamily: "mono", fontSize: "xs" } : {};
  return h(C.Text, { as: "bdi", overflowWrap: "anywhere", ...cut, ...font }, children);
}

/** What only screen readers read. */
export function Hidden({ children, ...props }) {
  return h(C.VisuallyHidden, props, children);
}

const SHAPES = {
  delivered: "M3 8.5l3.2 3.2L13 5",
  rejected: "M4 4l8 8M12 4l-8 8",
  not_sent: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2zM3.8 12.2l8.4-8.4",
  unknown: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.6 8 9 8 10M8 13v.1",
  claimed: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2zM8 5v3.2l2 1.3",
};
export const OUTCOMES = Object.keys(SHAPES);
export const OUTCOME_COLORS = {
  delivered: "green",
  rejected: "red",
  not_sent: "orange",
  unknown: "purple",
  claimed: "cyan",
};
const MEANINGS = {
  delivered: "A 2xx response arrived.",
  rejected: "A response other than 2xx arrived.",
  not_sent: "No byte of the request was received.",
  unknown: "The request may have been received; no response arrived.",
  claimed: "It has no outcome: it is being sent, or its process ended.",
};

/** @param {{outcome: string}} props */
export function OutcomeIcon({ outcome }) {
  const stroke = { fill: "none", stroke: "currentColor", strokeWidth: 2, strokeLinecap: "round", strokeLinejoin: "round" };
  const shape = h("path", { d: SHAPES[outcome] ?? SHAPES.unknown });
  return h("svg", { viewBox: "0 0 16 16", width: 12, height: 12, "aria-hidden": true, ...stroke }, shape);
}

/** @param {{outcome: string}} props */
export function OutcomeBadge({ outcome }) {
  const color = OUTCOME_COLORS[outcome] ?? "gray";
  const look = { colorPalette: color, variant: "subtle", borderRadius: "full", px: 2, py: 0.5, gap: 1, fontSize: "xs" };
  return h(C.Badge, { ...look, title: MEANINGS[outcome], whiteSpace: "nowrap" }, h(OutcomeIcon, { outcome }), toWords(outcome));
}

/** @param {{time: string | null, isShort?: boolean}} props without isShort also how long ago it was */
export function Time({ time, isShort = false }) {
  if (!time) return null;
  const zone = findZone();
  const absolute = formatTime(time, zone);
  const relative = formatRelative(time, Date.now());
  const text = h("time", { dateTime: time, title: `${absolute} ${zone}` }, absolute);
  if (isShort) return text;
  return h(C.Box, { as: "span", display: "block" }, text, h(Quiet, { display: "block" }, relative));
}

/** A remark next to what matters. */
export function Quiet({ children, ...props }) {
  return h(C.Text, { as: "span", color: "fg.muted", fontSize: "xs", ...props }, children);
}

/** @param {{text: string, label: string}} props */
export function CopyButton({ text, label }) {
  const [result, setResult] = useState("");
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => setResult("Copied"),
      () => setResult("Not copied: select the text"),
    );
  useEffect(() => {
    const timer = setTimeout(() => setResult(""), 3000);
    return () => clearTimeout(timer);
  }, [result]);
  const button = h(C.Button, { size: "2xs", variant: "outline", "aria-label": `Copy ${label}`, onClick: copy }, "Copy");
  return h(C.HStack, { as: "span", display: "inline-flex", gap: 1 }, button, h(Quiet, { role: "status" }, result));
}

/** A command for a terminal. @param {{command: string}} props */
export function Command({ command }) {
  const code = h(C.Code, { display: "block", flex: 1, p: 2, overflowWrap: "anywhere" }, command);
  return h(C.HStack, { gap: 2, maxW: "48rem" }, code, h(CopyButton, { text: command, label: "the command" }));
}

/** @param {{label: string}} props */
export function Loading({ label }) {
  return h(C.HStack, { p: 4, role: "status" }, h(C.Spinner, { size: "sm" }), h(C.Text, null, label));
}

/** @param {{title: string}} props the children say what to do */
export function Empty({ title, children }) {
  const heading = h(C.Heading, { as: "h3", size: "sm" }, title);
  return h(C.VStack, { p: 8, gap: 2, textAlign: "center", role: "status" }, heading, h(C.Box, { color: "fg.muted" }, children));
}

const ERRORS = {
  0: ["Airflow's API server cannot be reached", "Check your network connection and that the API server runs, then try again."],
  401: ["Your session has ended", "Log in again; you come back to this page."],
  403: ["Your role does not allow this", "An administrator can change that in Airflow's security settings."],
  404: ["Not found", "It may have been deleted, or belong to a Dag that you may not see."],
  409: ["Nothing was changed", "Something has changed meanwhile. Load the page again, then decide."],
  503: ["The deliveries cannot be read now", "The database of the ledger does not answer. Try again; if it stays so, an administrator can run: airflow service-hooks ledger check"],
};

/**
 * What went wrong, and what to do.
 * @param {{error: any, onRetry?: () => void}} props
 */
export function ErrorMessage({ error, onRetry }) {
  const status = error.status ?? -1;
  const [title, advice] = ERRORS[status] ?? ["Something went wrong", "Try again. If it stays so, the log of the API server says why."];
  const detail = error.message ? h(C.Text, { whiteSpace: "pre-wrap", overflowWrap: "anywhere" }, error.message) : null;
  const button = { size: "sm", variant: "outline", mt: 2, colorPalette: "gray" };
  const action =
    status === 401
      ? h(C.Button, { ...button, onClick: logIn }, "Log in")
      : onRetry && h(C.Button, { ...button, onClick: onRetry }, "Try again");
  const body = h(C.Alert.Description, null, detail, h(C.Text, null, advice), action);
  const code = status > 0 ? ` (HTTP ${status})` : "";
  return h(Notice, { status: "error", role: "alert" }, h(C.Alert.Title, null, title + code), body);
}

/** @param {{status: "info" | "success" | "warning" | "error", role?: string}} props */
export function Notice({ status, children, ...props }) {
  const content = h(C.Alert.Content, { color: "fg", minW: 0 }, children);
  return h(C.Alert.Root, { status, ...props }, h(C.Alert.Indicator), content);
}

/** The limits of what the API can answer. @param {{notes: string[]}} props */
export function Notes({ notes }) {
  return notes.map((note) => h(Notice, { status: "info", key: note }, note));
}

/**
 * A table that scrolls in itself where the window is narrow.
 * @param {{caption: string, columns: Column[], rows: any[], getKey: (row: any) => any, isBusy?: boolean}} props
 */
export function DataTable({ caption, columns, rows, getKey, isBusy = false }) {
  const head = h(C.Table.Row, null, columns.map(makeHeader));
  const body = rows.map((row) => h(C.Table.Row, { key: getKey(row) }, columns.map((column) => makeCell(column, row))));
  const table = h(
    C.Table.Root,
    { size: "sm", striped: true, "aria-label": caption, "aria-busy": isBusy, opacity: isBusy ? 0.6 : 1 },
    h(C.Table.Header, null, head),
    h(C.Table.Body, null, body),
  );
  return h(C.Box, { overflowX: "auto", tabIndex: 0, role: "region", "aria-label": caption }, table);
}

function makeHeader({ title, key = title, hideBelow, isTitleHidden }) {
  const text = isTitleHidden ? h(Hidden, null, title) : title;
  return h(C.Table.ColumnHeader, { key, scope: "col", hideBelow, whiteSpace: "nowrap" }, text);
}

function makeCell({ title, key = title, hideBelow, isRowHeader, render }, row) {
  const header = isRowHeader ? { as: "th", scope: "row", fontWeight: "normal", textAlign: "start" } : {};
  return h(C.Table.Cell, { key, hideBelow, verticalAlign: "top", ...header }, render(row));
}

/**
 * A page with its title. In a tab the title is that of the tab, so only screen readers read it.
 * @param {{title: string, isTab?: boolean, actions?: any}} props
 */
export function Page({ title, isTab = false, actions, children }) {
  const heading = h(C.Heading, { as: "h1", size: "md" }, title);
  const bar = h(C.Flex, { justify: "space-between", align: "center", wrap: "wrap", gap: 2 }, heading, actions);
  return h(C.VStack, { align: "stretch", gap: 4, p: 2, minW: 0 }, isTab ? h(Hidden, null, heading) : bar, children);
}

/** A part of a page. @param {{title: string, id: string}} props */
export function Section({ title, id, children }) {
  const box = { as: "section", "aria-labelledby": id, borderWidth: 1, borderRadius: "md", p: 4, minW: 0 };
  return h(C.Box, box, h(C.Heading, { as: "h2", size: "sm", id, mb: 3 }, title), children);
}

/** A list of names and values; those without a value are left out. @param {{facts: [string, any][]}} props */
export function Facts({ facts }) {
  const shown = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const grid = { as: "dl", templateColumns: { base: "1fr", md: "minmax(8rem, 12rem) minmax(0, 1fr)" }, gapX: 4, gapY: 1 };
  const name = { as: "dt", color: "fg.muted", fontSize: "sm", overflowWrap: "anywhere" };
  const pair = ([title, value], index) => [
    h(C.Box, { ...name, key: `name-${index}` }, title),
    h(C.Box, { as: "dd", key: `value-${index}`, minW: 0, overflowWrap: "anywhere" }, value),
  ];
  return h(C.Grid, grid, shown.flatMap(pair));
}

/** A text of any length and number of lines. @param {{label: string, text: string}} props */
export function TextBlock({ label, text }) {
  const box = { as: "pre", p: 3, maxH: "24rem", overflow: "auto", whiteSpace: "pre-wrap", overflowWrap: "anywhere" };
  const look = { bg: "bg.muted", borderRadius: "md", fontFamily: "mono", fontSize: "xs" };
  return h(C.Box, { ...box, ...look, tabIndex: 0, role: "region", "aria-label": label }, text);
}

/** Say to screen readers how many rows are shown. @param {{isLoading: boolean, count: number, noun: string}} props */
export function Announcement({ isLoading, count, noun, plural }) {
  return h(Hidden, { role: "status" }, isLoading ? "Loading" : `${countOf(count, noun, plural)} shown`);
}

/** Return a ref whose element gets the focus when it appears. */
export function useFocus() {
  const ref = useRef(null);
  useEffect(() => ref.current?.focus(), []);
  return ref;
}
