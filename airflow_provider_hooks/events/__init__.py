# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The documented events: typed, validated builders, and the one place where a payload becomes bytes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_hooks.events.assets import events_from_assets
    from airflow_provider_hooks.events.builders import build_event_alert, build_event_created, extract_fields
    from airflow_provider_hooks.events.event import Event
    from airflow_provider_hooks.events.exceptions import event_from_exception
    from airflow_provider_hooks.events.format_base import DEFAULT_MAX_PAYLOAD_BYTES
    from airflow_provider_hooks.events.serialization import serialize
    from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED, EVENT_TYPES, EventFields

__all__ = [
    "DEFAULT_MAX_PAYLOAD_BYTES",
    "EVENT_ALERT",
    "EVENT_CREATED",
    "EVENT_TYPES",
    "Event",
    "EventFields",
    "build_event_alert",
    "build_event_created",
    "event_from_exception",
    "events_from_assets",
    "extract_fields",
    "serialize",
]

_MODULES = {
    "DEFAULT_MAX_PAYLOAD_BYTES": "format_base",
    "EVENT_ALERT": "types",
    "EVENT_CREATED": "types",
    "EVENT_TYPES": "types",
    "Event": "event",
    "EventFields": "types",
    "build_event_alert": "builders",
    "build_event_created": "builders",
    "event_from_exception": "exceptions",
    "events_from_assets": "assets",
    "extract_fields": "builders",
    "serialize": "serialization",
}
"""The module of each public name. They are imported when used: Airflow reads provider metadata in every process."""


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
