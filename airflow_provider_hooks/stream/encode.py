# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""From an event as it was read to all the bytes of its request: built or validated, serialised once, signed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_hooks.delivery.request import RequestTemplate
from airflow_provider_hooks.events.serialization import PayloadReader
from airflow_provider_hooks.exceptions import InvalidEventError
from airflow_provider_hooks.stream.sources import MAX_LINE_BYTES, OversizedLine

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.endpoint import Endpoint
    from airflow_provider_hooks.stream.sources import RawEvent


class EncodedRequest(NamedTuple):
    """An event that is ready to be sent."""

    event_id: str
    delivery_id: str
    request: bytes
    """Head and body, exactly as they are sent."""
    body_sha256: str
    body_bytes: int
    position: int
    """Where in its source it begins."""


class RequestEncoder:
    """
    Encodes the events of one type for one endpoint.

    :param max_payload_bytes: the largest body allowed
    """

    def __init__(self, endpoint: Endpoint, event_type: str, *, max_payload_bytes: int) -> None:
        self._reader = PayloadReader(event_type, max_payload_bytes=max_payload_bytes)
        self._template = RequestTemplate(endpoint, event_type)
        header = endpoint.scheme.signature_header
        self._signature_header = header
        self._signature_mark = f"\r\n{header}: ".encode()

    def prepare(self, event: RawEvent, *, position: int) -> EncodedRequest:
        """
        Make the request of an event.

        :param position: where in its source the event begins
        :raises InvalidEventError: saying what is wrong with it
        """
        event_id, body = self._read(event)
        delivery_id = self._template.make_delivery_id(event_id)
        request, _ = self._template.sign(delivery_id, body)
        return EncodedRequest(event_id, delivery_id, request, sha256(body).hexdigest(), len(body), position)

    def check(self, event: RawEvent) -> None:
        """
        Return if an event can be delivered.

        :raises InvalidEventError: saying what is wrong with it
        """
        self._read(event)

    def _read(self, event: RawEvent) -> tuple[str, bytes]:
        if isinstance(event, OversizedLine):
            raise InvalidEventError(f"the line is longer than {MAX_LINE_BYTES} bytes")
        return self._reader.read(event)

    def sensitive_values(self, event: EncodedRequest) -> tuple[str, ...]:
        """Return the secrets, tokens and the signature of a request, which are masked where they are sent back."""
        if self._signature_header is None:
            return self._template.sensitive_values({})
        begins = event.request.index(self._signature_mark) + len(self._signature_mark)
        signature = event.request[begins : event.request.index(b"\r\n", begins)].decode("ascii")
        return self._template.sensitive_values({self._signature_header: signature})
