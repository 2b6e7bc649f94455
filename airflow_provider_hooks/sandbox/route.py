# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The routes of the sandbox's platforms: every call is counted, and answered badly where it shall be."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute

from airflow_provider_hooks.sandbox.platform import Fault, FaultKind, Refusal, SandboxPlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import Request
    from starlette.types import Receive, Scope, Send

    Handler = Callable[[Request], Coroutine[object, object, Response]]

_INSTEAD = {FaultKind.UNHEARD, FaultKind.HTML, FaultKind.ERROR, FaultKind.LIMITED}


class PlatformRoute(APIRoute):
    """A route of a platform; its name is its operation."""

    def get_route_handler(self) -> Handler:
        """Return what answers: counted, and badly where it shall be."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            platform = find_platform(request)
            platform.count_call(self.name)
            fault = platform.take_fault(self.name)
            if fault is not None and fault.kind in _INSTEAD:
                response = _answer_instead(fault)
            else:
                try:
                    response = await handle(request)
                except Refusal as refusal:
                    response = JSONResponse(refusal.content, status_code=refusal.status_code)
            if fault is not None:
                response = await _spoil(fault, response)
                if fault.then is not None and request.client is not None:
                    await asyncio.to_thread(fault.then, (request.client.host, request.client.port))
            return response

        return answer


def find_platform(request: Request) -> SandboxPlatform:
    """Return the platform that a request is for, by the first part of its path."""
    platform: SandboxPlatform = request.app.state.sandbox.platforms[request.url.path.split("/")[1]]
    return platform


class _Cut(Response):
    """Ends the connection, after a part of an answer or without any."""

    def __init__(self, part_of: Response | None = None) -> None:
        super().__init__()
        self._part_of = part_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's own)
        if self._part_of is not None:
            head = {"status": self._part_of.status_code, "headers": self._part_of.raw_headers}
            await send({"type": "http.response.start", **head})
            half = bytes(self._part_of.body)[: len(self._part_of.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await asyncio.sleep(0.05)
        for connection in list(scope["app"].state.connections):
            if connection.client == scope["client"]:
                connection.transport.abort()
        await asyncio.sleep(0.01)


def _answer_instead(fault: Fault) -> Response:
    if fault.kind is FaultKind.HTML:
        return HTMLResponse("<html><body>Please log in</body></html>")
    if fault.kind is FaultKind.ERROR:
        return JSONResponse({"message": "internal error", "detail": "internal error"}, status_code=500)
    if fault.kind is FaultKind.LIMITED:
        reset = str(int(time.time() + fault.seconds))
        headers = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
        return JSONResponse({"message": "too many requests"}, status_code=429, headers=headers)
    return _Cut()


async def _spoil(fault: Fault, response: Response) -> Response:
    if fault.kind is FaultKind.LOST:
        return _Cut()
    if fault.kind is FaultKind.TRUNCATED:
        return _Cut(part_of=response)
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.seconds)
    if fault.kind in {FaultKind.MISSING_FIELD, FaultKind.EXTRA_FIELD}:
        content = json.loads(bytes(response.body))
        for item in content if isinstance(content, list) else [content]:
            if fault.kind is FaultKind.EXTRA_FIELD:
                item["brandNewField"] = {"nobody": ["documents", "this"]}
            else:
                del item[next(iter(item))]
        return JSONResponse(content, status_code=response.status_code)
    return response
