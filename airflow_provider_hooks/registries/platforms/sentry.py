# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Sentry: the service hooks of a project. No I/O.

Source: Sentry's API reference, "Register a new service hook" and its siblings; scope ``project:write``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from airflow_provider_hooks.events.types import EVENT_TYPES
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.registries.base import (
    FORBIDDEN,
    NOT_FOUND,
    UNAUTHORIZED,
    MalformedResponseError,
    PlatformApi,
    check_url,
    parse_events,
    parse_texts,
)
from airflow_provider_hooks.registries.model import (
    Coordinate,
    HookChanges,
    HookSpec,
    Operation,
    Page,
    Platform,
    Request,
    Response,
    ServiceHook,
    Stat,
)
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.json_types import JsonObject, JsonValue

MAX_URL_CHARACTERS = 512
RESOLUTIONS = ("10s", "m", "1h", "1d")

_SLUG = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_MAX_LINK_CHARACTERS = 4_096
_MAX_CURSOR_CHARACTERS = 200


class SentryApi(PlatformApi):
    """Requests and responses of Sentry."""

    platform: ClassVar[Platform] = Platform(
        name="sentry",
        title="Sentry",
        base_url="https://sentry.io/api/0",
        coordinates=(
            Coordinate(name="organization", label="Organization", description="the organization's slug", pattern=_SLUG),
            Coordinate(name="project", label="Project", description="the project's slug", pattern=_SLUG),
        ),
        operations=frozenset(
            {
                Operation.CREATE,
                Operation.LIST,
                Operation.GET,
                Operation.UPDATE,
                Operation.DELETE,
                Operation.STATS,
            }
        ),
        alternatives={
            Operation.ROTATE: "register a new hook next to the old one, deliver with its secret, then delete the old",
            Operation.SECURITY: "see the table of signing schemes in docs/reference/signing.md",
        },
        secret_origin="platform",
        secret_visibility="is in every response, so a lost secret is read again",
        source="https://docs.sentry.io/api/projects/register-a-new-service-hook/",
    )
    hook_id_pattern: ClassVar[str] = r"[A-Za-z0-9-]{1,64}"
    fields: ClassVar[frozenset[str]] = frozenset({"url", "events", "is_active"})
    all_events: ClassVar[tuple[str, ...]] = tuple(sorted(EVENT_TYPES))
    known_events: ClassVar[tuple[str, ...]] = all_events
    advice: ClassVar[Mapping[int, str]] = {
        UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
        FORBIDDEN: "the token lacks the permission: it needs the scope project:write",
        NOT_FOUND: "there is no such organization, project or hook, the token has no access to it, "
        "or the base URL lacks /api/0",
    }

    def check(self, spec: HookSpec | HookChanges) -> None:
        """Check URL and events by Sentry's rules: two events, 512 characters."""
        problems = ValidationErrors("service hook on Sentry")
        if spec.url is not None or isinstance(spec, HookSpec):
            check_url(problems, spec.url, max_characters=MAX_URL_CHARACTERS)
        if spec.events is not None or isinstance(spec, HookSpec):
            unknown = [event for event in spec.events or () if event not in EVENT_TYPES]
            if not spec.events or unknown:
                rule = f"must be a list of {' and '.join(EVENT_TYPES)}"
                problems.add("events", f"{rule}, not {safe_repr(unknown[0])}" if unknown else f"{rule}; it is empty")
        self.check_unsupported_fields(problems, spec)
        problems.raise_if_any()

    def create(self, spec: HookSpec) -> Request:
        """Build the documented request for a new hook."""
        self.check(spec)
        body: JsonObject = {"url": spec.url, "events": list(spec.events or ())}
        return Request(operation=Operation.CREATE, method="POST", path=self._path(), body=body)

    def list_hooks(self, cursor: str | None = None) -> Request:
        """Build the request for a page of hooks, the newest first."""
        query = {"cursor": cursor} if cursor else {}
        return Request(operation=Operation.LIST, method="GET", path=self._path(), query=query)

    def get(self, hook_id: str) -> Request:
        """Build the request for one hook."""
        return Request(operation=Operation.GET, method="GET", path=self._path_of(hook_id))

    def update(self, hook_id: str, changes: HookChanges) -> Request:
        """Build the request that changes URL, events or whether the hook is active."""
        self.check(changes)
        names = {"url": "url", "events": "events", "is_active": "isActive"}
        given: dict[str, JsonValue] = {
            names[name]: list(value) if isinstance(value, tuple) else value  # type: ignore[misc]
            for name, value in changes.list_given().items()
            if name in names
        }
        return Request(operation=Operation.UPDATE, method="PUT", path=self._path_of(hook_id), body=given)

    def delete(self, hook_id: str) -> Request:
        """Build the request that deletes a hook."""
        return Request(operation=Operation.DELETE, method="DELETE", path=self._path_of(hook_id))

    def stats(self, hook_id: str, *, since: int | None, until: int | None, resolution: str | None) -> Request:
        """Build the request for the numbers of deliveries between unix seconds, in steps of one of ``RESOLUTIONS``."""
        problems = ValidationErrors("statistics on Sentry")
        if resolution is not None and resolution not in RESOLUTIONS:
            problems.add("resolution", f"must be one of {', '.join(RESOLUTIONS)}, not {safe_repr(resolution)}")
        problems.raise_if_any()
        given = {"since": since, "until": until, "resolution": resolution}
        query = {name: str(value) for name, value in given.items() if value is not None}
        return Request(operation=Operation.STATS, method="GET", path=f"{self._path_of(hook_id)}stats/", query=query)

    def parse_hook(self, content: object) -> ServiceHook:
        """Return a hook; Sentry returns its secret in every response."""
        texts = parse_texts(content, ("id", "url", "status", "dateCreated"), optional=("secret",))
        if not re.fullmatch(self.hook_id_pattern, texts["id"], re.ASCII):
            raise MalformedResponseError("a hook whose id is not valid")
        return ServiceHook(
            hook_id=texts["id"],
            url=texts["url"],
            events=parse_events(content),
            status=texts["status"],
            created_at=texts["dateCreated"],
            secret=texts["secret"] or None,
        )

    def parse_page(self, content: object, headers: Mapping[str, str]) -> Page:
        """Return a page. Of the ``Link`` header only the cursor is used, never its URL."""
        if not isinstance(content, list):
            raise MalformedResponseError("no list of hooks")
        hooks = tuple(self.parse_hook(item) for item in content)
        return Page(hooks=hooks, next_cursor=_find_next_cursor(headers.get("link", "")))

    def parse_stats(self, content: object) -> list[Stat]:
        """Return the steps, in the order of the response."""
        rows = [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []
        if not isinstance(content, list) or len(rows) != len(content) or not all(_is_stat(row) for row in rows):
            raise MalformedResponseError("no list of times and totals")
        return [Stat(timestamp=row["ts"], total=row["total"]) for row in rows]

    def find_advice(self, response: Response) -> str:
        """Return the advice, also for Sentry's own kind of 403: the project lacks the feature."""
        if response.status_code == FORBIDDEN and b"unavailable_feature" in response.body:
            return "the project lacks the 'servicehooks' feature: have it enabled for the project on Sentry"
        return super().find_advice(response)

    def find_messages(self, content: Mapping[str, object]) -> list[str]:
        """Return the messages in ``detail``, or in the lists under the names of fields."""
        detail = content.get("detail")
        if detail:
            parts = detail if isinstance(detail, list) else [detail]
            return [part for part in parts if isinstance(part, str)]
        given = {name: content.get(name) for name in ("url", "events", "isActive")}
        listed = {name: found for name, found in given.items() if isinstance(found, list)}
        return [f"{name}: {part}" for name, found in listed.items() for part in found if isinstance(part, str)]

    def _path(self) -> str:
        organization = quote(self.registry.coordinates["organization"], safe="")
        project = quote(self.registry.coordinates["project"], safe="")
        return f"/projects/{organization}/{project}/hooks/"

    def _path_of(self, hook_id: str) -> str:
        return f"{self._path()}{self.quote_id(hook_id)}/"


def _find_next_cursor(link: str) -> str | None:
    """
    Return the cursor of the next page in a ``Link`` header, or ``None`` if this is the last page.

    :raises MalformedResponseError: if the header is too long
    """
    if len(link) > _MAX_LINK_CHARACTERS:
        raise MalformedResponseError(f"a Link header of more than {_MAX_LINK_CHARACTERS} characters")
    for part in link.split(","):
        pairs = (parameter.partition("=") for parameter in part.split(";")[1:])
        parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        cursor = parameters.get("cursor", "")
        is_next = parameters.get("rel") == "next" and parameters.get("results") == "true"
        if is_next and 0 < len(cursor) <= _MAX_CURSOR_CHARACTERS:
            return cursor
    return None


def _is_stat(row: Mapping[str, object]) -> bool:
    return type(row.get("ts")) is int and type(row.get("total")) is int
