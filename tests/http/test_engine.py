# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Lost connections, reuse of connections, timeouts, interrupted calls and forked processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http import engine as engine_module
from airflow_provider_hooks.http.connect import Connector, Limits
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.http.reuse import is_established, read_tcp_info
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.http.raw_request import RawRequest, make_raw_request
from tests.security.hostile import black_hole, issue, reset, write_authority
from tests.servers import OK, read_request

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1"])
PATIENT = 20.0
"""Seconds that a step of a test may take on a slow machine."""


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory):
    return write_authority(tmp_path_factory.mktemp("authority") / "ca.pem")


@contextlib.contextmanager
def open_engine(
    url: str,
    *,
    ca_file: str | None = None,
    timeout: float = PATIENT,
    connect_timeout: float = PATIENT,
    concurrency: int = 1,
) -> Iterator[Engine[RawRequest]]:
    limits = Limits(timeout=timeout, connect_timeout=connect_timeout, ca_file=ca_file)
    engine: Engine[RawRequest] = Engine(
        Connector(parse_url(url), policy=LOOPBACK, limits=limits), timeout=timeout, concurrency=concurrency
    )
    try:
        yield engine
    finally:
        engine.close()


def make_request(url: str, number: int, *, size: int = 0) -> RawRequest:
    return make_raw_request(parse_url(url), {"X-Number": str(number)}, b"x" * size)


def list_numbers(requests: list[bytes]) -> list[int]:
    lines = [line for request in requests for line in request.split(b"\r\n")]
    return [int(line[10:]) for line in lines if line.startswith(b"X-Number: ")]


def wait_until(is_true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENT
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.001)


class FrozenClock:
    """A clock that only a test advances."""

    def __init__(self) -> None:
        self.now = 1_000.0

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> FrozenClock:
        """Replace the clock of the engine; new connections then need no time to settle."""
        clock = cls()
        monkeypatch.setattr(engine_module, "time", clock)
        monkeypatch.setattr(engine_module, "SETTLE_SECONDS", 0.0)
        return clock

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


# Lost connections


