# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Where an event's fields come from: a payload as documented, loose fields, or an event that ``sentry-sdk`` made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.sanitize import safe_repr

_INNER_ONLY = ("platform", "timestamp", "tags", "exception")


def read_fields(source: Mapping[str, object]) -> dict[str, object]:
    """
    Return the fields of an event under their documented names, in one flat mapping.

    :param source: a documented payload (its inner ``event`` is opened), fields by name, or an event of ``sentry-sdk``,
        told by its ``event_id``; of the latter only what the documented payload has is taken
    :raises ValidationError: if it is no mapping, or its inner ``event`` is none
    """
    if not isinstance(source, Mapping):
        raise ValidationError("the event", {"event": f"must be a mapping of fields, not {safe_repr(source)}"})
    if "event_id" in source:
        return _read_sentry_event(source)
    fields = {name: value for name, value in source.items() if name != "event"}
    inner = source.get("event")
    if inner is not None and not isinstance(inner, Mapping):
        raise ValidationError("the event", {"event": f"must hold a mapping of fields, not {safe_repr(inner)}"})
    if inner is not None:
        known = {name: inner[name] for name in _INNER_ONLY if name in inner}
        shared = {"id": inner.get("event_id"), "message": inner.get("message"), "level": inner.get("level")}
        fields = {**{name: value for name, value in shared.items() if value is not None}, **known, **fields}
    return fields


def _read_sentry_event(event: Mapping[str, object]) -> dict[str, object]:
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
        fields["level"] = "fatal"  # sentry-sdk's name for it where a log record made the event
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
    """Return the exception that was seen: ``sentry-sdk`` lists a chain from its cause on."""
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
