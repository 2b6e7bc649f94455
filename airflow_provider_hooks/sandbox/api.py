# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What the API modules of the sandbox share: the row that declares a platform, its routes, and the checks of a request.

To add a platform, write a module with its routes and an ``API`` row, and list the row in ``state.APIS``.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute

from airflow_provider_hooks.sandbox.platform import ApiError, Fault, FaultKind, Hook, SandboxPlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from fastapi import APIRouter, Request
    from starlette.types import Receive, Scope, Send

    from airflow_provider_hooks.json_types import JsonObject

    Handler = Callable[[Request], Coroutine[object, object, Response]]

_WITHOUT_EXECUTION = {FaultKind.NOT_EXECUTED, FaultKind.HTML, FaultKind.ERROR, FaultKind.LIMITED}


@dataclass(frozen=True, kw_only=True)
class SandboxApi:
    """The API of one platform as the sandbox serves it."""

    name: str
    """The platform's name in a connection, and the first segment of the paths of its routes."""
    router: APIRouter
    base_path: str
    """The path of a connection's base URL, after the name."""
    make_id: Callable[[int], str]
    """Returns an id of the documented form for the hook with this number, counted from 0."""
    make_secret: Callable[[], str] = str
    """Returns a secret of the documented form; empty on platforms that sign nothing."""
    connection_fields: Mapping[str, str] = field(default_factory=dict)
    """The extra fields of a connection, such as the organization."""


class PlatformRoute(APIRoute):
    """A route of a platform: counts its calls under its name and applies planned faults."""

    def get_route_handler(self) -> Handler:
        """Return the handler of the route, wrapped."""
        handle = super().get_route_handler()

        async def respond(request: Request) -> Response:
            platform = get_platform(request)
            platform.record_call(self.name)
            fault = platform.pop_fault(self.name)
            if fault is not None and fault.kind in _WITHOUT_EXECUTION:
                response = _respond_without_execution(fault)
            else:
                try:
                    response = await handle(request)
                except ApiError as error:
                    response = JSONResponse(error.content, status_code=error.status_code)
            if fault is not None:
                response = await _apply_fault(fault, response)
                if fault.then is not None and request.client is not None:
                    await asyncio.to_thread(fault.then, (request.client.host, request.client.port))
            return response

        return respond


def get_platform(request: Request) -> SandboxPlatform:
    """Return the platform of a request, from the first segment of its path."""
    platform: SandboxPlatform = request.app.state.sandbox.platforms[request.url.path.split("/")[1]]
    return platform


def check_bearer(request: Request, platform: SandboxPlatform, error: JsonObject) -> None:
    """Raise the platform's 401 for a request without its bearer token."""
    if request.headers.get("authorization") != f"Bearer {platform.token}":
        raise ApiError(401, error)


async def read_object(request: Request, error: JsonObject) -> JsonObject:
    """Return the JSON object of a body; raise the platform's 400 if the body is not JSON."""
    try:
        content: object = await request.json()
    except (ValueError, RecursionError):
        raise ApiError(400, error) from None
    return cast("JsonObject", content) if isinstance(content, dict) else {}


def get_hook_or_404(
    platform: SandboxPlatform, hook_id: str, error: JsonObject, *, owner: tuple[str, ...] | None = None
) -> Hook:
    """Return a hook, or raise the platform's 404."""
    hook = platform.find_hook(hook_id, owner)
    if hook is None:
        raise ApiError(404, error)
    return hook


def is_string_list(value: object) -> bool:
    """Return whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


class _AbortedResponse(Response):
    """Closes the connection after half of a response, or without any response."""

    def __init__(self, half_of: Response | None = None) -> None:
        super().__init__()
        self._half_of = half_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's signature)
        if self._half_of is not None:
            head = {"status": self._half_of.status_code, "headers": self._half_of.raw_headers}
            await send({"type": "http.response.start", **head})
            half = bytes(self._half_of.body)[: len(self._half_of.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await asyncio.sleep(0.05)
        for connection in list(scope["app"].state.connections):
            if connection.client == scope["client"]:
                connection.transport.abort()
        await asyncio.sleep(0.01)


def _respond_without_execution(fault: Fault) -> Response:
    if fault.kind is FaultKind.HTML:
        return HTMLResponse("<html><body>Please log in</body></html>")
    if fault.kind is FaultKind.ERROR:
        return JSONResponse({"message": "internal error", "detail": "internal error"}, status_code=500)
    if fault.kind is FaultKind.LIMITED:
        reset = str(int(time.time() + fault.seconds))
        headers = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
        return JSONResponse({"message": "too many requests"}, status_code=429, headers=headers)
    return _AbortedResponse()


async def _apply_fault(fault: Fault, response: Response) -> Response:
    if fault.kind is FaultKind.LOST:
        return _AbortedResponse()
    if fault.kind is FaultKind.TRUNCATED:
        return _AbortedResponse(half_of=response)
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.seconds)
    if fault.kind in {FaultKind.MISSING_FIELD, FaultKind.EXTRA_FIELD}:
        content = json.loads(bytes(response.body))
        for item in content if isinstance(content, list) else [content]:
            if fault.kind is FaultKind.EXTRA_FIELD:
                item["brandNewField"] = {"not": ["documented"]}
            else:
                del item[next(iter(item))]
        return JSONResponse(content, status_code=response.status_code)
    return response
