# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The sandbox's HTTP application: the platforms' APIs, the receiver, and what they got."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from airflow_provider_hooks.sandbox import akinon_api, sentry_api, smartsheet_rm_api, zstack_api

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.sandbox.state import SandboxState

RECEIVER_PATH = "/receiver"

_receiver = APIRouter()


@_receiver.post(RECEIVER_PATH + "/{name:path}")
async def receive(request: Request) -> JSONResponse:
    """Take a delivery: verify it over the raw body, remember it, and only then look inside."""
    body = await request.body()
    event_id, shape = _look_inside(body)
    delivery = request.app.state.sandbox.take_delivery(
        url=str(request.url),
        path=request.url.path,
        headers=dict(request.headers),
        body=body,
        event_type=request.headers.get("x-service-hook-event") or shape,
        event_id=event_id,
    )
    told = {"received": delivery.number, "verified": delivery.verified, "reason": delivery.reason}
    return JSONResponse(told, status_code=delivery.answered)


@_receiver.get("/deliveries")
def tell_deliveries(request: Request) -> JSONResponse:
    """Tell every request that the receiver got, and the counts."""
    content: JsonObject = request.app.state.sandbox.summarize()
    return JSONResponse(content)


@_receiver.get("/calls")
def tell_calls(request: Request) -> JSONResponse:
    """Tell how often each operation of each platform was called."""
    state: SandboxState = request.app.state.sandbox
    return JSONResponse({name: platform.count_calls() for name, platform in state.platforms.items()})


def build_app(state: SandboxState, *, page_size: int = sentry_api.PAGE_SIZE) -> FastAPI:
    """Build the application over a state; :param page_size: hooks on one page of Sentry's list."""
    app = FastAPI(title="airflow-provider-hooks sandbox", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = state
    app.state.connections = set()
    app.state.page_size = page_size
    for module in (sentry_api, akinon_api, zstack_api, smartsheet_rm_api):
        app.include_router(module.router)
    app.include_router(_receiver)
    return app


def _look_inside(body: bytes) -> tuple[str | None, str | None]:
    """Return the event's id, and its type as its fields tell it."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(content, dict):
        return None, None
    shape = "event.alert" if "triggering_rules" in content else "event.created" if "event" in content else None
    return (str(content["id"]) if "id" in content else None), shape
