# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Streams with ``once="event"`` that are killed at any call, superseded, or run next to other runs."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.delivery.claims import RESEND, SETTLED
from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.exceptions import ClaimLostError
from airflow_provider_hooks.ledger.schema import migrate
from airflow_provider_hooks.stream import throttle
from airflow_provider_hooks.stream.event_claims import EventClaims
from airflow_provider_hooks.stream.records import SegmentWriter
from airflow_provider_hooks.stream.sources import IterableSource
from tests.http.reusing_receiver import NO_CONTENT, answer, serve
from tests.ledgers import describe_sqlite, open_database
from tests.stream import stream_tries
from tests.stream.event_tries import (
    CHUNK,
    EventTries,
    InsertedCall,
    check_events,
    check_sent_once,
    read_states,
    read_stream_state,
    write_states,
)
from tests.stream.sending import make_event
from tests.stream.stream_tries import Killer, make_source

EVENTS, INVALID_EVERY = 10, 5
INVALID = EVENTS // INVALID_EVERY
ONCE = make_policy(once="event")
AT_LEAST_ONCE = make_policy(guarantee="at_least_once", once="event")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(throttle, "DEFAULT_PAUSE", 0.0)
    monkeypatch.setattr(throttle, "BACKOFF_SECONDS", 0.0)


def migrate_ledger(described):
    with contextlib.closing(open_database(described)) as database:
        migrate(database)


def answer_with_mixed_outcomes(connection, count):
    if count % 7 == 3:
        connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno")
    elif count % 7 == 6:
        connection.close()
    else:
        connection.sendall(NO_CONTENT)


def answer_and_close(connection, _count):
    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    connection.close()


def refuse_some(number):
    return number % 4 in {1, 2}


def refuse_all(_number):
    return True


class Runs:
    """Two runs of streams on one ledger."""

    def __init__(self, monkeypatch, folder):
        self.folder, self.resets = folder, 0
        self.first, self.second = (EventTries(monkeypatch, folder, {}, name) for name in "ab")
        self.template = folder / "template.db"
        migrate_ledger({"conn_type": "sqlite", "host": str(self.template)})

    def reset(self):
        """Start with an empty ledger and without records."""
        self.resets += 1
        folder = self.folder / f"{self.resets}"
        folder.mkdir()
        connection = describe_sqlite(folder)
        shutil.copy(self.template, connection["host"])
        for tries in (self.first, self.second):
            tries.folder, tries.connection, tries.number = folder / tries.name, connection, 0
        return connection


@pytest.fixture
def runs(monkeypatch, tmp_path):
    return Runs(monkeypatch, tmp_path)


def count_calls(tries, receiver, source, **options):
    tries.deliver(receiver, source, policy=ONCE, **options)
    return len(tries.killer.names)


# One stream


def test_records_of_a_stream_agree_with_its_event_claims(runs, ledger_connection):
    migrate_ledger(ledger_connection)
    tries = runs.first
    tries.connection = ledger_connection
    with serve(answer_with_mixed_outcomes) as receiver:
        result = tries.deliver(receiver, make_source(EVENTS, invalid_every=INVALID_EVERY), policy=ONCE)
        records = check_events(tries, receiver, EVENTS, invalid=INVALID)
        check_sent_once(receiver)
    assert result.summary.sent_before == 0
    assert len(read_states(ledger_connection)) == EVENTS - INVALID
    assert not any("sent_before" in record for record in records.values())


def test_stream_without_event_claims_has_one_ledger_row(runs, monkeypatch):
    connection = runs.reset()
    real = EventTries.open_claims

    @contextlib.contextmanager
    def open_claims(self, store, run, policy):
        with real(self, store, run, policy) as (claims, _):
            yield claims, None

    monkeypatch.setattr(EventTries, "open_claims", open_claims)
    with serve(answer) as receiver:
        runs.first.deliver(receiver, make_source(EVENTS))
    with contextlib.closing(open_database(connection)) as database:
        assert database.run("SELECT kind FROM service_hook_deliveries") == [("stream",)]


