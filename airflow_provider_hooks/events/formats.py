# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The formats: how an event of any type becomes the body of a request, its content type and its headers.

A new format is a new row; the connection form, the CLI and the docs follow the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from airflow_provider_hooks.entry_points import ExtensibleTable
from airflow_provider_hooks.events.chat_formats import (
    DiscordFormat,
    SlackFormat,
    TeamsFormat,
)
from airflow_provider_hooks.events.format_base import (
    DEFAULT_MAX_PAYLOAD_BYTES,
    JSON,
    NO_SETTINGS,
    Format,
    FormatSettings,
    Message,
    encode,
    find_time,
)
from airflow_provider_hooks.events.pagerduty_format import PagerDutyFormat
from airflow_provider_hooks.events.template_format import TemplateFormat
from airflow_provider_hooks.events.types import EVENT_TYPES
from airflow_provider_hooks.exceptions import PayloadError, ValidationError
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.events.event import Event
    from airflow_provider_hooks.events.types import Payload

ENTRY_POINT_GROUP = "airflow_provider_hooks.formats"
"""The entry points of other packages: each is a subclass of ``Format``, or an instance of one."""
_HEADER_CHARACTERS = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""What the value of a CloudEvents header has unencoded: printable ASCII without blank, double quote and percent."""


class EncodedEvent(NamedTuple):
    """What a request has of its event."""

    id: str
    body: bytes
    headers: Mapping[str, str]
    """Those that the event adds."""
    content_type: str
    header_names: tuple[str, ...]
    """Every header that the format can add."""


class SentryFormat(Format):
    """The documented payloads, unchanged."""

    name = "sentry"
    title = "Sentry (sentry)"
    description = "The documented payload of event.created and event.alert; no other event has this format"
    source = "https://docs.sentry.io/ (service hooks)"

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """Return the payload."""
        if event.type not in EVENT_TYPES:
            problem = f"sentry has only {' and '.join(EVENT_TYPES)}, not {event.type}; use standard_webhooks"
            raise ValidationError("the event", {"format": problem})
        return Message(encode(event.data, max_payload_bytes=max_payload_bytes))


class StandardWebhooksFormat(Format):
    """Type, timestamp and data; the id is in a header of the signing scheme."""

    name = "standard_webhooks"
    title = "Standard Webhooks (standard_webhooks)"
    description = "A JSON object with type, timestamp and data, as Standard Webhooks recommends"
    source = "https://github.com/standard-webhooks/standard-webhooks (payload structure)"
    copies_data = True

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """Return the object."""
        body = {"type": event.type, "timestamp": find_time(event), "data": event.data}
        return Message(encode(body, max_payload_bytes=max_payload_bytes))


class CloudEventsFormat(Format):
    """A CloudEvent in structured mode: its attributes and the data in one JSON object."""

    name = "cloudevents"
    title = "CloudEvents, structured (cloudevents)"
    description = "A CloudEvent 1.0 in structured mode: one JSON object with the attributes and the data"
    source = "https://github.com/cloudevents/spec (JSON event format)"
    content_type = "application/cloudevents+json"
    copies_data = True

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """Return the object."""
        body = {**_list_attributes(event), "datacontenttype": JSON, "data": event.data}
        return Message(encode(body, max_payload_bytes=max_payload_bytes))


class CloudEventsBinaryFormat(Format):
    """A CloudEvent in binary mode: its attributes in headers, the data alone in the body."""

    name = "cloudevents_binary"
    title = "CloudEvents, binary (cloudevents_binary)"
    description = "A CloudEvent 1.0 in binary mode: the attributes in ce- headers, the data alone as the body"
    source = "https://github.com/cloudevents/spec (HTTP protocol binding)"
    header_names = ("ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time")
    copies_data = True

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """Return the data, and a header for each attribute."""
        headers = {f"ce-{name}": quote(text, safe=_HEADER_CHARACTERS) for name, text in _list_attributes(event).items()}
        return Message(encode(event.data, max_payload_bytes=max_payload_bytes), headers)


class RawFormat(Format):
    """The data and nothing else."""

    name = "raw"
    title = "the data alone (raw)"
    description = "Exactly the data as JSON; the event type is in a header only"
    copies_data = True

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """Return the data."""
        return Message(encode(event.data, max_payload_bytes=max_payload_bytes))


def _list_attributes(event: Event) -> dict[str, str]:
    """Return the context attributes of a CloudEvent; an id is unique for its source."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source or "/",
        "type": event.type,
        "time": find_time(event),
    }


