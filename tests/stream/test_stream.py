# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A stream that is killed anywhere and tried again: no event twice, none without a record, none told wrongly."""

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
from tests.stream.stream_tries import BATCH, KilledError, Store, Tries, check_truth, make_source

EVENTS, INVALID_EVERY = 17, 6
INVALID = EVENTS // INVALID_EVERY


@pytest.fixture
def tries(monkeypatch, tmp_path):
    return Tries(monkeypatch, tmp_path)


def answer_by_turns(connection, count):
    """Take most events, refuse some, and hang up on some."""
    if count % 7 == 3:
        connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno")
    elif count % 7 == 6:
        connection.close()
    else:
        connection.sendall(NO_CONTENT)


# The order in which things become durable


def test_a_claim_is_durable_before_its_requests_and_the_records_before_the_next_claim(tries, monkeypatch):
    seen: list[str] = []

    def note_request(connection, count):
        seen.append("request")
        answer(connection, count)

    really_set, really_close = Store.set, SegmentWriter.close

    def set_and_note(self, key, value, **_options):
        records = len(tries.read_records())
        really_set(self, key, value)
        seen.append(f"{value['state']} {value['batch']} with {records}")

    def close_and_note(self):
        really_close(self)
        seen.append("durable")

    monkeypatch.setattr(Store, "set", set_and_note)
    monkeypatch.setattr(SegmentWriter, "close", close_and_note)
    with serve(note_request) as kept:
        end = tries.deliver(kept, make_source(12))
    requests = ["request"] * BATCH
    assert seen == [
        *("claimed 0 with 0", *requests, "durable"),
        *(f"claimed 1 with {BATCH}", *requests, "durable"),
        *(f"claimed 2 with {2 * BATCH}", *requests[:2], "durable"),
        "done 3 with 12",
    ]
    check_truth(tries, kept, end, 12)


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_a_stream_of_any_length_comes_to_its_end(tries, count):
    with serve(answer) as kept:
        end = tries.deliver(kept, make_source(count))
        check_truth(tries, kept, end, count)
        again = tries.deliver(kept, make_source(count + 3))
    assert again.from_previous_try
    assert again.summary.as_json() == end.summary.as_json()
    assert len(kept.arrivals) == count


# Another process


class StolenStore(Store):
    """Another process writes between a claim of a block and the moment when it is read back."""

    def __init__(self, block: int, change) -> None:
        super().__init__()
        self._block, self._change = block, change

    def set(self, key, value, **options):
        super().set(key, value, **options)
        if value["state"] == "claimed" and value["batch"] == self._block:
            self._change(self.kept)


def replace(**fields):
    return lambda kept: kept.update({KEY_PREFIX: json.dumps({**json.loads(kept[KEY_PREFIX]), **fields})})


@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (replace(owner_token="of another"), ClaimLostError),
        (replace(batch=7), ClaimLostError),
        (dict.clear, ClaimLostError),
        (replace(state="rubbish"), RecordError),
        (lambda kept: kept.update({KEY_PREFIX: "7"}), RecordError),
    ],
)
def test_a_claim_that_another_process_overwrote_stops_the_stream_before_a_byte_of_it_is_sent(
    tries, block, change, error
):
    with serve(answer) as kept:
        with pytest.raises(error):
            tries.deliver(kept, make_source(20), store=StolenStore(block, change))
        time.sleep(0.02)
    assert len(kept.arrivals) == block * BATCH
    assert len(tries.read_records()) == block * BATCH


@pytest.mark.parametrize("found", [7, [], {}, {"state": "claimed"}, "text"])
def test_a_claim_that_cannot_be_read_lets_nothing_be_sent(tries, found):
    tries.store.kept[KEY_PREFIX] = json.dumps(found)
    with serve(answer) as kept, pytest.raises(RecordError):
        tries.deliver(kept, make_source(3))
    assert kept.arrivals == []
    assert json.loads(tries.store.kept[KEY_PREFIX]) == found


# Killed


def count_points(tries: Tries) -> list[str]:
    """Return the calls that a whole try makes."""
    with serve(answer_by_turns) as kept:
        tries.deliver(kept, make_source(EVENTS, invalid_every=INVALID_EVERY))
    return tries.killer.names


def try_until_the_end(tries: Tries, kills, *, is_same_try: bool) -> None:
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    with serve(answer_by_turns) as kept:
        for at in kills:
            tries.deliver(kept, source, kill_at=at, is_same_try=is_same_try)
        end = tries.deliver(kept, source, is_same_try=is_same_try)
        time.sleep(0.005)
    check_truth(tries, kept, end, EVENTS, invalid=INVALID)


@pytest.mark.parametrize("is_same_try", [False, True])
def test_wherever_a_try_is_killed_the_next_one_tells_the_truth(tries, tmp_path, is_same_try):
    points = count_points(tries)
    wanted = {
        "Store.set",
        "SegmentWriter.close",
        "BatchSender._record",
        "RecordFolder.remove",
        "RecordFolder.open_segment",
    }
    assert wanted <= {name.split()[1] for name in points}
    step = 3 if is_same_try else 1
    for at in range(0, len(points), step):
        tries.folder, tries.store, tries.number = tmp_path / f"{at}", Store(), 0
        try_until_the_end(tries, [at], is_same_try=is_same_try)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(kills=st.lists(st.integers(0, 150), min_size=2, max_size=5), is_same_try=st.booleans())
def test_however_many_tries_are_killed_the_last_one_tells_the_truth(tries, tmp_path_factory, kills, is_same_try):
    tries.folder, tries.store, tries.number = tmp_path_factory.mktemp("records"), Store(), 0
    try_until_the_end(tries, kills, is_same_try=is_same_try)


