# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The schema of both events: every field, in the documented order, with the function that parses it.

A ``parse`` function returns the documented form of a value, or raises ``ValueError`` with what the field must be. The
builders call ``parse_fields``. ``is_documented`` decides whether an event that was decoded by ``msgspec`` has the
documented form already, so that a stream need not build it again; it uses the same patterns.

Source: Sentry, "Service hooks", webhook payload structure.
"""

import inspect
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timezone
from functools import cache
from types import MappingProxyType
from typing import Annotated, get_args
from urllib.parse import urlsplit

import msgspec
import pendulum

from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED, LEVELS, EventType, Level
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.sanitize import escape, safe_repr

_ID = r"[A-Za-z0-9_-]{1,64}"
_URL = r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?/[A-Za-z0-9\-._~/?=&%+:,;@!$'()*]*"
"""The URLs that need no parsing to see that they are absolute ones."""
_DATE = r"[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_DATETIME = rf"{_DATE}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{3}}Z"
"""The documented form of a time, but for the days that a month does not have."""
_EVENT_ID = re.compile(_ID, re.ASCII)
_SIMPLE_URL = re.compile(_URL, re.ASCII)
_DOCUMENTED_ALERT = rf"{_ID}\n{_URL}"
_DOCUMENTED_CREATED = rf"{_ID}\n{_URL}\n{_DATETIME}"
"""Several values at once, since each search costs more than what it looks through."""
_DAYS_OF_ALL_MONTHS = "28"
_MAX_URL_CHARACTERS = 2_048
_MAX_DIGITS = 64
_LAST_TIMESTAMP = 253_402_300_800
"""Unix seconds of the year 10000, which a time cannot represent."""


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    """Compile a pattern that many tasks never use, when it is first used: each task is a new process."""
    return re.compile(pattern, re.ASCII)


def read_text(value: object) -> str | None:
    """
    Return text as plain ``str``, or ``None`` if it is none.

    A subclass of ``str`` counts as text. So do a number and a boolean: ``render_template_as_native_obj`` makes them of
    text such as ``"404"``, and ``sentry-sdk`` has them as values of tags.
    """
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, int) and abs(value) < 10**_MAX_DIGITS:
        return int.__repr__(value)
    return None


def parse_event_id(value: object) -> str:
    """Parse an event's id: a UUID gives its 32 hex digits; else 1 to 64 letters, digits, ``-`` and ``_``."""
    if isinstance(value, uuid.UUID):
        return value.hex
    text = read_text(value)
    if text is not None and _EVENT_ID.fullmatch(text):
        return text
    raise ValueError(f"must be a UUID or 1 to 64 letters, digits, '-' or '_', not {safe_repr(value)}")


def parse_text(value: object) -> str:
    """Parse text that may be empty."""
    text = read_text(value)
    if text is None:
        raise ValueError(f"must be text, not {safe_repr(value)}")
    return text


def parse_name(value: object) -> str:
    """Parse text that must not be blank."""
    text = read_text(value)
    if text is None or not text.strip():
        raise ValueError(f"must be text that is not blank, not {safe_repr(value)}")
    return text


def parse_level(value: object) -> str:
    """Parse one of the documented levels."""
    if isinstance(value, str) and value in LEVELS:
        return str.__str__(value)
    raise ValueError(f"must be one of {', '.join(LEVELS)}, not {safe_repr(value)}")


def parse_url(value: object) -> str:
    """Parse an absolute http(s) URL."""
    try:
        if isinstance(value, str) and len(value) <= _MAX_URL_CHARACTERS and value.isprintable() and " " not in value:
            value = str.__str__(value)
            if _SIMPLE_URL.fullmatch(value):
                return value
            parts = urlsplit(value)
            if parts.scheme in {"http", "https"} and parts.hostname:
                return value
    except ValueError:
        pass
    raise ValueError(f"must be an absolute http or https URL, not {safe_repr(value)}")


def parse_time(value: object) -> datetime:
    """Parse a time with a zone, as a ``datetime``, ISO 8601 text or unix seconds, into UTC."""
    moment: object = value
    try:
        if isinstance(value, str) and _compile(_DATETIME).fullmatch(value):
            moment = datetime.fromisoformat(f"{value[:-1]}+00:00")
        elif isinstance(value, str) and value[:1].isdigit():  # "now" would be another time on every try
            moment = pendulum.parse(value, tz=None)
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            moment = datetime.fromtimestamp(value, tz=timezone.utc)
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError, TypeError, AttributeError):
        pass  # pendulum raises the last one for some intervals
    raise ValueError(f"must be a time with a zone (datetime, ISO 8601 text or unix seconds), not {safe_repr(value)}")


