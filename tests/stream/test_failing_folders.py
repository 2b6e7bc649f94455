# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A full disk, a removed folder or a failing source stops the stream, and no known outcome is lost."""

from __future__ import annotations

import contextlib
import errno
import shutil

import pytest

from airflow_provider_hooks.exceptions import StateStoreError
from airflow_provider_hooks.stream import batch
from airflow_provider_hooks.stream.sources import IterableSource
from tests.http.reusing_receiver import answer, serve
from tests.stream.sending import make_event
from tests.stream.stream_tries import BATCH, Tries, check_records, make_source

EVENTS = 23


class Disk:
    """A disk with limited space in bytes. ``is_object_storage``: a file is written when it is closed, or not at all."""

    def __init__(self, space: float, *, is_object_storage: bool = False) -> None:
        self.space, self.is_object_storage = space, is_object_storage

    def wrap(self, path):
        return _Folder(path, self)


class _Folder:
    def __init__(self, path, disk: Disk) -> None:
        self._path, self._disk = path, disk

    def __str__(self) -> str:
        return str(self._path)

    @property
    def name(self):
        return self._path.name

    def __truediv__(self, name):
        return _Folder(self._path / name, self._disk)

    def iterdir(self):
        return (_Folder(path, self._disk) for path in self._path.iterdir())

    def mkdir(self, **options):
        self._path.mkdir(**options)

    def unlink(self):
        self._disk.space += self._path.stat().st_size
        self._path.unlink()

    def open(self, mode):
        return self._path.open(mode) if mode == "rb" else _File(self._path, self._disk)


class _File:
    def __init__(self, path, disk: Disk) -> None:
        self._disk, self._uploaded = disk, b""
        self._file = None if disk.is_object_storage else path.open("wb", buffering=0)
        self._path = path

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._uploaded += data
            return
        written = data[: int(min(self._disk.space, len(data)))]
        self._disk.space -= len(written)
        self._file.write(written)
        if written != data:
            raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        pass

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        elif self._disk.space < len(self._uploaded):
            raise PermissionError(errno.EACCES, "the upload was refused")
        else:
            self._disk.space -= len(self._uploaded)
            self._path.write_bytes(self._uploaded)


@pytest.fixture
def tries(monkeypatch, tmp_path):
    monkeypatch.setattr(batch, "FLUSH_SECONDS", 0.0)
    return Tries(monkeypatch, tmp_path)


