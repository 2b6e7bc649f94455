# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A secret is rotated once for each ``idempotency_key``, even if a process is interrupted in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_hooks.exceptions import (
    HookConflictError,
    RegistryError,
    ServiceHookError,
    UnsupportedOperationError,
    ValidationError,
)
from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.registries.store import format_state, parse_state
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.registries.platform_data import PLATFORM_DATA
from tests.registries.reconciler_data import Kit

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.fixture
def make_kit(sandbox):
    def make(name):
        kit = Kit(sandbox=sandbox, name=name)
        kit.ensure()
        kit.platform.forget_calls()
        return kit

    return make


def rotate(kit, *, idempotency_key="a", hook_id=None, now=NOW):
    hook_id = hook_id or kit.store.state[0].hook_id
    return kit.rotation(idempotency_key).rotate(hook_id, overlap=HOUR, now=now)


def secrets_in_use(kit):
    return parse_secrets(format_state(kit.store.state))


class TestZStack:
    def test_rotation_call_of_the_platform_replaces_the_secret(self, make_kit):
        kit = make_kit("zstack")
        (before,) = secrets_in_use(kit)
        rotated = rotate(kit)
        (hook,) = kit.platform.list_hooks()
        assert kit.platform.forget_calls() == {"rotate": 1}
        assert secrets_in_use(kit) == (hook.secret,) != (before,)
        assert hook.secret in kit.masked
        assert (rotated.hook_id, rotated.old_hook_id, rotated.expires_at) == (hook.hook_id, None, None)

    def test_equal_idempotency_key_rotates_once(self, make_kit):
        kit = make_kit("zstack")
        assert rotate(kit) == rotate(kit)
        assert kit.platform.forget_calls() == {"rotate": 1}
        rotate(kit, idempotency_key="b")
        assert kit.platform.forget_calls() == {"rotate": 1}

    def test_response_without_a_secret_is_an_error(self, make_kit, monkeypatch):
        kit = make_kit("zstack")
        monkeypatch.setattr(kit.platform, "make_secret", str)
        with pytest.raises(RegistryError, match="no signingSecretPlaintext"):
            rotate(kit)
        monkeypatch.undo()
        rotate(kit)
        assert secrets_in_use(kit) == (kit.platform.list_hooks()[0].secret,)

    def test_lost_response_is_followed_by_another_rotation(self, make_kit):
        kit = make_kit("zstack")
        kit.platform.misbehave("rotate", "lost")
        with pytest.raises(RegistryError) as caught:
            rotate(kit)
        assert caught.value.retryable
        rotate(kit)
        assert secrets_in_use(kit) == (kit.platform.list_hooks()[0].secret,)


