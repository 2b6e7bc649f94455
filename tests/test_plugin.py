# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The middleware that makes the connection test of Airflow 3.3 work for connections without a port."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.plugin import ServiceHooksPlugin, remove_port

BODY = {"connection_id": "c", "conn_type": "service_hook", "host": "https://example.com/", "port": 0}


def send(path: str, body: object, *, chunks: int = 1) -> object:
    """Send a request through the middleware in chunks, and return the body that the application receives."""
    data = json.dumps(body).encode()
    size = -(-len(data) // chunks)
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]
    received = []

    async def receive():
        return messages.pop(0)

    async def application(_scope, receive, _send):
        while True:
            message = await receive()
            received.append(message["body"])
            if not message.get("more_body"):
                return

    entry, _ = ServiceHooksPlugin.fastapi_root_middlewares
    middleware = entry["middleware"](application, *entry["args"], **entry["kwargs"])
    asyncio.run(middleware({"type": "http", "method": "POST", "path": path}, receive, None))
    return json.loads(b"".join(received))


@pytest.mark.parametrize("path", ["/api/v2/connections/test", "/airflow/api/v2/connections/test"])
@pytest.mark.parametrize("conn_type", ["service_hook", "service_hook_registry"])
@pytest.mark.parametrize("chunks", [1, 3])
def test_port_0_of_a_connection_of_this_provider_is_removed(path, conn_type, chunks):
    body = {**BODY, "conn_type": conn_type}
    assert send(path, body, chunks=chunks) == {name: value for name, value in body.items() if name != "port"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v2/connections", BODY),
        ("/api/v2/connections/test", {**BODY, "conn_type": "http"}),
        ("/api/v2/connections/test", {**BODY, "port": 443}),
        ("/api/v2/connections/test", {**BODY, "port": None}),
        ("/api/v2/connections/test", [BODY]),
        ("/api/v2/connections/test", {**BODY, "conn_type": []}),
        ("/api/v2/connections/test", "x" * 3_000_000),
    ],
)
@pytest.mark.parametrize("chunks", [1, 30])
def test_every_other_request_is_unchanged(path, body, chunks):
    assert send(path, body, chunks=chunks) == body


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary())
def test_body_that_is_not_json_is_unchanged(body):
    assert remove_port(body) == body


def test_plugin_module_imports_no_other_module():
    code = (
        "import sys; from airflow.plugins_manager import AirflowPlugin; before = set(sys.modules)\n"
        "import airflow_provider_hooks.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "airflow_provider_hooks.plugin" in process.stdout.split()
    assert set(process.stdout.split()) <= {"airflow_provider_hooks", "airflow_provider_hooks.plugin"}
