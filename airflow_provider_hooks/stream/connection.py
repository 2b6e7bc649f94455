# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Connections to one receiver, opened in threads so that a slow one holds up no other."""

from __future__ import annotations

import errno
import queue
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import certifi

from airflow_provider_hooks.delivery.limits import ERRNO_CLASSES, ConnectError, Limits
from airflow_provider_hooks.delivery.record import ErrorClass
from airflow_provider_hooks.http.connecting import connect_checked
from airflow_provider_hooks.http.policy import BlockedAddressError, NetworkPolicy
from airflow_provider_hooks.http.proxy import ProxyError
from airflow_provider_hooks.http.resolver import ResolverError

if TYPE_CHECKING:
    from airflow_provider_hooks.http.urls import Target
    from airflow_provider_hooks.stream.answers import AnswerParser
    from airflow_provider_hooks.stream.encode import EncodedRequest

Opened = tuple[socket.socket, str]
"""A connection that does not block, and the address that it leads to."""


class Connection:
    """A connection, and the request that is on it."""

    __slots__ = ("deadline", "event", "parser", "peer", "sock", "started", "started_at", "unsent", "uses")

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.sock, self.peer, self.uses = sock, peer, 0
        self.event: EncodedRequest | None = None
        self.parser: AnswerParser | None = None
        self.unsent: memoryview | None = None
        self.started = self.started_at = self.deadline = 0.0


class Opener:
    """
    Opens connections to a target, TLS included, and judges every address each time.

    :param limits: its ``connect_timeout`` bounds DNS, connecting and TLS together
    """

    def __init__(self, target: Target, *, policy: NetworkPolicy, limits: Limits) -> None:
        self._target, self._policy = target, policy
        self._timeout = min(limits.connect_timeout, limits.timeout)
        self._context: ssl.SSLContext | None = None
        if target.scheme == "https":
            self._context = ssl.create_default_context(cafile=limits.ca_file or certifi.where())
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context.set_alpn_protocols(["http/1.1"])

    def open(self) -> Opened:
        """
        Open a connection.

        :raises ConnectError: saying why it cannot be opened; nothing was sent
        """
        started = time.monotonic()
        try:
            sock, peer = connect_checked(self._target, policy=self._policy, timeout=self._timeout)
            try:
                sock.settimeout(max(0.001, self._timeout - (time.monotonic() - started)))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is not None:
                    sock = self._context.wrap_socket(sock, server_hostname=self._target.host)
                sock.setblocking(False)
            except BaseException:
                sock.close()
                raise
        except (BlockedAddressError, ResolverError, OSError, ValueError) as error:
            raise ConnectError(_classify(error), str(error)) from None
        return sock, peer


def _classify(error: Exception) -> ErrorClass:
    known = (
        (BlockedAddressError, ErrorClass.BLOCKED_ADDRESS),
        (ResolverError, ErrorClass.DNS_ERROR),
        (ProxyError, ErrorClass.PROXY_ERROR),
        (TimeoutError, ErrorClass.TIMEOUT),
        (ssl.SSLError, ErrorClass.TLS_ERROR),
    )
    for kind, error_class in known:
        if isinstance(error, kind):
            return error_class
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ETIMEDOUT:
        return ErrorClass.TIMEOUT
    return ERRNO_CLASSES.get(code, ErrorClass.CONNECTION_FAILED) if code is not None else ErrorClass.CONNECTION_FAILED


class OpenerPool:
    """
    Opens connections in threads of its own.

    :param size: how many threads there are at most
    """

    def __init__(self, opener: Opener, *, size: int) -> None:
        self._opener, self._size = opener, size
        self._orders: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[int, Opened | ConnectError]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._wake_up, self._woken = socket.socketpair()
        self._woken.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a connection was opened, or could not be."""
        return self._woken.fileno()

    def order(self, ticket: int) -> None:
        """Have a connection opened."""
        self._waiting += 1
        if len(self._threads) < min(self._size, self._waiting):
            thread = threading.Thread(target=self._work, daemon=True, name="service-hook-connect")
            self._threads.append(thread)
            thread.start()
        self._orders.put(ticket)

    def take(self) -> list[tuple[int, Opened | ConnectError]]:
        """Return the connections that were opened since, and why others could not be."""
        try:
            while self._woken.recv(4_096):
                pass
        except BlockingIOError:
            pass
        taken = []
        while not self._results.empty():
            taken.append(self._results.get())
        self._waiting -= len(taken)
        return taken

    def close(self) -> None:
        """End the threads, and close what they opened and nobody took."""
        for _ in self._threads:
            self._orders.put(None)
        for _, result in self.take():
            if not isinstance(result, ConnectError):
                result[0].close()

    def _work(self) -> None:
        while (ticket := self._orders.get()) is not None:
            result: Opened | ConnectError
            try:
                result = self._opener.open()
            except ConnectError as error:
                result = error
            except Exception as error:  # noqa: BLE001  (an order that nobody answers would hold up the stream)
                result = ConnectError(ErrorClass.SETUP_FAILED, str(error))
            self._results.put((ticket, result))
            self._wake_up.send(b"\0")
