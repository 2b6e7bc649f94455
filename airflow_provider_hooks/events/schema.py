# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How a builder turns fields into a payload: the tables of fields, every field read, every problem named."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict, cast

from airflow_provider_hooks.events import validators
from airflow_provider_hooks.events.sources import read_fields
from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class SharedFields(TypedDict):
    """What the payloads of both events have."""

    id: str
    project: str
    project_id: str
    project_name: str
    culprit: str
    message: str
    url: str
    level: str


@dataclass(frozen=True, kw_only=True)
class Field:
    """One documented field: how it is read, and what stands where it is not given."""

    name: str
    read: Callable[[object], object]
    default: object = None
    """``None``: the field is required."""


SHARED_FIELDS = (
    Field(name="id", read=validators.read_event_id),
    Field(name="project", read=validators.read_name),
    Field(name="project_id", read=validators.read_number_name),
    Field(name="project_name", read=validators.read_name),
    Field(name="culprit", read=validators.read_text, default=""),
    Field(name="message", read=validators.read_name),
    Field(name="url", read=validators.read_url),
    Field(name="level", read=validators.read_level, default="error"),
)
"""What both events have, in the documented order."""

FIELDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        EVENT_CREATED: (
            *SHARED_FIELDS,
            Field(name="logger", read=validators.read_text, default=""),
            Field(name="datetime", read=validators.read_moment),
            Field(name="platform", read=validators.read_name, default="python"),
            Field(name="timestamp", read=validators.read_moment),
            Field(name="tags", read=validators.read_tags, default=()),
            Field(name="exception", read=validators.read_exception, default=()),
        ),
        EVENT_ALERT: (*SHARED_FIELDS, Field(name="triggering_rules", read=validators.read_rules)),
    }
)
"""The fields of each event."""

_NAMES = frozenset(field.name for fields in FIELDS.values() for field in fields)


def read_event(event_type: str, source: Mapping[str, object] | None, given: Mapping[str, object]) -> dict[str, object]:
    """
    Read every field of an event from its source and from the arguments, which win.

    A field of the other event is passed over, so that one source serves both.

    :param given: the arguments; ``None`` counts as not given
    :raises ValidationError: naming each field that is missing, wrong or not documented
    """
    values = {**_complete_times(read_fields(source or {})), **_complete_times(given)}
    problems = ValidationErrors(event_type)
    read: dict[str, object] = {}
    same_time = values.get("datetime") is values.get("timestamp")
    for field in FIELDS[event_type]:
        value = values.get(field.name, field.default)
        if field.name == "timestamp" and same_time and "datetime" in problems:
            continue  # one time was given for both, or none for either: told once
        if value is None:
            problems.add(field.name, "is missing")
            continue
        try:
            read[field.name] = field.read(value)
        except ValueError as error:
            problems.add(field.name, str(error))
    for name in values:
        if name not in _NAMES:
            problems.add(
                escape(name) if isinstance(name, str) else safe_repr(name), f"is not a documented field of {event_type}"
            )
    problems.raise_if_any()
    return read


def take_shared(read: Mapping[str, object]) -> SharedFields:
    """Return the fields that both events have, in the documented order."""
    return cast("SharedFields", {field.name: read[field.name] for field in SHARED_FIELDS})


def _complete_times(fields: Mapping[str, object]) -> dict[str, object]:
    """Leave out what is not given, and let one of ``datetime`` and ``timestamp`` stand for both."""
    given = {name: value for name, value in fields.items() if value is not None}
    for name, twin in (("datetime", "timestamp"), ("timestamp", "datetime")):
        if twin in given:
            given.setdefault(name, given[twin])
    return given
