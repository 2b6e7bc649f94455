# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Streams that deliver an event id once for ever: killed anywhere, followed, and next to other runs."""

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
    Follower,
    check_events,
    check_once,
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


def answer_by_turns(connection, count):
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
        self.folder, self.place = folder, 0
        self.first, self.second = (EventTries(monkeypatch, folder, {}, name) for name in "ab")
        self.template = folder / "template.db"
        migrate_ledger({"conn_type": "sqlite", "host": str(self.template)})

    def begin(self):
        """Begin again, with an empty ledger and no records."""
        self.place += 1
        folder = self.folder / f"{self.place}"
        folder.mkdir()
        connection = describe_sqlite(folder)
        shutil.copy(self.template, connection["host"])
        for tries in (self.first, self.second):
            tries.folder, tries.connection, tries.number = folder / tries.name, connection, 0
        return connection


@pytest.fixture
def runs(monkeypatch, tmp_path):
    return Runs(monkeypatch, tmp_path)


def count_points(tries, kept, source, **options):
    tries.deliver(kept, source, policy=ONCE, **options)
    return len(tries.killer.names)


# One stream


def test_a_stream_records_what_is_claimed(runs, ledger_connection):
    migrate_ledger(ledger_connection)
    tries = runs.first
    tries.connection = ledger_connection
    with serve(answer_by_turns) as kept:
        result = tries.deliver(kept, make_source(EVENTS, invalid_every=INVALID_EVERY), policy=ONCE)
        records = check_events(tries, kept, EVENTS, invalid=INVALID)
        check_once(kept)
    assert result.summary.sent_before == 0
    assert len(read_states(ledger_connection)) == EVENTS - INVALID
    assert not any("sent_before" in record for record in records.values())


def test_without_claims_of_events_a_stream_has_one_row(runs, monkeypatch):
    connection = runs.begin()
    real = EventTries.open_claims

    @contextlib.contextmanager
    def open_claims(self, store, run, policy):
        with real(self, store, run, policy) as (claims, _):
            yield claims, None

    monkeypatch.setattr(EventTries, "open_claims", open_claims)
    with serve(answer) as kept:
        runs.first.deliver(kept, make_source(EVENTS))
    with contextlib.closing(open_database(connection)) as database:
        assert database.run("SELECT kind FROM service_hook_deliveries") == [("stream",)]


@pytest.mark.parametrize("is_same_try", [False, True])
def test_wherever_a_try_is_killed_no_event_is_sent_twice_and_no_claim_has_no_record(runs, is_same_try):
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    runs.begin()
    with serve(answer_by_turns) as kept:
        points = count_points(runs.first, kept, source)
    unknown = []
    for at in range(0, points, 3 if is_same_try else 1):
        runs.begin()
        with serve(answer_by_turns) as kept:
            if runs.first.deliver(kept, source, kill_at=at, policy=ONCE) is not None:
                break  # results come in groups, so the number of calls varies
            result = runs.first.deliver(kept, source, is_same_try=is_same_try, policy=ONCE)
            records = check_events(runs.first, kept, EVENTS, invalid=INVALID)
            check_once(kept)
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
def test_however_often_tries_are_killed_each_event_is_sent_once_at_most(runs, kills, refused, is_same_try):
    runs.begin()
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    refusing = {"max_attempts": 2, "refuses": lambda number: number % 12 in refused, "policy": ONCE}
    with serve(answer_and_close) as kept:
        for at in kills:
            runs.first.deliver(kept, source, kill_at=at, is_same_try=is_same_try, breaker=5, **refusing)
            if read_stream_state(runs.first.connection, "a") == "done":
                break
        runs.first.deliver_to_end(kept, source, policy=ONCE)
        check_events(runs.first, kept, EVENTS, invalid=INVALID)
        check_once(kept)


def test_wherever_a_try_that_sends_again_is_killed_nothing_is_sent_twice(runs):
    source, refusing = make_source(EVENTS), {"concurrency": 1, "max_attempts": 2, "refuses": refuse_some}
    with serve(answer_and_close) as kept:
        runs.begin()
        runs.first.deliver(kept, source, policy=ONCE, **refusing)
        points = count_points(runs.first, kept, source, **refusing)
    for at in range(0, points, 2):
        runs.begin()
        with serve(answer_and_close) as kept:
            runs.first.deliver(kept, source, policy=ONCE, **refusing)
            left = {number for number, state in read_states(runs.first.connection).items() if state == "not_sent"}
            assert left
            assert not left & kept.bytes_of.keys()
            runs.first.deliver(kept, source, kill_at=at, policy=ONCE, **refusing)
            runs.first.deliver_to_end(kept, source, policy=ONCE)
            check_events(runs.first, kept, EVENTS)
            check_once(kept)