class CloseBeforeRequest:
    """
    Makes the receiver end its connection between the engine's last check of it and the request.

    :param uses: the request of a connection, from 1, before which it is ended
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, uses: int) -> None:
        self._uses, self._checks = uses, 0
        self.due = threading.Event()
        monkeypatch.setattr(engine_module, "read_tcp_info", self._check)

    def _check(self, sock: socket.socket) -> bytes:
        info = read_tcp_info(sock)
        self._checks += 1
        if self._checks == self._uses:
            self.due.set()
            wait_until(lambda: not is_established(read_tcp_info(sock)))
        return info


def close_after(closing: CloseBeforeRequest, end: Callable[[socket.socket], None], *, uses: int):
    """Answer all requests of the first connection but the last, then end it when due; answer all on others."""
    connections = itertools.count()

    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        if next(connections):
            answer_all(connection, requests)
            return
        for _ in range(uses - 1):
            requests.append(read_request(connection))
            connection.sendall(OK)
        closing.due.wait(PATIENT)
        end(connection)

    return behave


@contextlib.contextmanager
def connection_server(behave, *, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """Serve each connection by a function that gets it before anything is read."""
    listener, requests = socket.create_server(("127.0.0.1", 0)), []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # so that a reset discards nothing
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            behave(connection, requests)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/", requests
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def close(connection: socket.socket) -> None:
    connection.close()


def send_close_notify(connection: socket.socket) -> None:
    """Send the TLS alert close_notify, and close without waiting for that of the peer."""
    connection.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.unwrap()
    connection.close()


@pytest.mark.parametrize(("tls", "end"), [(False, close), (True, close), (True, send_close_notify)])
class TestCleanClose:
    """A FIN without an acknowledged byte of the request: the receiver got nothing."""

    def test_request_on_a_new_connection_is_not_sent(self, monkeypatch, ca_file, tls, end):
        behave = close_after(CloseBeforeRequest(monkeypatch, 1), end, uses=1)
        with (
            connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
            open_engine(url, ca_file=ca_file) as engine,
        ):
            result = engine.send_one(make_request(url, 1))
            assert engine.opened == 1
        assert (result.outcome, result.error and result.error[0]) == (Outcome.NOT_SENT, ErrorClass.CONNECTION_RESET)
        assert requests == []

    def test_request_on_a_reused_connection_is_sent_on_a_new_one(self, monkeypatch, ca_file, tls, end):
        behave = close_after(CloseBeforeRequest(monkeypatch, 2), end, uses=2)
        with (
            connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
            open_engine(url, ca_file=ca_file) as engine,
        ):
            results = [engine.send_one(make_request(url, count)) for count in range(2)]
            assert engine.opened == 2
        assert [result.outcome for result in results] == [Outcome.DELIVERED] * 2
        assert list_numbers(requests) == [0, 1]


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("tls", [False, True])
def test_request_read_by_a_half_closed_receiver_is_unknown(monkeypatch, ca_file, tls, reused):
    """A FIN alone proves nothing: the receiver may still read."""
    uses = 2 if reused else 1

    def half_close(connection: socket.socket) -> None:
        socket.socket.shutdown(connection, socket.SHUT_WR)
        requests.append(read_request(connection))
        done.wait(PATIENT)

    done = threading.Event()
    behave = close_after(CloseBeforeRequest(monkeypatch, uses), half_close, uses=uses)
    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        if reused:
            assert engine.send_one(make_request(url, 1)).outcome is Outcome.DELIVERED
        assert engine.send_one(make_request(url, uses)).outcome is Outcome.UNKNOWN
        assert engine.opened == 1
        wait_until(lambda: len(requests) == uses)
        done.set()
    assert list_numbers(requests) == list(range(1, uses + 1))


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("tls", [False, True])
def test_reset_without_fin_is_unknown_unless_the_system_refused_to_send(monkeypatch, ca_file, tls, reused):
    """The receiver may have read all of the request; over TLS the error of the socket is consumed by OpenSSL."""
    uses = 2 if reused else 1
    behave = close_after(CloseBeforeRequest(monkeypatch, uses), reset, uses=uses)
    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        if reused:
            assert engine.send_one(make_request(url, 0)).outcome is Outcome.DELIVERED
        result = engine.send_one(make_request(url, 1))
    # Without TLS the system refuses to send on a socket that was reset, so the engine knows that nothing was sent.
    if tls:
        assert result.outcome is Outcome.UNKNOWN
    elif reused:
        assert (result.outcome, list_numbers(requests)) == (Outcome.DELIVERED, [0, 1])
    else:
        assert (result.outcome, requests) == (Outcome.NOT_SENT, [])


@pytest.mark.parametrize("end", [close, reset])
@pytest.mark.parametrize("tls", [False, True])
def test_connection_lost_after_an_acknowledged_byte_is_unknown(ca_file, tls, end):
    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        end(connection)

    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        result = engine.send_one(make_request(url, 1))
    assert (result.outcome, result.error and result.error[0]) == (Outcome.UNKNOWN, ErrorClass.CONNECTION_RESET)
    assert list_numbers(requests) == [1]


@pytest.mark.parametrize("fin", [False, True], ids=["open", "FIN"])
def test_close_notify_after_the_request_is_unknown_without_a_wait(ca_file, fin):
    done = threading.Event()

    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        connection.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            connection.unwrap()
        if fin:
            connection.close()
        done.wait(PATIENT)

    with (
        connection_server(behave, tls=issue("127.0.0.1")) as (url, requests),
        open_engine(url, ca_file=ca_file, timeout=3_600.0) as engine,
    ):
        result = engine.send_one(make_request(url, 1))
        done.set()
    assert (result.outcome, result.error and result.error[0]) == (Outcome.UNKNOWN, ErrorClass.CONNECTION_RESET)
    assert list_numbers(requests) == [1]


@pytest.mark.parametrize("tls", [False, True])
def test_body_without_length_is_incomplete_after_a_reset(monkeypatch, ca_file, tls):
    """Also if the reset arrives before the body is read, where OpenSSL would report a normal end."""
    was_reset = threading.Event()

    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\npart of a body")
        reset(connection)
        was_reset.set()

    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, _requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        really_poll = engine._poll

        def poll_late(timeout):
            if any(connection.request for connection in engine._connections.values()):
                was_reset.wait(PATIENT)
            really_poll(timeout)

        monkeypatch.setattr(engine, "_poll", poll_late)
        result = engine.send_one(make_request(url, 1))
    assert (result.outcome, result.body) == (Outcome.DELIVERED, b"part of a body")
    assert result.error is not None
    assert result.error[0] is ErrorClass.CONNECTION_RESET


# Reuse


def test_connections_are_used_once_for_a_period_after_a_lost_one(monkeypatch):
    clock = FrozenClock.install(monkeypatch)

    def answer_all_but_the_second(connection, requests):
        while request := read_request(connection):
            requests.append(request)
            if len(requests) == 2:
                return  # ends the connection
            connection.sendall(OK)

    with connection_server(answer_all_but_the_second) as (url, requests), open_engine(url) as engine:
        opened, outcomes = [], []
        for count, seconds in enumerate([0.0, 0.0, 0.0, 1.9, 0.2, 0.0]):
            clock.now += seconds
            outcomes.append(engine.send_one(make_request(url, count)).outcome)
            opened.append(engine.opened)
    assert outcomes == [Outcome.DELIVERED, Outcome.UNKNOWN, *[Outcome.DELIVERED] * 4]
    assert opened == [1, 1, 2, 3, 4, 4], "2 seconds after the loss, the connection is reused again"
    assert list_numbers(requests) == list(range(6))


class Receiver:
    """Answers when ``together`` requests wait; a test can close its connections."""

    def __init__(self) -> None:
        self.together = 1
        self.connections: list[socket.socket] = []
        self._waiting: list[socket.socket] = []
        self._lock = threading.Lock()

    def behave(self, connection: socket.socket, requests: list[bytes]) -> None:
        with self._lock:
            self.connections.append(connection)
        while request := read_request(connection):
            with self._lock:
                requests.append(request)
                self._waiting.append(connection)
                if len(self._waiting) >= self.together:
                    for waiting in self._waiting:
                        waiting.sendall(OK)
                    self._waiting.clear()


@pytest.fixture
def clock(monkeypatch) -> FrozenClock:
    return FrozenClock.install(monkeypatch)


def send_numbers(engine: Engine[RawRequest], url: str, numbers: range) -> list[Outcome]:
    requests = (make_request(url, one) for one in numbers)
    return [result.outcome for results in engine.send(requests) for result in results]


def count_closed(engine: Engine[RawRequest]) -> int:
    return sum(not is_established(read_tcp_info(one.sock)) for one in engine._connections.values())


def record_most_busy(engine: Engine[RawRequest], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the largest number of requests in progress whenever the engine waits for the network."""
    really_poll, busy = engine._poll, [0]

    def poll(timeout: float) -> None:
        busy[0] = max(busy[0], engine._busy)
        really_poll(timeout)

    monkeypatch.setattr(engine, "_poll", poll)
    return busy


