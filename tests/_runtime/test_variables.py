# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The store in a Variable, and the lock that prevents two runs from overwriting each other."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_hooks._runtime.variable_lock import VariableLock
from airflow_provider_hooks._runtime.variable_store import VariableHookStore, check_variable_name, default_variable_name
from airflow_provider_hooks.exceptions import LockError, ServiceHookError, ValidationError
from airflow_provider_hooks.registries.store import StoredHook

ONE, TWO = StoredHook(secret="s1", hook_id="h1"), StoredHook(secret="s2", hook_id="h2")


class TestStore:
    def test_what_was_written_is_read_back(self, variables):
        store = VariableHookStore("hooks")
        store.check()
        assert store.read() == ()
        store.write((ONE, TWO))
        store.check()
        assert store.read() == (ONE, TWO)

    def test_it_is_read_once_because_no_other_run_writes_it_under_the_lock(self, variables, monkeypatch):
        store, reads, get = VariableHookStore("hooks"), [], variables.get
        monkeypatch.setattr(variables, "get", lambda *arguments, **named: reads.append(1) or get(*arguments, **named))
        assert [store.read() for _ in range(3)] == [()] * 3
        store.write((ONE,))
        assert (store.read(), len(reads)) == ((ONE,), 2)

    def test_a_variable_that_cannot_be_read_is_not_one_that_is_not_there(self, variables):
        variables.set("hooks", "a-secret")
        variables.unreadable.add("hooks")
        with pytest.raises(ServiceHookError, match="exists but cannot be read now") as caught:
            VariableHookStore("hooks").read()
        assert caught.value.retryable

    def test_a_variable_of_the_environment_is_refused_before_anything_is_done(self, variables, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "a-secret")
        with pytest.raises(ServiceHookError, match="comes from the environment or a secrets backend"):
            VariableHookStore("hooks").check()

    def test_a_variable_of_the_environment_and_the_database_is_refused_too(self, variables, monkeypatch):
        variables.set("hooks", "a-secret")
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "another-secret")
        with pytest.raises(ServiceHookError, match="comes from the environment"):
            VariableHookStore("hooks").check()

    def test_a_write_that_does_not_read_back_is_reported(self, variables, monkeypatch):
        variables.set("hooks", "a-secret")
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "another-secret")
        with pytest.raises(ServiceHookError, match="does not read back"):
            VariableHookStore("hooks").write((ONE,))

    @pytest.mark.parametrize(
        "name", ["", "  ", "x" * 201, "a__lock__b", "a\nb", "a b", "a?b", "a#b", "a/b", "a%b", "ü", None, 7]
    )
    def test_a_name_that_no_variable_can_have_is_refused(self, name):
        with pytest.raises(ValidationError, match="secret_variable"):
            check_variable_name(name)


@pytest.mark.parametrize("name", ["orders#2", "orders?x", "a b", "ü", "x" * 300, "a/b"])
def test_a_declarations_own_variable_can_be_named_and_is_not_anothers(name):
    check_variable_name(default_variable_name("r", name))
    assert default_variable_name("r", name) != default_variable_name("r", "orders")
    assert default_variable_name("a_b", "c") != default_variable_name("a", "b_c")
    assert default_variable_name("r", name) != default_variable_name(
        "r", default_variable_name("", name)[len("service_hook_secret_:") :]
    )
    assert default_variable_name("r", "orders-2") == "service_hook_secret_r:orders-2"