def test_wherever_a_try_is_killed_no_event_is_lost_at_least_once(runs):
    source = make_source(EVENTS)
    runs.begin()
    with serve(answer) as kept:
        points = count_points(runs.first, kept, source)
    for at in range(0, points, 2):
        runs.begin()
        with serve(answer) as kept:
            runs.first.deliver(kept, source, kill_at=at, policy=AT_LEAST_ONCE)
            runs.first.deliver_to_end(kept, source, policy=AT_LEAST_ONCE)
            records = check_events(runs.first, kept, EVENTS)
        assert {record["outcome"] for record in records.values()} == {"delivered"}
        assert sum(kept.bytes_of.values()) <= EVENTS + 2, "only the claimed chunk is sent again"
        for offset, record in records.items():
            assert record["redelivery"] or kept.bytes_of[offset] == 1


@pytest.mark.parametrize("at_most_once", [True, False])
def test_a_try_that_sleeps_anywhere_while_another_follows_sends_nothing_twice(runs, at_most_once, monkeypatch):
    source = make_source(EVENTS)
    runs.begin()
    policy = ONCE if at_most_once else AT_LEAST_ONCE
    with serve(answer) as kept:
        points = count_points(runs.first, kept, source)
    lost = 0
    for at in range(0, points, 4):
        connection = runs.begin()
        following = runs.second
        following.name, following.folder, following.number = "a", runs.first.folder, 7
        with serve(answer) as kept:
            in_transaction = []

            def follow(kept=kept, following=following, in_transaction=in_transaction):
                with contextlib.suppress(Exception):  # SQLite locks the whole ledger in a transaction
                    in_transaction.append(following.deliver(kept, source, policy=policy))

            with monkeypatch.context() as patch:
                patch.setattr("airflow_provider_hooks.ledger.database._BUSY_SECONDS", 0.01)
                try:
                    deliver_followed(runs.first, kept, source, Follower(at, follow), policy=policy)
                except ClaimLostError:
                    lost += 1
            if read_stream_state(connection, "a") != "done":
                following.deliver_to_end(kept, source, policy=policy)
            if at_most_once:
                check_once(kept)
        assert "claimed" not in read_states(connection).values()
        assert len(read_states(connection)) == EVENTS
        following.name = "b"
    assert lost > 0


