# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The documented events as typed, validated builders, and the one place where a body becomes bytes."""

from airflow_provider_hooks.event_types import EVENT_ALERT, EVENT_CREATED, EVENT_TYPES
from airflow_provider_hooks.events.alert import EventAlert, build_event_alert
from airflow_provider_hooks.events.assets import events_from_assets
from airflow_provider_hooks.events.created import EventCreated, build_event_created
from airflow_provider_hooks.events.exceptions import event_from_exception
from airflow_provider_hooks.events.serialization import DEFAULT_MAX_PAYLOAD_BYTES, PayloadError, serialize
from airflow_provider_hooks.events.sources import read_fields

__all__ = [
    "DEFAULT_MAX_PAYLOAD_BYTES",
    "EVENT_ALERT",
    "EVENT_CREATED",
    "EVENT_TYPES",
    "EventAlert",
    "EventCreated",
    "PayloadError",
    "build_event_alert",
    "build_event_created",
    "event_from_exception",
    "events_from_assets",
    "read_fields",
    "serialize",
]
