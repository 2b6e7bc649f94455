// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// A small chart of the deliveries to an endpoint: those that were delivered above a line, those that failed below it.

import { h } from "./common.js";
import { countOf, findZone, formatTime } from "./format.js";

const { useId } = globalThis.React;

const STEP = 6;
const BAR = 5;
const HALF = 16;

/** @param {{one: import("./endpoints.js").Endpoint}} props */
export function Chart({ one }) {
  const id = useId();
  const { buckets } = one;
  const max = Math.max(1, ...buckets.flatMap(({ delivered, failed }) => [delivered, failed]));
  const width = Math.max(1, buckets.length) * STEP;
  const svg = {
    role: "img",
    "aria-labelledby": `${id}-title ${id}-desc`,
    viewBox: `0 0 ${width} ${2 * HALF + 1}`,
    width,
    height: 2 * HALF + 1,
  };
  return h(
    "svg",
    svg,
    h("title", { id: `${id}-title` }, `Deliveries to ${one.endpoint} over time`),
    h("desc", { id: `${id}-desc` }, describe(one)),
    h("rect", { x: 0, y: HALF, width, height: 1, fill: "currentColor", opacity: 0.4 }),
    buckets.flatMap((bucket, index) => makeBars(bucket, index, max)),
  );
}

function makeBars({ begins_at: begins, delivered, failed }, index, max) {
  const label = `${formatTime(begins, findZone())}: ${delivered} delivered, ${failed} failed`;
  const place = { x: index * STEP, width: BAR };
  const above = scale(delivered, max);
  const below = scale(failed, max);
  const bars = [
    h("rect", { ...place, key: "target", y: 0, height: 2 * HALF + 1, fill: "transparent" }),
    h("rect", { ...place, key: "delivered", y: HALF - above, height: above, fill: "var(--chakra-colors-green-solid)" }),
    h("rect", { ...place, key: "failed", y: HALF + 1, height: below, fill: "var(--chakra-colors-red-solid)" }),
  ];
  return h("g", { key: begins }, h("title", null, label), bars);
}

/** A count that is not 0 is always seen. */
function scale(count, max) {
  return count === 0 ? 0 : Math.max(1.5, (HALF * count) / max);
}

function describe({ buckets, delivered, deliveries }) {
  const worst = buckets.reduce((one, other) => (other.failed > one.failed ? other : one), { failed: 0 });
  const counts = `${countOf(delivered, "delivery", "deliveries")} of ${deliveries} delivered.`;
  const most =
    worst.failed > 0
      ? ` Most failures, ${worst.failed}, after ${formatTime(worst.begins_at, findZone())}.`
      : " No failures.";
  return counts + most;
}
