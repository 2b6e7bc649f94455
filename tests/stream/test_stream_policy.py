# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A stream with another policy than the default: what was rejected, interrupted or lost is sent again."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.stream import throttle
from airflow_provider_hooks.stream.records import SegmentWriter
from tests.http.reusing_receiver import answer, serve
from tests.stream.stream_tries import BATCH, KilledError, Store, Tries, make_source

EVENTS = 17
AT_LEAST_ONCE = make_policy(guarantee="at_least_once")


@pytest.fixture
def tries(monkeypatch, tmp_path):
    monkeypatch.setattr(throttle, "DEFAULT_PAUSE", 0.0)
    monkeypatch.setattr(throttle, "BACKOFF_SECONDS", 0.0)
    return Tries(monkeypatch, tmp_path)


def reject(status):
    def behave(connection, _count):
        connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())

    return behave


def fail_first(failure, times):
    """Fail this many requests, and answer those after them."""
    left = [times]

    def behave(connection, count):
        left[0] -= 1
        (failure if left[0] >= 0 else answer)(connection, count)

    return behave


def lose(connection, _count):
    """Read a request, and close the connection without a response."""
    connection.close()


def check_all_delivered(tries: Tries, kept, count: int = EVENTS) -> None:
    """Check that each event was received, and has one record that says so."""
    records = tries.read_records()
    assert Counter(record["offset"] for record in records) == dict.fromkeys(range(count), 1)
    assert {record["outcome"] for record in records} == {"delivered"}
    assert set(kept.bytes_of) == set(range(count)), "an event was lost"


@pytest.mark.parametrize(
    ("policy", "failure", "times"),
    [
        (AT_LEAST_ONCE, reject(503), 4),
        (AT_LEAST_ONCE, reject(500), 4),
        (AT_LEAST_ONCE, lose, 4),
        (make_policy(retry_statuses=[503]), reject(503), 4),
    ],
    ids=["503", "500", "no response", "at most once, but 503"],
)
def test_what_failed_is_sent_again_by_the_same_try(tries, policy, failure, times):
    with serve(fail_first(failure, times)) as kept:
        result = tries.deliver(kept, make_source(EVENTS), policy=policy)
        check_all_delivered(tries, kept)
    assert result.summary.outcomes["delivered"] == EVENTS
    attempts = {record["offset"]: record["attempts"] for record in tries.read_records()}
    assert attempts == dict(kept.bytes_of)
    assert sum(attempts.values()) == EVENTS + times
    redelivered = {record["offset"] for record in tries.read_records() if record["redelivery"]}
    assert redelivered == {offset for offset, count in attempts.items() if count > 1}


@pytest.mark.parametrize("status", [400, 410])
def test_another_status_is_final(tries, status):
    with serve(reject(status)) as kept:
        result = tries.deliver(kept, make_source(3), policy=AT_LEAST_ONCE)
    assert result.summary.outcomes["rejected"] == 3
    assert set(kept.bytes_of.values()) == {1}


def test_what_is_rejected_again_and_again_is_left_to_the_next_try(tries):
    source = make_source(EVENTS)
    with serve(reject(503)) as kept:
        first = tries.deliver(kept, source, policy=AT_LEAST_ONCE, max_attempts=2)
        assert (first.unsent, first.is_stopped) == (EVENTS, False)
        assert tries.store.claim["unsent"] == [[offset, 2, "rejected"] for offset in range(EVENTS)]
        assert tries.read_records() == []
    with serve(answer) as kept:
        tries.deliver(kept, source, policy=AT_LEAST_ONCE)
        check_all_delivered(tries, kept)
    assert {(record["attempts"], record["redelivery"]) for record in tries.read_records()} == {(3, True)}


def test_the_last_try_records_what_is_known(tries):
    source = make_source(3)
    with serve(lose) as kept:
        tries.deliver(kept, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1)
        assert tries.store.claim["unsent"] == [[offset, 1, "unknown"] for offset in range(3)]
        tries.deliver(
            kept, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1, refuses=lambda _: True, is_last=True
        )
    records = tries.read_records()
    assert {(record["outcome"], record["error_class"], record["attempts"]) for record in records} == {
        ("unknown", "connection_refused", 2)
    }
    assert all("an earlier attempt may have been received" in record["message"] for record in records)


