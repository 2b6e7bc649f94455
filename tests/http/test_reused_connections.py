# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reused connections that are lost, large requests, and receivers that are slow or respond early."""

from __future__ import annotations

import re
import socket
import time

import pytest

from tests.http.reusing_receiver import NO_CONTENT, Behaviour, answer, check_sent_once, serve
from tests.security.hostile import issue, reset, write_authority
from tests.stream.sending import make_event, send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory):
    return write_authority(tmp_path_factory.mktemp("authority") / "ca.pem")


def every(step: int, do: Behaviour) -> Behaviour:
    """Call ``do`` for every ``step``-th request of a connection, and answer the others."""

    def behave(connection: socket.socket, count: int) -> None:
        (do if count % step == step - 1 else answer)(connection, count)

    return behave


def close(connection: socket.socket, _count: int) -> None:
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def answer_and_close(connection: socket.socket, count: int) -> None:
    answer(connection, count)
    close(connection, count)


def answer_and_reset(connection: socket.socket, count: int) -> None:
    answer(connection, count)
    time.sleep(0.002)
    reset(connection)


def send_connection_close(connection: socket.socket, _count: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection:  Close\r\nContent-Length: 0\r\n\r\n")
    connection.close()


ENDS = {
    "closed": close,
    "reset": lambda connection, _count: reset(connection),
    "closed while idle": answer_and_close,
    "reset while idle": answer_and_reset,
    "Connection: close": send_connection_close,
}


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("do", ENDS.values(), ids=ENDS)
def test_events_on_lost_connections_are_sent_once_and_reported_correctly(do, step, concurrency):
    with serve(every(step, do)) as receiver:
        sent = send(receiver.url, 200, concurrency=concurrency)
    check_sent_once(sent, receiver, 200)
    assert sent.outcomes[("not_sent", None)] == 0
    if do is send_connection_close:
        assert sent.outcomes == {("delivered", None): 200}, "the receiver announced each close"


def test_events_on_lost_tls_connections_are_sent_once(ca_file):
    for do in (close, lambda connection, _count: reset(connection), answer_and_close):
        with serve(every(3, do), tls=issue("127.0.0.1")) as receiver:
            sent = send(receiver.url, 60, concurrency=4, ca_file=ca_file)
        check_sent_once(sent, receiver, 60)
        assert len(sent.list_ids("delivered")) >= 30


def test_connection_closed_while_idle_is_not_used():
    with serve(every(1, answer_and_close)) as receiver:
        sent = send(receiver.url, 5, concurrency=1, rate_limit=5)
    check_sent_once(sent, receiver, 5)
    assert sent.outcomes == {("delivered", None): 5}
    assert receiver.connections == 5


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "options", [{"rate_limit": 5}, {"during": lambda _engine: time.sleep(0.03)}], ids=["idle", "busy"]
)
def test_unrequested_response_is_not_taken_for_the_next_event(options, tls, ca_file):
    """The engine waits meanwhile, or prepares events and checks the connection just before it sends."""

    def answer_twice(connection, _count):
        if len(receiver.arrivals) == 2:
            connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(NO_CONTENT)
        time.sleep(0.005)
        connection.sendall(NO_CONTENT)

    with serve(answer_twice, tls=issue("127.0.0.1") if tls else None) as receiver:
        sent = send(receiver.url, 3, concurrency=1, ca_file=ca_file, **options)
    check_sent_once(sent, receiver, 3)
    assert [record["outcome"] for record in sent.records] == ["delivered", "rejected", "delivered"]


