// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// What all pages are made of: elements, links, badges, times, states, and the table.
//
// Every text of the API can come from any sender. ``h`` puts it into the document as text, with what cannot be seen shown
// as an escape; no page makes an element in another way.

import { logIn } from "./api.js";
import { countOf, escapeInvisible, findZone, formatRelative, formatTime, toWords } from "./format.js";
import { OUTCOME_MEANINGS, OUTCOME_SHAPES, OUTCOMES } from "./outcomes.js";
import { Styles } from "./style.js";

const { Component, createElement, useEffect, useLayoutEffect, useRef, useState } = globalThis.React;
const { Link, useSearchParams } = globalThis.ReactRouterDOM;
/** The components of Chakra UI, with the theme of Airflow. */
export const C = globalThis.ChakraUI;

/**
 * @typedef {object} Column
 * @property {any} title
 * @property {string} [key] where the title is not a text
 * @property {(row: any) => any} render
 * @property {string} [hideBelow] the width of the table that the column needs: "sm", "md", "lg", "xl"
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
 * @param {{to: string, id?: string, state?: object, onClick?: () => void}} props
 */
export function AppLink({ children, ...props }) {
  return h(Link, { className: "shp-link", ...props }, children);
}

/** A text of the API: it does not change the direction of what is around it, and breaks or is cut where it must. */
export function Value({ children, isCode = false, isCut = false }) {
  const className = `shp-value${isCode ? " shp-code" : ""}${isCut ? " shp-cut" : ""}`;
  return h("bdi", { className, title: isCut ? String(children) : undefined }, children);
}

/** What only screen readers read. */
export function Hidden({ children, ...props }) {
  return h("span", { className: "shp-hidden", ...props }, children);
}

/** A remark next to what matters. @param {{isBlock?: boolean, className?: string}} props */
export function Quiet({ children, isBlock = false, className = "", ...props }) {
  return h("span", { className: `shp-quiet ${isBlock ? "shp-block " : ""}${className}`, ...props }, children);
}

