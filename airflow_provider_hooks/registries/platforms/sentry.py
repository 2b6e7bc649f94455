# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Sentry's service hooks of a project: how each call is made and how each answer is read. No I/O.

Source: Sentry's API reference, "Register a new service hook" and its siblings; scope ``project:write``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from airflow_provider_hooks.events.types import EVENT_TYPES
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.registries.answers import FORBIDDEN, NOT_FOUND, UNAUTHORIZED
from airflow_provider_hooks.registries.api import PlatformApi, check_url
from airflow_provider_hooks.registries.model import Answer, Call, HookChanges, HookSpec, Page, ServiceHook, Stat
from airflow_provider_hooks.registries.platform_table import Operation
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.json_types import JsonObject, JsonValue

MAX_URL_CHARACTERS = 512
RESOLUTIONS = ("10s", "m", "1h", "1d")

_NEXT_CURSOR = re.compile(r'rel="next"[^,]*?results="true"[^,]*?cursor="([^"]{1,200})"')


class SentryApi(PlatformApi):
    """Sentry's calls and answers."""

    hook_id_pattern: ClassVar[str] = r"[A-Za-z0-9-]{1,64}"
    signs: ClassVar[bool] = True
    fields: ClassVar[frozenset[str]] = frozenset({"url", "events", "is_active"})
    all_events: ClassVar[tuple[str, ...]] = tuple(sorted(EVENT_TYPES))
    known_events: ClassVar[tuple[str, ...]] = all_events
    advice: ClassVar[Mapping[int, str]] = {
        UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
        FORBIDDEN: "the token may not do this: it needs the scope project:write",
        NOT_FOUND: "there is no such organization, project or hook, the token may not see it, "
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
                told = f"must be a list of {' and '.join(EVENT_TYPES)}"
                problems.add("events", f"{told}, not {safe_repr(unknown[0])}" if unknown else f"{told}; it is empty")
        self.note_unknown(problems, spec)
        problems.raise_if_any()

    def create(self, spec: HookSpec) -> Call:
        """Ask for a new hook, by the documented request."""
        self.check(spec)
        body: JsonObject = {"url": spec.url, "events": list(spec.events or ())}
        return Call(operation=Operation.CREATE, method="POST", path=self._path(), body=body)

    def list_hooks(self, cursor: str | None = None) -> Call:
        """Ask for a page of hooks, the newest first."""
        query = {"cursor": cursor} if cursor else {}
        return Call(operation=Operation.LIST, method="GET", path=self._path(), query=query)

    def read_page(self, call: Call, answer: Answer) -> Page:
        """Read a page. Only the cursor of the ``Link`` header is used, never its URL."""
        content = self.read_json(call, answer)
        if not isinstance(content, list):
            self.raise_malformed(call, answer, "no list of hooks")
        found = _NEXT_CURSOR.search(answer.headers.get("link", ""))
        hooks = tuple(self.read_item(call, answer, item) for item in content)
        return Page(hooks=hooks, next_cursor=found[1] if found else None)

    def get(self, hook_id: str) -> Call:
        """Ask for one hook."""
        return Call(operation=Operation.GET, method="GET", path=self._path_of(hook_id))

    def update(self, hook_id: str, changes: HookChanges) -> Call:
        """Ask for a change of URL, events or activity."""
        self.check(changes)
        names = {"url": "url", "events": "events", "is_active": "isActive"}
        given: dict[str, JsonValue] = {
            names[name]: list(value) if isinstance(value, tuple) else value  # type: ignore[misc]
            for name, value in changes.list_given().items()
            if name in names
        }
        return Call(operation=Operation.UPDATE, method="PUT", path=self._path_of(hook_id), body=given)

    def delete(self, hook_id: str) -> Call:
        """Ask for a hook to be deleted."""
        return Call(operation=Operation.DELETE, method="DELETE", path=self._path_of(hook_id))

    def stats(self, hook_id: str, *, since: int | None, until: int | None, resolution: str | None) -> Call:
        """Ask how often a hook was delivered to, between unix seconds, in steps of ``10s``, ``m``, ``1h`` or ``1d``."""
        problems = ValidationErrors("statistics on Sentry")
        if resolution is not None and resolution not in RESOLUTIONS:
            problems.add("resolution", f"must be one of {', '.join(RESOLUTIONS)}, not {safe_repr(resolution)}")
        problems.raise_if_any()
        given = {"since": since, "until": until, "resolution": resolution}
        query = {name: str(value) for name, value in given.items() if value is not None}
        return Call(operation=Operation.STATS, method="GET", path=f"{self._path_of(hook_id)}stats/", query=query)

    def read_stats(self, call: Call, answer: Answer) -> list[Stat]:
        """Read the steps, in the order given."""
        content = self.read_json(call, answer)
        rows = [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []
        if not isinstance(content, list) or len(rows) != len(content) or not all(_is_stat(row) for row in rows):
            self.raise_malformed(call, answer, "no list of times and totals")
        return [Stat(timestamp=row["ts"], total=row["total"]) for row in rows]

    def read_item(self, call: Call, answer: Answer, content: object) -> ServiceHook:
        """Read a hook; Sentry shows its secret on every read."""
        texts = self.read_texts(call, answer, content, ("id", "url", "status", "dateCreated"), optional=("secret",))
        if not re.fullmatch(self.hook_id_pattern, texts["id"], re.ASCII):
            self.raise_malformed(call, answer, "a hook whose id is of another form")
        return ServiceHook(
            hook_id=texts["id"],
            url=texts["url"],
            events=self.read_events(call, answer, content),
            status=texts["status"],
            created_at=texts["dateCreated"],
            secret=texts["secret"] or None,
        )

    def advise(self, answer: Answer) -> str:
        """Say in words that the project lacks the feature, which is Sentry's own kind of 403."""
        if answer.status_code == FORBIDDEN and b"unavailable_feature" in answer.body:
            return "the project lacks the 'servicehooks' feature: have it enabled for the project on Sentry"
        return super().advise(answer)

    def list_messages(self, content: Mapping[str, object]) -> list[str]:
        """Return what is under ``detail``, or under the names of the fields."""
        detail = content.get("detail")
        if detail:
            parts = detail if isinstance(detail, list) else [detail]
            return [part for part in parts if isinstance(part, str)]
        told = {name: content.get(name) for name in ("url", "events", "isActive")}
        listed = {name: found for name, found in told.items() if isinstance(found, list)}
        return [f"{name}: {part}" for name, found in listed.items() for part in found if isinstance(part, str)]

    def _path(self) -> str:
        organization, project = quote(self.registry.organization, safe=""), quote(self.registry.project, safe="")
        return f"/projects/{organization}/{project}/hooks/"

    def _path_of(self, hook_id: str) -> str:
        return f"{self._path()}{self.quote_id(hook_id)}/"


def _is_stat(row: Mapping[str, object]) -> bool:
    return type(row.get("ts")) is int and type(row.get("total")) is int
