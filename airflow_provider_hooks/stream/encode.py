# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""From an event of a source to all bytes of its request: built or validated, serialized once, signed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_hooks.delivery.request import RequestTemplate
from airflow_provider_hooks.events.format_base import NO_HEADERS
from airflow_provider_hooks.events.serialization import PayloadReader
from airflow_provider_hooks.exceptions import InvalidEventError, ValidationError
from airflow_provider_hooks.stream.sources import MAX_LINE_BYTES, OversizedLine, SelectedSource, select_events

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_hooks.delivery.endpoint import Endpoint
    from airflow_provider_hooks.events.reader import EventReader
    from airflow_provider_hooks.http.oauth2 import TokenSource
    from airflow_provider_hooks.stream.records import RecordFolder
    from airflow_provider_hooks.stream.sources import RawEvent, Source


SUBJECT = "events (nothing was sent)"
MAX_TEMPLATES = 256
"""For how many event types of one stream the constant parts of their requests are stored at once."""
_TOO_LONG = f"the line is longer than {MAX_LINE_BYTES} bytes"
_SHOWN_INVALID = 10
"""How many invalid events an error names."""


class EncodedRequest(NamedTuple):
    """An event that is ready to be sent."""

    event_id: str
    delivery_id: str
    request: bytes
    """Head and body: exactly the bytes that are sent."""
    body_sha256: str
    body_bytes: int
    offset: int
    """Where the event begins in its source."""
    headers: Mapping[str, str] = NO_HEADERS
    """Those that the event adds."""
    redelivery: bool = False
    """Whether the event may have been sent before."""
    event_type: str | None = None
    """``None`` if all events of the stream have one type."""
    token: str = ""
    """The access token in it, if the endpoint needs one."""

    def __repr__(self) -> str:
        """Show nothing that is secret."""
        return f"EncodedRequest(event_id={self.event_id!r}, offset={self.offset})"


class RequestEncoder:
    """
    Encodes the events of a stream for one endpoint.

    :param event_type: the type of all events; ``None`` if the reader finds the type of each event
    :param reader: reads the events; by default in the documented format of ``event_type``
    :param tokens: where the endpoint needs access tokens, their source
    """

    def __init__(
        self,
        endpoint: Endpoint,
        event_type: str | None,
        *,
        max_payload_bytes: int,
        reader: EventReader | None = None,
        tokens: TokenSource | None = None,
    ) -> None:
        self.tokens = tokens
        self._endpoint, self._event_reader = endpoint, reader
        self._templates: dict[str, RequestTemplate] = {}
        self._template: RequestTemplate | None = None
        if event_type is not None:
            self._reader: EventReader | PayloadReader = reader or PayloadReader(
                event_type, max_payload_bytes=max_payload_bytes
            )
            self._template = self._make_template(event_type)
        header = endpoint.scheme.signature_header
        self._signature_header = header
        self._signature_mark = f"\r\n{header}: ".encode()

    def encode(self, event: RawEvent, *, offset: int, redelivery: bool = False) -> EncodedRequest:
        """
        Return the request of an event, signed now.

        :param offset: where the event begins in its source
        :param redelivery: whether the event may have been sent before
        :raises InvalidEventError: if the event cannot be delivered, with the reason
        """
        template, event_type = self._template, None
        if template is None:
            event_type, event_id, body, headers = self._read_typed(event)
            template = self._find_template(event_type)
        else:
            event_id, body, headers = self._read(event)
        delivery_id = template.make_delivery_id(event_id)
        request, _ = template.sign(delivery_id, body, headers=headers, redelivery=redelivery)
        return EncodedRequest(
            event_id,
            delivery_id,
            request,
            sha256(body).hexdigest(),
            len(body),
            offset,
            headers,
            redelivery,
            event_type,
            template.token,
        )

    def sign_again(self, request: EncodedRequest) -> EncodedRequest:
        """Return the same request, signed now: some schemes sign the time."""
        body = request.request[len(request.request) - request.body_bytes :]
        template = self._find_template(request.event_type)
        signed, _ = template.sign(request.delivery_id, body, headers=request.headers, redelivery=request.redelivery)
        return request._replace(request=signed, token=template.token)

    def prepare(self, request: EncodedRequest) -> EncodedRequest:
        """
        Return a request with a token that is valid now, signed again if that is another one.

        :raises TokenError: if there is none; nothing was sent
        """
        if self.tokens is None:
            return request
        template = self._find_template(request.event_type)
        template.use_token(self.tokens.get())
        return request if request.token == template.token else self.sign_again(request)

    def read_event_id(self, event: RawEvent) -> str:
        """
        Return the id of an event that can be delivered.

        :raises InvalidEventError: if it cannot, with the reason
        """
        if self._template is not None:
            return self._read(event)[0]
        event_type, event_id, *_ = self._read_typed(event)
        self._find_template(event_type)
        return event_id

    def _read(self, event: RawEvent) -> tuple[str, bytes, Mapping[str, str]]:
        if isinstance(event, OversizedLine):
            raise InvalidEventError(_TOO_LONG)
        return self._reader.read(event)

    def _read_typed(self, event: RawEvent) -> tuple[str, str, bytes, Mapping[str, str]]:
        if isinstance(event, OversizedLine):
            raise InvalidEventError(_TOO_LONG)
        assert self._event_reader is not None  # noqa: S101  (for mypy: without a type there is a reader)
        return self._event_reader.read_typed(event)

    def _find_template(self, event_type: str | None) -> RequestTemplate:
        """
        Return the template of a type; the oldest ones make room, so that no number of types fills the memory.

        :raises InvalidEventError: if the endpoint does not take such events
        """
        if self._template is not None:
            return self._template
        name = str(event_type)
        template = self._templates.get(name)
        if template is None:
            if not self._endpoint.takes(name):
                raise InvalidEventError(f"the endpoint takes only {', '.join(self._endpoint.events)}, not {name}")
            if len(self._templates) >= MAX_TEMPLATES:
                del self._templates[next(iter(self._templates))]
            template = self._templates[name] = self._make_template(name)
        return template

    def _make_template(self, event_type: str) -> RequestTemplate:
        reader = self._event_reader
        if reader is None:
            return RequestTemplate(self._endpoint, event_type)
        return RequestTemplate(
            self._endpoint, event_type, content_type=reader.content_type, header_names=reader.header_names
        )

    def sensitive_values(self, event: EncodedRequest) -> tuple[str, ...]:
        """Return the secrets, tokens and the signature of a request, which are masked where a receiver returns them."""
        template = self._find_template(event.event_type)
        token = (event.token,) if event.token else ()
        if self._signature_header is None:
            return (*template.sensitive_values({}), *token)
        begins = event.request.index(self._signature_mark) + len(self._signature_mark)
        signature = event.request[begins : event.request.index(b"\r\n", begins)].decode("ascii")
        return (*template.sensitive_values({self._signature_header: signature}), *token)


