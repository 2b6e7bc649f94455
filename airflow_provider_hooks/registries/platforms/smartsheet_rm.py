# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Smartsheet Resource Management's webhooks: how each call is made and how each answer is read. No I/O.

One webhook has one event type, and an event type has at most ten webhooks. Nothing is signed, and there is no update.

Source: Smartsheet Resource Management API, "Create webhook" and its siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_provider_hooks.exceptions import ValidationError, ValidationErrors
from airflow_provider_hooks.registries.answers import FORBIDDEN, NOT_FOUND, UNAUTHORIZED
from airflow_provider_hooks.registries.api import PlatformApi, check_url
from airflow_provider_hooks.registries.model import Answer, Call, HookChanges, HookSpec, Page, ServiceHook
from airflow_provider_hooks.registries.platform_table import Operation
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


class SmartsheetRmApi(PlatformApi):
    """Smartsheet Resource Management's calls and answers."""

    hook_id_pattern: ClassVar[str] = r"[0-9]{1,20}"
    known_events: ClassVar[tuple[str, ...]] = EVENT_TYPES
    one_event_a_hook: ClassVar[bool] = True
    max_hooks_an_event: ClassVar[int | None] = 10
    fields: ClassVar[frozenset[str]] = frozenset({"url", "events"})
    advice: ClassVar[Mapping[int, str]] = {
        UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
        FORBIDDEN: "the token may not do this, or the event type has its ten webhooks",
        NOT_FOUND: "there is no such webhook",
    }

    def authorize(self) -> dict[str, str]:
        """Return the header that carries the token, which is this platform's own."""
        return {"auth": self.registry.token}

    def check(self, spec: HookSpec | HookChanges) -> None:
        """Check that the URL is HTTPS, and that there are only the eight event types, and at least one."""
        problems = ValidationErrors("service hook on Smartsheet Resource Management")
        check_url(problems, spec.url, https_only=True)
        events = spec.events or ()
        unknown = [event for event in events if event not in EVENT_TYPES]
        if unknown:
            problems.add("events", f"{safe_repr(unknown[0])} is not an event type; there are {', '.join(EVENT_TYPES)}")
        elif not events:
            problems.add("events", f"must name at least one event type; there are {', '.join(EVENT_TYPES)}")
        self.note_unknown(problems, spec)
        problems.raise_if_any()

    def create(self, spec: HookSpec) -> Call:
        """Ask for a new webhook, by the documented request."""
        if len(self.split(spec)) != 1:
            told = "must be one event type a webhook; EnsureServiceHookOperator keeps a webhook for each of several"
            raise ValidationError("service hook on Smartsheet Resource Management", {"events": told})
        body = {"url": spec.url, "event_type": (spec.events or ("",))[0]}
        return Call(operation=Operation.CREATE, method="POST", path="/webhooks", body={**body})

    def list_hooks(self, cursor: str | None = None) -> Call:
        """Ask for a page of webhooks, of the largest size; the cursor is the page's number."""
        query = {"page": cursor or "1", "per_page": str(PER_PAGE)}
        return Call(operation=Operation.LIST, method="GET", path="/webhooks", query=query)

    def read_page(self, call: Call, answer: Answer) -> Page:
        """Read a page. Whether there is a next one is told by ``paging.next``, whose address is never used."""
        content = self.read_json(call, answer)
        item = content if isinstance(content, dict) else {}
        rows, paging = item.get("data"), item.get("paging")
        page = paging.get("page") if isinstance(paging, dict) else None
        if not isinstance(rows, list) or not isinstance(paging, dict) or type(page) is not int or not 0 < page < 10**9:
            self.raise_malformed(call, answer, "no page of webhooks")
        hooks = tuple(self.read_item(call, answer, row) for row in rows)
        return Page(hooks=hooks, next_cursor=str(page + 1) if paging.get("next") else None)

    def get(self, hook_id: str) -> Call:
        """Ask for one webhook."""
        return Call(operation=Operation.GET, method="GET", path=f"/webhooks/{self.quote_id(hook_id)}")

    def delete(self, hook_id: str) -> Call:
        """Ask for a webhook to be deleted."""
        return Call(operation=Operation.DELETE, method="DELETE", path=f"/webhooks/{self.quote_id(hook_id)}")

    def read_item(self, call: Call, answer: Answer, content: object) -> ServiceHook:
        """Read a webhook."""
        texts = self.read_texts(
            call,
            answer,
            content,
            ("url", "status", "event_type"),
            optional=("created_at", "updated_at"),
            numbers=("id",),
        )
        return ServiceHook(
            hook_id=texts["id"],
            url=texts["url"],
            events=(texts["event_type"],),
            status=texts["status"],
            created_at=texts["created_at"],
            updated_at=texts["updated_at"],
        )
