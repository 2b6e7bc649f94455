# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The hook store in a Variable, and the lock that prevents two runs from overwriting each other's changes."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_hooks._runtime.variable_lock import VariableLock
from airflow_provider_hooks._runtime.variable_store import VariableHookStore, check_variable_name, default_variable_name
from airflow_provider_hooks.exceptions import LockError, ServiceHookError, ValidationError
from airflow_provider_hooks.registries.store import StoredHook

FIRST, SECOND = StoredHook(secret="s1", hook_id="h1"), StoredHook(secret="s2", hook_id="h2")


class TestVariableHookStore:
    def test_written_hooks_are_read_back(self, variables):
        store = VariableHookStore("hooks")
        store.check()
        assert store.read() == ()
        store.write((FIRST, SECOND))
        store.check()
        assert store.read() == (FIRST, SECOND)

    def test_variable_is_read_once_until_it_is_written(self, variables, monkeypatch):
        store, reads, get = VariableHookStore("hooks"), [], variables.get
        monkeypatch.setattr(variables, "get", lambda *arguments, **named: reads.append(1) or get(*arguments, **named))
        assert [store.read() for _ in range(3)] == [()] * 3
        store.write((FIRST,))
        assert (store.read(), len(reads)) == ((FIRST,), 2)

    def test_unreadable_variable_is_a_retryable_error_and_not_missing(self, variables):
        variables.set("hooks", "a-secret")
        variables.unreadable.add("hooks")
        with pytest.raises(ServiceHookError, match="exists but cannot be read now") as caught:
            VariableHookStore("hooks").read()
        assert caught.value.retryable

    def test_variable_from_the_environment_is_refused(self, variables, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "a-secret")
        with pytest.raises(ServiceHookError, match="comes from the environment or a secrets backend"):
            VariableHookStore("hooks").check()

    def test_variable_in_both_environment_and_database_is_refused(self, variables, monkeypatch):
        variables.set("hooks", "a-secret")
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "another-secret")
        with pytest.raises(ServiceHookError, match="comes from the environment"):
            VariableHookStore("hooks").check()

    def test_write_that_does_not_read_back_is_an_error(self, variables, monkeypatch):
        variables.set("hooks", "a-secret")
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "another-secret")
        with pytest.raises(ServiceHookError, match="does not read back"):
            VariableHookStore("hooks").write((FIRST,))

    @pytest.mark.parametrize(
        "name", ["", "  ", "x" * 201, "a__lock__b", "a\nb", "a b", "a?b", "a#b", "a/b", "a%b", "ü", None, 7]
    )
    def test_invalid_variable_name_is_refused(self, name):
        with pytest.raises(ValidationError, match="secret_variable"):
            check_variable_name(name)


@pytest.mark.parametrize("name", ["orders#2", "orders?x", "a b", "ü", "x" * 300, "a/b"])
def test_default_variable_names_are_valid_and_unique(name):
    check_variable_name(default_variable_name("r", name))
    assert default_variable_name("r", name) != default_variable_name("r", "orders")
    assert default_variable_name("a_b", "c") != default_variable_name("a", "b_c")
    assert default_variable_name("r", name) != default_variable_name(
        "r", default_variable_name("", name)[len("service_hook_secret_:") :]
    )
    assert default_variable_name("r", "orders-2") == "service_hook_secret_r:orders-2"