class TestLock:
    def test_it_leaves_nothing_behind(self, variables):
        with VariableLock("hooks"):
            assert len(variables.kept) == 1
        assert variables.kept == {}
        with pytest.raises(ZeroDivisionError), VariableLock("hooks"):
            raise ZeroDivisionError
        assert variables.kept == {}

    def test_of_many_who_read_change_and_write_none_loses_anothers_change(self, variables):
        variables.pause = 0.001
        inside, most, lock = 0, 0, threading.Lock()

        def register(number):
            nonlocal inside, most
            with VariableLock("hooks"):
                with lock:
                    inside += 1
                    most = max(most, inside)
                store = VariableHookStore("hooks")
                kept = store.read()
                time.sleep(0.002)
                store.write((StoredHook(secret=f"s{number}", hook_id=f"h{number}"), *kept))
                with lock:
                    inside -= 1

        threads = [threading.Thread(target=register, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert most == 1
        assert {one.hook_id for one in VariableHookStore("hooks").read()} == {f"h{number}" for number in range(12)}
        assert set(variables.kept) == {"hooks"}

    def test_another_name_is_another_lock(self, variables):
        with VariableLock("hooks"), VariableLock("hooks2"), VariableLock("hook"):
            assert len(variables.kept) == 3

    def test_a_holder_that_died_is_waited_for_as_long_as_its_lease(self, variables):
        dead = VariableLock("hooks", lease=0.3)
        dead.__enter__()
        started = time.monotonic()
        with VariableLock("hooks", lease=0.3):
            waited = time.monotonic() - started
        assert 0.3 <= waited < 2
        assert variables.kept == {}

    def test_a_holder_that_gives_signs_of_life_is_not_taken_for_dead(self, variables):
        with VariableLock("hooks", lease=0.4) as holder:
            patient = VariableLock("hooks", lease=0.4)
            thread = threading.Thread(target=patient.__enter__, daemon=True)
            thread.start()
            holder.wait(1.2)
            assert thread.is_alive()
        thread.join(5)
        assert not thread.is_alive()

    def test_a_holder_that_stood_still_learns_that_it_lost_the_lock(self, variables):
        now = [0.0]
        slow = VariableLock("hooks", lease=60, clock=lambda: now[0])
        slow.__enter__()
        slow.renew()
        variables.kept.clear()
        slow.renew()
        now[0] = 30
        with pytest.raises(LockError, match="took over"):
            slow.renew()

    def test_a_holder_that_lost_the_lock_while_it_renewed_it_learns_of_it(self, variables, monkeypatch):
        now = [0.0]
        holder = VariableLock("hooks", lease=60, clock=lambda: now[0])
        holder.__enter__()
        (old,) = variables.kept
        put = variables.set

        def taken_meanwhile(key, value, description=None):
            variables.kept.pop(old, None)
            put(key, value)

        monkeypatch.setattr(variables, "set", taken_meanwhile)
        now[0] = 30
        with pytest.raises(LockError, match="took over"):
            holder.renew()

    def test_a_renewed_lock_is_never_without_a_key(self, variables, monkeypatch):
        now = [0.0]
        holder = VariableLock("hooks", lease=60, clock=lambda: now[0])
        holder.__enter__()
        counts, delete = [], variables.delete
        monkeypatch.setattr(variables, "delete", lambda key: (delete(key), counts.append(len(variables.kept))))
        now[0] = 30
        holder.renew()
        assert counts == [1]

    def test_a_key_is_believed_for_as_long_as_it_says(self, variables):
        slow = VariableLock("hooks", lease=0.2, max_call_seconds=0.8)
        slow.__enter__()
        started = time.monotonic()
        with VariableLock("hooks", lease=0.2):
            assert time.monotonic() - started >= 1

    def test_a_run_that_lost_the_lock_cannot_write(self, variables):
        with VariableLock("hooks") as lock:
            store = VariableHookStore("hooks")
            store.before_write = lock.ensure_held
            store.write((ONE,))
            for key in [key for key in variables.kept if "lock" in key]:
                variables.delete(key)
            with pytest.raises(LockError):
                store.write((TWO,))
        assert VariableHookStore("hooks").read() == (ONE,)

    def test_what_went_wrong_inside_is_not_hidden_by_a_database_that_is_gone(self, variables, monkeypatch):
        def gone(*_arguments, **_options):
            raise RuntimeError("the database is gone")

        def work():
            with VariableLock("hooks"):
                monkeypatch.setattr(variables, "keys", gone)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()

    def test_a_key_whose_writing_failed_after_all_is_removed(self, variables, monkeypatch):
        put = variables.set

        def written_and_failed(key, value, description=None):
            put(key, value)
            raise RuntimeError("the answer was lost")

        monkeypatch.setattr(variables, "set", written_and_failed)
        with pytest.raises(RuntimeError):
            VariableLock("hooks").__enter__()
        assert variables.kept == {}

    @pytest.mark.parametrize(
        "rest", ["x-1-1.2.3s", "x-1-...s", "production_secrets", f"{'0' * 32}-1-1.2.3s", f"{'g' * 32}-1-1s"]
    )
    def test_a_variable_that_only_begins_like_a_lock_is_left_alone(self, variables, rest):
        variables.kept = {f"hooks__lock__{rest}": "a value"}
        with VariableLock("hooks"):
            pass
        assert variables.kept == {f"hooks__lock__{rest}": "a value"}

    def test_the_lease_in_a_key_is_believed_up_to_a_quarter_of_an_hour(self, variables):
        variables.kept = {f"hooks__lock__{'0' * 32}-1-99999s": "held"}
        now = [0.0]

        def sleep(seconds):
            now[0] += 60 * seconds

        with VariableLock("hooks", sleep=sleep, clock=lambda: now[0]):
            assert 900 < now[0] < 1_200

    def test_it_does_not_wait_for_ever(self, variables):
        now = [0.0]

        def busy(seconds):
            now[0] += seconds
            variables.kept = {f"hooks__lock__{'0' * 32}-{now[0]:.0f}-1s": "held"}

        busy(0)
        with pytest.raises(LockError, match="other runs have held") as caught:
            VariableLock("hooks", lease=1, sleep=busy, clock=lambda: now[0]).__enter__()
        assert caught.value.retryable
