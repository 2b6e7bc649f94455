# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""From an endpoint and a payload to the exact bytes of a request: headers, signature, and what of them is secret."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_hooks import __version__
from airflow_provider_hooks.delivery.record import DeliveryInfo
from airflow_provider_hooks.http.redact import MASK, redact
from airflow_provider_hooks.signing.signer import DELIVERY_HEADER, RequestTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_hooks.delivery.endpoint import Endpoint
    from airflow_provider_hooks.json_types import JsonObject

METHOD = "POST"
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_PLAIN = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
"""What JSON writes without escapes."""
_DELIVERY_NAMESPACE = uuid.UUID("5d8fbc09-b0a5-5c9c-8a8e-1f9f6f2c7a11")
EVENT_HEADER = "X-Service-Hook-Event"
"""Carries the event type."""
REDELIVERY_HEADER = "X-Service-Hook-Redelivery"
"""``true`` where the event may have been sent before; a first delivery does not have it."""


class DeliveryIds:
    """
    The ids of the deliveries of events of one type to one endpoint: UUIDv5 (RFC 9562), the same on every try.

    They are made faster than by ``uuid.uuid5``.
    """

    def __init__(self, *, deployment: str, endpoint: str, event_type: str) -> None:
        name = json.dumps([deployment, endpoint, event_type])[:-1] + ", "
        self._hashed = hashlib.sha1(_DELIVERY_NAMESPACE.bytes + name.encode(), usedforsecurity=False)

    def make(self, event_id: str) -> str:
        """Return the id of the delivery of an event."""
        hashed = self._hashed.copy()
        quoted = f'"{event_id}"' if _PLAIN.fullmatch(event_id) else json.dumps(event_id)
        hashed.update(f"{quoted}]".encode())
        digits = hashed.hexdigest()
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request: exactly the bytes that are sent."""

    info: DeliveryInfo
    request: bytes
    """Head and body."""
    signature_headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Show nothing that is secret."""
        return f"SignedRequest(info={self.info!r})"


class RequestTemplate:
    """Makes the requests of one event type for one endpoint; what is the same in all of them is made once."""

    def __init__(
        self,
        endpoint: Endpoint,
        event_type: str,
        *,
        content_type: str = "application/json",
        header_names: Iterable[str] = (),
    ) -> None:
        """
        Make what all requests have.

        :param header_names: of the headers that ``sign`` gets with each event; a connection cannot set them
        """
        self.endpoint, self.event_type = endpoint, event_type
        self._ids = DeliveryIds(deployment=endpoint.deployment, endpoint=endpoint.conn_id, event_type=event_type)
        target = RequestTarget(method=METHOD, url=endpoint.target, content_type=content_type)
        self._signer = endpoint.scheme.with_target(target).bind(endpoint.secrets)
        self._is_timed = endpoint.scheme.needs_timestamp
        headers = {
            "Content-Type": content_type,
            "User-Agent": f"airflow-provider-hooks/{__version__}",
            EVENT_HEADER: event_type,
            **(endpoint.scheme.make_event_headers(event_type) if endpoint.scheme.event_header else {}),
        }
        others = (DELIVERY_HEADER, REDELIVERY_HEADER, "Content-Length", *endpoint.scheme.header_names, *header_names)
        ours = {**dict.fromkeys(others, ""), **headers}
        given = {**endpoint.plain_headers, **endpoint.headers}
        added = {name: value for name, value in merge_headers(given, ours).items() if name not in ours}
        constant = {"Host": endpoint.target.authority, **added, **headers}
        lines = [f"{name}: {value}" for name, value in constant.items()]
        request_line = f"{METHOD} {endpoint.target.request_target} HTTP/1.1"
        self._head = "\r\n".join([request_line, *lines, DELIVERY_HEADER]) + ": "
        self._id_header = endpoint.id_header
        self.token = ""
        """The access token of the requests from now on, if the endpoint needs one."""
        self._tokens: tuple[str, ...] = ()
        """The current one and the one before, which are masked."""
        self._authorization = ""
        self._sensitive = (
            *endpoint.secrets,
            *endpoint.sensitive_headers,
            *endpoint.target.sensitive_parts,
        )

    def use_token(self, token: str) -> None:
        """Authorize the requests from now on with an access token (RFC 6750, section 2.1)."""
        if token != self.token:
            self.token, self._authorization = token, f"\r\nAuthorization: Bearer {token}"
            self._tokens = (token, *self._tokens[:1])

    def make_delivery_id(self, event_id: str) -> str:
        """Return the id of the delivery of an event: the same on every try."""
        return self._ids.make(event_id)

    def describe(self, event_id: str, body: bytes) -> DeliveryInfo:
        """Return what is known of a delivery before anything is sent."""
        return DeliveryInfo(
            delivery_id=self.make_delivery_id(event_id),
            event_id=event_id,
            event_type=self.event_type,
            endpoint=self.endpoint.conn_id,
            url=self.endpoint.target.display_url,
            scheme=self.endpoint.scheme.name,
            body_sha256=hashlib.sha256(body).hexdigest(),
            body_bytes=len(body),
        )

    def sign(
        self, delivery_id: str, body: bytes, *, headers: Mapping[str, str] = _NO_HEADERS, redelivery: bool = False
    ) -> tuple[bytes, Mapping[str, str]]:
        """
        Return the bytes of a request that is signed now, and the headers of its signature.

        :param headers: those of the event, as its format returned them
        :param redelivery: whether the event may have been sent before, which a header says
        """
        timestamp = int(time.time()) if self._is_timed else 0
        signature = self._signer(body, delivery_id=delivery_id, timestamp=timestamp)
        added = "".join([f"\r\n{name}: {value}" for part in (headers, signature) for name, value in part.items()])
        copied = f"\r\n{self._id_header}: {delivery_id}" if self._id_header else ""
        again = f"\r\n{REDELIVERY_HEADER}: true" if redelivery else ""
        head = (
            f"{self._head}{delivery_id}{copied}{again}{self._authorization}"
            f"\r\nContent-Length: {len(body)}{added}\r\n\r\n"
        )
        return head.encode("ascii") + body, signature

    def make_request(
        self, info: DeliveryInfo, body: bytes, *, headers: Mapping[str, str] = _NO_HEADERS, redelivery: bool = False
    ) -> SignedRequest:
        """
        Return the request of a delivery, signed now.

        :param headers: those of the event, as its format returned them
        :param redelivery: whether the event may have been sent before
        """
        request, signature = self.sign(info.delivery_id, body, headers=headers, redelivery=redelivery)
        return SignedRequest(info=info, request=request, signature_headers=signature)

    def sensitive_values(self, signature_headers: Mapping[str, str]) -> tuple[str, ...]:
        """Return the secrets, tokens and signatures of a request, which are masked in what the receiver returns."""
        endpoint = self.endpoint
        signatures = endpoint.scheme.sensitive_values(signature_headers, endpoint.secrets)
        return tuple(dict.fromkeys((*self._sensitive, *self._tokens, *signatures)))


