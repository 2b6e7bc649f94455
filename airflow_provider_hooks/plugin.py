# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The Airflow plugin of this provider. Every Airflow process imports it, tasks included, so it imports nothing heavy.

Airflow before 3.4 refuses to test a connection that has no port: the list of connections sends port 0, which is not the
stored ``NULL``. Connections of this provider have no port, so its middleware removes that 0.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]

_TEST_PATH = "/api/v2/connections/test"
_CONNECTION_TYPES = ("service_hook", "service_hook_registry")
_MAX_BODY_BYTES = 1_048_576
"""A connection is far smaller; a larger body is passed on unchanged."""


class ConnectionTestMiddleware:
    """
    Removes the port 0 of a connection of this provider from the request that tests it.

    :param app: the ASGI application that receives the requests
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, changed where it tests a connection of this provider."""
        is_test = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith(_TEST_PATH)
        await self.app(scope, _without_port(receive) if is_test else receive, send)


def _without_port(receive: Receive) -> Receive:
    """Return what receives the same request, whose body is one message."""
    is_read = False

    async def receive_once() -> Message:
        nonlocal is_read
        message = await receive()
        if is_read or message["type"] != "http.request":
            return message
        is_read = True
        body = bytearray(message.get("body", b""))
        while message.get("more_body") and len(body) <= _MAX_BODY_BYTES:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
        return {**message, "body": remove_port(bytes(body))}

    return receive_once


def remove_port(body: bytes) -> bytes:
    """Return the body of a request without the port, if it is 0 and the connection is of this provider."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(fields, dict) or fields.get("conn_type") not in _CONNECTION_TYPES or fields.get("port") != 0:
        return body
    del fields["port"]
    return json.dumps(fields).encode()


class ServiceHooksPlugin(AirflowPlugin):
    """What this provider adds to Airflow's processes."""

    name = "service_hooks"
    fastapi_root_middlewares = [  # noqa: RUF012  (as AirflowPlugin declares it)
        {"middleware": ConnectionTestMiddleware, "args": [], "kwargs": {}, "name": "Service Hooks: test connections"}
    ]
