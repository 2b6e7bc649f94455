# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sentry's hooks API as documented: bearer token, 201, 400, 401, 403, 404, pages by cursor, and statistics."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks.sandbox.platform import Hook, Refusal, SandboxPlatform
from airflow_provider_hooks.sandbox.reading import check_bearer, find_or_refuse, read_object
from airflow_provider_hooks.sandbox.route import PlatformRoute, find_platform

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

PAGE_SIZE = 100
EVENTS = ("event.alert", "event.created")
MAX_URL_CHARACTERS = 512
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")
_CURSOR = re.compile(r"[0-9]+:([0-9]{1,9}):[01]", re.ASCII)
_HOOKS = "/projects/{organization}/{project}/hooks/"
_ONE_HOOK = _HOOKS + "{hook_id}/"
_STEPS = {"10s": 10, "m": 60, "1h": 3_600, "1d": 86_400}
_MAX_STEPS = 1_000


def _open(request: Request) -> SandboxPlatform:
    """Return the platform, if the request carries its token."""
    platform = find_platform(request)
    check_bearer(request, platform, {"detail": "Invalid token"})
    return platform


Open = Annotated[SandboxPlatform, Depends(_open)]


def _find(platform: Open, organization: str, project: str, hook_id: str) -> Hook:
    return find_or_refuse(
        platform, hook_id, {"detail": "The requested resource does not exist"}, owner=(organization, project)
    )


Found = Annotated[Hook, Depends(_find)]

router = APIRouter(prefix="/sentry/api/0", route_class=PlatformRoute)
"""The routes of the platform."""


@router.get(_HOOKS, name="list")
def list_hooks(
    platform: Open, request: Request, organization: str, project: str, cursor: str = "0:0:0", status: str = ""
) -> JSONResponse:
    """Answer with a page of hooks, the newest first."""
    hooks = [hook for hook in platform.list_hooks((organization, project)) if status in {"", _status(hook)}]
    start, size = _read_cursor(cursor), request.app.state.page_size
    content = [_show(hook) for hook in hooks[start : start + size]]
    return JSONResponse(content, headers={"Link": _links(request, start, size, len(hooks))})


@router.post(_HOOKS, name="create", status_code=201)
async def create_hook(platform: Open, request: Request, organization: str, project: str) -> JSONResponse:
    """Register a hook."""
    if "servicehooks" not in platform.features:
        content: JsonObject = {
            "error_type": "unavailable_feature",
            "detail": ["You do not have that feature enabled"],
        }
        raise Refusal(403, content)
    body = await _read_body(request, required=True)
    events = sorted(cast("list[str]", body["events"]))
    hook = platform.add_hook((organization, project), url=str(body["url"]), events=events)
    return JSONResponse(_show(hook), status_code=201)


@router.get(_ONE_HOOK, name="get")
def get_hook(hook: Found) -> JSONResponse:
    """Answer with one hook."""
    return JSONResponse(_show(hook))


@router.put(_ONE_HOOK, name="update")
async def update_hook(platform: Open, hook: Found, request: Request) -> JSONResponse:
    """Change a hook."""
    body = await _read_body(request, required=False)
    changed = platform.change_hook(
        hook,
        url=body.get("url", hook.url),
        events=tuple(sorted(cast("list[str]", body.get("events", list(hook.events))))),
        is_active=body.get("isActive", hook.is_active),
    )
    return JSONResponse(_show(changed))


@router.delete(_ONE_HOOK, name="delete")
def delete_hook(platform: Open, hook: Found) -> Response:
    """Delete a hook."""
    platform.remove_hook(hook)
    return Response(status_code=204)


@router.get(_ONE_HOOK + "stats/", name="stats", dependencies=[Depends(_find)])
def get_stats(since: int = 0, until: int = 0, resolution: str = "1h") -> JSONResponse:
    """Answer with the steps of time, in none of which anything was sent."""
    if resolution not in _STEPS:
        raise Refusal(400, {"detail": "Invalid resolution"})
    step = _STEPS[resolution]
    end = until or int(time.time())
    start = max(since or end - 86_400, end - step * _MAX_STEPS) // step * step
    return JSONResponse([{"ts": moment, "total": 0} for moment in range(start, end + 1, step)])


async def _read_body(request: Request, *, required: bool) -> JsonObject:
    body = await read_object(request, {"detail": "JSON parse error"})
    problems = _find_problems(body, required=required)
    if problems:
        raise Refusal(400, problems)
    return body


def _find_problems(body: JsonObject, *, required: bool) -> JsonObject:
    """Return what Sentry would say of a body: its messages under the names of the fields."""
    problems: JsonObject = {}
    for name in ("url", "events"):
        if name not in body and required:
            problems[name] = ["This field is required."]
    url, events, is_active = body.get("url", ""), body.get("events", []), body.get("isActive", True)
    if "url" in body and not (isinstance(url, str) and _URL.fullmatch(url)):
        problems["url"] = ["Enter a valid URL."]
    elif isinstance(url, str) and len(url) > MAX_URL_CHARACTERS:
        problems["url"] = [f"Ensure this field has no more than {MAX_URL_CHARACTERS} characters."]
    if not isinstance(events, list):
        problems["events"] = [f'Expected a list of items but got type "{type(events).__name__}".']
    elif unknown := [event for event in events if event not in EVENTS]:
        problems["events"] = [f"Invalid event name: {unknown[0]}"]
    if not isinstance(is_active, bool):
        problems["isActive"] = ["Must be a valid boolean."]
    return problems


def _status(hook: Hook) -> str:
    return "active" if hook.is_active else "disabled"


def _show(hook: Hook) -> JsonObject:
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
        raise Refusal(400, {"detail": "Invalid cursor parameter."})
    return int(found[1])


def _links(request: Request, start: int, page_size: int, total: int) -> str:
    """Write the ``Link`` header: both relations are always there, and ``results`` tells whether they lead anywhere."""
    base = str(request.url.replace(query=""))
    rows = (
        ("previous", f"0:{max(0, start - page_size)}:1", start > 0),
        ("next", f"0:{start + page_size}:0", start + page_size < total),
    )
    return ", ".join(
        f'<{base}?&cursor={cursor}>; rel="{rel}"; results="{str(more).lower()}"; cursor="{cursor}"'
        for rel, cursor, more in rows
    )
