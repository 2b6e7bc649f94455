# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Akinon AppMaker's webhooks API as documented: 24 hex digits, and a 201 that is the project and not the webhook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks.sandbox.platform import Hook, Refusal, SandboxPlatform
from airflow_provider_hooks.sandbox.reading import check_bearer, find_or_refuse, is_texts, read_object
from airflow_provider_hooks.sandbox.route import PlatformRoute, find_platform

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

_ID = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)
_WEBHOOKS = "/organizations/{organization}/projects/{project}/settings/webhooks"
_ONE_WEBHOOK = _WEBHOOKS + "/{hook_id}"
_FIELDS = ("name", "url", "headers", "active", "events")
_REQUIRED = ("name", "url", "events")


def _open(request: Request, organization: str, project: str) -> SandboxPlatform:
    """Return the platform, if the request carries its token."""
    platform = find_platform(request)
    check_bearer(request, platform, {"message": "Unauthorized"})
    if not (_ID.fullmatch(organization) and _ID.fullmatch(project)):
        raise Refusal(400, {"message": "organizationId and projectId must be 24 hex digits"})
    return platform


Open = Annotated[SandboxPlatform, Depends(_open)]


def _find(platform: Open, organization: str, project: str, hook_id: str) -> Hook:
    if not _ID.fullmatch(hook_id):
        raise Refusal(400, {"message": "webhookId must be 24 hex digits"})
    return find_or_refuse(platform, hook_id, {"message": "Webhook not found"}, owner=(organization, project))


Found = Annotated[Hook, Depends(_find)]

router = APIRouter(prefix="/akinon/api/v1", route_class=PlatformRoute)
"""The routes of the platform."""


@router.get(_WEBHOOKS, name="list")
def list_webhooks(platform: Open, organization: str, project: str) -> JSONResponse:
    """Answer with all webhooks, or a page of them."""
    return JSONResponse([_show(hook) for hook in platform.list_hooks((organization, project))])


@router.post(_WEBHOOKS, name="create", status_code=201)
async def create_webhook(platform: Open, request: Request, organization: str, project: str) -> JSONResponse:
    """Register a webhook."""
    body = await _read_body(request, required=_REQUIRED)
    hook = platform.add_hook(
        (organization, project),
        name=str(body["name"]),
        url=str(body["url"]),
        events=cast("list[str]", body["events"]),
        headers=cast("dict[str, str]", body.get("headers", {})),
        is_active=bool(body.get("active", True)),
    )
    content = {
        "_id": project,
        "name": "A project",
        "slug": "a-project",
        "organization": organization,
        "status": "draft",
        "createdAt": hook.created_at,
        "updatedAt": hook.updated_at,
    }
    return JSONResponse(content, status_code=201)


@router.get(_ONE_WEBHOOK, name="get")
def get_webhook(hook: Found) -> JSONResponse:
    """Answer with one webhook."""
    return JSONResponse(_show(hook))


@router.patch(_ONE_WEBHOOK, name="update")
async def update_webhook(platform: Open, hook: Found, request: Request) -> JSONResponse:
    """Change a webhook."""
    body = await _read_body(request, required=())
    names = {"active": "is_active"}
    changes = {names.get(name, name): body[name] for name in _FIELDS if name in body}
    if "events" in changes:
        changes["events"] = tuple(cast("list[str]", changes["events"]))  # type: ignore[assignment]  # as Hook has it
    return JSONResponse(_show(platform.change_hook(hook, **changes)))


@router.delete(_ONE_WEBHOOK, name="delete")
def delete_webhook(platform: Open, hook: Found) -> Response:
    """Delete a webhook."""
    platform.remove_hook(hook)
    return Response(status_code=204)


async def _read_body(request: Request, *, required: tuple[str, ...]) -> JsonObject:
    body = await read_object(request, {"message": "The body is not JSON"})
    headers = body.get("headers", {})
    checks = {
        "name": isinstance(body.get("name", ""), str),
        "url": str(body.get("url", "https://")).startswith(("https://", "http://")),
        "events": is_texts(body.get("events", [])),
        "headers": isinstance(headers, dict) and is_texts([*headers.values()]),
        "active": isinstance(body.get("active", True), bool),
    }
    wrong = [name for name in _FIELDS if not checks[name] or (name in required and name not in body)]
    if wrong:
        raise Refusal(400, {"message": f"{', '.join(wrong)} missing or not valid"})
    return body


def _show(hook: Hook) -> JsonObject:
    events: list[JsonValue] = [*hook.events]
    return {
        "_id": hook.hook_id,
        "name": hook.name,
        "url": hook.url,
        "headers": {**hook.headers},
        "active": hook.is_active,
        "events": events,
        "createdAt": hook.created_at,
        "updatedAt": hook.updated_at,
    }
