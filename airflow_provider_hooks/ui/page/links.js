// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// Paths of pages of Airflow's user interface. Its router adds the path of [api] base_url.

import { joinPath } from "./api.js";

export const DELIVERIES_PATH = "/plugin/webhook-deliveries";
export const ENDPOINTS_PATH = "/plugin/webhook-endpoints";

/** @param {{dag_id: string}} one */
export function dagPath(one) {
  return `/dags/${joinPath(one.dag_id)}`;
}

/** @param {{dag_id: string, run_id: string}} one */
export function runPath(one) {
  return `${dagPath(one)}/runs/${joinPath(one.run_id)}`;
}

/** @param {{dag_id: string, run_id: string, task_id: string, map_index: number | null}} one */
export function taskPath(one) {
  const mapped = (one.map_index ?? -1) < 0 ? "" : `/mapped/${one.map_index}`;
  return `${runPath(one)}/tasks/${joinPath(one.task_id)}${mapped}`;
}

/**
 * Return a path of the API as one of Airflow's router, or null if it is none.
 * @param {string | null} path relative to the base, such as "dags/orders/runs/manual"
 */
export function toAppPath(path) {
  const isPlain = typeof path === "string" && /^dags\/[^?#\\]+$/.test(path) && !path.includes("//");
  return isPlain && !path.split("/").some((part) => part === "." || part === "..") ? `/${path}` : null;
}
