# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Sends many requests over kept connections, each at most once, and tells the truth about each.

One thread, one ``epoll``. Requests are prepared in batches between two looks at the network, so that the receiver works
on one batch while the next is made. The line between ``not_sent`` and ``unknown`` is the first call that hands bytes of
a request to the system: before it nothing left. Nothing is ever handed over twice.
"""

from __future__ import annotations

import select
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING

from airflow_provider_hooks.delivery.limits import ConnectError
from airflow_provider_hooks.delivery.record import SUCCESS, ErrorClass
from airflow_provider_hooks.stream.answers import AnswerParser, read_plain_success
from airflow_provider_hooks.stream.connection import Connection
from airflow_provider_hooks.stream.result import RequestResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_hooks.stream.connection import OpenerPool
    from airflow_provider_hooks.stream.encode import EncodedRequest
    from airflow_provider_hooks.stream.result import Listener
    from airflow_provider_hooks.stream.throttle import RateLimiter

_RECEIVE_BYTES = 4_096
"""Most answers are short, and room for a long one takes time to make."""
_LOOK_SECONDS = 0.05
"""How often deadlines are looked at, and how long the network is waited for at most."""
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Engine:
    """
    Sends what it is given over at most ``concurrency`` connections.

    :param pool: opens the connections
    :param timeout: seconds for one request in all, connecting included
    """

    def __init__(self, pool: OpenerPool, *, concurrency: int, timeout: float, pace: RateLimiter) -> None:
        self._pool, self._concurrency, self._timeout, self._pace = pool, concurrency, timeout, pace
        self._poll = select.epoll()
        self._poll.register(pool.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._opening: dict[int, tuple[EncodedRequest, float, float]] = {}
        """The requests whose connection is being opened, with when they began (monotonic, unix)."""
        self._tickets = 0
        self._busy = 0
        self._next_look = 0.0
        self._plain: tuple[bytes, int] = (b"", 0)
        """The last answer that was read at a glance: most are the same bytes."""

    def close(self) -> None:
        """Close every connection; nothing must be under way."""
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._pool.close()
        self._poll.close()

    def send(self, events: Iterator[EncodedRequest], listener: Listener) -> list[EncodedRequest]:
        """
        Send every event, and return those that were not begun because the listener wants no more.

        The listener is told of each other one, and nothing is under way when this returns.
        """
        self._listener = listener
        ready: deque[EncodedRequest] = deque()
        is_more, ahead = True, self._pace.count_ahead(self._concurrency)
        while True:
            while is_more and len(ready) < ahead:
                event = next(events, None)
                if event is None:
                    is_more = False
                else:
                    ready.append(event)
            wants_more = listener.wants_more()
            if not wants_more:
                is_more = False
                if not self._busy:
                    return list(ready)
            elif ready:
                self._start(ready)
            if not self._busy and not ready and not is_more:
                return []
            self._wait(wants_more and bool(ready))

    def _start(self, ready: deque[EncodedRequest]) -> None:
        now = time.monotonic()
        room = min(self._concurrency - self._busy, len(ready))
        if room <= 0:
            return
        allowed = self._pace.count_allowed(now, room)
        if not allowed:
            return
        self._look(0.0)  # what an idle connection says now is no answer to what is sent on it next
        started_at = time.time()
        for _ in range(allowed):
            event = ready.popleft()
            self._busy += 1
            if self._idle:
                self._begin(self._idle.pop(), event, now, started_at)
            else:
                self._open_for(event, now, started_at)

    def _open_for(self, event: EncodedRequest, now: float, started_at: float) -> None:
        self._tickets += 1
        self._opening[self._tickets] = (event, now, started_at)
        self._pool.order(self._tickets)

    def _begin(self, connection: Connection, event: EncodedRequest, now: float, started_at: float) -> None:
        """Hand a request to the system: from here on it may have left, unless the system refuses every byte of it."""
        connection.event, connection.started, connection.started_at = event, now, started_at
        connection.deadline = now + self._timeout
        connection.uses += 1
        request = event.request
        try:
            sent = connection.sock.send(request)
        except _NOT_NOW:
            sent = 0
        except OSError as error:
            if isinstance(error, ssl.SSLError) or isinstance(connection.sock, ssl.SSLSocket):
                self._end(connection, failure=(ErrorClass.CONNECTION_RESET, str(error)))  # TLS may have let out a part
                return
            uses = connection.uses
            self._drop(connection)
            if uses > 1:
                self._open_for(event, now, started_at)  # it died while it was idle, and took nothing
            else:
                self._tell(
                    event,
                    RequestResult(
                        request_started=False,
                        started_at=started_at,
                        seconds=time.monotonic() - now,
                        peer=connection.peer,
                        failure=(ErrorClass.CONNECTION_RESET, str(error)),
                    ),
                )
            return
        if sent < len(request):
            connection.unsent = memoryview(request)[sent:]
            self._poll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _wait(self, is_waiting: bool) -> None:
        """Look at the network, for as long as nothing else can be done."""
        now = time.monotonic()
        timeout = _LOOK_SECONDS
        if is_waiting and self._busy < self._concurrency:
            timeout = min(timeout, self._pace.find_delay(now))
        self._look(timeout)
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._end_late_ones(time.monotonic())

    def _look(self, timeout: float) -> None:
        for descriptor, events in self._poll.poll(timeout):
            connection = self._connections.get(descriptor)
            if connection is None:
                self._take_opened()
            elif connection.event is None:
                self._drop(connection)  # an idle connection has nothing to say but that it is closed
            else:
                if events & ~select.EPOLLOUT:
                    self._receive(connection)  # an answer may come before the end of the request
                if connection.event is not None and connection.unsent is not None and events & select.EPOLLOUT:
                    self._send_rest(connection)

    def _take_opened(self) -> None:
        for ticket, result in self._pool.take():
            event, started, started_at = self._opening.pop(ticket)
            if isinstance(result, ConnectError):
                seconds = time.monotonic() - started
                failure = (result.error_class, str(result))
                self._tell(
                    event, RequestResult(request_started=False, started_at=started_at, seconds=seconds, failure=failure)
                )
                continue
            if time.monotonic() >= started + self._timeout:
                result[0].close()
                seconds, failure = time.monotonic() - started, (ErrorClass.TIMEOUT, "its turn to connect came too late")
                self._tell(
                    event, RequestResult(request_started=False, started_at=started_at, seconds=seconds, failure=failure)
                )
                continue
            connection = Connection(*result)
            self._connections[connection.sock.fileno()] = connection
            self._poll.register(connection.sock.fileno(), select.EPOLLIN)
            self._begin(connection, event, started, started_at)

    def _send_rest(self, connection: Connection) -> None:
        rest = connection.unsent
        try:
            while rest:
                rest = rest[connection.sock.send(rest) :]
        except _NOT_NOW:
            connection.unsent = rest
        except OSError:
            connection.unsent = rest
            if connection.parser is not None and connection.parser.is_ended:
                self._end(connection)
            else:
                self._receive(connection)  # an answer may have come before the end of the request
        else:
            connection.unsent = None
            self._poll.modify(connection.sock.fileno(), select.EPOLLIN)
            if connection.parser is not None and connection.parser.is_ended:
                self._end(connection, keep=connection.parser.keeps_connection)

    def _receive(self, connection: Connection) -> None:
        while connection.event is not None:
            try:
                data = connection.sock.recv(_RECEIVE_BYTES)
            except _NOT_NOW:
                return
            except OSError as error:
                self._end(connection, failure=(ErrorClass.CONNECTION_RESET, str(error)))
                return
            if connection.parser is None and connection.unsent is None and data:
                status = self._plain[1] if data == self._plain[0] else read_plain_success(data)
                if status is not None:
                    self._plain = (data, status)
                    self._succeed(connection, status)
                    return
            if connection.parser is None and data:
                connection.parser = AnswerParser()
            self._parse(connection, data)
            if connection.unsent is not None or not (
                len(data) == _RECEIVE_BYTES or isinstance(connection.sock, ssl.SSLSocket)
            ):
                return

    def _parse(self, connection: Connection, data: bytes) -> None:
        parser = connection.parser
        if parser is None:
            lost = ErrorClass.REUSED_CONNECTION_LOST if connection.uses > 1 else ErrorClass.CONNECTION_RESET
            self._end(connection, failure=(lost, "the connection was closed before an answer"))
            return
        if data:
            parser.feed(data)
        else:
            parser.end()
        if not parser.is_ended:
            return
        if connection.unsent is not None and data and parser.status in SUCCESS:
            # It answered before it has read all, and may go on reading; a refusal need not be sent the rest.
            self._poll.modify(connection.sock.fileno(), select.EPOLLOUT)
        else:
            self._end(connection, keep=parser.keeps_connection and bool(data))

    def _succeed(self, connection: Connection, status: int) -> None:
        event = connection.event
        assert event is not None  # noqa: S101  (only a busy connection receives)
        connection.event = None
        self._idle.append(connection)
        self._busy -= 1
        self._listener.take_success(
            event, status, connection.peer, connection.started_at, time.monotonic() - connection.started
        )

    def _end(
        self, connection: Connection, *, keep: bool = False, failure: tuple[ErrorClass, str] | None = None
    ) -> None:
        event = connection.event
        assert event is not None  # noqa: S101  (only a busy connection ends)
        unsent = 0 if connection.unsent is None else len(connection.unsent)
        ending = RequestResult(
            request_started=unsent < len(event.request) or isinstance(connection.sock, ssl.SSLSocket),
            started_at=connection.started_at,
            seconds=time.monotonic() - connection.started,
            peer=connection.peer,
            answer=connection.parser,
            failure=failure,
        )
        connection.event = connection.parser = None
        if keep and connection.unsent is None:
            self._idle.append(connection)
        else:
            self._drop(connection)
        self._tell(event, ending)

    def _tell(self, event: EncodedRequest, ending: RequestResult) -> None:
        self._busy -= 1
        self._listener.take_ending(event, ending)

    def _end_late_ones(self, now: float) -> None:
        for connection in list(self._connections.values()):
            if connection.event is not None and now >= connection.deadline:
                failure = (ErrorClass.TIMEOUT, f"no complete answer within {self._timeout:g} s")
                self._end(connection, failure=failure)

    def _drop(self, connection: Connection) -> None:
        descriptor = connection.sock.fileno()
        if self._connections.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.sock.close()
