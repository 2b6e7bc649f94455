# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sentry's hooks API as documented: bearer token, 201, 400, 401, 403, 404, pages by cursor, and statistics."""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks.sandbox.api import (
    PlatformRoute,
    SandboxApi,
    check_bearer,
    get_hook_or_404,
    get_platform,
    read_object,
)
from airflow_provider_hooks.sandbox.platform import ApiError, Hook, SandboxPlatform

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

PAGE_SIZE = 100
"""Hooks on one page of the list."""
EVENTS = ("event.alert", "event.created")
MAX_URL_CHARACTERS = 512
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")
_CURSOR = re.compile(r"[0-9]+:([0-9]{1,9}):[01]", re.ASCII)
_HOOKS = "/projects/{organization}/{project}/hooks/"
_ONE_HOOK = _HOOKS + "{hook_id}/"
_STEPS = {"10s": 10, "m": 60, "1h": 3_600, "1d": 86_400}
_MAX_STEPS = 1_000


def _authorize(request: Request) -> SandboxPlatform:
    """Return the platform of a request that has its token."""
    platform = get_platform(request)
    check_bearer(request, platform, {"detail": "Invalid token"})
    return platform


Authorized = Annotated[SandboxPlatform, Depends(_authorize)]


def _get_hook(platform: Authorized, organization: str, project: str, hook_id: str) -> Hook:
    return get_hook_or_404(
        platform, hook_id, {"detail": "The requested resource does not exist"}, owner=(organization, project)
    )


ExistingHook = Annotated[Hook, Depends(_get_hook)]

router = APIRouter(prefix="/sentry/api/0", route_class=PlatformRoute)
API = SandboxApi(
    name="sentry",
    router=router,
    base_path="/api/0",
    make_id=lambda _: secrets.token_hex(16),
    make_secret=lambda: secrets.token_hex(32),
    connection_fields={"organization": "sandbox", "project": "pump-station"},
)
"""The platform's row in the table of APIs."""


@router.get(_HOOKS, name="list")
def list_hooks(
    platform: Authorized,
    request: Request,
    organization: str,
    project: str,
    cursor: str = "0:0:0",
    status: str = "",
) -> JSONResponse:
    """Return a page of hooks, newest first."""
    hooks = [hook for hook in platform.list_hooks((organization, project)) if status in {"", _status(hook)}]
    start, size = _read_cursor(cursor), request.app.state.page_size
    content = [_hook_to_json(hook) for hook in hooks[start : start + size]]
    return JSONResponse(content, headers={"Link": _links(request, start, size, len(hooks))})


@router.post(_HOOKS, name="create", status_code=201)
async def create_hook(platform: Authorized, request: Request, organization: str, project: str) -> JSONResponse:
    """Register a hook."""
    if "servicehooks" not in platform.features:
        content: JsonObject = {
            "error_type": "unavailable_feature",
            "detail": ["You do not have that feature enabled"],
        }
        raise ApiError(403, content)
    body = await _read_body(request, required=True)
    events = sorted(cast("list[str]", body["events"]))
    hook = platform.add_hook((organization, project), url=str(body["url"]), events=events)
    return JSONResponse(_hook_to_json(hook), status_code=201)


@router.get(_ONE_HOOK, name="get")
def get_hook(hook: ExistingHook) -> JSONResponse:
    """Return one hook."""
    return JSONResponse(_hook_to_json(hook))


@router.put(_ONE_HOOK, name="update")
async def update_hook(platform: Authorized, hook: ExistingHook, request: Request) -> JSONResponse:
    """Update a hook."""
    body = await _read_body(request, required=False)
    changed = platform.change_hook(
        hook,
        url=body.get("url", hook.url),
        events=tuple(sorted(cast("list[str]", body.get("events", list(hook.events))))),
        is_active=body.get("isActive", hook.is_active),
    )
    return JSONResponse(_hook_to_json(changed))


@router.delete(_ONE_HOOK, name="delete")
def delete_hook(platform: Authorized, hook: ExistingHook) -> Response:
    """Delete a hook."""
    platform.remove_hook(hook)
    return Response(status_code=204)


@router.get(_ONE_HOOK + "stats/", name="stats", dependencies=[Depends(_get_hook)])
def get_stats(since: int = 0, until: int = 0, resolution: str = "1h") -> JSONResponse:
    """Return the intervals of the statistics, each with a total of 0."""
    if resolution not in _STEPS:
        raise ApiError(400, {"detail": "Invalid resolution"})
    step = _STEPS[resolution]
    end = until or int(time.time())
    start = max(since or end - 86_400, end - step * _MAX_STEPS) // step * step
    return JSONResponse([{"ts": moment, "total": 0} for moment in range(start, end + 1, step)])


async def _read_body(request: Request, *, required: bool) -> JsonObject:
    body = await read_object(request, {"detail": "JSON parse error"})
    problems = _find_problems(body, required=required)
    if problems:
        raise ApiError(400, problems)
    return body


def _find_problems(body: JsonObject, *, required: bool) -> JsonObject:
    """Return Sentry's messages about a body, by the names of the fields."""
    problems: JsonObject = {}
    for name in ("url", "events"):
        if name not in body and required:
            problems[name] = ["This field is required."]
    url, events, is_active = body.get("url", ""), body.get("events", []), body.get("isActive", True)
    if isinstance(url, str) and len(url) > MAX_URL_CHARACTERS:
        problems["url"] = [f"Ensure this field has no more than {MAX_URL_CHARACTERS} characters."]
    elif "url" in body and not (isinstance(url, str) and _URL.fullmatch(url)):
        problems["url"] = ["Enter a valid URL."]
    if not isinstance(events, list):
        problems["events"] = [f'Expected a list of items but got type "{type(events).__name__}".']
    elif unknown := [event for event in events if event not in EVENTS]:
        problems["events"] = [f"Invalid event name: {unknown[0]}"]
    if not isinstance(is_active, bool):
        problems["isActive"] = ["Must be a valid boolean."]
    return problems


def _status(hook: Hook) -> str:
    return "active" if hook.is_active else "disabled"


def _hook_to_json(hook: Hook) -> JsonObject:
    events: list[JsonValue] = [*hook.events]
    return {
        "id": hook.hook_id,
        "url": hook.url,
        "secret": hook.secret,
        "status": _status(hook),
        "events": events,
        "dateCreated": hook.created_at,
    }


def _read_cursor(cursor: str) -> int:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ApiError(400, {"detail": "Invalid cursor parameter."})
    return int(found[1])


def _links(request: Request, start: int, page_size: int, total: int) -> str:
    """Return the ``Link`` header: both relations are always present, ``results`` is whether they have hooks."""
    base = str(request.url.replace(query=""))
    rows = (
        ("previous", f"0:{max(0, start - page_size)}:1", start > 0),
        ("next", f"0:{start + page_size}:0", start + page_size < total),
    )
    return ", ".join(
        f'<{base}?&cursor={cursor}>; rel="{rel}"; results="{str(more).lower()}"; cursor="{cursor}"'
        for rel, cursor, more in rows
    )
