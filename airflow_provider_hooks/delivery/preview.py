# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A request as it would be sent now, for a person to look at before it is.

It shows the signature and exactly the signed bytes, so that a receiver can be tried with them, and nothing else that is
secret: the values of headers that a connection adds are masked, and so is the URL's query.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_hooks.http.proxy import format_authority
from airflow_provider_hooks.http.redact import MASK
from airflow_provider_hooks.http.urls import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.delivery.endpoint import Endpoint
    from airflow_provider_hooks.delivery.record import DeliveryInfo
    from airflow_provider_hooks.delivery.request import Request
    from airflow_provider_hooks.json_types import JsonObject

METHOD = "POST"


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What would be sent."""

    info: DeliveryInfo
    url: str
    """Without userinfo, its query masked."""
    headers: Mapping[str, str]
    """All that are sent, in their order."""
    body: bytes = field(repr=False)

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

    def as_message(self) -> bytes:
        """Return the head line by line, a blank line, and exactly the bytes of the body."""
        head = [f"{METHOD} {self.url} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\n".join([*head, "", ""]).encode() + self.body


def preview_request(endpoint: Endpoint, info: DeliveryInfo, request: Request) -> Preview:
    """Return a request as it may be shown."""
    target = parse_url(request.url)
    default = 443 if target.scheme == "https" else 80
    host = format_authority(target.host, target.port).removesuffix(f":{default}")
    shown = {name: MASK if name in endpoint.headers else value for name, value in request.headers.items()}
    return Preview(
        info=info,
        url=f"{info.url}?{MASK}" if urlsplit(request.url).query else info.url,
        headers={"Host": host, **shown, "Content-Length": str(len(request.body))},
        body=request.body,
    )