class TestRestartingReceiver:
    """A receiver that closes one connection is expected to close the others."""

    CONCURRENCY = 16

    @pytest.fixture(params=[False, True], ids=["plain", "TLS"])
    def opened(self, request, ca_file, clock) -> Iterator[tuple[Engine[RawRequest], str, Receiver]]:
        """An engine with 16 idle connections."""
        receiver = Receiver()
        receiver.together = self.CONCURRENCY
        tls = issue("127.0.0.1") if request.param else None
        with (
            connection_server(receiver.behave, tls=tls) as (url, _),
            open_engine(url, ca_file=ca_file, concurrency=self.CONCURRENCY) as engine,
        ):
            assert send_numbers(engine, url, range(16)) == [Outcome.DELIVERED] * 16
            receiver.together = 1
            yield engine, url, receiver

    def close_one(self, engine: Engine[RawRequest], receiver: Receiver) -> None:
        receiver.connections[0].shutdown(socket.SHUT_RDWR)
        wait_until(lambda: count_closed(engine) == 1)

    def test_closed_idle_connection_closes_the_other_idle_ones(self, opened):
        engine, url, receiver = opened
        self.close_one(engine, receiver)
        assert send_numbers(engine, url, range(16, 18)) == [Outcome.DELIVERED] * 2
        assert engine.opened == 18, "new connections are used once"
        assert engine._connections == {}

    def test_close_found_by_the_check_before_a_request_closes_the_idle_ones(self, opened, monkeypatch):
        engine, url, _ = opened
        answers = iter([False])
        monkeypatch.setattr(engine_module, "is_established", lambda info: next(answers, is_established(info)))
        busy = record_most_busy(engine, monkeypatch)
        assert send_numbers(engine, url, range(16, 32)) == [Outcome.DELIVERED] * 16
        assert engine.opened == 32
        assert busy == [16]

    def test_close_after_an_idle_timeout_leaves_the_others_open(self, opened, clock):
        engine, url, receiver = opened
        clock.now += 1.0
        self.close_one(engine, receiver)
        assert send_numbers(engine, url, range(16, 31)) == [Outcome.DELIVERED] * 15
        assert engine.opened == 16
        assert len(engine._connections) == 15

    def test_concurrency_doubles_each_period_once_connections_are_reused(self, opened, clock, monkeypatch):
        engine, url, receiver = opened
        self.close_one(engine, receiver)
        first, most = 16, []
        for seconds in (0.0, 1.9, 0.2, 2.0, 2.0, 2.0):
            clock.now += seconds
            with monkeypatch.context() as patched:
                busy = record_most_busy(engine, patched)
                assert send_numbers(engine, url, range(first, first + 20)) == [Outcome.DELIVERED] * 20
            most += busy
            first += 20
        assert most == [4, 4, 2, 4, 8, 16]

    def test_idle_connections_are_closed_before_the_outcome_of_a_lost_request_is_known(self, opened, monkeypatch):
        engine, url, receiver = opened
        sockets = {accepted.getpeername(): accepted for accepted in receiver.connections}
        is_first = iter([True])

        def close_after_check(sock: socket.socket) -> bytes:
            info = read_tcp_info(sock)
            if next(is_first, False):  # close one direction between the check and the request
                socket.socket.shutdown(sockets[sock.getsockname()], socket.SHUT_WR)
                wait_until(lambda: not is_established(read_tcp_info(sock)))
            return info

        receiver.together = 2  # the receiver reads the request, and does not answer
        monkeypatch.setattr(engine_module, "read_tcp_info", close_after_check)
        monkeypatch.setattr(engine_module, "any_byte_acknowledged", lambda _sock, _before: False)
        deadline = time.monotonic() + PATIENT
        for results in engine.send(iter([make_request(url, 16)])):
            assert results == []
            assert time.monotonic() < deadline
            if len(engine._connections) == 1:
                break