@pytest.mark.parametrize(("failure", "outcome"), [(lose, "unknown"), (reject(503), "rejected")])
def test_the_last_try_that_is_stopped_records_what_earlier_ones_know(tries, failure, outcome):
    source = make_source(EVENTS)
    with serve(failure) as kept:
        tries.deliver(kept, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1)
        result = tries.deliver(
            kept, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1, breaker=2, is_last=True
        )
    assert result.summary.outcomes[outcome] == EVENTS
    assert "stopped" in {record.get("error_class") for record in tries.read_records()}


class KilledAtTheNextClaim:
    """A store whose process dies when all events of the first batch were sent and recorded."""

    def __init__(self, store: Store) -> None:
        self._store, self.get = store, store.get

    def set(self, key, value, **options):
        if value["batch"] == 1:
            raise KilledError
        self._store.set(key, value, **options)


def finish(tries: Tries, kept, source):
    """Make tries as Airflow does, until one leaves nothing to the next."""
    while True:
        result = tries.deliver(kept, source, policy=AT_LEAST_ONCE)
        if tries.store.claim["state"] == "done":
            return result


def test_wherever_a_try_is_killed_no_event_is_lost(tries, tmp_path):
    source = make_source(EVENTS)
    with serve(answer) as kept:
        tries.deliver(kept, source, policy=AT_LEAST_ONCE)
    for at in range(len(tries.killer.names)):
        tries.folder, tries.store, tries.number = tmp_path / f"{at}", Store(), 0
        with serve(answer) as kept:
            tries.deliver(kept, source, policy=AT_LEAST_ONCE, kill_at=at)
            result = finish(tries, kept, source)
            check_all_delivered(tries, kept)
        assert result.summary.outcomes["delivered"] == EVENTS == result.summary.total
        assert sum(kept.bytes_of.values()) <= EVENTS + BATCH, "only the claimed batch is sent again"
        for record in tries.read_records():
            assert record["redelivery"] or kept.bytes_of[record["offset"]] == 1


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kills=st.lists(st.integers(0, 250), min_size=1, max_size=5),
    failures=st.integers(0, 12),
    failure=st.sampled_from([lose, reject(503), reject(429)]),
    concurrency=st.integers(1, 4),
)
def test_however_often_tries_are_killed_no_event_is_lost(
    tries, tmp_path_factory, kills, failures, failure, concurrency
):
    tries.folder, tries.store, tries.number = tmp_path_factory.mktemp("records"), Store(), 0
    source = make_source(EVENTS)
    with serve(fail_first(failure, failures)) as kept:
        for at in kills:
            tries.deliver(
                kept, source, policy=AT_LEAST_ONCE, kill_at=at, breaker=5, max_attempts=2, concurrency=concurrency
            )
            if tries.store.kept and tries.store.claim["state"] == "done":
                break
        result = finish(tries, kept, source)
        check_all_delivered(tries, kept)
    assert result.summary.outcomes["delivered"] == EVENTS


@pytest.mark.parametrize("recorded", [0, 2, BATCH])
def test_a_folder_that_fails_while_an_interrupted_batch_is_sent_again_loses_nothing(tries, monkeypatch, recorded):
    source = make_source(EVENTS)
    with serve(answer) as kept:
        tries.deliver(kept, source, policy=AT_LEAST_ONCE, store=KilledAtTheNextClaim(tries.store), concurrency=1)
        (segment,) = (tries.folder / "3").glob("segment-000000.*.jsonl")
        segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:recorded]))
        with monkeypatch.context() as patch:

            def fail(self):
                self.error = OSError("No space left on device")

            patch.setattr(SegmentWriter, "flush", fail)
            with contextlib.suppress(OSError):
                tries.deliver(kept, source, policy=AT_LEAST_ONCE)
        finish(tries, kept, source)
    records = tries.read_records()
    assert Counter(record["offset"] for record in records) == dict.fromkeys(range(EVENTS), 1)
    assert {record["outcome"] for record in records} == {"delivered"}
    assert set(kept.bytes_of) == set(range(EVENTS))
    assert sum(kept.bytes_of.values()) == EVENTS + BATCH - recorded, "an outcome that is known is not forgotten"


