# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The outcomes of a delivery and the classes of errors behind them: the words that every layer shares."""

from __future__ import annotations

from enum import Enum


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
    TIMEOUT = "timeout"
    RESPONSE_TOO_LARGE = "response_too_large"
    INVALID_RESPONSE = "invalid_response"
    REUSED_CONNECTION_LOST = "reused_connection_lost"
    SETUP_FAILED = "setup_failed"
    INTERRUPTED = "interrupted"
    INVALID_EVENT = "invalid_event"
    STOPPED = "stopped"


SUCCESS = range(200, 300)
"""The statuses that say that an event was accepted (RFC 9110, section 15.3)."""


def classify_outcome(status: int | None, *, request_started: bool) -> Outcome:
    """
    Return the outcome of a request.

    :param status: the status of a final response whose headers were complete, or ``None``
    :param request_started: whether the receiver may have got any byte of the request
    """
    if status is not None and request_started:
        return Outcome.DELIVERED if status in SUCCESS else Outcome.REJECTED
    return Outcome.UNKNOWN if request_started else Outcome.NOT_SENT
