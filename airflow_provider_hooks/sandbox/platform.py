# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The state of one platform of the sandbox: its hooks, its token, the calls it received, and its planned faults."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING

import pendulum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_hooks.json_types import JsonObject


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A hook as a platform of the sandbox stores it."""

    hook_id: str
    owner: tuple[str, ...] = ()
    """Organization and project, on platforms that have them."""
    url: str
    events: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    created_at: str
    updated_at: str
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_active: bool = True


class FaultKind(str, Enum):
    """The kinds of faulty responses; ``FAULTS`` describes each."""

    LOST = "lost"
    NOT_EXECUTED = "not_executed"
    TRUNCATED = "truncated"
    SLOW = "slow"
    HTML = "html"
    ERROR = "error"
    LIMITED = "limited"
    MISSING_FIELD = "missing_field"
    EXTRA_FIELD = "extra_field"
    NOTHING = "nothing"


FAULTS: Mapping[FaultKind, str] = MappingProxyType(
    {
        FaultKind.LOST: "executes the call, and closes the connection without a response",
        FaultKind.NOT_EXECUTED: "closes the connection before the call is executed",
        FaultKind.TRUNCATED: "executes the call, and closes the connection in the middle of the response body",
        FaultKind.SLOW: "executes the call, and responds after `seconds`",
        FaultKind.HTML: "responds 200 with an HTML page instead of JSON",
        FaultKind.ERROR: "responds 500",
        FaultKind.LIMITED: "responds 429, with a reset time after `seconds`",
        FaultKind.MISSING_FIELD: "executes the call, and omits the first field of each object in the response",
        FaultKind.EXTRA_FIELD: "executes the call, and adds an undocumented field to each object in the response",
        FaultKind.NOTHING: "responds correctly; to use `then` without a fault",
    }
)
"""What each kind of fault does, for the docs."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One planned faulty response of a platform."""

    on: str
    """The operation: ``create``, ``list``, ``get``, ``update``, ``delete``, ``stats``, ``rotate`` or ``security``."""
    kind: FaultKind
    seconds: float = 0.0
    then: Callable[[tuple[str, int]], None] | None = None
    """Called with the host and port of the client, after the call was executed and before the response is sent."""


class ApiError(Exception):
    """An error response in the form that the platform documents."""

    def __init__(self, status_code: int, content: JsonObject) -> None:
        self.status_code = status_code
        self.content = content
        super().__init__(f"{status_code}")


class SandboxPlatform:
    """
    One platform of the sandbox; safe to use from several threads.

    :param name: the platform's name in a connection
    :param token: the token that its API requires
    :param make_id: returns the id of a new hook, from its number on this platform, counted from 0
    :param make_secret: returns the secret of a new hook; empty on platforms that sign nothing
    """

    def __init__(self, name: str, *, token: str, make_id: Callable[[int], str], make_secret: Callable[[], str]) -> None:
        self.name = name
        self.token = token
        self.features = {"servicehooks"}
        """The features of a project on Sentry; without ``servicehooks`` it cannot register hooks."""
        self.make_secret = make_secret
        self._make_id = make_id
        self._numbers = count()
        self._hooks: list[Hook] = []
        self._calls: list[str] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def list_hooks(self, owner: tuple[str, ...] | None = None) -> list[Hook]:
        """Return the hooks of one owner, or of all, newest first."""
        with self._lock:
            return [hook for hook in reversed(self._hooks) if owner is None or hook.owner == owner]

    def find_hook(self, hook_id: str, owner: tuple[str, ...] | None = None) -> Hook | None:
        """Return one hook, or ``None``."""
        return next((hook for hook in self.list_hooks(owner) if hook.hook_id == hook_id), None)

    def add_hook(
        self,
        owner: tuple[str, ...] = (),
        *,
        url: str,
        events: Sequence[str] = (),
        secret: str | None = None,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        is_active: bool = True,
    ) -> Hook:
        """Register a hook with a new id, and with a new secret unless one is given."""
        now = format_now()
        hook = Hook(
            hook_id=self._make_id(next(self._numbers)),
            owner=owner,
            url=url,
            events=tuple(events),
            secret=secret or self.make_secret(),
            created_at=now,
            updated_at=now,
            name=name,
            headers=dict(headers or {}),
            is_active=is_active,
        )
        with self._lock:
            self._hooks.append(hook)
        return hook

    def change_hook(self, hook: Hook, **changes: object) -> Hook:
        """Replace a hook by a changed copy."""
        changed = replace(hook, updated_at=format_now(), **changes)  # type: ignore[arg-type]  # callers name its fields
        with self._lock:
            self._hooks = [changed if one.hook_id == hook.hook_id else one for one in self._hooks]
        return changed

    def remove_hook(self, hook: Hook) -> None:
        """Delete a hook."""
        with self._lock:
            self._hooks = [one for one in self._hooks if one.hook_id != hook.hook_id]

    def record_call(self, operation: str) -> None:
        """Record that an operation was called, with any result."""
        with self._lock:
            self._calls.append(operation)

    def count_calls(self) -> dict[str, int]:
        """Return how often each operation was called."""
        with self._lock:
            return dict(Counter(self._calls))

    def forget_calls(self) -> dict[str, int]:
        """Return how often each operation was called, and reset the counts."""
        with self._lock:
            calls, self._calls = self._calls, []
        return dict(Counter(calls))

    def misbehave(
        self,
        on: str,
        kind: FaultKind | str = FaultKind.NOTHING,
        *,
        times: int = 1,
        seconds: float = 0.0,
        then: Callable[[tuple[str, int]], None] | None = None,
    ) -> None:
        """Plan faulty responses for the next calls of an operation."""
        fault = Fault(on=on, kind=FaultKind(kind), seconds=seconds, then=then)
        with self._lock:
            self._faults += [fault] * times

    def pop_fault(self, operation: str) -> Fault | None:
        """Remove and return the next planned fault of an operation, if there is one."""
        with self._lock:
            for fault in self._faults:
                if fault.on == operation:
                    self._faults.remove(fault)
                    return fault
        return None


def format_now() -> str:
    """Return the current time in the format of the platforms."""
    return pendulum.now("UTC").format("YYYY-MM-DDTHH:mm:ss.SSSSSS[Z]")
