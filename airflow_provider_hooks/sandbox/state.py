# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the sandbox remembers: its platforms and their hooks, and every request that its receiver got."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import asdict, dataclass
from itertools import count
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_hooks.sandbox.platform import Hook, SandboxPlatform
from airflow_provider_hooks.signing import SCHEMES, SignatureError, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_hooks.json_types import JsonObject


_SUCCESS = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request that the receiver got, and what it made of it."""

    number: int
    received_at: str
    path: str
    event_type: str | None
    event_id: str | None
    delivery_id: str | None
    scheme: str | None
    verified: bool
    reason: str | None
    """Why it was not verified."""
    duplicate: bool
    """Whether the same event came to the same path before."""
    answered: int
    body_bytes: int
    body_sha256: str
    body: str
    """As it came in, as far as it is UTF-8."""


class SandboxState:
    """
    Everything that the sandbox knows; safe to use from several threads.

    :param token: what every platform's API asks for, in place of a token of its own
    :param receiver_secrets: secrets that the receiver accepts besides those of registered hooks
    """

    def __init__(self, *, token: str | None = None, receiver_secrets: Sequence[str] = ()) -> None:
        self._token = token
        self._receiver_secrets = tuple(receiver_secrets)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if started anew; tokens are new too unless one was given."""
        self.platforms: Mapping[str, SandboxPlatform] = _make_platforms(self._token)
        """Each platform, by its name in a connection."""
        self.answer_status = 200
        """What the receiver answers with to what it verified."""
        self._deliveries: list[Received] = []

    @property
    def sentry(self) -> SandboxPlatform:
        """The platform whose events are delivered."""
        return self.platforms["sentry"]

    def list_hooks(self) -> list[Hook]:
        """Return the hooks of all platforms."""
        return [hook for platform in self.platforms.values() for hook in platform.list_hooks()]

    def take_delivery(
        self,
        *,
        url: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        event_type: str | None,
        event_id: str | None,
    ) -> Received:
        """Verify a request, decide on the answer and remember it."""
        scheme, reason = self._verify(url, headers=headers, body=body)
        told = {name.lower(): value for name, value in headers.items()}
        with self._lock:
            told_before = {(one.path, one.event_type, one.event_id) for one in self._deliveries}
            delivery = Received(
                number=len(self._deliveries) + 1,
                received_at=pendulum.now("UTC").isoformat(),
                path=path,
                event_type=event_type,
                event_id=event_id,
                delivery_id=told.get("x-service-hook-delivery"),
                scheme=scheme,
                verified=reason is None,
                reason=reason,
                duplicate=event_id is not None and (path, event_type, event_id) in told_before,
                answered=self.answer_status if reason is None else 401,
                body_bytes=len(body),
                body_sha256=hashlib.sha256(body).hexdigest(),
                body=body.decode(errors="replace"),
            )
            self._deliveries.append(delivery)
        return delivery

    def list_deliveries(self) -> list[Received]:
        """Return every request that the receiver got, in order."""
        with self._lock:
            return list(self._deliveries)

    def summarize(self) -> JsonObject:
        """Return all deliveries and their counts, as ``GET /deliveries`` tells them."""
        deliveries = self.list_deliveries()
        return {
            "registered": len(self.list_hooks()),
            "received": len(deliveries),
            "delivered": sum(one.verified and one.answered in _SUCCESS for one in deliveries),
            "verified": sum(one.verified for one in deliveries),
            "duplicates": sum(one.duplicate for one in deliveries),
            "deliveries": [asdict(one) for one in deliveries],
        }

    def _verify(self, url: str, *, headers: Mapping[str, str], body: bytes) -> tuple[str | None, str | None]:
        known = [hook.secret for hook in self.list_hooks() if hook.url == url and hook.is_active and hook.secret]
        present = {name.lower() for name in headers}
        signed = [s for s in SCHEMES.values() if s.signature_header and s.signature_header.lower() in present]
        if not signed:
            return None, "no signature header of a known scheme"
        if not known and not self._receiver_secrets:
            return signed[0].name, "no hook is registered for this URL"
        try:
            verify(signed[0], headers=headers, body=body, secrets=[*known, *self._receiver_secrets])
        except SignatureError as error:
            return signed[0].name, str(error)
        return signed[0].name, None


def _make_platforms(token: str | None) -> dict[str, SandboxPlatform]:
    """Make the platforms, with ids and secrets of the documented forms; only two of them sign."""
    endpoints, webhooks = count(1), count(123_456)
    makers: dict[str, tuple[Callable[[], str], Callable[[], str]]] = {
        "sentry": (lambda: secrets.token_hex(16), lambda: secrets.token_hex(32)),
        "akinon": (lambda: secrets.token_hex(12), str),
        "zstack": (lambda: f"wh-{next(endpoints):03}", lambda: f"whsec_{secrets.token_hex(16)}"),
        "smartsheet_rm": (lambda: str(next(webhooks)), str),
    }
    return {
        name: SandboxPlatform(name, token=token or secrets.token_hex(16), make_id=make_id, make_secret=make_secret)
        for name, (make_id, make_secret) in makers.items()
    }
