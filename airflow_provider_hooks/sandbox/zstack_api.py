# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""ZStack's alert webhook endpoints as documented: a secret that is returned once, no list and no update."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

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
    from airflow_provider_hooks.json_types import JsonObject

_ENDPOINTS = "/webhook-endpoints"
_ONE_ENDPOINT = _ENDPOINTS + "/{hook_id}"
_REQUIRED = {"name": str, "url": str, "signingEnabled": bool, "signingSecret": str}
_SECURITY = {
    "algorithm": "HMAC-SHA256",
    "signatureFormat": "v1=<hex-digest>",
    "headerTimestamp": "X-Webhook-Timestamp",
    "headerSignature": "X-Webhook-Signature",
    "payloadFormat": "timestamp.body",
    "replayWindowSec": 300,
    "examples": [],
}


def _authorize(request: Request) -> SandboxPlatform:
    """Return the platform of a request that has its token."""
    platform = get_platform(request)
    check_bearer(request, platform, _describe_error("SYS.1003", "unauthorized", "no valid token"))
    return platform


Authorized = Annotated[SandboxPlatform, Depends(_authorize)]


def _get_hook(platform: Authorized, hook_id: str) -> Hook:
    return get_hook_or_404(platform, hook_id, _describe_error("SYS.1002", "not found", "no such webhook endpoint"))


ExistingHook = Annotated[Hook, Depends(_get_hook)]

router = APIRouter(prefix="/zstack/api/v1/alerting", route_class=PlatformRoute)
API = SandboxApi(
    name="zstack",
    router=router,
    base_path="",
    make_id=lambda number: f"wh-{number + 1:03}",
    make_secret=lambda: f"whsec_{secrets.token_hex(16)}",
)
"""The platform's row in the table of APIs."""


@router.post(_ENDPOINTS, name="create")
async def create_endpoint(platform: Authorized, request: Request) -> JSONResponse:
    """Register an endpoint; the response is the only one that holds the secret."""
    body = await _read_body(request)
    hook = platform.add_hook(
        name=str(body["name"]),
        url=str(body["url"]),
        secret=str(body["signingSecret"]) or None,
        is_active=bool(body["signingEnabled"]),
    )
    return JSONResponse({"endpoint": _hook_to_json(hook), "signingSecretPlaintext": hook.secret})


@router.get(_ONE_ENDPOINT, name="get")
def get_endpoint(hook: ExistingHook) -> JSONResponse:
    """Return one endpoint."""
    return JSONResponse(_hook_to_json(hook))


@router.delete(_ONE_ENDPOINT, name="delete")
def delete_endpoint(platform: Authorized, hook: ExistingHook) -> JSONResponse:
    """Delete an endpoint."""
    platform.remove_hook(hook)
    return JSONResponse({})


@router.post(_ONE_ENDPOINT + "/rotate-secret", name="rotate")
def rotate_secret(platform: Authorized, hook: ExistingHook) -> JSONResponse:
    """Make a new secret; the response is the only one that holds it."""
    changed = platform.change_hook(hook, secret=platform.make_secret())
    return JSONResponse({"endpoint": _hook_to_json(changed), "signingSecretPlaintext": changed.secret})


@router.get("/docs/webhook-security", name="security", dependencies=[Depends(_authorize)])
def get_security() -> JSONResponse:
    """Return how deliveries are signed."""
    return JSONResponse(_SECURITY)


async def _read_body(request: Request) -> JsonObject:
    body = await read_object(request, _describe_error("SYS.1001", "invalid request", "the body is not JSON"))
    wrong = [name for name, kind in _REQUIRED.items() if not isinstance(body.get(name), kind)]
    if not wrong and not str(body["url"]).startswith(("https://", "http://")):
        wrong = ["url"]
    if wrong:
        raise ApiError(400, _describe_error("SYS.1001", "invalid request", f"{', '.join(wrong)} missing or not valid"))
    return body


def _describe_error(code: str, description: str, details: str) -> JsonObject:
    return {"error": {"code": code, "description": description, "details": details}}


def _hook_to_json(hook: Hook) -> JsonObject:
    return {
        "id": hook.hook_id,
        "name": hook.name,
        "url": hook.url,
        "signingEnabled": hook.is_active,
        "signingSecretMasked": f"****{hook.secret[-4:]}",
        "createdAt": hook.created_at,
        "updatedAt": hook.updated_at,
    }
