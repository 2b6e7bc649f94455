# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How the sandbox's platforms read a request: its token and its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.sandbox.platform import Hook, Refusal, SandboxPlatform

if TYPE_CHECKING:
    from fastapi import Request

    from airflow_provider_hooks.json_types import JsonObject


def check_bearer(request: Request, platform: SandboxPlatform, refusal: JsonObject) -> None:
    """Refuse a request without the platform's bearer token, in the platform's words."""
    if request.headers.get("authorization") != f"Bearer {platform.token}":
        raise Refusal(401, refusal)


async def read_object(request: Request, refusal: JsonObject) -> JsonObject:
    """Return the JSON object of a body, or refuse what is not JSON, in the platform's words."""
    try:
        content: object = await request.json()
    except (ValueError, RecursionError):
        raise Refusal(400, refusal) from None
    return cast("JsonObject", content) if isinstance(content, dict) else {}


def find_or_refuse(
    platform: SandboxPlatform, hook_id: str, refusal: JsonObject, *, owner: tuple[str, ...] | None = None
) -> Hook:
    """Return a hook, or refuse with 404, in the platform's words."""
    hook = platform.find_hook(hook_id, owner)
    if hook is None:
        raise Refusal(404, refusal)
    return hook


def is_texts(value: object) -> bool:
    """Tell whether a value is a list of text."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