class TestSentry:
    @pytest.fixture
    def kit(self, make_kit):
        return make_kit("sentry")

    def test_new_hook_exists_next_to_the_old_and_its_secret_is_first(self, kit):
        (old,) = kit.platform.list_hooks()
        rotated = rotate(kit)
        new, before = kit.platform.list_hooks()
        assert before == old
        assert (new.url, new.events) == (old.url, old.events)
        assert secrets_in_use(kit) == (new.secret, old.secret)
        assert (rotated.hook_id, rotated.old_hook_id) == (new.hook_id, old.hook_id)
        assert rotated.expires_at == NOW + HOUR
        assert kit.platform.forget_calls() == {"list": 1, "create": 1}

    def test_end_of_the_overlap_deletes_the_old_hook_and_its_secret(self, kit):
        rotated = rotate(kit)
        kit.rotation().finish(rotated)
        (hook,) = kit.platform.list_hooks()
        assert hook.hook_id == rotated.hook_id
        assert secrets_in_use(kit) == (hook.secret,)
        kit.rotation().finish(rotated)
        assert len(kit.platform.list_hooks()) == 1, "finishing can be repeated"

    def test_equal_idempotency_key_returns_the_first_rotation(self, kit):
        old_id = kit.store.state[0].hook_id
        first = rotate(kit, hook_id=old_id)
        assert rotate(kit, hook_id=old_id, now=NOW + timedelta(minutes=9)) == first
        kit.rotation().finish(first)
        again = rotate(kit, hook_id=old_id)
        assert (again.hook_id, again.old_hook_id) == (first.hook_id, None)
        assert len(kit.platform.list_hooks()) == 1

    @pytest.mark.parametrize("kind", ["lost", "truncated"])
    def test_hook_whose_creation_response_is_lost_is_found_in_the_list(self, kit, kind):
        kit.platform.misbehave("create", kind)
        rotated = rotate(kit)
        assert rotated.hook_id == kit.platform.list_hooks()[0].hook_id
        assert len(kit.platform.list_hooks()) == 2

    def test_old_hook_is_not_mistaken_for_a_new_one_that_was_not_created(self, kit):
        kit.platform.misbehave("create", "not_executed")
        with pytest.raises(RegistryError, match="no complete response"):
            rotate(kit)
        assert len(kit.platform.list_hooks()) == 1
        rotate(kit)
        assert len(kit.platform.list_hooks()) == 2

    def test_next_try_uses_the_hook_that_an_interrupted_try_created(self, kit, monkeypatch):
        write = kit.store.write

        def interrupt(state):
            if kit.store.writes and any(one.rotation_key and one.hook_id for one in state):
                raise KeyboardInterrupt
            write(state)

        monkeypatch.setattr(kit.store, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            rotate(kit)
        monkeypatch.undo()
        assert len(kit.platform.list_hooks()) == 2
        kit.platform.forget_calls()
        rotated = rotate(kit, hook_id=kit.store.state[0].hook_id)
        assert kit.platform.forget_calls() == {"list": 1}, "no third hook"
        assert rotated.hook_id == kit.platform.list_hooks()[0].hook_id

    def test_existing_hook_of_the_same_url_is_not_mistaken_for_the_new_one(self, kit):
        (old,) = kit.platform.list_hooks()
        other = kit.platform.add_hook(old.owner, url=old.url, events=old.events)
        rotated = rotate(kit)
        assert rotated.hook_id not in {old.hook_id, other.hook_id}

    def test_another_idempotency_key_is_a_conflict_until_the_overlap_ends(self, kit):
        first = rotate(kit)
        with pytest.raises(HookConflictError, match="replaced by another rotation"):
            rotate(kit, idempotency_key="b", hook_id=first.hook_id, now=NOW + timedelta(minutes=59))
        second = rotate(kit, idempotency_key="b", hook_id=first.hook_id, now=NOW + 2 * HOUR)
        assert second.old_hook_id == first.hook_id
        assert {hook.hook_id for hook in kit.platform.list_hooks()} == {first.hook_id, second.hook_id}

    def test_a_declaration_uses_the_new_hook_and_leaves_the_superseded_one(self, kit):
        rotated = rotate(kit, now=datetime.now(timezone.utc))
        assert kit.ensure() == ("unchanged", {"list": 1})
        assert secrets_in_use(kit)[0] == kit.platform.find_hook(rotated.hook_id).secret
        assert len(kit.platform.list_hooks()) == 2

    def test_a_declaration_deletes_a_hook_after_its_overlap(self, kit):
        rotated = rotate(kit)
        assert kit.ensure()[0] == "updated"
        assert [hook.hook_id for hook in kit.platform.list_hooks()] == [rotated.hook_id]

    def test_another_idempotency_key_completes_an_interrupted_try(self, kit, monkeypatch):
        write = kit.store.write

        def interrupt(state):
            if any(one.rotation_key and one.hook_id for one in state):
                raise KeyboardInterrupt
            write(state)

        monkeypatch.setattr(kit.store, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            rotate(kit, idempotency_key="a")
        monkeypatch.undo()
        rotated = rotate(kit, idempotency_key="b")
        kit.rotation("b").finish(rotated)
        assert [hook.hook_id for hook in kit.platform.list_hooks()] == [rotated.hook_id]
        assert [one.hook_id for one in kit.store.state] == [rotated.hook_id], "no pending entry is left"

    def test_hook_registered_meanwhile_for_another_event_is_not_used(self, kit):
        kit.platform.misbehave("create", "lost")
        kit.platform.misbehave("list", "nothing")
        kit.platform.misbehave("list", "error")
        with pytest.raises(RegistryError):
            rotate(kit)
        lost = kit.platform.list_hooks()[0]
        kit.platform.remove_hook(lost)
        stock = kit.platform.add_hook(lost.owner, url=lost.url, events=["event.created"])
        rotated = rotate(kit)
        assert rotated.hook_id not in {stock.hook_id, lost.hook_id}

    def test_refused_creation_leaves_no_pending_entry(self, kit):
        kit.platform.misbehave("create", "limited", seconds=9)
        with pytest.raises(RegistryError, match="HTTP 429"):
            rotate(kit)
        assert len(kit.store.state) == 1

    def test_an_inactive_hook_stays_inactive(self, kit):
        (old,) = kit.platform.list_hooks()
        kit.platform.change_hook(old, is_active=False)
        rotate(kit)
        assert [hook.is_active for hook in kit.platform.list_hooks()] == [False, False]

    def test_the_new_hook_has_the_events_of_the_old(self, kit):
        (old,) = kit.platform.list_hooks()
        kit.platform.change_hook(old, events=("event.alert", "event.created"))
        rotate(kit)
        assert kit.platform.list_hooks()[0].events == ("event.alert", "event.created")

    def test_equal_hook_id_of_another_registry_does_not_change_the_name(self, kit):
        (mine,) = kit.store.state
        kit.store.state = (replace(mine, registry="another", name="stock", secret="of-another"), mine)
        rotated = rotate(kit, hook_id=mine.hook_id)
        names = {(one.registry, one.hook_id): (one.name, one.superseded) for one in kit.store.state}
        assert names["r", rotated.hook_id] == ("orders", False)
        assert names["another", mine.hook_id] == ("stock", False)

    def test_two_hooks_of_one_store_are_rotated_independently(self, kit):
        other, _ = kit.reconciler().register(replace(kit.spec, url="https://hooks.example.com/z"))
        first = rotate(kit, hook_id=kit.platform.list_hooks()[1].hook_id)
        second = rotate(kit, idempotency_key="b", hook_id=other.hook_id)
        assert second.old_hook_id == other.hook_id != first.old_hook_id

    def test_unknown_hook_id_is_refused(self, kit):
        with pytest.raises(ValidationError, match="hook_id: abc does not exist"):
            rotate(kit, hook_id="abc")

    def test_invalid_time_in_the_variable_is_reported(self, kit):
        rotated = rotate(kit)
        text = format_state(kit.store.state).replace(str(NOW.year), "soon")
        kit.store.state = parse_state(text)
        with pytest.raises(ServiceHookError, match="not an ISO 8601 time"):
            rotate(kit, idempotency_key="b", hook_id=rotated.hook_id)


@pytest.mark.parametrize("name", [name for name in PLATFORM_DATA if not load_platforms()[name].platform.signs])
def test_rotation_is_refused_on_a_platform_that_does_not_sign(make_kit, name):
    with pytest.raises(UnsupportedOperationError, match="not signed"):
        rotate(make_kit(name))
