# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The builders of both events: from arguments, a documented payload, or an event of ``sentry-sdk`` to a payload.

Every field is parsed, and one error names every problem.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from airflow_provider_hooks.events.schema import SHARED_NAMES, AlertSchema, format_time, parse_fields
from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED, check_field_names
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from typing_extensions import Unpack

    from airflow_provider_hooks.events.types import EventFields, Payload, Rules, Tags

_EVENT_NAMESPACE = uuid.UUID("0d1f5c6e-1b0c-5d0e-9d67-5f6c3b6a4f02")
_INNER_ONLY = ("platform", "timestamp", "tags", "exception")
_CREATED_ONLY = ("logger", "datetime", "tags")
_ALERT_ONLY = ("triggering_rules",)
_ARGUMENTS = {"event_id": "id", "event_logger": "logger", "occurred_at": "datetime"}
"""The arguments that cannot have their field's documented name, because operators have that name already."""


def build_event_created(
    source: Mapping[str, object] | None = None,
    *,
    id: str | uuid.UUID | None = None,  # noqa: A002  (the documented name)
    logger: str | None = None,
    datetime: dt.datetime | str | float | None = None,
    timestamp: dt.datetime | str | float | None = None,
    platform: str | None = None,
    tags: Tags | None = None,
    exception: Mapping[str, object] | None = None,
    **fields: Unpack[EventFields],
) -> Payload:
    """
    Build the payload of ``event.created`` from arguments, a mapping, or both; an argument wins over the mapping.

    ``culprit`` and ``logger`` may be left out and are then empty, ``level`` is then ``error``, ``platform``
    ``python``; without ``tags`` and ``exception`` their lists are empty. One of ``datetime`` and ``timestamp`` gives
    both. Everything else is required.

    Example:

    ```python
    from airflow_provider_hooks.events import build_event_created

    payload = build_event_created(
        id="orders-7",
        project="orders",
        project_id="orders",
        project_name="Orders",
        message="Order 7 has no price",
        url="https://airflow.example.com/dags/orders",
        datetime="2026-01-01T12:00:00+00:00",
        tags={"environment": "production"},
    )
    assert payload["event"]["message"] == "Order 7 has no price"
    ```

    :param source: a payload as documented, fields by name, or an event that ``sentry-sdk`` made
    :param id: the event's id
    :param logger: the name of the logger that logged it
    :param datetime: when it happened: a ``datetime`` with a zone, ISO 8601 text, or unix seconds
    :param timestamp: the same time in the inner event, if only this one is given
    :param platform: the programming language
    :param tags: tags by name, or pairs of name and value
    :param exception: the exception in the form of ``sentry-sdk``, as ``event_from_exception`` returns it
    :param fields: the fields that both events have, by name (``EventFields``)
    :raises ValidationError: naming each field that is missing, wrong or not documented

    Source: Sentry, "Service hooks", webhook payload structure.
    """
    check_field_names("build_event_created", fields)
    own: dict[str, object] = {
        "id": id,
        "logger": logger,
        "datetime": datetime,
        "timestamp": timestamp,
        "platform": platform,
        "tags": tags,
        "exception": exception,
    }
    return _build_created(_merge(source, {**own, **fields}))


def build_event_alert(
    source: Mapping[str, object] | None = None,
    *,
    id: str | uuid.UUID | None = None,  # noqa: A002  (the documented name)
    triggering_rules: Rules | None = None,
    **fields: Unpack[EventFields],
) -> Payload:
    """
    Build the payload of ``event.alert`` from arguments, a mapping, or both; an argument wins over the mapping.

    ``culprit`` may be left out and is then empty, ``level`` is then ``error``. Everything else is required.

    Example:

    ```python
    from airflow_provider_hooks.events import build_event_alert

    payload = build_event_alert(
        id="orders-7",
        project="orders",
        project_id="orders",
        project_name="Orders",
        message="Order 7 is late",
        url="https://airflow.example.com/dags/orders",
        triggering_rules=["Orders arrive in time"],
    )
    assert payload["level"] == "error"
    ```

    :param source: a payload of either event as documented, fields by name, or an event that ``sentry-sdk`` made
    :param id: the event's id
    :param triggering_rules: a list of the names of the rules that made the alert, at least one
    :param fields: the fields that both events have, by name (``EventFields``)
    :raises ValidationError: naming each field that is missing, wrong or not documented

    Source: Sentry, "Service hooks", webhook payload structure.
    """
    check_field_names("build_event_alert", fields)
    return _build_alert(_merge(source, {"id": id, "triggering_rules": triggering_rules, **fields}))