def test_new_connection_reset_before_use_is_replaced_after_a_close(monkeypatch):
    """A server that stops listening resets the connections that it has not accepted yet."""
    monkeypatch.setattr(engine_module, "SETTLE_SECONDS", 0.5)
    connections = itertools.count()

    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        number = next(connections)
        if number == 0:
            requests.append(read_request(connection))  # then the connection ends
        elif number == 1:
            time.sleep(0.05)  # the engine first registers the connection
            reset(connection)
        else:
            answer_all(connection, requests)

    with connection_server(behave) as (url, requests), open_engine(url) as engine:
        outcomes = [engine.send_one(make_request(url, count)).outcome for count in range(2)]
    assert outcomes == [Outcome.UNKNOWN, Outcome.DELIVERED]
    assert engine.opened == 3
    assert list_numbers(requests) == [0, 1]


@pytest.mark.parametrize("tls", [False, True])
def test_settle_time_applies_only_to_plain_connections_after_a_close(monkeypatch, ca_file, tls):
    monkeypatch.setattr(engine_module, "SETTLE_SECONDS", PATIENT)
    connections = itertools.count()

    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        if tls and not next(connections):
            requests.append(read_request(connection))
        else:
            answer_all(connection, requests)

    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, _requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        began = time.monotonic()
        outcomes = [engine.send_one(make_request(url, count)).outcome for count in range(2)]
        assert time.monotonic() < began + PATIENT
    assert outcomes == [Outcome.UNKNOWN if tls else Outcome.DELIVERED, Outcome.DELIVERED]