class KilledBeforeTheEnd:
    """A store whose process dies when all events of two blocks were sent."""

    def __init__(self, store: Store) -> None:
        self._store, self.get = store, store.get

    def set(self, key, value, **options):
        if value["batch"] == 2:
            raise KilledError
        self._store.set(key, value, **options)


@pytest.mark.parametrize("is_same_try", [False, True])
def test_records_that_a_killed_try_wrote_are_kept_and_the_others_are_unknown(tries, is_same_try):
    """Airflow can run a try again under its own number, as in a container that was restarted."""
    source = make_source(2 * BATCH)
    with serve(answer) as kept:
        assert tries.deliver(kept, source, store=KilledBeforeTheEnd(tries.store), concurrency=1) is None
        (segment,) = (tries.folder / "3").glob("segment-000001.try-1.*.jsonl")
        segment.open("ab").write(b'{"offset": 9, "outcome": "deli')
        end = tries.deliver(kept, source, is_same_try=is_same_try)
    check_truth(tries, kept, end, 2 * BATCH)
    assert end.summary.outcomes["delivered"] == 2 * BATCH, "each had its record, and a line that was cut off is none"


# Other events, other askings


def test_events_that_changed_between_two_tries_are_refused_and_nothing_is_sent(tries):
    source, other = make_source(EVENTS), make_source(EVENTS, first=100)
    with serve(answer) as kept:
        assert tries.deliver(kept, source, kill_at=60) is None
        time.sleep(0.02)
        sent, claim = len(kept.arrivals), dict(tries.store.kept)
        with pytest.raises(SourceChangedError, match="restore them"):
            tries.deliver(kept, other)
        assert (len(kept.arrivals), tries.store.kept) == (sent, claim)
        end = tries.deliver(kept, source)
    assert 0 < sent < EVENTS
    check_truth(tries, kept, end, EVENTS)


def test_a_new_asking_sends_all_again_and_says_so_whatever_the_one_before_left(tries):
    source = make_source(EVENTS)
    with serve(answer) as kept:
        assert tries.deliver(kept, source, kill_at=60) is None
        end = tries.deliver(kept, source, generation="4")
    assert {record["redelivery"] for record in tries.read_records("4")} == {True}
    assert end.summary.outcomes["delivered"] == EVENTS
    assert sum(kept.bytes_of.values()) > EVENTS


def test_an_orphan_of_an_earlier_generation_sends_nothing_and_leaves_the_claim(tries):
    source = make_source(EVENTS)
    with serve(answer) as kept:
        tries.number = 2
        tries.deliver(kept, source, generation="4")
        sent, stored = len(kept.arrivals), dict(tries.store.kept)
        tries.number = 1
        with pytest.raises(ClaimLostError, match="try 3 sends this stream after a clear"):
            tries.deliver(kept, source)
        assert (len(kept.arrivals), tries.store.kept) == (sent, stored)


def refuse(connection, _count):
    connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("invalid_every", [2, 3, 4])
@pytest.mark.parametrize("concurrency", [1, 2, 3, 5])
def test_a_stream_that_stopped_goes_on_where_it_stopped(tries, concurrency, invalid_every):
    source = make_source(EVENTS, invalid_every=invalid_every)
    with serve(refuse) as kept:
        for breaker in (1, 2, 1):
            stopped = tries.deliver(kept, source, breaker=breaker, concurrency=concurrency)
            assert (stopped.is_stopped, tries.store.claim["state"]) == (True, "stopped")
            assert stopped.summary.total == len(tries.read_records())
        end = tries.deliver(kept, source, concurrency=concurrency)
    check_truth(tries, kept, end, EVENTS, invalid=EVENTS // invalid_every)
    assert end.summary.outcomes["rejected"] == EVENTS - EVENTS // invalid_every


@pytest.mark.parametrize("at", range(0, 90, 7))
def test_the_last_try_tells_what_it_did_not_send_also_after_one_that_was_killed(tries, at):
    source = make_source(EVENTS, invalid_every=INVALID_EVERY)
    with serve(refuse) as kept:
        tries.deliver(kept, source, kill_at=at, breaker=4, concurrency=1)
        end = tries.deliver(kept, source, breaker=2, concurrency=1, is_last=True)
        time.sleep(0.005)
    check_truth(tries, kept, end, EVENTS, invalid=INVALID)
    assert "stopped" in {record.get("error_class") for record in tries.read_records()}


def test_a_file_with_blank_and_bad_lines_goes_on_at_the_right_byte(tries, tmp_path):
    lines = [json.dumps(event).encode() for event, _, _ in make_source(8).read(0)]
    content = b"\n\n" + b"\n\r\n".join(lines[:4]) + b"\nnot JSON\n\n" + b"\n".join(lines[4:])
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)

    def open_source():
        return FileSource(open_file=lambda: path.open("rb"), size=len(content), version="v")

    for at in range(0, 80, 9):
        tries.folder, tries.store, tries.number = tmp_path / f"{at}", Store(), 0
        with serve(answer) as kept:
            tries.deliver(kept, open_source(), kill_at=at)
            end = tries.deliver(kept, open_source())
            time.sleep(0.005)
        records = tries.read_records()
        assert len({record["offset"] for record in records}) == len(records) == end.summary.total == 9
        assert [record.get("error_class") for record in records].count("invalid_event") == 1
        assert set(kept.bytes_of.values()) <= {1}
        assert set(kept.bytes_of) <= set(range(8))
