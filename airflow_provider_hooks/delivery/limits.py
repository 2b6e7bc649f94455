# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How far an attempt may go, and what is said of one that never came to a connection. Nothing here needs libcurl."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hooks.delivery.answer import to_milliseconds, write_time
from airflow_provider_hooks.delivery.record import Attempt, ErrorClass, Outcome
from airflow_provider_hooks.http.policy import BlockedAddressError
from airflow_provider_hooks.http.resolver import ResolverError, find_addresses
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.http.urls import Target

ERRNO_CLASSES = {
    errno.ECONNREFUSED: ErrorClass.CONNECTION_REFUSED,
    errno.ENETUNREACH: ErrorClass.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: ErrorClass.NETWORK_UNREACHABLE,
    errno.ECONNRESET: ErrorClass.CONNECTION_RESET,
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of one attempt."""

    timeout: float
    """Seconds in all: DNS, connecting, TLS, request and answer."""
    connect_timeout: float
    """Seconds of these for DNS, connecting and TLS."""
    ca_file: str | None = None
    """PEM certificates in place of the usual bundle."""


class ConnectError(Exception):
    """A host cannot be connected to; nothing was sent."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        self.error_class = error_class
        super().__init__(message)


def locate(target: Target, *, policy: NetworkPolicy, limits: Limits) -> list[str]:
    """
    Return the addresses of a target, each of them judged.

    :raises ConnectError: if there is none, any may not be sent to, or time is up
    """
    try:
        return find_addresses(target, policy=policy, timeout=min(limits.connect_timeout, limits.timeout))
    except ResolverError as error:
        raise ConnectError(ErrorClass.DNS_ERROR, str(error)) from None
    except TimeoutError as error:
        raise ConnectError(ErrorClass.TIMEOUT, str(error)) from None
    except BlockedAddressError as error:
        raise ConnectError(ErrorClass.BLOCKED_ADDRESS, str(error)) from None


def not_sent_result(error: Exception, *, requested_at: float, duration: float) -> Attempt:
    """
    Return the attempt that never came to a connection.

    :param requested_at: unix seconds
    :param duration: seconds
    """
    error_class = ErrorClass.SETUP_FAILED
    if isinstance(error, BlockedAddressError):
        error_class = ErrorClass.BLOCKED_ADDRESS
    elif isinstance(error, ConnectError):
        error_class = error.error_class
    return Attempt(
        outcome=Outcome.NOT_SENT,
        requested_at=write_time(requested_at),
        duration_ms=to_milliseconds(duration),
        error_class=error_class,
        message=escape(str(error), limit=500),
    )
