# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Smartsheet Resource Management's webhooks as documented: one event each, ten for each event, numbered pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks.sandbox.api import PlatformRoute, SandboxApi, get_hook_or_404, get_platform, read_object
from airflow_provider_hooks.sandbox.platform import ApiError, Hook, SandboxPlatform

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

EVENT_TYPES = frozenset(
    f"{subject}.{action}"
    for subject in ("project", "time.entry", "user", "assignment")
    for action in ("created", "updated")
)
MAX_PER_EVENT = 10
_MAX_PER_PAGE = 1_000
_URL = re.compile(r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?([/?#][^\s]*)?", re.ASCII)
_ONE_WEBHOOK = "/webhooks/{hook_id}"


def _authorize(request: Request) -> SandboxPlatform:
    """Return the platform of a request that has its token."""
    platform = get_platform(request)
    if request.headers.get("auth") != platform.token:
        raise ApiError(401, {"message": "invalid authentication token"})
    return platform


Authorized = Annotated[SandboxPlatform, Depends(_authorize)]


def _get_hook(platform: Authorized, hook_id: str) -> Hook:
    return get_hook_or_404(platform, hook_id, {"message": "not found"})


ExistingHook = Annotated[Hook, Depends(_get_hook)]

router = APIRouter(prefix="/smartsheet_rm/api/v1", route_class=PlatformRoute)
API = SandboxApi(
    name="smartsheet_rm",
    router=router,
    base_path="/api/v1",
    make_id=lambda number: str(123_456 + number),
)
"""The platform's row in the table of APIs."""


@router.get("/webhooks", name="list")
def list_webhooks(platform: Authorized, page: int = 1, per_page: int = 20) -> JSONResponse:
    """Return a page of webhooks."""
    hooks = platform.list_hooks()[::-1]
    size = min(max(per_page, 1), _MAX_PER_PAGE)
    start = (max(page, 1) - 1) * size
    has_more = start + size < len(hooks)
    paging = {
        "page": page,
        "per_page": size,
        "previous": _link(page - 1, size) if page > 1 else None,
        "self": _link(page, size),
        "next": _link(page + 1, size) if has_more else None,
    }
    return JSONResponse({"paging": paging, "data": [_hook_to_json(hook) for hook in hooks[start : start + size]]})


@router.post("/webhooks", name="create")
async def create_webhook(platform: Authorized, request: Request) -> JSONResponse:
    """Register a webhook."""
    body = await read_object(request, {"message": "bad data"})
    url, event_type = body.get("url"), body.get("event_type")
    if not (isinstance(url, str) and _URL.fullmatch(url)):
        raise ApiError(400, {"message": "url must be an HTTPS URL with a valid host"})
    if not isinstance(event_type, str) or event_type not in EVENT_TYPES:
        raise ApiError(400, {"message": "event_type is not valid"})
    if sum(hook.events == (event_type,) for hook in platform.list_hooks()) >= MAX_PER_EVENT:
        raise ApiError(403, {"message": f"at most {MAX_PER_EVENT} webhooks for an event type", "errors": []})
    return JSONResponse(_hook_to_json(platform.add_hook(url=url, events=[event_type])))


@router.get(_ONE_WEBHOOK, name="get")
def get_webhook(hook: ExistingHook) -> JSONResponse:
    """Return one webhook."""
    return JSONResponse(_hook_to_json(hook))


@router.delete(_ONE_WEBHOOK, name="delete")
def delete_webhook(platform: Authorized, hook: ExistingHook) -> Response:
    """Delete a webhook."""
    platform.remove_hook(hook)
    return Response(status_code=200)


def _link(page: int, per_page: int) -> str:
    return f"/api/v1/webhooks?page={page}&per_page={per_page}"


def _hook_to_json(hook: Hook) -> JsonObject:
    return {
        "id": int(hook.hook_id),
        "organization_id": 1,
        "url": hook.url,
        "status": "active",
        "event_type": hook.events[0],
        "created_at": hook.created_at,
        "updated_at": hook.updated_at,
    }
