# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""From an event as it was read to all the bytes of its request: built or validated, serialised once, signed."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from airflow_provider_hooks.delivery.headers import DELIVERY_HEADER, merge_headers
from airflow_provider_hooks.delivery.record import DeliveryIds
from airflow_provider_hooks.delivery.request import static_sensitive_values
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.signing.signatures import Signer, sensitive_signatures
from airflow_provider_hooks.stream.payloads import PayloadReader

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    Prepares the events of one type for one endpoint; what is the same for all of them is made once.

    :param headers: of every request, besides the signature and the delivery id; ours
    :param max_payload_bytes: the largest body allowed
    """

    def __init__(
        self, endpoint: Endpoint, event_type: str, *, headers: Mapping[str, str], max_payload_bytes: int
    ) -> None:
        self._endpoint = endpoint
        self._reader = PayloadReader(event_type, max_payload_bytes=max_payload_bytes)
        self._ids = DeliveryIds(endpoint=endpoint.conn_id, event_type=event_type)
        self._is_timed = endpoint.scheme.timestamp_header is not None
        self._signer = Signer(endpoint.scheme, endpoint.secrets)
        signed = self._signer.sign(b"", delivery_id="x", timestamp=0)
        ours = {**headers, DELIVERY_HEADER: "", "Content-Length": "", **signed}
        constant = {name: text for name, text in merge_headers(endpoint.headers, ours).items() if name not in ours}
        parts, target = urlsplit(endpoint.url), parse_url(endpoint.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.lower() if parts.port else (f"[{target.host}]" if ":" in target.host else target.host)
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *_write_lines({**constant, **headers}), DELIVERY_HEADER]
        self._head = "\r\n".join(lines) + ": "
        self._lasting_private = static_sensitive_values(endpoint)
        self._signature_mark = f"\r\n{endpoint.scheme.signature_header}: ".encode()

    def prepare(self, event: RawEvent, *, position: int) -> EncodedRequest:
        """
        Make the request of an event.

        :param position: where in its source the event begins
        :raises InvalidEventError: saying what is wrong with it
        """
        event_id, body = self._reader.read(event)
        delivery_id = self._ids.make(event_id)
        signed = ""
        timestamp = str(int(time.time())) if self._is_timed else ""
        headers = self._signer.sign_known(body, delivery_id=delivery_id, timestamp=timestamp)
        for name, value in headers.items():
            signed += f"\r\n{name}: {value}"
        size = len(body)
        head = f"{self._head}{delivery_id}\r\nContent-Length: {size}{signed}\r\n\r\n"
        return EncodedRequest(
            event_id, delivery_id, head.encode("ascii") + body, sha256(body).hexdigest(), size, position
        )

    def check(self, event: RawEvent) -> None:
        """
        Return if an event can be delivered.

        :raises InvalidEventError: saying what is wrong with it
        """
        self._reader.read(event)

    def sensitive_values(self, event: EncodedRequest) -> tuple[str, ...]:
        """Return what a receiver may send back and nobody may see."""
        scheme = self._endpoint.scheme
        if scheme.signature_header is None:
            return self._lasting_private
        begins = event.request.index(self._signature_mark) + len(self._signature_mark)
        signature = event.request[begins : event.request.index(b"\r\n", begins)].decode("ascii")
        signatures = sensitive_signatures(scheme, {scheme.signature_header: signature}, self._endpoint.secrets)
        return (*self._lasting_private, *dict.fromkeys(signatures))


def _write_lines(headers: Mapping[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]