def test_lost_new_connection_limits_reuse(clock):
    connections = itertools.count()

    def close_the_first(connection: socket.socket, requests: list[bytes]) -> None:
        if next(connections):
            answer_all(connection, requests)
        else:
            requests.append(read_request(connection))

    with connection_server(close_the_first) as (url, requests), open_engine(url) as engine:
        outcomes = [engine.send_one(make_request(url, count)).outcome for count in range(3)]
        assert engine.opened == 3
    assert outcomes == [Outcome.UNKNOWN, Outcome.DELIVERED, Outcome.DELIVERED]
    assert list_numbers(requests) == [0, 1, 2]


@pytest.mark.parametrize("tls", [False, True])
def test_failed_send_limits_reuse(monkeypatch, clock, ca_file, tls):
    """The receiver resets the connection between the check and the request."""
    behave = close_after(CloseBeforeRequest(monkeypatch, 2), reset, uses=2)
    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, _),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        opened = []
        for count in range(4):
            engine.send_one(make_request(url, count))
            opened.append(engine.opened)
    assert opened == ([1, 1, 2, 3] if tls else [1, 2, 3, 4]), "over TLS a part of the request may have been sent"


def test_request_on_a_replaced_connection_keeps_its_start_time(monkeypatch):
    behave = close_after(CloseBeforeRequest(monkeypatch, 2), close, uses=2)
    with connection_server(behave) as (url, _), open_engine(url) as engine:
        engine.send_one(make_request(url, 0))
        waiting = []
        really_dial = engine._connect_waiting
        monkeypatch.setattr(engine, "_connect_waiting", lambda: (waiting.extend(engine._waiting), really_dial()))
        second_started = time.monotonic()
        engine.send_one(make_request(url, 1))
    assert {started for _, started, _ in waiting if started < second_started} == set()
    assert len({started for _, started, _ in waiting}) == 1, "the start time is set once"


# Timeouts


def test_timeout_starts_with_the_request_and_not_with_an_earlier_connection(monkeypatch):
    """The receiver drops packets: a request times out while its connection opens; the next has the full timeout."""
    clock = FrozenClock.install(monkeypatch)
    really_poll, polled = select.epoll.poll, []
    with black_hole() as hole, open_engine(hole.url, timeout=1.0, connect_timeout=1.0) as engine:
        poller = engine._poller

        def poll(timeout):
            polled.append(timeout)
            clock.now += 0.375
            return really_poll(poller.epoll, 0)

        engine._poller = SimpleNamespace(
            epoll=SimpleNamespace(poll=poll), owners=poller.owners, add=poller.add, remove=poller.remove,
            watch=poller.watch, close=poller.close,
        )  # fmt: skip
        really_dial = engine._connect_waiting

        def dial_late():
            if len(engine._waiting) > len(engine._dials):
                clock.now += 0.25  # the connection starts after the request, so the request times out first
            really_dial()

        monkeypatch.setattr(engine, "_connect_waiting", dial_late)
        results = [engine.send_one(make_request(hole.url, count)) for count in range(3)]
    assert {(result.outcome, result.error[0]) for result in results} == {(Outcome.NOT_SENT, ErrorClass.TIMEOUT)}
    assert min(result.seconds for result in results) >= 1.0