def test_a_stream_that_is_stopped_in_an_interrupted_batch_begins_nothing_more(tries):
    source = make_source(EVENTS)
    with serve(answer) as kept:
        tries.deliver(kept, source, policy=AT_LEAST_ONCE, kill_at=60)
        assert tries.store.claim["state"] == "claimed"
    with serve(reject(503)) as kept:
        stopped = tries.deliver(kept, source, policy=AT_LEAST_ONCE, breaker=1, max_attempts=1, concurrency=1)
        assert (stopped.is_stopped, len(kept.arrivals)) == (True, 1)
    with serve(answer) as kept:
        result = finish(tries, kept, source)
    assert result.summary.outcomes["delivered"] == EVENTS


def test_a_busy_receiver_is_given_the_time_that_it_requests(tries, monkeypatch):
    paused = []
    pause = throttle.RateLimiter.pause
    monkeypatch.setattr(
        throttle.RateLimiter, "pause", lambda self, now, seconds: paused.append(seconds) or pause(self, now, 0.0)
    )

    def be_busy(connection, _count):
        connection.sendall(b"HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n")

    with serve(fail_first(be_busy, 3)) as kept:
        tries.deliver(kept, make_source(1), policy=AT_LEAST_ONCE)
    assert [round(seconds) for seconds in paused] == [2, 2, 2]


@pytest.mark.parametrize("is_last", [False, True])
def test_an_interrupted_batch_that_is_stopped_again_loses_no_record(tries, is_last):
    """The first batch was received; two of its records are missing. The next try is stopped at the first of these."""
    source = make_source(EVENTS)
    with serve(answer) as kept:
        tries.deliver(kept, source, policy=AT_LEAST_ONCE, store=KilledAtTheNextClaim(tries.store), concurrency=1)
    (segment,) = (tries.folder / "3").glob("segment-000000.*.jsonl")
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[2:]))
    with serve(answer) as kept:
        stopped = tries.deliver(
            kept,
            source,
            policy=AT_LEAST_ONCE,
            refuses=lambda _: True,
            breaker=1,
            concurrency=1,
            max_attempts=1,
            is_last=is_last,
        )
    outcomes = {record["offset"]: (record["outcome"], record["redelivery"]) for record in tries.read_records()}
    assert {offset: outcomes[offset] for offset in (2, 3, 4)} == dict.fromkeys((2, 3, 4), ("delivered", False))
    if is_last:
        assert {outcomes[offset] for offset in (0, 1)} == {("unknown", True)}
        assert {outcomes[offset] for offset in range(BATCH, EVENTS)} == {("not_sent", False)}
        return
    assert (stopped.is_stopped, set(outcomes)) == (True, {2, 3, 4})
    with serve(answer) as kept:
        finish(tries, kept, source)
        assert set(kept.bytes_of) == {0, 1, *range(BATCH, EVENTS)}
    records = {record["offset"]: record for record in tries.read_records()}
    assert {records[offset]["redelivery"] for offset in (0, 1)} == {True}
    assert {record["outcome"] for record in records.values()} == {"delivered"}


class AwaySource:
    """A source that cannot be read for a while."""

    def __init__(self, source) -> None:
        self._source, self.is_away = source, False

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, start):
        if self.is_away:
            raise OSError("the source is away")
        return self._source.read(start)


def test_events_that_were_left_survive_a_crash_and_a_source_that_is_away(tries):
    source = AwaySource(make_source(EVENTS))
    unsent = {"policy": AT_LEAST_ONCE, "refuses": lambda _: True, "max_attempts": 1, "concurrency": 1}
    with serve(answer) as kept:
        tries.deliver(kept, source, **unsent)
        left = tries.store.claim["unsent"]
        assert len(left) == EVENTS
        for at in range(60):
            tries.deliver(kept, source, policy=AT_LEAST_ONCE, kill_at=at)
            if tries.store.claim["state"] == "resending":
                break
        source.is_away = True
        with contextlib.suppress(OSError):
            tries.deliver(kept, source, policy=AT_LEAST_ONCE)
        source.is_away = False
        finish(tries, kept, source)
        check_all_delivered(tries, kept)
