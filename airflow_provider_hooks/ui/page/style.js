// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// Styles of what a table has hundreds of. Chakra UI computes the style of each of its elements, which takes longer than
// the API does; these use its colors and sizes, so that they follow the theme of Airflow.

import { OUTCOME_COLORS } from "./outcomes.js";

const { createElement } = globalThis.React;
const { Global } = globalThis.EmotionReact;

const BADGES = Object.entries(OUTCOME_COLORS)
  .map(
    ([outcome, color]) =>
      `.shp-${outcome} { background: var(--chakra-colors-${color}-subtle); color: var(--chakra-colors-${color}-fg); }`,
  )
  .join("\n");

const STYLES = `
.shp-table { width: 100%; border-collapse: collapse; font-size: var(--chakra-font-sizes-sm); text-align: start; }
.shp-table[aria-busy="true"] { opacity: 0.6; }
.shp-table th, .shp-table td { padding: 0.375rem 0.5rem; text-align: start; vertical-align: top; font-weight: normal; border-bottom: 1px solid var(--chakra-colors-border); }
.shp-table thead th { font-weight: var(--chakra-font-weights-medium); white-space: nowrap; }
.shp-table tbody tr:nth-of-type(odd) { background: var(--chakra-colors-bg-muted); }
.shp-table time { white-space: nowrap; }
.shp-scroll { position: relative; container-type: inline-size; overflow-x: auto; min-width: 0; }
.shp-quiet { color: var(--chakra-colors-fg-muted); font-size: var(--chakra-font-sizes-xs); }
.shp-code { font-family: var(--chakra-fonts-mono); font-size: var(--chakra-font-sizes-xs); }
.shp-value { overflow-wrap: anywhere; }
.shp-cut { display: block; max-width: 16rem; overflow: hidden; text-align: match-parent; text-overflow: ellipsis; white-space: nowrap; }
.shp-hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.shp-block { display: block; }
.shp-link { color: var(--chakra-colors-fg-info); overflow-wrap: anywhere; border-radius: 2px; }
.shp-link:hover { text-decoration: underline; }
.shp-link .shp-cut { display: inline-block; vertical-align: bottom; }
.shp-notice .shp-quiet, .shp-notice .shp-link { color: inherit; }
.shp-notice .shp-link { text-decoration: underline; }
.shp-badge { display: inline-flex; align-items: center; gap: 0.25rem; padding: 0.125rem 0.5rem; border-radius: 1rem; font-size: var(--chakra-font-sizes-xs); font-weight: var(--chakra-font-weights-medium); line-height: 1.25; white-space: nowrap; background: var(--chakra-colors-gray-subtle); color: var(--chakra-colors-gray-fg); }
.shp-button { padding: 0.125rem 0.5rem; border: 1px solid var(--chakra-colors-border-emphasized); border-radius: var(--chakra-radii-sm); font-size: var(--chakra-font-sizes-xs); cursor: pointer; }
.shp-button:hover { background: var(--chakra-colors-bg-emphasized); }
.shp-summary { display: list-item; width: fit-content; cursor: pointer; font-size: var(--chakra-font-sizes-sm); color: var(--chakra-colors-fg-muted); }
.shp-check { width: 1rem; height: 1rem; margin-top: 0.125rem; accent-color: var(--chakra-colors-brand-solid, auto); cursor: pointer; }
.shp-link:focus-visible, .shp-button:focus-visible, .shp-check:focus-visible, .shp-scroll:focus-visible, .shp-summary:focus-visible { outline: 2px solid var(--chakra-colors-fg-info); outline-offset: 1px; }
@container (max-width: 61.99rem) { .shp-table time { display: inline-block; min-width: 5.75rem; white-space: normal; } .shp-below-xl { display: none; } .shp-cut { max-width: 9rem; } }
@container (max-width: 51.99rem) { .shp-below-lg { display: none; } }
@container (max-width: 41.99rem) { .shp-below-md { display: none; } .shp-cut { max-width: 11rem; } .shp-table time { white-space: nowrap; } }
@container (max-width: 29.99rem) { .shp-below-sm { display: none; } }
@container (min-width: 42rem) { .shp-block.shp-from-md { display: none; } }
${BADGES}
`;

/** The styles of the classes whose names begin with "shp-". */
export function Styles() {
  return createElement(Global, { styles: STYLES });
}