@pytest.mark.parametrize("is_object_storage", [False, True])
@pytest.mark.parametrize("space", [0, 300, 1_000, 3_000, 5_000, 6_500])
def test_retry_with_free_disk_space_completes_the_records(tries, space, is_object_storage):
    source, disk = make_source(EVENTS, invalid_every=4), Disk(space, is_object_storage=is_object_storage)
    tries.wrap_folder = disk.wrap
    with serve(answer) as receiver:
        for _ in range(2):  # the disk is still full in the second try
            stopped = tries.deliver(receiver, source)
            assert isinstance(stopped.failure, OSError)
            recorded = {record["offset"] for record in read_complete_records(tries)}
            assert stopped.summary.total == len(recorded) + stopped.without_record
            assert len(receiver.request_counts) == stopped.summary.outcomes["delivered"]
        assert len(receiver.request_counts) <= EVENTS
        disk.space = float("inf")
        result = tries.deliver(receiver, source)
    check_records(tries, receiver, result, EVENTS, invalid=EVENTS // 4)
    assert result.summary.outcomes["unknown"] == 0
    assert (result.without_record, result.failure) == (0, None)


def read_complete_records(tries: Tries) -> list[dict]:
    """Read the records, ignoring a line that is truncated because the disk was full."""
    for segment in (tries.folder / "3").glob("segment-*.jsonl"):
        content = segment.read_bytes()
        segment.write_bytes(content[: content.rfind(b"\n") + 1])
    return tries.read_records()


def test_full_disk_in_the_last_try_loses_no_outcome_count(tries):
    tries.wrap_folder = Disk(4_000).wrap
    with serve(answer) as receiver:
        result = tries.deliver(receiver, make_source(EVENTS), is_last=True)
    recorded = {record["offset"] for record in read_complete_records(tries)}
    received = len(receiver.request_counts)
    assert BATCH < received < EVENTS, "the stream stopped sending"
    assert result.summary.outcomes["delivered"] == received == len(recorded) + result.without_record
    assert result.without_record > 0
    claim = tries.store.claim
    assert claim["state"] == "stopped"
    assert len(claim["unrecorded"]["delivered"]) == result.without_record


@pytest.mark.parametrize("kill_at", range(0, 60, 3))
def test_try_killed_while_it_completes_the_records_loses_no_record(tries, kill_at):
    source, disk = make_source(EVENTS), Disk(3_000)
    tries.wrap_folder = disk.wrap
    with serve(answer) as receiver:
        tries.deliver(receiver, source)
        disk.space = float("inf")
        tries.deliver(receiver, source, kill_at=kill_at)
        result = tries.deliver(receiver, source)
    check_records(tries, receiver, result, EVENTS)


def test_folder_removed_during_a_stream_stops_it_and_lost_records_are_counted(tries):
    count = 0

    def remove_folder_in_the_third_batch(connection, number):
        nonlocal count
        count += 1
        if count == 2 * BATCH + 2:
            shutil.rmtree(tries.folder / "3")
        answer(connection, number)

    source = make_source(EVENTS)
    with serve(remove_folder_in_the_third_batch) as receiver:
        stopped = tries.deliver(receiver, source, concurrency=1)
        assert isinstance(stopped.failure, OSError)
        received = len(receiver.request_counts)
        assert stopped.summary.outcomes["delivered"] == stopped.without_record == received == 3 * BATCH
        result = tries.deliver(receiver, source, concurrency=1)
    assert result.failure is None
    assert set(receiver.request_counts.values()) == {1}
    assert result.summary.outcomes["delivered"] == EVENTS
    assert result.without_record == received
    assert len(tries.read_records()) == EVENTS - received


def test_resuming_try_counts_the_records_of_a_removed_folder(tries):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(receiver, source, kill_at=60)
        recorded = len(tries.read_records())
        shutil.rmtree(tries.folder / "3")
        result = tries.deliver(receiver, source)
    assert recorded
    assert result.summary.total == EVENTS == len(tries.read_records()) + result.without_record
    assert set(receiver.request_counts.values()) == {1}


@pytest.mark.parametrize("error", [OSError(errno.EIO, "the disk is broken"), ValueError("a bug in a function")])
@pytest.mark.parametrize("after", [0, 1, 7, 12])
def test_failing_source_ends_the_try_after_the_requests_in_progress(tries, error, after):
    events = [make_event(number) for number in range(EVENTS)]
    failing = False

    def make():
        for number, event in enumerate(events):
            if failing and number == after:
                raise error
            yield event

    class Source(IterableSource):
        def fingerprint(self):
            return "unchanged"

    source = Source(make=make)
    failing = True
    with serve(answer) as receiver:
        stopped = tries.deliver(receiver, source, is_last=True)
        assert stopped.failure is error
        assert (
            len(receiver.request_counts) == after == stopped.summary.outcomes["delivered"] == len(tries.read_records())
        )
        failing = False
        result = tries.deliver(receiver, source)
    check_records(tries, receiver, result, EVENTS)
    assert result.summary.outcomes["delivered"] == EVENTS


class _Unreadable:
    """A state store whose first read after the claim of a batch fails."""

    def __init__(self, store, batch: int, *, try_number: int = 1) -> None:
        self._store, self._batch, self._try_number, self.lost = store, batch, try_number, 0

    def get(self, key):
        claim = self._store.get(key)
        found = (claim["state"], claim["batch"], claim["try_number"]) if claim else None
        if found == ("claimed", self._batch, self._try_number) and not self.lost:
            self.lost += 1
            raise StateStoreError("the response was lost")
        return claim

    def set(self, key, value, **options):
        self._store.set(key, value, **options)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_batch_whose_claim_cannot_be_read_back_is_sent_by_the_next_try(tries, batch):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        with pytest.raises(StateStoreError):
            tries.deliver(receiver, source, store=_Unreadable(tries.store, batch))
        assert len(receiver.request_counts) == batch * BATCH
        result = tries.deliver(receiver, source)
    check_records(tries, receiver, result, EVENTS)
    assert result.summary.outcomes["delivered"] == EVENTS


@pytest.mark.parametrize("kill_at", range(20, 70, 5))
def test_claim_of_a_partly_sent_batch_is_not_withdrawn_if_it_cannot_be_read_back(tries, kill_at):
    """If it were withdrawn, the next try would send the whole batch again."""
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(receiver, source, kill_at=kill_at)
        claim = tries.store.claim
        with contextlib.suppress(StateStoreError):
            tries.deliver(receiver, source, store=_Unreadable(tries.store, claim["batch"], try_number=2))
        result = tries.deliver(receiver, source)
    check_records(tries, receiver, result, EVENTS)
