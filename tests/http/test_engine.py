# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What a lost connection proves, when connections are reused, forks, and calls that are left early."""

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


def number(url: str, number: int, *, size: int = 0) -> RawRequest:
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
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> FrozenClock:
        """Give the engine such a clock; new connections need no time to settle then."""
        clock = cls()
        monkeypatch.setattr(engine_module, "time", clock)
        monkeypatch.setattr(engine_module, "SETTLE_SECONDS", 0.0)
        return clock

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


# What a lost connection proves


class Closing:
    """
    Has the receiver end its connection between the engine's last look at it and the request.

    :param uses: the request of a connection, from 1, before which it is ended
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, uses: int) -> None:
        self._uses, self._looks = uses, 0
        self.due = threading.Event()
        monkeypatch.setattr(engine_module, "read_tcp_info", self._look)

    def _look(self, sock: socket.socket) -> bytes:
        info = read_tcp_info(sock)
        self._looks += 1
        if self._looks == self._uses:
            self.due.set()
            wait_until(lambda: not is_established(read_tcp_info(sock)))
        return info


def close_after(closing: Closing, end: Callable[[socket.socket], None], *, uses: int):
    """On the first connection answer all requests before the last, and end it when that is due; on others answer."""
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
    """Serve each connection by a function that gets it as it was accepted, before anything is read."""
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


def say_goodbye(connection: socket.socket) -> None:
    """Send the alert of TLS that nothing follows, and close without the peer's."""
    connection.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.unwrap()
    connection.close()


@pytest.mark.parametrize(("tls", "end"), [(False, close), (True, close), (True, say_goodbye)])
class TestClosedInOrder:
    """A FIN, and no byte of the request was acknowledged: nothing was received."""

    def test_on_a_new_connection_it_is_not_sent(self, monkeypatch, ca_file, tls, end):
        behave = close_after(Closing(monkeypatch, 1), end, uses=1)
        with (
            connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
            open_engine(url, ca_file=ca_file) as engine,
        ):
            result = engine.send_one(number(url, 1))
            assert engine.opened == 1
        assert (result.outcome, result.error and result.error[0]) == (Outcome.NOT_SENT, ErrorClass.CONNECTION_RESET)
        assert requests == []

    def test_on_a_reused_connection_it_is_sent_on_a_new_one(self, monkeypatch, ca_file, tls, end):
        behave = close_after(Closing(monkeypatch, 2), end, uses=2)
        with (
            connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
            open_engine(url, ca_file=ca_file) as engine,
        ):
            results = [engine.send_one(number(url, count)) for count in range(2)]
            assert engine.opened == 2
        assert [result.outcome for result in results] == [Outcome.DELIVERED] * 2
        assert list_numbers(requests) == [0, 1]


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("tls", [False, True])
def test_a_request_that_a_receiver_reads_after_it_closed_its_own_direction_is_unknown(
    monkeypatch, ca_file, tls, reused
):
    """A FIN alone proves nothing: the receiver may go on reading."""
    uses = 2 if reused else 1

    def close_one_direction(connection: socket.socket) -> None:
        socket.socket.shutdown(connection, socket.SHUT_WR)
        requests.append(read_request(connection))
        done.wait(PATIENT)

    done = threading.Event()
    behave = close_after(Closing(monkeypatch, uses), close_one_direction, uses=uses)
    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        if reused:
            assert engine.send_one(number(url, 1)).outcome is Outcome.DELIVERED
        assert engine.send_one(number(url, uses)).outcome is Outcome.UNKNOWN
        assert engine.opened == 1
        wait_until(lambda: len(requests) == uses)
        done.set()
    assert list_numbers(requests) == list(range(1, uses + 1))


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("tls", [False, True])
def test_a_reset_without_a_fin_is_unknown_even_if_no_byte_was_acknowledged(monkeypatch, ca_file, tls, reused):
    """The receiver may have read all of the request; over TLS the error of the socket is consumed by OpenSSL."""
    uses = 2 if reused else 1
    behave = close_after(Closing(monkeypatch, uses), reset, uses=uses)
    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        if reused:
            assert engine.send_one(number(url, 0)).outcome is Outcome.DELIVERED
        result = engine.send_one(number(url, 1))
    # Without TLS the system refuses to send on a socket that was reset, so the engine knows that nothing left.
    if tls:
        assert result.outcome is Outcome.UNKNOWN
    elif reused:
        assert (result.outcome, list_numbers(requests)) == (Outcome.DELIVERED, [0, 1])
    else:
        assert (result.outcome, requests) == (Outcome.NOT_SENT, [])


