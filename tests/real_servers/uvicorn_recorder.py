# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""An ASGI application that reads a request to its end, appends the delivery id to ``RECORDER_LOG`` and answers 204."""

from __future__ import annotations

import os

_LOG = os.open(os.environ["RECORDER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


async def app(scope, receive, send) -> None:
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    os.write(_LOG, dict(scope["headers"])[b"x-service-hook-delivery"] + b"\n")
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
