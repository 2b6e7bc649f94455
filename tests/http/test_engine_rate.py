# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How much is under way at once, how fast it goes, and what ends it: at real receivers, by the clock."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time

import pytest

from airflow_provider_hooks.http.connect import Dial
from airflow_provider_hooks.http.engine import Engine
from tests.http.reusing_receiver import NO_CONTENT, answer, check_once, serve
from tests.servers import find_closed_port
from tests.stream.sending import CONNECT_TIMEOUT, TIMEOUT, make_event, send
from tests.timing import SLACK_SECONDS


def answer_after(seconds: float):
    def behave(connection, count):
        time.sleep(seconds)
        answer(connection, count)

    return behave


@pytest.mark.parametrize("concurrency", [1, 3, 16])
def test_no_more_is_under_way_than_may_be(concurrency):
    with serve(answer_after(0.01)) as kept:
        sent = send(kept.url, concurrency * 8, concurrency=concurrency)
    check_once(sent, kept, concurrency * 8)
    assert kept.most_busy == concurrency, "and no less either"
    assert kept.connections == sent.opened == concurrency


@pytest.mark.parametrize("concurrency", [1, 8])
def test_no_more_connections_are_open_than_may_be_while_they_die(concurrency):
    def answer_and_close(connection, count):
        answer(connection, count)
        if count % 3 == 2:
            connection.shutdown(socket.SHUT_RDWR)

    most = []

    def count_connections(engine: Engine) -> None:
        most.append(len(engine._connections) + len(engine._dials))

    with serve(answer_and_close) as kept:
        sent = send(kept.url, 150, concurrency=concurrency, during=count_connections)
    check_once(sent, kept, 150)
    assert max(most) <= concurrency


@pytest.mark.parametrize("rate", [20, 100])
def test_a_rate_limit_is_kept(rate):
    with serve(answer) as kept:
        sent = send(kept.url, rate, concurrency=16, rate_limit=rate)
    check_once(sent, kept, rate)
    assert sent.seconds >= 0.7
    for first, last in itertools.combinations(range(0, rate, 5), 2):
        seconds = kept.arrivals[last] - kept.arrivals[first]
        assert last - first <= rate * (seconds + 0.1 + 0.15) + 2, (
            "a tenth of a second's worth, and what a loaded machine adds"
        )


def test_waiting_for_its_turn_takes_no_processor():
    looks: list[object] = []
    with serve(answer) as kept:
        send(kept.url, 3, rate_limit=2.5, during=looks.append)
    assert len(looks) < 100, "it waited and did not spin"


