# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""From an endpoint and a body to exactly what is sent: headers, signature, and what nobody may see of them."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_hooks import __version__
from airflow_provider_hooks.delivery.headers import (
    DELIVERY_HEADER,
    EVENT_HEADER,
    merge_headers,
    sensitive_header_values,
)
from airflow_provider_hooks.delivery.record import DeliveryInfo, make_delivery_id
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.http.redact import sensitive_url_parts
from airflow_provider_hooks.http.urls import strip_sensitive_parts
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.signatures import sensitive_signatures, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.delivery.endpoint import Endpoint


@dataclass(frozen=True, kw_only=True)
class Request:
    """Exactly what is sent."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)
    """Secrets, signatures and tokens, to be masked where the receiver sends them back."""


def find_event_id(payload: Mapping[str, object]) -> str:
    """
    Return the id of a payload, which may not come from a builder.

    :raises ValidationError: if it has none
    """
    event_id = payload.get("id")
    if not isinstance(event_id, str):
        raise ValidationError("payload", {"id": f"must be text, as the builders make it, not {safe_repr(event_id)}"})
    return event_id


def make_delivery_info(endpoint: Endpoint, *, event_type: str, event_id: str, body: bytes) -> DeliveryInfo:
    """Say what is known of a delivery before anything is sent."""
    return DeliveryInfo(
        delivery_id=make_delivery_id(endpoint=endpoint.conn_id, event_type=event_type, event_id=event_id),
        event_id=event_id,
        event_type=event_type,
        endpoint=endpoint.conn_id,
        url=strip_sensitive_parts(endpoint.url),
        scheme=endpoint.scheme.name,
        body_sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
    )


def describe_headers(event_type: str) -> dict[str, str]:
    """Return the headers that every delivery of an event type has."""
    return {
        "Content-Type": "application/json",
        "User-Agent": f"airflow-provider-hooks/{__version__}",
        EVENT_HEADER: event_type,
    }


def make_request(endpoint: Endpoint, info: DeliveryInfo, body: bytes) -> Request:
    """
    Make the request of a delivery, signed now.

    :raises SignatureError: if it cannot be signed
    """
    signature = sign(
        endpoint.scheme,
        body=body,
        secrets=endpoint.secrets,
        delivery_id=info.delivery_id,
        timestamp=int(time.time()),
    )
    ours = {**describe_headers(info.event_type), DELIVERY_HEADER: info.delivery_id, **signature}
    headers = merge_headers(endpoint.headers, ours)
    return Request(url=endpoint.url, headers=headers, body=body, private=sensitive_values(endpoint, signature))


def sensitive_values(endpoint: Endpoint, headers: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return what a receiver may send back and nobody may see.

    :param headers: of the request, with its signature
    """
    signatures = sensitive_signatures(endpoint.scheme, headers, endpoint.secrets)
    return tuple(dict.fromkeys((*static_sensitive_values(endpoint), *signatures)))


def static_sensitive_values(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what of that is the same for every request."""
    return (*endpoint.secrets, *sensitive_header_values(endpoint.headers), *sensitive_url_parts(endpoint.url))
