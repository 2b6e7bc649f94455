# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The receiver of the stream crash suite: a process of its own that counts every request, and misbehaves as it is told.

It is its own small loop over ``epoll``, because it must take many times what a web server in Python takes. What it
counts it writes to a file when it is asked to end.
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
ANSWERS = {
    "ok": OK,
    "hang up": OK,
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nsick",
    "busy": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
    "rest": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
}
"""What is answered; whoever hangs up does so after the answer. What is not here is not answered at all."""
MIXED = {"500": 0.01, "close": 0.01, "reset": 0.01, "hang up": 0.01, "busy": 0.001, "rest": 0.0003}
"""How many of the requests come to what; of large ones, half of the others are cut off on the way."""
DIES_AFTER, IS_OUT = 0.6, (0.3, 0.315)
"""The part of a trial's events after which its receiver dies for good, and between which it is out for a while."""


@dataclass
class Received:
    """What came of each delivery, by its id; one that is in none of these was never begun."""

    touched: dict[str, int] = field(default_factory=dict)
    """Requests of which the head came."""
    complete: dict[str, int] = field(default_factory=dict)
    """Requests that came as a whole."""
    answered: dict[str, str] = field(default_factory=dict)
    """How the last one was answered."""
    nameless: int = 0
    """Connections that ended, or went on, with bytes that nobody can tell the delivery of."""


class ReceiverProcess:
    """
    Runs the receiver until it is asked what it counted.

    :param trials: how each trial's receiver is, and how many events it has, by the trial's number
    """

    def __init__(self, trials: dict[int, dict], home: Path) -> None:
        self._told = home / "received.txt"
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
                    str(self._told),
                ],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def stop(self) -> None:
        """End it, if it has not ended."""
        self._process.stdin.close()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()

    def read(self) -> Received:
        """Return what it counted; it must have been stopped."""
        received = Received()
        assert self._process.returncode == 0, "the receiver died"
        for line in self._told.read_text().splitlines():
            delivery, touched, complete, answer = line.split(";")
            received.touched[delivery], received.complete[delivery] = int(touched), int(complete)
            received.answered[delivery] = answer
        received.nameless = received.touched.pop("nameless")
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
        self.touched: Counter[str] = Counter()
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
        """Write what was counted."""
        counts = ((one, count, self.complete[one], self.answered.get(one, "-")) for one, count in self.touched.items())
        lines = [("nameless", self.nameless, 0, "-"), *counts]
        path.write_text("".join(f"{one};{touched};{complete};{told}\n" for one, touched, complete, told in lines))

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
        if connection.left < 0:  # the sender puts one request after the other on a connection, never two
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
        self.touched[delivery] += 1
        self._begun[number] += 1
        connection.plan = self._plan(self._trials[number], self._begun[number], delivery)

    @staticmethod
    def _plan(trial: dict, begun: int, delivery: str) -> str:
        """Say what is to become of a request; by its delivery id, so that nobody needs to remember it."""
        receiver, part = trial["receiver"], begun / trial["events"]
        if receiver == "dies":
            return "close" if part > DIES_AFTER else "ok"
        if receiver == "is out":
            return "close" if IS_OUT[0] < part < IS_OUT[1] else "ok"
        if receiver == "mixed":
            lot = int(delivery[:8], 16) / 2**32
            for plan, share in MIXED.items():
                lot -= share
                if lot < 0:
                    return plan
            return "cut" if delivery[-1] in "01234567" else "ok"
        return "ok"

    def _answer(self, connection: _Connection) -> None:
        self.complete[connection.delivery] += 1
        plan = "ok" if connection.plan == "cut" else connection.plan
        if plan not in ANSWERS:
            self._close(connection, reset=plan == "reset")
            return
        self.answered[connection.delivery] = plan
        with contextlib.suppress(OSError):
            connection.sock.send(ANSWERS[plan])
        if plan == "hang up":
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
