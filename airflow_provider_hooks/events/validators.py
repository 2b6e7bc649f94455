# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
How one field of an event is read: each reader returns the documented form of a value or raises ``ValueError``.

The message says what the field must be, so that the error naming the field also says what to do.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from urllib.parse import urlsplit

import pendulum

from airflow_provider_hooks.events.types import LEVELS
from airflow_provider_hooks.sanitize import safe_repr

_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MAX_URL_CHARACTERS = 2_048
_MAX_DIGITS = 64


def read_event_id(value: object) -> str:
    """Read an event's id: a UUID gives its 32 hex digits; else 1 to 64 letters, digits, ``-`` and ``_``."""
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, str) and _EVENT_ID.fullmatch(value):
        return value
    raise ValueError(f"must be a UUID or 1 to 64 letters, digits, '-' or '_', not {safe_repr(value)}")


def read_text(value: object) -> str:
    """Read text that may be empty."""
    if isinstance(value, str):
        return value
    raise ValueError(f"must be text, not {safe_repr(value)}")


def read_name(value: object) -> str:
    """Read text that must not be blank."""
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(f"must be text that is not blank, not {safe_repr(value)}")


def read_number_name(value: object) -> str:
    """Read an id that is documented as text and often kept as a number."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_MAX_DIGITS:
        return str(value)
    return read_name(value)


def read_level(value: object) -> str:
    """Read one of the documented levels."""
    if isinstance(value, str) and value in LEVELS:
        return value
    raise ValueError(f"must be one of {', '.join(LEVELS)}, not {safe_repr(value)}")


def read_url(value: object) -> str:
    """Read an absolute http(s) URL."""
    try:
        if isinstance(value, str) and len(value) <= _MAX_URL_CHARACTERS and value.isprintable() and " " not in value:
            parts = urlsplit(value)
            if parts.scheme in {"http", "https"} and parts.hostname:
                return value
    except ValueError:
        pass
    raise ValueError(f"must be an absolute http or https URL, not {safe_repr(value)}")


def read_moment(value: object) -> datetime:
    """Read a time with a zone, as a ``datetime``, ISO 8601 text or unix seconds, into UTC."""
    moment: object = value
    try:
        if isinstance(value, str) and value[:1].isdigit():  # "now" would be another time on every try
            moment = pendulum.parse(value, tz=None)
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            moment = datetime.fromtimestamp(value, tz=timezone.utc)
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError, TypeError):
        pass
    raise ValueError(f"must be a time with a zone (datetime, ISO 8601 text or unix seconds), not {safe_repr(value)}")


def write_datetime(moment: datetime) -> str:
    """Write a UTC time as documented: milliseconds and ``Z``, such as ``2024-01-01T12:00:00.000Z``."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def read_tags(value: object) -> list[list[str]]:
    """Read tags, from a mapping or from pairs, into documented pairs of text."""
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, Iterable) and not isinstance(pairs, str | bytes):
        found = [list(pair) if isinstance(pair, list | tuple) else [] for pair in pairs]
        if all(len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in found):  # noqa: PLR2004
            return found
    raise ValueError("must be a mapping of text to text, or pairs of text such as [['environment', 'production']]")


def read_rules(value: object) -> list[str]:
    """Read the names of the rules that triggered an alert: at least one."""
    if isinstance(value, list | tuple) and value and all(isinstance(rule, str) and rule.strip() for rule in value):
        return list(value)
    told = "it is empty" if value in ([], ()) else f"not {safe_repr(value)}"
    raise ValueError(f"must be a list of at least one rule name that is not blank; {told}")


def read_exception(value: object) -> dict[str, object]:
    """Read an exception as ``{"values": [...]}`` of type, value and stack frames; nothing else is documented."""
    values = value.get("values") if isinstance(value, Mapping) else value
    if isinstance(values, list | tuple) and all(isinstance(item, Mapping) for item in values):
        return {"values": [_read_exception_value(item) for item in values]}
    raise ValueError("must be {'values': [{'type', 'value', 'stacktrace': {'frames': []}}]}")


def _read_exception_value(item: Mapping[str, object]) -> dict[str, object]:
    stacktrace = item.get("stacktrace")
    frames = stacktrace.get("frames") if isinstance(stacktrace, Mapping) else None
    frames = [] if frames is None else frames
    if not isinstance(frames, list | tuple) or not all(isinstance(frame, Mapping) for frame in frames):
        raise ValueError("has a stacktrace whose frames are not a list of mappings")
    return {
        "type": read_text(item.get("type") or ""),
        "value": read_text(item.get("value") or ""),
        "stacktrace": {"frames": [_read_frame(frame) for frame in frames]},
    }


def _read_frame(frame: Mapping[str, object]) -> dict[str, object]:
    """Leave out the frame's local variables: they often hold secrets, and a receiver is a stranger."""
    return {str(name): value for name, value in frame.items() if name != "vars"}
