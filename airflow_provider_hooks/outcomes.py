# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The outcome of a request, the classes of errors, and the result with both: what every layer shares."""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

import msgspec

R = TypeVar("R")


class Outcome(str, Enum):
    """How an attempt finished, by what is proven."""

    DELIVERED = "delivered"
    """A 2xx response arrived."""
    REJECTED = "rejected"
    """Any other response arrived."""
    NOT_SENT = "not_sent"
    """The receiver got no byte of the request."""
    UNKNOWN = "unknown"
    """The request may have been received; no response says so."""


class ErrorClass(str, Enum):
    """Why an attempt did not finish with a complete response."""

    BLOCKED_ADDRESS = "blocked_address"
    DNS_ERROR = "dns_error"
    PROXY_ERROR = "proxy_error"
    CONNECTION_REFUSED = "connection_refused"
    NETWORK_UNREACHABLE = "network_unreachable"
    CONNECTION_FAILED = "connection_failed"
    CONNECTION_RESET = "connection_reset"
    TLS_ERROR = "tls_error"
    TOKEN_ERROR = "token_error"  # noqa: S105  (not a secret)
    TIMEOUT = "timeout"
    RESPONSE_TOO_LARGE = "response_too_large"
    INVALID_RESPONSE = "invalid_response"
    REUSED_CONNECTION_LOST = "reused_connection_lost"
    SETUP_FAILED = "setup_failed"
    INTERRUPTED = "interrupted"
    INVALID_EVENT = "invalid_event"
    STOPPED = "stopped"
    ENDPOINT_PAUSED = "endpoint_paused"


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """How long each phase of an attempt took, in milliseconds; ``None`` for a phase that did not happen."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


NO_PHASES = Phases()


class RequestResult(msgspec.Struct, Generic[R], gc=False):
    """How one request finished. Nothing in it is redacted or escaped."""

    request: R
    """What was given to the engine."""
    outcome: Outcome
    status: int | None
    """Of a final response whose headers were complete."""
    peer: str | None
    """The address that the request was sent to."""
    started_at: float
    """Unix seconds."""
    seconds: float
    """The whole attempt: DNS, connecting, TLS, request and response."""
    error: tuple[ErrorClass, str] | None = None
    headers: dict[str, str] = {}
    """The response headers that records show, names in lower case."""
    body: bytes = b""
    """What was read of the response body, bounded."""
    responded_at: float | None = None
    """Unix seconds: when the headers of the response were complete."""
    phases: Phases = NO_PHASES
