# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Akinon AppMaker's webhooks API as documented: ids of 24 hex digits, and a 201 that returns the project."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from airflow_provider_hooks.sandbox.api import (
    PlatformRoute,
    SandboxApi,
    check_bearer,
    get_hook_or_404,
    get_platform,
    is_string_list,
    read_object,
)
from airflow_provider_hooks.sandbox.platform import ApiError, Hook, SandboxPlatform

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

_ID = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)
_WEBHOOKS = "/organizations/{organization}/projects/{project}/settings/webhooks"
_ONE_WEBHOOK = _WEBHOOKS + "/{hook_id}"
_FIELDS = ("name", "url", "headers", "active", "events")
_REQUIRED = ("name", "url", "events")


def _authorize(request: Request, organization: str, project: str) -> SandboxPlatform:
    """Return the platform of a request that has its token."""
    platform = get_platform(request)
    check_bearer(request, platform, {"message": "Unauthorized"})
    if not (_ID.fullmatch(organization) and _ID.fullmatch(project)):
        raise ApiError(400, {"message": "organizationId and projectId must be 24 hex digits"})
    return platform


Authorized = Annotated[SandboxPlatform, Depends(_authorize)]


def _get_hook(platform: Authorized, organization: str, project: str, hook_id: str) -> Hook:
    if not _ID.fullmatch(hook_id):
        raise ApiError(400, {"message": "webhookId must be 24 hex digits"})
    return get_hook_or_404(platform, hook_id, {"message": "Webhook not found"}, owner=(organization, project))


ExistingHook = Annotated[Hook, Depends(_get_hook)]

router = APIRouter(prefix="/akinon/api/v1", route_class=PlatformRoute)
API = SandboxApi(
    name="akinon",
    router=router,
    base_path="/api/v1",
    make_id=lambda _: secrets.token_hex(12),
    connection_fields={"organization": "a0" * 12, "project": "b1" * 12},
)
"""The platform's row in the table of APIs."""


@router.get(_WEBHOOKS, name="list")
def list_webhooks(platform: Authorized, organization: str, project: str) -> JSONResponse:
    """Return all webhooks."""
    return JSONResponse([_hook_to_json(hook) for hook in platform.list_hooks((organization, project))])


@router.post(_WEBHOOKS, name="create", status_code=201)
async def create_webhook(platform: Authorized, request: Request, organization: str, project: str) -> JSONResponse:
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
def get_webhook(hook: ExistingHook) -> JSONResponse:
    """Return one webhook."""
    return JSONResponse(_hook_to_json(hook))


@router.patch(_ONE_WEBHOOK, name="update")
async def update_webhook(platform: Authorized, hook: ExistingHook, request: Request) -> JSONResponse:
    """Change a webhook."""
    body = await _read_body(request, required=())
    names = {"active": "is_active"}
    changes = {names.get(name, name): body[name] for name in _FIELDS if name in body}
    if "events" in changes:
        changes["events"] = tuple(cast("list[str]", changes["events"]))  # type: ignore[assignment]  # Hook has a tuple
    return JSONResponse(_hook_to_json(platform.change_hook(hook, **changes)))


@router.delete(_ONE_WEBHOOK, name="delete")
def delete_webhook(platform: Authorized, hook: ExistingHook) -> Response:
    """Delete a webhook."""
    platform.remove_hook(hook)
    return Response(status_code=204)


async def _read_body(request: Request, *, required: tuple[str, ...]) -> JsonObject:
    body = await read_object(request, {"message": "The body is not JSON"})
    headers = body.get("headers", {})
    checks = {
        "name": isinstance(body.get("name", ""), str),
        "url": str(body.get("url", "https://")).startswith(("https://", "http://")),
        "events": is_string_list(body.get("events", [])),
        "headers": isinstance(headers, dict) and is_string_list([*headers.values()]),
        "active": isinstance(body.get("active", True), bool),
    }
    wrong = [name for name in _FIELDS if not checks[name] or (name in required and name not in body)]
    if wrong:
        raise ApiError(400, {"message": f"{', '.join(wrong)} missing or not valid"})
    return body


def _hook_to_json(hook: Hook) -> JsonObject:
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
