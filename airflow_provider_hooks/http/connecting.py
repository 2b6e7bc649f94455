# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Connects to a target whose every address was judged, directly or through the deployment's proxy."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from airflow_provider_hooks.http.policy import BlockedAddressError
from airflow_provider_hooks.http.proxy import (
    MAX_ANSWER_BYTES,
    Proxy,
    ProxyError,
    check_connect_answer,
    make_connect_request,
)
from airflow_provider_hooks.http.resolver import find_addresses

if TYPE_CHECKING:
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.http.urls import Target


def connect_checked(target: Target, *, policy: NetworkPolicy, timeout: float) -> tuple[socket.socket, str]:
    """
    Connect to a target whose every address may be sent to, trying one address after the other.

    :param timeout: seconds for all of it; an address leaves those after it as much as it may take itself
    :returns: the connection, whose timeout is what is left, and the address that it leads to
    :raises BlockedAddressError: if any address may not be sent to, or the peer turns out to be another
    :raises ResolverError: if there is no address
    :raises OSError: if none can be connected to
    """
    end = time.monotonic() + timeout
    failure = OSError(f"{target.host} has no address")
    addresses = find_addresses(target, policy=policy, timeout=timeout)
    for number, address in enumerate(addresses):
        proxy = policy.find_proxy(address, target=target)
        seconds = _find_rest(end) / (len(addresses) - number)
        try:
            if proxy is not None:
                sock, peer = open_tunnel(proxy, address=address, port=target.port, timeout=seconds), address
            else:
                sock = socket.create_connection((address, target.port), timeout=seconds)
                peer = _check_peer(sock, policy=policy, target=target)
        except OSError as error:
            failure = error
            continue
        sock.settimeout(_find_rest(end))
        return sock, peer
    raise failure


def _find_rest(end: float) -> float:
    return max(0.001, end - time.monotonic())


def _check_peer(sock: socket.socket, *, policy: NetworkPolicy, target: Target) -> str:
    try:
        peer = str(sock.getpeername()[0])
        policy.check_address(peer, target=target)
    except (BlockedAddressError, OSError):
        sock.close()
        raise
    return peer


def open_tunnel(proxy: Proxy, *, address: str, port: int, timeout: float) -> socket.socket:
    """
    Return a connection to an address through a proxy.

    :param timeout: seconds for all of it
    :raises OSError: if the proxy cannot be connected to, or does not open the tunnel
    """
    end = time.monotonic() + timeout
    sock = socket.create_connection((proxy.host, proxy.port), timeout=timeout)
    try:
        sock.settimeout(_find_rest(end))
        sock.sendall(make_connect_request(proxy, address=address, port=port))
        answer = bytearray()
        while not answer.endswith(b"\r\n\r\n"):
            sock.settimeout(_find_rest(end))
            part = sock.recv(1)  # not a byte more: what follows belongs to whoever is behind the proxy
            if not part or len(answer) >= MAX_ANSWER_BYTES or time.monotonic() > end:
                raise ProxyError("the proxy did not answer in HTTP, or not in time")
            answer += part
        check_connect_answer(bytes(answer))
    except OSError:
        sock.close()
        raise
    return sock