/** @param {{outcome: string, size?: number}} props */
export function OutcomeIcon({ outcome, size = 12 }) {
  const line = { stroke: "currentColor", strokeWidth: 2, strokeLinecap: "round", strokeLinejoin: "round" };
  const shape = h("path", {
    d: OUTCOME_SHAPES[OUTCOMES.includes(outcome) ? outcome : "unknown"],
    fill: "none",
    ...line,
  });
  return h("svg", { viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": true }, shape);
}

/** @param {{outcome: string}} props */
export function OutcomeBadge({ outcome }) {
  if (!OUTCOMES.includes(outcome)) return h("span", { className: "shp-badge" }, outcome);
  const look = { className: `shp-badge shp-${outcome}`, title: OUTCOME_MEANINGS[outcome] };
  return h("span", look, h(OutcomeIcon, { outcome }), toWords(outcome));
}

/** @param {{time: string | null, isShort?: boolean}} props without isShort also how long ago it was */
export function Time({ time, isShort = false }) {
  if (!time) return null;
  const zone = findZone();
  const absolute = formatTime(time, zone);
  const shown = h("time", { dateTime: time, title: `${absolute} ${zone}` }, absolute);
  if (isShort) return shown;
  return h("span", null, shown, h(Quiet, { isBlock: true }, formatRelative(time, Date.now())));
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
  const look = { type: "button", className: "shp-button", "aria-label": `Copy ${label}` };
  const button = h("button", { ...look, onClick: copy }, "Copy");
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
  const heading = h(C.Text, { fontWeight: "semibold" }, title);
  return h(
    C.VStack,
    { p: 8, gap: 2, textAlign: "center", role: "status" },
    heading,
    h(C.Box, { color: "fg.muted" }, children),
  );
}

const ERRORS = {
  0: [
    "Airflow's API server cannot be reached",
    "Check your network connection and that the API server runs, then try again.",
  ],
  400: ["The request was refused", "Change the filters, or remove them."],
  401: ["Your session has ended", "Log in again; you come back to this page."],
  403: ["Your role does not allow this", "An administrator can change that in Airflow's security settings."],
  404: ["Not found", "It may have been deleted, or belong to a Dag that you may not see."],
  409: ["Refused", "Look at the deliveries again, then decide."],
  422: ["The request was refused", "Change the filters, or remove them."],
  502: ["The platform cannot be read now", "Check the connection of its registry, then try again."],
  503: [
    "The deliveries cannot be read now",
    "The database of the ledger does not answer. Try again; if it stays so, an administrator can run: airflow service-hooks ledger check",
  ],
};

/**
 * What went wrong, and what to do.
 * @param {{error: any, onRetry?: () => void}} props
 */
export function ErrorMessage({ error, onRetry }) {
  const status = error.status ?? -1;
  const [title, advice] = ERRORS[status] ?? [
    "Something went wrong",
    "Try again. If it stays so, the log of the API server says why.",
  ];
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
  const content = h(C.Alert.Content, { className: "shp-notice", color: "fg", minW: 0 }, children);
  return h(C.Alert.Root, { status, ...props }, h(C.Alert.Indicator), content);
}

/** The limits of what the API can answer. @param {{notes: string[]}} props */
export function Notes({ notes }) {
  return notes.map((note) => h(Notice, { status: "info", key: note }, note));
}

/**
 * A table that scrolls in itself where the window is narrow.
 * @param {{caption: string, columns: Column[], rows: any[], getKey: (row: any) => any, isBusy?: boolean, id?: string}} props
 */
export function DataTable({ caption, columns, rows, getKey, isBusy = false, id }) {
  const head = h("tr", null, columns.map(makeHeader));
  const body = rows.map((row) =>
    h(
      "tr",
      { key: getKey(row) },
      columns.map((column) => makeCell(column, row)),
    ),
  );
  const look = { className: "shp-table", "aria-label": caption, "aria-busy": isBusy };
  const table = h("table", look, h("thead", null, head), h("tbody", null, body));
  return h("div", { id, className: "shp-scroll", tabIndex: 0, role: "region", "aria-label": caption }, table);
}

function makeHeader({ title, key = title, hideBelow, isTitleHidden }) {
  const text = isTitleHidden ? h(Hidden, null, title) : title;
  return h("th", { key, scope: "col", className: hideBelow && `shp-below-${hideBelow}` }, text);
}

function makeCell({ title, key = title, hideBelow, isRowHeader, render }, row) {
  const className = hideBelow && `shp-below-${hideBelow}`;
  return h(isRowHeader ? "th" : "td", { key, scope: isRowHeader ? "row" : undefined, className }, render(row));
}

/** What had the focus when a page disappeared. */
let lostFocus = { id: "", at: 0 };
const FOCUS_MS = 1000;

/**
 * Keep the focus where it is when Airflow makes the page a second time: it does so at the first change of the URL.
 * An element that can have the focus then needs an id.
 */
function useStableFocus() {
  useLayoutEffect(() => {
    if (performance.now() - lostFocus.at < FOCUS_MS) document.getElementById(lostFocus.id)?.focus();
    return () => {
      lostFocus = { id: document.activeElement?.id ?? "", at: performance.now() };
    };
  }, []);
}

/** Shows an error in place of a page that cannot be made from what the API answered. */
class Boundary extends Component {
  constructor(props) {
    super(props);
    this.state = { error: null };
  }

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    if (this.state.error === null) return this.props.children;
    return h(ErrorMessage, { error: this.state.error, onRetry: () => this.setState({ error: null }) });
  }
}

/**
 * A page with its title. In a tab the title is that of the tab, so only screen readers read it.
 * @param {{title: string, isTab?: boolean, actions?: any, back?: any}} props with back, a link to the
 * page above it, its title gets the focus
 */
export function Page({ title, isTab = false, actions, back, children }) {
  const ref = useRef(null);
  useStableFocus();
  useEffect(() => {
    if (back) ref.current.focus();
  }, []);
  const heading = h(C.Heading, { as: "h1", size: "md", ref, tabIndex: -1, outline: "none" }, title);
  const side = { justify: isTab ? "end" : "space-between", align: "center", wrap: "wrap", gap: 2 };
  const bar = h(C.Flex, side, isTab ? h(C.VisuallyHidden, null, heading) : heading, actions);
  const stack = { className: "shp-page", align: "stretch", gap: 4, p: 2, minW: 0 };
  return h(C.VStack, stack, h(Styles), back, bar, h(Boundary, null, children));
}

/** A part of a page. @param {{title: string, id: string}} props */
export function Section({ title, id, children }) {
  const box = { as: "section", "aria-labelledby": id, borderWidth: 1, borderRadius: "md", p: 4, minW: 0 };
  return h(C.Box, box, h(C.Heading, { as: "h2", size: "sm", id, mb: 3 }, title), children);
}

/** A list of names and values; those without a value are left out. @param {{facts: [string, any][]}} props */
export function Facts({ facts }) {
  const shown = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const grid = {
    as: "dl",
    templateColumns: { base: "1fr", md: "minmax(8rem, 12rem) minmax(0, 1fr)" },
    gapX: 4,
    gapY: 1,
  };
  const name = { as: "dt", color: "fg.muted", fontSize: "sm", overflowWrap: "anywhere" };
  const pair = ([title, value], index) => [
    h(C.Box, { ...name, key: `name-${index}` }, title),
    h(C.Box, { as: "dd", key: `value-${index}`, fontSize: "sm", minW: 0, overflowWrap: "anywhere" }, value),
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
