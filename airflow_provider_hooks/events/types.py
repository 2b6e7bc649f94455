# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The names of the events, as Sentry documents them for service hooks."""

from __future__ import annotations

EVENT_CREATED = "event.created"
EVENT_ALERT = "event.alert"
EVENT_TYPES = (EVENT_CREATED, EVENT_ALERT)

LEVELS = ("fatal", "error", "warning", "info", "debug")
"""The levels of an event (Sentry's developer documentation, event payloads)."""
