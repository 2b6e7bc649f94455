# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the engine returns for each request: the outcome, the response, and how long each phase took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from airflow_provider_hooks.outcomes import ErrorClass, Outcome

R = TypeVar("R")


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """How long each phase of an attempt took, in milliseconds; ``None`` for a phase that did not happen."""

    dns: float | None = None
    """Resolving the host name."""
    connect: float | None = None
    """Opening the TCP connection, with the tunnel of a proxy."""
    tls: float | None = None
    """The TLS handshake."""
    first_byte: float | None = None
    """From the request to the first byte of the response."""


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