def _read_format(loaded: object) -> Format:
    """Return the format that an entry point loads."""
    made = loaded() if isinstance(loaded, type) and issubclass(loaded, Format) else loaded
    if not isinstance(made, Format):
        raise TypeError("it is not a Format")
    return made


_ROWS: tuple[Format, ...] = (
    SentryFormat(),
    StandardWebhooksFormat(),
    CloudEventsFormat(),
    CloudEventsBinaryFormat(),
    RawFormat(),
    SlackFormat(),
    TeamsFormat(),
    DiscordFormat(),
    PagerDutyFormat(),
    TemplateFormat(),
)
FORMATS: Mapping[str, Format] = ExtensibleTable(_ROWS, group=ENTRY_POINT_GROUP, title="format", read=_read_format)
"""Every format by its name."""


def find_format(name: str | None, event_type: str, *, settings: FormatSettings = NO_SETTINGS) -> Format:
    """
    Return a format by its name; by default the endpoint's, the documented one of the type, or ``standard_webhooks``.

    :param settings: those of the endpoint, which the format is bound to
    :raises ValidationError: if there is no such format, or only a connection may set it
    """
    name = name or settings.name
    if name is None:
        name = "sentry" if event_type in EVENT_TYPES else "standard_webhooks"
    found = FORMATS.get(name)
    if found is None:
        raise ValidationError("the event", {"format": f"must be one of {', '.join(FORMATS)}, not {safe_repr(name)}"})
    reason = found.connection_reason
    if reason is not None and settings.name != found.name:
        raise ValidationError("the event", {"format": f"{found.name} must be set in the connection, {reason}"})
    return found.bind(settings)


def encode_event(
    event_type: str,
    event: Event | Payload,
    *,
    format_name: str | None,
    settings: FormatSettings = NO_SETTINGS,
    max_payload_bytes: int,
) -> EncodedEvent:
    """
    Return what the request for an event has of it.

    :param event: an event, or the payload of a documented one
    :param format_name: ``None``: the endpoint's, or the default of the event type
    :param settings: those of the endpoint
    :raises ValidationError: if there is no such format, or it cannot represent the event
    :raises PayloadError: if the data is not JSON, or the body is larger than allowed
    """
    from airflow_provider_hooks.events.event import Event

    chosen = find_format(format_name, event_type, settings=settings)
    wrapped = event if isinstance(event, Event) else wrap_payload(event_type, event)
    body, headers = chosen.encode(wrapped, max_payload_bytes=max_payload_bytes)
    return EncodedEvent(
        id=wrapped.id, body=body, headers=headers, content_type=chosen.content_type, header_names=chosen.header_names
    )


def wrap_payload(event_type: str, payload: Payload) -> Event:
    """
    Return an event of a documented type, whose data is its payload.

    :raises PayloadError: if it is none
    :raises ValidationError: if the payload, which may not come from a builder, has no id
    """
    from airflow_provider_hooks.events.event import Event

    if not isinstance(payload, dict):
        raise PayloadError("payload", {"event": f"must be a dict, not a {type(payload).__name__}"})
    event_id, time, source = payload.get("id"), payload.get("datetime"), payload.get("url")
    if not isinstance(event_id, str):
        problem = f"must be text, as the builders make it, not {safe_repr(event_id)}"
        raise ValidationError("payload", {"id": problem})
    return Event(
        type=event_type,
        id=event_id,
        occurred_at=time if isinstance(time, str) else None,
        source=source if isinstance(source, str) else "",
        data=payload,
    )