def _build_created(values: Mapping[str, object]) -> Payload:
    parsed = parse_fields(EVENT_CREATED, values)
    return {
        **{name: parsed[name] for name in SHARED_NAMES},
        "logger": parsed["logger"],
        "datetime": format_time(cast("dt.datetime", parsed["datetime"])),
        "event": {
            "event_id": parsed["id"],
            "message": parsed["message"],
            "level": parsed["level"],
            "platform": parsed["platform"],
            "timestamp": cast("dt.datetime", parsed["timestamp"]).timestamp(),
            "tags": parsed["tags"],
            "exception": parsed["exception"],
        },
    }


def _build_alert(values: Mapping[str, object]) -> Payload:
    parsed = parse_fields(EVENT_ALERT, values)
    return {name: parsed[name] for name in AlertSchema.__struct_fields__}


_BUILDERS: Mapping[str, Callable[[Mapping[str, object]], Payload]] = {
    EVENT_CREATED: _build_created,
    EVENT_ALERT: _build_alert,
}


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """
    The arguments of an operator, the decorator or the notifier, from which an event is built only if it is to be sent.

    :param event: an event of ``sentry-sdk``, a documented payload, or fields by name
    :param arguments: by the names that operators give them; ``None`` counts as not given
    :param defaults: fields by name; the project's slug also stands for its id and its name
    """

    event_type: str
    event: Mapping[str, object] | None
    arguments: Mapping[str, object]
    defaults: Mapping[str, object]

    def build(self) -> Payload:
        """
        Build the payload; an argument wins over the event, which wins over the defaults.

        A field that only the other event has is ignored.

        :raises ValidationError: naming each field that is missing or wrong, under the argument's name
        """
        if self.event_type not in _BUILDERS:
            problem = f"must be {' or '.join(_BUILDERS)}, not {safe_repr(self.event_type)}"
            raise ValidationError("delivery", {"event_type": problem})
        ignored = _ALERT_ONLY if self.event_type == EVENT_CREATED else _CREATED_ONLY
        given = {_ARGUMENTS.get(name, name): value for name, value in self.arguments.items() if value is not None}
        given = {name: value for name, value in given.items() if name not in ignored}
        try:
            fields = extract_fields(self.event or {})
            project = given.get("project") or fields.get("project") or self.defaults.get("project")
            own = {"project": project, "project_id": project, "project_name": project}
            return _BUILDERS[self.event_type](_merge({**self.defaults, **own, **fields}, given))
        except ValidationError as error:
            names = {field: argument for argument, field in _ARGUMENTS.items() if self.arguments.get(argument)}
            problems = {names.get(field, field): problem for field, problem in error.problems.items()}
            raise ValidationError(error.subject, problems) from None


def make_event_id(*parts: object) -> str:
    """Return an event's id made from what identifies it: the same for the same parts."""
    return uuid.uuid5(_EVENT_NAMESPACE, "\n".join(map(str, parts))).hex


