# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Rotates the secret of a hook, once per idempotency key, even if tries of the task die.

If the platform has an operation for it (ZStack), the old secret becomes invalid immediately. Otherwise (Sentry) a new
hook is registered next to the old one, its secret is used from then on, and the old hook is deleted when the overlap is
over.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import HookConflictError, RegistryError, ValidationError
from airflow_provider_hooks.registries.model import HookSpec, Operation
from airflow_provider_hooks.registries.store import (
    StoredHook,
    discard,
    find_stored,
    find_superseded,
    read_expiry,
    upsert,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from airflow_provider_hooks.registries.model import ServiceHook
    from airflow_provider_hooks.registries.reconcile import HookReconciler
    from airflow_provider_hooks.registries.service import HookManager
    from airflow_provider_hooks.registries.store import HookState, HookStore

_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class RotationResult:
    """The hook whose secret is in use, and the hook that it replaced, if any."""

    hook_id: str
    old_hook_id: str | None = None
    expires_at: datetime | None = None
    """When the old hook must be deleted."""


class SecretRotation:
    """
    Rotates the secret of one stored hook.

    :param registry: the connection id of the registry
    :param idempotency_key: identifies this run or manual clear of this task; the same in every try
    """

    def __init__(
        self,
        manager: HookManager,
        reconciler: HookReconciler,
        store: HookStore,
        *,
        registry: str,
        idempotency_key: str,
    ) -> None:
        self._manager = manager
        self._api = manager.api
        self._reconciler = reconciler
        self._store = store
        self._registry = registry
        self._idempotency_key = idempotency_key

    def rotate(self, hook_id: str, *, overlap: timedelta, now: datetime) -> RotationResult:
        """
        Put a new secret into use, unless this idempotency key did so already.

        :param hook_id: the hook whose secret is in use
        :param overlap: how long the old hook exists next to the new one, if there are two
        :raises HookConflictError: if the overlap of another rotation is not over
        :raises ValidationError: if there is no such hook
        :raises UnsupportedOperationError: if the platform supports neither way
        :raises RegistryError: if a request fails
        """
        state = self._store.read()
        done = next((one for one in state if one.rotation_key == self._idempotency_key and one.hook_id), None)
        if done is not None:
            return self._find_result(done, state)
        if self._manager.supports(Operation.ROTATE):
            hook = self._manager.rotate(hook_id)
            self._store.write(upsert(state, hook, registry=self._registry, rotation_key=self._idempotency_key))
            return RotationResult(hook_id=hook.hook_id)
        if not (self._api.platform.signs and self._manager.supports(Operation.LIST)):
            self._api.unsupported(Operation.ROTATE)
        return self._replace_hook(hook_id, state, expires_at=now + overlap, now=now)

    def finish(self, result: RotationResult) -> None:
        """
        Delete the old hook, whose overlap is over.

        :raises RegistryError: if the request fails
        """
        if result.old_hook_id is not None:
            self._reconciler.delete([result.old_hook_id])

    def _replace_hook(self, hook_id: str, state: HookState, *, expires_at: datetime, now: datetime) -> RotationResult:
        present = self._manager.list_all()
        old = next((hook for hook in present if hook.hook_id == hook_id), None)
        if old is None:
            problem = f"{hook_id} does not exist, so it cannot be rotated; ensure or register the hook first"
            raise ValidationError(f"service hook on {self._api.platform.title}", {"hook_id": problem})
        self._delete_expired(hook_id, state, now=now)
        state = upsert(self._store.read(), old, registry=self._registry)
        state, pending = self._store_pending(state, old, present, now=now)
        new = self._find_created(old, present, state, pending) or self._create(old, present, state, pending)
        # A platform need not return a secret that this package generated.
        new = replace(new, secret=new.secret or pending.secret or None)
        before = find_stored(state, hook_id, registry=self._registry) or StoredHook()
        until = expires_at.isoformat(timespec="seconds")
        superseded = replace(before, expires_at=until, replaced_by=new.hook_id)
        state = tuple(superseded if one is before else one for one in discard(state, pending))
        state = upsert(state, new, registry=self._registry, name=before.name, rotation_key=self._idempotency_key)
        self._store.write(state)
        return RotationResult(hook_id=new.hook_id, old_hook_id=hook_id, expires_at=expires_at)

    def _store_pending(
        self, state: HookState, old: ServiceHook, present: Sequence[ServiceHook], *, now: datetime
    ) -> tuple[HookState, StoredHook]:
        """Persist the existing ids and the new secret first, so that an interrupted rotation finds the new hook."""
        for one in state:
            if one.is_pending and (one.registry, one.replaces) == (self._registry, old.hook_id):
                return state, one
        pending = StoredHook(
            secret=secrets.token_hex(_SECRET_BYTES) if self._api.platform.takes_secret else "",
            registry=self._registry,
            requested_at=now.isoformat(timespec="seconds"),
            rotation_key=self._idempotency_key,
            replaces=old.hook_id,
            known_ids=" ".join(hook.hook_id for hook in present if hook.url == old.url),
        )
        state = (*state, pending)
        self._store.write(state)
        return state, pending

    def _find_created(
        self, old: ServiceHook, present: Sequence[ServiceHook], state: HookState, pending: StoredHook
    ) -> ServiceHook | None:
        """Return the hook that an earlier try created without storing its id."""
        known = {*pending.known_ids.split(), *(one.hook_id for one in state if one.registry == self._registry)}
        for hook in present:
            if hook.url == old.url and set(hook.events) == set(old.events) and hook.hook_id not in known:
                return hook
        return None

    def _create(
        self, old: ServiceHook, present: Sequence[ServiceHook], state: HookState, pending: StoredHook
    ) -> ServiceHook:
        spec = HookSpec(
            url=old.url,
            events=old.events,
            name=old.name or None,
            headers=dict(old.headers) or None,
            is_active=old.status == "active",
            secret=pending.secret or None,
        )
        try:
            new = self._manager.create(spec, known_ids={hook.hook_id for hook in present})
        except RegistryError as error:
            if not error.outcome_unknown:
                self._store.write(discard(state, pending))
            raise
        return self._reconciler.update_activity(new, spec)

    def _delete_expired(self, hook_id: str, state: HookState, *, now: datetime) -> None:
        """Delete the old hook of an earlier rotation of this hook, if its overlap is over."""
        for one in find_superseded(state, [hook_id], registry=self._registry):
            if read_expiry(one) > now:
                raise HookConflictError(
                    f"hook {one.hook_id} was replaced by another rotation, whose overlap ends at {one.expires_at}; "
                    "rotate after that"
                )
        self._reconciler.delete_expired([hook_id], now=now)

    def _find_result(self, done: StoredHook, state: HookState) -> RotationResult:
        for one in find_superseded(state, [done.hook_id], registry=self._registry):
            return RotationResult(hook_id=done.hook_id, old_hook_id=one.hook_id, expires_at=read_expiry(one))
        return RotationResult(hook_id=done.hook_id)
