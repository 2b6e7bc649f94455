# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The HTTP engine: sends requests over reused connections, each at most once, and reports what is proven about each.

One thread, one ``epoll``. Requests go in as an iterator, results come out as an iterator; requests are taken in groups
between two looks at the network, so that the receiver works on one group while the next is prepared.

Three rules make the outcomes true:

- **A request is handed to the system once.** Before its first byte the outcome is ``not_sent``. After it, a connection
  that is lost without a response is ``unknown``, unless the peer had closed it (FIN), its system refused the request
  (RST) and acknowledged no byte of it: then nothing was received, and the outcome is ``not_sent``.
- **Nothing is sent on a connection that the peer has closed.** The TCP state is checked right before each request.
- **No leftover response is believed.** A connection that has anything to say between two requests is closed, bytes in
  the buffers of TLS included.
"""

from __future__ import annotations

import errno
import os
import select
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from airflow_provider_hooks.exceptions import ConnectError, ServiceHookError, TokenError
from airflow_provider_hooks.http.connect import (
    Connector,
    Dial,
    OpenConnection,
    Poller,
    open_connection,
    to_connect_error,
    to_milliseconds,
)
from airflow_provider_hooks.http.response import RECEIVE_BYTES, ResponseReader, read_plain_success
from airflow_provider_hooks.http.result import NO_PHASES, Phases, RequestResult
from airflow_provider_hooks.http.reuse import (
    RestartGuard,
    any_byte_acknowledged,
    is_established,
    read_tcp_info,
    take_error,
    was_closed_before,
)
from airflow_provider_hooks.http.tls import find_refusal, proves_unread, wait_for_alert
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

SUCCESS = range(200, 300)
"""The statuses that say that an event was accepted (RFC 9110, section 15.3)."""
IDLE_SECONDS = 1.0
"""A connection that the peer closes after so long without a request had reached an idle timeout: that is expected."""
_TICK_SECONDS = 0.05
"""How often the consumer gets a turn, and deadlines are checked."""
_PROOF_SECONDS = 0.5
"""How long the proof is waited for that a request found its connection closed: a round trip after the FIN."""
SETTLE_SECONDS = 0.02
"""
How long a new connection is left alone after the receiver closed one, so that a reset shows before a request is sent.

A server that stops listening resets the connections that it has not accepted yet. TLS needs no such wait: a handshake
that is complete shows that the connection was accepted.
"""
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Sendable(Protocol):
    """A request that the engine can send."""

    @property
    def request(self) -> bytes:
        """Head and body: exactly the bytes that are sent."""


class Throttle(Protocol):
    """Decides how fast requests are sent; times are those of ``time.monotonic``."""

    def acquire(self, now: float, wanted: int) -> int:
        """Return how many of the wanted requests may be sent now."""

    def delay(self, now: float) -> float:
        """Return the seconds until a request may be sent."""

    def prefetch_limit(self, wanted: int) -> int:
        """Return how many requests may be prepared before they are sent."""


R = TypeVar("R", bound=Sendable)


class Preparer(Protocol[R]):
    """Completes a request right before it is sent."""

    def prepare(self, request: R) -> R:
        """
        Return the complete request, such as with a token that is valid now.

        :raises TokenError: if it cannot be sent; its outcome is then ``not_sent``
        """


class _Connection(Generic[R]):
    """A connection, and the request that is on it."""

    __slots__ = (
        "before", "deadline", "error", "first_byte_at", "is_closed", "is_tls", "peer", "phases", "reader",
        "refusal", "released_at", "request", "sent_at", "sock", "started", "started_at", "tls_version",
        "unsent", "uses",
    )  # fmt: skip

    def __init__(self, opened: OpenConnection) -> None:
        self.sock: socket.socket = opened.sock
        self.is_tls = isinstance(opened.sock, ssl.SSLSocket)
        self.tls_version = opened.sock.version() if isinstance(opened.sock, ssl.SSLSocket) else None
        """Such as ``TLSv1.3``; OpenSSL does not return it after an alert."""
        self.peer, self.phases = opened.peer, opened.phases
        self.uses = 0
        self.request: R | None = None
        self.reader: ResponseReader | None = None
        self.unsent: memoryview | None = None
        self.before = b""
        """What the kernel reported right before the request."""
        self.error = 0
        """Of the socket of a TLS connection, read before OpenSSL clears it by sending an alert."""
        self.is_closed = False
        """Whether the peer closed the connection; the proof is waited for that it did so before the request."""
        self.refusal: str | None = None
        """What the peer reported about the client's certificate before anything was sent."""
        self.started = self.started_at = self.deadline = self.sent_at = self.first_byte_at = 0.0
        self.released_at = time.monotonic()
        """When it was opened, or when its last request was finished."""

    def has_leftover(self) -> bool:
        """Return whether TLS has bytes that were received and not read: they belong to no request."""
        return self.is_tls and bool(cast("ssl.SSLSocket", self.sock).pending())


