# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Connections of ``requests`` that obey the network policy and one deadline.

A token must not go to a surprise address, so the check sits where the socket is made, and not beside it. The timeouts
of ``requests`` are per read, so a server that sends a byte now and then could hold a call as long as it likes; the
deadline shuts the connection down instead.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util import Retry

from airflow_provider_hooks.network.policy import BlockedAddressError, NetworkPolicy
from airflow_provider_hooks.network.proxy import (
    MAX_ANSWER_BYTES,
    Proxy,
    ProxyError,
    check_connect_answer,
    make_connect_request,
)
from airflow_provider_hooks.network.resolver import ResolverError, find_addresses
from airflow_provider_hooks.network.urls import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    Connect = Callable[[Target], socket.socket]

_NO_RETRIES = Retry(total=0, read=False, redirect=False, raise_on_status=False)


class Deadline:
    """
    The end of one call: shuts down the connections it watches when time is up. Use it as a context manager.

    :param seconds: from now
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        self._end = time.monotonic() + seconds
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:  # noqa: PYI034  (Self is not in Python 3.10)
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        for sock in self._watched:
            sock.close()

    def remaining(self) -> float:
        """Return the seconds left, at least a thousandth."""
        return max(0.001, self._end - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Shut this connection down at the end, also once TLS has taken over the socket."""
        self._watched.append(sock.dup())

    def _shut_down(self) -> None:
        self.passed = True
        for sock in list(self._watched):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class OneCallSession(requests.Session):
    """
    A session for one call: no environment, no retries, no redirects, not even a look at where one would lead.

    :param policy: where may be sent to
    :param connect_timeout: seconds of the deadline for the resolver, and again for each address
    :param ca_file: PEM certificates in place of the usual bundle
    """

    def __init__(
        self, *, policy: NetworkPolicy, deadline: Deadline, connect_timeout: float, ca_file: str | None
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = ca_file or True

        def connect(target: Target) -> socket.socket:
            timeout = min(connect_timeout, deadline.remaining())
            sock = connect_checked(target, policy=policy, timeout=timeout)
            deadline.watch(sock)
            return sock

        adapter = HTTPAdapter(max_retries=_NO_RETRIES)
        adapter.poolmanager.pool_classes_by_scheme = _make_pool_classes(connect)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Keep ``requests`` from reading a redirect's whole body, decompressed, which it does even when told not to."""


def connect_checked(target: Target, *, policy: NetworkPolicy, timeout: float) -> socket.socket:
    """
    Connect to a target whose every address may be sent to, trying one address after the other.

    :param timeout: seconds for the resolver, and again for each address
    :raises BlockedAddressError: if any address may not be sent to, or the peer turns out to be another
    :raises OSError: if none can be connected to
    """
    try:
        addresses = find_addresses(target, policy=policy, timeout=timeout)
    except ResolverError as error:
        raise OSError(str(error)) from None
    failure = OSError(f"{target.host} has no address")
    for address in addresses:
        proxy = policy.find_proxy(address, target=target)
        try:
            if proxy is not None:
                return open_tunnel(proxy, address=address, port=target.port, timeout=timeout)
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


def open_tunnel(proxy: Proxy, *, address: str, port: int, timeout: float) -> socket.socket:
    """
    Return a connection to an address through a proxy.

    :param timeout: seconds for connecting to the proxy, and again for its answer
    :raises OSError: if the proxy cannot be connected to, or does not open the tunnel
    """
    sock = socket.create_connection((proxy.host, proxy.port), timeout=timeout)
    try:
        end = time.monotonic() + timeout
        sock.sendall(make_connect_request(proxy, address=address, port=port))
        answer = bytearray()
        while not answer.endswith(b"\r\n\r\n"):
            part = sock.recv(1)  # not a byte more: what follows belongs to whoever is behind the proxy
            if not part or len(answer) >= MAX_ANSWER_BYTES or time.monotonic() > end:
                raise ProxyError("the proxy did not answer in HTTP, or not in time")
            answer += part
        check_connect_answer(bytes(answer))
    except OSError:
        sock.close()
        raise
    return sock


class NotConnectedError(NewConnectionError):
    """Connecting failed, TLS included, so no byte of a request has left."""

    def __init__(self, connection: HTTPConnection, told: str) -> None:
        super().__init__(connection, told)
        self.told = told


@contextlib.contextmanager
def _as_not_connected(connection: HTTPConnection) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPError) as error:
        raise NotConnectedError(connection, str(error)) from None


def _make_pool_classes(connect: Connect) -> dict[str, type[HTTPConnectionPool]]:
    """Make the classes that urllib3 makes its connections with, bound to one way of connecting."""

    def open_socket(connection: HTTPConnection, scheme: str) -> socket.socket:
        port = connection.port or connection.default_port
        return connect(Target(scheme=scheme, host=connection.host.strip("[]"), port=port))

    class PlainConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self, "http")

        def connect(self) -> None:
            with _as_not_connected(self):
                super().connect()

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self, "https")

        def connect(self) -> None:
            with _as_not_connected(self):
                super().connect()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": PlainPool, "https": SecurePool}
