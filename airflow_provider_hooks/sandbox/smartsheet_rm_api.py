# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Smartsheet Resource Management's webhooks as documented: one event each, ten an event, pages by number, no update."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks.sandbox.platform import Hook, Refusal, SandboxPlatform
from airflow_provider_hooks.sandbox.reading import find_or_refuse, read_object
from airflow_provider_hooks.sandbox.route import PlatformRoute, find_platform

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

EVENT_TYPES = frozenset(
    f"{subject}.{what}"
    for subject in ("project", "time.entry", "user", "assignment")
    for what in ("created", "updated")
)
MAX_AN_EVENT = 10
_MAX_PER_PAGE = 1_000
_URL = re.compile(r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?([/?#][^\s]*)?", re.ASCII)
_ONE_WEBHOOK = "/webhooks/{hook_id}"


def _open(request: Request) -> SandboxPlatform:
    """Return the platform, if the request carries its token."""
    platform = find_platform(request)
    if request.headers.get("auth") != platform.token:
        raise Refusal(401, {"message": "invalid authentication token"})
    return platform


Open = Annotated[SandboxPlatform, Depends(_open)]


def _find(platform: Open, hook_id: str) -> Hook:
    return find_or_refuse(platform, hook_id, {"message": "not found"})


Found = Annotated[Hook, Depends(_find)]

router = APIRouter(prefix="/smartsheet_rm/api/v1", route_class=PlatformRoute)
"""The routes of the platform."""


@router.get("/webhooks", name="list")
def list_webhooks(platform: Open, page: int = 1, per_page: int = 20) -> JSONResponse:
    """Answer with all webhooks, or a page of them."""
    hooks = platform.list_hooks()[::-1]
    size = min(max(per_page, 1), _MAX_PER_PAGE)
    start = (max(page, 1) - 1) * size
    there_is_more = start + size < len(hooks)
    paging = {
        "page": page,
        "per_page": size,
        "previous": _link(page - 1, size) if page > 1 else None,
        "self": _link(page, size),
        "next": _link(page + 1, size) if there_is_more else None,
    }
    return JSONResponse({"paging": paging, "data": [_show(hook) for hook in hooks[start : start + size]]})


@router.post("/webhooks", name="create")
async def create_webhook(platform: Open, request: Request) -> JSONResponse:
    """Register a webhook."""
    body = await read_object(request, {"message": "bad data"})
    url, event_type = body.get("url"), body.get("event_type")
    if not (isinstance(url, str) and _URL.fullmatch(url)):
        raise Refusal(400, {"message": "url must be an HTTPS URL with a valid host"})
    if not isinstance(event_type, str) or event_type not in EVENT_TYPES:
        raise Refusal(400, {"message": "event_type is not valid"})
    if sum(hook.events == (event_type,) for hook in platform.list_hooks()) >= MAX_AN_EVENT:
        raise Refusal(403, {"message": f"at most {MAX_AN_EVENT} webhooks an event type", "errors": []})
    return JSONResponse(_show(platform.add_hook(url=url, events=[event_type])))


@router.get(_ONE_WEBHOOK, name="get")
def get_webhook(hook: Found) -> JSONResponse:
    """Answer with one webhook."""
    return JSONResponse(_show(hook))


@router.delete(_ONE_WEBHOOK, name="delete")
def delete_webhook(platform: Open, hook: Found) -> Response:
    """Delete a webhook."""
    platform.remove_hook(hook)
    return Response(status_code=200)


def _link(page: int, per_page: int) -> str:
    return f"/api/v1/webhooks?page={page}&per_page={per_page}"


def _show(hook: Hook) -> JsonObject:
    return {
        "id": int(hook.hook_id),
        "organization_id": 1,
        "url": hook.url,
        "status": "active",
        "event_type": hook.events[0],
        "created_at": hook.created_at,
        "updated_at": hook.updated_at,
    }
