# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The event types, as Sentry documents them for service hooks, and the types of what users give as an event."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict, get_args

from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EventType = Literal["event.created", "event.alert"]
Level = Literal["fatal", "error", "warning", "info", "debug"]
"""The levels of an event (Sentry's developer documentation, event payloads)."""

EVENT_CREATED: Literal["event.created"] = "event.created"
EVENT_ALERT: Literal["event.alert"] = "event.alert"
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
LEVELS: tuple[Level, ...] = get_args(Level)

_EVENT_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)

Payload: TypeAlias = "dict[str, object]"
"""The payload of an event: the documented names, in the documented order."""
Rules: TypeAlias = "list[str] | tuple[str, ...]"
"""The names of the rules that made an alert. A single string is not one of these."""
Tags: TypeAlias = "Mapping[str, str] | Sequence[tuple[str, str] | list[str]]"
"""Tags by name, or pairs of name and value."""


class EventFields(TypedDict, total=False):
    """
    The fields that both events have, as the builders, the operators, the decorator and the notifier take them.

    Example:

    ```python
    from airflow_provider_hooks.events import EventFields, build_event_alert

    shared: EventFields = {"project": "orders", "project_id": "orders", "project_name": "Orders", "level": "info"}
    payload = build_event_alert(
        id="orders-7",
        message="Orders are loaded",
        url="https://airflow.example.com/dags/orders",
        triggering_rules=["After every load"],
        **shared,
    )
    ```
    """

    project: str | None
    """The project's slug."""
    project_id: str | int | None
    project_name: str | None
    culprit: str | None
    """Where it happened."""
    message: str | None
    """What happened, in a line."""
    url: str | None
    """The page that shows what happened."""
    level: Level | None


def check_event_type(value: object) -> None:
    """
    Return if this is the name of an event type.

    :raises ValueError: with what it must be
    """
    if not (isinstance(value, str) and _EVENT_TYPE.fullmatch(value)):
        rule = "must be 1 to 128 letters, digits, '.', '-' or '_', such as orders.loaded"
        raise ValueError(f"{rule}, not {safe_repr(value)}")


def check_field_names(function: str, fields: Mapping[str, object]) -> None:
    """
    Return if all keyword arguments are names of ``EventFields``.

    :raises TypeError: as Python does for an argument that a function does not have
    """
    for name in fields:
        if name not in EventFields.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
