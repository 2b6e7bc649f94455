// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// Texts, times and numbers as the pages show them. Nothing here needs a browser.

const INVISIBLE = /[\p{C}\p{Z}]/gu;
const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
const MAX_DEPTH = 50;
const MINUTE = 60_000;
const UNITS = [
  ["year", 365 * 24 * 60 * MINUTE],
  ["month", 30 * 24 * 60 * MINUTE],
  ["day", 24 * 60 * MINUTE],
  ["hour", 60 * MINUTE],
  ["minute", MINUTE],
  ["second", 1000],
];
const CLOCK = { dateStyle: "short", timeStyle: "medium" };
const clocks = new Map();
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const NUMBER = new Intl.NumberFormat("en");

/**
 * Show what cannot be seen, such as control characters and those that change the direction of a text, as an escape.
 * @param {string} text
 */
export function escapeInvisible(text) {
  return text.replace(INVISIBLE, (one) => (one === " " || one === "\n" || one === "\t" ? one : escapeCharacter(one)));
}

function escapeCharacter(character) {
  const code = character.codePointAt(0).toString(16);
  return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
}

/**
 * Return the body of a request or a response for reading. JSON is indented, and its numbers and keys stay as they were
 * sent, which they would not if it were parsed and written again.
 * @param {string} text
 */
export function formatBody(text) {
  try {
    JSON.parse(text);
  } catch {
    return text.replaceAll("\r\n", "\n");
  }
  return indentJson(text) ?? text;
}

function indentJson(text) {
  let depth = 0;
  let indented = "";
  let before = "";
  for (const [token] of text.matchAll(JSON_TOKEN)) {
    const isEnd = token === "}" || token === "]";
    if (isEnd) depth -= 1;
    const isOpen = before === "{" || before === "[";
    if (isEnd ? !isOpen : isOpen || before === ",") indented += `\n${"  ".repeat(depth)}`;
    indented += token === ":" ? ": " : token;
    if (token === "{" || token === "[") depth += 1;
    if (depth > MAX_DEPTH) return null;
    before = token;
  }
  return indented;
}

/**
 * Return what a table has under a name that can be any text; the properties that each object has do not count.
 * @param {Record<string, any>} table
 * @param {string} name
 */
export function lookUp(table, name) {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** @param {string} name such as "not_sent" or "first_byte" */
export function toWords(name) {
  return name.replaceAll("_", " ");
}

/**
 * @param {number} count
 * @param {string} singular
 * @param {string} [plural]
 */
export function countOf(count, singular, plural = `${singular}s`) {
  return `${formatNumber(count)} ${count === 1 ? singular : plural}`;
}

/** @param {number} number */
export function formatNumber(number) {
  return NUMBER.format(number);
}

/** @param {number | null | undefined} milliseconds */
export function formatDuration(milliseconds) {
  if (typeof milliseconds !== "number") return null;
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 2 * MINUTE) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${Math.floor(milliseconds / MINUTE)} min ${Math.round((milliseconds % MINUTE) / 1000)} s`;
}

/**
 * @param {string} time ISO 8601
 * @param {number} now milliseconds
 */
export function formatRelative(time, now) {
  const passed = Date.parse(time) - now;
  if (Number.isNaN(passed)) return "";
  const [unit, size] = UNITS.find(([, one]) => Math.abs(passed) >= one) ?? UNITS.at(-1);
  return RELATIVE.format(Math.round(passed / size), unit);
}

/**
 * Return a time as Airflow's own pages show it.
 * @param {string} time ISO 8601
 * @param {string} zone such as "Europe/Berlin"
 */
export function formatTime(time, zone) {
  const milliseconds = Date.parse(time);
  return Number.isNaN(milliseconds) ? time : formatInZone(milliseconds, zone).replace(" ", ", ");
}

/**
 * @param {number} milliseconds
 * @param {string} zone
 * @returns {string} such as "2026-11-26 13:00:00"
 */
export function formatInZone(milliseconds, zone) {
  // The form of Sweden is that of ISO 8601.
  if (!clocks.has(zone)) clocks.set(zone, new Intl.DateTimeFormat("sv-SE", { ...CLOCK, timeZone: zone }));
  return clocks.get(zone).format(milliseconds);
}

/**
 * Return the instant that a clock of a time zone shows.
 * @param {string} local such as "2026-11-26T13:00"
 * @param {string} zone
 * @returns {string | null} ISO 8601, UTC
 */
export function parseInZone(local, zone) {
  const wanted = Date.parse(`${local}Z`);
  if (Number.isNaN(wanted)) return null;
  let guess = wanted;
  for (let round = 0; round < 2; round += 1) {
    guess += wanted - Date.parse(`${formatInZone(guess, zone).replace(" ", "T")}Z`);
  }
  return new Date(guess).toISOString();
}

/** @returns {string} the time zone that the user chose in Airflow, else that of the browser */
export function findZone() {
  try {
    const chosen = JSON.parse(globalThis.localStorage.getItem("timezone"));
    formatInZone(0, chosen);
    return chosen ?? browserZone();
  } catch {
    return browserZone();
  }
}

function browserZone() {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
