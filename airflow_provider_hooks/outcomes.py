# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The outcome of a request, and the classes of errors: what every layer shares. Imports no library."""

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
    """The network policy does not allow the address."""
    DNS_ERROR = "dns_error"
    """The host name could not be resolved."""
    PROXY_ERROR = "proxy_error"
    """The proxy could not be reached, or opened no tunnel."""
    CONNECTION_REFUSED = "connection_refused"
    """No server listens at the address and port."""
    NETWORK_UNREACHABLE = "network_unreachable"
    """The worker has no route to the address."""
    CONNECTION_FAILED = "connection_failed"
    """The connection could not be opened, for another reason."""
    CONNECTION_RESET = "connection_reset"
    """The peer closed or reset the connection before the response was complete."""
    TLS_ERROR = "tls_error"
    """The TLS handshake failed, or the server refused the client certificate."""
    TOKEN_ERROR = "token_error"  # noqa: S105  (not a secret)
    """The token endpoint returned no access token, or no other one after a 401."""
    TIMEOUT = "timeout"
    """The connection, or the complete response, did not arrive in time."""
    RESPONSE_TOO_LARGE = "response_too_large"
    """The headers or the body of the response are larger than what is read."""
    INVALID_RESPONSE = "invalid_response"
    """The response, or its body, is not valid HTTP/1.1."""
    REUSED_CONNECTION_LOST = "reused_connection_lost"
    """A connection that had carried requests before was lost under this one."""
    SETUP_FAILED = "setup_failed"
    """The worker could not prepare the request; the message has the reason."""
    INTERRUPTED = "interrupted"
    """The process that was sending ended without an outcome."""
    INVALID_EVENT = "invalid_event"
    """An event of a stream is not valid."""
    STOPPED = "stopped"
    """The stream was stopped before this event was sent."""
    ENDPOINT_PAUSED = "endpoint_paused"
    """The endpoint is paused."""
