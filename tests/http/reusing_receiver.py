# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A receiver on loopback that reuses connections, handles requests as a test defines, and counts them."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.servers import read_request

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
Behaviour = Callable[[socket.socket, int], None]


@dataclass
class ReusingReceiver:
    """The requests and connections of a receiver that reuses connections."""

    port: int
    scheme: str
    request_counts: Counter = field(default_factory=Counter)
    """How many requests arrived at least in part, by the number of the event."""
    complete: Counter = field(default_factory=Counter)
    answered: Counter = field(default_factory=Counter)
    busy: int = 0
    most_busy: int = 0
    connections: int = 0
    arrivals: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"


def find_number(request: bytes) -> int | None:
    found = re.search(rb'"id":"event-([0-9]+)"', request)
    return int(found[1]) if found else None


@contextlib.contextmanager
def serve(
    behave: Behaviour,
    *,
    tls: ssl.SSLContext | None = None,
    read: Callable[[socket.socket], bytes] = read_request,
    port: int = 0,
) -> Iterator[ReusingReceiver]:
    """
    Serve connections, each in a thread, request by request.

    :param behave: answers a request, given how many arrived on this connection before; it may close the connection
    """
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    if read is not read_request:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)  # unread bytes stay with the sender
    receiver = ReusingReceiver(listener.getsockname()[1], "https" if tls else "http")
    open_sockets: list[socket.socket] = []

    def serve_connection(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            if tls:
                connection = tls.wrap_socket(connection, server_side=True)
            count = 0
            while request := read(connection):
                number = find_number(request)
                with receiver.lock:
                    receiver.arrivals.append(time.monotonic())
                    receiver.request_counts[number] += 1
                    receiver.busy += 1
                    receiver.most_busy = max(receiver.most_busy, receiver.busy)
                try:
                    behave(connection, count)
                finally:
                    with receiver.lock:
                        receiver.busy -= 1
                count += 1

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                receiver.connections += 1
                open_sockets.append(connection)
                threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield receiver
    finally:
        for one in (listener, *open_sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def check_sent_once(sent, receiver: ReusingReceiver, count: int) -> None:
    """Check that each event was sent at most once, and that each outcome agrees with what the receiver got."""
    assert sorted(sent.list_ids("delivered", "rejected", "not_sent", "unknown")) == sorted(
        f"event-{n}" for n in range(count)
    )
    assert set(receiver.request_counts.values()) <= {1}
    for name in sent.list_ids("not_sent"):
        assert int(name[6:]) not in receiver.request_counts, "a byte of this event arrived"
    for name in sent.list_ids("delivered", "rejected"):
        assert int(name[6:]) in receiver.request_counts, "no receiver got this event"


def answer(connection: socket.socket, _count: int) -> None:
    connection.sendall(NO_CONTENT)
