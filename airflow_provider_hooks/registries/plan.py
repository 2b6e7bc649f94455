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

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.registries.model import HookChanges, HookConflictError
from airflow_provider_hooks.registries.platform_table import Operation

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
    adopt: str | None = None,
) -> tuple[Step, ...]:
    """
    Return what has to be done, at most one step for each hook that is wanted or has to go.

    :param wanted: the hooks of one declaration
    :param present: the hooks that the platform has
    :param own: the ids that are remembered for this declaration
    :param taken: the ids that are remembered for something else, which are left alone
    :param adopt: the id of the hook that is meant, whatever is remembered
    :raises HookConflictError: if several hooks could be meant, or the one that is meant differs and may be another's
    :raises ValidationError: if the platform would refuse one more hook of an event
    """
    steps: list[Step] = []
    used: set[str] = set()
    adopted = next((hook for hook in present if hook.hook_id == adopt), None)
    if adopted is not None:
        _check_adopted(api, wanted, adopted, taken)
    for spec in wanted:
        left = [hook for hook in present if hook.hook_id not in used and hook.hook_id not in taken]
        is_adopted = adopted is not None and api.has_event(spec, adopted)
        hook = adopted if is_adopted else _find_meant(api, spec, left, own)
        if hook is not None:
            used.add(hook.hook_id)
        steps.append(_make_step(api, spec, hook, present))
    steps += [Remove(hook=hook) for hook in present if hook.hook_id in own and hook.hook_id not in used]
    return tuple(steps)


def _find_meant(
    api: PlatformApi, spec: HookSpec, left: Sequence[ServiceHook], own: Collection[str]
) -> ServiceHook | None:
    mine = [hook for hook in left if hook.hook_id in own and api.has_event(spec, hook)]
    meant = mine or [hook for hook in left if api.is_same(spec, hook)]
    for hook in meant:
        if not api.find_differences(spec, hook):
            return hook
    if not meant:
        return None
    exact = [hook for hook in meant if hook.url == spec.url]
    # A name is the declaration's own; a URL may be that of another declaration, or of somebody else.
    is_known = bool(mine) or ("name" in api.fields and (len(meant) == 1 or len(exact) == 1))
    if is_known:
        return (exact or meant)[0]
    raise HookConflictError(
        f"{api.platform.title} has {', '.join(f'hook {hook.hook_id}' for hook in meant)}, which could be meant but "
        "differs and is not remembered; say by hook_id which hook shall be kept, or keep the declarations of one URL "
        "in one secret_variable"
    )


def _check_adopted(api: PlatformApi, wanted: Sequence[HookSpec], adopted: ServiceHook, taken: Collection[str]) -> None:
    if adopted.hook_id in taken:
        raise HookConflictError(f"hook {adopted.hook_id} is remembered for another declaration")
    if not any(api.has_event(spec, adopted) for spec in wanted):
        raise HookConflictError(f"hook {adopted.hook_id} has the event {', '.join(adopted.events)}, not one declared")


def _make_step(api: PlatformApi, spec: HookSpec, hook: ServiceHook | None, present: Sequence[ServiceHook]) -> Step:
    limit = api.max_hooks_an_event
    is_full = limit is not None and sum(one.events == spec.events for one in present) >= limit
    if hook is None:
        if is_full:
            told = (
                f"{api.platform.title} takes at most {limit} hooks of {', '.join(spec.events or ())}, which are there"
            )
            raise ValidationError(f"service hook on {api.platform.title}", {"events": f"{told}; delete one first"})
        return Create(spec=spec)
    changes = api.find_differences(spec, hook)
    if not changes:
        return Keep(hook=hook)
    if Operation.UPDATE in api.platform.operations:
        return Change(hook=hook, changes=changes)
    return Replace(hook=hook, spec=spec, delete_first=is_full)
