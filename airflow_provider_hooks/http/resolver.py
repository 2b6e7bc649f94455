# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Finds where a target is: resolves its host within a deadline and judges every address before any is connected to."""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.http.urls import Target


class ResolverError(Exception):
    """A host could not be resolved."""


def find_addresses(target: Target, *, policy: NetworkPolicy, timeout: float) -> list[str]:
    """
    Return the addresses of a target, each of them judged.

    :param timeout: seconds for the resolver
    :raises BlockedAddressError: if any address may not be sent to
    :raises ResolverError: if there is none
    :raises TimeoutError: if time is up
    """
    addresses = [target.host] if target.is_address else resolve(target.host, target.port, timeout=timeout)
    policy.check_addresses(addresses, target=target)
    return addresses


def resolve(host: str, port: int, *, timeout: float) -> list[str]:
    """
    Return every address of a host.

    The system's resolver knows no deadline, so it runs in a thread of its own that is left behind when time is up.

    :param timeout: seconds
    :raises ResolverError: if there is none
    :raises TimeoutError: if time is up
    """
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()
    threading.Thread(target=_look_up, args=(host, port, answers), daemon=True, name="service-hook-resolver").start()
    try:
        answer = answers.get(timeout=max(timeout, 0.001))
    except queue.Empty:
        raise TimeoutError(f"{host} was not resolved within {timeout:.1f} s") from None
    if isinstance(answer, Exception):
        raise ResolverError(f"{host} could not be resolved: {answer}") from None
    return answer


def _look_up(host: str, port: int, answers: queue.SimpleQueue[list[str] | Exception]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
    except (OSError, UnicodeError) as error:
        answers.put(error)
