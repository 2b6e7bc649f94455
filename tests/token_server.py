# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A token endpoint on loopback, and a receiver that accepts its tokens during their lifetime."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import parse_qs, unquote_plus

CLIENT_ID, CLIENT_SECRET = "a client:id", "cl1ent+secret/of=tests %"


@dataclass
class TokenServer:
    """Both servers, what they received, and how they answer."""

    port: int = 0
    lifetime: float = 3600.0
    """Seconds for which the receiver accepts a token."""
    expires_in: object = "lifetime"
    """The ``expires_in`` of the responses of the token endpoint; ``None``: they have none."""
    broken: tuple[int, bytes] | None = None
    """The status and the body of the responses without a token."""
    breaks: float = math.inf
    """The number of responses without a token."""
    refuses: bool = False
    """Whether the receiver refuses every token."""
    refused_delivery: str = ""
    """The id of a delivery that the receiver refuses with every token."""
    receiving_delay: float = 0.0
    """Seconds that the receiver takes to respond."""
    echoes: bool = False
    """Whether the receiver returns the headers of a request in the body of a 400."""
    delay: float = 0.0
    """Seconds that the token endpoint takes to respond."""
    issued: dict[str, float] = field(default_factory=dict)
    """The time at which each token was issued."""
    token_requests: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    """The headers and the form of each token request."""
    received: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    """The token, the headers and the status of each delivery."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def extra(self) -> dict[str, str]:
        """The ``extra`` of a connection that uses this token endpoint."""
        client = {"auth_username": CLIENT_ID, "auth_secret": CLIENT_SECRET}
        return {"auth_type": "oauth2", **client, "auth_url": self.token_url}

    @property
    def statuses(self) -> list[int]:
        return [status for _, _, status in self.received]

    def answer_token(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.token_requests.append((headers, form))
        time.sleep(self.delay)
        if self.broken is not None and len(self.token_requests) <= self.breaks:
            return self.broken
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            given = base64.b64decode(headers.get("Authorization", "")[6:]).decode().split(":")
            if list(map(unquote_plus, given)) != [CLIENT_ID, CLIENT_SECRET] or "client_id" in form:
                return 401, b'{"error": "invalid_client", "error_description": "no such client"}'
        token = f"t0ken-{len(self.issued)}-{secrets.token_urlsafe(32)}"
        self.issued[token] = time.monotonic()
        content = {"access_token": token, "token_type": "Bearer"}
        if self.expires_in is not None:
            content["expires_in"] = self.lifetime if self.expires_in == "lifetime" else self.expires_in
        return 200, json.dumps(content).encode()

    def answer_delivery(self, headers: dict[str, str]) -> tuple[int, bytes]:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        time.sleep(self.receiving_delay)
        is_refused = self.refuses or headers["X-Service-Hook-Delivery"] == self.refused_delivery
        is_valid = time.monotonic() - self.issued.get(token, -1e9) <= self.lifetime and not is_refused
        status = (400 if self.echoes else 204) if is_valid else 401
        self.received.append((token, headers, status))
        return status, json.dumps(headers).encode() if self.echoes else b""


@contextlib.contextmanager
def serve_tokens(**options: object) -> Iterator[TokenServer]:
    """Run both servers until the block ends."""
    lock = threading.Lock()
    servers = TokenServer(**options)

    class Handler(StreamRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionError):
                while line := self.rfile.readline():
                    self.answer(line.split()[1])

        def answer(self, path):
            lines = iter(lambda: self.rfile.readline().decode("latin-1").rstrip("\r\n"), "")
            headers = dict(line.split(": ", 1) for line in lines)
            body = self.rfile.read(int(headers["Content-Length"]))
            with lock:
                status, content = (
                    servers.answer_token(headers, body) if path == b"/token" else servers.answer_delivery(headers)
                )
            self.wfile.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    servers.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield servers
    finally:
        server.shutdown()
        server.server_close()
