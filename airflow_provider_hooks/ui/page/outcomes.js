// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// The outcomes of a delivery, and how each looks.

export const OUTCOMES = ["delivered", "rejected", "not_sent", "unknown", "claimed"];
/** Those after which a user may want to send the event again. */
export const FAILED_OUTCOMES = ["rejected", "not_sent", "unknown"];
/** Names of palettes of Chakra UI. */
export const OUTCOME_COLORS = {
  delivered: "green",
  rejected: "red",
  not_sent: "orange",
  unknown: "purple",
  claimed: "cyan",
};
/** The path of an icon, in a square of 16. */
export const OUTCOME_SHAPES = {
  delivered: "M3 8.5l3.2 3.2L13 5",
  rejected: "M4 4l8 8M12 4l-8 8",
  not_sent: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2zM3.8 12.2l8.4-8.4",
  unknown: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.6 8 9 8 10M8 13v.1",
  claimed: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2zM8 5v3.2l2 1.3",
};
export const OUTCOME_MEANINGS = {
  delivered: "A 2xx response arrived.",
  rejected: "A response other than 2xx arrived.",
  not_sent: "No byte of the request was received.",
  unknown: "The request may have been received; no response arrived.",
  claimed: "It has no outcome: it is being sent, or its process ended.",
};
