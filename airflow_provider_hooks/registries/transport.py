# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Connections of ``requests`` that obey the network policy: judged before connecting, and again by the peer's address.

A token must not go to a surprise address, so the check sits where the socket is made, and not beside it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util import Retry

from airflow_provider_hooks.network.policy import BlockedAddressError, NetworkPolicy
from airflow_provider_hooks.network.resolver import ResolverError, resolve
from airflow_provider_hooks.network.urls import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[[Target], socket.socket]

_NO_RETRIES = Retry(total=0, read=False, redirect=False, raise_on_status=False)


class PolicyAdapter(HTTPAdapter):
    """
    Sends each request once, over connections that the policy allows.

    :param policy: where may be sent to
    :param connect_timeout: seconds for the resolver, and again for each address
    """

    def __init__(self, *, policy: NetworkPolicy, connect_timeout: float) -> None:
        super().__init__(max_retries=_NO_RETRIES)

        def connect(target: Target) -> socket.socket:
            return connect_checked(target, policy=policy, timeout=connect_timeout)

        self.poolmanager.pool_classes_by_scheme = _make_pool_classes(connect)


def connect_checked(target: Target, *, policy: NetworkPolicy, timeout: float) -> socket.socket:
    """
    Connect to a target whose every address may be sent to, trying one address after the other.

    :param timeout: seconds for the resolver, and again for each address
    :raises BlockedAddressError: if any address may not be sent to, or the peer turns out to be another
    :raises OSError: if none can be connected to
    """
    try:
        addresses = [target.host] if target.is_address else resolve(target.host, target.port, timeout=timeout)
    except ResolverError as error:
        raise OSError(str(error)) from None
    policy.check_addresses(addresses, target=target)
    failure = OSError(f"{target.host} has no address")
    for address in addresses:
        try:
            sock = socket.create_connection((address, target.port), timeout=timeout)
        except OSError as error:
            failure = error
            continue
        try:
            policy.check_address(sock.getpeername()[0], target=target)
        except BlockedAddressError:
            sock.close()
            raise
        return sock
    raise failure


def _make_pool_classes(connect: Connect) -> dict[str, type[HTTPConnectionPool]]:
    """Make the classes that urllib3 makes its connections with, bound to one way of connecting."""

    def open_socket(connection: HTTPConnection) -> socket.socket:
        scheme = "https" if isinstance(connection, HTTPSConnection) else "http"
        try:
            return connect(Target(scheme=scheme, host=connection.host.strip("[]"), port=connection.port or 443))
        except OSError as error:
            raise NewConnectionError(connection, str(error)) from None

    class PlainConnection(HTTPConnection):
        @override
        def _new_conn(self) -> socket.socket:
            return open_socket(self)

    class SecureConnection(HTTPSConnection):
        @override
        def _new_conn(self) -> socket.socket:
            return open_socket(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": PlainPool, "https": SecurePool}
