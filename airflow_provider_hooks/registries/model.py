# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What all platforms share: a call, an answer, a service hook, and the errors that tell of a failed call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.http.urls import strip_sensitive_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.registries.platform_table import Operation, Platform

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_REFUSALS = range(400, 500)
_GONE_STATUSES = frozenset({404, 410})
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request to a platform, without its base URL and token."""

    operation: Operation
    method: Method
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonObject | None = field(default=None, repr=False)
    """May hold a secret, so it is not shown."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a platform answered: never shown as it is, because some answers hold secrets."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)
    received_at: float = 0.0
    """When it came, in unix seconds."""


@dataclass(frozen=True, kw_only=True)
class HookSpec:
    """A service hook as it is asked for."""

    url: str = field(repr=False)
    events: tuple[str, ...] | None = None
    """Which events; ``None``: those that the platform's API takes for all, if it knows any."""
    name: str | None = None
    """Asked for by Akinon and ZStack."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Sent along by Akinon; may hold a secret."""
    is_active: bool | None = None
    """Known to Sentry and Akinon; ``None`` leaves it to the platform."""
    secret: str | None = field(default=None, repr=False)
    """Taken by ZStack; it makes its own where none is given."""


@dataclass(frozen=True, kw_only=True)
class HookChanges:
    """What shall change of a service hook; ``None`` leaves a field as it is."""

    url: str | None = field(default=None, repr=False)
    events: tuple[str, ...] | None = None
    name: str | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    is_active: bool | None = None

    def list_given(self) -> dict[str, object]:
        """Return the fields that shall change."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def __bool__(self) -> bool:
        """Tell whether anything shall change."""
        return bool(self.list_given())


@dataclass(frozen=True, kw_only=True)
class ServiceHook:
    """A subscription on a platform: these events go to this URL, signed with this secret."""

    hook_id: str
    url: str = field(repr=False)
    events: tuple[str, ...] = ()
    status: str = "active"
    name: str = ""
    created_at: str = ""
    updated_at: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)

    def as_json(self) -> JsonObject:
        """Return what may be shown, for XComs and logs: no secret, no header, and the URL without its query."""
        return {
            "hook_id": self.hook_id,
            "url": strip_sensitive_parts(self.url),
            "events": list(self.events),
            "status": self.status,
            "name": self.name,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of hooks, and where the next begins."""

    hooks: tuple[ServiceHook, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Stat:
    """How often a hook was delivered to in one step of time."""

    timestamp: int
    """Unix seconds: when the step begins."""
    total: int


@dataclass(frozen=True, kw_only=True)
class Security:
    """How a platform signs its deliveries, as it says itself."""

    algorithm: str
    signature_format: str
    timestamp_header: str
    signature_header: str
    payload_format: str
    replay_window: int
    """Seconds."""


class HookConflictError(ServiceHookError):
    """A hook is registered already, but not as it was asked for, or it cannot be told which one is meant."""


class HookUncertainError(ServiceHookError):
    """A hook was asked for, no answer told whether it is there, and the platform cannot be asked."""


class UnsupportedOperationError(ServiceHookError):
    """A platform does not document an operation."""

    def __init__(self, platform: Platform, operation: Operation) -> None:
        self.platform = platform
        self.operation = operation
        instead = platform.instead.get(operation, "do it in the platform's own interface")
        super().__init__(f"{platform.title} documents no call to {operation.value}: {instead}")


class RegistryError(ServiceHookError):
    """
    A call to a platform's management API failed.

    :param platform: the platform's title
    :param operation: what was asked, in words
    :param told: what the platform answered or what happened on the way, safe to show
    :param status_code: the answer's status, or ``None`` where none arrived
    :param sent: whether the call may have reached the platform
    :param retryable: whether the same call may succeed later without anybody changing anything; by the status if
        ``None``
    :param explained: whether the platform's own words came with the refusal
    :param retry_at: when the platform takes calls again, in unix seconds, where it said that there were too many
    """

    def __init__(
        self,
        platform: str,
        operation: str,
        told: str,
        *,
        status_code: int | None = None,
        sent: bool = True,
        retryable: bool | None = None,
        retry_at: float | None = None,
        explained: bool = False,
    ) -> None:
        self.platform = platform
        self.operation = operation
        self.told = told
        self.status_code = status_code
        self.sent = sent
        self.retry_at = retry_at
        self.explained = explained
        by_status = status_code is None or status_code in _PASSING_STATUSES
        self.retryable = by_status if retryable is None else retryable
        answered = f"HTTP {status_code}: " if status_code is not None else ""
        super().__init__(f"{platform}, {operation}: {answered}{told}")

    @property
    def not_found(self) -> bool:
        """Whether the platform said, in words of its own, that there is no such hook."""
        return self.explained and self.status_code in _GONE_STATUSES

    @property
    def outcome_unknown(self) -> bool:
        """Whether the call may have had its effect: it was sent, and the platform did not say that it refused."""
        return self.sent and (self.status_code is None or self.status_code not in _REFUSALS)

    def retold(self, change: Callable[[str], str]) -> RegistryError:
        """Return the same error with its words changed."""
        return RegistryError(
            self.platform,
            self.operation,
            change(self.told),
            status_code=self.status_code,
            sent=self.sent,
            retryable=self.retryable,
            retry_at=self.retry_at,
            explained=self.explained,
        )
