# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The Airflow plugin of this provider: its pages in the user interface, and a middleware.

Every Airflow process imports it, tasks included, so it imports nothing heavy. The pages are in ``ui/``.

Airflow before 3.4 refuses to test a connection that has no port: the list of connections sends port 0, which is not the
stored ``NULL``. Connections of this provider have no port, so its middleware removes that 0.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from airflow import configuration
from airflow.plugins_manager import AirflowPlugin

from airflow_provider_hooks import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)
_PREFIX = "/service-hooks"
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


class PagesApplication:
    """The application behind the pages, made when it is needed: so only the API server imports it."""

    def __init__(self) -> None:
        self._app: Application | None = None

    def prepare(self) -> Application:
        """Return the application, which takes a second to import."""
        if self._app is None:
            from airflow_provider_hooks.ui.app import build_app  # noqa: PLC0415

            self._app = cast("Application", build_app())
        return self._app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.prepare()(scope, receive, send)


_PAGES_APPLICATION = PagesApplication()


class PreparePagesMiddleware:
    """
    Makes the application behind the pages when the API server starts, so that the first user does not wait for it.

    :param app: the ASGI application that receives the requests
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on; the first message is the start of the server."""
        if scope["type"] == "lifespan":
            try:
                _PAGES_APPLICATION.prepare()
            except Exception:  # noqa: BLE001  (the server must start without the pages)
                _log.exception("The pages of service hooks are not available")
        await self.app(scope, receive, send)


_BASE_PATH = urlsplit(configuration.conf.get("api", "base_url", fallback="/")).path.rstrip("/")
_BUNDLE = f"{_BASE_PATH}{_PREFIX}/page/{__version__}/main.js"
"""With the path of Airflow's address: Airflow 3.2 adds nothing to it."""
_PAGES: tuple[dict[str, str], ...] = (
    {"name": "Webhook deliveries", "destination": "nav", "category": "browse", "url_route": "webhook-deliveries"},
    {"name": "Webhook endpoints", "destination": "nav", "category": "browse", "url_route": "webhook-endpoints"},
    *(
        {
            "name": "Deliveries",
            "destination": destination,
            "url_route": f"deliveries-of-{destination.replace('_', '-')}",
        }
        for destination in ("dag", "dag_run", "task_instance")
    ),
)


class ServiceHooksPlugin(AirflowPlugin):
    """What this provider adds to Airflow's processes."""

    name = "service_hooks"
    fastapi_apps = [{"app": _PAGES_APPLICATION, "url_prefix": _PREFIX, "name": "Service Hooks: pages"}]  # noqa: RUF012
    react_apps = [{**page, "bundle_url": _BUNDLE} for page in _PAGES]  # noqa: RUF012
    fastapi_root_middlewares = [  # noqa: RUF012  (as AirflowPlugin declares it)
        {"middleware": ConnectionTestMiddleware, "args": [], "kwargs": {}, "name": "Service Hooks: test connections"},
        {"middleware": PreparePagesMiddleware, "args": [], "kwargs": {}, "name": "Service Hooks: prepare pages"},
    ]
