# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Raw servers and proxies on loopback that send arbitrary responses and record the requests that they received."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class RawReceiver:
    """A raw server, and the requests that it received."""

    port: int
    scheme: str = "http"
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"


Answer = Callable[[socket.socket], None]


def read_request(connection: socket.socket) -> bytes:
    """Read one request to the end of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = connection.recv(65_536)
        if not part:
            break
        body += part
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def raw_server(answer: bytes | Answer, *, tls: ssl.SSLContext | None = None) -> Iterator[RawReceiver]:
    """Read one request of every connection, then send bytes or call a function with the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    receiver = RawReceiver(port=listener.getsockname()[1], scheme="https" if tls else "http")

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            if tls:
                connection = tls.wrap_socket(connection, server_side=True)
            request = read_request(connection)
            if request:
                receiver.requests.append(request)
                answer(connection) if callable(answer) else connection.sendall(answer)
            connection.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                receiver.connections += 1
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield receiver
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


_HELD: list[socket.socket] = []


def find_closed_port() -> int:
    """Return a port that refuses connections; it stays bound, so that no other test begins to listen on it."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    _HELD.append(holder)
    return int(holder.getsockname()[1])


def find_free_port() -> int:
    """Return a port to listen on, outside the range of client ports, so that no connection takes it first."""
    while True:
        port = 12_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass
class RawProxy:
    """A proxy, and the headers of the requests that it received."""

    port: int
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def connect_proxy(
    receiver_port: int, *, answer: bytes = b"HTTP/1.1 200 Connected\r\nX-Via: a proxy\r\n\r\n", refuses: str = ""
) -> Iterator[RawProxy]:
    """
    Serve CONNECT, with every tunnel to one port of loopback.

    :param refuses: the prefix of the addresses that get no tunnel
    """
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = RawProxy(listener.getsockname()[1])

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1)
            proxy.requests.append(head.decode())
            if refuses and head.decode().split()[1].startswith(refuses):
                connection.sendall(b"HTTP/1.1 503 No\r\n\r\n")
                return
            connection.sendall(answer)
            if b" 200 " not in answer:
                return
            with socket.create_connection(("127.0.0.1", receiver_port)) as receiver:
                back = threading.Thread(target=pump, args=(receiver, connection), daemon=True)
                back.start()
                pump(connection, receiver)
                back.join(5)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield proxy
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