@pytest.mark.parametrize("first", [NO_CONTENT, OK, b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno"])
def test_second_response_in_one_segment_is_dropped_with_the_connection(first):
    def answer_twice(connection: socket.socket, count: int) -> None:
        connection.sendall(first + b"HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n")

    with serve(answer_twice) as receiver:
        sent = send(receiver.url, 20, concurrency=2)
    check_sent_once(sent, receiver, 20)
    assert {record["status_code"] for record in sent.records} == {int(first[9:12])}
    assert receiver.connections == 20


# Large requests


def read_slowly(connection: socket.socket) -> bytes:
    data, wanted = b"", None
    while wanted is None or len(data) < wanted:
        part = connection.recv(32_768)
        if not part:
            return data
        data += part
        time.sleep(0.001)
        head, end, _ = data.partition(b"\r\n\r\n")
        if end and wanted is None:
            wanted = len(head) + 4 + int(re.search(rb"Content-Length: ([0-9]+)", head)[1])
    return data


@pytest.mark.parametrize("tls", [False, True])
def test_large_requests_arrive_complete_at_a_slow_receiver(tls, ca_file):
    events = [make_event(number, size=1_000_000) for number in range(6)]
    with serve(answer, tls=issue("127.0.0.1") if tls else None, read=read_slowly) as receiver:
        sent = send(receiver.url, events, concurrency=3, timeout=8, ca_file=ca_file)
    check_sent_once(sent, receiver, 6)
    assert sent.outcomes == {("delivered", None): 6}


def read_head_only(connection: socket.socket) -> bytes:
    return connection.recv(4_096)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("then", ["waits", "closes", "resets"])
@pytest.mark.parametrize(
    "response", [NO_CONTENT, OK, b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 413 X\r\n\r\nbody"]
)
def test_response_before_the_end_of_the_request_is_accepted(response, then, tls, ca_file):
    def answer_early(connection: socket.socket, _count: int) -> None:
        connection.sendall(response)
        if then == "waits":
            time.sleep(0.25)
            connection.close()
        elif then == "closes":
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
            connection.close()
        else:
            time.sleep(0.1)
            reset(connection)

    events = [make_event(number, size=3_000_000) for number in range(2)]
    wakeups: list[object] = []
    with serve(answer_early, tls=issue("127.0.0.1") if tls else None, read=read_head_only) as receiver:
        sent = send(receiver.url, events, concurrency=1, timeout=4, ca_file=ca_file, during=wakeups.append)
    check_sent_once(sent, receiver, 2)
    assert {record["status_code"] for record in sent.records} == {int(response[9:12])}
    assert receiver.connections == 2, "a connection with an unfinished request is not reused"
    assert len(wakeups) < 1_000, "it waited and did not spin"


@pytest.mark.parametrize("tls", [False, True])
def test_request_answered_early_is_sent_to_its_end(tls, ca_file):
    """The receiver responds after the head of the request, and then reads the body."""
    wanted, received = [], []

    def answer_and_read_on(connection, _count):
        connection.sendall(NO_CONTENT)
        while sum(received) < wanted[-1] and (part := connection.recv(65_536)):
            received.append(len(part))

    def read_head(connection):
        head = connection.recv(4_096)
        if head:
            wanted.append(int(re.search(rb"Content-Length: ([0-9]+)", head)[1]))
            received.append(len(head.partition(b"\r\n\r\n")[2]))
        return head

    with serve(answer_and_read_on, tls=issue("127.0.0.1") if tls else None, read=read_head) as receiver:
        sent = send(receiver.url, [make_event(0, size=3_000_000)], timeout=8, ca_file=ca_file)
        end = time.monotonic() + 5
        while sum(received) < wanted[0] and time.monotonic() < end:
            time.sleep(0.005)
    assert sent.outcomes == {("delivered", None): 1}
    assert sum(received) == wanted[0] > 6_000_000


@pytest.mark.parametrize("size", [4_096, 8_192, 65_536])
def test_response_left_in_the_tls_buffer_is_not_taken_for_the_next_event(size, ca_file):
    """One TLS record holds a response as large as one read, and another response after it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Pad: "
    padded = head + b"a" * (min(size, 16_000) - len(head) - 4) + b"\r\n\r\n"

    def answer_twice(connection, _count):
        if len(receiver.arrivals) == 1:
            connection.sendall(padded + NO_CONTENT)
            return
        time.sleep(0.05)
        connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    with serve(answer_twice, tls=issue("127.0.0.1")) as receiver:
        sent = send(receiver.url, 2, concurrency=1, ca_file=ca_file)
    check_sent_once(sent, receiver, 2)
    assert [record["status_code"] for record in sent.records] == [200, 500]
