# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the HTTP engine returns for each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from airflow_provider_hooks.outcomes import ErrorClass, Outcome  # noqa: TC001  (msgspec reads the annotations)

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Phases:
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
