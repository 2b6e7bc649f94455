# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Whatever exists and is stored: after the plan it is as declared, and a second plan has nothing to do."""

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


def carry_out(api, steps, present):
    """Do on a list what the steps say."""
    hooks = {hook.hook_id: hook for hook in present}
    kept = []
    for number, step in enumerate(steps):
        if isinstance(step, NoOp):
            kept.append(step.hook.hook_id)
        elif isinstance(step, Update):
            given = {name: value for name, value in step.changes.list_given().items() if name != "is_active"}
            status = "active" if step.changes.is_active else step.hook.status
            hooks[step.hook.hook_id] = replace(step.hook, status=status, **given)
            kept.append(step.hook.hook_id)
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
            kept.append(new.hook_id)
            if isinstance(step, Replace):
                del hooks[step.hook.hook_id]
    return list(hooks.values()), kept


@st.composite
def situations(draw, name):
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
def test_a_plan_leads_to_what_is_declared_and_then_to_nothing(name, data):
    api = make_api(name)
    spec = replace(PLATFORM_DATA[name].spec, url=data.draw(st.sampled_from(URLS)))
    wanted = api.expand(spec)
    present, own, taken = data.draw(situations(name))
    try:
        steps = make_plan(api, wanted, present=present, own=own, taken=taken)
    except HookConflictError:
        others = [hook for hook in present if hook.hook_id not in own | taken]
        assert any(hook.url == spec.url or hook.name == spec.name for hook in others), "only where another may be meant"
        return
    after, kept = carry_out(api, steps, present)
    assert len(kept) == len(set(kept)) == len(wanted)
    assert make_plan(api, wanted, present=after, own=kept, taken=taken) == tuple(
        NoOp(hook=hook) for hook_id in kept for hook in after if hook.hook_id == hook_id
    )
    left = {hook.hook_id: hook for hook in after}
    assert all(left[hook.hook_id] == hook for hook in present if hook.hook_id in taken), "others' hooks are untouched"
    assert not (own - set(kept)) & set(left), "no second hook of the declaration is left"


def test_a_hook_that_matches_is_preferred_to_one_that_would_have_to_be_changed():
    api = make_api("sentry")
    (spec,) = api.expand(PLATFORM_DATA["sentry"].spec)
    other = ServiceHook(hook_id="h1", url=spec.url, events=("event.created",))
    match = ServiceHook(hook_id="h2", url=spec.url, events=spec.events)
    assert make_plan(api, [spec], present=[other, match], own=(), taken=()) == (NoOp(hook=match),)


def test_nothing_there_is_created():
    api = make_api("zstack")
    (spec,) = api.expand(PLATFORM_DATA["zstack"].spec)
    assert make_plan(api, [spec], present=[], own={"h1"}, taken=()) == (Create(spec=spec),)