@pytest.mark.parametrize("is_same_try", [False, True])
def test_try_killed_at_any_call_sends_no_duplicate_and_leaves_no_claim_unrecorded(runs, is_same_try):
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    runs.reset()
    with serve(answer_with_mixed_outcomes) as receiver:
        calls = count_calls(runs.first, receiver, source)
    unknown = []
    for at in range(0, calls, 3 if is_same_try else 1):
        runs.reset()
        with serve(answer_with_mixed_outcomes) as receiver:
            if runs.first.deliver(receiver, source, kill_at=at, policy=ONCE) is not None:
                break  # results come in groups, so the number of calls varies
            result = runs.first.deliver(receiver, source, is_same_try=is_same_try, policy=ONCE)
            records = check_events(runs.first, receiver, EVENTS, invalid=INVALID)
            check_sent_once(receiver)
        assert result.summary.total == EVENTS
        assert {name: count for name, count in result.summary.outcomes.items() if count} == count_outcomes(records)
        interrupted = [offset for offset, record in records.items() if record.get("error_class") == "interrupted"]
        assert len(interrupted) <= 2, "only events of the claimed chunk may have been sent"
        assert not any(record.get("sent_before") for record in records.values())
        unknown.append(len(interrupted))
    assert max(unknown) > 0


def count_outcomes(records):
    counts = {}
    for record in records.values():
        counts[record["outcome"]] = counts.get(record["outcome"], 0) + 1
    return counts


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kills=st.lists(st.integers(0, 260), min_size=2, max_size=5),
    refused=st.sets(st.integers(0, 11), max_size=8),
    is_same_try=st.booleans(),
)
def test_each_event_is_sent_at_most_once_when_several_tries_are_killed(runs, kills, refused, is_same_try):
    runs.reset()
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    refusing = {"max_attempts": 2, "refuses": lambda number: number % 12 in refused, "policy": ONCE}
    with serve(answer_and_close) as receiver:
        for at in kills:
            runs.first.deliver(receiver, source, kill_at=at, is_same_try=is_same_try, breaker=5, **refusing)
            if read_stream_state(runs.first.connection, "a") == "done":
                break
        runs.first.deliver_to_end(receiver, source, policy=ONCE)
        check_events(runs.first, receiver, EVENTS, invalid=INVALID)
        check_sent_once(receiver)


def test_try_killed_while_it_resends_unsent_events_sends_no_duplicate(runs):
    source, refusing = make_source(EVENTS), {"concurrency": 1, "max_attempts": 2, "refuses": refuse_some}
    with serve(answer_and_close) as receiver:
        runs.reset()
        runs.first.deliver(receiver, source, policy=ONCE, **refusing)
        calls = count_calls(runs.first, receiver, source, **refusing)
    for at in range(0, calls, 2):
        runs.reset()
        with serve(answer_and_close) as receiver:
            runs.first.deliver(receiver, source, policy=ONCE, **refusing)
            left = {number for number, state in read_states(runs.first.connection).items() if state == "not_sent"}
            assert left
            assert not left & receiver.request_counts.keys()
            runs.first.deliver(receiver, source, kill_at=at, policy=ONCE, **refusing)
            runs.first.deliver_to_end(receiver, source, policy=ONCE)
            check_events(runs.first, receiver, EVENTS)
            check_sent_once(receiver)


def test_try_killed_at_any_call_loses_no_event_with_at_least_once(runs):
    source = make_source(EVENTS)
    runs.reset()
    with serve(answer) as receiver:
        calls = count_calls(runs.first, receiver, source)
    for at in range(0, calls, 2):
        runs.reset()
        with serve(answer) as receiver:
            runs.first.deliver(receiver, source, kill_at=at, policy=AT_LEAST_ONCE)
            runs.first.deliver_to_end(receiver, source, policy=AT_LEAST_ONCE)
            records = check_events(runs.first, receiver, EVENTS)
        assert {record["outcome"] for record in records.values()} == {"delivered"}
        assert sum(receiver.request_counts.values()) <= EVENTS + 2, "only the claimed chunk is sent again"
        for offset, record in records.items():
            assert record["redelivery"] or receiver.request_counts[offset] == 1


