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

from airflow_provider_hooks.exceptions import ResolverError
from airflow_provider_hooks.http.connect import connect_checked
from airflow_provider_hooks.http.urls import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from airflow_provider_hooks.http.policy import NetworkPolicy

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
    :param connect_timeout: seconds of the deadline for DNS, connecting and TLS together
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
            try:
                sock, _ = connect_checked(target, policy=policy, timeout=timeout)
            except ResolverError as error:
                raise OSError(str(error)) from None
            deadline.watch(sock)
            return sock

        adapter = HTTPAdapter(max_retries=_NO_RETRIES)
        adapter.poolmanager.pool_classes_by_scheme = _make_pool_classes(connect)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Keep ``requests`` from reading a redirect's whole body, decompressed, which it does even when told not to."""


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
            self.sock.settimeout(self.timeout)  # what was left for connecting is no bound for sending

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
