# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The steps that make a platform's hooks match one declaration. Pure.

The hook of a declaration is the one whose id is stored; otherwise the one that the platform's own data identifies: the
URL on Sentry, the name on Akinon, URL and event on Smartsheet. ZStack cannot list, so only the id counts there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import HookConflictError, ValidationError
from airflow_provider_hooks.registries.model import HookChanges, Operation

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_hooks.registries.base import PlatformApi
    from airflow_provider_hooks.registries.model import HookSpec, ServiceHook


@dataclass(frozen=True, kw_only=True)
class NoOp:
    """A hook matches its declaration."""

    hook: ServiceHook


@dataclass(frozen=True, kw_only=True)
class Update:
    """A hook differs, and the platform can update it."""

    hook: ServiceHook
    changes: HookChanges


@dataclass(frozen=True, kw_only=True)
class Create:
    """A hook is missing."""

    spec: HookSpec


@dataclass(frozen=True, kw_only=True)
class Replace:
    """A hook differs, and the platform cannot update it: a new hook replaces it."""

    hook: ServiceHook
    spec: HookSpec
    delete_first: bool
    """Whether the platform would reject another hook while the old one exists."""


@dataclass(frozen=True, kw_only=True)
class Delete:
    """A hook of the declaration is no longer declared."""

    hook: ServiceHook


Step = NoOp | Update | Create | Replace | Delete


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
    Return the steps, at most one for each hook that is wanted or must be deleted.

    :param wanted: the hooks of one declaration
    :param present: the hooks that the platform has
    :param own: the ids that are stored for this declaration
    :param taken: the ids that are stored for other declarations, which are not touched
    :param adopt: the id of the hook to use, whatever is stored
    :raises HookConflictError: if several hooks match, or the only match differs and may belong to someone else
    :raises ValidationError: if the platform would reject one more hook of an event
    """
    steps: list[Step] = []
    used: set[str] = set()
    adopted = next((hook for hook in present if hook.hook_id == adopt), None)
    if adopted is not None:
        _check_adopted(api, wanted, adopted, taken)
    for spec in wanted:
        candidates = [hook for hook in present if hook.hook_id not in used and hook.hook_id not in taken]
        is_adopted = adopted is not None and api.matches_event(spec, adopted)
        hook = adopted if is_adopted else _find_match(api, spec, candidates, own)
        if hook is not None:
            used.add(hook.hook_id)
        steps.append(_make_step(api, spec, hook, present))
    steps += [Delete(hook=hook) for hook in present if hook.hook_id in own and hook.hook_id not in used]
    return tuple(steps)


def _find_match(
    api: PlatformApi, spec: HookSpec, candidates: Sequence[ServiceHook], own: Collection[str]
) -> ServiceHook | None:
    stored = [hook for hook in candidates if hook.hook_id in own and api.matches_event(spec, hook)]
    matches = stored or [hook for hook in candidates if api.matches(spec, hook)]
    for hook in matches:
        if not api.find_differences(spec, hook):
            return hook
    if not matches:
        return None
    exact = [hook for hook in matches if hook.url == spec.url]
    # A name belongs to this declaration; a URL may also be that of another declaration or of a hook made by hand.
    is_identified = bool(stored) or ("name" in api.fields and (len(matches) == 1 or len(exact) == 1))
    if is_identified:
        return (exact or matches)[0]
    raise HookConflictError(
        f"{api.platform.title} has {', '.join(f'hook {hook.hook_id}' for hook in matches)}, which may be the declared "
        "one but differs and is not stored; set hook_id to the hook to use, or use one secret_variable for all "
        "declarations of a URL"
    )


def _check_adopted(api: PlatformApi, wanted: Sequence[HookSpec], adopted: ServiceHook, taken: Collection[str]) -> None:
    if adopted.hook_id in taken:
        raise HookConflictError(f"hook {adopted.hook_id} is stored for another declaration")
    if not any(api.matches_event(spec, adopted) for spec in wanted):
        raise HookConflictError(f"hook {adopted.hook_id} has the event {', '.join(adopted.events)}, not one declared")


def _make_step(api: PlatformApi, spec: HookSpec, hook: ServiceHook | None, present: Sequence[ServiceHook]) -> Step:
    limit = api.max_hooks_per_event
    is_full = limit is not None and sum(one.events == spec.events for one in present) >= limit
    if hook is None:
        if is_full:
            title, events = api.platform.title, ", ".join(spec.events or ())
            problem = f"{title} allows at most {limit} hooks of {events}, and has that many; delete one first"
            raise ValidationError(f"service hook on {title}", {"events": problem})
        return Create(spec=spec)
    changes = api.find_differences(spec, hook)
    if not changes:
        return NoOp(hook=hook)
    if Operation.UPDATE in api.platform.operations:
        return Update(hook=hook, changes=changes)
    return Replace(hook=hook, spec=spec, delete_first=is_full)
