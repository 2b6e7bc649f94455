# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads the events of a stream in any format; ``PayloadReader`` is the fast way for the documented one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict, cast

import msgspec
import orjson

from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.events.formats import wrap_payload
from airflow_provider_hooks.events.schema import format_time, parse_event_id, parse_time
from airflow_provider_hooks.events.serialization import PayloadReader, one_event, parse_line
from airflow_provider_hooks.events.types import EVENT_TYPES, check_event_type
from airflow_provider_hooks.exceptions import InvalidEventError
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_hooks.events.format_base import Format


class EventReader:
    """
    Reads the events of a stream in a format other than the documented one.

    :param event_type: the type of all events; ``None`` if ``type_field`` names the field of each event's type
    :param format: the format, bound to the endpoint
    :param id_field: the field of an event of the user's own type that is its id
    :param type_field: the field that is an event's type, where events have several types of the user's own
    :param defaults: ``datetime`` and ``source`` of events of the user's own type
    """

    def __init__(
        self,
        event_type: str | None,
        *,
        format: Format,  # noqa: A002  (what users call it)
        id_field: str,
        type_field: str | None = None,
        defaults: Mapping[str, object],
        max_payload_bytes: int,
    ) -> None:
        self._type, self._id_field, self._type_field = event_type, id_field, type_field
        self._max_payload_bytes = max_payload_bytes
        self._format, self.content_type, self.header_names = format, format.content_type, format.header_names
        self._documented: PayloadReader | None = None
        if event_type in EVENT_TYPES:
            self._documented = PayloadReader(event_type, max_payload_bytes=max_payload_bytes)
        self._source, self._time = str(defaults["source"]), format_time(parse_time(defaults["datetime"]))
        self._decode_fields: Callable[[bytes], dict[str, object]] | None = None
        if format.copies_data and self._documented is None:
            names = dict.fromkeys([id_field, *([type_field] if type_field else [])], object)
            fields = TypedDict("fields", names, total=False)  # type: ignore[misc]  # the names are the user's
            self._decode_fields = cast("Callable[[bytes], dict[str, object]]", msgspec.json.Decoder(fields).decode)

    def read(self, event: bytes | Mapping[str, object]) -> tuple[str, bytes, Mapping[str, str]]:
        """
        Return an event's id, the bytes of its body, and the headers that it adds.

        :param event: a line of JSON or a mapping
        :raises InvalidEventError: with what is wrong with it
        """
        return self.read_typed(event)[1:]

    def read_typed(self, event: bytes | Mapping[str, object]) -> tuple[str, str, bytes, Mapping[str, str]]:
        """
        Return an event's type and id, the bytes of its body, and the headers that it adds.

        :param event: a line of JSON or a mapping
        :raises InvalidEventError: with what is wrong with it
        """
        if self._decode_fields is not None and isinstance(event, bytes):
            try:
                made = self._make_copied_event(event, self._decode_fields)
                body, headers = self._format.encode(made, max_payload_bytes=self._max_payload_bytes)
            except (msgspec.MsgspecError, ValueError, RecursionError, InvalidEventError):
                pass  # the way below says what is wrong
            else:
                return made.type, made.id, body, headers
        with one_event():
            if self._documented is None:
                made = self._make_event(parse_line(event) if isinstance(event, bytes) else event)
            else:
                made = wrap_payload(str(self._type), orjson.loads(self._documented.read(event)[1]))
            body, headers = self._format.encode(made, max_payload_bytes=self._max_payload_bytes)
            return made.type, made.id, body, headers

    def _make_copied_event(self, line: bytes, decode: Callable[[bytes], dict[str, object]]) -> Event:
        """
        Return an event whose data is the text of its line.

        :param decode: returns the id and the type, and checks the syntax of the rest
        """
        line.decode()  # the syntax of what is skipped is checked, and not that it is UTF-8
        return self._make_event(decode(line), copied=orjson.Fragment(line.strip()))

    def _make_event(self, data: object, *, copied: orjson.Fragment | None = None) -> Event:
        if not isinstance(data, Mapping):
            raise InvalidEventError(f"the event must be a JSON object, not {safe_repr(data)}")
        event_type = self._type
        if event_type is None:
            event_type = _read_field(data, str(self._type_field), _parse_own_type, meaning="type")
        return Event(
            type=event_type,
            id=_read_field(data, self._id_field, parse_event_id, meaning="id"),
            occurred_at=self._time,
            source=self._source,
            data=dict(data) if copied is None else copied,
        )


def _read_field(data: Mapping[str, object], name: str, parse: Callable[[object], str], *, meaning: str) -> str:
    """
    Return the value of a field of an event.

    :raises InvalidEventError: if there is none, or it cannot be what the field means
    """
    if data.get(name) is None:
        raise InvalidEventError(f"the event has no {escape(name)} to use as its {meaning}")
    try:
        return parse(data[name])
    except ValueError as error:
        raise InvalidEventError(f"the {escape(name)} of the event {error}") from None


def _parse_own_type(value: object) -> str:
    """Parse the type of an event of the user's own type."""
    check_event_type(value)
    if value in EVENT_TYPES:
        raise ValueError(f"is {value}, which has a documented payload; deliver such events by a stream of that type")
    return str(value)