class Engine(Generic[R]):
    """
    Sends requests over at most ``concurrency`` connections to one target.

    An engine belongs to one thread. A process that was forked with it opens its own connections.

    :param connector: opens the connections
    :param timeout: seconds for one request in all, connecting included
    :param throttle: limits the rate; without one, requests are sent as fast as the receiver takes them
    :param keep_headers: whether results of plain successes hold the response headers too, which takes longer
    :param preparer: completes each request right before it is sent; its time does not count for the request
    """

    def __init__(
        self,
        connector: Connector,
        *,
        concurrency: int = 1,
        timeout: float,
        throttle: Throttle | None = None,
        keep_headers: bool = True,
        preparer: Preparer[R] | None = None,
    ) -> None:
        self.opened = 0
        """How many connections were opened so far."""
        self._connector, self._concurrency, self._timeout = connector, concurrency, timeout
        self._throttle, self._keep_headers, self._preparer = throttle, keep_headers, preparer
        self._pid = 0
        self._connections: dict[int, _Connection[R]] = {}
        self._idle: list[_Connection[R]] = []
        self._settling: deque[_Connection[R]] = deque()
        """New ones that are not used yet, in the order in which they were opened."""
        self._dials: set[Dial] = set()
        self._ready: deque[R] = deque()
        """Prepared, not begun."""
        self._waiting: deque[tuple[R, float, float]] = deque()
        """Begun, and waiting for a connection; with when they began (monotonic, unix)."""
        self._results: list[RequestResult[R]] = []
        self._busy = 0
        """How many requests are begun and have no result."""
        self._is_stopped = False
        self._guard = RestartGuard()
        self._next_expiry = 0.0
        self._plain: tuple[bytes, int] = (b"", 0)
        """The last plain success: most responses are the same bytes."""
        self._open_poller()

    @property
    def unsent(self) -> list[R]:
        """The requests that were not begun when ``stop`` was called, in order."""
        return list(self._ready)

    def send(self, requests: Iterator[R]) -> Iterator[list[RequestResult[R]]]:
        """
        Send every request, and yield the results in groups as they arrive.

        A group is empty where nothing arrived for a while, so that the consumer gets a turn at least every 50 ms. Each
        request has one result when the iterator ends, but for those that ``unsent`` lists after ``stop``.

        If it is left before its end, by an interruption or by the consumer, what was under way is dropped: the next
        call gets no result of this one.
        """
        if self._pid != os.getpid():
            self._leave_parent()
        try:
            yield from self._send_all(requests)
        except BaseException:
            self._abandon()
            raise

    def _send_all(self, requests: Iterator[R]) -> Iterator[list[RequestResult[R]]]:
        self._is_stopped, is_more = False, True
        prefetch = self._concurrency if self._throttle is None else self._throttle.prefetch_limit(self._concurrency)
        while True:
            while is_more and not self._is_stopped and len(self._ready) < prefetch:
                request = next(requests, None)
                if request is None:
                    is_more = False
                else:
                    self._ready.append(request)
            if self._is_stopped:
                self._take_back_waiting()
            else:
                self._begin_allowed()
            is_done = not self._busy and (self._is_stopped or not (self._ready or is_more))
            if not is_done:
                self._connect_waiting()
                self._poll(self._find_delay())
            elif not self._results:
                return
            results, self._results = self._results, []
            yield results

    def requeue(self, request: R) -> None:
        """Send a request again whose outcome is ``not_sent``; called while the results of ``send`` are consumed."""
        self._ready.append(request)

    def stop(self) -> None:
        """Begin nothing more: ``send`` ends when the requests under way have their results."""
        self._is_stopped = True

    def send_one(self, request: R) -> RequestResult[R]:
        """Send one request, and return its result."""
        (result,) = [result for results in self.send(iter((request,))) for result in results]
        return result

    def check_connection(self) -> str:
        """
        Connect, TLS included, and return the peer's address. No byte of a request is sent.

        With TLS 1.3 it waits up to 0.4 s for the server to refuse the client's certificate, or the lack of one.

        :raises ConnectError: with the class of the error
        """
        try:
            opened = open_connection(self._connector)
            with opened.sock:
                if isinstance(opened.sock, ssl.SSLSocket):
                    wait_for_alert(opened.sock)
        except (ServiceHookError, OSError, ValueError) as error:
            refusal = find_refusal(error, self._connector.limits.tls)
            raise (ConnectError(ErrorClass.TLS_ERROR, refusal) if refusal else to_connect_error(error)) from None
        return opened.peer

    def close(self) -> None:
        """Close every connection; nothing must be under way."""
        if self._pid == os.getpid():
            self._abandon()
            for connection in list(self._connections.values()):
                self._close(connection)
        self._close_copies()

    # Beginning requests

    def _begin_allowed(self) -> None:
        if not self._ready or self._busy >= self._concurrency:
            return
        if self._idle:
            self._poll(0.0)  # closes the idle connections that have something to say
        now = time.monotonic()
        # The guard is asked only after a close: that is rare, and this is called for every group.
        limit = self._concurrency if now >= self._guard.limited_until else self._guard.limit(self._concurrency, now)
        wanted = min(limit - self._busy, len(self._ready))
        if wanted <= 0:
            return
        allowed = wanted if self._throttle is None else self._throttle.acquire(now, wanted)
        started_at = time.time()
        for _ in range(allowed):
            request = self._ready.popleft()
            self._busy += 1
            self._begin(request, now, started_at)

    def _begin(self, request: R, started: float, started_at: float) -> None:
        """Send a request on an idle connection, or have it wait for a new one."""
        while self._idle:
            if self._send_on(self._idle.pop(), request, started, started_at):
                return
        self._waiting.append((request, started, started_at))

    def _connect_waiting(self) -> None:
        """Use the connections that have settled, and open one for each request that still waits."""
        while self._settling and time.monotonic() >= self._settling[0].released_at + SETTLE_SECONDS:
            connection = self._settling.popleft()
            if connection.sock.fileno() >= 0:  # otherwise it was closed meanwhile, and another one is opened
                self._use_new(connection)
        for _ in range(len(self._waiting) - len(self._dials) - len(self._settling)):
            now = time.monotonic()
            dial = Dial(self._connector, self._poller, now)
            self._dials.add(dial)
            done = dial.check_time(now)
            if done is not None:
                self._end_dial(dial, done)

    def _take_back_waiting(self) -> None:
        """Count the requests that wait for a connection as not begun: nothing of them was sent."""
        self._busy -= len(self._waiting)
        self._ready.extendleft(request for request, _, _ in reversed(self._waiting))
        self._waiting.clear()

    def _send_on(self, connection: _Connection[R], request: R, started: float, started_at: float) -> bool:
        """Hand a request to the system; return ``False`` if the connection is closed, so that nothing was sent."""
        if self._preparer is not None:
            began = time.monotonic()
            prepared = self._prepare(request, self._preparer, started, started_at)
            if prepared is None:
                self._idle.append(connection)
                return True
            request, started = prepared, started + time.monotonic() - began
        sock = connection.sock
        try:
            before = read_tcp_info(sock)
        except OSError:
            before = b"\0"
        if not is_established(before) or connection.has_leftover():
            connection.refusal = self._read_refusal(connection)
            self._close_ended(connection)
            return False
        connection.request, connection.started, connection.started_at = request, started, started_at
        connection.before, connection.deadline = before, started + self._timeout
        connection.uses += 1
        data = request.request
        try:
            sent = sock.send(data)
        except _NOT_NOW:
            sent = 0
        except OSError as error:
            if not connection.is_tls:
                connection.request = None
                self._close_ended(connection)
                return False
            self._end_while_sending(connection, error)
            return True
        if self._keep_headers:
            connection.sent_at = time.monotonic()
        if sent < len(data):
            connection.unsent = memoryview(data)[sent:]
            self._poller.watch(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return True

    def _end_while_sending(self, connection: _Connection[R], error: OSError) -> None:
        """Finish a request of which TLS may have sent a part; an alert that says why it failed was received before."""
        if not self._refuse(connection):
            self._note_close()
            self._finish(connection, error=(ErrorClass.CONNECTION_RESET, str(error)))

    def _prepare(self, request: R, preparer: Preparer[R], started: float, started_at: float) -> R | None:
        """Return the complete request, or report it as not sent and return ``None``."""
        try:
            return preparer.prepare(request)
        except TokenError as error:
            self._fail_request(request, started, started_at, (error.error_class, str(error)))
            return None

    # Waiting for the network

    def _find_delay(self) -> float:
        if self._results:
            return 0.0
        delay, now = _TICK_SECONDS, time.monotonic()
        may_begin = bool(self._ready) and not self._is_stopped
        if self._throttle is not None and may_begin and self._busy < self._guard.limit(self._concurrency, now):
            delay = min(delay, self._throttle.delay(now))
        for dial in self._dials:
            delay = min(delay, dial.find_delay(now))
        if self._settling:
            delay = min(delay, max(0.0, self._settling[0].released_at + SETTLE_SECONDS - now))
        return delay

    def _poll(self, timeout: float) -> None:
        for descriptor, events in self._poller.epoll.poll(timeout):
            connection = self._connections.get(descriptor)
            if connection is None:
                self._advance_dial(descriptor)
            elif connection.request is None:
                self._check_idle(connection)
            else:
                if events & select.EPOLLERR and connection.is_tls and not connection.error:
                    connection.error = take_error(connection.sock)
                if connection.is_closed:
                    self._end_of_connection(connection, is_reset=False, message="the connection was closed")
                elif events & ~select.EPOLLOUT:
                    self._receive(connection)  # a response may come before the end of the request
                is_sending = connection.request is not None and connection.unsent is not None
                if is_sending and not connection.is_closed and events & select.EPOLLOUT:
                    self._send_rest(connection)
        now = time.monotonic()
        if self._dials:
            self._check_dials(now)
        if now >= self._next_expiry:
            self._next_expiry = now + _TICK_SECONDS
            self._expire(now)

    def _check_idle(self, connection: _Connection[R]) -> None:
        """Close an idle connection that has anything to say, but for the session tickets of TLS 1.3."""
        try:
            if connection.is_tls:
                connection.sock.recv(1)
        except _NOT_NOW:
            return
        except OSError:
            pass
        self._close_ended(connection)

    def _advance_dial(self, descriptor: int) -> None:
        owner = self._poller.owners.get(descriptor)
        if isinstance(owner, Dial):
            done = owner.advance(descriptor, time.monotonic())
            if done is not None:
                self._end_dial(owner, done)
        elif owner is self._connector:
            self._connector.read_wake_ups()

    def _check_dials(self, now: float) -> None:
        for dial in list(self._dials):
            done = dial.check_time(now)
            if done is not None:
                self._end_dial(dial, done)

    def _end_dial(self, dial: Dial, done: OpenConnection | Exception) -> None:
        """Give a new connection to the request that waits longest, or an error to it."""
        self._dials.discard(dial)
        if isinstance(done, Exception):
            # A dial that is older than the request was begun for another one, so its time is not that of this one.
            if self._waiting and self._waiting[0][1] <= dial.started:
                error = to_connect_error(done)
                self._fail_waiting((error.error_class, str(error)))
            return
        self.opened += 1
        connection: _Connection[R] = _Connection(done)
        self._connections[connection.sock.fileno()] = connection
        self._poller.add(connection.sock.fileno(), select.EPOLLIN, connection)
        if connection.released_at < self._guard.limited_until and not connection.is_tls:
            self._settling.append(connection)
        else:
            self._use_new(connection)

    def _use_new(self, connection: _Connection[R]) -> None:
        """Send the request that waits longest on a new connection."""
        if not self._waiting:
            self._idle.append(connection)
            return
        request, started, started_at = self._waiting.popleft()
        if not self._send_on(connection, request, started, started_at):
            self._waiting.appendleft((request, started, started_at))
            closed = (ErrorClass.CONNECTION_RESET, "the connection was closed before the request")
            self._fail_waiting((ErrorClass.TLS_ERROR, connection.refusal) if connection.refusal else closed)

    def _fail_waiting(self, error: tuple[ErrorClass, str]) -> None:
        self._fail_request(*self._waiting.popleft(), error)

    def _fail_request(self, request: R, started: float, started_at: float, error: tuple[ErrorClass, str]) -> None:
        self._busy -= 1
        self._results.append(
            RequestResult(
                request=request,
                outcome=Outcome.NOT_SENT,
                status=None,
                peer=None,
                started_at=started_at,
                seconds=time.monotonic() - started,
                error=error,
            )
        )

    # Reading responses

    def _send_rest(self, connection: _Connection[R]) -> None:
        rest, reader = connection.unsent, connection.reader
        try:
            while rest:
                rest = rest[connection.sock.send(rest) :]
        except _NOT_NOW:
            connection.unsent = rest
        except OSError:
            connection.unsent = rest
            if reader is not None and reader.is_complete:
                self._finish(connection)
            else:
                self._receive(connection)  # a response may have come before the end of the request
        else:
            connection.unsent = None
            self._poller.watch(connection.sock.fileno(), select.EPOLLIN)
            if reader is not None and reader.is_complete:
                self._finish(connection, keep=reader.may_reuse)

    def _receive(self, connection: _Connection[R]) -> None:
        while connection.request is not None:
            try:
                data = connection.sock.recv(RECEIVE_BYTES)
            except _NOT_NOW:
                return
            except OSError as error:
                if not (connection.is_tls and self._refuse(connection, error)):
                    self._end_of_connection(connection, is_reset=True, message=str(error))
                return
            if not data:
                is_reset = connection.error == errno.ECONNRESET
                message = f"the connection was {'reset' if is_reset else 'closed'}"
                self._end_of_connection(connection, is_reset=is_reset, message=message)
                return
            if connection.reader is None and connection.unsent is None and not self._keep_headers:
                status = self._plain[1] if data == self._plain[0] else read_plain_success(data)
                if status is not None:
                    self._plain = (data, status)
                    self._succeed(connection, status)
                    return
            self._read(connection, data)
            if connection.unsent is not None or (len(data) < RECEIVE_BYTES and not connection.is_tls):
                return

    def _read(self, connection: _Connection[R], data: bytes) -> None:
        """Feed what arrived to the reader of the response, and finish the request if the response is complete."""
        reader = connection.reader
        if reader is None:
            connection.first_byte_at = time.monotonic()
            reader = connection.reader = ResponseReader()
        reader.feed(data)
        if not reader.is_complete:
            return
        if connection.unsent is not None and reader.status in SUCCESS:
            # The receiver answered before it has read all, and may go on reading; a refusal need not get the rest.
            self._poller.watch(connection.sock.fileno(), select.EPOLLOUT)
        else:
            self._finish(connection, keep=reader.may_reuse)

    def _end_of_connection(self, connection: _Connection[R], *, is_reset: bool, message: str) -> None:
        """Take note that the peer closed the connection while a request was on it."""
        reader = connection.reader
        if reader is not None:
            reader.feed_eof(is_reset=is_reset)
            self._finish(connection)
            return
        not_received: bool | None = False
        if not is_reset and not any_byte_acknowledged(connection.sock, connection.before):
            not_received = was_closed_before(connection.sock, connection.error)
        if not_received is None and not connection.is_closed:
            connection.is_closed = True
            connection.deadline = min(time.monotonic() + _PROOF_SECONDS, connection.deadline)
            self._poller.watch(connection.sock.fileno(), 0)  # a reset is reported all the same
            self._note_close()
            return
        error_class = ErrorClass.CONNECTION_RESET if connection.uses == 1 else ErrorClass.REUSED_CONNECTION_LOST
        error = (error_class, f"{message} before a response")
        self._note_close()
        if not_received and connection.uses > 1:
            request, started, started_at = connection.request, connection.started, connection.started_at
            connection.request = None
            self._close(connection)
            assert request is not None  # noqa: S101  (for mypy: a busy connection has a request)
            self._waiting.appendleft((request, started, started_at))  # it is older than those that wait
            return
        self._finish(connection, error=error, not_received=bool(not_received))

    def _refuse(self, connection: _Connection[R], error: OSError | None = None) -> bool:
        """
        Finish a request that a TLS alert about the client's certificate answered; return whether one did.

        :param error: what receiving raised; ``None``: an alert may still be read
        """
        if error is None:
            error = _receive_error(connection.sock)
        refusal = None if error is None else find_refusal(error, self._connector.limits.tls)
        if error is None or refusal is None:
            return False
        is_new = connection.uses == 1 and connection.reader is None
        not_received = is_new and proves_unread(error, connection.tls_version)
        self._finish(connection, error=(ErrorClass.TLS_ERROR, refusal), not_received=not_received)
        return True

    def _read_refusal(self, connection: _Connection[R]) -> str | None:
        """Return what the peer reported about the client's certificate when it closed a new connection."""
        error = _receive_error(connection.sock) if connection.is_tls and not connection.uses else None
        return None if error is None else find_refusal(error, self._connector.limits.tls)

    def _succeed(self, connection: _Connection[R], status: int) -> None:
        """Finish a request that a plain 2xx without a body answered: nearly all of a stream."""
        request, now = connection.request, time.monotonic()
        assert request is not None  # noqa: S101  (for mypy: only a busy connection receives)
        connection.request = None
        self._busy -= 1
        self._results.append(
            RequestResult(
                request, Outcome.DELIVERED, status, connection.peer, connection.started_at, now - connection.started
            )
        )
        self._release(connection, now)

    def _finish(
        self,
        connection: _Connection[R],
        *,
        keep: bool = False,
        error: tuple[ErrorClass, str] | None = None,
        not_received: bool = False,
    ) -> None:
        """Report the result of the request on a connection."""
        request, reader, now = connection.request, connection.reader, time.monotonic()
        assert request is not None  # noqa: S101  (for mypy: a busy connection has a request)
        unsent = 0 if connection.unsent is None else len(connection.unsent)
        started = not not_received and (connection.is_tls or unsent < len(request.request))
        status = None if reader is None else reader.status
        result = RequestResult(
            request=request,
            outcome=_classify_outcome(status, request_started=started),
            status=status,
            peer=connection.peer,
            started_at=connection.started_at,
            seconds=now - connection.started,
            error=error or (None if reader is None else reader.error),
            phases=self._measure_phases(connection),
        )
        if reader is not None and status is not None:
            result.headers, result.body, result.responded_at = reader.headers, bytes(reader.body), reader.head_at
        self._busy -= 1
        self._results.append(result)
        connection.request = connection.reader = None
        if keep and connection.unsent is None:
            self._release(connection, now)
        else:
            self._close(connection)

    def _measure_phases(self, connection: _Connection[R]) -> Phases:
        opened = connection.phases if connection.uses == 1 else NO_PHASES
        if connection.reader is None or not connection.sent_at:
            return opened
        first_byte = to_milliseconds(max(0.0, connection.first_byte_at - connection.sent_at))
        return Phases(dns=opened.dns, connect=opened.connect, tls=opened.tls, first_byte=first_byte)

    # Connections

    def _release(self, connection: _Connection[R], now: float) -> None:
        """Use a connection again if it may be: for the request that waits longest, if there is one."""
        connection.released_at = now
        if now < self._guard.reuses_from or connection.has_leftover():
            self._close(connection)
        elif self._waiting and not self._is_stopped:
            request, started, started_at = self._waiting.popleft()
            if self._send_on(connection, request, started, started_at):
                return
            self._waiting.appendleft((request, started, started_at))
        else:
            self._idle.append(connection)

    def _note_close(self) -> None:
        """Take note that the peer closed a connection unexpectedly: it is about to close the idle ones too."""
        self._guard.note_close(time.monotonic())
        for connection in list(self._idle):
            self._close(connection)

    def _close_ended(self, connection: _Connection[R]) -> None:
        """Close a connection that the peer closed, or that has anything to say, while no request was on it."""
        self._close(connection)
        if time.monotonic() < connection.released_at + IDLE_SECONDS:
            self._note_close()

    def _expire(self, now: float) -> None:
        """Finish the requests whose time is up."""
        for connection in [one for one in self._connections.values() if one.request is not None]:
            if now < connection.deadline:
                continue
            if connection.is_closed:
                self._end_of_connection(connection, is_reset=False, message="the connection was closed")
            else:
                self._finish(connection, error=(ErrorClass.TIMEOUT, f"no complete response within {self._timeout:g} s"))
        while self._waiting and now >= self._waiting[0][1] + self._timeout:
            self._fail_waiting((ErrorClass.TIMEOUT, f"no connection within {self._timeout:g} s"))

    def _close(self, connection: _Connection[R]) -> None:
        descriptor = connection.sock.fileno()
        if self._connections.pop(descriptor, None) is not None:
            self._poller.remove(descriptor)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.sock.close()

    def _abandon(self) -> None:
        """Drop everything that is under way."""
        for connection in [one for one in self._connections.values() if one.request is not None]:
            self._close(connection)
        for dial in self._dials:
            dial.close()
        self._forget_requests()

    def _close_copies(self) -> None:
        """
        Close the descriptors of this process, and leave alone what a parent process shares with it.

        Closing a copy of a socket says nothing to the peer. The ``epoll`` is shared, so nothing is removed from it.
        """
        for connection in self._connections.values():
            connection.sock.close()
        self._connections.clear()
        self._idle.clear()
        self._settling.clear()
        self._forget_requests()
        self._poller.close()
        self._connector.close()

    def _forget_requests(self) -> None:
        self._dials.clear()
        self._ready.clear()
        self._waiting.clear()
        self._results.clear()
        self._busy = 0

    def _open_poller(self) -> None:
        self._pid = os.getpid()
        self._poller = Poller()
        self._poller.add(self._connector.fileno(), select.EPOLLIN, self._connector)

    def _leave_parent(self) -> None:
        """Open what belongs to this process after a fork."""
        self._close_copies()
        self._connector = Connector(
            self._connector.target,
            policy=self._connector.policy,
            limits=self._connector.limits,
            resolved_seconds=self._connector.resolved_seconds,
        )
        self._open_poller()


def _receive_error(sock: socket.socket) -> OSError | None:
    """Return the error that ended a connection, such as an alert of TLS; ``None`` if it sent anything else."""
    try:
        sock.recv(1)
    except OSError as error:
        return error
    return None


def _classify_outcome(status: int | None, *, request_started: bool) -> Outcome:
    """
    Return the outcome of a request.

    :param status: the status of a final response whose headers were complete, or ``None``
    :param request_started: whether the receiver may have got any byte of the request
    """
    if status is not None and request_started:
        return Outcome.DELIVERED if status in SUCCESS else Outcome.REJECTED
    return Outcome.UNKNOWN if request_started else Outcome.NOT_SENT
