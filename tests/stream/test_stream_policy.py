# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Streams with ``at_least_once`` or ``retry_statuses``: rejected, interrupted and lost events are sent again."""

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
    def respond(connection, _count):
        connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())

    return respond


def fail_first(failure, times):
    """Fail the first requests, and accept the later ones."""
    remaining = [times]

    def respond(connection, count):
        remaining[0] -= 1
        (failure if remaining[0] >= 0 else answer)(connection, count)

    return respond


def close_without_response(connection, _count):
    """Close the connection without a response."""
    connection.close()


def check_all_delivered(tries: Tries, receiver, count: int = EVENTS) -> None:
    """Check that each event was received, and has one record with the outcome delivered."""
    records = tries.read_records()
    assert Counter(record["offset"] for record in records) == dict.fromkeys(range(count), 1)
    assert {record["outcome"] for record in records} == {"delivered"}
    assert set(receiver.request_counts) == set(range(count)), "an event was lost"


@pytest.mark.parametrize(
    ("policy", "failure", "times"),
    [
        (AT_LEAST_ONCE, reject(503), 4),
        (AT_LEAST_ONCE, reject(500), 4),
        (AT_LEAST_ONCE, close_without_response, 4),
        (make_policy(retry_statuses=[503]), reject(503), 4),
    ],
    ids=["503", "500", "no response", "at most once with retry_statuses"],
)
def test_failed_events_are_sent_again_by_the_same_try(tries, policy, failure, times):
    with serve(fail_first(failure, times)) as receiver:
        result = tries.deliver(receiver, make_source(EVENTS), policy=policy)
        check_all_delivered(tries, receiver)
    assert result.summary.outcomes["delivered"] == EVENTS
    attempts = {record["offset"]: record["attempts"] for record in tries.read_records()}
    assert attempts == dict(receiver.request_counts)
    assert sum(attempts.values()) == EVENTS + times
    redelivered = {record["offset"] for record in tries.read_records() if record["redelivery"]}
    assert redelivered == {offset for offset, count in attempts.items() if count > 1}


@pytest.mark.parametrize("status", [400, 410])
def test_status_that_is_not_retried_is_final(tries, status):
    with serve(reject(status)) as receiver:
        result = tries.deliver(receiver, make_source(3), policy=AT_LEAST_ONCE)
    assert result.summary.outcomes["rejected"] == 3
    assert set(receiver.request_counts.values()) == {1}


def test_events_rejected_in_all_attempts_are_left_to_the_next_try(tries):
    source = make_source(EVENTS)
    with serve(reject(503)) as receiver:
        first = tries.deliver(receiver, source, policy=AT_LEAST_ONCE, max_attempts=2)
        assert (first.unsent, first.is_stopped) == (EVENTS, False)
        assert tries.store.claim["unsent"] == [[offset, 2, "rejected"] for offset in range(EVENTS)]
        assert tries.read_records() == []
    with serve(answer) as receiver:
        tries.deliver(receiver, source, policy=AT_LEAST_ONCE)
        check_all_delivered(tries, receiver)
    assert {(record["attempts"], record["redelivery"]) for record in tries.read_records()} == {(3, True)}


def test_last_try_records_unknown_if_an_earlier_attempt_may_have_been_received(tries):
    source = make_source(3)
    with serve(close_without_response) as receiver:
        tries.deliver(receiver, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1)
        assert tries.store.claim["unsent"] == [[offset, 1, "unknown"] for offset in range(3)]
        tries.deliver(
            receiver, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1, refuses=lambda _: True, is_last=True
        )
    records = tries.read_records()
    assert {(record["outcome"], record["error_class"], record["attempts"]) for record in records} == {
        ("unknown", "connection_refused", 2)
    }
    assert all("an earlier attempt may have been received" in record["message"] for record in records)


@pytest.mark.parametrize(("failure", "outcome"), [(close_without_response, "unknown"), (reject(503), "rejected")])
def test_stopped_last_try_records_the_outcomes_of_earlier_tries(tries, failure, outcome):
    source = make_source(EVENTS)
    with serve(failure) as receiver:
        tries.deliver(receiver, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1)
        result = tries.deliver(
            receiver, source, policy=AT_LEAST_ONCE, max_attempts=1, concurrency=1, breaker=2, is_last=True
        )
    assert result.summary.outcomes[outcome] == EVENTS
    assert "stopped" in {record.get("error_class") for record in tries.read_records()}


class KilledAfterTheFirstBatch:
    """A store whose process is killed when all events of the first batch were sent and recorded."""

    def __init__(self, store: Store) -> None:
        self._store, self.get = store, store.get

    def set(self, key, value, **options):
        if value["batch"] == 1:
            raise KilledError
        self._store.set(key, value, **options)


def finish(tries: Tries, receiver, source):
    """Make tries, as Airflow does, until the stream is done."""
    while True:
        result = tries.deliver(receiver, source, policy=AT_LEAST_ONCE)
        if tries.store.claim["state"] == "done":
            return result


