# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A stream that is killed at any call and tried again: no duplicate, no missing record, no wrong outcome."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.delivery.claims import KEY_PREFIX
from airflow_provider_hooks.exceptions import ClaimLostError, RecordError, SourceChangedError
from airflow_provider_hooks.stream.records import SegmentWriter
from airflow_provider_hooks.stream.sources import FileSource
from tests.http.reusing_receiver import NO_CONTENT, answer, serve
from tests.stream.stream_tries import BATCH, KilledError, Store, Tries, check_records, make_source

EVENTS, INVALID_EVERY = 17, 6
INVALID = EVENTS // INVALID_EVERY


@pytest.fixture
def tries(monkeypatch, tmp_path):
    return Tries(monkeypatch, tmp_path)


def answer_with_mixed_outcomes(connection, count):
    """Accept most events, reject some, and close the connection for some."""
    if count % 7 == 3:
        connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno")
    elif count % 7 == 6:
        connection.close()
    else:
        connection.sendall(NO_CONTENT)


# Order of durable writes


def test_claim_is_durable_before_its_requests_and_records_before_the_next_claim(tries, monkeypatch):
    steps: list[str] = []

    def note_request(connection, count):
        steps.append("request")
        answer(connection, count)

    really_set, really_close = Store.set, SegmentWriter.close

    def set_and_note(self, key, value, **_options):
        records = len(tries.read_records())
        really_set(self, key, value)
        steps.append(f"{value['state']} {value['batch']} with {records}")

    def close_and_note(self):
        really_close(self)
        steps.append("durable")

    monkeypatch.setattr(Store, "set", set_and_note)
    monkeypatch.setattr(SegmentWriter, "close", close_and_note)
    with serve(note_request) as receiver:
        result = tries.deliver(receiver, make_source(12))
    requests = ["request"] * BATCH
    assert steps == [
        *("claimed 0 with 0", *requests, "durable"),
        *(f"claimed 1 with {BATCH}", *requests, "durable"),
        *(f"claimed 2 with {2 * BATCH}", *requests[:2], "durable"),
        "done 3 with 12",
    ]
    check_records(tries, receiver, result, 12)


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_stream_of_any_length_is_delivered_completely(tries, count):
    with serve(answer) as receiver:
        result = tries.deliver(receiver, make_source(count))
        check_records(tries, receiver, result, count)
        again = tries.deliver(receiver, make_source(count + 3))
    assert again.from_previous_try
    assert again.summary.as_json() == result.summary.as_json()
    assert len(receiver.arrivals) == count


# Another process


class OverwrittenStore(Store):
    """A store in which another process overwrites the claim of a batch before it is read back."""

    def __init__(self, batch: int, change) -> None:
        super().__init__()
        self._batch, self._change = batch, change

    def set(self, key, value, **options):
        super().set(key, value, **options)
        if value["state"] == "claimed" and value["batch"] == self._batch:
            self._change(self.stored)


def replace(**fields):
    return lambda stored: stored.update({KEY_PREFIX: json.dumps({**json.loads(stored[KEY_PREFIX]), **fields})})


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (replace(owner_token="of another"), ClaimLostError),
        (replace(batch=7), ClaimLostError),
        (dict.clear, ClaimLostError),
        (replace(state="rubbish"), RecordError),
        (lambda stored: stored.update({KEY_PREFIX: "7"}), RecordError),
    ],
)
def test_overwritten_claim_stops_the_stream_before_its_batch_is_sent(tries, batch, change, error):
    with serve(answer) as receiver:
        with pytest.raises(error):
            tries.deliver(receiver, make_source(20), store=OverwrittenStore(batch, change))
        time.sleep(0.02)
    assert len(receiver.arrivals) == batch * BATCH
    assert len(tries.read_records()) == batch * BATCH


@pytest.mark.parametrize("found", [7, [], {}, {"state": "claimed"}, "text"])
def test_invalid_claim_prevents_sending(tries, found):
    tries.store.stored[KEY_PREFIX] = json.dumps(found)
    with serve(answer) as receiver, pytest.raises(RecordError):
        tries.deliver(receiver, make_source(3))
    assert receiver.arrivals == []
    assert json.loads(tries.store.stored[KEY_PREFIX]) == found


# Killed


def list_calls(tries: Tries) -> list[str]:
    """Return the watched calls of a whole try."""
    with serve(answer_with_mixed_outcomes) as receiver:
        tries.deliver(receiver, make_source(EVENTS, invalid_every=INVALID_EVERY))
    return tries.killer.names


def try_until_done(tries: Tries, kills, *, is_same_try: bool) -> None:
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    with serve(answer_with_mixed_outcomes) as receiver:
        for at in kills:
            tries.deliver(receiver, source, kill_at=at, is_same_try=is_same_try)
        result = tries.deliver(receiver, source, is_same_try=is_same_try)
        time.sleep(0.005)
    check_records(tries, receiver, result, EVENTS, invalid=INVALID)


@pytest.mark.parametrize("is_same_try", [False, True])
def test_records_are_correct_when_a_try_is_killed_at_any_call(tries, tmp_path, is_same_try):
    calls = list_calls(tries)
    expected = {
        "Store.set",
        "SegmentWriter.close",
        "BatchSender._record",
        "RecordFolder.remove",
        "RecordFolder.open_segment",
    }
    assert expected <= {name.split()[1] for name in calls}
    step = 3 if is_same_try else 1
    for at in range(0, len(calls), step):
        tries.folder, tries.store, tries.number = tmp_path / f"{at}", Store(), 0
        try_until_done(tries, [at], is_same_try=is_same_try)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(kills=st.lists(st.integers(0, 150), min_size=2, max_size=5), is_same_try=st.booleans())
