# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A receiver on loopback that reuses connections, stores every request and returns the statuses a test chooses."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer


@dataclass
class StreamReceiver:
    """A running receiver and the requests it received."""

    port: int
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextlib.contextmanager
def serve_receiver(
    answer: Callable[[int], int] = lambda _count: 204, headers: dict[str, str] | None = None
) -> Iterator[StreamReceiver]:
    """Serve until the block ends; ``answer`` returns the status for the number of requests received so far."""
    lock = threading.Lock()

    header_lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())

    class Handler(StreamRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionError):
                while self.rfile.readline():
                    self.handle_request()

        def handle_request(self):
            lines = iter(lambda: self.rfile.readline().decode("latin-1").rstrip("\r\n"), "")
            request_headers = dict(line.split(": ", 1) for line in lines)
            body = self.rfile.read(int(request_headers["Content-Length"]))
            with lock:
                receiver.requests.append((request_headers, body))
                status = answer(len(receiver.requests))
            self.wfile.write(f"HTTP/1.1 {status} X\r\n{header_lines}Content-Length: 0\r\n\r\n".encode())

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = StreamReceiver(server.server_address[1])
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
