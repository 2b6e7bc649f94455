# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The receiver of the stream crash suite: a separate process that counts every request, and fails as configured.

It is a small loop over ``epoll``, because it must be many times faster than a web server in Python. It writes its
counts to a file when its standard input is closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
RESPONSES = {
    "ok": OK,
    "ok close": OK,
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nsick",
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
    "429 wait": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
}
"""The responses by plan; "ok close" closes the connection afterwards. The other plans send no response."""
MIXED = {"500": 0.01, "close": 0.01, "reset": 0.01, "ok close": 0.01, "429": 0.001, "429 wait": 0.0003}
"""The shares of the plans; of the other requests, half of the large ones are reset in the middle of the request."""
DIES_AFTER, OUTAGE = 0.6, (0.3, 0.315)
"""The share of the events after which a receiver stops responding, and the shares between which it has an outage."""


@dataclass
class Received:
    """The counts by delivery id; a delivery without counts was never started."""

    started: dict[str, int] = field(default_factory=dict)
    """Requests whose head was received."""
    complete: dict[str, int] = field(default_factory=dict)
    """Requests that were received completely."""
    answered: dict[str, str] = field(default_factory=dict)
    """The plan by which the last request was answered."""
    nameless: int = 0
    """Connections with bytes that belong to no known delivery."""


class ReceiverProcess:
    """
    Runs the receiver until it is stopped.

    :param trials: the kind of receiver and the number of events of each trial, by number
    """

    def __init__(self, trials: dict[int, dict], home: Path) -> None:
        self._counts_path = home / "received.txt"
        (home / "receiver.json").write_text(json.dumps(trials))
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
            self.port = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.system.stream_crash_receiver",
                    str(listener.fileno()),
                    str(home / "receiver.json"),
                    str(self._counts_path),
                ],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def stop(self) -> None:
        """Stop the process if it is running."""
        self._process.stdin.close()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()

    def read(self) -> Received:
        """Return the counts; the process must have been stopped."""
        received = Received()
        assert self._process.returncode == 0, "the receiver died"
        for line in self._counts_path.read_text().splitlines():
            delivery, started, complete, answer = line.split(";")
            received.started[delivery], received.complete[delivery] = int(started), int(complete)
            received.answered[delivery] = answer
        received.nameless = received.started.pop("nameless")
        return received


class _Connection:
    __slots__ = ("delivery", "head", "left", "plan", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.head, self.left, self.delivery, self.plan = sock, b"", 0, "", ""


class _Receiver:
    def __init__(self, listener: socket.socket, trials: dict[str, dict]) -> None:
        self._listener, self._trials = listener, trials
        self._begun: Counter[str] = Counter()
        self._connections: dict[int, _Connection] = {}
        self._poll = select.epoll()
        self.started: Counter[str] = Counter()
        self.complete: Counter[str] = Counter()
        self.answered: dict[str, str] = {}
        self.nameless = 0

    def serve(self) -> None:
        """Serve until standard input ends."""
        self._listener.setblocking(False)
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._poll.register(0, select.EPOLLIN | select.EPOLLHUP)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == 0:
                    return
                if descriptor == self._listener.fileno():
                    self._accept()
                elif descriptor in self._connections:
                    self._receive(self._connections[descriptor])

    def write(self, path: Path) -> None:
        """Write the counts."""
        counts = ((one, count, self.complete[one], self.answered.get(one, "-")) for one, count in self.started.items())
        lines = [("nameless", self.nameless, 0, "-"), *counts]
        path.write_text("".join(f"{one};{started};{complete};{answer}\n" for one, started, complete, answer in lines))

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[sock.fileno()] = _Connection(sock)
                self._poll.register(sock.fileno(), select.EPOLLIN)

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.nameless += bool(connection.head)
            self._close(connection)
            return
        if connection.left:
            connection.left -= len(data)
        else:
            data = connection.head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                connection.head = data
                return
            connection.head = b""
            self._begin(connection, data[:end])
            connection.left += end + 4 - len(data)
            if connection.plan == "cut" and connection.left:
                self._close(connection, reset=True)
                return
        if connection.left < 0:  # the sender does not pipeline requests
            self.nameless += 1
            self._close(connection)
        elif not connection.left:
            self._answer(connection)

    def _begin(self, connection: _Connection, head: bytes) -> None:
        number = head[6 : head.index(b" ", 6)].decode()
        at = head.index(b"\r\nContent-Length: ") + 18
        connection.left = int(head[at : at + 9].partition(b"\r")[0])
        at = head.index(b"\r\nX-Service-Hook-Delivery: ") + 27
        connection.delivery = delivery = head[at : at + 36].decode()
        self.started[delivery] += 1
        self._begun[number] += 1
        connection.plan = self._plan(self._trials[number], self._begun[number], delivery)

    @staticmethod
    def _plan(trial: dict, begun: int, delivery: str) -> str:
        """Choose how a request is answered, from its delivery id, so that the choice needs no state."""
        receiver, share_begun = trial["receiver"], begun / trial["events"]
        if receiver == "dies":
            return "close" if share_begun > DIES_AFTER else "ok"
        if receiver == "outage":
            return "close" if OUTAGE[0] < share_begun < OUTAGE[1] else "ok"
        if receiver == "mixed":
            draw = int(delivery[:8], 16) / 2**32
            for plan, share in MIXED.items():
                draw -= share
                if draw < 0:
                    return plan
            return "cut" if delivery[-1] in "01234567" else "ok"
        return "ok"

    def _answer(self, connection: _Connection) -> None:
        self.complete[connection.delivery] += 1
        plan = "ok" if connection.plan == "cut" else connection.plan
        if plan not in RESPONSES:
            self._close(connection, reset=plan == "reset")
            return
        self.answered[connection.delivery] = plan
        with contextlib.suppress(OSError):
            connection.sock.send(RESPONSES[plan])
        if plan == "ok close":
            self._close(connection)

    def _close(self, connection: _Connection, *, reset: bool = False) -> None:
        del self._connections[connection.sock.fileno()]
        if reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()


if __name__ == "__main__":
    receiver = _Receiver(socket.socket(fileno=int(sys.argv[1])), json.loads(Path(sys.argv[2]).read_text()))
    os.set_blocking(0, False)
    receiver.serve()
    receiver.write(Path(sys.argv[3]))
