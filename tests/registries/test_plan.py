# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""From any state a plan leads to the declared hooks, and a second plan changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import HookConflictError
from airflow_provider_hooks.registries.model import ServiceHook
from airflow_provider_hooks.registries.plan import Create, Delete, NoOp, Replace, Update, make_plan
from tests.registries.platform_data import PLATFORM_DATA, make_api

URLS = [f"https://hooks.example.com/{name}" for name in "abc"]


def apply_steps(api, steps, present):
    """Return the hooks after the steps, and the ids of the declared ones."""
    hooks = {hook.hook_id: hook for hook in present}
    declared_ids = []
    for number, step in enumerate(steps):
        if isinstance(step, NoOp):
            declared_ids.append(step.hook.hook_id)
        elif isinstance(step, Update):
            given = {name: value for name, value in step.changes.list_given().items() if name != "is_active"}
            status = "active" if step.changes.is_active else step.hook.status
            hooks[step.hook.hook_id] = replace(step.hook, status=status, **given)
            declared_ids.append(step.hook.hook_id)
        elif isinstance(step, Delete):
            del hooks[step.hook.hook_id]
        else:
            spec = step.spec
            new = ServiceHook(
                hook_id=f"new-{number}",
                url=spec.url,
                events=spec.events or (),
                name=spec.name or "",
                headers=spec.headers or {},
            )
            hooks[new.hook_id] = new
            declared_ids.append(new.hook_id)
            if isinstance(step, Replace):
                del hooks[step.hook.hook_id]
    return list(hooks.values()), declared_ids


@st.composite
def states(draw, name):
    hooks = [
        ServiceHook(
            hook_id=f"h{number}",
            url=draw(st.sampled_from(URLS)),
            events=draw(st.sampled_from(PLATFORM_DATA[name].events)),
            name=draw(st.sampled_from(["orders", "stock"])),
            status=draw(st.sampled_from(["active", "disabled"])),
        )
        for number in range(draw(st.integers(0, 5)))
    ]
    ids = [hook.hook_id for hook in hooks]
    own = draw(st.sets(st.sampled_from(ids))) if ids else set()
    taken = (draw(st.sets(st.sampled_from(ids))) if ids else set()) - own
    return hooks, own, taken


@pytest.mark.parametrize("name", PLATFORM_DATA)
@given(data=st.data())
def test_plan_leads_to_the_declared_hooks_and_a_second_plan_changes_nothing(name, data):
    api = make_api(name)
    spec = replace(PLATFORM_DATA[name].spec, url=data.draw(st.sampled_from(URLS)))
    wanted = api.expand(spec)
    present, own, taken = data.draw(states(name))
    try:
        steps = make_plan(api, wanted, present=present, own=own, taken=taken)
    except HookConflictError:
        others = [hook for hook in present if hook.hook_id not in own | taken]
        assert any(hook.url == spec.url or hook.name == spec.name for hook in others), (
            "a conflict requires another matching hook"
        )
        return
    after, declared_ids = apply_steps(api, steps, present)
    assert len(declared_ids) == len(set(declared_ids)) == len(wanted)
    assert make_plan(api, wanted, present=after, own=declared_ids, taken=taken) == tuple(
        NoOp(hook=hook) for hook_id in declared_ids for hook in after if hook.hook_id == hook_id
    )
    left = {hook.hook_id: hook for hook in after}
    assert all(left[hook.hook_id] == hook for hook in present if hook.hook_id in taken), (
        "hooks of other declarations are unchanged"
    )
    assert not (own - set(declared_ids)) & set(left), "no duplicate hook of the declaration is left"


def test_matching_hook_is_preferred_to_one_that_needs_an_update():
    api = make_api("sentry")
    (spec,) = api.expand(PLATFORM_DATA["sentry"].spec)
    other = ServiceHook(hook_id="h1", url=spec.url, events=("event.created",))
    match = ServiceHook(hook_id="h2", url=spec.url, events=spec.events)
    assert make_plan(api, [spec], present=[other, match], own=(), taken=()) == (NoOp(hook=match),)


def test_missing_hook_is_created():
    api = make_api("zstack")
    (spec,) = api.expand(PLATFORM_DATA["zstack"].spec)
    assert make_plan(api, [spec], present=[], own={"h1"}, taken=()) == (Create(spec=spec),)
