# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Keeps hooks as they are declared: looks at what is there, does what is missing, and remembers it at once.

Whoever calls it sees to it that nobody else does the same with the same memory meanwhile.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.registries.model import HookChanges, HookConflictError, HookUncertainError, RegistryError
from airflow_provider_hooks.registries.plan import Change, Create, Keep, Remove, Replace, make_plan
from airflow_provider_hooks.registries.platform_table import Operation
from airflow_provider_hooks.registries.store import (
    drop,
    find_declared,
    find_kept,
    find_pending,
    find_retiring,
    forget,
    read_end,
    remember,
)
from airflow_provider_hooks.signing.variable import StoredHook

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_hooks.registries.model import HookSpec, ServiceHook
    from airflow_provider_hooks.registries.plan import Step
    from airflow_provider_hooks.registries.service import HookManager
    from airflow_provider_hooks.registries.store import HookStore, Kept

ChangeMade = Literal["created", "updated", "unchanged"]
WhenUnknown = Literal["fail", "create"]


@dataclass(frozen=True, kw_only=True)
class EnsureResult:
    """What it took to have the hooks as they are declared."""

    change: ChangeMade
    hooks: tuple[ServiceHook, ...]


class HookReconciler:
    """
    Registers, keeps and forgets the hooks of one registry.

    :param registry: the registry's connection id, by which its hooks are remembered
    :param on_unknown: what to do where an earlier call may have registered a hook and the platform cannot be asked:
        ``fail``, or ``create`` another
    """

    def __init__(
        self, manager: HookManager, memory: HookStore, *, registry: str, on_unknown: WhenUnknown = "fail"
    ) -> None:
        self._manager = manager
        self._api = manager.api
        self._memory = memory
        self._registry = registry
        self._when_unknown = on_unknown

    def register(self, spec: HookSpec) -> tuple[ServiceHook, bool]:
        """
        Register a hook unless one for this URL is registered, and tell whether it was created now.

        :raises ValidationError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if a hook for this URL rests or has other events or headers; it is left as it is
        :raises HookUncertainError: if an earlier call may have registered it and the platform cannot be asked
        :raises RegistryError: if a call fails
        """
        spec = self._api.complete(spec)
        self._api.create(spec)
        kept = self._memory.read()
        mine = [one for one in kept if one.registry == self._registry and one.hook_id]
        present = self._manager.find_present(one.hook_id for one in mine if one.url == spec.url)
        retiring = {one.hook_id for one in mine if one.superseded}
        found = self._find_for_url(spec, [hook for hook in present if hook.hook_id not in retiring])
        if found is not None:
            self._write(kept, remember(kept, found, registry=self._registry))
            return found, False
        return self._create(spec, kept, known={hook.hook_id for hook in present}), True

    def ensure(self, spec: HookSpec, *, name: str, adopt: str | None = None) -> EnsureResult:
        """
        See to it that the hooks of a declaration are there as declared: create, update, or leave alone.

        :param name: what the declaration is known by; the same from run to run
        :param adopt: the id of a hook that is there already and shall be kept as declared from now on, in place of
            what is remembered
        :raises ValidationError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if it cannot be told which hook is meant
        :raises HookUncertainError: if an earlier call may have registered it and the platform cannot be asked
        :raises RegistryError: if a call fails; what was done before it is remembered
        """
        wanted = self._api.split(spec)
        kept = self._memory.read()
        own = [one.hook_id for one in find_declared(kept, registry=self._registry, name=name)]
        others = [one for one in kept if one.registry == self._registry and one.hook_id not in own]
        taken = {one.hook_id for one in others if one.hook_id and (one.name or one.superseded)}
        present = self._manager.find_present([*own, *([self._api.quote_id(adopt)] if adopt else [])])
        known = {hook.hook_id for hook in present}
        if adopt and not known & {adopt, *own} and adopt not in own:
            told = f"{adopt} is not there; leave it out to have a hook created"
            raise ValidationError(f"service hook on {self._api.platform.title}", {"hook_id": told})
        steps = make_plan(self._api, wanted, present=present, own=own, taken=taken, adopt=adopt)
        hooks = [self._take(step, name=name, known=known, adopt=adopt) for step in steps]
        self._forget_all(set(own) - known)
        ended = self.end_overlaps(own, now=datetime.now(timezone.utc))
        change = "updated" if ended else _summarize(steps)
        return EnsureResult(change=change, hooks=tuple(hook for hook in hooks if hook is not None))

    def delete(self, hook_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """
        Delete hooks and forget them, and return which were there and which were gone already.

        A hook that was rotated out, and whose place one of them has taken, is deleted too.

        :raises RegistryError: if a call fails; what was deleted before it is forgotten
        """
        retiring = find_retiring(self._memory.read(), hook_ids, registry=self._registry)
        deleted: list[str] = []
        gone: list[str] = []
        for hook_id in dict.fromkeys([*hook_ids, *(one.hook_id for one in retiring)]):
            (deleted if self._manager.delete(hook_id) else gone).append(hook_id)
            self._forget_all({hook_id})
        return deleted, gone

    def end_overlaps(self, hook_ids: Collection[str], *, now: datetime) -> list[str]:
        """
        Delete what was rotated out, and whose place these hooks have taken, if its overlap is over; return the ids.

        :raises RegistryError: if a call fails
        """
        retiring = find_retiring(self._memory.read(), hook_ids, registry=self._registry)
        due = [one.hook_id for one in retiring if read_end(one) <= now]
        for hook_id in due:
            self.delete([hook_id])
        return due

    def activate(self, hook: ServiceHook, spec: HookSpec) -> ServiceHook:
        """
        Update what a registration does not take, where it is asked for: on Sentry, that a hook shall rest.

        :raises RegistryError: if the call fails
        """
        changes = self._api.find_differences(spec, hook)
        if changes.is_active is None or not self._manager.supports(Operation.UPDATE):
            return hook
        return self._manager.update(hook.hook_id, HookChanges(is_active=changes.is_active))

    def _take(self, step: Step, *, name: str, known: Collection[str], adopt: str | None) -> ServiceHook | None:
        kept = self._memory.read()
        if isinstance(step, Remove):
            self.delete([step.hook.hook_id])
            return None
        if isinstance(step, Create):
            return self._create(step.spec, kept, known=known, name=name)
        if isinstance(step, Replace):
            return self._replace(step, kept, known=known, name=name)
        if step.hook.hook_id == adopt:
            kept = self._settle(step.hook, kept, name=name)
        hook = self._manager.update(step.hook.hook_id, step.changes) if isinstance(step, Change) else step.hook
        self._write(self._memory.read(), remember(kept, hook, registry=self._registry, name=name))
        return hook

    def _settle(self, hook: ServiceHook, kept: Kept, *, name: str) -> Kept:
        """Take an adopted hook for the one that was asked for without an answer, so that its secret is known."""
        pending = find_pending(kept, registry=self._registry, name=name, url=hook.url)
        if pending is None or pending.url != hook.url:
            return kept
        kept = drop(kept, pending)
        before = find_kept(kept, hook.hook_id, registry=self._registry)
        known = hook.secret or (before and before.secret) or pending.secret
        return remember(kept, replace(hook, secret=known), registry=self._registry, name=name)

    def _replace(self, step: Replace, kept: Kept, *, known: Collection[str], name: str) -> ServiceHook:
        if step.delete_first:
            self.delete([step.hook.hook_id])
            return self._create(step.spec, self._memory.read(), known=known, name=name)
        hook = self._create(step.spec, kept, known=known, name=name)
        self.delete([step.hook.hook_id])
        return hook

    def _create(self, spec: HookSpec, kept: Kept, *, known: Collection[str], name: str = "") -> ServiceHook:
        if self._manager.supports(Operation.LIST):
            hook = self._manager.create(spec, known=known)
        else:
            hook, kept = self._create_unlisted(spec, kept, name=name)
        self._write(kept, remember(kept, hook, registry=self._registry, name=name))
        return self.activate(hook, spec)

    def _create_unlisted(self, spec: HookSpec, kept: Kept, *, name: str) -> tuple[ServiceHook, Kept]:
        """
        Register a hook where no list can tell of it afterwards: its secret is ours, and kept before it is asked for.

        So a run that dies loses no secret, and the next one knows that the hook may be there.
        """
        title = self._api.platform.title
        pending = find_pending(kept, registry=self._registry, name=name, url=spec.url)
        if pending is not None and self._when_unknown == "fail":
            raise HookUncertainError(
                f"{title} got a request for this hook at {pending.requested_at} without an answer, so it may be there; "
                f"{title} documents no list. Look there for '{spec.name}': if it is there, keep it by "
                "EnsureServiceHookOperator with its id as hook_id, else say on_unknown='create'"
            )
        asked = pending or StoredHook(
            secret=spec.secret or secrets.token_hex(32),
            registry=self._registry,
            name=name,
            url=spec.url,
            requested_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        if pending is None:
            kept = (*kept, asked)
            self._memory.write(kept)
        try:
            hook = self._manager.create(replace(spec, secret=asked.secret))
        except RegistryError as error:
            if error.outcome_unknown:
                told = f"{error}; it may be registered all the same, and {title} cannot be asked"
                raise HookUncertainError(told) from None
            self._memory.write(drop(kept, asked))
            raise
        return replace(hook, secret=hook.secret or asked.secret), drop(kept, asked)

    def _find_for_url(self, spec: HookSpec, present: Sequence[ServiceHook]) -> ServiceHook | None:
        """Return the hook that is registered as asked for; where a hook has one event, another event is another."""
        asked = replace(spec, name=None, is_active=True)
        same = [hook for hook in present if self._api.is_for_url(spec, hook)]
        for hook in same:
            if not self._api.find_differences(asked, hook):
                return hook
        if not same:
            return None
        found = same[0]
        events = f"with the events {', '.join(found.events)}" if found.events else "with the platform's events"
        differs = ", ".join(self._api.find_differences(asked, found).list_given())
        raise HookConflictError(
            f"{self._api.platform.title}: hook {found.hook_id} is registered for this URL, {found.status}, {events}, "
            f"and differs in {differs}; update or delete it, or ask for what is there"
        )

    def _forget_all(self, hook_ids: Collection[str]) -> None:
        before = after = self._memory.read()
        for hook_id in hook_ids:
            after = forget(after, hook_id, registry=self._registry)
        self._write(before, after)

    def _write(self, before: Kept, after: Kept) -> None:
        if after != before:
            self._memory.write(after)


def _summarize(steps: Sequence[Step]) -> ChangeMade:
    if all(isinstance(step, Keep) for step in steps):
        return "unchanged"
    return "created" if all(isinstance(step, Create) for step in steps) else "updated"
