# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What has to be done so that a platform has the hooks that are declared, and no others of the same declaration. Pure.

Which hook is meant is told by the id that was remembered, else by what the platform itself keeps: the URL on Sentry,
the name on Akinon, URL and event on Smartsheet. ZStack tells nothing, so there only the id does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hooks.errors import InvalidFieldsError
from airflow_provider_hooks.registries.model import HookChanges, HookConflictError
from airflow_provider_hooks.registries.platforms import Operation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_hooks.registries.api import PlatformApi
    from airflow_provider_hooks.registries.model import HookSpec, ServiceHook


@dataclass(frozen=True, kw_only=True)
class Keep:
    """A hook is as it is declared."""

    hook: ServiceHook


@dataclass(frozen=True, kw_only=True)
class Change:
    """A hook differs, and the platform can update it."""

    hook: ServiceHook
    changes: HookChanges


@dataclass(frozen=True, kw_only=True)
class Create:
    """A hook is missing."""

    spec: HookSpec


@dataclass(frozen=True, kw_only=True)
class Replace:
    """A hook differs, and the platform cannot update it: a new one takes its place."""

    hook: ServiceHook
    spec: HookSpec
    delete_first: bool
    """Whether the platform would refuse another hook as long as the old one is there."""


@dataclass(frozen=True, kw_only=True)
class Remove:
    """A hook of the declaration is no longer declared."""

    hook: ServiceHook


Step = Keep | Change | Create | Replace | Remove


def make_plan(
    api: PlatformApi,
    wanted: Sequence[HookSpec],
    *,
    present: Sequence[ServiceHook],
    own: Collection[str],
    taken: Collection[str],
) -> tuple[Step, ...]:
    """
    Return what has to be done, at most one step for each hook that is wanted or has to go.

    :param wanted: the hooks of one declaration
    :param present: the hooks that the platform has
    :param own: the ids that are remembered for this declaration
    :param taken: the ids that are remembered for something else, which are left alone
    :raises HookConflictError: if several hooks could be meant
    :raises InvalidFieldsError: if the platform would refuse one more hook of an event
    """
    steps: list[Step] = []
    used: set[str] = set()
    for spec in wanted:
        left = [hook for hook in present if hook.hook_id not in used and hook.hook_id not in taken]
        hook = _find_meant(api, spec, left, own)
        if hook is not None:
            used.add(hook.hook_id)
        steps.append(_make_step(api, spec, hook, present))
    steps += [Remove(hook=hook) for hook in present if hook.hook_id in own and hook.hook_id not in used]
    return tuple(steps)


def _find_meant(
    api: PlatformApi, spec: HookSpec, left: Sequence[ServiceHook], own: Collection[str]
) -> ServiceHook | None:
    mine = [hook for hook in left if hook.hook_id in own and (not api.one_event_a_hook or hook.events == spec.events)]
    meant = mine or [hook for hook in left if api.is_same(spec, hook)]
    for hook in meant:
        if not api.find_differences(spec, hook):
            return hook
    exact = [hook for hook in meant if hook.url == spec.url]
    if not meant:
        return None
    if mine or exact or len(meant) == 1:
        return (exact or meant)[0]
    raise HookConflictError(
        f"{api.platform.title} has {len(meant)} hooks that could be meant: "
        f"{', '.join(hook.hook_id for hook in meant)}; say which by hook_id"
    )


def _make_step(api: PlatformApi, spec: HookSpec, hook: ServiceHook | None, present: Sequence[ServiceHook]) -> Step:
    limit = api.max_hooks_an_event
    is_full = limit is not None and sum(one.events == spec.events for one in present) >= limit
    if hook is None:
        if is_full:
            told = (
                f"{api.platform.title} takes at most {limit} hooks of {', '.join(spec.events or ())}, which are there"
            )
            raise InvalidFieldsError(f"service hook on {api.platform.title}", {"events": f"{told}; delete one first"})
        return Create(spec=spec)
    changes = api.find_differences(spec, hook)
    if not changes:
        return Keep(hook=hook)
    if Operation.UPDATE in api.platform.operations:
        return Change(hook=hook, changes=changes)
    return Replace(hook=hook, spec=spec, delete_first=is_full)
