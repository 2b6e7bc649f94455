# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Akinon AppMaker's webhooks of a project: how each call is made and how each answer is read. No I/O.

Its events are dotted names, of which the documents show one, so they pass unchecked. Nothing is signed: a receiver
knows a delivery by a secret header, set through ``headers``.

Source: Akinon AppMaker API, "Get/Create/Update/Delete organizations project webhooks".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.registries.answers import FORBIDDEN, NOT_FOUND, UNAUTHORIZED
from airflow_provider_hooks.registries.api import PlatformApi, check_name, check_url
from airflow_provider_hooks.registries.model import Answer, Call, HookChanges, HookSpec, Page, ServiceHook
from airflow_provider_hooks.registries.platform_table import Operation
from airflow_provider_hooks.sanitize import HEADER_NAME, safe_repr

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue


class AkinonApi(PlatformApi):
    """Akinon's calls and answers."""

    hook_id_pattern: ClassVar[str] = r"[0-9a-fA-F]{24}"
    fields: ClassVar[frozenset[str]] = frozenset({"url", "events", "name", "headers", "is_active"})
    advice: ClassVar[Mapping[int, str]] = {
        UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
        FORBIDDEN: "the token may not do this in this organization or project",
        NOT_FOUND: "there is no such organization, project or webhook",
    }

    def check(self, spec: HookSpec | HookChanges) -> None:
        """Check that a new webhook has a name, a URL and events, and that headers can be sent."""
        problems = ValidationErrors("service hook on Akinon AppMaker")
        new = isinstance(spec, HookSpec)
        if spec.url is not None or new:
            check_url(problems, spec.url)
        if spec.name is not None or new:
            check_name(problems, spec.name, platform="Akinon")
        events = spec.events or ()
        if (spec.events is not None or new) and not (
            events and all(isinstance(event, str) and event and event.isprintable() for event in events)
        ):
            problems.add("events", "must be a list of at least one event, such as deployment.build.created")
        if not isinstance(spec.headers, Mapping | None):
            problems.add("headers", f"must be a mapping of names to values, not {safe_repr(spec.headers)}")
        for name, value in spec.headers.items() if isinstance(spec.headers, Mapping) else ():
            if not (isinstance(name, str) and HEADER_NAME.fullmatch(name)):
                problems.add("headers", "has a name that cannot be a header's")
            elif not (isinstance(value, str) and value.strip() and value.isascii() and value.isprintable()):
                problems.add("headers", f"has a value for {name} that is empty or cannot be a header's")
        problems.raise_if_any()

    def is_same(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Tell whether a webhook is the one that is meant: by its name, which the platform keeps."""
        return hook.name == spec.name

    def create(self, spec: HookSpec) -> Call:
        """Ask for a new webhook, by the documented request."""
        self.check(spec)
        body: JsonObject = {"name": spec.name, "url": spec.url, "events": list(spec.events or ())}
        body |= self._write_optional({"headers": spec.headers, "active": spec.is_active})
        return Call(operation=Operation.CREATE, method="POST", path=self._path(), body=body)

    def read_created(self, call: Call, answer: Answer) -> ServiceHook | None:
        """Read the new webhook where Akinon sends it; its documents say that it sends the *project* instead."""
        content = self.read_json(call, answer)
        if isinstance(content, dict) and "url" in content and "events" in content:
            return self.read_item(call, answer, content)
        self.read_texts(call, answer, content, ("_id",))
        return None

    def list_hooks(self, cursor: str | None = None) -> Call:  # noqa: ARG002  (there is one page)
        """Ask for all webhooks."""
        return Call(operation=Operation.LIST, method="GET", path=self._path())

    def read_page(self, call: Call, answer: Answer) -> Page:
        """Read all webhooks."""
        content = self.read_json(call, answer)
        if not isinstance(content, list):
            self.raise_malformed(call, answer, "no list of webhooks")
        return Page(hooks=tuple(self.read_item(call, answer, item) for item in content), next_cursor=None)

    def get(self, hook_id: str) -> Call:
        """Ask for one webhook."""
        return Call(operation=Operation.GET, method="GET", path=self._path_of(hook_id))

    def update(self, hook_id: str, changes: HookChanges) -> Call:
        """Ask for a change of any field."""
        self.check(changes)
        given = {("active" if name == "is_active" else name): value for name, value in changes.list_given().items()}
        body = self._write_optional(given)
        return Call(operation=Operation.UPDATE, method="PATCH", path=self._path_of(hook_id), body=body)

    def delete(self, hook_id: str) -> Call:
        """Ask for a webhook to be deleted."""
        return Call(operation=Operation.DELETE, method="DELETE", path=self._path_of(hook_id))

    def read_item(self, call: Call, answer: Answer, content: object) -> ServiceHook:
        """Read a webhook."""
        optional = ("createdAt", "updatedAt")
        texts = self.read_texts(call, answer, content, ("_id", "url"), free=("name",), optional=optional)
        item = content if isinstance(content, dict) else {}
        headers = item.get("headers") or {}
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            self.raise_malformed(call, answer, "a webhook whose headers are of another form")
        return ServiceHook(
            hook_id=texts["_id"],
            url=texts["url"],
            events=self.read_events(call, answer, content),
            status="active" if item.get("active", True) else "disabled",
            name=texts["name"],
            created_at=texts["createdAt"],
            updated_at=texts["updatedAt"],
            headers=headers,
        )

    def _write_optional(self, given: Mapping[str, object]) -> JsonObject:
        def plain(value: object) -> JsonValue:
            if isinstance(value, tuple):
                return list(value)
            return dict(value) if isinstance(value, Mapping) else value  # type: ignore[return-value]

        return {name: plain(value) for name, value in given.items() if value is not None}

    def _path(self) -> str:
        registry = self.registry
        return f"/organizations/{registry.organization}/projects/{registry.project}/settings/webhooks"

    def _path_of(self, hook_id: str) -> str:
        return f"{self._path()}/{self.quote_id(hook_id)}"