@pytest.mark.parametrize("end", [close, reset])
@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_is_lost_after_a_byte_was_acknowledged_is_unknown(ca_file, tls, end):
    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        requests.append(read_request(connection))
        end(connection)

    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, requests),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        result = engine.send_one(number(url, 1))
    assert (result.outcome, result.error and result.error[0]) == (Outcome.UNKNOWN, ErrorClass.CONNECTION_RESET)
    assert list_numbers(requests) == [1]


@pytest.mark.parametrize("fin", [False, True], ids=["open", "FIN"])
def test_the_goodbye_of_tls_after_the_request_is_unknown_and_not_waited_for(ca_file, fin):
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
        result = engine.send_one(number(url, 1))
        done.set()
    assert (result.outcome, result.error and result.error[0]) == (Outcome.UNKNOWN, ErrorClass.CONNECTION_RESET)
    assert list_numbers(requests) == [1]


@pytest.mark.parametrize("tls", [False, True])
def test_a_body_that_only_a_close_ends_is_not_complete_after_a_reset(monkeypatch, ca_file, tls):
    """Also if the reset is there before the body is read, when OpenSSL would report an end."""
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
        result = engine.send_one(number(url, 1))
    assert (result.outcome, result.body) == (Outcome.DELIVERED, b"part of a body")
    assert result.error is not None
    assert result.error[0] is ErrorClass.CONNECTION_RESET


# Reuse


def test_after_a_lost_connection_new_ones_are_used_once_until_the_period_is_over(monkeypatch):
    clock = FrozenClock.install(monkeypatch)

    def answer_but_the_second(connection, requests):
        while request := read_request(connection):
            requests.append(request)
            if len(requests) == 2:
                return  # ends the connection
            connection.sendall(OK)

    with connection_server(answer_but_the_second) as (url, requests), open_engine(url) as engine:
        opened, outcomes = [], []
        for count, seconds in enumerate([0.0, 0.0, 0.0, 1.9, 0.2, 0.0]):
            clock.now += seconds
            outcomes.append(engine.send_one(number(url, count)).outcome)
            opened.append(engine.opened)
    assert outcomes == [Outcome.DELIVERED, Outcome.UNKNOWN, *[Outcome.DELIVERED] * 4]
    assert opened == [1, 1, 2, 3, 4, 4], "2 seconds after the loss, the connection is reused again"
    assert list_numbers(requests) == list(range(6))


class Receiver:
    """Answers once ``together`` requests wait, and ends connections as a test says."""

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
    requests = (number(url, one) for one in numbers)
    return [result.outcome for results in engine.send(requests) for result in results]


def count_closed(engine: Engine[RawRequest]) -> int:
    return sum(not is_established(read_tcp_info(one.sock)) for one in engine._connections.values())


