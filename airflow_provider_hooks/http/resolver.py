# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Asks the system's resolver for the addresses of a host."""

from __future__ import annotations

import socket

from airflow_provider_hooks.exceptions import ResolverError


def resolve(host: str, port: int) -> list[str]:
    """
    Return every address of a host, each once, in the order that the system prefers (RFC 6724).

    It blocks for as long as the system's resolver takes, which has no deadline of ours.

    :raises ResolverError: if there is none
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ResolverError(f"{host} could not be resolved: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