def extract_fields(source: Mapping[str, object]) -> dict[str, object]:
    """
    Return the fields of an event under their documented names, in one flat mapping.

    Example:

    ```python
    from airflow_provider_hooks.events import extract_fields

    fields = extract_fields({"id": "orders-7", "event": {"message": "Order 7 is late", "platform": "python"}})
    assert fields == {"id": "orders-7", "message": "Order 7 is late", "platform": "python"}
    ```

    :param source: a documented payload (its inner ``event`` is opened), fields by name, or an event of ``sentry-sdk``,
        which has an ``event_id``; of the latter only the fields of the documented payload are returned
    :raises ValidationError: if it is not a mapping, or its inner ``event`` is not one
    """
    if not isinstance(source, Mapping):
        raise ValidationError("the event", {"event": f"must be a mapping of fields, not {safe_repr(source)}"})
    if "event_id" in source:
        return _extract_sentry_fields(source)
    fields = {name: value for name, value in source.items() if name != "event"}
    inner = source.get("event")
    if inner is not None and not isinstance(inner, Mapping):
        raise ValidationError("the event", {"event": f"must hold a mapping of fields, not {safe_repr(inner)}"})
    if inner is not None:
        known = {name: inner[name] for name in _INNER_ONLY if name in inner}
        shared = {"id": inner.get("event_id"), "message": inner.get("message"), "level": inner.get("level")}
        fields = {**{name: value for name, value in shared.items() if value is not None}, **known, **fields}
    return fields


def _extract_sentry_fields(event: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": event["event_id"],
        "message": _find_message(event),
        "culprit": event.get("culprit") or event.get("transaction") or _find_culprit(event),
        "tags": _collect_tags(event),
        "datetime": event.get("timestamp"),
    }
    same_name = ("project", "project_id", "project_name", "url", "level", "logger", *_INNER_ONLY)
    fields |= {name: event[name] for name in same_name if name != "tags" and name in event}
    if fields.get("level") == "critical":
        fields["level"] = "fatal"  # the name that sentry-sdk takes from a log record
    return {name: value for name, value in fields.items() if value is not None}


def _find_message(event: Mapping[str, object]) -> object:
    logged = event.get("logentry")
    if isinstance(logged, Mapping):
        text = logged.get("formatted") or logged.get("message")
        if text:
            return text
    if event.get("message"):
        return event["message"]
    last = _last_exception(event)
    parts = [last.get("type"), last.get("value")] if last else []
    return ": ".join(part for part in parts if isinstance(part, str) and part) or None


def _find_culprit(event: Mapping[str, object]) -> str | None:
    """Name the innermost frame of the application as Sentry does: ``module in function``."""
    last = _last_exception(event) or {}
    stacktrace = last.get("stacktrace")
    frames = stacktrace.get("frames") if isinstance(stacktrace, Mapping) else None
    if not isinstance(frames, Sequence):
        return None
    known = [frame for frame in frames if isinstance(frame, Mapping)]
    chosen = next((frame for frame in reversed(known) if frame.get("in_app")), known[-1] if known else None)
    if chosen is None:
        return None
    parts = [chosen.get("module") or chosen.get("filename"), chosen.get("function")]
    return " in ".join(part for part in parts if isinstance(part, str)) or None


def _last_exception(event: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the exception that was caught: ``sentry-sdk`` lists a chain from its cause on."""
    exception = event.get("exception")
    values = exception.get("values") if isinstance(exception, Mapping) else None
    if isinstance(values, Sequence) and values and isinstance(values[-1], Mapping):
        return values[-1]
    return None


def _collect_tags(event: Mapping[str, object]) -> object:
    tags = event.get("tags") or []
    own = {name: event[name] for name in ("environment", "release") if isinstance(event.get(name), str)}
    if not own:
        return tags
    pairs = list(tags.items()) if isinstance(tags, Mapping) else tags
    if not isinstance(pairs, Sequence) or isinstance(pairs, str):
        return tags
    named = [pair[0] for pair in pairs if isinstance(pair, Sequence) and pair]
    return [*pairs, *([name, value] for name, value in own.items() if name not in named)]


def _merge(source: Mapping[str, object] | None, given: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a source and the arguments, which win; ``None`` counts as not given."""
    return {**_complete_times(extract_fields(source or {})), **_complete_times(given)}


def _complete_times(fields: Mapping[str, object]) -> dict[str, object]:
    """Leave out what is not given, and use one of ``datetime`` and ``timestamp`` for both."""
    given = {name: value for name, value in fields.items() if value is not None}
    for name, twin in (("datetime", "timestamp"), ("timestamp", "datetime")):
        if twin in given:
            given.setdefault(name, given[twin])
    return given
