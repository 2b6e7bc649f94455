# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the sandbox remembers: the hooks of its platform, and every request that its receiver got."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_hooks.signing import SCHEMES, SignatureError, verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_hooks.json_types import JsonObject


_SUCCESS = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A hook as the sandbox's platform keeps it."""

    hook_id: str
    owner: tuple[str, str]
    """Organization and project."""
    url: str
    events: tuple[str, ...]
    secret: str = field(repr=False)
    created_at: str
    is_active: bool = True


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

    :param token: the bearer token that the platform's API asks for
    :param receiver_secrets: secrets that the receiver accepts besides those of registered hooks
    """

    def __init__(self, *, token: str, receiver_secrets: Sequence[str] = ()) -> None:
        self.token = token
        self.answer_status = 200
        """What the receiver answers with to what it verified."""
        self.features = {"servicehooks"}
        """What the platform's projects have; without ``servicehooks`` they may not register."""
        self._receiver_secrets = tuple(receiver_secrets)
        self._hooks: list[Hook] = []
        self._deliveries: list[Received] = []
        self._lock = threading.Lock()

    def list_hooks(self, owner: tuple[str, str]) -> list[Hook]:
        """Return a project's hooks, the newest first."""
        with self._lock:
            return [hook for hook in reversed(self._hooks) if hook.owner == owner]

    def count_hooks(self) -> int:
        """Return how many hooks are registered in all."""
        with self._lock:
            return len(self._hooks)

    def add_hook(self, owner: tuple[str, str], *, url: str, events: Sequence[str]) -> Hook:
        """Register a hook, with an id and a secret of its own."""
        hook = Hook(
            hook_id=secrets.token_hex(16),
            owner=owner,
            url=url,
            events=tuple(sorted(events)),
            secret=secrets.token_hex(32),
            created_at=pendulum.now("UTC").format("YYYY-MM-DDTHH:mm:ss.SSSSSS[Z]"),
        )
        with self._lock:
            self._hooks.append(hook)
        return hook

    def change_hook(self, hook: Hook, **changes: object) -> Hook:
        """Put a changed hook in the place of the old."""
        changed = replace(hook, **changes)  # type: ignore[arg-type]  # its callers name fields of Hook
        with self._lock:
            self._hooks = [changed if one.hook_id == hook.hook_id else one for one in self._hooks]
        return changed

    def remove_hook(self, hook: Hook) -> None:
        """Forget a hook."""
        with self._lock:
            self._hooks = [one for one in self._hooks if one.hook_id != hook.hook_id]

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
            "registered": self.count_hooks(),
            "received": len(deliveries),
            "delivered": sum(one.verified and one.answered in _SUCCESS for one in deliveries),
            "verified": sum(one.verified for one in deliveries),
            "duplicates": sum(one.duplicate for one in deliveries),
            "deliveries": [asdict(one) for one in deliveries],
        }

    def _verify(self, url: str, *, headers: Mapping[str, str], body: bytes) -> tuple[str | None, str | None]:
        with self._lock:
            known = [hook.secret for hook in self._hooks if hook.url == url and hook.is_active]
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
