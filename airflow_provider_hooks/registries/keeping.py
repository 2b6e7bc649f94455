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

from airflow_provider_hooks.registries.memory import drop, find_declared, find_pending, forget, remember
from airflow_provider_hooks.registries.model import HookChanges, HookConflictError, HookUncertainError, RegistryError
from airflow_provider_hooks.registries.plan import Change, Create, Keep, Remove, Replace, make_plan
from airflow_provider_hooks.registries.platforms import Operation
from airflow_provider_hooks.signing.variable import KeptHook

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_hooks.registries.management import HookManager
    from airflow_provider_hooks.registries.memory import Kept, Memory
    from airflow_provider_hooks.registries.model import HookSpec, ServiceHook
    from airflow_provider_hooks.registries.plan import Step

ChangeMade = Literal["created", "updated", "unchanged"]
WhenUnknown = Literal["fail", "create"]


@dataclass(frozen=True, kw_only=True)
class Ensured:
    """What it took to have the hooks as they are declared."""

    change: ChangeMade
    hooks: tuple[ServiceHook, ...]


class HookKeeper:
    """
    Registers, keeps and forgets the hooks of one registry.

    :param registry: the registry's connection id, by which its hooks are remembered
    :param when_unknown: what to do where an earlier call may have registered a hook and the platform cannot be asked:
        ``fail``, or ``create`` another
    """

    def __init__(
        self, manager: HookManager, memory: Memory, *, registry: str, when_unknown: WhenUnknown = "fail"
    ) -> None:
        self._manager = manager
        self._api = manager.api
        self._memory = memory
        self._registry = registry
        self._when_unknown = when_unknown

    def register(self, spec: HookSpec) -> tuple[ServiceHook, bool]:
        """
        Register a hook unless one for this URL is registered, and tell whether it was created now.

        :raises InvalidFieldsError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if a hook for this URL rests or has other events; it is left as it is
        :raises HookUncertainError: if an earlier call may have registered it and the platform cannot be asked
        :raises RegistryError: if a call fails
        """
        spec = self._api.complete(spec)
        self._api.create(spec)
        kept = self._memory.read()
        mine = [one.hook_id for one in kept if one.url == spec.url and one.registry == self._registry and one.hook_id]
        present = self._manager.find_present(mine)
        retiring = {one.hook_id for one in kept if one.is_retiring}
        found = self._find_for_url(spec, [hook for hook in present if hook.hook_id not in retiring])
        if found is not None:
            self._write(kept, remember(kept, found, registry=self._registry))
            return found, False
        return self._create(spec, kept, known={hook.hook_id for hook in present}), True

    def ensure(self, spec: HookSpec, *, name: str, adopt: str | None = None) -> Ensured:
        """
        See to it that the hooks of a declaration are there as declared: create, update, or leave alone.

        :param name: what the declaration is known by; the same from run to run
        :param adopt: the id of a hook that is there already and shall be kept as declared from now on
        :raises InvalidFieldsError: naming each field that the platform would refuse; nothing was sent
        :raises HookConflictError: if several hooks could be meant
        :raises HookUncertainError: if an earlier call may have registered it and the platform cannot be asked
        :raises RegistryError: if a call fails; what was done before it is remembered
        """
        wanted = self._api.split(spec)
        kept = self._memory.read()
        own = [one.hook_id for one in find_declared(kept, registry=self._registry, name=name)]
        own += [self._api.quote_id(adopt)] if adopt else []
        taken = {one.hook_id for one in kept if one.hook_id not in own and (one.name or one.is_retiring)}
        present = self._manager.find_present(own)
        steps = make_plan(self._api, wanted, present=present, own=own, taken=taken)
        gone = set(own) - {hook.hook_id for hook in present}
        hooks = []
        for step in steps:
            hook = self._take(step, name=name, known={hook.hook_id for hook in present})
            hooks += [hook] if hook is not None else []
        if gone:
            self._forget_all(gone)
        return Ensured(change=_summarize(steps), hooks=tuple(hooks))

    def delete(self, hook_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """
        Delete hooks and forget them, and return which were there and which were gone already.

        :raises RegistryError: if a call fails; what was deleted before it is forgotten
        """
        deleted: list[str] = []
        gone: list[str] = []
        for hook_id in hook_ids:
            (deleted if self._manager.delete(hook_id) else gone).append(hook_id)
            self._forget_all({hook_id})
        return deleted, gone

    def _take(self, step: Step, *, name: str, known: Collection[str]) -> ServiceHook | None:
        kept = self._memory.read()
        if isinstance(step, Remove):
            self.delete([step.hook.hook_id])
            return None
        if isinstance(step, Create):
            return self._create(step.spec, kept, known=known, name=name)
        if isinstance(step, Replace):
            return self._replace(step, kept, known=known, name=name)
        hook = self._manager.update(step.hook.hook_id, step.changes) if isinstance(step, Change) else step.hook
        pending = find_pending(kept, registry=self._registry, name=name, url=hook.url)
        if pending is not None and not hook.secret:
            hook, kept = replace(hook, secret=pending.secret), drop(kept, pending)
        self._write(kept, remember(kept, hook, registry=self._registry, name=name))
        return hook

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
        return self._activate(hook, spec)

    def _create_unlisted(self, spec: HookSpec, kept: Kept, *, name: str) -> tuple[ServiceHook, Kept]:
        """
        Register a hook where no list can tell of it afterwards: its secret is ours, and kept before it is asked for.

        So a run that dies loses no secret, and the next one knows that the hook may be there.
        """
        title = self._api.platform.title
        pending = find_pending(kept, registry=self._registry, name=name, url=spec.url)
        if pending is not None and self._when_unknown == "fail":
            raise HookUncertainError(
                f"{title} was asked for this hook at {pending.asked_at} and no answer is known, so it may be there; "
                f"{title} documents no list. Look there for '{spec.name}': if it is there, say its id as hook_id, "
                "else say when_unknown='create'"
            )
        asked = pending or KeptHook(
            secret=spec.secret or secrets.token_hex(32),
            registry=self._registry,
            name=name,
            url=spec.url,
            asked_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        if pending is None:
            kept = (*kept, asked)
            self._memory.write(kept)
        try:
            hook = self._manager.create(replace(spec, secret=asked.secret))
        except RegistryError as error:
            if error.is_uncertain:
                told = f"{error}; it may be registered all the same, and {title} cannot be asked"
                raise HookUncertainError(told) from None
            self._memory.write(drop(kept, asked))
            raise
        return replace(hook, secret=hook.secret or asked.secret), drop(kept, asked)

    def _activate(self, hook: ServiceHook, spec: HookSpec) -> ServiceHook:
        """Update what a registration does not take, where it is asked for: on Sentry, that a hook shall rest."""
        changes = self._api.find_differences(spec, hook)
        if changes.is_active is None or not self._manager.supports(Operation.UPDATE):
            return hook
        return self._manager.update(hook.hook_id, HookChanges(is_active=changes.is_active))

    def _find_for_url(self, spec: HookSpec, present: Sequence[ServiceHook]) -> ServiceHook | None:
        """Return the hook that is registered as asked for; where a hook has one event, another event is another."""
        for hook in present:
            if hook.url != spec.url or (self._api.one_event_a_hook and hook.events != spec.events):
                continue
            if hook.status != "active" or ("events" in self._api.fields and set(hook.events) != set(spec.events or ())):
                events = f"with the events {', '.join(hook.events)}" if hook.events else "with the platform's events"
                raise HookConflictError(
                    f"{self._api.platform.title}: hook {hook.hook_id} is registered for this URL, {hook.status}, "
                    f"{events}; update or delete it, or ask for what is there"
                )
            return hook
        return None

    def _forget_all(self, hook_ids: Collection[str]) -> None:
        before = after = self._memory.read()
        for hook_id in hook_ids:
            after = forget(after, hook_id)
        self._write(before, after)

    def _write(self, before: Kept, after: Kept) -> None:
        if after != before:
            self._memory.write(after)


def _summarize(steps: Sequence[Step]) -> ChangeMade:
    if all(isinstance(step, Keep) for step in steps):
        return "unchanged"
    return "created" if all(isinstance(step, Create) for step in steps) else "updated"
