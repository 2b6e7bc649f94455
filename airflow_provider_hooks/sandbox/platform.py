# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One platform of the sandbox: its hooks, its token, the calls it got, and how it shall misbehave."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

import pendulum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_hooks.json_types import JsonObject


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A hook as a platform of the sandbox keeps it."""

    hook_id: str
    owner: tuple[str, ...] = ()
    """Organization and project, where the platform has them."""
    url: str
    events: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    created_at: str
    updated_at: str
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_active: bool = True


class FaultKind(str, Enum):
    """How an answer can be bad; ``FAULTS`` says what each does."""

    LOST = "lost"
    UNHEARD = "unheard"
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
        FaultKind.LOST: "acts, and ends the connection without an answer",
        FaultKind.UNHEARD: "ends the connection before anything is done",
        FaultKind.TRUNCATED: "acts, and ends the connection in the middle of the body",
        FaultKind.SLOW: "acts, and answers after some seconds",
        FaultKind.HTML: "answers 200 with a page instead of JSON",
        FaultKind.ERROR: "answers 500",
        FaultKind.LIMITED: "answers 429, to be lifted after some seconds",
        FaultKind.MISSING_FIELD: "acts, and leaves out the first field of the object that it answers with",
        FaultKind.EXTRA_FIELD: "acts, and adds a field that nobody documents",
        FaultKind.NOTHING: "behaves well; for `then` alone",
    }
)
"""What each kind of bad answer is; one that acts does what was asked all the same."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One bad answer that a platform shall give."""

    on: str
    """To which call: ``create``, ``list``, ``get``, ``update``, ``delete``, ``stats``, ``rotate`` or ``security``."""
    kind: FaultKind
    seconds: float = 0.0
    then: Callable[[tuple[str, int]], None] | None = None
    """Is called with the caller's host and port when all is done and the answer is about to leave."""


class Refusal(Exception):  # noqa: N818  (it is an answer, not a failure of the sandbox)
    """A platform says no, in its own words."""

    def __init__(self, status_code: int, content: JsonObject) -> None:
        self.status_code = status_code
        self.content = content
        super().__init__(f"{status_code}")


class SandboxPlatform:
    """
    One platform of the sandbox; safe to use from several threads.

    :param name: the platform's name in a connection
    :param token: what its API asks for
    :param make_id: makes the id of a new hook
    :param make_secret: makes the secret of a new hook; empty on platforms that sign nothing
    """

    def __init__(self, name: str, *, token: str, make_id: Callable[[], str], make_secret: Callable[[], str]) -> None:
        self.name = name
        self.token = token
        self.features = {"servicehooks"}
        """What Sentry's projects have; without ``servicehooks`` they may not register."""
        self.make_secret = make_secret
        self._make_id = make_id
        self._hooks: list[Hook] = []
        self._calls: list[str] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def list_hooks(self, owner: tuple[str, ...] | None = None) -> list[Hook]:
        """Return the hooks of an owner, or of all, the newest first."""
        with self._lock:
            return [hook for hook in reversed(self._hooks) if owner is None or hook.owner == owner]

    def find_hook(self, hook_id: str, owner: tuple[str, ...] | None = None) -> Hook | None:
        """Return one hook."""
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
        """Register a hook, with an id of its own, and where the platform signs a secret unless one is given."""
        now = tell_time()
        hook = Hook(
            hook_id=self._make_id(),
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
        """Put a changed hook in the place of the old."""
        changed = replace(hook, updated_at=tell_time(), **changes)  # type: ignore[arg-type]  # callers name its fields
        with self._lock:
            self._hooks = [changed if one.hook_id == hook.hook_id else one for one in self._hooks]
        return changed

    def remove_hook(self, hook: Hook) -> None:
        """Forget a hook."""
        with self._lock:
            self._hooks = [one for one in self._hooks if one.hook_id != hook.hook_id]

    def count_call(self, operation: str) -> None:
        """Note that an operation was called, whatever came of it."""
        with self._lock:
            self._calls.append(operation)

    def count_calls(self) -> dict[str, int]:
        """Return how often each operation was called."""
        with self._lock:
            return dict(Counter(self._calls))

    def forget_calls(self) -> dict[str, int]:
        """Return how often each operation was called since this was asked for last."""
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
        """Have the next calls of an operation answered badly."""
        fault = Fault(on=on, kind=FaultKind(kind), seconds=seconds, then=then)
        with self._lock:
            self._faults += [fault] * times

    def take_fault(self, operation: str) -> Fault | None:
        """Return how this call of an operation shall be answered badly, once."""
        with self._lock:
            for fault in self._faults:
                if fault.on == operation:
                    self._faults.remove(fault)
                    return fault
        return None


def tell_time() -> str:
    """Return the time in the platforms' form."""
    return pendulum.now("UTC").format("YYYY-MM-DDTHH:mm:ss.SSSSSS[Z]")
