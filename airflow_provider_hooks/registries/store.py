# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What is remembered of the hooks that were registered: their ids, secrets and times. Pure, but for who keeps it.

Every function takes what is kept, newest first, and returns what shall be kept instead.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.signing.variable import StoredHook

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_hooks.registries.model import ServiceHook

Kept = tuple[StoredHook, ...]


class HookStore(Protocol):
    """Where hooks are remembered from one run to the next."""

    def read(self) -> Kept:
        """
        Return what is kept.

        :raises ServiceHookError: if it cannot be read, which is not the same as nothing being kept
        """

    def write(self, kept: Kept) -> None:
        """
        Keep this from now on.

        :raises ServiceHookError: if it is not kept then
        """


class NullHookStore:
    """A memory for who wants nothing kept."""

    def read(self) -> Kept:
        """Return nothing."""
        return ()

    def write(self, kept: Kept) -> None:
        """Keep nothing."""


def find_declared(kept: Kept, *, registry: str, name: str) -> Kept:
    """Return the hooks that are kept for a declaration: those whose id is known and that are not retiring."""
    return tuple(
        one for one in kept if (one.registry, one.name) == (registry, name) and one.hook_id and not one.superseded
    )


def find_pending(kept: Kept, *, registry: str, name: str, url: str) -> StoredHook | None:
    """Return the hook that was asked for without an answer: that of a declaration by its name, else by its URL."""
    for one in kept:
        if not one.is_pending or one.replaces or one.registry != registry:
            continue
        if (one.name == name) if one.name and name else (one.url == url):
            return one
    return None


def remember(kept: Kept, hook: ServiceHook, *, registry: str, name: str = "", rotation_key: str = "") -> Kept:
    """Return what is kept with a hook in it: in its old place if nothing new is signed with, else in front."""
    before = find_kept(kept, hook.hook_id, registry=registry) or StoredHook()
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
        return tuple(entry if one is before else one for one in kept)
    # What was typed or asked for under the same secret is this hook.
    others = (one for one in kept if one is not before and (one.hook_id or not secret or one.secret != secret))
    return (entry, *others)


def find_kept(kept: Kept, hook_id: str, *, registry: str) -> StoredHook | None:
    """Return what is kept of a hook; two registries may well have the same ids."""
    return next((one for one in kept if (one.registry, one.hook_id) == (registry, hook_id)), None)


def forget(kept: Kept, hook_id: str, *, registry: str) -> Kept:
    """Return what is kept without a hook."""
    return tuple(one for one in kept if (one.registry, one.hook_id) != (registry, hook_id))


def find_retiring(kept: Kept, hook_ids: Collection[str], *, registry: str) -> Kept:
    """Return the hooks that were rotated out and whose place one of these hooks has taken."""
    return tuple(one for one in kept if one.superseded and one.registry == registry and one.replaced_by in hook_ids)


def read_end(kept: StoredHook) -> datetime:
    """
    Return when the overlap of a hook that is retiring ends.

    :raises ServiceHookError: if somebody wrote no time there
    """
    try:
        moment = datetime.fromisoformat(kept.expires_at)
    except ValueError:
        raise ServiceHookError(f"expires_at of hook {kept.hook_id} in the Variable is no ISO 8601 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def drop(kept: Kept, entry: StoredHook | None) -> Kept:
    """Return what is kept without an entry."""
    return tuple(one for one in kept if one is not entry)