def record_most_busy(engine: Engine[RawRequest], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have the engine note how many requests are under way whenever it waits for the network."""
    really_poll, busy = engine._poll, [0]

    def poll(timeout: float) -> None:
        busy[0] = max(busy[0], engine._busy)
        really_poll(timeout)

    monkeypatch.setattr(engine, "_poll", poll)
    return busy


class TestRestartingReceiver:
    """A receiver that closes one connection is about to close the others."""

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

    def test_a_close_of_an_idle_connection_closes_the_other_idle_ones(self, opened):
        engine, url, receiver = opened
        self.close_one(engine, receiver)
        assert send_numbers(engine, url, range(16, 18)) == [Outcome.DELIVERED] * 2
        assert engine.opened == 18, "and new ones are used once"
        assert engine._connections == {}

    def test_a_close_that_only_the_check_before_a_request_finds_does_too(self, opened, monkeypatch):
        engine, url, _ = opened
        answers = iter([False])
        monkeypatch.setattr(engine_module, "is_established", lambda info: next(answers, is_established(info)))
        busy = record_most_busy(engine, monkeypatch)
        assert send_numbers(engine, url, range(16, 32)) == [Outcome.DELIVERED] * 16
        assert engine.opened == 32
        assert busy == [16]

    def test_a_close_after_an_idle_timeout_does_not(self, opened, clock):
        engine, url, receiver = opened
        clock.now += 1.0
        self.close_one(engine, receiver)
        assert send_numbers(engine, url, range(16, 31)) == [Outcome.DELIVERED] * 15
        assert engine.opened == 16
        assert len(engine._connections) == 15

    def test_few_requests_reuse_connections_after_a_period_and_then_twice_as_many(self, opened, clock, monkeypatch):
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

    def test_a_close_of_a_connection_with_a_request_closes_the_idle_ones_before_its_outcome_is_known(
        self, opened, monkeypatch
    ):
        engine, url, receiver = opened
        sockets = {theirs.getpeername(): theirs for theirs in receiver.connections}
        is_first = iter([True])

        def look(sock: socket.socket) -> bytes:
            info = read_tcp_info(sock)
            if next(is_first, False):  # close one direction between the check and the request
                socket.socket.shutdown(sockets[sock.getsockname()], socket.SHUT_WR)
                wait_until(lambda: not is_established(read_tcp_info(sock)))
            return info

        receiver.together = 2  # it reads the request, and does not answer
        monkeypatch.setattr(engine_module, "read_tcp_info", look)
        monkeypatch.setattr(engine_module, "any_byte_acknowledged", lambda _sock, _before: False)
        deadline = time.monotonic() + PATIENT
        for results in engine.send(iter([number(url, 16)])):
            assert results == []
            assert time.monotonic() < deadline
            if len(engine._connections) == 1:
                break


def test_after_a_close_a_new_connection_that_is_reset_before_it_is_used_costs_nothing(monkeypatch):
    """A server that stops listening resets the connections that it has not accepted yet."""
    monkeypatch.setattr(engine_module, "SETTLE_SECONDS", 0.5)
    connections = itertools.count()

    def behave(connection: socket.socket, requests: list[bytes]) -> None:
        number = next(connections)
        if number == 0:
            requests.append(read_request(connection))  # and ends the connection
        elif number == 1:
            time.sleep(0.05)  # the engine takes note first that it is connected
            reset(connection)
        else:
            answer_all(connection, requests)

    with connection_server(behave) as (url, requests), open_engine(url) as engine:
        outcomes = [engine.send_one(number(url, count)).outcome for count in range(2)]
    assert outcomes == [Outcome.UNKNOWN, Outcome.DELIVERED]
    assert engine.opened == 3
    assert list_numbers(requests) == [0, 1]


@pytest.mark.parametrize("tls", [False, True])
def test_only_a_new_connection_without_tls_settles_and_only_after_a_close(monkeypatch, ca_file, tls):
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
        outcomes = [engine.send_one(number(url, count)).outcome for count in range(2)]
        assert time.monotonic() < began + PATIENT
    assert outcomes == [Outcome.UNKNOWN if tls else Outcome.DELIVERED, Outcome.DELIVERED]


def test_a_new_connection_that_is_lost_limits_reuse_too(clock):
    connections = itertools.count()

    def close_the_first(connection: socket.socket, requests: list[bytes]) -> None:
        if next(connections):
            answer_all(connection, requests)
        else:
            requests.append(read_request(connection))

    with connection_server(close_the_first) as (url, requests), open_engine(url) as engine:
        outcomes = [engine.send_one(number(url, count)).outcome for count in range(3)]
        assert engine.opened == 3
    assert outcomes == [Outcome.UNKNOWN, Outcome.DELIVERED, Outcome.DELIVERED]
    assert list_numbers(requests) == [0, 1, 2]


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_cannot_be_sent_on_limits_reuse_too(monkeypatch, clock, ca_file, tls):
    """The receiver resets it between the check and the request."""
    behave = close_after(Closing(monkeypatch, 2), reset, uses=2)
    with (
        connection_server(behave, tls=issue("127.0.0.1") if tls else None) as (url, _),
        open_engine(url, ca_file=ca_file) as engine,
    ):
        opened = []
        for count in range(4):
            engine.send_one(number(url, count))
            opened.append(engine.opened)
    assert opened == ([1, 1, 2, 3] if tls else [1, 2, 3, 4]), "over TLS a part of the request may have been sent"


def test_a_request_whose_connection_was_lost_has_no_more_time_than_any_other(monkeypatch):
    behave = close_after(Closing(monkeypatch, 2), close, uses=2)
    with connection_server(behave) as (url, _), open_engine(url) as engine:
        engine.send_one(number(url, 0))
        waiting = []
        really_dial = engine._connect_waiting
        monkeypatch.setattr(engine, "_connect_waiting", lambda: (waiting.extend(engine._waiting), really_dial()))
        begun = time.monotonic()
        engine.send_one(number(url, 1))
    assert {started for _, started, _ in waiting if started < begun} == set()
    assert len({started for _, started, _ in waiting}) == 1, "it began once"


# Time


def test_the_time_of_a_connection_that_was_begun_for_another_request_is_not_that_of_the_next(monkeypatch):
    """A black hole: a request is given up while its connection is being opened; the next has its own time."""
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
                clock.now += 0.25  # the connection is begun after the request, so the request is given up before it
            really_dial()

        monkeypatch.setattr(engine, "_connect_waiting", dial_late)
        results = [engine.send_one(number(hole.url, count)) for count in range(3)]
    assert {(result.outcome, result.error[0]) for result in results} == {(Outcome.NOT_SENT, ErrorClass.TIMEOUT)}
    assert min(result.seconds for result in results) >= 1.0


# Calls that are left early


def answer_all(connection: socket.socket, requests: list[bytes]) -> None:
    while request := read_request(connection):
        requests.append(request)
        connection.sendall(OK)


def answer_all_but_the_first(connection: socket.socket, requests: list[bytes]) -> None:
    while request := read_request(connection):
        requests.append(request)
        if len(requests) > 1:
            connection.sendall(OK)


def test_an_interrupted_request_leaves_nothing_to_the_next(monkeypatch):
    with connection_server(answer_all_but_the_first) as (url, requests), open_engine(url) as engine:
        really_poll = engine._poll

        def interrupt(timeout):
            if requests:
                raise KeyboardInterrupt
            really_poll(timeout)

        monkeypatch.setattr(engine, "_poll", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.send_one(number(url, 0))
        monkeypatch.setattr(engine, "_poll", really_poll)
        request = number(url, 1)
        result = engine.send_one(request)
    assert (result.request, result.outcome) == (request, Outcome.DELIVERED)
    assert list_numbers(requests) == [0, 1]


def test_a_consumer_that_reads_no_further_leaves_nothing_to_the_next_call():
    with connection_server(answer_all) as (url, requests), open_engine(url, concurrency=3) as engine:
        for results in engine.send(number(url, count) for count in range(9)):
            if results:
                break
        rest = [result for results in engine.send(number(url, count) for count in range(9, 12)) for result in results]
    assert sorted(list_numbers([result.request.request for result in rest])) == [9, 10, 11]
    assert {result.outcome for result in rest} == {Outcome.DELIVERED}
    assert len(list_numbers(requests)) == len(set(list_numbers(requests))), "and no request is sent twice"


# Forks


def run_in_child(work: Callable[[], bool]) -> None:
    """Run in a forked process, and fail if it returns ``False`` or raises."""
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
        engine.send_one(number(url, 1))
        run_in_child(lambda: engine.send_one(number(url, 2)).outcome is Outcome.DELIVERED)
        assert engine.send_one(number(url, 3)).outcome is Outcome.DELIVERED
        assert engine.opened == 1, "the connection of the parent still works"
    assert list_numbers(requests) == [1, 2, 3]


def test_a_forked_process_that_closes_the_engine_leaves_the_connections_of_its_parent_alone():
    """The ``epoll`` is shared: what the child removed from it, the parent would wait for in vain."""
    with connection_server(answer_all) as (url, requests), open_engine(url, timeout=PATIENT) as engine:
        engine.send_one(number(url, 1))
        run_in_child(lambda: engine.close() is None)
        assert engine.send_one(number(url, 2)).outcome is Outcome.DELIVERED
        assert engine.opened == 1
    assert list_numbers(requests) == [1, 2]


def test_a_process_forked_while_requests_are_under_way_does_not_wait_for_them():
    with connection_server(answer_all) as (url, requests), open_engine(url, concurrency=2) as engine:
        outcomes = []
        for results in engine.send(number(url, count) for count in range(4)):
            if not outcomes and results:
                run_in_child(lambda: engine.send_one(number(url, 9)).outcome is Outcome.DELIVERED)
            outcomes += [result.outcome for result in results]
    assert outcomes == [Outcome.DELIVERED] * 4
    assert sorted(list_numbers(requests)) == [0, 1, 2, 3, 9]
