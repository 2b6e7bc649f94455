# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
One attempt: at most one HTTP request, and the truth about how it ended.

The line between ``not_sent`` and ``unknown`` is libcurl's pre-request callback. It runs when a connection is ready and
before the first byte of the request leaves; an attempt that fails before it has sent nothing, and any failure after it
may have been received. The callback also judges the peer that is really connected to, and refuses to run twice,
because libcurl would otherwise send a POST again when a connection dies early.

Source: libcurl, CURLOPT_PREREQFUNCTION.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pendulum
import pycurl

from airflow_provider_hooks.delivery.answer import KEPT_BODY_BYTES, AnswerReader
from airflow_provider_hooks.delivery.record import Attempt, ErrorClass, Outcome, Phases
from airflow_provider_hooks.delivery.transfer import (
    Connections,
    Limits,
    UnreachableError,
    classify,
    locate,
    open_transfer,
)
from airflow_provider_hooks.network.policy import BlockedAddressError
from airflow_provider_hooks.redaction import redact
from airflow_provider_hooks.text import SHOWN_CHARACTERS, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.network.policy import NetworkPolicy
    from airflow_provider_hooks.network.urls import Target

_SUCCESS = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Request:
    """Exactly what is sent."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)
    """Secrets, signatures and tokens, to be masked where the receiver sends them back."""


def send_once(
    request: Request, *, policy: NetworkPolicy, limits: Limits, connections: Connections | None = None
) -> Attempt:
    """
    Send a request at most once and return what came of it. Nothing that a network or a peer does raises.

    Reading the answer stops at its bounds; an answer whose headers were complete counts, whatever its body did.

    :param connections: kept connections, of which one may be used; without them it is a new one, closed afterwards
    """
    started, requested_at = time.monotonic(), pendulum.now("UTC").isoformat()
    try:
        target = policy.check_url(request.url)
        addresses = locate(target, policy=policy, limits=limits)
        resolved = time.monotonic() - started
        proxy = policy.find_proxy(addresses[0], target=target)
        curl = open_transfer(
            request.url, target, addresses, limits=limits, proxy=proxy, spent=resolved, connections=connections
        )
        # The peer of a tunnel is the proxy; where it leads was judged, and is what the proxy is told.
        tunnel_end = addresses[0] if proxy else None
        transfer = _Transfer(curl, request, target, policy=policy, resolved=resolved, tunnel_end=tunnel_end)
    except BlockedAddressError as error:
        return _not_sent(ErrorClass.BLOCKED_ADDRESS, str(error), requested_at=requested_at, started=started)
    except UnreachableError as error:
        return _not_sent(error.error_class, str(error), requested_at=requested_at, started=started)
    except (pycurl.error, OSError, RuntimeError, ValueError) as error:
        # A claim stands by now, so what keeps a transfer from beginning must come out as what it is: nothing sent.
        return _not_sent(ErrorClass.SETUP_FAILED, str(error), requested_at=requested_at, started=started)
    try:
        return transfer.run(requested_at=requested_at, started=started)
    finally:
        if connections is None:
            curl.close()


def _not_sent(error_class: ErrorClass, message: str, *, requested_at: str, started: float) -> Attempt:
    return Attempt(
        outcome=Outcome.NOT_SENT,
        requested_at=requested_at,
        duration_ms=_milliseconds(time.monotonic() - started),
        error_class=error_class,
        message=printable(message, limit=500),
    )


class _Transfer:
    """The state of one transfer: what was let out, and what has come back."""

    def __init__(
        self,
        curl: pycurl.Curl,
        request: Request,
        target: Target,
        *,
        policy: NetworkPolicy,
        resolved: float,
        tunnel_end: str | None,
    ) -> None:
        self._request, self._target, self._policy, self._resolved = request, target, policy, resolved
        self._tunnel_end = tunnel_end
        self._answer = AnswerReader()
        self._let_out = False
        self._peer: str | None = None
        self._refused: tuple[ErrorClass, str] | None = None
        self._curl = curl
        self._curl.setopt(pycurl.PREREQFUNCTION, self._before_request)
        self._curl.setopt(pycurl.HEADERFUNCTION, self._answer.take_header_line)
        self._curl.setopt(pycurl.WRITEFUNCTION, self._answer.take_body)
        self._curl.setopt(pycurl.POST, 1)
        self._curl.setopt(pycurl.POSTFIELDSIZE_LARGE, len(request.body))
        self._curl.setopt(pycurl.POSTFIELDS, request.body)
        # libcurl would otherwise ask "Expect: 100-continue" and add its own Accept.
        headers = [f"{name}: {value}" for name, value in request.headers.items()]
        self._curl.setopt(pycurl.HTTPHEADER, [*headers, "Expect:", "Accept:"])

    def run(self, *, requested_at: str, started: float) -> Attempt:
        failure: tuple[ErrorClass, str] | None = None
        try:
            self._curl.perform()
        except pycurl.error as error:
            failure = self._refused or classify(self._curl, error)
        answer = self._answer
        if answer.too_large:
            failure = (ErrorClass.RESPONSE_TOO_LARGE, "reading stopped at the bound")
        elif answer.status_code is None and failure is None:
            failure = (ErrorClass.INVALID_RESPONSE, "no complete answer arrived")
        answered = answer.status_code is not None
        headers = {name: self._make_safe(value) for name, value in answer.headers.items()}
        body = self._make_safe(bytes(answer.body).decode(errors="replace"), limit=KEPT_BODY_BYTES)
        return Attempt(
            outcome=self._judge(),
            requested_at=requested_at,
            responded_at=answer.responded_at,
            duration_ms=_milliseconds(time.monotonic() - started),
            peer_address=self._peer,
            phases=self._measure_phases(),
            status_code=answer.status_code,
            response_headers=headers if answered else {},
            response_body=body if answered else None,
            error_class=failure[0] if failure else None,
            message=self._make_safe(failure[1]) if failure else None,
        )

    def _before_request(self, peer: str, _local: str, _peer_port: int, _local_port: int) -> int:
        if self._let_out:
            self._refused = (ErrorClass.REUSED_CONNECTION_LOST, "libcurl wanted to send the request again")
            return pycurl.PREREQFUNC_ABORT
        self._peer = self._tunnel_end or peer
        try:
            self._policy.check_address(self._peer, target=self._target)
        except BlockedAddressError as error:
            self._refused = (ErrorClass.BLOCKED_ADDRESS, str(error))
            return pycurl.PREREQFUNC_ABORT
        self._let_out = True
        return pycurl.PREREQFUNC_OK

    def _make_safe(self, text: str, *, limit: int = SHOWN_CHARACTERS) -> str:
        """Mask what is private before anything is cut, and bound what escaping made of it, in bytes."""
        safe = printable(redact(text, self._request.private), limit=limit)
        return safe.encode()[:limit].decode(errors="ignore")

    def _judge(self) -> Outcome:
        if not self._let_out:
            return Outcome.NOT_SENT
        if self._answer.status_code is None:
            return Outcome.UNKNOWN
        return Outcome.DELIVERED if self._answer.status_code in _SUCCESS else Outcome.REJECTED

    def _measure_phases(self) -> Phases:
        """Turn libcurl's running times, zero where it did not come to a phase, into the length of each."""
        names = (pycurl.CONNECT_TIME, pycurl.APPCONNECT_TIME, pycurl.PRETRANSFER_TIME, pycurl.STARTTRANSFER_TIME)
        connected, secured, ready, first_byte = (self._curl.getinfo(name) for name in names)
        return Phases(
            dns=_milliseconds(self._resolved),
            connect=_milliseconds(connected) if connected else None,
            tls=_milliseconds(secured - connected) if secured else None,
            first_byte=_milliseconds(first_byte - ready) if self._answer.responded_at else None,
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
