# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The receiver of the crash suite: counts the requests of each trial, fails as configured, and kills the sender."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
DELAY_SECONDS = 1.0


class CrashReceiver:
    """
    Serves each trial under a separate path.

    :param trials: the trials, by number
    :param pids: a folder in which the task of each trial writes its process id and that of its supervisor
    """

    def __init__(self, trials: dict[int, dict], pids: Path) -> None:
        self.started: Counter[int] = Counter()
        """Connections on which at least one byte of a request was received, by trial."""
        self.complete: Counter[int] = Counter()
        """Complete requests, by trial."""
        self._trials = trials
        self._pids = pids
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            data = connection.recv(16)  # only the method and the path
            if not data:
                return
            while b" HTTP/" not in data:
                data += connection.recv(1)
            number = int(re.match(rb"POST /([0-9]+) ", data)[1])
            trial = self._trials[number]
            with self._lock:
                self.started[number] += 1
                is_first = self.started[number] == 1
            if is_first and trial["point"] == "mid_request":
                self._inject(number, trial["fault"])
            if self._read_rest(connection, data):
                with self._lock:
                    self.complete[number] += 1
            if is_first and trial["point"] == "after_request":
                self._inject(number, trial["fault"])
            self._answer(connection, trial["receiver"] if is_first else "answer")

    @staticmethod
    def _read_rest(connection: socket.socket, data: bytes) -> bool:
        while b"\r\n\r\n" not in data:
            part = connection.recv(4096)
            if not part:
                return False
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: ([0-9]+)", head)[1])
        while len(body) < length:
            part = connection.recv(65_536)
            if not part:
                return False
            body += part
        return True

    @staticmethod
    def _answer(connection: socket.socket, receiver: str) -> None:
        if receiver == "delay":
            time.sleep(DELAY_SECONDS)
        if receiver in {"answer", "delay"}:
            connection.sendall(OK)
        if receiver == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _inject(self, number: int, fault: str) -> None:
        pids = (self._pids / str(number)).read_text().split()
        if pids:
            pid = int(pids[1] if fault == "kill_supervisor" else pids[0])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if fault == "term_task" else signal.SIGKILL)
            time.sleep(0.2)