def merge_headers(added: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return all headers of a request: where both have one, in whatever case, ours."""
    names = {name.lower() for name in ours}
    return {**{name: value for name, value in added.items() if name.lower() not in names}, **ours}


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """
    A request as it would be sent now, to look at before it is.

    It shows the signature and exactly the signed bytes, so that a receiver can be tried with them, and nothing else
    that is secret: the values of the connection's headers are masked, and so are the query of the URL and the key that
    the body of some formats holds.
    """

    info: DeliveryInfo
    url: str
    """Its query is masked."""
    headers: Mapping[str, str]
    """All that are sent, in their order."""
    signature_header: str | None
    body: bytes

    def as_json(self) -> JsonObject:
        """Return it as one JSON object; the body is text there, since it is JSON in UTF-8."""
        return {
            "delivery_id": self.info.delivery_id,
            "method": METHOD,
            "url": self.url,
            "headers": dict(self.headers),
            "body": self.body.decode(),
            "body_bytes": self.info.body_bytes,
            "body_sha256": self.info.body_sha256,
        }

    def hide_signature(self) -> dict[str, str]:
        """Return the headers with the signature masked, for readers who must not send the request themselves."""
        return {name: MASK if name == self.signature_header else value for name, value in self.headers.items()}

    def as_message(self, *, shows_signature: bool = True) -> bytes:
        """Return the head line by line, a blank line, and exactly the bytes of the body."""
        shown = self.headers if shows_signature else self.hide_signature()
        headers = (f"{name}: {value}" for name, value in shown.items())
        head = [f"{METHOD} {self.url} HTTP/1.1", *headers]
        return "\n".join([*head, "", ""]).encode() + self.body


def preview_request(endpoint: Endpoint, request: SignedRequest) -> Preview:
    """Return a request as it may be shown: read from the very bytes that would be sent."""
    head, _, body = request.request.partition(b"\r\n\r\n")
    pairs = [line.partition(": ") for line in head.decode("ascii").split("\r\n")[1:]]
    url, key = endpoint.target.display_url, endpoint.format_settings.key
    return Preview(
        info=request.info,
        url=f"{url}?{MASK}" if endpoint.target.query else url,
        headers={name: MASK if name in endpoint.headers else value for name, _, value in pairs},
        signature_header=endpoint.scheme.signature_header,
        body=body if key is None else redact(body.decode(), [key]).encode(),
    )