def busy_for(count: int, line: bytes, retry_after: bytes):
    """
    Return a receiver that answers the first ``count`` requests with a status that asks to slow down.

    The other requests succeed. Their responses follow those of the first ones, so the sender knows of the first ones.
    """
    numbers, sent = itertools.count(), threading.Semaphore(0)

    def behave(connection, _count):
        number = next(numbers)
        if number < count:
            connection.sendall(b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\n\r\n" % (line, retry_after))
            sent.release()
        else:
            if number < 2 * count:
                sent.acquire(timeout=10)
            connection.sendall(NO_CONTENT)

    return behave


@pytest.mark.parametrize(
    ("line", "retry_after", "seconds"),
    [
        (b"429 X", b"Retry-After: 1\r\n", 1.0),
        (b"503 X", b"Retry-After: 1\r\n", 1.0),
        (b"429 X", b"", 1.0),
        (b"503 X", b"Retry-After: soon\r\n", 1.0),
        (b"429 X", b"Retry-After: 0\r\n", 0.0),
        (b"429 X", b"Retry-After: Thu, 01 Jan 2015 00:00:00 GMT\r\n", 0.0),
        (b"500 X", b"Retry-After: 9\r\n", 0.0),
    ],
)
def test_a_receiver_that_is_busy_gets_a_pause_and_the_event_not_again(line, retry_after, seconds):
    with serve(busy_for(1, line, retry_after)) as kept:
        sent = send(kept.url, 12, concurrency=2)
    check_once(sent, kept, 12)
    assert sent.endings == {("rejected", None): 1, ("delivered", None): 11}
    assert seconds <= sent.seconds
    assert sent.pace.pauses == (1 if seconds else sent.pace.pauses)
    first = kept.arrivals[0]
    early = [one for one in kept.arrivals if one < first + seconds * 0.9]
    assert len(early) <= 2 + 2, "what was under way, and at most as much that was on its way there"


@pytest.mark.parametrize(
    "said", [b"1e99", b"999999999999", b"9" * 400, b"Fri, 31 Dec 9999 23:59:59 GMT", b"-1", b"nan"]
)
def test_a_pause_is_never_longer_than_its_bound(said, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.stream.throttle.MAX_PAUSE", 0.4)
    monkeypatch.setattr("airflow_provider_hooks.stream.throttle.DEFAULT_PAUSE", 0.2)
    with serve(busy_for(1, b"429 X", b"Retry-After: %b\r\n" % said)) as kept:
        sent = send(kept.url, 3, concurrency=1)
    check_once(sent, kept, 3)
    assert sent.seconds <= 0.4 + SLACK_SECONDS


# What ends it


@pytest.mark.parametrize("line", [b"500 X", b"301 X", b"429 X"])
def test_after_so_many_failures_in_a_row_nothing_more_is_begun(line):
    with serve(busy_for(10_000, line, b"Retry-After: 0\r\n")) as kept:
        sent = send(kept.url, 400, concurrency=4, breaker=10)
    assert sent.stopped
    assert 10 <= len(sent.records) == len(kept.arrivals) <= 10 + 2 * 4
    assert set(sent.endings) == {("rejected", None)}


def test_a_success_in_between_keeps_it_going():
    numbers = itertools.count()

    def behave(connection, _count):
        line = b"204 X\r\n" if next(numbers) % 5 == 4 else b"500 X\r\nContent-Length: 0\r\n"
        connection.sendall(b"HTTP/1.1 %b\r\n" % line)

    with serve(behave) as kept:
        sent = send(kept.url, 50, concurrency=1, breaker=5)
    check_once(sent, kept, 50)
    assert not sent.stopped


def test_what_is_under_way_when_it_stops_is_waited_for_without_spinning():
    numbers = itertools.count()

    def behave(connection, _count):
        if next(numbers) < 3:
            time.sleep(0.6)
            connection.sendall(NO_CONTENT)
        else:
            connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    looks: list[object] = []
    with serve(behave) as kept:
        sent = send(kept.url, 100, concurrency=4, breaker=3, during=looks.append)
    assert len(looks) < 200
    assert sent.stopped
    assert sent.endings[("delivered", None)] == 3
    assert len(sent.records) == len(kept.arrivals)


# Connections that are slow


def test_connections_that_do_not_come_about_hold_up_no_other():
    """The receiver takes two connections and no more; the kernel drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stop = threading.Event()

        def talk(connection) -> None:
            with contextlib.suppress(OSError), contextlib.closing(connection):
                while b"\r\n\r\n" in (request := connection.recv(65_536)):
                    arrivals.append(request)
                    time.sleep(0.005)
                    connection.sendall(NO_CONTENT)

        def accept() -> None:
            with contextlib.suppress(OSError):
                for _ in range(2):
                    connection, _ = listener.accept()
                    threading.Thread(target=talk, args=(connection,), daemon=True).start()
                for _ in range(8):
                    filler = stack.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(listener.getsockname())
                stop.wait()

        arrivals: list[bytes] = []
        threading.Thread(target=accept, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        sent = send(url, 60, concurrency=6, timeout=TIMEOUT, connect_timeout=CONNECT_TIMEOUT)
        stop.set()
    delivered = [one for one in sent.records if one["outcome"] == "delivered"]
    assert len(delivered) >= 50
    assert len(sent.records) == 60
    assert sum(one["duration_ms"] < 100 for one in delivered) >= 45
    assert {one.get("error_class") for one in sent.records if one["outcome"] != "delivered"} <= {
        "timeout",
        "connection_reset",
    }
    assert sent.seconds <= TIMEOUT + SLACK_SECONDS


def test_a_request_waits_for_whichever_connection_is_free_first(monkeypatch):
    """A connection that is slow to open holds up no request that another connection can take."""
    slow_dials = itertools.count()
    really_check = Dial.check_time

    def check_later(dial, now):
        if not hasattr(dial, "number"):
            dial.number = next(slow_dials)
        return really_check(dial, now) if dial.number == 0 else None

    class PatientDial(Dial):
        check_time = check_later

    monkeypatch.setattr("airflow_provider_hooks.http.engine.Dial", PatientDial)
    with serve(answer) as kept:
        sent = send(kept.url, 6, concurrency=3)
    check_once(sent, kept, 6)
    assert sent.endings == {("delivered", None): 6}, "all by the one connection that opened"
    assert kept.connections == 1


def test_every_event_that_nobody_takes_is_told_however_many_there_are():
    sent = send(f"http://127.0.0.1:{find_closed_port()}/hook", 300, concurrency=64)
    assert sent.endings == {("not_sent", "connection_refused"): 300}


def test_an_engine_is_used_for_one_batch_after_the_other():
    with serve(answer) as kept:
        for block in range(3):
            sent = send(kept.url, [make_event(number) for number in range(block * 10, block * 10 + 10)], concurrency=4)
            assert sent.endings == {("delivered", None): 10}
    assert set(kept.bytes_of.values()) == {1}
