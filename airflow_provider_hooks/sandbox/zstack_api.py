# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""ZStack's alert webhook endpoints as documented: a secret that is shown once, no list and no update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from airflow_provider_hooks.sandbox.platform import Hook, Refusal, SandboxPlatform
from airflow_provider_hooks.sandbox.reading import check_bearer, find_or_refuse, read_object
from airflow_provider_hooks.sandbox.route import PlatformRoute, find_platform

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


def _open(request: Request) -> SandboxPlatform:
    """Return the platform, if the request carries its token."""
    platform = find_platform(request)
    check_bearer(request, platform, _describe_error("SYS.1003", "unauthorized", "no valid token"))
    return platform


Open = Annotated[SandboxPlatform, Depends(_open)]


def _find(platform: Open, hook_id: str) -> Hook:
    return find_or_refuse(platform, hook_id, _describe_error("SYS.1002", "not found", "no such webhook endpoint"))


Found = Annotated[Hook, Depends(_find)]

router = APIRouter(prefix="/zstack/api/v1/alerting", route_class=PlatformRoute)
"""The routes of the platform."""


@router.post(_ENDPOINTS, name="create")
async def create_endpoint(platform: Open, request: Request) -> JSONResponse:
    """Register an endpoint, and show its secret this once."""
    body = await _read_body(request)
    hook = platform.add_hook(
        name=str(body["name"]),
        url=str(body["url"]),
        secret=str(body["signingSecret"]) or None,
        is_active=bool(body["signingEnabled"]),
    )
    return JSONResponse({"endpoint": _show(hook), "signingSecretPlaintext": hook.secret})


@router.get(_ONE_ENDPOINT, name="get")
def get_endpoint(hook: Found) -> JSONResponse:
    """Answer with one endpoint."""
    return JSONResponse(_show(hook))


@router.delete(_ONE_ENDPOINT, name="delete")
def delete_endpoint(platform: Open, hook: Found) -> JSONResponse:
    """Delete an endpoint."""
    platform.remove_hook(hook)
    return JSONResponse({})


@router.post(_ONE_ENDPOINT + "/rotate-secret", name="rotate")
def rotate_secret(platform: Open, hook: Found) -> JSONResponse:
    """Make a new secret, and show it this once."""
    changed = platform.change_hook(hook, secret=platform.make_secret())
    return JSONResponse({"endpoint": _show(changed), "signingSecretPlaintext": changed.secret})


@router.get("/docs/webhook-security", name="security", dependencies=[Depends(_open)])
def get_security() -> JSONResponse:
    """Answer with how deliveries are signed."""
    return JSONResponse(_SECURITY)


async def _read_body(request: Request) -> JsonObject:
    body = await read_object(request, _describe_error("SYS.1001", "invalid request", "the body is not JSON"))
    wrong = [name for name, kind in _REQUIRED.items() if not isinstance(body.get(name), kind)]
    if not wrong and not str(body["url"]).startswith(("https://", "http://")):
        wrong = ["url"]
    if wrong:
        raise Refusal(400, _describe_error("SYS.1001", "invalid request", f"{', '.join(wrong)} missing or not valid"))
    return body


def _describe_error(code: str, description: str, details: str) -> JsonObject:
    return {"error": {"code": code, "description": description, "details": details}}


def _show(hook: Hook) -> JsonObject:
    return {
        "id": hook.hook_id,
        "name": hook.name,
        "url": hook.url,
        "signingEnabled": hook.is_active,
        "signingSecretMasked": f"****{hook.secret[-4:]}",
        "createdAt": hook.created_at,
        "updatedAt": hook.updated_at,
    }
