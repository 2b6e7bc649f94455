# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The HTTP application of the sandbox, and its server: in the foreground, or in a thread of a test or of the demo."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.sandbox.page import ASSETS, PAGE_HEADERS, render_page
from airflow_provider_hooks.sandbox.sentry_api import PAGE_SIZE
from airflow_provider_hooks.sandbox.state import APIS, NO_ANSWER, RECEIVER_PATH, UNSIGNED, SandboxState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_provider_hooks.json_types import JsonObject

MAX_BODY_BYTES = 4_194_304
"""The largest body of a request."""

_START_SECONDS = 20
_DISCONNECT_SECONDS = 0.1
_MAX_PORT = 65_535
_receiver = APIRouter()


class SandboxError(ServiceHookError):
    """The sandbox cannot be served with the given options."""


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """A running sandbox: its state and its address."""

    state: SandboxState
    address: str
    """Host and port."""

    @property
    def receiver_url(self) -> str:
        """The URL of the receiver."""
        return f"http://{self.address}{RECEIVER_PATH}/airflow"

    def find_api_url(self, platform: str) -> str:
        """Return the base URL of a platform's API."""
        return f"http://{self.address}/{platform}{APIS[platform].base_path}"

    def describe_connections(self) -> dict[str, JsonObject]:
        """Return connections to this sandbox, tokens included, in the format of ``airflow connections import``."""
        endpoint_extra: JsonObject = {"scheme": "sentry", "secret_variable": "service_hook_secret_sandbox"}
        described: dict[str, JsonObject] = {
            **{
                conn_id: {"conn_type": "service_hook", "host": self.receiver_url, "extra": endpoint_extra}
                for conn_id in ENDPOINTS
            },
            "slack_alerts": {
                "conn_type": "service_hook",
                "host": f"http://{self.address}{RECEIVER_PATH}/{UNSIGNED}/slack",
                "extra": {"scheme": UNSIGNED, "format": "slack"},
            },
        }
        for name, platform in self.state.platforms.items():
            conn_id = "service_hook_registry_default" if name == "sentry" else f"{name}_registry"
            described[conn_id] = {
                "conn_type": "service_hook_registry",
                "host": self.find_api_url(name),
                "password": platform.token,
                "extra": {"platform": name, **APIS[name].connection_fields},
            }
        return described


ENDPOINTS = ("service_hook_default", "orders_warehouse", "orders_partner", "orders_audit")
"""The connections of the example Dags that lead to the receiver."""


def open_listener(host: str, port: int, *, anywhere: bool = False) -> socket.socket:
    """
    Open the socket to serve on; ``port`` 0 selects a free one.

    :param anywhere: allow an address other than loopback
    :raises SandboxError: if the address is not allowed, or cannot be listened on
    """
    if not _is_local(host) and not anywhere:
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
    """Make the sandbox of a socket; each platform has a separate token unless one is given for all."""
    host, port = listener.getsockname()[:2]
    state = SandboxState(token=token, receiver_secrets=receiver_secrets)
    return Sandbox(state=state, address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


@_receiver.post(RECEIVER_PATH + "/{name:path}")
async def receive(request: Request) -> JSONResponse:
    """Receive a delivery: verify it over the raw body, and parse the body only to describe it."""
    body = await request.body()
    event_id, event_type = _detect_event(body)
    delivery = request.app.state.sandbox.receive(
        method=request.method,
        url=str(request.url),
        path=request.url.path,
        headers=dict(request.headers),
        body=body,
        event_type=request.headers.get("x-service-hook-event") or event_type,
        event_id=event_id,
    )
    if delivery.answered == NO_ANSWER:
        while not await request.is_disconnected():
            await asyncio.sleep(_DISCONNECT_SECONDS)
        return JSONResponse(None)  # the sender has gone
    content = {"received": delivery.number, "verified": delivery.verified, "reason": delivery.reason}
    return JSONResponse(content, status_code=delivery.answered)


@_receiver.get("/")
def show_page(request: Request) -> HTMLResponse:
    """Return the page that shows what the receiver got."""
    state: SandboxState = request.app.state.sandbox
    address = request.headers.get("host", "")
    return HTMLResponse(
        render_page(state.count_deliveries(), state.list_deliveries(), address=address), headers=PAGE_HEADERS
    )


@_receiver.get("/assets/{name}")
def show_asset(name: str) -> Response:
    """Return the style sheet or the script of the page."""
    if name not in ASSETS:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    content, media_type = ASSETS[name]
    return Response(content, media_type=media_type, headers=PAGE_HEADERS)


@_receiver.get("/deliveries")
def list_deliveries(
    request: Request,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int | None, Query(ge=0)] = None,
) -> JSONResponse:
    """Return every request that the receiver got, or the newest, and the counts."""
    content: JsonObject = request.app.state.sandbox.summarize(after=after, limit=limit)
    return JSONResponse(content, headers=PAGE_HEADERS)


@_receiver.get("/calls")
def list_calls(request: Request) -> JSONResponse:
    """Return how often each operation of each platform was called."""
    state: SandboxState = request.app.state.sandbox
    return JSONResponse({name: platform.count_calls() for name, platform in state.platforms.items()})


class RequestLimits:
    """
    Refuses large bodies, and hosts other than this machine: a web page whose name leads here could read deliveries.

    :param local_only: whether ``Host`` must name this machine
    """

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self._app, self._local_only = app, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 or 413, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = 0

        async def receive_bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"over {MAX_BODY_BYTES} bytes")
            return message

        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if self._local_only and not _is_local(_read_host(host)):
            response = JSONResponse({"detail": "this sandbox is for this machine only"}, HTTPStatus.MISDIRECTED_REQUEST)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive_bounded, send)


def _read_host(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def build_app(state: SandboxState, *, page_size: int = PAGE_SIZE, local_only: bool = True) -> FastAPI:
    """
    Return the application of a state.

    :param page_size: the number of hooks on one page of a list, such as Sentry's
    :param local_only: refuse requests whose ``Host`` is not this machine
    """
    app = FastAPI(title="airflow-provider-hooks sandbox", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = state
    app.state.connections = set()
    app.state.page_size = page_size
    app.add_middleware(RequestLimits, local_only=local_only)
    for api in APIS.values():
        app.include_router(api.router)
    app.include_router(_receiver)
    return app


def make_server(sandbox: Sandbox, *, page_size: int = PAGE_SIZE) -> uvicorn.Server:
    """Return the server of a sandbox; it logs warnings only."""
    app = build_app(sandbox.state, page_size=page_size, local_only=_is_local(_read_host(sandbox.address)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    app.state.connections = server.server_state.connections
    return server


@contextmanager
def serve_sandbox(
    *, host: str = "127.0.0.1", port: int = 0, page_size: int = PAGE_SIZE, receiver_secrets: tuple[str, ...] = ()
) -> Iterator[Sandbox]:
    """
    Serve a sandbox from a thread while the block runs.

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


def _detect_event(body: bytes) -> tuple[str | None, str | None]:
    """Return the id of an event, and its type as its fields imply it."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(content, dict):
        return None, None
    event_type = "event.alert" if "triggering_rules" in content else "event.created" if "event" in content else None
    return (str(content["id"]) if "id" in content else None), event_type
