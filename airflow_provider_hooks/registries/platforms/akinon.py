# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Akinon AppMaker: the webhooks of a project. No I/O.

Its events are dotted names, of which the documentation shows one, so any name is accepted. Deliveries are not signed: a
receiver recognizes them by a secret header, which ``headers`` sets.

Source: Akinon AppMaker API, "Get/Create/Update/Delete organizations project webhooks".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.registries.base import (
    FORBIDDEN,
    NOT_FOUND,
    UNAUTHORIZED,
    MalformedResponseError,
    PlatformApi,
    check_name,
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
    ServiceHook,
)
from airflow_provider_hooks.sanitize import HEADER_NAME, safe_repr

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

_ID = r"[0-9a-fA-F]{24}"


class AkinonApi(PlatformApi):
    """Requests and responses of Akinon AppMaker."""

    platform: ClassVar[Platform] = Platform(
        name="akinon",
        title="Akinon AppMaker",
        base_url="https://abp-api.akinon.net/api/v1",
        coordinates=(
            Coordinate(name="organization", label="Organization", description="the organization's id", pattern=_ID),
            Coordinate(name="project", label="Project", description="the project's id", pattern=_ID),
        ),
        operations=frozenset(
            {Operation.CREATE, Operation.LIST, Operation.GET, Operation.UPDATE, Operation.DELETE},
        ),
        alternatives={
            Operation.STATS: "see the delivery records",
            Operation.ROTATE: "deliveries are not signed: change the secret header by updating headers",
            Operation.SECURITY: "deliveries are not signed: receivers recognize them by a secret header",
        },
        secret_origin="none",
        secret_visibility="does not exist: deliveries are not signed",
        source="Akinon AppMaker API: organizations, projects, settings, webhooks",
    )
    hook_id_pattern: ClassVar[str] = _ID
    example_events: ClassVar[tuple[str, ...]] = ("deployment.build.created",)
    fields: ClassVar[frozenset[str]] = frozenset({"url", "events", "name", "headers", "is_active"})
    advice: ClassVar[Mapping[int, str]] = {
        UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
        FORBIDDEN: "the token lacks the permission in this organization or project",
        NOT_FOUND: "there is no such organization, project or webhook",
    }

    def check(self, spec: HookSpec | HookChanges) -> None:
        """Check that a new webhook has a name, a URL and events, and that headers are valid."""
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
                problems.add("headers", "has a name that is not a valid header name")
            elif not (isinstance(value, str) and value.strip() and value.isascii() and value.isprintable()):
                problems.add("headers", f"has a value for {name} that is empty or not a valid header value")
        problems.raise_if_any()

    def matches(self, spec: HookSpec, hook: ServiceHook) -> bool:
        """Return whether a webhook has the requested name, which the platform stores."""
        return hook.name == spec.name

    def create(self, spec: HookSpec) -> Request:
        """Build the documented request for a new webhook."""
        self.check(spec)
        body: JsonObject = {"name": spec.name, "url": spec.url, "events": list(spec.events or ())}
        body |= _to_json({"headers": spec.headers, "active": spec.is_active})
        return Request(operation=Operation.CREATE, method="POST", path=self._path(), body=body)

    def list_hooks(self, cursor: str | None = None) -> Request:  # noqa: ARG002  (there is one page)
        """Build the request for all webhooks."""
        return Request(operation=Operation.LIST, method="GET", path=self._path())

    def get(self, hook_id: str) -> Request:
        """Build the request for one webhook."""
        return Request(operation=Operation.GET, method="GET", path=self._path_of(hook_id))

    def update(self, hook_id: str, changes: HookChanges) -> Request:
        """Build the request that changes any field."""
        self.check(changes)
        given = {("active" if name == "is_active" else name): value for name, value in changes.list_given().items()}
        return Request(operation=Operation.UPDATE, method="PATCH", path=self._path_of(hook_id), body=_to_json(given))

    def delete(self, hook_id: str) -> Request:
        """Build the request that deletes a webhook."""
        return Request(operation=Operation.DELETE, method="DELETE", path=self._path_of(hook_id))

    def parse_hook(self, content: object) -> ServiceHook:
        """Return a webhook."""
        optional = ("createdAt", "updatedAt")
        texts = parse_texts(content, ("_id", "url"), free=("name",), optional=optional)
        item = content if isinstance(content, dict) else {}
        headers = item.get("headers") or {}
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise MalformedResponseError("a webhook whose headers are not valid")
        return ServiceHook(
            hook_id=texts["_id"],
            url=texts["url"],
            events=parse_events(content),
            status="active" if item.get("active", True) else "disabled",
            name=texts["name"],
            created_at=texts["createdAt"],
            updated_at=texts["updatedAt"],
            headers=headers,
        )

    def parse_created(self, content: object) -> ServiceHook | None:
        """Return the webhook if Akinon sends it; by its documentation it sends the *project* instead."""
        if isinstance(content, dict) and "url" in content and "events" in content:
            return self.parse_hook(content)
        parse_texts(content, ("_id",))
        return None

    def parse_page(self, content: object, headers: Mapping[str, str]) -> Page:  # noqa: ARG002  (there is one page)
        """Return all webhooks."""
        if not isinstance(content, list):
            raise MalformedResponseError("no list of webhooks")
        return Page(hooks=tuple(self.parse_hook(item) for item in content), next_cursor=None)

    def _path(self) -> str:
        coordinates = self.registry.coordinates
        return f"/organizations/{coordinates['organization']}/projects/{coordinates['project']}/settings/webhooks"

    def _path_of(self, hook_id: str) -> str:
        return f"{self._path()}/{self.quote_id(hook_id)}"


def _to_json(given: Mapping[str, object]) -> JsonObject:
    """Return the fields that are set, as JSON values."""

    def plain(value: object) -> JsonValue:
        if isinstance(value, tuple):
            return list(value)
        return dict(value) if isinstance(value, Mapping) else value  # type: ignore[return-value]

    return {name: plain(value) for name, value in given.items() if value is not None}
