# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Makes a platform's hooks match declarations: reads what exists, applies the plan, and stores each result immediately.

The caller must hold a lock, so that no other run uses the same store at the same time.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from airflow_provider_hooks.exceptions import HookConflictError, HookUncertainError, RegistryError, ValidationError
from airflow_provider_hooks.registries.model import HookChanges, Operation, ServiceHook
from airflow_provider_hooks.registries.plan import Create, Delete, NoOp, Replace, Update, make_plan
from airflow_provider_hooks.registries.store import (
    StoredHook,
    add_without_id,
    discard,
    find_declared,
    find_pending,
    find_stored,
    find_superseded,
    find_without_id,
    read_expiry,
    remove,
    upsert,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_hooks.registries.model import HookSpec
    from airflow_provider_hooks.registries.plan import Step
    from airflow_provider_hooks.registries.service import HookManager
    from airflow_provider_hooks.registries.store import HookState, HookStore

EnsureChange = Literal["created", "updated", "unchanged"]
OnUncertainCreate = Literal["fail", "create"]

_SECRET_BYTES = 32
_NO_ID = "%s did not return the id of the hook. Its secret is stored; look the id up there to change or delete the hook"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EnsureResult:
    """The hooks of a declaration, and what changed."""

    change: EnsureChange
    hooks: tuple[ServiceHook, ...]


class HookReconciler:
    """
    Registers, updates and deletes the hooks of one registry.

    :param registry: the connection id of the registry, part of each stored entry
    :param on_uncertain_create: what to do if an earlier request may have created a hook and the platform cannot list
        its hooks: ``fail``, or ``create`` another hook
    """

    def __init__(
        self,
        manager: HookManager,
        store: HookStore,
        *,
        registry: str,
        on_uncertain_create: OnUncertainCreate = "fail",
    ) -> None:
        self._manager = manager
        self._api = manager.api
        self._store = store
        self._registry = registry
        self._on_uncertain_create = on_uncertain_create

    def register(self, spec: HookSpec) -> tuple[ServiceHook, bool]:
        """
        Register a hook unless one for its URL is registered, and return whether it was created now.

        :raises ValidationError: naming each field that the platform would reject; nothing was sent
        :raises HookConflictError: if a hook for this URL is inactive or has other events or headers; it is unchanged
        :raises HookUncertainError: if an earlier request may have created it and the platform cannot list its hooks
        :raises RegistryError: if a request fails
        """
        spec = self._api.with_defaults(spec)
        self._api.create(spec)
        before = self._store.read()
        candidates = (one.hook_id for one in before if one.registry == self._registry and one.url == spec.url)
        present = self._manager.find_present(hook_id for hook_id in candidates if hook_id)
        state = self._claim_pending(before, present, name="", url=spec.url)
        if (known := find_without_id(state, registry=self._registry, name="", url=spec.url)) is not None:
            return self._describe_without_id(spec, known), False
        superseded = {one.hook_id for one in state if one.registry == self._registry and one.superseded}
        found = self._find_for_url(spec, [hook for hook in present if hook.hook_id not in superseded])
        if found is None:
            return self._create(spec, state, present=present), True
        self._check_secret_is_known(found, state)
        self._write(before, upsert(state, found, registry=self._registry))
        return found, False

    def ensure(self, spec: HookSpec, *, name: str, adopt: str | None = None) -> EnsureResult:
        """
        Make the hooks of a declaration as declared: create, update, or leave unchanged.

        :param name: the name of the declaration; the same in every run
        :param adopt: the id of an existing hook that the declaration uses from now on, in place of what is stored
        :raises ValidationError: naming each field that the platform would reject; nothing was sent
        :raises HookConflictError: if several hooks match, or the only match differs and is not stored
        :raises HookUncertainError: if an earlier request may have created it and the platform cannot list its hooks
        :raises RegistryError: if a request fails; the results before it are stored
        """
        wanted = self._api.expand(spec)
        before = self._store.read()
        stored = self._find_declared_ids(before, name)
        present = self._manager.find_present([*stored, *([self._api.quote_id(adopt)] if adopt else [])])
        known = {hook.hook_id for hook in present}
        if adopt and adopt not in known | set(stored) and not known & set(stored):
            problem = f"{adopt} does not exist; leave hook_id out to have a hook created"
            raise ValidationError(f"service hook on {self._api.platform.title}", {"hook_id": problem})
        state = self._claim_pending(before, present, name=name, url=spec.url, adopt=adopt)
        own = self._find_declared_ids(state, name)
        if not own and not adopt and (created := find_without_id(state, registry=self._registry, name=name, url="")):
            return EnsureResult(change="unchanged", hooks=(self._describe_without_id(spec, created),))
        others = [one for one in state if one.registry == self._registry and one.hook_id not in own]
        taken = {one.hook_id for one in others if one.hook_id and (one.name or one.superseded)}
        steps = make_plan(self._api, wanted, present=present, own=own, taken=taken, adopt=adopt)
        for step in steps:
            if isinstance(step, NoOp | Update):
                self._check_secret_is_known(step.hook, state, adopt=adopt)
        self._write(before, state)
        hooks = [self._apply(step, name=name, present=present) for step in steps]
        self._remove_stored(set(own) - known)
        deleted = self.delete_expired(own, now=datetime.now(timezone.utc))
        change = "updated" if deleted else _summarize(steps)
        return EnsureResult(change=change, hooks=tuple(hook for hook in hooks if hook is not None))

    def delete(self, hook_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """
        Delete hooks, and return the ids of those that existed and of those that were gone already.

        Hooks that a rotation replaced by one of them are deleted too.

        :raises RegistryError: if a request fails; what was deleted before it is no longer stored
        """
        superseded = find_superseded(self._store.read(), hook_ids, registry=self._registry)
        deleted: list[str] = []
        gone: list[str] = []
        for hook_id in dict.fromkeys([*hook_ids, *(one.hook_id for one in superseded)]):
            (deleted if self._manager.delete(hook_id) else gone).append(hook_id)
            self._remove_stored({hook_id})
        return deleted, gone

    def delete_expired(self, hook_ids: Collection[str], *, now: datetime) -> list[str]:
        """
        Delete the hooks that these hooks replaced and whose overlap is over, and return their ids.

        :raises RegistryError: if a request fails
        """
        superseded = find_superseded(self._store.read(), hook_ids, registry=self._registry)
        expired = [one.hook_id for one in superseded if read_expiry(one) <= now]
        for hook_id in expired:
            self.delete([hook_id])
        return expired

    def update_activity(self, hook: ServiceHook, spec: HookSpec) -> ServiceHook:
        """
        Update whether a new hook is active, which a registration on Sentry does not take.

        :raises RegistryError: if the request fails
        """
        changes = self._api.find_differences(spec, hook)
        if changes.is_active is None or not self._manager.supports(Operation.UPDATE):
            return hook
        updated = self._manager.update(hook.hook_id, HookChanges(is_active=changes.is_active))
        return replace(updated, secret=updated.secret or hook.secret)

    def _apply(self, step: Step, *, name: str, present: Sequence[ServiceHook]) -> ServiceHook | None:
        state = self._store.read()
        if isinstance(step, Delete):
            self.delete([step.hook.hook_id])
            return None
        if isinstance(step, Create):
            return self._create(step.spec, state, present=present, name=name)
        if isinstance(step, Replace):
            return self._replace(step, state, present=present, name=name)
        hook = self._manager.update(step.hook.hook_id, step.changes) if isinstance(step, Update) else step.hook
        self._write(state, upsert(state, hook, registry=self._registry, name=name))
        return hook

    def _replace(self, step: Replace, state: HookState, *, present: Sequence[ServiceHook], name: str) -> ServiceHook:
        if step.delete_first:
            self.delete([step.hook.hook_id])
            return self._create(step.spec, self._store.read(), present=present, name=name)
        hook = self._create(step.spec, state, present=present, name=name)
        self.delete([step.hook.hook_id])
        return hook

    def _create(
        self, spec: HookSpec, state: HookState, *, present: Sequence[ServiceHook], name: str = ""
    ) -> ServiceHook:
        known_ids = {hook.hook_id for hook in present}
        if self._api.platform.takes_secret or not self._manager.supports(Operation.LIST):
            hook, state = self._create_pending(spec, state, present=present, name=name)
        else:
            hook = self._manager.create(spec, known_ids=known_ids)
        if not hook.hook_id:
            hook = replace(hook, url=spec.url, name=spec.name or "")
            self._store.write(add_without_id(state, hook, registry=self._registry, name=name))
            _log.warning(_NO_ID, self._api.platform.title)
            return hook
        self._store.write(upsert(state, hook, registry=self._registry, name=name))
        return self.update_activity(hook, spec)

    def _describe_without_id(self, spec: HookSpec, stored: StoredHook) -> ServiceHook:
        """
        Return a hook whose id is not known.

        :raises HookConflictError: if it was created for another URL, since it cannot be changed
        """
        title = self._api.platform.title
        if stored.url != spec.url:
            raise HookConflictError(
                f"{title} did not return the id of the hook that was created for another URL, so it cannot be changed; "
                "look the id up there and set it as hook_id"
            )
        _log.warning(_NO_ID, title)
        return ServiceHook(hook_id="", url=stored.url, name=spec.name or "", secret=stored.secret or None)

    def _create_pending(
        self, spec: HookSpec, state: HookState, *, present: Sequence[ServiceHook], name: str
    ) -> tuple[ServiceHook, HookState]:
        """
        Create a hook whose request is stored before it is sent, with the secret that the platform need not return.

        A run that dies then loses no secret: the next run finds the hook in the list and takes the stored secret, or
        knows that the hook may exist if the platform cannot list.
        """
        title, can_list = self._api.platform.title, self._manager.supports(Operation.LIST)
        earlier = find_pending(state, registry=self._registry, name=name, url=spec.url)
        if earlier is not None and not can_list and self._on_uncertain_create == "fail":
            raise HookUncertainError(
                f"a request for this hook was sent to {title} at {earlier.requested_at} and no response arrived, so it "
                f"may exist; {title} documents no list. Look there for '{spec.name}': if it exists, run "
                "EnsureServiceHookOperator with its id as hook_id, otherwise set on_uncertain_create='create'"
            )
        pending = StoredHook(
            secret=(earlier.secret if earlier else spec.secret) or self._generate_secret(),
            registry=self._registry,
            name=name,
            url=spec.url,
            requested_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            known_ids=" ".join(hook.hook_id for hook in present if hook.url == spec.url),
        )
        others = tuple(one for one in state if one is not earlier)
        self._store.write((*others, pending))
        try:
            hook = self._manager.create(
                replace(spec, secret=pending.secret or None), known_ids={hook.hook_id for hook in present}
            )
        except RegistryError as error:
            if not error.outcome_unknown:
                self._store.write(others)
            elif not can_list:
                message = f"{error}; the hook may exist, and {title} cannot list its hooks"
                raise HookUncertainError(message) from None
            raise
        return replace(hook, secret=hook.secret or pending.secret or None), others

    def _generate_secret(self) -> str:
        return secrets.token_hex(_SECRET_BYTES) if self._api.platform.takes_secret else ""

    def _claim_pending(
        self, state: HookState, present: Sequence[ServiceHook], *, name: str, url: str, adopt: str | None = None
    ) -> HookState:
        """Return the state with the id of the hook that an earlier request created, if it exists now."""
        pending = find_pending(state, registry=self._registry, name=name, url=url)
        if pending is None:
            return state
        known_ids = pending.known_ids.split()
        for hook in sorted(present, key=lambda hook: hook.hook_id != adopt):
            stored = find_stored(state, hook.hook_id, registry=self._registry)
            is_other = hook.hook_id in known_ids if stored is None else hook.hook_id != adopt
            if hook.url != pending.url or is_other:
                continue
            secret = hook.secret or (stored.secret if stored else pending.secret)
            created = replace(hook, secret=secret or None)
            return upsert(discard(state, pending), created, registry=self._registry, name=name or pending.name)
        return state

    def _check_secret_is_known(self, hook: ServiceHook, state: HookState, *, adopt: str | None = None) -> None:
        """Reject a hook whose deliveries nothing could verify or sign: the platform does not return its secret."""
        if not self._api.platform.takes_secret or hook.secret:
            return
        if find_stored(state, hook.hook_id, registry=self._registry) is not None:
            return
        if any(one.secret and not one.hook_id and not one.is_pending for one in state):
            return  # a user typed a secret into the Variable
        title = self._api.platform.title
        if hook.hook_id == adopt:
            _log.warning("The secret of hook %s on %s is not known: rotate it", hook.hook_id, title)
            return
        raise HookConflictError(
            f"{title}: hook {hook.hook_id} is registered for this URL, but its secret is not stored, and {title} does "
            "not return it; delete the hook, or set hook_id to it and rotate its secret"
        )

    def _find_for_url(self, spec: HookSpec, present: Sequence[ServiceHook]) -> ServiceHook | None:
        """Return the hook that is registered for the URL as requested; of single events only the same event counts."""
        requested = replace(spec, name=None, is_active=True)
        matches = [hook for hook in present if self._api.matches_url(spec, hook)]
        for hook in matches:
            if not self._api.find_differences(requested, hook):
                return hook
        if not matches:
            return None
        found = matches[0]
        events = f"with the events {', '.join(found.events)}" if found.events else "with the platform's events"
        differences = ", ".join(self._api.find_differences(requested, found).list_given())
        raise HookConflictError(
            f"{self._api.platform.title}: hook {found.hook_id} is registered for this URL, {found.status}, {events}, "
            f"and differs in {differences}; update or delete it, or request what is registered"
        )

    def _find_declared_ids(self, state: HookState, name: str) -> list[str]:
        return [one.hook_id for one in find_declared(state, registry=self._registry, name=name)]

    def _remove_stored(self, hook_ids: Collection[str]) -> None:
        before = after = self._store.read()
        for hook_id in hook_ids:
            after = remove(after, hook_id, registry=self._registry)
        self._write(before, after)

    def _write(self, before: HookState, after: HookState) -> None:
        if after != before:
            self._store.write(after)


def _summarize(steps: Sequence[Step]) -> EnsureChange:
    if all(isinstance(step, NoOp) for step in steps):
        return "unchanged"
    return "created" if all(isinstance(step, Create) for step in steps) else "updated"