def check_all_valid(source: Source, encoder: RequestEncoder) -> None:
    """
    Read all events, and return if each can be delivered.

    :raises ValidationError: naming the first that cannot, with their offsets
    """
    found: dict[str, str] = {}
    for event, offset, _ in source.read(source.start_offset()):
        try:
            encoder.read_event_id(event)
        except InvalidEventError as error:
            if len(found) == _SHOWN_INVALID:
                found["and more"] = "only the first are named"
                break
            found[f"event {source.describe_offset(offset)}"] = str(error)
    if found:
        raise ValidationError(SUBJECT, found)


def select_undelivered(
    source: Source, encoder: RequestEncoder, earlier: RecordFolder, outcomes: Collection[str]
) -> tuple[SelectedSource, frozenset[int]]:
    """
    Return the events of a source that have one of these outcomes in the records of an earlier run.

    :returns: the events, and the offsets of those that may be redelivered
    :raises RecordError: if the records cannot be read
    :raises ValidationError: if they belong to other events: an event is not at its offset, or has another id
    """
    undelivered = {
        offset: event for offset, event in earlier.read_undelivered(outcomes).items() if source.covers(offset)
    }
    missing = dict(undelivered)
    for event, offset, _ in select_events(source, undelivered):
        try:
            if encoder.read_event_id(event) == undelivered[offset].event_id:
                del missing[offset]
        except InvalidEventError:
            continue
    if missing:
        first = min(missing.values(), key=lambda event: event.offset)
        message = (
            f"the records in {earlier} belong to other events: {len(missing)} of {len(undelivered)} are not in the "
            f"source, such as {first.event_id} {source.describe_offset(first.offset)}"
        )
        raise ValidationError(SUBJECT, {"undelivered_from": message})
    redelivered = frozenset(offset for offset, event in undelivered.items() if event.may_have_arrived)
    return SelectedSource(source=source, offsets=frozenset(undelivered)), redelivered