# Interrupted calls


def answer_all(connection: socket.socket, requests: list[bytes]) -> None:
    while request := read_request(connection):
        requests.append(request)
        connection.sendall(OK)


def answer_all_but_the_first(connection: socket.socket, requests: list[bytes]) -> None:
    while request := read_request(connection):
        requests.append(request)
        if len(requests) > 1:
            connection.sendall(OK)


def test_interrupted_request_does_not_affect_the_next(monkeypatch):
    with connection_server(answer_all_but_the_first) as (url, requests), open_engine(url) as engine:
        really_poll = engine._poll

        def interrupt(timeout):
            if requests:
                raise KeyboardInterrupt
            really_poll(timeout)

        monkeypatch.setattr(engine, "_poll", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.send_one(make_request(url, 0))
        monkeypatch.setattr(engine, "_poll", really_poll)
        request = make_request(url, 1)
        result = engine.send_one(request)
    assert (result.request, result.outcome) == (request, Outcome.DELIVERED)
    assert list_numbers(requests) == [0, 1]


def test_consumer_that_stops_early_does_not_affect_the_next_call():
    with connection_server(answer_all) as (url, requests), open_engine(url, concurrency=3) as engine:
        for results in engine.send(make_request(url, count) for count in range(9)):
            if results:
                break
        rest = [
            result for results in engine.send(make_request(url, count) for count in range(9, 12)) for result in results
        ]
    assert sorted(list_numbers([result.request.request for result in rest])) == [9, 10, 11]
    assert {result.outcome for result in rest} == {Outcome.DELIVERED}
    assert len(list_numbers(requests)) == len(set(list_numbers(requests))), "no request is sent twice"


# Forks


def run_in_child(work: Callable[[], bool]) -> None:
    """Run a function in a forked process, and fail if it returns ``False`` or raises."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(PATIENT))
        status = 1
        with contextlib.suppress(BaseException):
            status = 0 if work() else 1
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("tls", [False, True])
def test_a_forked_process_opens_its_own_connections(ca_file, tls):
    with (
        connection_server(answer_all, tls=issue("127.0.0.1") if tls else None) as (url, requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        engine.send_one(make_request(url, 1))
        run_in_child(lambda: engine.send_one(make_request(url, 2)).outcome is Outcome.DELIVERED)
        assert engine.send_one(make_request(url, 3)).outcome is Outcome.DELIVERED
        assert engine.opened == 1, "the connection of the parent still works"
    assert list_numbers(requests) == [1, 2, 3]


def test_engine_closed_in_a_forked_process_leaves_the_connections_of_its_parent():
    """The ``epoll`` is shared: the parent would get no events of a connection that the child removed."""
    with connection_server(answer_all) as (url, requests), open_engine(url, timeout=PATIENT) as engine:
        engine.send_one(make_request(url, 1))
        run_in_child(lambda: engine.close() is None)
        assert engine.send_one(make_request(url, 2)).outcome is Outcome.DELIVERED
        assert engine.opened == 1
    assert list_numbers(requests) == [1, 2]


def test_forked_process_does_not_wait_for_requests_of_its_parent():
    with connection_server(answer_all) as (url, requests), open_engine(url, concurrency=2) as engine:
        outcomes = []
        for results in engine.send(make_request(url, count) for count in range(4)):
            if not outcomes and results:
                run_in_child(lambda: engine.send_one(make_request(url, 9)).outcome is Outcome.DELIVERED)
            outcomes += [result.outcome for result in results]
    assert outcomes == [Outcome.DELIVERED] * 4
    assert sorted(list_numbers(requests)) == [0, 1, 2, 3, 9]
