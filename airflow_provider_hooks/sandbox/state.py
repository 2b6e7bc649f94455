# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The state of the sandbox: its platforms with their hooks, and every request that its receiver got."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_hooks.sandbox import akinon_api, sentry_api, smartsheet_rm_api, zstack_api
from airflow_provider_hooks.sandbox.platform import Hook, SandboxPlatform
from airflow_provider_hooks.signing import SCHEMES, SignatureError, verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.sandbox.api import SandboxApi

APIS: Mapping[str, SandboxApi] = MappingProxyType(
    {api.name: api for api in (sentry_api.API, akinon_api.API, zstack_api.API, smartsheet_rm_api.API)}
)
"""The API of every platform, by the platform's name: the only place that lists them."""

MAX_STORED, MAX_STORED_BYTES = 20_000, 67_108_864
"""How many requests are stored, and how many bytes of their bodies; all are counted."""
_SUCCESS = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request that the receiver got, with the result of its verification."""

    number: int
    received_at: str
    path: str
    event_type: str | None
    event_id: str | None
    delivery_id: str | None
    scheme: str | None
    verified: bool
    reason: str | None
    """Why the request is not verified; ``None`` if it is."""
    duplicate: bool
    """Whether an earlier request had the same path, event type and event id."""
    answered: int
    body_bytes: int
    body_sha256: str
    body: str
    """The body as text; bytes that are not UTF-8 are replaced."""


class SandboxState:
    """
    The state of a sandbox; safe to use from several threads.

    :param token: the token of every platform's API; by default each platform has a separate one
    :param receiver_secrets: secrets that the receiver accepts in addition to those of registered hooks
    """

    def __init__(self, *, token: str | None = None, receiver_secrets: Sequence[str] = ()) -> None:
        self._token = token
        self._receiver_secrets = tuple(receiver_secrets)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Reset to the state after a start; tokens are new too, unless one was given."""
        self.platforms = _make_platforms(self._token)
        """Each platform, by its name in a connection."""
        self.answer_status = 200
        """The status of the receiver's response to a verified request."""
        self._deliveries: deque[Received] = deque()
        self._body_bytes = 0
        """Of the deliveries that are still stored."""
        self._counts = Counter[str]()
        self._known: set[int] = set()
        """Hashes of path, event type and event id, which may be long, of every request."""

    @property
    def sentry(self) -> SandboxPlatform:
        """The platform that the sandbox's endpoint is registered on."""
        return self.platforms["sentry"]

    def list_hooks(self) -> list[Hook]:
        """Return the hooks of all platforms."""
        return [hook for platform in self.platforms.values() for hook in platform.list_hooks()]

    def receive(
        self,
        *,
        method: str,
        url: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        event_type: str | None,
        event_id: str | None,
    ) -> Received:
        """Verify a request, choose the status of the response, and store both."""
        scheme, reason = self._verify(url, method=method, headers=headers, body=body)
        lowercase = {name.lower(): value for name, value in headers.items()}
        identity = hash((path, event_type, event_id))
        with self._lock:
            delivery = Received(
                number=self._counts["received"] + 1,
                received_at=pendulum.now("UTC").isoformat(),
                path=path,
                event_type=event_type,
                event_id=event_id,
                delivery_id=lowercase.get("x-service-hook-delivery"),
                scheme=scheme,
                verified=reason is None,
                reason=reason,
                duplicate=event_id is not None and identity in self._known,
                answered=self.answer_status if reason is None else 401,
                body_bytes=len(body),
                body_sha256=hashlib.sha256(body).hexdigest(),
                body=body.decode(errors="replace"),
            )
            self._known.add(identity)
            self._store(delivery)
        return delivery

    def _store(self, delivery: Received) -> None:
        """Count a request and store it; the oldest ones make room, so that no sender fills the memory."""
        self._counts["received"] += 1
        self._counts["verified"] += delivery.verified
        self._counts["delivered"] += delivery.verified and delivery.answered in _SUCCESS
        self._counts["duplicates"] += delivery.duplicate
        self._deliveries.append(delivery)
        self._body_bytes += delivery.body_bytes
        while len(self._deliveries) > MAX_STORED or self._body_bytes > MAX_STORED_BYTES:
            self._body_bytes -= self._deliveries.popleft().body_bytes

    def list_deliveries(self) -> list[Received]:
        """Return the newest requests that the receiver got, in order: up to ``MAX_STORED``."""
        with self._lock:
            return list(self._deliveries)

    def summarize(self) -> JsonObject:
        """Return all requests and their counts, the content of ``GET /deliveries``."""
        with self._lock:
            deliveries = list(self._deliveries)
            counts = {name: self._counts[name] for name in ("received", "delivered", "verified", "duplicates")}
        return {
            "registered": len(self.list_hooks()),
            **counts,
            "deliveries": [asdict(one) for one in deliveries],
        }

    def _verify(
        self, url: str, *, method: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str | None, str | None]:
        known = [hook.secret for hook in self.list_hooks() if hook.url == url and hook.is_active and hook.secret]
        present = {name.lower() for name in headers}
        signed = [s for s in SCHEMES.values() if s.signature_header and s.signature_header.lower() in present]
        if not signed:
            return None, "no signature header of a known scheme"
        if not known and not self._receiver_secrets:
            return signed[0].name, "no hook is registered for this URL"
        try:
            secrets = [*known, *self._receiver_secrets]
            verify(signed[0], headers=headers, body=body, secrets=secrets, method=method, url=url)
        except SignatureError as error:
            return signed[0].name, str(error)
        return signed[0].name, None


def _make_platforms(token: str | None) -> dict[str, SandboxPlatform]:
    return {
        name: SandboxPlatform(
            name, token=token or secrets.token_hex(16), make_id=api.make_id, make_secret=api.make_secret
        )
        for name, api in APIS.items()
    }