def deliver_followed(tries, kept, source, follower, **options):
    """Make a try, with something else happening in the middle of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_tries, "Killer", lambda _at=None: Killer() if follower.count else follower)
        return tries.deliver(kept, source, **options)


# Other runs


def test_what_another_run_may_have_delivered_is_unknown_if_it_cannot_be_sent_again(runs):
    runs.begin()
    with serve(lambda connection, _count: connection.close()) as kept:
        runs.first.deliver(kept, make_source(3), policy=ONCE)
    with serve(answer) as kept:
        refusing = {"refuses": refuse_all, "max_attempts": 1, "concurrency": 1, "is_last": True}
        runs.second.deliver(kept, make_source(3), policy=AT_LEAST_ONCE, **refusing)
    assert {record["outcome"] for record in runs.second.read_records()} == {"unknown"}
    assert set(read_states(runs.first.connection).values()) == {"unknown"}


def test_what_another_run_delivered_is_recorded_and_not_sent(runs):
    runs.begin()
    with serve(answer_by_turns) as kept:
        runs.first.deliver(kept, make_source(7), policy=ONCE, concurrency=1)
        before = read_states(runs.first.connection)
        assert set(before.values()) == {"delivered", "rejected", "unknown"}
        result = runs.second.deliver(kept, make_source(EVENTS), policy=ONCE, concurrency=1)
        records = check_events(runs.second, kept, EVENTS)
        check_once(kept)
    assert {offset: records[offset]["outcome"] for offset in before} == before
    assert [offset for offset, record in records.items() if record.get("sent_before")] == list(range(7))
    assert (result.summary.sent_before, result.summary.total) == (7, EVENTS)
    assert {records[offset]["message"].partition(" at ")[0] for offset in range(7)} == {
        "not sent: task 'task' of Dag 'dag', run 'a' sent this event before,"
    }


def test_a_clear_sends_only_what_was_not_sent(runs):
    runs.begin()
    with serve(answer_and_close) as kept:
        first = {"max_attempts": 1, "concurrency": 1, "refuses": refuse_some, "is_last": True}
        result = runs.first.deliver(kept, make_source(EVENTS), policy=ONCE, **first)
        unsent = result.summary.outcomes["not_sent"]
        assert 0 < unsent < EVENTS
        result = runs.first.deliver(kept, make_source(EVENTS), policy=ONCE, generation="4")
        check_once(kept)
        assert len(kept.bytes_of) == EVENTS
    assert (result.summary.outcomes["delivered"], result.summary.sent_before) == (EVENTS, EVENTS - unsent)


def test_what_a_user_writes_over_a_claim_decides(runs):
    runs.begin()

    def lose(connection, _count):
        connection.close()

    with serve(lose) as kept:
        runs.first.deliver(kept, make_source(6), policy=ONCE)
    write_states(runs.first.connection, (0, 1), RESEND)
    write_states(runs.first.connection, (2, 3), SETTLED)
    with serve(answer) as kept:
        runs.second.deliver(kept, make_source(6), policy=ONCE)
        assert kept.bytes_of == {0: 1, 1: 1}
    records = {record["offset"]: record for record in runs.second.read_records()}
    assert [records[offset]["outcome"] for offset in range(6)] == ["delivered"] * 4 + ["unknown"] * 2
    assert [records[offset]["redelivery"] for offset in range(6)] == [True, True, False, False, False, False]
    assert [bool(records[offset].get("sent_before")) for offset in range(6)] == [False, False, True, True, True, True]


def test_outcomes_that_the_user_has_sent_again_are_sent_once_more_by_each_run(runs):
    runs.begin()
    runs.second.resends = frozenset({"rejected"})

    def reject(connection, _count):
        connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    with serve(reject) as kept:
        runs.first.deliver(kept, make_source(4), policy=ONCE)
        runs.second.deliver(kept, make_source(4), policy=ONCE)
        assert set(kept.bytes_of.values()) == {2}
    assert {record["redelivery"] for record in runs.second.read_records()} == {True}


@pytest.mark.parametrize("refuses", [None, refuse_some])
@pytest.mark.parametrize("numbers", [[0, 0, 1], [0, 1, 2, 0, 3, 0], [0, 1, 2, 3, 4, 5, 0, 0, 1], [3, 3, 3, 3, 3, 3, 3]])
def test_events_with_one_id_are_one_delivery(runs, numbers, refuses):
    runs.begin()
    source = IterableSource(make=lambda: [make_event(number) for number in numbers])
    with serve(answer_and_close) as kept:
        runs.first.deliver(kept, source, policy=ONCE, refuses=refuses, max_attempts=2, concurrency=1)
        result = runs.first.deliver_to_end(kept, source, policy=ONCE)
        assert kept.bytes_of == dict.fromkeys(numbers, 1)
    records = {record["offset"]: record for record in runs.first.read_records()}
    assert sorted(records) == list(range(len(numbers)))
    assert {record["outcome"] for record in records.values()} == {"delivered"}
    repeated = len(numbers) - len(set(numbers))
    assert sum(bool(record.get("sent_before")) for record in records.values()) == repeated
    assert result.summary.sent_before == repeated


class AwaySource:
    """A source that cannot be read a second time, until it is back."""

    def __init__(self, source) -> None:
        self._source, self.reads = source, 0

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, start):
        self.reads += 1
        if self.reads == 2:
            raise OSError("the source is away")
        return self._source.read(start)


def test_an_event_that_cannot_be_read_again_is_left_to_the_next_try(runs):
    """The second event with an id is looked at again after the batch."""
    runs.begin()
    numbers = [0, 0, 1]
    source = AwaySource(IterableSource(make=lambda: [make_event(number) for number in numbers]))
    with serve(answer) as kept:
        stopped = runs.first.deliver(kept, source, policy=ONCE)
        assert (str(stopped.failure), stopped.unsent) == ("the source is away", 1)
        runs.first.deliver_to_end(kept, source, policy=ONCE)
        assert kept.bytes_of == {0: 1, 1: 1}
    records = {record["offset"]: record for record in runs.first.read_records()}
    assert [bool(records[offset].get("sent_before")) for offset in range(3)] == [False, True, False]


def test_wherever_another_run_is_killed_a_stream_sends_none_of_its_events_again(runs):
    """The runs share half of the events. The first is killed, the second runs, and then the first is tried again."""
    first, second = make_source(EVENTS), make_source(EVENTS, first=EVENTS // 2)
    runs.begin()
    with serve(answer) as kept:
        points = count_points(runs.first, kept, first)
    for at in range(0, points, 2):
        runs.begin()
        with serve(answer) as kept:
            runs.first.deliver(kept, first, kill_at=at, policy=ONCE)
            runs.second.deliver(kept, second, policy=ONCE)
            runs.first.deliver_to_end(kept, first, policy=ONCE)
            check_once(kept)
        states = read_states(runs.first.connection)
        assert set(states) == set(range(EVENTS + EVENTS // 2))
        assert "claimed" not in states.values()
        for tries, begin in ((runs.first, 0), (runs.second, EVENTS // 2)):
            records = {begin + record["offset"]: record for record in tries.read_records()}
            assert len(records) == EVENTS
            for number, record in records.items():
                # A run that did not send it reports unknown; the records of the killed run can know better later.
                is_observed = record.get("sent_before") and record["error_class"] == "interrupted"
                assert record["outcome"] in ({states[number], "unknown"} if is_observed else {states[number]})


def test_two_streams_at_the_same_moment_send_each_event_once(runs, ledger_connection):
    migrate_ledger(ledger_connection)
    count, results = 60, []
    for tries in (runs.first, runs.second):
        tries.connection, tries.wait_seconds = ledger_connection, 30.0

    def send(tries, source):
        results.append(tries.deliver(kept, source, policy=ONCE))

    with serve(answer) as kept:
        threads = [
            threading.Thread(target=send, args=(runs.first, make_source(count))),
            threading.Thread(target=send, args=(runs.second, make_source(count))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_once(kept)
        for tries in (runs.first, runs.second):
            records = check_events(tries, kept, count)
            assert {record["outcome"] for record in records.values()} == {"delivered"}
    assert sum(result.summary.sent_before for result in results) == count
    assert sum(len(tries.read_records()) for tries in (runs.first, runs.second)) == 2 * count


@pytest.mark.parametrize("is_last", [False, True])
def test_an_event_that_is_being_sent_elsewhere_when_the_stream_stops_is_left_to_the_next_try(runs, is_last):
    runs.begin()
    source = make_source(4)
    with serve(answer) as kept:
        runs.first.deliver(kept, source, kill_at=find_first_claims(runs, kept, source), policy=ONCE)
        open_ones = {number for number, state in read_states(runs.first.connection).items() if state == "claimed"}
        assert open_ones == {0, 1}
        stopped = runs.second.deliver(
            kept, source, policy=ONCE, refuses=refuse_all, max_attempts=1, breaker=1, concurrency=1, is_last=is_last
        )
        assert kept.bytes_of.keys() <= {0, 1}, "those of the killed run"
        if is_last:
            assert {record["outcome"] for record in runs.second.read_records()} == {"not_sent"}
            return
        assert stopped.is_stopped
        runs.second.deliver_to_end(kept, source, policy=ONCE)
        assert (kept.bytes_of[2], kept.bytes_of[3]) == (1, 1)
        check_once(kept)
    records = {record["offset"]: record for record in runs.second.read_records()}
    assert [records[offset]["outcome"] for offset in range(4)] == ["unknown", "unknown", "delivered", "delivered"]


def find_first_claims(runs, kept, source):
    """Return the call that follows when a try has claimed its first events."""
    seen = []
    real = EventClaims.claim
    runs.begin()

    def claim(self, requests):
        decisions = real(self, requests)
        seen.append(len(runs.first.killer.names))
        return decisions

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventClaims, "claim", claim)
        runs.first.deliver(kept, source, policy=ONCE)
    kept.bytes_of.clear()
    runs.begin()
    return seen[0]


def test_a_record_folder_that_fails_changes_no_claim(runs, monkeypatch):
    runs.begin()
    source = make_source(EVENTS)
    failing = {"is_failing": True}
    real = SegmentWriter.flush

    def flush(self):
        if failing["is_failing"] and self._lines:
            self.error = OSError("No space left on device")
        real(self)

    monkeypatch.setattr(SegmentWriter, "flush", flush)
    with serve(answer) as kept:
        runs.first.deliver(kept, source, policy=ONCE)
        assert len(kept.bytes_of) <= CHUNK, "no further chunk is begun"
        failing["is_failing"] = False
        runs.first.deliver_to_end(kept, source, policy=ONCE)
        time.sleep(0.01)
        records = check_events(runs.first, kept, EVENTS)
        check_once(kept)
    assert {record["outcome"] for record in records.values()} == {"delivered"}
