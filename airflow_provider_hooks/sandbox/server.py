# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Serves the sandbox on a real socket: in the foreground, or in a thread beside a test or a demonstration."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import uvicorn

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.sandbox.app import RECEIVER_PATH, build_app
from airflow_provider_hooks.sandbox.sentry_api import PAGE_SIZE
from airflow_provider_hooks.sandbox.state import SandboxState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_hooks.json_types import JsonObject

_START_SECONDS = 20
_BASE_PATHS = {"sentry": "/api/0", "akinon": "/api/v1", "zstack": "", "smartsheet_rm": "/api/v1"}
_PLACES = {
    "sentry": {"organization": "sandbox", "project": "pump-station"},
    "akinon": {"organization": "a0" * 12, "project": "b1" * 12},
}
_MAX_PORT = 65_535


class SandboxError(ServiceHookError):
    """The sandbox cannot be served as asked."""


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """A running sandbox: what it remembers, and where it listens."""

    state: SandboxState
    address: str
    """Host and port."""

    @property
    def receiver_url(self) -> str:
        """Where events may be delivered to."""
        return f"http://{self.address}{RECEIVER_PATH}/airflow"

    def find_api_url(self, platform: str) -> str:
        """Return the base URL of a platform's API."""
        return f"http://{self.address}/{platform}{_BASE_PATHS[platform]}"

    def describe_connections(self) -> dict[str, JsonObject]:
        """Return the connections that lead here, as ``airflow connections import`` reads them; tokens are in it."""
        endpoint_extra: JsonObject = {"scheme": "sentry", "secret_variable": "service_hook_secret_sandbox"}
        described: dict[str, JsonObject] = {
            "service_hook_default": {"conn_type": "service_hook", "host": self.receiver_url, "extra": endpoint_extra}
        }
        for name, platform in self.state.platforms.items():
            conn_id = "service_hook_registry_default" if name == "sentry" else f"{name}_registry"
            described[conn_id] = {
                "conn_type": "service_hook_registry",
                "host": self.find_api_url(name),
                "password": platform.token,
                "extra": {"platform": name, **_PLACES.get(name, {})},
            }
        return described


def open_listener(host: str, port: int, *, anywhere: bool = False) -> socket.socket:
    """
    Open the socket to serve on; ``port`` 0 takes a free one.

    :param anywhere: allow an address that others can reach
    :raises SandboxError: if the address is not loopback and that was not allowed, or cannot be listened on
    """
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and not anywhere:
        raise SandboxError(f"the sandbox listens on loopback only, not on {host}; --anywhere allows it")
    if not 0 <= port <= _MAX_PORT:
        raise SandboxError(f"the port must be 0 to {_MAX_PORT}, not {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SandboxError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def make_sandbox(
    listener: socket.socket, *, token: str | None = None, receiver_secrets: tuple[str, ...] = ()
) -> Sandbox:
    """Make a sandbox for a socket, where each platform has a token of its own unless one is given for all."""
    host, port = listener.getsockname()[:2]
    state = SandboxState(token=token, receiver_secrets=receiver_secrets)
    return Sandbox(state=state, address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def make_server(sandbox: Sandbox, *, page_size: int = PAGE_SIZE) -> uvicorn.Server:
    """Make the server of a sandbox; it logs warnings only."""
    app = build_app(sandbox.state, page_size=page_size)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    app.state.connections = server.server_state.connections
    return server


@contextmanager
def serve_sandbox(
    *, host: str = "127.0.0.1", port: int = 0, page_size: int = PAGE_SIZE, receiver_secrets: tuple[str, ...] = ()
) -> Iterator[Sandbox]:
    """
    Serve a sandbox from a thread for as long as the block runs.

    :raises SandboxError: if it cannot be served
    """
    listener = open_listener(host, port)
    sandbox = make_sandbox(listener, receiver_secrets=receiver_secrets)
    server = make_server(sandbox, page_size=page_size)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True, name="sandbox")
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise SandboxError("the sandbox did not start")
        time.sleep(0.01)
    try:
        yield sandbox
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)
        listener.close()
