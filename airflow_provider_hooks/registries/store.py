# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The state of registered hooks: ids, secrets and times, and its text in an Airflow Variable. Pure.

Registration writes the Variable and endpoints read it, so a secret goes from a platform to deliveries without a log, an
XCom or a copy by hand. Everything is below the one name ``secrets``, so that Airflow's UI masks all of it.

Each function takes a state, newest hook first, and returns the new state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.signing.secrets import parse_items

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_hooks.registries.model import ServiceHook


@dataclass(frozen=True, kw_only=True)
class StoredHook:
    """
    One hook of a state.

    An entry whose ``requested_at`` is set and whose ``hook_id`` is empty is pending: its creation was requested, and
    whether the platform has it is not known. An entry with nothing but a secret was typed by a user. An entry with a
    registry and neither an id nor ``requested_at`` was created, and the platform did not return its id.
    """

    secret: str = field(default="", repr=False)
    """Empty on platforms that do not sign."""
    hook_id: str = ""
    registry: str = ""
    """The connection id of the registry."""
    name: str = ""
    """The name of its declaration."""
    url: str = field(default="", repr=False)
    created_at: str = ""
    """When it was created, by the platform's clock."""
    requested_at: str = ""
    """When creation was requested; set only while the id is unknown."""
    expires_at: str = ""
    """For a superseded hook: the end of its overlap, after which it is deleted."""
    rotation_key: str = ""
    """For a hook whose secret a rotation made: the idempotency key of that rotation."""
    replaced_by: str = ""
    """For a superseded hook: the id of the hook that replaced it."""
    replaces: str = ""
    """For a pending hook of a rotation: the id of the hook that it will replace."""
    known_ids: str = ""
    """For a pending hook: the ids, separated by blanks, of the hooks that had its URL before creation."""

    @property
    def is_pending(self) -> bool:
        """Whether creation was requested and the outcome is unknown, so that its secret must not sign."""
        return bool(self.requested_at) and not self.hook_id

    @property
    def superseded(self) -> bool:
        """Whether a rotation replaced it by another hook."""
        return bool(self.expires_at)


HookState = tuple[StoredHook, ...]


class HookStore(Protocol):
    """Stores a state from one run to the next."""

    def read(self) -> HookState:
        """
        Return the stored state.

        :raises ServiceHookError: if it cannot be read, which is not the same as an empty state
        """

    def write(self, state: HookState) -> None:
        """
        Store a state.

        :raises ServiceHookError: if it is not stored
        """


class NullHookStore:
    """A store that stores nothing."""

    def read(self) -> HookState:
        """Return an empty state."""
        return ()

    def write(self, state: HookState) -> None:
        """Discard the state."""


def parse_state(text: str) -> HookState:
    """
    Parse a Variable's text: the output of ``format_state``, a JSON list of secrets, or one secret as plain text.

    :raises ValueError: if it is JSON of another form; the message does not quote it
    """
    return tuple(_parse_entry(item) for item in parse_items(text))


def format_state(state: HookState) -> str:
    """Return the text of the Variable."""
    items = [{name: value for name, value in asdict(one).items() if value} for one in state]
    return json.dumps({"secrets": items})


def find_declared(state: HookState, *, registry: str, name: str) -> HookState:
    """Return the hooks of a declaration: those whose id is known and that are not superseded."""
    return tuple(
        one for one in state if (one.registry, one.name) == (registry, name) and one.hook_id and not one.superseded
    )


def find_pending(state: HookState, *, registry: str, name: str, url: str) -> StoredHook | None:
    """Return the pending hook of a declaration by its name; without a name, by its URL."""
    for one in state:
        if not one.is_pending or one.replaces or one.registry != registry:
            continue
        if (one.name == name) if one.name and name else (one.url == url):
            return one
    return None


def find_stored(state: HookState, hook_id: str, *, registry: str) -> StoredHook | None:
    """Return the entry of a hook; two registries may have hooks with the same id."""
    return next((one for one in state if (one.registry, one.hook_id) == (registry, hook_id)), None)


def find_superseded(state: HookState, hook_ids: Collection[str], *, registry: str) -> HookState:
    """Return the superseded hooks that one of these hooks replaced."""
    return tuple(one for one in state if one.superseded and one.registry == registry and one.replaced_by in hook_ids)


def upsert(state: HookState, hook: ServiceHook, *, registry: str, name: str = "", rotation_key: str = "") -> HookState:
    """Return the state with a hook: in its old position if its secret is unchanged, otherwise in front."""
    before = find_stored(state, hook.hook_id, registry=registry) or StoredHook()
    secret = hook.secret or before.secret
    entry = replace(
        before,
        secret=secret,
        hook_id=hook.hook_id,
        registry=registry,
        name=name or before.name,
        url=hook.url,
        created_at=hook.created_at or before.created_at,
        rotation_key=rotation_key or before.rotation_key,
        requested_at="",
    )
    if before.hook_id and before.secret == secret:
        return tuple(entry if one is before else one for one in state)
    # An entry without an id and with the same secret, typed or pending, is this hook.
    others = (one for one in state if one is not before and (one.hook_id or not secret or one.secret != secret))
    return (entry, *others)


def find_without_id(state: HookState, *, registry: str, name: str, url: str) -> StoredHook | None:
    """Return a created hook whose id the platform did not return: by its declaration, or without a name by its URL."""
    for one in state:
        is_same = one.name == name if name else one.url == url
        if is_same and one.registry == registry and not one.hook_id and not one.is_pending:
            return one
    return None


def add_without_id(state: HookState, hook: ServiceHook, *, registry: str, name: str) -> HookState:
    """Return the state with a created hook whose id the platform did not return."""
    entry = StoredHook(secret=hook.secret or "", registry=registry, name=name, url=hook.url, created_at=hook.created_at)
    return (entry, *state)


def remove(state: HookState, hook_id: str, *, registry: str) -> HookState:
    """Return the state without a hook."""
    return tuple(one for one in state if (one.registry, one.hook_id) != (registry, hook_id))


def discard(state: HookState, entry: StoredHook) -> HookState:
    """Return the state without an entry."""
    return tuple(one for one in state if one is not entry)


def read_expiry(entry: StoredHook) -> datetime:
    """
    Return when the overlap of a superseded hook ends.

    :raises ServiceHookError: if the Variable was edited and has no time there
    """
    try:
        moment = datetime.fromisoformat(entry.expires_at)
    except ValueError:
        raise ServiceHookError(f"expires_at of hook {entry.hook_id} in the Variable is not an ISO 8601 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _parse_entry(item: str | dict[str, object]) -> StoredHook:
    if isinstance(item, str):
        return StoredHook(secret=item)
    names = StoredHook.__dataclass_fields__
    given = {name: item[name] for name in names if name in item}
    if not all(isinstance(value, str) for value in given.values()):
        raise ValueError("has a hook with a field that is not text")
    return StoredHook(**given)  # type: ignore[arg-type]  # checked above
