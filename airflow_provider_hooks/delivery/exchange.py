# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A request and its answer over one libcurl handle, and the truth about how it ended.

The line between ``not_sent`` and ``unknown`` is libcurl's pre-request callback. It runs when a connection is ready and
before the first byte of the request leaves; an attempt that fails before it has sent nothing, and any failure after it
may have been received. The callback also judges the peer that is really connected to, and refuses to run twice,
because libcurl would otherwise send a POST again when a connection dies early.

Source: libcurl, CURLOPT_PREREQFUNCTION.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pycurl

from airflow_provider_hooks.delivery.answer import (
    KEPT_BODY_BYTES,
    AnswerReader,
    redact_and_truncate,
    to_milliseconds,
    write_time,
)
from airflow_provider_hooks.delivery.record import Attempt, ErrorClass, Phases, classify_outcome
from airflow_provider_hooks.delivery.transfer import classify
from airflow_provider_hooks.http.policy import BlockedAddressError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.http.urls import Target


def write_header_lines(headers: Mapping[str, str]) -> list[str]:
    """Write headers as libcurl takes them."""
    return [f"{name}: {value}" for name, value in headers.items()]


NOTHING_OF_LIBCURLS_OWN = ("Expect:", "Accept:")
"""Keeps libcurl from asking "Expect: 100-continue", and from adding its own Accept."""


class Exchange:
    """
    What one handle lets out, and what comes back; for one request after the other.

    :param curl: a handle that leads to ``target``, and nowhere else
    :param tunnel_end: the address that a proxy is told, where there is one: the peer is then the proxy
    """

    def __init__(
        self, curl: pycurl.Curl, target: Target, *, policy: NetworkPolicy, tunnel_end: str | None = None
    ) -> None:
        self.curl = curl
        self._target, self._policy, self._tunnel_end = target, policy, tunnel_end
        self._judged: set[str] = set()
        curl.setopt(pycurl.PREREQFUNCTION, self._before_request)
        curl.setopt(pycurl.POST, 1)

    def begin(self, body: bytes, header_lines: Sequence[str]) -> None:
        """Make ready for a request: nothing of the one before is left."""
        self.request_started = False
        self.peer: str | None = None
        self._refused: tuple[ErrorClass, str] | None = None
        self._answer = AnswerReader()
        curl = self.curl
        curl.setopt(pycurl.HEADERFUNCTION, self._answer.take_header_line)
        curl.setopt(pycurl.WRITEFUNCTION, self._answer.take_body)
        curl.setopt(pycurl.POSTFIELDSIZE_LARGE, len(body))
        curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.HTTPHEADER, [*header_lines, *NOTHING_OF_LIBCURLS_OWN])

    def read_attempt(
        self,
        error: pycurl.error | None,
        *,
        requested_at: float,
        duration: float,
        resolved: float = 0.0,
        private: Iterable[str] = (),
    ) -> Attempt:
        """
        Return what the request came to.

        :param error: what libcurl ended it with
        :param requested_at: unix seconds
        :param duration: seconds from then to the end
        :param resolved: seconds of these that the resolver took
        :param private: what to mask where the receiver sends it back
        """
        answer, head = self._answer, self._answer.read_head()
        failure = None if error is None else self._refused or classify(self.curl, error)
        if answer.too_large:
            failure = (ErrorClass.RESPONSE_TOO_LARGE, "reading stopped at the bound")
        elif head is None and failure is None:
            failure = (ErrorClass.INVALID_RESPONSE, "no complete answer arrived")
        private = tuple(private)
        body = bytes(answer.body).decode(errors="replace") if head else ""
        return Attempt(
            outcome=classify_outcome(head.status_code if head else None, request_started=self.request_started),
            requested_at=write_time(requested_at),
            responded_at=write_time(head.ended_at) if head else None,
            duration_ms=to_milliseconds(duration),
            peer_address=self.peer,
            phases=self._measure_phases(resolved, answered=head is not None),
            status_code=head.status_code if head else None,
            response_headers={name: redact_and_truncate(text, private) for name, text in head.headers.items()}
            if head
            else {},
            response_body=redact_and_truncate(body, private, limit=KEPT_BODY_BYTES) if head else None,
            error_class=failure[0] if failure else None,
            message=redact_and_truncate(failure[1], private) if failure else None,
        )

    def _before_request(self, peer: str, _local: str, _peer_port: int, _local_port: int) -> int:
        if self.request_started:
            self._refused = (ErrorClass.REUSED_CONNECTION_LOST, "libcurl wanted to send the request again")
            return pycurl.PREREQFUNC_ABORT
        self.peer = self._tunnel_end or peer
        if self.peer not in self._judged:
            try:
                self._policy.check_address(self.peer, target=self._target)
            except BlockedAddressError as error:
                self._refused = (ErrorClass.BLOCKED_ADDRESS, str(error))
                return pycurl.PREREQFUNC_ABORT
            self._judged.add(self.peer)
        self.request_started = True
        return pycurl.PREREQFUNC_OK

    def _measure_phases(self, resolved: float, *, answered: bool) -> Phases:
        """Turn libcurl's running times, zero where it did not come to a phase, into the length of each."""
        names = (pycurl.CONNECT_TIME, pycurl.APPCONNECT_TIME, pycurl.PRETRANSFER_TIME, pycurl.STARTTRANSFER_TIME)
        connected, secured, ready, first_byte = (self.curl.getinfo(name) for name in names)
        return Phases(
            dns=to_milliseconds(resolved),
            connect=to_milliseconds(connected) if connected else None,
            tls=to_milliseconds(secured - connected) if secured else None,
            first_byte=to_milliseconds(first_byte - ready) if answered else None,
        )
