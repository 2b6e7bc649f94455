# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The signing schemes, as data: what is signed, with which form of the secret, and in which headers it travels.

A new scheme is a new row of ``SCHEMES``; ``sign`` and ``verify`` need no change, and the connection form and the docs
follow the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Part = Literal["id", "timestamp", "body"]
KeyFormat = Literal["text", "whsec"]
Encoding = Literal["hex", "base64"]


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way to sign a body with HMAC-SHA256."""

    name: str
    """Its name in a connection."""

    description: str
    """One line for the form and the docs."""

    source: str
    """The page that documents it."""

    signature_header: str | None
    """The header that carries the signature; ``None`` where nothing is signed."""

    signature_prefix: str = ""
    """What stands before the encoded digest, such as ``sha256=``."""

    signed_parts: tuple[Part, ...] = ("body",)
    """What is signed, joined with full stops."""

    encoding: Encoding = "hex"
    """How the digest is written."""

    key_format: KeyFormat = "text"
    """``text``: the key is the secret's UTF-8 bytes. ``whsec``: it is the base64 after an optional ``whsec_``."""

    id_header: str | None = None
    """The header that carries the delivery id, where the scheme has one."""

    timestamp_header: str | None = None
    """The header that carries the time of sending in unix seconds, where the scheme has one."""

    several_signatures: bool = False
    """Whether the header can carry one signature a secret, separated by spaces."""

    @property
    def header_names(self) -> tuple[str, ...]:
        """The headers that a signature consists of."""
        return tuple(name for name in (self.signature_header, self.id_header, self.timestamp_header) if name)


_ROWS = (
    Scheme(
        name="sentry",
        description="Hex HMAC of the body in X-Sentry-Hook-Signature, as Sentry documents service hooks",
        source="https://docs.sentry.io/ (service hooks)",
        signature_header="X-Sentry-Hook-Signature",
    ),
    Scheme(
        name="sentry_servicehook",
        description="Hex HMAC of the body in X-ServiceHook-Signature, as Sentry's server sends; the GUID is ours",
        source="https://github.com/getsentry/sentry (service hook task)",
        signature_header="X-ServiceHook-Signature",
        id_header="X-ServiceHook-GUID",
        timestamp_header="X-ServiceHook-Timestamp",
    ),
    Scheme(
        name="zstack",
        description="Hex HMAC of timestamp and body in X-Webhook-Signature, as ZStack documents webhook security",
        source="ZStack API: GET /api/v1/alerting/docs/webhook-security",
        signature_header="X-Webhook-Signature",
        signature_prefix="v1=",
        signed_parts=("timestamp", "body"),
        timestamp_header="X-Webhook-Timestamp",
    ),
    Scheme(
        name="standard_webhooks",
        description="Base64 HMAC of id, timestamp and body in webhook-signature, as Standard Webhooks specifies",
        source="https://www.standardwebhooks.com/",
        signature_header="webhook-signature",
        signature_prefix="v1,",
        signed_parts=("id", "timestamp", "body"),
        encoding="base64",
        key_format="whsec",
        id_header="webhook-id",
        timestamp_header="webhook-timestamp",
        several_signatures=True,
    ),
    Scheme(
        name="github",
        description="Hex HMAC of the body in X-Hub-Signature-256, as GitHub documents webhook deliveries",
        source="https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        signature_header="X-Hub-Signature-256",
        signature_prefix="sha256=",
        id_header="X-GitHub-Delivery",
    ),
    Scheme(
        name="none",
        description="No signature: for receivers that authenticate in another way",
        source="",
        signature_header=None,
        signed_parts=(),
    ),
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _ROWS})
"""Every scheme by its name."""

DEFAULT_SCHEME = "sentry"
"""The scheme of an endpoint whose connection names none."""

KEY_FORMATS: tuple[KeyFormat, ...] = ("text", "whsec")
"""What a connection's ``key_format`` may say."""
