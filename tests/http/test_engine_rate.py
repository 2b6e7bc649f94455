# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Concurrency, rate limits, pauses and stops, with real receivers and the real clock."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time

import pytest

from airflow_provider_hooks.http.connect import Dial
from airflow_provider_hooks.http.engine import Engine
from tests.http.reusing_receiver import NO_CONTENT, answer, check_sent_once, serve
from tests.servers import find_closed_port
from tests.stream.sending import CONNECT_TIMEOUT, TIMEOUT, make_event, send
from tests.timing import SLACK_SECONDS


def answer_after(seconds: float):
    def behave(connection, count):
        time.sleep(seconds)
        answer(connection, count)

    return behave


@pytest.mark.parametrize("concurrency", [1, 3, 16])
def test_concurrency_limits_the_requests_in_progress(concurrency):
    with serve(answer_after(0.01)) as receiver:
        sent = send(receiver.url, concurrency * 8, concurrency=concurrency)
    check_sent_once(sent, receiver, concurrency * 8)
    assert receiver.most_busy == concurrency, "the whole concurrency is used"
    assert receiver.connections == sent.opened == concurrency


@pytest.mark.parametrize("concurrency", [1, 8])
def test_concurrency_limits_open_connections_while_the_receiver_closes_them(concurrency):
    def answer_and_close(connection, count):
        answer(connection, count)
        if count % 3 == 2:
            connection.shutdown(socket.SHUT_RDWR)

    most = []

    def count_connections(engine: Engine) -> None:
        most.append(len(engine._connections) + len(engine._dials))

    with serve(answer_and_close) as receiver:
        sent = send(receiver.url, 150, concurrency=concurrency, during=count_connections)
    check_sent_once(sent, receiver, 150)
    assert max(most) <= concurrency


@pytest.mark.parametrize("rate", [20, 100])
def test_rate_limit_is_respected(rate):
    with serve(answer) as receiver:
        sent = send(receiver.url, rate, concurrency=16, rate_limit=rate)
    check_sent_once(sent, receiver, rate)
    assert sent.seconds >= 0.7
    for first, last in itertools.combinations(range(0, rate, 5), 2):
        seconds = receiver.arrivals[last] - receiver.arrivals[first]
        assert last - first <= rate * (seconds + 0.1 + 0.15) + 2, (
            "a tenth of a second of events, and the delay of a loaded machine"
        )


def test_waiting_for_the_rate_limit_does_not_spin():
    wakeups: list[object] = []
    with serve(answer) as receiver:
        send(receiver.url, 3, rate_limit=2.5, during=wakeups.append)
    assert len(wakeups) < 100, "it waited and did not spin"


