# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The state of the sandbox: its platforms with their hooks, and every request that its receiver got."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict

import pendulum

from airflow_provider_hooks.delivery.headers import is_credential
from airflow_provider_hooks.http.redact import MASK, redact
from airflow_provider_hooks.sandbox import (
    akinon_api,
    sentry_api,
    smartsheet_rm_api,
    zstack_api,
)
from airflow_provider_hooks.sandbox.platform import Hook, SandboxPlatform
from airflow_provider_hooks.sanitize import escape
from airflow_provider_hooks.signing import SCHEMES, Scheme, SignatureError, verify
from airflow_provider_hooks.signing.keys import KEY_FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.sandbox.api import SandboxApi
    from airflow_provider_hooks.signing import Signer

RECEIVER_PATH = "/receiver"
APIS: Mapping[str, SandboxApi] = MappingProxyType(
    {
        api.name: api
        for api in (
            sentry_api.API,
            akinon_api.API,
            zstack_api.API,
            smartsheet_rm_api.API,
        )
    }
)
"""The API of every platform, by the platform's name: the only place that lists them."""

MAX_STORED, MAX_STORED_BYTES = 20_000, 67_108_864
"""How many requests are stored, and how many bytes of their headers and bodies; all are counted."""
_MAX_HEADERS, _MAX_TEXT_CHARACTERS = 64, 1_000
"""How many headers of a request are stored, and how much of each value, of the path and of the ids."""
UNSIGNED = "none"
"""The scheme that signs nothing; requests to its path are accepted without being verified."""
NO_ANSWER = 0
"""Stands for the status of a request that gets no response."""
_ANSWER = re.compile(r"/answer/(?:(?P<status>[2-5][0-9]{2})|none)$", re.ASCII)
"""The end of a path after the receiver's that chooses the response."""
_SUCCESS = range(200, 300)


class SignedParts(TypedDict):
    """What a signature can be made over, as ``verify`` takes it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


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
    redelivery: bool
    """Whether the sender says that it may have sent the event before."""
    duplicate: bool
    """Whether an earlier request had the same path, event type and event id."""
    answered: int
    body_bytes: int
    body_sha256: str
    headers: Mapping[str, str]
    """Credentials in them are masked, and long values are cut."""
    body: str
    """The body as text; bytes that are not UTF-8 are replaced."""

    @property
    def stored_bytes(self) -> int:
        """How much memory its body and headers take, roughly."""
        return self.body_bytes + sum(len(name) + len(value) for name, value in self.headers.items())


class SandboxState:
    """
    The state of a sandbox; safe to use from several threads.

    :param token: the token of every platform's API; by default each platform has a separate one
    :param receiver_secrets: secrets that the receiver accepts in addition to those of registered hooks
    """

    def __init__(self, *, token: str | None = None, receiver_secrets: Sequence[str] = ()) -> None:
        self._token = token
        self.receiver_secrets = tuple(receiver_secrets)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Reset to the state after a start; tokens are new too, unless one was given."""
        self.platforms = _make_platforms(self._token)
        """Each platform, by its name in a connection."""
        self.answer_status = 200
        """The status of the receiver's response to a verified request."""
        self._deliveries: deque[Received] = deque()
        self._stored_bytes = 0
        """Of the headers and bodies of the deliveries that are still stored."""
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
        scheme, reason = self._verify(url, path, method=method, headers=headers, body=body)
        shown = _mask_headers(headers, self._list_secrets())
        lowercase = {name.lower(): value for name, value in headers.items()}
        identity = hash((path, event_type, event_id))
        with self._lock:
            delivery = Received(
                number=self._counts["received"] + 1,
                received_at=pendulum.now("UTC").isoformat(),
                path=path[:_MAX_TEXT_CHARACTERS],
                event_type=_cut(event_type),
                event_id=_cut(event_id),
                delivery_id=_cut(lowercase.get("x-service-hook-delivery")),
                scheme=scheme,
                verified=reason is None,
                reason=reason,
                redelivery=lowercase.get("x-service-hook-redelivery") == "true",
                duplicate=event_id is not None and identity in self._known,
                answered=self._choose_answer(path) if reason is None or scheme == UNSIGNED else 401,
                body_bytes=len(body),
                body_sha256=hashlib.sha256(body).hexdigest(),
                headers=shown,
                body=body.decode(errors="replace"),
            )
            self._known.add(identity)
            self._store(delivery)
        return delivery

    def _choose_answer(self, path: str) -> int:
        """Return the status that the end of the path requests, or that of the sandbox."""
        requested = _ANSWER.search(path)
        return self.answer_status if requested is None else int(requested["status"] or NO_ANSWER)

    def _store(self, delivery: Received) -> None:
        """Count a request and store it; the oldest ones make room, so that no sender fills the memory."""
        self._counts["received"] += 1
        self._counts["verified"] += delivery.verified
        self._counts["delivered"] += delivery.verified and delivery.answered in _SUCCESS
        self._counts["duplicates"] += delivery.duplicate
        self._deliveries.append(delivery)
        self._stored_bytes += delivery.stored_bytes
        while len(self._deliveries) > MAX_STORED or self._stored_bytes > MAX_STORED_BYTES:
            self._stored_bytes -= self._deliveries.popleft().stored_bytes

    def list_deliveries(self) -> list[Received]:
        """Return the newest requests that the receiver got, in order: up to ``MAX_STORED``."""
        with self._lock:
            return list(self._deliveries)

    def count_deliveries(self) -> dict[str, int]:
        """Return how many hooks are registered, and how many requests the receiver got."""
        registered = len(self.list_hooks())
        with self._lock:
            counts = {name: self._counts[name] for name in ("received", "delivered", "verified", "duplicates")}
        return {"registered": registered, **counts}

    def summarize(self, *, after: int = 0, limit: int | None = None) -> JsonObject:
        """
        Return requests and their counts, the content of ``GET /deliveries``.

        :param after: leave out requests up to this number
        :param limit: how many of the newest are returned; all if ``None``
        """
        newer = [one for one in self.list_deliveries() if one.number > after]
        chosen = newer if limit is None else newer[len(newer) - min(limit, len(newer)) :]
        return {**self.count_deliveries(), "deliveries": [asdict(one) for one in chosen]}

    def _list_secrets(self) -> list[str]:
        """Return every secret and token that this sandbox knows."""
        hooks = [hook.secret for hook in self.list_hooks() if hook.secret]
        return [*hooks, *self.receiver_secrets, *(platform.token for platform in self.platforms.values())]

    def _verify(
        self, url: str, path: str, *, method: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str | None, str | None]:
        """Return the scheme that the path names or a header shows, and why the request is not verified by it."""
        scheme = _find_scheme(path, headers)
        if scheme is None:
            return None, "no signature header of a known scheme"
        if scheme.name == UNSIGNED:
            return scheme.name, "the scheme none signs nothing"
        known = [hook.secret for hook in self.list_hooks() if hook.url == url and hook.is_active and hook.secret]
        if not known and not self.receiver_secrets:
            return scheme.name, "no hook is registered for this URL"
        request = SignedParts(method=method, url=url, headers=headers, body=body)
        return scheme.name, _find_reason(scheme, [*known, *self.receiver_secrets], request)


