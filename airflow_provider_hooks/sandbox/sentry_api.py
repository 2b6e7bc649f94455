# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sentry's hooks API as documented: bearer token, 201, 400, 401, 403, 404, and pages by cursor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks.sandbox.state import Hook, SandboxState

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

PAGE_SIZE = 100
EVENTS = ("event.alert", "event.created")
MAX_URL_CHARACTERS = 512
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")
_CURSOR = re.compile(r"[0-9]+:([0-9]{1,9}):[01]", re.ASCII)
_HOOKS = "/projects/{organization}/{project}/hooks/"
_ONE_HOOK = _HOOKS + "{hook_id}/"


def _state(request: Request) -> SandboxState:
    state: SandboxState = request.app.state.sandbox
    if request.headers.get("authorization") != f"Bearer {state.token}":
        raise HTTPException(401, "Invalid token")
    return state


State = Annotated[SandboxState, Depends(_state)]


def _find(state: State, organization: str, project: str, hook_id: str) -> Hook:
    hooks = state.list_hooks((organization, project))
    hook = next((hook for hook in hooks if hook.hook_id == hook_id), None)
    if hook is None:
        raise HTTPException(404, "The requested resource does not exist")
    return hook


Found = Annotated[Hook, Depends(_find)]


def build_sentry_router(*, page_size: int = PAGE_SIZE) -> APIRouter:
    """Build the routes below ``/api/0``; :param page_size: hooks on one page of a list."""
    router = APIRouter(prefix="/api/0")

    @router.get(_HOOKS)
    def list_hooks(
        state: State, request: Request, organization: str, project: str, cursor: str = "0:0:0", status: str = ""
    ) -> JSONResponse:
        hooks = [hook for hook in state.list_hooks((organization, project)) if status in {"", _status(hook)}]
        start = _read_cursor(cursor)
        content = [_show(hook) for hook in hooks[start : start + page_size]]
        return JSONResponse(content, headers={"Link": _links(request, start, page_size, len(hooks))})

    @router.post(_HOOKS, status_code=201)
    async def create_hook(state: State, request: Request, organization: str, project: str) -> JSONResponse:
        if "servicehooks" not in state.features:
            content = {"error_type": "unavailable_feature", "detail": ["You do not have that feature enabled"]}
            return JSONResponse(content, status_code=403)
        body = await _read_body(request)
        problems = _find_problems(body, required=True)
        if problems:
            return JSONResponse(problems, status_code=400)
        events = cast("list[str]", body["events"])
        hook = state.add_hook((organization, project), url=str(body["url"]), events=events)
        return JSONResponse(_show(hook), status_code=201)

    @router.get(_ONE_HOOK)
    def get_hook(hook: Found) -> JSONResponse:
        return JSONResponse(_show(hook))

    @router.put(_ONE_HOOK)
    async def update_hook(state: State, hook: Found, request: Request) -> JSONResponse:
        body = await _read_body(request)
        problems = _find_problems(body, required=False)
        if problems:
            return JSONResponse(problems, status_code=400)
        changed = state.change_hook(
            hook,
            url=body.get("url", hook.url),
            events=tuple(sorted(cast("list[str]", body.get("events", list(hook.events))))),
            is_active=body.get("isActive", hook.is_active),
        )
        return JSONResponse(_show(changed))

    @router.delete(_ONE_HOOK)
    def delete_hook(state: State, hook: Found) -> Response:
        state.remove_hook(hook)
        return Response(status_code=204)

    return router


async def _read_body(request: Request) -> JsonObject:
    try:
        content = await request.json()
    except (ValueError, RecursionError):
        raise HTTPException(400, "JSON parse error") from None
    return content if isinstance(content, dict) else {}


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
    return {
        "id": hook.hook_id,
        "url": hook.url,
        "secret": hook.secret,
        "status": _status(hook),
        "events": list(hook.events),
        "dateCreated": hook.created_at,
    }


def _read_cursor(cursor: str) -> int:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise HTTPException(400, "Invalid cursor parameter.")
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
