# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Sentry's service hooks of a project: how each call is made and how each answer is read. No I/O.

Source: Sentry's API reference, "Register a new service hook" and its siblings; scope ``project:write``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from airflow_provider_hooks.errors import Problems
from airflow_provider_hooks.event_types import EVENT_TYPES
from airflow_provider_hooks.network.urls import parse_url
from airflow_provider_hooks.registries.model import Answer, Call, RegistryError, ServiceHook
from airflow_provider_hooks.text import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_hooks.json_types import JsonObject, JsonValue

TITLE = "Sentry"
MAX_URL_CHARACTERS = 512

_NEXT_CURSOR = re.compile(r'rel="next"[^,]*?results="true"[^,]*?cursor="([^"]{1,200})"')
_HOOK_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_OK, _CREATED, _NO_CONTENT, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 201, 204, 401, 403, 404


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of hooks, and where the next begins."""

    hooks: tuple[ServiceHook, ...]
    next_cursor: str | None


def check_hook(fields: Mapping[str, object]) -> None:
    """
    Check the fields of a hook that are there by Sentry's own rules.

    :raises InvalidFieldsError: naming each field that Sentry would refuse
    """
    problems = Problems("service hook on Sentry")
    if "url" in fields:
        url = fields["url"]
        try:
            parse_url(cast("str", url))
        except ValueError as error:
            problems.add("url", str(error))
        if isinstance(url, str) and len(url) > MAX_URL_CHARACTERS:
            problems.add("url", f"must have at most {MAX_URL_CHARACTERS} characters, not {len(url)}")
    if "events" in fields:
        events = fields["events"]
        unknown = [e for e in events if e not in EVENT_TYPES] if isinstance(events, list | tuple) else [events]
        if not events or unknown:
            told = f"must be a list of {' and '.join(EVENT_TYPES)}"
            problems.add("events", f"{told}, not {quoted(unknown[0])}" if unknown else f"{told}; it is empty")
    problems.raise_if_any()


def list_hooks(organization: str, project: str, *, cursor: str | None = None) -> Call:
    """Ask for a page of hooks, the newest first."""
    query = {"cursor": cursor} if cursor else {}
    return Call(operation="list service hooks", method="GET", path=_path(organization, project), query=query)


def create_hook(organization: str, project: str, *, url: str, events: Sequence[str]) -> Call:
    """
    Ask for a new hook, as documented.

    :raises InvalidFieldsError: naming each field that Sentry would refuse
    """
    check_hook({"url": url, "events": events})
    body: JsonObject = {"url": url, "events": list(events)}
    return Call(operation="register a service hook", method="POST", path=_path(organization, project), body=body)


def get_hook(organization: str, project: str, hook_id: str) -> Call:
    """Ask for one hook."""
    return Call(operation="get a service hook", method="GET", path=_path(organization, project, hook_id))


def update_hook(
    organization: str,
    project: str,
    hook_id: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    is_active: bool | None = None,
) -> Call:
    """
    Ask for a change of a hook; ``None`` leaves a field as it is.

    :raises InvalidFieldsError: naming each field that Sentry would refuse
    """
    wanted: dict[str, JsonValue] = {
        "url": url,
        "events": events if events is None else list(events),
        "isActive": is_active,
    }
    body: JsonObject = {name: value for name, value in wanted.items() if value is not None}
    check_hook(body)
    return Call(operation="update a service hook", method="PUT", path=_path(organization, project, hook_id), body=body)


def delete_hook(organization: str, project: str, hook_id: str) -> Call:
    """Ask for a hook to be deleted."""
    return Call(operation="delete a service hook", method="DELETE", path=_path(organization, project, hook_id))


def read_hook(call: Call, answer: Answer) -> ServiceHook:
    """
    Read the one hook of an answer.

    :raises RegistryError: if Sentry refused, or answered something else
    """
    return _read_hook_object(call, answer, _read_json(call, answer, expected=(_OK, _CREATED)))


def read_page(call: Call, answer: Answer) -> Page:
    """
    Read a page of hooks. Only the cursor of the ``Link`` header is used, never its URL.

    :raises RegistryError: if Sentry refused, or answered something else
    """
    content = _read_json(call, answer, expected=(_OK,))
    if not isinstance(content, list):
        raise RegistryError(TITLE, call.operation, "answered no list of hooks", status_code=answer.status_code)
    found = _NEXT_CURSOR.search(answer.headers.get("link", ""))
    hooks = tuple(_read_hook_object(call, answer, item) for item in content)
    return Page(hooks=hooks, next_cursor=found[1] if found else None)


def read_deletion(call: Call, answer: Answer) -> bool:
    """
    Return whether the hook was there to be deleted.

    :raises RegistryError: if Sentry refused
    """
    if answer.status_code == _NOT_FOUND:
        return False
    if answer.status_code != _NO_CONTENT:
        _raise_refused(call, answer)
    return True


def _path(organization: str, project: str, hook_id: str | None = None) -> str:
    hooks = f"/projects/{quote(organization, safe='')}/{quote(project, safe='')}/hooks/"
    if hook_id is None:
        return hooks
    if not _HOOK_ID.fullmatch(hook_id):
        problems = Problems("service hook on Sentry")
        problems.add("hook_id", f"must be the id that Sentry gave, not {quoted(hook_id)}")
        problems.raise_if_any()
    return f"{hooks}{hook_id}/"


def _read_json(call: Call, answer: Answer, *, expected: Sequence[int]) -> object:
    if answer.status_code not in expected:
        _raise_refused(call, answer)
    try:
        content: object = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise RegistryError(
            TITLE, call.operation, "answered something that is not JSON", status_code=answer.status_code
        ) from None
    return content


def _read_hook_object(call: Call, answer: Answer, content: object) -> ServiceHook:
    item = content if isinstance(content, dict) else {}
    texts = {name: item.get(name) for name in ("id", "url", "status", "dateCreated")}
    events, secret = item.get("events"), item.get("secret")
    wrong = [name for name, value in texts.items() if not isinstance(value, str) or not value.isprintable()]
    if "id" not in wrong and not _HOOK_ID.fullmatch(str(texts["id"])):
        wrong.append("id")
    if not isinstance(events, list) or not all(isinstance(event, str) and event.isprintable() for event in events):
        wrong.append("events")
    if not (secret is None or isinstance(secret, str)):
        wrong.append("secret")
    if wrong:
        told = f"answered a hook whose {', '.join(wrong)} is missing or of another form"
        raise RegistryError(TITLE, call.operation, told, status_code=answer.status_code)
    return ServiceHook(
        hook_id=str(texts["id"]),
        url=str(texts["url"]),
        events=tuple(events or ()),
        status=str(texts["status"]),
        created_at=str(texts["dateCreated"]),
        secret=secret or None,
    )


_ADVICE: Mapping[int, str] = {
    _UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
    _FORBIDDEN: "the token may not do this: it needs the scope project:write",
    _NOT_FOUND: "there is no such organization, project or hook, or the token may not see it",
}


def _raise_refused(call: Call, answer: Answer) -> None:
    told = [_read_server_message(answer.body)]
    if answer.status_code == _FORBIDDEN and b"unavailable_feature" in answer.body:
        told.append("the project lacks the 'servicehooks' feature: have it enabled for the project on Sentry")
    elif answer.status_code in _ADVICE:
        told.append(_ADVICE[answer.status_code])
    words = "; ".join(part for part in told if part) or "no message"
    raise RegistryError(TITLE, call.operation, words, status_code=answer.status_code)


def _read_server_message(body: bytes) -> str:
    """Return what Sentry said, from its documented forms of an error; nothing else of a body is ever shown."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(content, dict):
        return ""
    detail = content.get("detail")
    parts = detail if isinstance(detail, list) else [detail] if detail else []
    if not parts:
        told = {name: content.get(name) for name in ("url", "events", "isActive")}
        parts = [
            f"{n}: {message}" for n, messages in told.items() if isinstance(messages, list) for message in messages
        ]
    return printable("; ".join(part for part in parts if isinstance(part, str)))