def _find_scheme(path: str, headers: Mapping[str, str]) -> Signer | None:
    """Return the scheme that the path names after ``/receiver/``, or the one whose signature header is present."""
    named = path.removeprefix(f"{RECEIVER_PATH}/").split("/")[0]
    if named in SCHEMES:
        return SCHEMES[named]
    present = {name.lower() for name in headers}
    return next((one for one in SCHEMES.values() if present & _list_signature_headers(one)), None)


def _list_signature_headers(scheme: Signer) -> set[str]:
    rows = [scheme, scheme.alias] if isinstance(scheme, Scheme) and scheme.alias else [scheme]
    return {row.signature_header.lower() for row in rows if row.signature_header}


def _find_reason(scheme: Signer, secrets: Iterable[str], request: SignedParts) -> str | None:
    """Return why no secret verifies a request, in any key format, or ``None`` if one does."""
    reasons: list[str] = []
    for secret in secrets:
        for key_format in (scheme.key_format, *(one for one in KEY_FORMATS if one != scheme.key_format)):
            candidate = scheme.with_key_format(key_format)
            if candidate.find_secret_problem(secret) is not None:
                continue
            try:
                verify(candidate, secrets=[secret], **request)
            except SignatureError as error:
                reasons.append(str(error))
            else:
                return None
    return reasons[0] if reasons else f"no secret has the form that the scheme {scheme.name} needs"


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_TEXT_CHARACTERS]


def _mask_headers(headers: Mapping[str, str], secrets: Sequence[str]) -> dict[str, str]:
    """Return headers as they may be shown: without credentials, bounded, one line each."""
    signed = {name.lower() for scheme in SCHEMES.values() for name in scheme.header_names}
    signed |= {name for scheme in SCHEMES.values() for name in _list_signature_headers(scheme)}
    shown: dict[str, str] = {}
    for name, value in list(headers.items())[:_MAX_HEADERS]:
        is_secret = is_credential(name) and name.lower() not in signed
        text = MASK if is_secret else redact(value[:_MAX_TEXT_CHARACTERS], secrets)
        shown[escape(name)] = escape(text, limit=_MAX_TEXT_CHARACTERS)
    return shown


def _make_platforms(token: str | None) -> dict[str, SandboxPlatform]:
    return {
        name: SandboxPlatform(
            name, token=token or secrets.token_hex(16), make_id=api.make_id, make_secret=api.make_secret
        )
        for name, api in APIS.items()
    }