def test_records_are_correct_when_several_tries_are_killed(tries, tmp_path_factory, kills, is_same_try):
    tries.folder, tries.store, tries.number = tmp_path_factory.mktemp("records"), Store(), 0
    try_until_done(tries, kills, is_same_try=is_same_try)


class KilledAfterTwoBatches:
    """A store whose process is killed when all events of two batches were sent."""

    def __init__(self, store: Store) -> None:
        self._store, self.get = store, store.get

    def set(self, key, value, **options):
        if value["batch"] == 2:
            raise KilledError
        self._store.set(key, value, **options)


@pytest.mark.parametrize("is_same_try", [False, True])
def test_complete_records_of_a_killed_try_are_used_by_the_next_try(tries, is_same_try):
    """Airflow can run a try again with the same number, as in a container that was restarted."""
    source = make_source(2 * BATCH)
    with serve(answer) as receiver:
        assert tries.deliver(receiver, source, store=KilledAfterTwoBatches(tries.store), concurrency=1) is None
        (segment,) = (tries.folder / "3").glob("segment-000001.try-1.*.jsonl")
        segment.open("ab").write(b'{"offset": 9, "outcome": "deli')
        result = tries.deliver(receiver, source, is_same_try=is_same_try)
    check_records(tries, receiver, result, 2 * BATCH)
    assert result.summary.outcomes["delivered"] == 2 * BATCH, "each event has a record, and a truncated line is ignored"


# Changed events and clears


def test_events_that_changed_between_two_tries_are_refused_before_sending(tries):
    source, other = make_source(EVENTS), make_source(EVENTS, first=100)
    with serve(answer) as receiver:
        assert tries.deliver(receiver, source, kill_at=60) is None
        time.sleep(0.02)
        sent, claim = len(receiver.arrivals), dict(tries.store.stored)
        with pytest.raises(SourceChangedError, match="restore them"):
            tries.deliver(receiver, other)
        assert (len(receiver.arrivals), tries.store.stored) == (sent, claim)
        result = tries.deliver(receiver, source)
    assert 0 < sent < EVENTS
    check_records(tries, receiver, result, EVENTS)


def test_clear_after_a_killed_try_sends_all_events_again_as_redeliveries(tries):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        assert tries.deliver(receiver, source, kill_at=60) is None
        result = tries.deliver(receiver, source, generation="4")
    assert {record["redelivery"] for record in tries.read_records("4")} == {True}
    assert result.summary.outcomes["delivered"] == EVENTS
    assert sum(receiver.request_counts.values()) > EVENTS


def test_orphaned_try_from_before_a_clear_sends_nothing_and_keeps_the_claim(tries):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.number = 2
        tries.deliver(receiver, source, generation="4")
        sent, stored = len(receiver.arrivals), dict(tries.store.stored)
        tries.number = 1
        with pytest.raises(ClaimLostError, match="try 3 sends this stream after a clear"):
            tries.deliver(receiver, source)
        assert (len(receiver.arrivals), tries.store.stored) == (sent, stored)


def reject(connection, _count):
    connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("invalid_every", [2, 3, 4])
@pytest.mark.parametrize("concurrency", [1, 2, 3, 5])
def test_stopped_stream_resumes_where_it_stopped(tries, concurrency, invalid_every):
    source = make_source(EVENTS, invalid_every=invalid_every)
    with serve(reject) as receiver:
        for breaker in (1, 2, 1):
            stopped = tries.deliver(receiver, source, breaker=breaker, concurrency=concurrency)
            assert (stopped.is_stopped, tries.store.claim["state"]) == (True, "stopped")
            assert stopped.summary.total == len(tries.read_records())
        result = tries.deliver(receiver, source, concurrency=concurrency)
    check_records(tries, receiver, result, EVENTS, invalid=EVENTS // invalid_every)
    assert result.summary.outcomes["rejected"] == EVENTS - EVENTS // invalid_every


@pytest.mark.parametrize("at", range(0, 90, 7))
def test_last_try_records_events_that_it_did_not_send_also_after_a_killed_try(tries, at):
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    with serve(reject) as receiver:
        tries.deliver(receiver, source, kill_at=at, breaker=4, concurrency=1)
        result = tries.deliver(receiver, source, breaker=2, concurrency=1, is_last=True)
        time.sleep(0.005)
    check_records(tries, receiver, result, EVENTS, invalid=INVALID)
    assert "stopped" in {record.get("error_class") for record in tries.read_records()}


def test_file_with_blank_and_invalid_lines_is_resumed_at_the_right_byte(tries, tmp_path):
    lines = [json.dumps(event).encode() for event, _, _ in make_source(8).read(0)]
    content = b"\n\n" + b"\n\r\n".join(lines[:4]) + b"\nnot JSON\n\n" + b"\n".join(lines[4:])
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)

    def open_source():
        return FileSource(open_file=lambda: path.open("rb"), size=len(content), version="v")

    for at in range(0, 80, 9):
        tries.folder, tries.store, tries.number = tmp_path / f"{at}", Store(), 0
        with serve(answer) as receiver:
            tries.deliver(receiver, open_source(), kill_at=at)
            result = tries.deliver(receiver, open_source())
            time.sleep(0.005)
        records = tries.read_records()
        assert len({record["offset"] for record in records}) == len(records) == result.summary.total == 9
        assert [record.get("error_class") for record in records].count("invalid_event") == 1
        assert set(receiver.request_counts.values()) <= {1}
        assert set(receiver.request_counts) <= set(range(8))
