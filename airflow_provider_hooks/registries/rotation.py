# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Rotates the secret of a hook, once for each asking, however often a try of it dies.

Where the platform has a call for it (ZStack), the old secret ends with it. Else (Sentry) a new hook is registered
beside the old one, its secret is the one in use from then on, and the old hook is deleted when the overlap is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.registries.model import HookConflictError, HookSpec, RegistryError
from airflow_provider_hooks.registries.platform_table import Operation
from airflow_provider_hooks.registries.store import drop, find_kept, find_retiring, read_end, remember
from airflow_provider_hooks.signing.variable import StoredHook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from airflow_provider_hooks.registries.model import ServiceHook
    from airflow_provider_hooks.registries.reconcile import HookReconciler
    from airflow_provider_hooks.registries.service import HookManager
    from airflow_provider_hooks.registries.store import HookStore, Kept


@dataclass(frozen=True, kw_only=True)
class RotationResult:
    """The hook whose secret is in use now, and the one before it where that is another."""

    hook_id: str
    old_hook_id: str | None = None
    expires_at: datetime | None = None
    """When the old hook is to be deleted."""


class SecretRotation:
    """
    Rotates the secret of one remembered hook.

    :param registry: the registry's connection id
    :param asking: which asking of which task this is; the same on every try of it
    """

    def __init__(
        self, manager: HookManager, keeper: HookReconciler, memory: HookStore, *, registry: str, asking: str
    ) -> None:
        self._manager = manager
        self._api = manager.api
        self._keeper = keeper
        self._memory = memory
        self._registry = registry
        self._asking = asking

    def rotate(self, hook_id: str, *, overlap: timedelta, now: datetime) -> RotationResult:
        """
        Have a new secret in use, unless this asking has one already.

        :param hook_id: the hook whose secret is in use
        :param overlap: how long the old hook stays beside the new one, where there are two
        :raises HookConflictError: if another asking's overlap is not over
        :raises ValidationError: if there is no such hook
        :raises UnsupportedOperationError: if the platform has neither way
        :raises RegistryError: if a call fails
        """
        kept = self._memory.read()
        done = next((one for one in kept if one.rotation_key == self._asking and not one.is_pending), None)
        if done is not None:
            return self._tell(done, kept)
        if not self._manager.supports(Operation.ROTATE) and self._api.signs:
            return self._register_beside(hook_id, kept, expires_at=now + overlap, now=now)
        hook = self._manager.rotate(hook_id)
        self._memory.write(remember(kept, hook, registry=self._registry, rotation_key=self._asking))
        return RotationResult(hook_id=hook.hook_id)

    def finish(self, rotated: RotationResult) -> None:
        """
        Delete the old hook, whose overlap is over.

        :raises RegistryError: if the call fails
        """
        if rotated.old_hook_id is not None:
            self._keeper.delete([rotated.old_hook_id])

    def _register_beside(self, hook_id: str, kept: Kept, *, expires_at: datetime, now: datetime) -> RotationResult:
        present = self._manager.list_all()
        old = next((hook for hook in present if hook.hook_id == hook_id), None)
        if old is None:
            told = f"{hook_id} is not there to be rotated; ensure or register the hook first"
            raise ValidationError(f"service hook on {self._api.platform.title}", {"hook_id": told})
        self._end_overlaps(hook_id, kept, now=now)
        kept = remember(self._memory.read(), old, registry=self._registry)
        kept, asked = self._note_asking(kept, old, present, now=now)
        new = self._find_left(old, present, kept, asked) or self._create(old, present, kept, asked)
        before = find_kept(kept, hook_id, registry=self._registry) or StoredHook()
        until = expires_at.isoformat(timespec="seconds")
        retiring = replace(before, expires_at=until, replaced_by=new.hook_id)
        kept = tuple(retiring if one is before else one for one in drop(kept, asked))
        kept = remember(kept, new, registry=self._registry, name=before.name, rotation_key=self._asking)
        self._memory.write(kept)
        return RotationResult(hook_id=new.hook_id, old_hook_id=hook_id, expires_at=expires_at)

    def _note_asking(
        self, kept: Kept, old: ServiceHook, present: Sequence[ServiceHook], *, now: datetime
    ) -> tuple[Kept, StoredHook]:
        """Say what is there before another hook is asked for, so that whoever rotates next knows the new one."""
        for one in kept:
            if one.is_pending and (one.registry, one.replaces) == (self._registry, old.hook_id):
                return kept, one
        asked = StoredHook(
            registry=self._registry,
            requested_at=now.isoformat(timespec="seconds"),
            rotation_key=self._asking,
            replaces=old.hook_id,
            beside=" ".join(hook.hook_id for hook in present if hook.url == old.url),
        )
        kept = (*kept, asked)
        self._memory.write(kept)
        return kept, asked

    def _find_left(
        self, old: ServiceHook, present: Sequence[ServiceHook], kept: Kept, asked: StoredHook
    ) -> ServiceHook | None:
        """Return the hook that a try registered and died before it could remember it."""
        known = {*asked.beside.split(), *(one.hook_id for one in kept if one.registry == self._registry)}
        for hook in present:
            if hook.url == old.url and set(hook.events) == set(old.events) and hook.hook_id not in known:
                return hook
        return None

    def _create(self, old: ServiceHook, present: Sequence[ServiceHook], kept: Kept, asked: StoredHook) -> ServiceHook:
        spec = HookSpec(url=old.url, events=old.events, is_active=old.status == "active")
        try:
            new = self._manager.create(spec, known={hook.hook_id for hook in present})
        except RegistryError as error:
            if not error.outcome_unknown:
                self._memory.write(drop(kept, asked))
            raise
        return self._keeper.activate(new, spec)

    def _end_overlaps(self, hook_id: str, kept: Kept, *, now: datetime) -> None:
        """Delete what an earlier rotation of the same hook left behind, if its overlap is over."""
        for one in find_retiring(kept, [hook_id], registry=self._registry):
            if read_end(one) > now:
                raise HookConflictError(
                    f"hook {one.hook_id} is retiring by another rotation, until {one.expires_at}; rotate after that"
                )
        self._keeper.end_overlaps([hook_id], now=now)

    def _tell(self, done: StoredHook, kept: Kept) -> RotationResult:
        for one in find_retiring(kept, [done.hook_id], registry=self._registry):
            return RotationResult(hook_id=done.hook_id, old_hook_id=one.hook_id, expires_at=read_end(one))
        return RotationResult(hook_id=done.hook_id)