@pytest.mark.parametrize("at_most_once", [True, False])
def test_paused_try_that_is_superseded_sends_no_duplicate_and_leaves_no_open_claim(runs, at_most_once, monkeypatch):
    source = make_source(EVENTS)
    runs.reset()
    policy = ONCE if at_most_once else AT_LEAST_ONCE
    with serve(answer) as receiver:
        calls = count_calls(runs.first, receiver, source)
    lost = 0
    for at in range(0, calls, 4):
        connection = runs.reset()
        following = runs.second
        following.name, following.folder, following.number = "a", runs.first.folder, 7
        with serve(answer) as receiver:
            in_transaction = []

            def follow(receiver=receiver, following=following, in_transaction=in_transaction):
                with contextlib.suppress(Exception):  # SQLite locks the whole ledger in a transaction
                    in_transaction.append(following.deliver(receiver, source, policy=policy))

            with monkeypatch.context() as patch:
                patch.setattr("airflow_provider_hooks.ledger.database._BUSY_SECONDS", 0.01)
                try:
                    deliver_with_inserted_call(runs.first, receiver, source, InsertedCall(at, follow), policy=policy)
                except ClaimLostError:
                    lost += 1
            if read_stream_state(connection, "a") != "done":
                following.deliver_to_end(receiver, source, policy=policy)
            if at_most_once:
                check_sent_once(receiver)
        assert "claimed" not in read_states(connection).values()
        assert len(read_states(connection)) == EVENTS
        following.name = "b"
    assert lost > 0


