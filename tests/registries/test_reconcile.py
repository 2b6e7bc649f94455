# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reconciliation is idempotent: after every run the hooks match their declaration. The sandbox counts the requests."""

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
    def test_hooks_are_created_once_and_then_unchanged(self, kit):
        assert kit.ensure() == ("created", kit.data.first_calls)
        writes = kit.store.writes
        for _ in range(2):
            assert kit.ensure() == ("unchanged", kit.data.later_calls)
        assert kit.store.writes == writes, "nothing new is stored"
        assert len(kit.platform.list_hooks()) == kit.data.first_calls["create"]

    def test_created_hooks_have_the_declared_fields(self, kit):
        kit.ensure()
        hooks = kit.platform.list_hooks()
        assert {hook.url for hook in hooks} == {URL}
        if kit.spec.events:
            assert {event for hook in hooks for event in hook.events} == set(kit.spec.events)
        if kit.spec.headers:
            assert (hooks[0].name, hooks[0].headers) == ("orders", kit.spec.headers)

    def test_changed_url_updates_hooks_without_duplicates(self, kit):
        kit.ensure()
        before = len(kit.platform.list_hooks())
        assert kit.ensure(replace(kit.spec, url=OTHER_URL)) == ("updated", kit.data.moved_calls)
        assert [hook.url for hook in kit.platform.list_hooks()] == [OTHER_URL] * before
        assert kit.ensure(replace(kit.spec, url=OTHER_URL)) == ("unchanged", kit.data.later_calls)

    def test_hook_deleted_on_the_platform_is_created_again_and_its_entry_removed(self, kit):
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
        (stored,) = kit.store.state
        assert (stored.secret, stored.hook_id, stored.registry, stored.name) == (
            hook.secret,
            hook.hook_id,
            "r",
            "orders",
        )
        assert hook.secret in kit.masked

    @pytest.mark.parametrize("name", READABLE)
    def test_hook_without_a_stored_entry_is_found_and_not_duplicated(self, make_kit, name):
        kit = make_kit(name)
        kit.ensure()
        before = kit.store.state
        kit.store = TupleStore()
        assert kit.ensure() == ("unchanged", {"list": 1})
        assert {one.hook_id for one in kit.store.state} == {one.hook_id for one in before}
        assert {one.secret for one in kit.store.state} == {one.secret for one in before}

    @pytest.mark.parametrize("name", INACTIVE)
    def test_is_active_activates_and_deactivates_a_hook(self, make_kit, name):
        kit = make_kit(name)
        kit.ensure()
        inactive = replace(kit.spec, is_active=False)
        assert kit.ensure(inactive) == ("updated", {"list": 1, "update": 1})
        assert [hook.is_active for hook in kit.platform.list_hooks()] == [False]
        assert kit.ensure(inactive)[0] == "unchanged"
        assert kit.ensure() == ("updated", {"list": 1, "update": 1})

    @pytest.mark.parametrize("name", INACTIVE)
    def test_a_hook_can_be_created_inactive(self, make_kit, name):
        kit = make_kit(name)
        assert kit.ensure(replace(kit.spec, is_active=False))[0] == "created"
        assert [hook.is_active for hook in kit.platform.list_hooks()] == [False]

    @pytest.mark.parametrize("name", [name for name in PLATFORMS if name not in INACTIVE])
    def test_unsupported_is_active_is_refused_before_any_call(self, make_kit, name):
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
    def test_order_of_events_is_ignored(self, make_kit, name):
        kit = make_kit(name)
        events = max(kit.data.events, key=len)
        kit.ensure(replace(kit.spec, events=events))
        assert kit.ensure(replace(kit.spec, events=events[::-1])) == ("unchanged", {"list": 1})

    def test_undeclared_fields_stay_unchanged(self, make_kit):
        kit = make_kit("akinon")
        kit.ensure()
        assert kit.ensure(replace(kit.spec, headers=None, is_active=None)) == ("unchanged", {"list": 1})

    def test_hook_whose_signing_was_disabled_is_replaced(self, make_kit):
        kit = make_kit("zstack")
        kit.ensure()
        (hook,) = kit.platform.list_hooks()
        kit.platform.change_hook(hook, is_active=False)
        assert kit.ensure() == ("updated", kit.data.moved_calls)
        assert [one.is_active for one in kit.platform.list_hooks()] == [True]

    def test_adding_or_removing_an_event_creates_or_deletes_its_hook(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.ensure()
        more = replace(kit.spec, events=(*kit.spec.events, "user.updated"))
        assert kit.ensure(more) == ("updated", {"list": 1, "create": 1})
        assert kit.ensure(kit.spec) == ("updated", {"list": 1, "delete": 1})
        assert kit.ensure(kit.spec) == ("unchanged", {"list": 1})
        assert {one.hook_id for one in kit.store.state} == {hook.hook_id for hook in kit.platform.list_hooks()}

    def test_limit_of_ten_hooks_per_event_is_checked_before_creation(self, make_kit):
        kit = make_kit("smartsheet_rm")
        for number in range(10):
            kit.platform.add_hook(url=f"https://hooks.example.com/{number}", events=["user.created"])
        with pytest.raises(ValidationError, match=r"events: .* at most 10 hooks of user.created"):
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 1}

    def test_hook_of_an_event_at_the_limit_can_be_moved(self, make_kit):
        kit = make_kit("smartsheet_rm")
        spec = replace(kit.spec, events=("user.created",))
        kit.ensure(spec)
        for number in range(9):
            kit.platform.add_hook(url=f"https://hooks.example.com/{number}", events=["user.created"])
        assert kit.ensure(replace(spec, url=OTHER_URL)) == ("updated", {"list": 1, "create": 1, "delete": 1})

    def test_declarations_in_one_store_are_independent(self, make_kit):
        kit = make_kit("sentry")
        other = replace(kit.spec, events=("event.created",))
        kit.ensure()
        assert kit.ensure(other, name="stock") == ("created", {"list": 1, "create": 1})
        assert kit.ensure()[0] == kit.ensure(other, name="stock")[0] == "unchanged"
        assert len(kit.platform.list_hooks()) == 2

    @pytest.mark.parametrize("name", LISTING)
    def test_undeclared_hooks_stay_unchanged(self, make_kit, name):
        kit = make_kit(name)
        owner = kit.platform.add_hook(url=OTHER_URL, events=["user.created"], name="another").owner
        kit.ensure()
        assert OTHER_URL in [hook.url for hook in kit.platform.list_hooks(owner)]

    def test_an_existing_hook_can_be_adopted(self, kit):
        kit.ensure()
        hook = kit.platform.list_hooks()[0]
        kit.store = TupleStore()
        spec = replace(kit.spec, url=OTHER_URL, name="orders")
        if kit.manager.api.single_event:
            spec = replace(spec, events=hook.events)
        assert kit.ensure(spec, adopt=hook.hook_id)[0] == "updated"
        assert OTHER_URL in [one.url for one in kit.platform.list_hooks()]
        assert kit.ensure(spec)[0] == "unchanged", "the adopted hook is stored"

    def test_ambiguous_name_is_a_conflict_and_changes_no_hook(self, make_kit):
        kit = make_kit("akinon")
        organization, project = "a0" * 12, "b1" * 12
        for url in (OTHER_URL, "https://hooks.example.com/c"):
            kit.platform.add_hook((organization, project), url=url, events=["a.b"], name="orders")
        with pytest.raises(HookConflictError, match="set hook_id to the hook"):
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 1}

    def test_differing_hook_known_by_url_only_is_a_conflict_and_stays_unchanged(self, make_kit):
        kit = make_kit("sentry")
        kit.ensure()
        before = kit.platform.list_hooks()
        kit.store = TupleStore()
        with pytest.raises(HookConflictError, match="differs and is not stored"):
            kit.ensure(replace(kit.spec, events=("event.created",)), name="stock")
        assert kit.platform.list_hooks() == before

    def test_adopting_a_hook_deletes_the_stored_one(self, make_kit):
        kit = make_kit("sentry")
        kit.ensure()
        legacy = kit.platform.add_hook(("sandbox", "pump-station"), url=OTHER_URL, events=["event.alert"])
        assert kit.ensure(adopt=legacy.hook_id) == ("updated", {"list": 1, "update": 1, "delete": 1})
        assert [hook.hook_id for hook in kit.platform.list_hooks()] == [legacy.hook_id]
        assert kit.ensure(adopt=legacy.hook_id) == kit.ensure() == ("unchanged", {"list": 1})

    def test_adopting_a_hook_of_another_event_or_declaration_is_a_conflict(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.ensure()
        other = kit.platform.add_hook(url=OTHER_URL, events=["user.updated"])
        with pytest.raises(HookConflictError, match=r"has the event user.updated, not one declared"):
            kit.ensure(adopt=other.hook_id)
        kit.ensure(replace(kit.spec, url=OTHER_URL, events=("assignment.created",)), name="stock")
        with pytest.raises(HookConflictError, match="stored for another declaration"):
            kit.ensure(adopt=kit.store.state[0].hook_id)
        assert len(kit.platform.list_hooks()) == 4

    def test_adopting_an_unknown_hook_id_is_refused(self, kit):
        hook_id = kit.data.unknown_id
        with pytest.raises(ValidationError, match=f"hook_id: {hook_id} does not exist"):
            kit.ensure(adopt=hook_id)
        assert kit.platform.list_hooks() == []
        kit.ensure()
        assert kit.ensure(adopt=hook_id)[0] == "unchanged", "the stored hook is used"

    def test_adopted_hook_deleted_later_is_created_again(self, make_kit):
        kit = make_kit("sentry")
        hook = kit.platform.add_hook(("sandbox", "pump-station"), url=URL, events=["event.alert"])
        kit.ensure(adopt=hook.hook_id)
        kit.platform.remove_hook(hook)
        assert kit.ensure(adopt=hook.hook_id)[0] == "created"
        assert kit.ensure(adopt=hook.hook_id)[0] == "unchanged"

    def test_registries_with_equal_hook_ids_can_share_a_variable(self, make_kit):
        kit = make_kit("zstack")
        kit.store.state = (StoredHook(secret="of-another", hook_id="wh-001", registry="another", name="orders"),)
        assert kit.ensure()[0] == "created"
        assert [one.secret for one in kit.store.state if one.registry == "another"] == ["of-another"]
        kit.reconciler().delete(["wh-001"])
        assert [one.secret for one in kit.store.state] == ["of-another"]

    def test_hook_ids_stored_for_another_registry_do_not_block_a_declaration(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.ensure()
        kit.store.state = tuple(replace(one, registry="another", name="stock") for one in kit.store.state)
        assert kit.ensure() == ("unchanged", {"list": 1})

    def test_superseded_hook_without_a_name_is_not_used(self, make_kit):
        kit = make_kit("sentry")
        kit.reconciler().register(kit.spec)
        kit.store.state = (replace(kit.store.state[0], expires_at="2999-01-01T00:00:00+00:00", replaced_by="x"),)
        assert kit.ensure()[0] == "created"

    def test_replacement_is_created_before_the_old_hook_is_deleted(self, make_kit):
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
    def test_all_invalid_fields_are_named_in_one_error_before_any_call(self, make_kit, name, spec, names):
        kit = make_kit(name)
        with pytest.raises(ValidationError) as caught:
            kit.ensure(spec)
        assert set(caught.value.problems) == names
        assert kit.platform.forget_calls() == {}


class TestRegister:
    def test_matching_hook_is_preferred_to_the_first_one_of_the_url(self, make_kit):
        kit = make_kit("sentry")
        owner = ("sandbox", "pump-station")
        match = kit.platform.add_hook(owner, url=URL, events=["event.alert"])
        kit.platform.add_hook(owner, url=URL, events=["event.created"])
        assert kit.reconciler().register(kit.spec)[0].hook_id == match.hook_id

    def test_hook_id_stored_for_another_registry_is_not_fetched(self, make_kit):
        kit = make_kit("zstack")
        kit.store.state = (StoredHook(secret="s", hook_id="wh-009", registry="another", url=URL),)
        assert kit.reconciler().register(kit.spec)[1] is True
        assert kit.platform.forget_calls() == {"create": 1}

    def test_differing_headers_are_a_conflict(self, make_kit):
        kit = make_kit("akinon")
        kit.reconciler().register(kit.spec)
        with pytest.raises(HookConflictError, match="differs in headers"):
            kit.reconciler().register(replace(kit.spec, headers={"X-Key": "another-key"}))

    def test_superseded_hook_is_not_returned(self, make_kit):
        kit = make_kit("sentry")
        hook, _ = kit.reconciler().register(kit.spec)
        kit.store.state = (replace(kit.store.state[0], expires_at="2999-01-01T00:00:00+00:00", replaced_by="x"),)
        assert kit.reconciler().register(kit.spec)[0].hook_id != hook.hook_id

    def test_repeated_registration_returns_the_same_hook(self, make_kit):
        for name in PLATFORMS:
            kit = make_kit(name)
            spec = replace(kit.spec, events=kit.spec.events[:1] if kit.spec.events else None, is_active=None)
            first, second = kit.reconciler().register(spec), kit.reconciler().register(spec)
            assert (first[0].hook_id, first[1], second[1]) == (second[0].hook_id, True, False)
            assert len(kit.platform.list_hooks()) == 1

    def test_several_events_on_a_single_event_platform_are_refused(self, make_kit):
        kit = make_kit("smartsheet_rm")
        with pytest.raises(ValidationError, match="EnsureServiceHookOperator"):
            kit.reconciler().register(kit.spec)
        assert kit.platform.forget_calls() == {}

    def test_declaration_adopts_a_registered_hook(self, make_kit):
        kit = make_kit("sentry")
        hook, _ = kit.reconciler().register(kit.spec)
        assert kit.ensure() == ("unchanged", {"list": 1})
        (stored,) = kit.store.state
        assert (stored.hook_id, stored.name) == (hook.hook_id, "orders")


class TestFaultyResponses:
    @pytest.mark.parametrize("name", LISTING)
    @pytest.mark.parametrize("kind", ["lost", "truncated", "missing_field"])
    def test_hook_whose_creation_response_is_lost_is_found_in_the_list(self, make_kit, name, kind):
        kit = make_kit(name)
        kit.platform.misbehave("create", kind)
        assert kit.ensure()[0] == "created"
        assert kit.ensure() == ("unchanged", {"list": 1})
        assert len(kit.platform.list_hooks()) == kit.data.first_calls["create"]

    @pytest.mark.parametrize("name", LISTING)
    @pytest.mark.parametrize("kind", ["not_executed", "error", "html"])
    def test_failed_creation_is_looked_up_and_left_to_a_retry(self, make_kit, name, kind):
        kit = make_kit(name)
        kit.platform.misbehave("create", kind)
        with pytest.raises(RegistryError) as caught:
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 2, "create": 1}
        assert caught.value.retryable == (kind != "html")
        assert kit.ensure()[0] == "created"

    def test_hook_whose_creation_times_out_is_found_in_the_list(self, make_kit):
        kit = make_kit("sentry", timeout=0.5)
        kit.platform.misbehave("create", "slow", seconds=2)
        assert kit.ensure() == ("created", {"list": 2, "create": 1})

    @pytest.mark.parametrize("kind", ["extra_field"])
    def test_undocumented_fields_are_ignored(self, kit, kind):
        for operation in ("list", "create", "get"):
            kit.platform.misbehave(operation, kind)
        assert kit.ensure()[0] == "created"
        assert kit.ensure()[0] == "unchanged"

    @pytest.mark.parametrize("kind", ["error", "lost", "truncated", "html", "missing_field"])
    def test_unreadable_list_prevents_creation(self, make_kit, kind):
        kit = make_kit("sentry")
        kit.platform.add_hook(("sandbox", "pump-station"), url=OTHER_URL, events=["event.alert"])
        kit.platform.misbehave("list", kind)
        with pytest.raises(RegistryError):
            kit.ensure()
        assert kit.platform.forget_calls() == {"list": 1}

    def test_hooks_created_before_a_failure_are_stored(self, make_kit):
        kit = make_kit("smartsheet_rm")
        kit.platform.misbehave("create", "nothing")
        kit.platform.misbehave("create", "limited", seconds=30)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert [one.hook_id for one in kit.store.state] == [hook.hook_id for hook in kit.platform.list_hooks()]
        assert kit.ensure() == ("updated", {"list": 1, "create": 1})


class TestRateLimit:
    def test_default_is_an_error_without_waiting(self, kit):
        operation = "list" if kit.name in LISTING else "create"
        kit.platform.misbehave(operation, "limited", seconds=1)
        with pytest.raises(RegistryError, match="the limit applies until 20") as caught:
            kit.ensure()
        assert (kit.waited, caught.value.retryable) == ([], True)

    def test_max_wait_allows_waiting_for_the_time_of_the_response(self, kit):
        kit.max_wait = 60
        operation = "list" if kit.name in LISTING else "create"
        kit.platform.misbehave(operation, "limited", seconds=20)
        assert kit.ensure()[0] == "created"
        (waited,) = kit.waited
        assert 18 < waited <= 20

    def test_wait_longer_than_max_wait_is_an_error(self, kit):
        kit.max_wait = 10
        operation = "list" if kit.name in LISTING else "create"
        kit.platform.misbehave(operation, "limited", seconds=20)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert kit.waited == []

    def test_total_of_all_waits_is_bounded_by_max_wait(self, make_kit):
        kit = make_kit("sentry", max_wait=30)
        kit.platform.misbehave("list", "limited", times=9, seconds=10)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert 2 <= len(kit.waited) <= 3
        assert sum(kit.waited) <= 30


class TestZStackWithoutList:
    @pytest.fixture
    def kit(self, make_kit):
        return make_kit("zstack")

    @pytest.mark.parametrize("kind", ["lost", "truncated", "error", "missing_field"])
    def test_uncertain_creation_is_reported_and_not_repeated(self, kit, kind):
        kit.platform.misbehave("create", kind)
        with pytest.raises(HookUncertainError, match="the hook may exist"):
            kit.ensure()
        with pytest.raises(HookUncertainError, match="Look there for 'orders'"):
            kit.ensure()
        assert kit.platform.forget_calls() == {}, "the second run sends no request"

    def test_secret_is_stored_before_the_creation_request(self, kit):
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        (hook,), (stored,) = kit.platform.list_hooks(), kit.store.state
        assert stored.is_pending
        assert stored.secret == hook.secret
        assert stored.secret in kit.masked

    def test_hook_id_resolves_an_uncertain_creation_with_its_secret(self, kit):
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        (hook,) = kit.platform.list_hooks()
        assert kit.ensure(adopt=hook.hook_id) == ("unchanged", {"get": 1})
        (stored,) = kit.store.state
        assert (stored.hook_id, stored.secret, stored.is_pending) == (hook.hook_id, hook.secret, False)
        assert kit.ensure() == ("unchanged", {"get": 1})

    def test_on_uncertain_create_creates_the_hook_with_the_stored_secret(self, kit):
        kit.platform.misbehave("create", "not_executed")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        (pending,) = kit.store.state
        assert kit.ensure(on_uncertain_create="create") == ("created", {"create": 1})
        (hook,), (stored,) = kit.platform.list_hooks(), kit.store.state
        assert (stored.hook_id, stored.secret) == (hook.hook_id, pending.secret)

    def test_pending_entry_does_not_replace_a_known_secret(self, kit):
        kit.ensure()
        kit.platform.misbehave("create", "not_executed")
        with pytest.raises(HookUncertainError):
            kit.ensure(replace(kit.spec, url=OTHER_URL))
        assert kit.ensure() == ("unchanged", {"get": 1}), "the user restores the previous declaration"
        secrets = {one.hook_id: one.secret for one in kit.store.state if one.hook_id}
        assert secrets == {hook.hook_id: hook.secret for hook in kit.platform.list_hooks()}
        with pytest.raises(HookUncertainError):
            kit.ensure(replace(kit.spec, url=OTHER_URL))

    def test_hook_id_resolves_an_uncertain_change_of_the_url(self, kit):
        kit.ensure()
        moved = replace(kit.spec, url=OTHER_URL)
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure(moved)
        new = kit.platform.list_hooks()[0]
        assert kit.ensure(moved, adopt=new.hook_id) == ("updated", {"get": 2, "delete": 1})
        assert [(one.hook_id, one.secret) for one in kit.store.state] == [(new.hook_id, new.secret)]

    def test_pending_entry_leaves_another_declaration_unchanged(self, kit):
        kit.ensure(name="stock")
        kit.platform.misbehave("create", "not_executed")
        with pytest.raises(HookUncertainError):
            kit.ensure(name="orders")
        assert kit.ensure(name="stock")[0] == "unchanged"
        assert {one.secret for one in kit.store.state if one.hook_id} == {kit.platform.list_hooks()[0].secret}

    @pytest.mark.parametrize("status", ["limited"])
    def test_refused_creation_leaves_no_pending_entry(self, kit, status):
        kit.platform.misbehave("create", status, seconds=5)
        with pytest.raises(RegistryError, match="HTTP 429"):
            kit.ensure()
        assert kit.store.state == ()
        assert kit.ensure() == ("created", {"create": 1})

    def test_pending_entry_does_not_block_another_declaration(self, kit):
        kit.platform.misbehave("create", "lost")
        with pytest.raises(HookUncertainError):
            kit.ensure()
        other = replace(kit.spec, url=OTHER_URL, name="stock")
        assert kit.ensure(other, name="stock")[0] == "created"

    def test_pending_entry_is_not_used_for_another_url(self, kit):
        kit.store.state = (StoredHook(secret="s", registry="r", url=URL, requested_at="2026-01-01T00:00:00+00:00"),)
        hook, created = kit.reconciler().register(HookSpec(url=OTHER_URL, name="n"))
        assert created
        assert hook.secret != "s"


class TestDelete:
    @pytest.mark.parametrize("name", LISTING)
    def test_hook_that_is_still_listed_after_a_404_is_an_error(self, make_kit, name, monkeypatch):
        kit = make_kit(name)
        kit.ensure()
        monkeypatch.setattr(type(kit.manager.api), "read_deletion", lambda *_: False)
        monkeypatch.setattr(kit.platform, "remove_hook", lambda _hook: None)
        ids = [hook.hook_id for hook in kit.platform.list_hooks()]
        with pytest.raises(RegistryError, match="but lists it"):
            kit.reconciler().delete(ids)
        assert {one.hook_id for one in kit.store.state} == set(ids)

    def test_deleted_hook_leaves_the_store_and_deletion_can_be_repeated(self, kit):
        kit.ensure()
        ids = [hook.hook_id for hook in kit.platform.list_hooks()]
        assert kit.reconciler().delete(ids) == (ids, [])
        assert (kit.platform.list_hooks(), kit.store.state) == ([], ())
        assert kit.reconciler().delete(ids) == ([], ids)
