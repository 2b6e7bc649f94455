# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Hooks are as declared, however often it runs; the requests are those that the sandbox counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_hooks.exceptions import HookConflictError, HookUncertainError, RegistryError, ValidationError
from airflow_provider_hooks.registries.model import HookSpec, Operation
from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.registries.store import StoredHook
from tests.registries.platform_data import PLATFORM_DATA, URL, list_supporting, list_with_field
from tests.registries.reconciler_data import OTHER_URL, Kit, TupleStore

PLATFORMS = list(PLATFORM_DATA)
LISTING = list_supporting(Operation.LIST)
INACTIVE = list_with_field("is_active")
SIGNING = [name for name in PLATFORMS if load_platforms()[name].platform.signs]
READABLE = [name for name in LISTING if not load_platforms()[name].platform.takes_secret]
"""The platforms whose list has all that must be stored of a hook."""


@pytest.fixture(params=PLATFORMS)
def kit(request, sandbox):
    return Kit(sandbox=sandbox, name=request.param)


@pytest.fixture
def make_kit(sandbox):
    return lambda name, **options: Kit(sandbox=sandbox, name=name, **options)


class TestEnsure:
    def test_it_creates_once_and_then_leaves_alone(self, kit):
        assert kit.ensure() == ("created", kit.data.first_calls)
        writes = kit.store.writes
        for _ in range(2):
            assert kit.ensure() == ("unchanged", kit.data.later_calls)
        assert kit.store.writes == writes, "nothing new is stored"
        assert len(kit.platform.list_hooks()) == kit.data.first_calls["create"]

    def test_what_is_there_is_what_was_declared(self, kit):
        kit.ensure()
        hooks = kit.platform.list_hooks()
        assert {hook.url for hook in hooks} == {URL}
        if kit.spec.events:
            assert {event for hook in hooks for event in hook.events} == set(kit.spec.events)
        if kit.spec.headers:
            assert (hooks[0].name, hooks[0].headers) == ("orders", kit.spec.headers)

    def test_a_changed_url_moves_the_hook_and_leaves_no_second(self, kit):
        kit.ensure()
        before = len(kit.platform.list_hooks())
        assert kit.ensure(replace(kit.spec, url=OTHER_URL)) == ("updated", kit.data.moved_calls)
        assert [hook.url for hook in kit.platform.list_hooks()] == [OTHER_URL] * before
        assert kit.ensure(replace(kit.spec, url=OTHER_URL)) == ("unchanged", kit.data.later_calls)

    def test_a_hook_that_was_deleted_elsewhere_is_created_again_and_the_old_entry_removed(self, kit):
        kit.ensure()
        for hook in kit.platform.list_hooks():
            kit.platform.remove_hook(hook)
        calls = {**kit.data.first_calls, **({} if kit.name in LISTING else {"get": 1})}
        assert kit.ensure() == ("created", calls)
        there = {hook.hook_id for hook in kit.platform.list_hooks()}
        assert {one.hook_id for one in kit.store.state} == there

    @pytest.mark.parametrize("name", SIGNING)
    def test_the_secret_is_stored_and_masked(self, make_kit, name):
        kit = make_kit(name)
        kit.ensure()
        (hook,) = kit.platform.list_hooks()
        (kept,) = kit.store.state
        assert (kept.secret, kept.hook_id, kept.registry, kept.name) == (hook.secret, hook.hook_id, "r", "orders")
        assert hook.secret in kit.masked

    @pytest.mark.parametrize("name", READABLE)
    def test_a_hook_whose_entry_was_lost_is_found_and_not_duplicated(self, make_kit, name):
        kit = make_kit(name)
        kit.ensure()
        before = kit.store.state
        kit.store = TupleStore()
        assert kit.ensure() == ("unchanged", {"list": 1})
        assert {one.hook_id for one in kit.store.state} == {one.hook_id for one in before}
        assert {one.secret for one in kit.store.state} == {one.secret for one in before}

    @pytest.mark.parametrize("name", INACTIVE)
    def test_an_inactive_hook_is_activated_and_can_be_declared_inactive(self, make_kit, name):
        kit = make_kit(name)
        kit.ensure()
        inactive = replace(kit.spec, is_active=False)
        assert kit.ensure(inactive) == ("updated", {"list": 1, "update": 1})
        assert [hook.is_active for hook in kit.platform.list_hooks()] == [False]
        assert kit.ensure(inactive)[0] == "unchanged"
        assert kit.ensure() == ("updated", {"list": 1, "update": 1})

    @pytest.mark.parametrize("name", INACTIVE)
    def test_a_new_hook_can_be_inactive_from_the_start(self, make_kit, name):
        kit = make_kit(name)
        assert kit.ensure(replace(kit.spec, is_active=False))[0] == "created"
        assert [hook.is_active for hook in kit.platform.list_hooks()] == [False]

    @pytest.mark.parametrize("name", [name for name in PLATFORMS if name not in INACTIVE])
    def test_a_platform_without_inactive_hooks_says_so_before_any_call(self, make_kit, name):
        kit = make_kit(name)
        with pytest.raises(ValidationError, match="is_active: cannot be false"):
            kit.ensure(replace(kit.spec, is_active=False))
        assert kit.platform.forget_calls() == {}

    @pytest.mark.parametrize(
        ("name", "changes"),
        [
            *((name, {"events": PLATFORM_DATA[name].events[-1]}) for name in list_supporting(Operation.UPDATE)),
            ("akinon", {"events": ("a.b",)}),
            ("akinon", {"headers": {"X-Key": "another-key"}}),
        ],
    )
    def test_each_field_that_differs_is_updated(self, make_kit, name, changes):
        kit = make_kit(name)
        kit.ensure()
        assert kit.ensure(replace(kit.spec, **changes)) == ("updated", {"list": 1, "update": 1})
        assert kit.ensure(replace(kit.spec, **changes))[0] == "unchanged"

    @pytest.mark.parametrize("name", [name for name, data in PLATFORM_DATA.items() if max(map(len, data.events)) > 1])
    def test_the_order_of_events_is_no_difference(self, make_kit, name):
        kit = make_kit(name)
        events = max(kit.data.events, key=len)
        kit.ensure(replace(kit.spec, events=events))
        assert kit.ensure(replace(kit.spec, events=events[::-1])) == ("unchanged", {"list": 1})

    def test_a_field_that_is_not_declared_is_left_as_it_is(self, make_kit):
        kit = make_kit("akinon")
        kit.ensure()
        assert kit.ensure(replace(kit.spec, headers=None, is_active=None)) == ("unchanged", {"list": 1})

    def test_an_endpoint_that_no_longer_signs_is_replaced(self, make_kit):
        kit = make_kit("zstack")
        kit.ensure()
        (hook,) = kit.platform.list_hooks()
        kit.platform.change_hook(hook, is_active=False)
        assert kit.ensure() == ("updated", kit.data.moved_calls)
        assert [one.is_active for one in kit.platform.list_hooks()] == [True]

    def test_an_event_more_or_less_is_a_hook_more_or_less(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.ensure()
        more = replace(kit.spec, events=(*kit.spec.events, "user.updated"))
        assert kit.ensure(more) == ("updated", {"list": 1, "create": 1})
        assert kit.ensure(kit.spec) == ("updated", {"list": 1, "delete": 1})
        assert kit.ensure(kit.spec) == ("unchanged", {"list": 1})
        assert {one.hook_id for one in kit.store.state} == {hook.hook_id for hook in kit.platform.list_hooks()}

    def test_an_event_that_has_its_ten_hooks_is_reported_before_anything_is_created(self, make_kit):
        kit = make_kit("smartsheet_rm")
        for number in range(10):
            kit.platform.add_hook(url=f"https://hooks.example.com/{number}", events=["user.created"])
        with pytest.raises(ValidationError, match=r"events: .* at most 10 hooks of user.created"):
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 1}

    def test_a_hook_of_a_full_event_is_moved_by_deleting_it_first(self, make_kit):
        kit = make_kit("smartsheet_rm")
        spec = replace(kit.spec, events=("user.created",))
        kit.ensure(spec)
        for number in range(9):
            kit.platform.add_hook(url=f"https://hooks.example.com/{number}", events=["user.created"])
        assert kit.ensure(replace(spec, url=OTHER_URL)) == ("updated", {"list": 1, "create": 1, "delete": 1})

    def test_two_declarations_in_one_store_do_not_touch_each_other(self, make_kit):
        kit = make_kit("sentry")
        other = replace(kit.spec, events=("event.created",))
        kit.ensure()
        assert kit.ensure(other, name="stock") == ("created", {"list": 1, "create": 1})
        assert kit.ensure()[0] == kit.ensure(other, name="stock")[0] == "unchanged"
        assert len(kit.platform.list_hooks()) == 2

    @pytest.mark.parametrize("name", LISTING)
    def test_hooks_of_others_are_left_alone(self, make_kit, name):
        kit = make_kit(name)
        owner = kit.platform.add_hook(url=OTHER_URL, events=["user.created"], name="another").owner
        kit.ensure()
        assert OTHER_URL in [hook.url for hook in kit.platform.list_hooks(owner)]

    def test_a_hook_that_is_there_can_be_adopted(self, kit):
        kit.ensure()
        hook = kit.platform.list_hooks()[0]
        kit.store = TupleStore()
        spec = replace(kit.spec, url=OTHER_URL, name="orders")
        if kit.manager.api.single_event:
            spec = replace(spec, events=hook.events)
        assert kit.ensure(spec, adopt=hook.hook_id)[0] == "updated"
        assert OTHER_URL in [one.url for one in kit.platform.list_hooks()]
        assert kit.ensure(spec)[0] == "unchanged", "it is stored from then on"

    def test_several_webhooks_of_one_name_are_reported_and_none_is_touched(self, make_kit):
        kit = make_kit("akinon")
        organization, project = "a0" * 12, "b1" * 12
        for url in (OTHER_URL, "https://hooks.example.com/c"):
            kit.platform.add_hook((organization, project), url=url, events=["a.b"], name="orders")
        with pytest.raises(HookConflictError, match="set hook_id to the hook"):
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 1}

    def test_a_hook_that_is_only_known_by_its_url_and_differs_is_reported_and_left(self, make_kit):
        kit = make_kit("sentry")
        kit.ensure()
        before = kit.platform.list_hooks()
        kit.store = TupleStore()
        with pytest.raises(HookConflictError, match="differs and is not stored"):
            kit.ensure(replace(kit.spec, events=("event.created",)), name="stock")
        assert kit.platform.list_hooks() == before

    def test_an_adopted_hook_stays_and_the_one_that_was_remembered_goes(self, make_kit):
        kit = make_kit("sentry")
        kit.ensure()
        legacy = kit.platform.add_hook(("sandbox", "pump-station"), url=OTHER_URL, events=["event.alert"])
        assert kit.ensure(adopt=legacy.hook_id) == ("updated", {"list": 1, "update": 1, "delete": 1})
        assert [hook.hook_id for hook in kit.platform.list_hooks()] == [legacy.hook_id]
        assert kit.ensure(adopt=legacy.hook_id) == kit.ensure() == ("unchanged", {"list": 1})

    def test_an_adopted_hook_of_another_event_or_declaration_is_reported_and_left(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.ensure()
        other = kit.platform.add_hook(url=OTHER_URL, events=["user.updated"])
        with pytest.raises(HookConflictError, match=r"has the event user.updated, not one declared"):
            kit.ensure(adopt=other.hook_id)
        kit.ensure(replace(kit.spec, url=OTHER_URL, events=("assignment.created",)), name="stock")
        with pytest.raises(HookConflictError, match="stored for another declaration"):
            kit.ensure(adopt=kit.store.state[0].hook_id)
        assert len(kit.platform.list_hooks()) == 4

    def test_a_hook_to_adopt_that_is_not_there_is_reported(self, kit):
        hook_id = kit.data.unknown_id
        with pytest.raises(ValidationError, match=f"hook_id: {hook_id} does not exist"):
            kit.ensure(adopt=hook_id)
        assert kit.platform.list_hooks() == []
        kit.ensure()
        assert kit.ensure(adopt=hook_id)[0] == "unchanged", "what is stored is used"

    def test_an_adopted_hook_that_was_deleted_later_is_created_again(self, make_kit):
        kit = make_kit("sentry")
        hook = kit.platform.add_hook(("sandbox", "pump-station"), url=URL, events=["event.alert"])
        kit.ensure(adopt=hook.hook_id)
        kit.platform.remove_hook(hook)
        assert kit.ensure(adopt=hook.hook_id)[0] == "created"
        assert kit.ensure(adopt=hook.hook_id)[0] == "unchanged"

    def test_two_registries_with_the_same_ids_share_a_variable_without_harm(self, make_kit):
        kit = make_kit("zstack")
        kit.store.state = (StoredHook(secret="of-another", hook_id="wh-001", registry="another", name="orders"),)
        assert kit.ensure()[0] == "created"
        assert [one.secret for one in kit.store.state if one.registry == "another"] == ["of-another"]
        kit.reconciler().delete(["wh-001"])
        assert [one.secret for one in kit.store.state] == ["of-another"]

    def test_an_id_that_another_registry_remembers_is_not_taken_here(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.ensure()
        kit.store.state = tuple(replace(one, registry="another", name="stock") for one in kit.store.state)
        assert kit.ensure() == ("unchanged", {"list": 1})

    def test_a_superseded_hook_without_a_name_is_not_taken(self, make_kit):
        kit = make_kit("sentry")
        kit.reconciler().register(kit.spec)
        kit.store.state = (replace(kit.store.state[0], expires_at="2999-01-01T00:00:00+00:00", replaced_by="x"),)
        assert kit.ensure()[0] == "created"

    def test_a_move_creates_the_new_hook_before_it_deletes_the_old(self, make_kit):
        kit = make_kit("zstack")
        kit.ensure()
        kit.platform.misbehave("create", "limited", seconds=9)
        with pytest.raises(RegistryError):
            kit.ensure(replace(kit.spec, url=OTHER_URL))
        assert [hook.url for hook in kit.platform.list_hooks()] == [URL]

    @pytest.mark.parametrize(
        ("name", "spec", "names"),
        [(name, spec, names) for name, data in PLATFORM_DATA.items() for spec, names in data.refused],
    )
    def test_one_error_names_every_bad_field_before_any_call(self, make_kit, name, spec, names):
        kit = make_kit(name)
        with pytest.raises(ValidationError) as caught:
            kit.ensure(spec)
        assert set(caught.value.problems) == names
        assert kit.platform.forget_calls() == {}


class TestRegister:
    def test_the_hook_that_is_as_requested_is_taken_and_not_the_first_for_the_url(self, make_kit):
        kit = make_kit("sentry")
        owner = ("sandbox", "pump-station")
        match = kit.platform.add_hook(owner, url=URL, events=["event.alert"])
        kit.platform.add_hook(owner, url=URL, events=["event.created"])
        assert kit.reconciler().register(kit.spec)[0].hook_id == match.hook_id

    def test_the_hook_of_another_registry_is_not_requested(self, make_kit):
        kit = make_kit("zstack")
        kit.store.state = (StoredHook(secret="s", hook_id="wh-009", registry="another", url=URL),)
        assert kit.reconciler().register(kit.spec)[1] is True
        assert kit.platform.forget_calls() == {"create": 1}

    def test_other_headers_are_reported_and_left(self, make_kit):
        kit = make_kit("akinon")
        kit.reconciler().register(kit.spec)
        with pytest.raises(HookConflictError, match="differs in headers"):
            kit.reconciler().register(replace(kit.spec, headers={"X-Key": "another-key"}))

    def test_a_superseded_hook_is_not_taken(self, make_kit):
        kit = make_kit("sentry")
        hook, _ = kit.reconciler().register(kit.spec)
        kit.store.state = (replace(kit.store.state[0], expires_at="2999-01-01T00:00:00+00:00", replaced_by="x"),)
        assert kit.reconciler().register(kit.spec)[0].hook_id != hook.hook_id

    def test_it_registers_once(self, make_kit):
        for name in PLATFORMS:
            kit = make_kit(name)
            spec = replace(kit.spec, events=kit.spec.events[:1] if kit.spec.events else None, is_active=None)
            first, second = kit.reconciler().register(spec), kit.reconciler().register(spec)
            assert (first[0].hook_id, first[1], second[1]) == (second[0].hook_id, True, False)
            assert len(kit.platform.list_hooks()) == 1

    def test_several_events_of_a_single_event_hook_are_an_error_that_names_the_operator(self, make_kit):
        kit = make_kit("smartsheet_rm")
        with pytest.raises(ValidationError, match="EnsureServiceHookOperator"):
            kit.reconciler().register(kit.spec)
        assert kit.platform.forget_calls() == {}

    def test_a_declaration_takes_over_what_was_registered(self, make_kit):
        kit = make_kit("sentry")
        hook, _ = kit.reconciler().register(kit.spec)
        assert kit.ensure() == ("unchanged", {"list": 1})
        (kept,) = kit.store.state
        assert (kept.hook_id, kept.name) == (hook.hook_id, "orders")


class TestBadAnswers:
    @pytest.mark.parametrize("name", LISTING)
    @pytest.mark.parametrize("kind", ["lost", "truncated", "missing_field"])
    def test_a_hook_whose_answer_was_lost_is_looked_for_and_taken(self, make_kit, name, kind):
        kit = make_kit(name)
        kit.platform.misbehave("create", kind)
        assert kit.ensure()[0] == "created"
        assert kit.ensure() == ("unchanged", {"list": 1})
        assert len(kit.platform.list_hooks()) == kit.data.first_calls["create"]

    @pytest.mark.parametrize("name", LISTING)
    @pytest.mark.parametrize("kind", ["ignored", "error", "html"])
    def test_a_hook_that_was_not_made_is_looked_for_and_left_to_a_retry(self, make_kit, name, kind):
        kit = make_kit(name)
        kit.platform.misbehave("create", kind)
        with pytest.raises(RegistryError) as caught:
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 2, "create": 1}
        assert caught.value.retryable == (kind != "html")
        assert kit.ensure()[0] == "created"

    def test_an_answer_that_comes_too_late_is_looked_for(self, make_kit):
        kit = make_kit("sentry", timeout=0.5)
        kit.platform.misbehave("create", "slow", seconds=2)
        assert kit.ensure() == ("created", {"list": 2, "create": 1})

    @pytest.mark.parametrize("kind", ["extra_field"])
    def test_an_undocumented_field_does_no_harm(self, kit, kind):
        for operation in ("list", "create", "get"):
            kit.platform.misbehave(operation, kind)
        assert kit.ensure()[0] == "created"
        assert kit.ensure()[0] == "unchanged"

    @pytest.mark.parametrize("kind", ["error", "lost", "truncated", "html", "missing_field"])
    def test_without_a_list_that_can_be_read_nothing_is_created(self, make_kit, kind):
        kit = make_kit("sentry")
        kit.platform.add_hook(("sandbox", "pump-station"), url=OTHER_URL, events=["event.alert"])
        kit.platform.misbehave("list", kind)
        with pytest.raises(RegistryError):
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 1}

    def test_what_was_done_before_a_failure_is_remembered(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.platform.misbehave("create", "nothing")
        kit.platform.misbehave("create", "limited", seconds=30)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert [one.hook_id for one in kit.store.state] == [hook.hook_id for hook in kit.platform.list_hooks()]
        assert kit.ensure() == ("updated", {"list": 1, "create": 1})


class TestTooManyCalls:
    def test_it_does_not_wait_by_default(self, kit):
        operation = "list" if kit.name in LISTING else "create"
        kit.platform.misbehave(operation, "limited", seconds=1)
        with pytest.raises(RegistryError, match="the limit applies until 20") as caught:
            kit.ensure()
        assert (kit.waited, caught.value.retryable) == ([], True)

    def test_with_max_wait_it_waits_for_the_time_of_the_response_and_no_longer(self, kit):
        kit.max_wait = 60
        operation = "list" if kit.name in LISTING else "create"
        kit.platform.misbehave(operation, "limited", seconds=20)
        assert kit.ensure()[0] == "created"
        (waited,) = kit.waited
        assert 18 < waited <= 20

    def test_it_does_not_wait_longer_than_max_wait(self, kit):
        kit.max_wait = 10
        operation = "list" if kit.name in LISTING else "create"
        kit.platform.misbehave(operation, "limited", seconds=20)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert kit.waited == []

    def test_all_waits_together_are_bounded(self, make_kit):
        kit = make_kit("sentry", max_wait=30)
        kit.platform.misbehave("list", "limited", times=9, seconds=10)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert 2 <= len(kit.waited) <= 3
        assert sum(kit.waited) <= 30


class TestZStackWhichCannotList:
    @pytest.fixture
    def kit(self, make_kit):
        return make_kit("zstack")

    @pytest.mark.parametrize("kind", ["lost", "truncated", "error", "missing_field"])
    def test_a_lost_answer_is_reported_and_never_followed_by_another_hook(self, kit, kind):
        kit.platform.misbehave("create", kind)
        with pytest.raises(HookUncertainError, match="the hook may exist"):
            kit.ensure()
        with pytest.raises(HookUncertainError, match="Look there for 'orders'"):
            kit.ensure()
        assert kit.platform.forget_calls() == {}, "the second time nothing is asked"

    def test_its_secret_is_stored_before_it_is_sent(self, kit):
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        (hook,), (kept,) = kit.platform.list_hooks(), kit.store.state
        assert kept.is_pending
        assert kept.secret == hook.secret
        assert kept.secret in kit.masked

    def test_saying_its_id_settles_it_with_its_secret(self, kit):
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        (hook,) = kit.platform.list_hooks()
        assert kit.ensure(adopt=hook.hook_id) == ("unchanged", {"get": 1})
        (kept,) = kit.store.state
        assert (kept.hook_id, kept.secret, kept.is_pending) == (hook.hook_id, hook.secret, False)
        assert kit.ensure() == ("unchanged", {"get": 1})

    def test_saying_create_creates_it_with_the_stored_secret(self, kit):
        kit.platform.misbehave("create", "ignored")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        (asked,) = kit.store.state
        assert kit.ensure(on_uncertain_create="create") == ("created", {"create": 1})
        (hook,), (kept,) = kit.platform.list_hooks(), kit.store.state
        assert (kept.hook_id, kept.secret) == (hook.hook_id, asked.secret)

    def test_a_note_never_takes_the_place_of_a_secret_that_is_known(self, kit):
        kit.ensure()
        kit.platform.misbehave("create", "ignored")
        with pytest.raises(HookUncertainError):
            kit.ensure(replace(kit.spec, url=OTHER_URL))
        assert kit.ensure() == ("unchanged", {"get": 1}), "the user returns to the declaration before"
        secrets = {one.hook_id: one.secret for one in kit.store.state if one.hook_id}
        assert secrets == {hook.hook_id: hook.secret for hook in kit.platform.list_hooks()}
        with pytest.raises(HookUncertainError):
            kit.ensure(replace(kit.spec, url=OTHER_URL))

    def test_a_lost_move_is_settled_by_the_id_of_the_new_hook(self, kit):
        kit.ensure()
        moved = replace(kit.spec, url=OTHER_URL)
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure(moved)
        new = kit.platform.list_hooks()[0]
        assert kit.ensure(moved, adopt=new.hook_id) == ("updated", {"get": 2, "delete": 1})
        assert [(one.hook_id, one.secret) for one in kit.store.state] == [(new.hook_id, new.secret)]

    def test_a_note_of_one_declaration_is_not_anothers(self, kit):
        kit.ensure(name="stock")
        kit.platform.misbehave("create", "ignored")
        with pytest.raises(HookUncertainError):
            kit.ensure(name="orders")
        assert kit.ensure(name="stock")[0] == "unchanged"
        assert {one.secret for one in kit.store.state if one.hook_id} == {kit.platform.list_hooks()[0].secret}

    @pytest.mark.parametrize("status", ["limited"])
    def test_a_refusal_leaves_nothing_pending(self, kit, status):
        kit.platform.misbehave("create", status, seconds=5)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert kit.store.state == ()
        assert kit.ensure() == ("created", {"create": 1})

    def test_a_pending_hook_of_another_declaration_is_not_mixed_up(self, kit):
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        other = replace(kit.spec, url=OTHER_URL, name="stock")
        assert kit.ensure(other, name="stock")[0] == "created"

    def test_a_pending_hook_is_not_taken_for_another_url_without_a_name(self, kit):
        kit.store.state = (StoredHook(secret="s", registry="r", url=URL, requested_at="2026-01-01T00:00:00+00:00"),)
        hook, created = kit.reconciler().register(HookSpec(url=OTHER_URL, name="n"))
        assert created
        assert hook.secret != "s"


class TestDelete:
    @pytest.mark.parametrize("name", LISTING)
    def test_a_404_that_may_come_from_another_server_is_not_taken_for_gone(self, make_kit, name, monkeypatch):
        kit = make_kit(name)
        kit.ensure()
        monkeypatch.setattr(type(kit.manager.api), "read_deletion", lambda *_: False)
        monkeypatch.setattr(kit.platform, "remove_hook", lambda _hook: None)
        ids = [hook.hook_id for hook in kit.platform.list_hooks()]
        with pytest.raises(RegistryError, match="but lists it"):
            kit.reconciler().delete(ids)
        assert {one.hook_id for one in kit.store.state} == set(ids)

    def test_a_hook_is_deleted_and_forgotten_and_gone_already_is_fine(self, kit):
        kit.ensure()
        ids = [hook.hook_id for hook in kit.platform.list_hooks()]
        assert kit.reconciler().delete(ids) == (ids, [])
        assert (kit.platform.list_hooks(), kit.store.state) == ([], ())
        assert kit.reconciler().delete(ids) == ([], ids)