def deliver_with_inserted_call(tries, receiver, source, inserted_call, **options):
    """Make a try that makes the inserted call at one of its watched calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_tries, "Killer", lambda _at=None: Killer() if inserted_call.count else inserted_call)
        return tries.deliver(receiver, source, **options)


# Other runs


def test_unknown_outcome_of_another_run_stays_unknown_if_the_resend_is_not_sent(runs):
    runs.reset()
    with serve(lambda connection, _count: connection.close()) as receiver:
        runs.first.deliver(receiver, make_source(3), policy=ONCE)
    with serve(answer) as receiver:
        refusing = {"refuses": refuse_all, "max_attempts": 1, "concurrency": 1, "is_last": True}
        runs.second.deliver(receiver, make_source(3), policy=AT_LEAST_ONCE, **refusing)
    assert {record["outcome"] for record in runs.second.read_records()} == {"unknown"}
    assert set(read_states(runs.first.connection).values()) == {"unknown"}


def test_event_sent_by_another_run_is_recorded_and_not_sent_again(runs):
    runs.reset()
    with serve(answer_with_mixed_outcomes) as receiver:
        runs.first.deliver(receiver, make_source(7), policy=ONCE, concurrency=1)
        before = read_states(runs.first.connection)
        assert set(before.values()) == {"delivered", "rejected", "unknown"}
        result = runs.second.deliver(receiver, make_source(EVENTS), policy=ONCE, concurrency=1)
        records = check_events(runs.second, receiver, EVENTS)
        check_sent_once(receiver)
    assert {offset: records[offset]["outcome"] for offset in before} == before
    assert [offset for offset, record in records.items() if record.get("sent_before")] == list(range(7))
    assert (result.summary.sent_before, result.summary.total) == (7, EVENTS)
    assert {records[offset]["message"].partition(" at ")[0] for offset in range(7)} == {
        "not sent: task 'task' of Dag 'dag', run 'a' sent this event before,"
    }


def test_clear_sends_only_the_events_that_were_not_sent(runs):
    runs.reset()
    with serve(answer_and_close) as receiver:
        first = {"max_attempts": 1, "concurrency": 1, "refuses": refuse_some, "is_last": True}
        result = runs.first.deliver(receiver, make_source(EVENTS), policy=ONCE, **first)
        unsent = result.summary.outcomes["not_sent"]
        assert 0 < unsent < EVENTS
        result = runs.first.deliver(receiver, make_source(EVENTS), policy=ONCE, generation="4")
        check_sent_once(receiver)
        assert len(receiver.request_counts) == EVENTS
    assert (result.summary.outcomes["delivered"], result.summary.sent_before) == (EVENTS, EVENTS - unsent)


def test_claim_state_written_by_a_user_decides_whether_the_event_is_sent(runs):
    runs.reset()

    def close_without_response(connection, _count):
        connection.close()

    with serve(close_without_response) as receiver:
        runs.first.deliver(receiver, make_source(6), policy=ONCE)
    write_states(runs.first.connection, (0, 1), RESEND)
    write_states(runs.first.connection, (2, 3), SETTLED)
    with serve(answer) as receiver:
        runs.second.deliver(receiver, make_source(6), policy=ONCE)
        assert receiver.request_counts == {0: 1, 1: 1}
    records = {record["offset"]: record for record in runs.second.read_records()}
    assert [records[offset]["outcome"] for offset in range(6)] == ["delivered"] * 4 + ["unknown"] * 2
    assert [records[offset]["redelivery"] for offset in range(6)] == [True, True, False, False, False, False]
    assert [bool(records[offset].get("sent_before")) for offset in range(6)] == [False, False, True, True, True, True]


def test_events_with_an_outcome_chosen_for_resending_are_sent_again(runs):
    runs.reset()
    runs.second.resends = frozenset({"rejected"})

    def reject(connection, _count):
        connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    with serve(reject) as receiver:
        runs.first.deliver(receiver, make_source(4), policy=ONCE)
        runs.second.deliver(receiver, make_source(4), policy=ONCE)
        assert set(receiver.request_counts.values()) == {2}
    assert {record["redelivery"] for record in runs.second.read_records()} == {True}


@pytest.mark.parametrize("refuses", [None, refuse_some])
@pytest.mark.parametrize("numbers", [[0, 0, 1], [0, 1, 2, 0, 3, 0], [0, 1, 2, 3, 4, 5, 0, 0, 1], [3, 3, 3, 3, 3, 3, 3]])
def test_events_with_the_same_id_are_one_delivery(runs, numbers, refuses):
    runs.reset()
    source = IterableSource(make=lambda: [make_event(number) for number in numbers])
    with serve(answer_and_close) as receiver:
        runs.first.deliver(receiver, source, policy=ONCE, refuses=refuses, max_attempts=2, concurrency=1)
        result = runs.first.deliver_to_end(receiver, source, policy=ONCE)
        assert receiver.request_counts == dict.fromkeys(numbers, 1)
    records = {record["offset"]: record for record in runs.first.read_records()}
    assert sorted(records) == list(range(len(numbers)))
    assert {record["outcome"] for record in records.values()} == {"delivered"}
    repeated = len(numbers) - len(set(numbers))
    assert sum(bool(record.get("sent_before")) for record in records.values()) == repeated
    assert result.summary.sent_before == repeated


class UnavailableSource:
    """A source whose second read fails."""

    def __init__(self, source) -> None:
        self._source, self.reads = source, 0

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, start):
        self.reads += 1
        if self.reads == 2:
            raise OSError("the source is unavailable")
        return self._source.read(start)


def test_repeated_event_that_cannot_be_read_again_is_left_to_the_next_try(runs):
    """The second event with an id is read again after the batch."""
    runs.reset()
    numbers = [0, 0, 1]
    source = UnavailableSource(IterableSource(make=lambda: [make_event(number) for number in numbers]))
    with serve(answer) as receiver:
        stopped = runs.first.deliver(receiver, source, policy=ONCE)
        assert (str(stopped.failure), stopped.unsent) == ("the source is unavailable", 1)
        runs.first.deliver_to_end(receiver, source, policy=ONCE)
        assert receiver.request_counts == {0: 1, 1: 1}
    records = {record["offset"]: record for record in runs.first.read_records()}
    assert [bool(records[offset].get("sent_before")) for offset in range(3)] == [False, True, False]


def test_stream_does_not_resend_events_of_a_run_killed_at_any_call(runs):
    """The runs share half of the events. The first is killed, the second runs, and then the first is tried again."""
    first, second = make_source(EVENTS), make_source(EVENTS, first=EVENTS // 2)
    runs.reset()
    with serve(answer) as receiver:
        calls = count_calls(runs.first, receiver, first)
    for at in range(0, calls, 2):
        runs.reset()
        with serve(answer) as receiver:
            runs.first.deliver(receiver, first, kill_at=at, policy=ONCE)
            runs.second.deliver(receiver, second, policy=ONCE)
            runs.first.deliver_to_end(receiver, first, policy=ONCE)
            check_sent_once(receiver)
        states = read_states(runs.first.connection)
        assert set(states) == set(range(EVENTS + EVENTS // 2))
        assert "claimed" not in states.values()
        for tries, first_number in ((runs.first, 0), (runs.second, EVENTS // 2)):
            records = {first_number + record["offset"]: record for record in tries.read_records()}
            assert len(records) == EVENTS
            for number, record in records.items():
                # A run that did not send it records unknown; the killed run may record the real outcome later.
                is_observed = record.get("sent_before") and record["error_class"] == "interrupted"
                assert record["outcome"] in ({states[number], "unknown"} if is_observed else {states[number]})


def test_two_concurrent_streams_send_each_event_once(runs, ledger_connection):
    migrate_ledger(ledger_connection)
    count, results = 60, []
    for tries in (runs.first, runs.second):
        tries.connection, tries.wait_seconds = ledger_connection, 30.0

    def send(tries, source):
        results.append(tries.deliver(receiver, source, policy=ONCE))

    with serve(answer) as receiver:
        threads = [
            threading.Thread(target=send, args=(runs.first, make_source(count))),
            threading.Thread(target=send, args=(runs.second, make_source(count))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_sent_once(receiver)
        for tries in (runs.first, runs.second):
            records = check_events(tries, receiver, count)
            assert {record["outcome"] for record in records.values()} == {"delivered"}
    assert sum(result.summary.sent_before for result in results) == count
    assert sum(len(tries.read_records()) for tries in (runs.first, runs.second)) == 2 * count


@pytest.mark.parametrize("is_last", [False, True])
def test_stopped_stream_leaves_events_claimed_by_another_run_to_the_next_try(runs, is_last):
    runs.reset()
    source = make_source(4)
    with serve(answer) as receiver:
        runs.first.deliver(receiver, source, kill_at=find_first_claims(runs, receiver, source), policy=ONCE)
        claimed = {number for number, state in read_states(runs.first.connection).items() if state == "claimed"}
        assert claimed == {0, 1}
        stopped = runs.second.deliver(
            receiver, source, policy=ONCE, refuses=refuse_all, max_attempts=1, breaker=1, concurrency=1, is_last=is_last
        )
        assert receiver.request_counts.keys() <= {0, 1}, "only the events of the killed run"
        if is_last:
            assert {record["outcome"] for record in runs.second.read_records()} == {"not_sent"}
            return
        assert stopped.is_stopped
        runs.second.deliver_to_end(receiver, source, policy=ONCE)
        assert (receiver.request_counts[2], receiver.request_counts[3]) == (1, 1)
        check_sent_once(receiver)
    records = {record["offset"]: record for record in runs.second.read_records()}
    assert [records[offset]["outcome"] for offset in range(4)] == ["unknown", "unknown", "delivered", "delivered"]


def find_first_claims(runs, receiver, source):
    """Return the number of the watched call that follows the claim of the first events."""
    call_counts = []
    real = EventClaims.claim
    runs.reset()

    def claim(self, requests):
        decisions = real(self, requests)
        call_counts.append(len(runs.first.killer.names))
        return decisions

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventClaims, "claim", claim)
        runs.first.deliver(receiver, source, policy=ONCE)
    receiver.request_counts.clear()
    runs.reset()
    return call_counts[0]


def test_failing_record_folder_changes_no_claim(runs, monkeypatch):
    runs.reset()
    source = make_source(EVENTS)
    failing = {"is_failing": True}
    real = SegmentWriter.flush

    def flush(self):
        if failing["is_failing"] and self._lines:
            self.error = OSError("No space left on device")
        real(self)

    monkeypatch.setattr(SegmentWriter, "flush", flush)
    with serve(answer) as receiver:
        runs.first.deliver(receiver, source, policy=ONCE)
        assert len(receiver.request_counts) <= CHUNK, "no further chunk is begun"
        failing["is_failing"] = False
        runs.first.deliver_to_end(receiver, source, policy=ONCE)
        time.sleep(0.01)
        records = check_events(runs.first, receiver, EVENTS)
        check_sent_once(receiver)
    assert {record["outcome"] for record in records.values()} == {"delivered"}
