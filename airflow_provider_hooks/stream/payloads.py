# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
From an event as it was read to the bytes of its documented payload.

A line that is a documented payload already is checked and written anew by ``msgspec``, which takes a tenth of the time
of the builders. Whatever it does not take is left to the builders: they know every form, and what to say of a wrong
one. The fast way takes nothing that they refuse, and gives the same bytes; a test holds that.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal, cast

import msgspec
import orjson

from airflow_provider_hooks.events import build_event_alert, build_event_created
from airflow_provider_hooks.events.serialization import serialize
from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED
from airflow_provider_hooks.exceptions import InvalidEventError, ValidationError
from airflow_provider_hooks.stream.sources import MAX_LINE_BYTES, OversizedLine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.stream.sources import RawEvent

_Level = Literal["fatal", "error", "warning", "info", "debug"]
_EVENT_ID = r"[A-Za-z0-9_-]{1,64}"
_URL = r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?/[A-Za-z0-9\-._~/?=&%+:,;@!$'()*]*"
_DATE = r"[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_DATETIME = rf"{_DATE}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{3}}Z"
_PLAIN_ALERT = re.compile(rf"{_EVENT_ID}\n{_URL}", re.ASCII)
_PLAIN_CREATED = re.compile(rf"{_EVENT_ID}\n{_URL}\n{_DATETIME}", re.ASCII)
"""Several values at once, since each search costs more than what it looks through."""
_LAST_DAY_OF_ALL_MONTHS = "28"
_MAX_URL_CHARACTERS = 2_048
_LAST_TIMESTAMP = 253_402_300_800
"""Unix seconds of the year 10000, which a time cannot say."""


class _Shared(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    project: str
    project_id: str
    project_name: str
    culprit: str
    message: str
    url: str
    level: _Level


class _Alert(_Shared, forbid_unknown_fields=True):
    triggering_rules: Annotated[list[str], msgspec.Meta(min_length=1)]


class _Stacktrace(msgspec.Struct, forbid_unknown_fields=True):
    frames: Annotated[list[None], msgspec.Meta(max_length=0)]
    """Frames may hold anything, so an event that has some is left to the builder."""


class _ExceptionValue(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    value: str
    stacktrace: _Stacktrace


class _Exception(msgspec.Struct, forbid_unknown_fields=True):
    values: list[_ExceptionValue]


class _Inner(msgspec.Struct, forbid_unknown_fields=True):
    event_id: str
    message: str
    level: str
    platform: str
    timestamp: float
    tags: list[tuple[str, str]]
    exception: _Exception


class _Created(_Shared, forbid_unknown_fields=True):
    logger: str
    datetime: str
    event: _Inner


class PayloadReader:
    """
    Reads events of one type.

    :param max_payload_bytes: the largest body allowed, in bytes
    """

    def __init__(self, event_type: str, *, max_payload_bytes: int) -> None:
        self._event_type = event_type
        self._max_payload_bytes = max_payload_bytes
        kind: type[_Shared] = _Created if event_type == EVENT_CREATED else _Alert
        self._decode: Callable[[bytes], _Shared] = msgspec.json.Decoder(kind).decode
        self._encode = msgspec.json.Encoder().encode

    def read(self, event: RawEvent) -> tuple[str, bytes]:
        """
        Return an event's id, and its body as it is sent.

        :param event: a line of JSON or a mapping: the payload as documented, or its fields by name
        :raises InvalidEventError: saying what is wrong with it
        """
        if isinstance(event, bytes):
            try:
                known = self._decode(event)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                return self._build(_parse(event))
            if _is_plain(known):
                body = self._encode(known)
                if len(body) <= self._max_payload_bytes:
                    return known.id, body
            return self._build(_parse(event))
        if isinstance(event, OversizedLine):
            raise InvalidEventError(f"the line is longer than {MAX_LINE_BYTES} bytes")
        return self._build(event)

    def _build(self, event: object) -> tuple[str, bytes]:
        build = build_event_alert if self._event_type == EVENT_ALERT else build_event_created
        try:
            payload = build(cast("Mapping[str, object]", event))
            return payload["id"], serialize(payload, max_payload_bytes=self._max_payload_bytes)
        except ValidationError as error:
            raise InvalidEventError(str(error)) from None


def _parse(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidEventError(f"the line is not JSON: {error}") from None


def _is_plain(event: _Shared) -> bool:
    """Tell whether the builder would take every value as it is: what needs reading or rounding is left to it."""
    if not (
        event.project.strip()
        and event.project_id.strip()
        and event.project_name.strip()
        and event.message.strip()
        and len(event.url) <= _MAX_URL_CHARACTERS
    ):
        return False
    if isinstance(event, _Alert):
        return bool(_PLAIN_ALERT.fullmatch(f"{event.id}\n{event.url}")) and all(map(str.strip, event.triggering_rules))
    if not isinstance(event, _Created):
        return False
    inner = event.event
    return (
        inner.event_id == event.id
        and inner.message == event.message
        and inner.level == event.level
        and bool(inner.platform.strip())
        and 0 < inner.timestamp < _LAST_TIMESTAMP  # a -0.0 is written otherwise by the builder
        and round(inner.timestamp, 3) == inner.timestamp
        and bool(_PLAIN_CREATED.fullmatch(f"{event.id}\n{event.url}\n{event.datetime}"))
        and (event.datetime[8:10] <= _LAST_DAY_OF_ALL_MONTHS or _is_day(event.datetime[:10]))
    )


def _is_day(text: str) -> bool:
    """Tell whether there is such a day, such as ``2024-02-29``."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