def format_time(moment: datetime) -> str:
    """Return a UTC time as documented: milliseconds and ``Z``, such as ``2024-01-01T12:00:00.000Z``."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def parse_tags(value: object) -> list[list[str]]:
    """Parse tags, from a mapping or from pairs, into documented pairs of text; numbers and booleans become text."""
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, Iterable) and not isinstance(pairs, str | bytes):
        return [_parse_tag(pair) for pair in pairs]
    raise ValueError("must be a mapping of text to text, or pairs of text such as [['environment', 'production']]")


def _parse_tag(pair: object) -> list[str]:
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):  # noqa: PLR2004
        raise ValueError(f"must be pairs of text such as ['environment', 'production'], not {safe_repr(pair)}")
    name, text = str.__str__(pair[0]), read_text(pair[1])
    if text is None:
        raise ValueError(f"the tag {safe_repr(name)} must be text, a number, true or false, not {safe_repr(pair[1])}")
    return [name, text]


def parse_rules(value: object) -> list[str]:
    """Parse the names of the rules that triggered an alert: at least one."""
    texts: list[str | None] = [None]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        texts = [read_text(rule) for rule in value]
    named = [text for text in texts if text is not None and text.strip()]
    if named and len(named) == len(texts):
        return named
    problem = f"not {safe_repr(value)}" if texts else "it is empty"
    raise ValueError(f"must be a list of at least one rule name that is not blank; {problem}")


def parse_exception(value: object) -> dict[str, object]:
    """Parse an exception as ``{"values": [...]}`` of type, value and stack frames; nothing else is documented."""
    values = value.get("values") if isinstance(value, Mapping) else value
    if isinstance(values, list | tuple) and all(isinstance(item, Mapping) for item in values):
        return {"values": [_parse_exception_value(item) for item in values]}
    raise ValueError("must be {'values': [{'type', 'value', 'stacktrace': {'frames': []}}]}")


def _parse_exception_value(item: Mapping[str, object]) -> dict[str, object]:
    stacktrace = item.get("stacktrace")
    frames = stacktrace.get("frames") if isinstance(stacktrace, Mapping) else None
    frames = [] if frames is None else frames
    if not isinstance(frames, list | tuple) or not all(isinstance(frame, Mapping) for frame in frames):
        raise ValueError("has a stacktrace whose frames are not a list of mappings")
    return {
        "type": parse_text(item.get("type") or ""),
        "value": parse_text(item.get("value") or ""),
        "stacktrace": {"frames": [_without_variables(frame) for frame in frames]},
    }


def _without_variables(frame: Mapping[str, object]) -> dict[str, object]:
    """Return a frame without its local variables, which often hold secrets."""
    return {str(name): value for name, value in frame.items() if name != "vars"}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """How one documented field is parsed, and its default."""

    parse: Callable[[object], object]
    default: object = None
    """``None``: the field is required."""


class _SharedFields(msgspec.Struct, forbid_unknown_fields=True):
    """What the payloads of both events have."""

    id: Annotated[str, Field(parse=parse_event_id)]
    project: Annotated[str, Field(parse=parse_name)]
    project_id: Annotated[str, Field(parse=parse_name)]
    project_name: Annotated[str, Field(parse=parse_name)]
    culprit: Annotated[str, Field(parse=parse_text, default="")]
    message: Annotated[str, Field(parse=parse_name)]
    url: Annotated[str, Field(parse=parse_url)]
    level: Annotated[Level, Field(parse=parse_level, default="error")]


class AlertSchema(_SharedFields, forbid_unknown_fields=True):
    """The payload of ``event.alert``, with every documented field and no other."""

    triggering_rules: Annotated[list[str], msgspec.Meta(min_length=1), Field(parse=parse_rules)]


class _Stacktrace(msgspec.Struct, forbid_unknown_fields=True):
    frames: Annotated[list[None], msgspec.Meta(max_length=0)]
    """Frames may hold anything, so an event that has some is left to the builder."""


class _ExceptionValue(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    value: str
    stacktrace: _Stacktrace


class _Exception(msgspec.Struct, forbid_unknown_fields=True):
    values: list[_ExceptionValue]


class InnerSchema(msgspec.Struct, forbid_unknown_fields=True):
    """The event inside ``event.created``; its id, message and level are those of the payload."""

    event_id: str
    message: str
    level: str
    platform: Annotated[str, Field(parse=parse_name, default="python")]
    timestamp: Annotated[float, Field(parse=parse_time)]
    tags: Annotated[list[tuple[str, str]], Field(parse=parse_tags, default=())]
    exception: Annotated[_Exception, Field(parse=parse_exception, default=())]


class CreatedSchema(_SharedFields, forbid_unknown_fields=True):
    """The payload of ``event.created``, with every documented field and no other."""

    logger: Annotated[str, Field(parse=parse_text, default="")]
    datetime: Annotated[str, Field(parse=parse_time)]
    event: InnerSchema


_SCHEMAS: Mapping[EventType, tuple[type[msgspec.Struct], ...]] = MappingProxyType(
    {EVENT_CREATED: (CreatedSchema, InnerSchema), EVENT_ALERT: (AlertSchema,)}
)


@cache
def list_fields(event_type: EventType) -> Mapping[str, Field]:
    """Return the fields of an event that are parsed, by their documented names."""
    found: dict[str, Field] = {}
    for schema in _SCHEMAS[event_type]:
        # They are not strings: this module does not postpone the evaluation of its annotations.
        hints = {name: hint for one in schema.__mro__ for name, hint in inspect.get_annotations(one).items()}
        for name in schema.__struct_fields__:
            field = next((mark for mark in get_args(hints[name]) if isinstance(mark, Field)), None)
            if field is not None:
                found[name] = field
    return MappingProxyType(found)


SHARED_NAMES: tuple[str, ...] = _SharedFields.__struct_fields__


def parse_fields(event_type: EventType, values: Mapping[str, object]) -> dict[str, object]:
    """
    Parse every field of an event.

    :param values: the fields by their documented names; those that only the other event has are ignored
    :raises ValidationError: naming each field that is missing, wrong or not documented
    """
    problems = ValidationErrors(event_type)
    parsed: dict[str, object] = {}
    same_time = values.get("datetime") is values.get("timestamp")
    for name, field in list_fields(event_type).items():
        value = values.get(name, field.default)
        if name == "timestamp" and same_time and "datetime" in problems:
            continue  # one time was given for both, or none: one problem is enough
        if value is None:
            problems.add(name, "is missing")
            continue
        try:
            parsed[name] = field.parse(value)
        except ValueError as error:
            problems.add(name, str(error))
    for name in values:
        if not any(name in list_fields(of_event) for of_event in _SCHEMAS):
            problems.add(
                escape(name) if isinstance(name, str) else safe_repr(name), f"is not a documented field of {event_type}"
            )
    problems.raise_if_any()
    return parsed


def is_documented(event: AlertSchema | CreatedSchema) -> bool:
    """Return whether the builder would leave every value of a decoded event unchanged."""
    if not (
        event.project.strip()
        and event.project_id.strip()
        and event.project_name.strip()
        and event.message.strip()
        and len(event.url) <= _MAX_URL_CHARACTERS
    ):
        return False
    if isinstance(event, AlertSchema):
        named = all(map(str.strip, event.triggering_rules))
        return named and bool(_compile(_DOCUMENTED_ALERT).fullmatch(f"{event.id}\n{event.url}"))
    inner = event.event
    return (
        inner.event_id == event.id
        and inner.message == event.message
        and inner.level == event.level
        and bool(inner.platform.strip())
        and 0 < inner.timestamp < _LAST_TIMESTAMP  # the builder writes -0.0 in another form
        and round(inner.timestamp, 3) == inner.timestamp
        and bool(_compile(_DOCUMENTED_CREATED).fullmatch(f"{event.id}\n{event.url}\n{event.datetime}"))
        and (event.datetime[8:10] <= _DAYS_OF_ALL_MONTHS or _is_day(event.datetime[:10]))
    )


def _is_day(text: str) -> bool:
    """Return whether there is such a day, such as ``2024-02-29``."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
