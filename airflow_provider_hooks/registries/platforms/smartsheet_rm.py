# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Smartsheet Resource Management: webhooks. No I/O.

A webhook has one event type, and an event type has at most ten webhooks. Deliveries are not signed, and there is no
update.

Source: Smartsheet Resource Management API, "Create webhook" and its siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_provider_hooks.exceptions import ValidationError, ValidationErrors
from airflow_provider_hooks.registries.base import (
    FORBIDDEN,
    NOT_FOUND,
    UNAUTHORIZED,
    MalformedResponseError,
    PlatformApi,
    check_url,
    parse_texts,
)
from airflow_provider_hooks.registries.model import (
    HookChanges,
    HookSpec,
    Operation,
    Page,
    Platform,
    Request,
    ServiceHook,
)
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_TYPES = (
    "project.created",
    "project.updated",
    "time.entry.created",
    "time.entry.updated",
    "user.created",
    "user.updated",
    "assignment.created",
    "assignment.updated",
)
PER_PAGE = 1_000
_MAX_PAGE = 10**9


class SmartsheetRmApi(PlatformApi):
    """Requests and responses of Smartsheet Resource Management."""

    platform: ClassVar[Platform] = Platform(
        name="smartsheet_rm",
        title="Smartsheet Resource Management",
        base_url="https://api.rm.smartsheet.com/api/v1",
        operations=frozenset({Operation.CREATE, Operation.LIST, Operation.GET, Operation.DELETE}),
        alternatives={
            Operation.STATS: "see the delivery records",
            Operation.UPDATE: "delete the hook and register it again",
            Operation.ROTATE: "deliveries are not signed, so there is no secret",
            Operation.SECURITY: "deliveries are not signed, so there is nothing to verify",
        },
        secret_origin="none",
        secret_visibility="does not exist: deliveries are not signed",
        source="Smartsheet Resource Management API: webhooks",
    )
    hook_id_pattern: ClassVar[str] = r"[0-9]{1,20}"
    known_events: ClassVar[tuple[str, ...]] = EVENT_TYPES
    single_event: ClassVar[bool] = True
    max_hooks_per_event: ClassVar[int | None] = 10
    fields: ClassVar[frozenset[str]] = frozenset({"url", "events"})
    advice: ClassVar[Mapping[int, str]] = {
        UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
        FORBIDDEN: "the token lacks the permission, or the event type has its ten webhooks",
        NOT_FOUND: "there is no such webhook",
    }

    def authorize(self) -> dict[str, str]:
        """Return the header that carries the token, which is specific to this platform."""
        return {"auth": self.registry.token}

    def check(self, spec: HookSpec | HookChanges) -> None:
        """Check that the URL is HTTPS, and that there is at least one event type, all of the eight documented."""
        problems = ValidationErrors("service hook on Smartsheet Resource Management")
        check_url(problems, spec.url, https_only=True)
        events = spec.events or ()
        unknown = [event for event in events if event not in EVENT_TYPES]
        if unknown:
            problems.add("events", f"{safe_repr(unknown[0])} is not an event type; there are {', '.join(EVENT_TYPES)}")
        elif not events:
            problems.add("events", f"must name at least one event type; there are {', '.join(EVENT_TYPES)}")
        self.check_unsupported_fields(problems, spec)
        problems.raise_if_any()

    def create(self, spec: HookSpec) -> Request:
        """Build the documented request for a new webhook."""
        if len(self.expand(spec)) != 1:
            problem = "must be one event type per webhook; EnsureServiceHookOperator manages one webhook for each"
            raise ValidationError("service hook on Smartsheet Resource Management", {"events": problem})
        body = {"url": spec.url, "event_type": (spec.events or ("",))[0]}
        return Request(operation=Operation.CREATE, method="POST", path="/webhooks", body={**body})

    def list_hooks(self, cursor: str | None = None) -> Request:
        """Build the request for a page of webhooks, of the largest size; the cursor is the number of the page."""
        query = {"page": cursor or "1", "per_page": str(PER_PAGE)}
        return Request(operation=Operation.LIST, method="GET", path="/webhooks", query=query)

    def get(self, hook_id: str) -> Request:
        """Build the request for one webhook."""
        return Request(operation=Operation.GET, method="GET", path=f"/webhooks/{self.quote_id(hook_id)}")

    def delete(self, hook_id: str) -> Request:
        """Build the request that deletes a webhook."""
        return Request(operation=Operation.DELETE, method="DELETE", path=f"/webhooks/{self.quote_id(hook_id)}")

    def parse_hook(self, content: object) -> ServiceHook:
        """Return a webhook."""
        optional = ("created_at", "updated_at")
        texts = parse_texts(content, ("url", "status", "event_type"), optional=optional, numbers=("id",))
        return ServiceHook(
            hook_id=texts["id"],
            url=texts["url"],
            events=(texts["event_type"],),
            status=texts["status"],
            created_at=texts["created_at"],
            updated_at=texts["updated_at"],
        )

    def parse_page(self, content: object, headers: Mapping[str, str]) -> Page:  # noqa: ARG002  (the body says it all)
        """Return a page. ``paging.next`` says whether another page follows; its URL is never used."""
        item = content if isinstance(content, dict) else {}
        rows, paging = item.get("data"), item.get("paging")
        number = paging.get("page") if isinstance(paging, dict) else None
        page = number if type(number) is int and 0 < number < _MAX_PAGE else None
        if not isinstance(rows, list) or not isinstance(paging, dict) or page is None:
            raise MalformedResponseError("no page of webhooks")
        hooks = tuple(self.parse_hook(row) for row in rows)
        return Page(hooks=hooks, next_cursor=str(page + 1) if paging.get("next") else None)