def answer_first_requests_with(count: int, line: bytes, retry_after: bytes):
    """
    Return a receiver that answers the first ``count`` requests with a status that asks to slow down.

    The other requests succeed. Their responses follow those of the first ones, so the sender has read these before.
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
def test_busy_receiver_pauses_the_stream_and_does_not_get_the_event_again(line, retry_after, seconds):
    with serve(answer_first_requests_with(1, line, retry_after)) as receiver:
        sent = send(receiver.url, 12, concurrency=2)
    check_sent_once(sent, receiver, 12)
    assert sent.outcomes == {("rejected", None): 1, ("delivered", None): 11}
    assert seconds <= sent.seconds
    assert sent.rate_limiter.pauses == (1 if seconds else sent.rate_limiter.pauses)
    first = receiver.arrivals[0]
    early = [one for one in receiver.arrivals if one < first + seconds * 0.9]
    assert len(early) <= 2 + 2, "the requests in progress, and at most as many already on their way"


@pytest.mark.parametrize(
    "retry_after", [b"1e99", b"999999999999", b"9" * 400, b"Fri, 31 Dec 9999 23:59:59 GMT", b"-1", b"nan"]
)
def test_pause_is_limited_to_the_maximum(retry_after, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.stream.throttle.MAX_PAUSE", 0.4)
    monkeypatch.setattr("airflow_provider_hooks.stream.throttle.DEFAULT_PAUSE", 0.2)
    with serve(answer_first_requests_with(1, b"429 X", b"Retry-After: %b\r\n" % retry_after)) as receiver:
        sent = send(receiver.url, 3, concurrency=1)
    check_sent_once(sent, receiver, 3)
    assert sent.seconds <= 0.4 + SLACK_SECONDS


# When a stream stops


@pytest.mark.parametrize("line", [b"500 X", b"301 X", b"429 X"])
def test_stream_stops_after_consecutive_failures(line):
    with serve(answer_first_requests_with(10_000, line, b"Retry-After: 0\r\n")) as receiver:
        sent = send(receiver.url, 400, concurrency=4, breaker=10)
    assert sent.stopped
    assert 10 <= len(sent.records) == len(receiver.arrivals) <= 10 + 2 * 4
    assert set(sent.outcomes) == {("rejected", None)}


def test_success_resets_the_count_of_consecutive_failures():
    numbers = itertools.count()

    def behave(connection, _count):
        line = b"204 X\r\n" if next(numbers) % 5 == 4 else b"500 X\r\nContent-Length: 0\r\n"
        connection.sendall(b"HTTP/1.1 %b\r\n" % line)

    with serve(behave) as receiver:
        sent = send(receiver.url, 50, concurrency=1, breaker=5)
    check_sent_once(sent, receiver, 50)
    assert not sent.stopped


def test_requests_in_progress_are_awaited_without_spinning_when_the_stream_stops():
    numbers = itertools.count()

    def behave(connection, _count):
        if next(numbers) < 3:
            time.sleep(0.6)
            connection.sendall(NO_CONTENT)
        else:
            connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    wakeups: list[object] = []
    with serve(behave) as receiver:
        sent = send(receiver.url, 100, concurrency=4, breaker=3, during=wakeups.append)
    assert len(wakeups) < 200
    assert sent.stopped
    assert sent.outcomes[("delivered", None)] == 3
    assert len(sent.records) == len(receiver.arrivals)


# Slow connections


def test_unanswered_connections_do_not_delay_requests_on_others():
    """The receiver accepts two connections; the kernel drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stop = threading.Event()

        def serve_connection(connection) -> None:
            with contextlib.suppress(OSError), contextlib.closing(connection):
                while b"\r\n\r\n" in (request := connection.recv(65_536)):
                    arrivals.append(request)
                    time.sleep(0.005)
                    connection.sendall(NO_CONTENT)

        def accept() -> None:
            with contextlib.suppress(OSError):
                for _ in range(2):
                    connection, _ = listener.accept()
                    threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()
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


def test_request_is_sent_on_the_first_free_connection(monkeypatch):
    """A connection that is slow to open delays no request that another connection can carry."""
    slow_dials = itertools.count()
    really_check = Dial.check_time

    def check_later(dial, now):
        if not hasattr(dial, "number"):
            dial.number = next(slow_dials)
        return really_check(dial, now) if dial.number == 0 else None

    class PatientDial(Dial):
        check_time = check_later

    monkeypatch.setattr("airflow_provider_hooks.http.engine.Dial", PatientDial)
    with serve(answer) as receiver:
        sent = send(receiver.url, 6, concurrency=3)
    check_sent_once(sent, receiver, 6)
    assert sent.outcomes == {("delivered", None): 6}, "all on the one connection that opened"
    assert receiver.connections == 1


def test_every_event_to_a_closed_port_is_reported_as_not_sent():
    sent = send(f"http://127.0.0.1:{find_closed_port()}/hook", 300, concurrency=64)
    assert sent.outcomes == {("not_sent", "connection_refused"): 300}


def test_events_of_consecutive_batches_are_delivered_once():
    with serve(answer) as receiver:
        for block in range(3):
            sent = send(
                receiver.url, [make_event(number) for number in range(block * 10, block * 10 + 10)], concurrency=4
            )
            assert sent.outcomes == {("delivered", None): 10}
    assert set(receiver.request_counts.values()) == {1}