class TestVariableLock:
    def test_lock_key_is_deleted_on_exit(self, variables):
        with VariableLock("hooks"):
            assert len(variables.stored) == 1
        assert variables.stored == {}
        with pytest.raises(ZeroDivisionError), VariableLock("hooks"):
            raise ZeroDivisionError
        assert variables.stored == {}

    def test_concurrent_updates_under_the_lock_lose_no_change(self, variables):
        variables.pause = 0.001
        holders, most_holders, lock = 0, 0, threading.Lock()

        def register(number):
            nonlocal holders, most_holders
            with VariableLock("hooks"):
                with lock:
                    holders += 1
                    most_holders = max(most_holders, holders)
                store = VariableHookStore("hooks")
                stored = store.read()
                time.sleep(0.002)
                store.write((StoredHook(secret=f"s{number}", hook_id=f"h{number}"), *stored))
                with lock:
                    holders -= 1

        threads = [threading.Thread(target=register, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert most_holders == 1
        assert {one.hook_id for one in VariableHookStore("hooks").read()} == {f"h{number}" for number in range(12)}
        assert set(variables.stored) == {"hooks"}

    def test_locks_of_different_variables_are_independent(self, variables):
        with VariableLock("hooks"), VariableLock("hooks2"), VariableLock("hook"):
            assert len(variables.stored) == 3

    def test_lock_of_a_dead_holder_is_acquired_after_its_lease(self, variables):
        dead = VariableLock("hooks", lease=0.3)
        dead.__enter__()
        started = time.monotonic()
        with VariableLock("hooks", lease=0.3):
            waited = time.monotonic() - started
        assert 0.3 <= waited < 2
        assert variables.stored == {}

    def test_lock_of_a_holder_that_renews_it_is_not_acquired(self, variables):
        with VariableLock("hooks", lease=0.4) as holder:
            waiting = VariableLock("hooks", lease=0.4)
            thread = threading.Thread(target=waiting.__enter__, daemon=True)
            thread.start()
            holder.wait(1.2)
            assert thread.is_alive()
        thread.join(5)
        assert not thread.is_alive()

    def test_renewal_fails_after_the_lock_was_lost(self, variables):
        now = [0.0]
        slow = VariableLock("hooks", lease=60, clock=lambda: now[0])
        slow.__enter__()
        slow.renew()
        variables.stored.clear()
        slow.renew()
        now[0] = 30
        with pytest.raises(LockError, match="took over"):
            slow.renew()

    def test_renewal_fails_if_the_lock_is_lost_meanwhile(self, variables, monkeypatch):
        now = [0.0]
        holder = VariableLock("hooks", lease=60, clock=lambda: now[0])
        holder.__enter__()
        (old,) = variables.stored
        put = variables.set

        def set_after_loss(key, value, description=None):
            variables.stored.pop(old, None)
            put(key, value)

        monkeypatch.setattr(variables, "set", set_after_loss)
        now[0] = 30
        with pytest.raises(LockError, match="took over"):
            holder.renew()

    def test_renewal_writes_the_new_key_before_it_deletes_the_old_one(self, variables, monkeypatch):
        now = [0.0]
        holder = VariableLock("hooks", lease=60, clock=lambda: now[0])
        holder.__enter__()
        counts, delete = [], variables.delete
        monkeypatch.setattr(variables, "delete", lambda key: (delete(key), counts.append(len(variables.stored))))
        now[0] = 30
        holder.renew()
        assert counts == [1]

    def test_waiting_lasts_as_long_as_the_lease_in_the_key(self, variables):
        slow = VariableLock("hooks", lease=0.2, max_call_seconds=0.8)
        slow.__enter__()
        started = time.monotonic()
        with VariableLock("hooks", lease=0.2):
            assert time.monotonic() - started >= 1

    def test_run_that_lost_the_lock_cannot_write(self, variables):
        with VariableLock("hooks") as lock:
            store = VariableHookStore("hooks")
            store.before_write = lock.ensure_held
            store.write((FIRST,))
            for key in [key for key in variables.stored if "lock" in key]:
                variables.delete(key)
            with pytest.raises(LockError):
                store.write((SECOND,))
        assert VariableHookStore("hooks").read() == (FIRST,)

    def test_database_error_on_release_does_not_hide_the_first_error(self, variables, monkeypatch):
        def fail(*_arguments, **_options):
            raise RuntimeError("the database is gone")

        def work():
            with VariableLock("hooks"):
                monkeypatch.setattr(variables, "keys", fail)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()

    def test_key_is_deleted_if_its_write_is_stored_but_fails(self, variables, monkeypatch):
        put = variables.set

        def set_and_fail(key, value, description=None):
            put(key, value)
            raise RuntimeError("the response was lost")

        monkeypatch.setattr(variables, "set", set_and_fail)
        with pytest.raises(RuntimeError):
            VariableLock("hooks").__enter__()
        assert variables.stored == {}

    @pytest.mark.parametrize(
        "suffix", ["x-1-1.2.3s", "x-1-...s", "production_secrets", f"{'0' * 32}-1-1.2.3s", f"{'g' * 32}-1-1s"]
    )
    def test_variable_with_a_similar_name_is_not_a_lock_key(self, variables, suffix):
        variables.stored = {f"hooks__lock__{suffix}": "a value"}
        with VariableLock("hooks"):
            pass
        assert variables.stored == {f"hooks__lock__{suffix}": "a value"}

    def test_lease_in_a_key_is_limited_to_15_minutes(self, variables):
        variables.stored = {f"hooks__lock__{'0' * 32}-1-99999s": "held"}
        now = [0.0]

        def sleep(seconds):
            now[0] += 60 * seconds

        with VariableLock("hooks", sleep=sleep, clock=lambda: now[0]):
            assert 900 < now[0] < 1_200

    def test_waiting_for_the_lock_is_limited(self, variables):
        now = [0.0]

        def sleep_while_held(seconds):
            now[0] += seconds
            variables.stored = {f"hooks__lock__{'0' * 32}-{now[0]:.0f}-1s": "held"}

        sleep_while_held(0)
        with pytest.raises(LockError, match="other runs have held") as caught:
            VariableLock("hooks", lease=1, sleep=sleep_while_held, clock=lambda: now[0]).__enter__()
        assert caught.value.retryable
