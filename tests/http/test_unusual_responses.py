# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Every unusual response has the outcome of the table, for a single delivery and in a stream."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import Limits
from tests.http.raw_request import send_once
from tests.http.unusual_responses import RESPONSES, UnusualResponse
from tests.stream.sending import send as send_stream

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1"])
EVENTS = 2
"""How many events a stream sends over one connection at a time: the second one shows whether it is reused."""
SHORT_TIMEOUT, LONG_TIMEOUT = 0.3, 5.0
"""Seconds: short where the response never ends, long where the result must not depend on speed."""
DOCS = Path(__file__).parent.parent.parent / "docs" / "reference" / "responses.md"


class Delivery(NamedTuple):
    """What was reported for one event."""

    outcome: str
    status: int | None
    error_class: str | None


# The two ways of sending an event.


def deliver_single(url: str, *, timeout: float) -> Delivery:
    attempt = send_once(url, policy=LOOPBACK, limits=Limits(timeout=timeout, connect_timeout=5.0))
    return Delivery(
        attempt.outcome.value, attempt.status_code, attempt.error_class.value if attempt.error_class else None
    )


def deliver_as_stream(url: str, *, timeout: float) -> list[Delivery]:
    sent = send_stream(url, EVENTS, concurrency=1, timeout=timeout, connect_timeout=5.0)
    return [Delivery(one["outcome"], one.get("status_code"), one.get("error_class")) for one in sent.records]


class Receiver:
    """Responds to each request with the row that its path names, and counts requests and connections by path."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._numbers = itertools.count()
        self.requests: defaultdict[str, list[int]] = defaultdict(list)
        """For each path the connections on which a request for it arrived."""

    def make_path(self, row: UnusualResponse) -> str:
        """Return a path that no other delivery uses."""
        return f"/{RESPONSES.index(row)}/{next(self._numbers)}"

    def make_url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}{path}"

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            for number in itertools.count():
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as requests:
                while line := requests.readline():
                    path = re.match(r"POST ([/0-9]+)", line.decode())[1]
                    self.requests[path].append(number)
                    row = RESPONSES[int(path.split("/")[1])]
                    if row.reads_request:
                        self._read_rest(requests)
                    for part in row.sends:
                        connection.sendall(part)
                    if not row.reads_request:
                        self._read_rest(requests)
                    if row.end == "reset":
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    if row.end == "close":
                        connection.shutdown(socket.SHUT_WR)

    def _read_rest(self, requests) -> None:
        length = 0
        while (line := requests.readline()) not in {b"\r\n", b""}:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        requests.read(length)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        receiver = Receiver(listener)
        thread = threading.Thread(target=receiver.accept, daemon=True)
        thread.start()
        yield receiver
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def expect(row: UnusualResponse) -> Delivery:
    return Delivery(row.outcome, row.status, row.error_class)


def find_timeout(row: UnusualResponse) -> float:
    return SHORT_TIMEOUT if row.error_class == "timeout" else LONG_TIMEOUT


every_row = pytest.mark.parametrize("row", RESPONSES, ids=lambda row: row.name)


@every_row
def test_single_delivery_reads_an_unusual_response_as_the_table_defines(row, receiver):
    path = receiver.make_path(row)
    assert deliver_single(receiver.make_url(path), timeout=find_timeout(row)) == expect(row)
    assert len(receiver.requests[path]) == 1


@every_row
def test_stream_reads_an_unusual_response_as_the_table_defines(row, receiver):
    path = receiver.make_path(row)
    assert deliver_as_stream(receiver.make_url(path), timeout=find_timeout(row)) == [expect(row)] * EVENTS
    assert len(receiver.requests[path]) == EVENTS
    assert (len(set(receiver.requests[path])) == 1) == row.may_reuse


def test_table_has_unique_names_and_outcomes_that_follow_from_the_status():
    assert len({row.name for row in RESPONSES}) == len(RESPONSES)
    for row in RESPONSES:
        by_status = "delivered" if row.status in range(200, 300) else "rejected"
        assert row.outcome == (by_status if row.status else "unknown")
        assert not (row.may_reuse and row.error_class)


def test_docs_show_every_row_of_the_table():
    lines = [line.strip("| ").split(" | ")[:3] for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    rows = [[row.name, describe(row), "yes" if row.may_reuse else "no"] for row in RESPONSES]
    assert [line for line in lines if line[0] not in {"The receiver sends", "---"}] == rows


def describe(row: UnusualResponse) -> str:
    """Return the second cell of a row's line in the docs."""
    status = f" ({row.status})" if row.status else ""
    error = f", `{row.error_class}`" if row.error_class else ""
    return f"`{row.outcome}`{status}{error}"
