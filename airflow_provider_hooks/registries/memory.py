# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What is remembered of the hooks that were registered: their ids, secrets and times. Pure, but for who keeps it.

Every function takes what is kept, newest first, and returns what shall be kept instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.signing.variable import KeptHook

if TYPE_CHECKING:
    from airflow_provider_hooks.registries.model import ServiceHook

Kept = tuple[KeptHook, ...]


class Memory(Protocol):
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


class Forgetful:
    """A memory for who wants nothing kept."""

    def read(self) -> Kept:
        """Return nothing."""
        return ()

    def write(self, kept: Kept) -> None:
        """Keep nothing."""


def find_declared(kept: Kept, *, registry: str, name: str) -> Kept:
    """Return the hooks that are kept for a declaration, without those that are retiring or pending."""
    return tuple(
        one
        for one in kept
        if (one.registry, one.name) == (registry, name) and one.hook_id and not one.is_retiring and not one.is_pending
    )


def find_pending(kept: Kept, *, registry: str, name: str, url: str) -> KeptHook | None:
    """Return the hook of this name or for this URL that was asked for without an answer."""
    for one in kept:
        if one.is_pending and one.registry == registry and ((name and one.name == name) or one.url == url):
            return one
    return None


def remember(kept: Kept, hook: ServiceHook, *, registry: str, name: str = "", rotated_by: str = "") -> Kept:
    """Return what is kept with a hook in it: in its old place if nothing new is signed with, else in front."""
    before = next((one for one in kept if one.hook_id == hook.hook_id), KeptHook())
    secret = hook.secret or before.secret
    entry = replace(
        before,
        secret=secret,
        hook_id=hook.hook_id,
        registry=registry,
        name=name or before.name,
        url=hook.url,
        created_at=hook.created_at or before.created_at,
        rotated_by=rotated_by or before.rotated_by,
        asked_at="",
    )
    if before.hook_id and before.secret == secret:
        return tuple(entry if one is before else one for one in kept)
    others = (one for one in kept if one is not before and not (secret and one.secret == secret))
    return (entry, *others)


def forget(kept: Kept, hook_id: str) -> Kept:
    """Return what is kept without a hook."""
    return tuple(one for one in kept if one.hook_id != hook_id)


def drop(kept: Kept, entry: KeptHook | None) -> Kept:
    """Return what is kept without an entry."""
    return tuple(one for one in kept if one is not entry)