def test_try_killed_at_any_call_loses_no_event(tries, tmp_path):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(receiver, source, policy=AT_LEAST_ONCE)
    for at in range(len(tries.killer.names)):
        tries.folder, tries.store, tries.number = tmp_path / f"{at}", Store(), 0
        with serve(answer) as receiver:
            tries.deliver(receiver, source, policy=AT_LEAST_ONCE, kill_at=at)
            result = finish(tries, receiver, source)
            check_all_delivered(tries, receiver)
        assert result.summary.outcomes["delivered"] == EVENTS == result.summary.total
        assert sum(receiver.request_counts.values()) <= EVENTS + BATCH, "only the claimed batch is sent again"
        for record in tries.read_records():
            assert record["redelivery"] or receiver.request_counts[record["offset"]] == 1


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kills=st.lists(st.integers(0, 250), min_size=1, max_size=5),
    failures=st.integers(0, 12),
    failure=st.sampled_from([close_without_response, reject(503), reject(429)]),
    concurrency=st.integers(1, 4),
)
def test_several_killed_tries_lose_no_event(tries, tmp_path_factory, kills, failures, failure, concurrency):
    tries.folder, tries.store, tries.number = tmp_path_factory.mktemp("records"), Store(), 0
    source = make_source(EVENTS)
    with serve(fail_first(failure, failures)) as receiver:
        for at in kills:
            tries.deliver(
                receiver, source, policy=AT_LEAST_ONCE, kill_at=at, breaker=5, max_attempts=2, concurrency=concurrency
            )
            if tries.store.stored and tries.store.claim["state"] == "done":
                break
        result = finish(tries, receiver, source)
        check_all_delivered(tries, receiver)
    assert result.summary.outcomes["delivered"] == EVENTS


@pytest.mark.parametrize("recorded", [0, 2, BATCH])
def test_failing_folder_during_the_resend_of_an_interrupted_batch_loses_nothing(tries, monkeypatch, recorded):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(
            receiver, source, policy=AT_LEAST_ONCE, store=KilledAfterTheFirstBatch(tries.store), concurrency=1
        )
        (segment,) = (tries.folder / "3").glob("segment-000000.*.jsonl")
        segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:recorded]))
        with monkeypatch.context() as patch:

            def fail(self):
                self.error = OSError("No space left on device")

            patch.setattr(SegmentWriter, "flush", fail)
            with contextlib.suppress(OSError):
                tries.deliver(receiver, source, policy=AT_LEAST_ONCE)
        finish(tries, receiver, source)
    records = tries.read_records()
    assert Counter(record["offset"] for record in records) == dict.fromkeys(range(EVENTS), 1)
    assert {record["outcome"] for record in records} == {"delivered"}
    assert set(receiver.request_counts) == set(range(EVENTS))
    assert sum(receiver.request_counts.values()) == EVENTS + BATCH - recorded, "a recorded outcome is not sent again"


def test_stream_stopped_in_an_interrupted_batch_begins_no_further_batch(tries):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(receiver, source, policy=AT_LEAST_ONCE, kill_at=60)
        assert tries.store.claim["state"] == "claimed"
    with serve(reject(503)) as receiver:
        stopped = tries.deliver(receiver, source, policy=AT_LEAST_ONCE, breaker=1, max_attempts=1, concurrency=1)
        assert (stopped.is_stopped, len(receiver.arrivals)) == (True, 1)
    with serve(answer) as receiver:
        result = finish(tries, receiver, source)
    assert result.summary.outcomes["delivered"] == EVENTS


def test_retry_after_of_a_busy_receiver_is_honoured(tries, monkeypatch):
    paused = []
    pause = throttle.RateLimiter.pause
    monkeypatch.setattr(
        throttle.RateLimiter, "pause", lambda self, now, seconds: paused.append(seconds) or pause(self, now, 0.0)
    )

    def be_busy(connection, _count):
        connection.sendall(b"HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n")

    with serve(fail_first(be_busy, 3)) as receiver:
        tries.deliver(receiver, make_source(1), policy=AT_LEAST_ONCE)
    assert [round(seconds) for seconds in paused] == [2, 2, 2]


@pytest.mark.parametrize("is_last", [False, True])
def test_interrupted_batch_that_is_stopped_again_loses_no_record(tries, is_last):
    """The first batch was received; two of its records are missing. The next try is stopped at the first of these."""
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(
            receiver, source, policy=AT_LEAST_ONCE, store=KilledAfterTheFirstBatch(tries.store), concurrency=1
        )
    (segment,) = (tries.folder / "3").glob("segment-000000.*.jsonl")
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[2:]))
    with serve(answer) as receiver:
        stopped = tries.deliver(
            receiver,
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
    with serve(answer) as receiver:
        finish(tries, receiver, source)
        assert set(receiver.request_counts) == {0, 1, *range(BATCH, EVENTS)}
    records = {record["offset"]: record for record in tries.read_records()}
    assert {records[offset]["redelivery"] for offset in (0, 1)} == {True}
    assert {record["outcome"] for record in records.values()} == {"delivered"}


class UnavailableSource:
    """A source that a test can make unavailable."""

    def __init__(self, source) -> None:
        self._source, self.is_unavailable = source, False

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, start):
        if self.is_unavailable:
            raise OSError("the source is unavailable")
        return self._source.read(start)


def test_unsent_events_survive_a_crash_and_an_unavailable_source(tries):
    source = UnavailableSource(make_source(EVENTS))
    unsent = {"policy": AT_LEAST_ONCE, "refuses": lambda _: True, "max_attempts": 1, "concurrency": 1}
    with serve(answer) as receiver:
        tries.deliver(receiver, source, **unsent)
        remaining = tries.store.claim["unsent"]
        assert len(remaining) == EVENTS
        for at in range(60):
            tries.deliver(receiver, source, policy=AT_LEAST_ONCE, kill_at=at)
            if tries.store.claim["state"] == "resending":
                break
        source.is_unavailable = True
        with contextlib.suppress(OSError):
            tries.deliver(receiver, source, policy=AT_LEAST_ONCE)
        source.is_unavailable = False
        finish(tries, receiver, source)
        check_all_delivered(tries, receiver)
