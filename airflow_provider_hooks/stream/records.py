# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The records of a stream: JSON Lines in a folder, one segment for each batch, written while the batch is being sent.

A segment that a crash left incomplete is written again by the next try, under another name, and the earlier file is
removed. Every event is in the folder once, with its offset in the source.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import uuid
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import orjson

from airflow_provider_hooks.exceptions import RecordError
from airflow_provider_hooks.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import BinaryIO

_SEGMENT = re.compile(r"segment-(?P<batch>[0-9]{6,})\.try-(?P<number>[0-9]+)\.(?P<writer>[0-9a-f]+)\.jsonl", re.ASCII)
_WRITER_CHARACTERS = 8
_NO_RECORD = -1
_BUFFERED_BYTES = 262_144
_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})
"""What file systems that have no fsync say."""


class Folder(Protocol):
    """A folder: Airflow's ``ObjectStoragePath``, or any other path of that kind."""

    @property
    def name(self) -> str:
        """The last component of the path."""

    def __truediv__(self, name: str) -> Folder:
        """Return a path in this folder."""

    def open(self, mode: str) -> BinaryIO:  # type: ignore[explicit-any,unused-ignore]
        """Open a file."""

    def iterdir(self) -> Iterable[Folder]:
        """List the folder."""

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Create the folder."""

    def unlink(self) -> None:
        """Remove a file."""


class UndeliveredEvent(msgspec.Struct, frozen=True):
    """What an earlier run recorded of an event that it did not deliver."""

    offset: int
    outcome: Outcome
    event_id: str | None = None
    redelivery: bool = False

    @property
    def may_have_arrived(self) -> bool:
        """Whether the receiver may have got the event from the earlier run, or from one before it."""
        return self.redelivery or self.outcome is not Outcome.NOT_SENT


class RecordFolderError(OSError):
    """A segment cannot be opened or written; each file system raises other exceptions for this."""


class RecordFolder:
    """
    The segments of one generation's records.

    The names of the segments that it writes have a random part: Airflow can run a try again under the same number, as
    in a container that was restarted, and what the first process wrote must not be overwritten.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._writer = uuid.uuid4().hex[:_WRITER_CHARACTERS]

    def __str__(self) -> str:
        return str(self._folder)

    def create(self) -> None:
        """Create the folder, if it does not exist."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def open_segment(self, batch: int, *, try_number: int) -> SegmentWriter:
        """
        Open the segment of a batch for writing.

        :raises RecordFolderError: if it cannot be opened
        """
        name = f"segment-{batch:06d}.try-{try_number}.{self._writer}.jsonl"
        try:
            return SegmentWriter((self._folder / name).open("wb"))
        except Exception as error:
            raise RecordFolderError(str(error)) from error

    def read_lines(self, batch: int) -> dict[int, bytes]:
        """Return the complete lines that earlier tries wrote of a batch, by the offset of the event."""
        lines: dict[int, bytes] = {}
        for _, segment in self._list_segments(batch, batch):
            # Another try that slept may remove a segment that it has copied; its copy is listed after it.
            with contextlib.suppress(FileNotFoundError):
                lines.update((_read_offset(line), line) for line in _read_complete_lines(segment))
        lines.pop(_NO_RECORD, None)
        return lines

    def read_undelivered(self, outcomes: Collection[str]) -> dict[int, UndeliveredEvent]:
        """
        Return the events with one of these outcomes, by offset. Events that could not be delivered at all are left out.

        :raises RecordError: if the folder has no records, or a line of them cannot be read
        """
        events = ((offset, event) for offset, (event, _) in self._read_last(outcomes).items())
        return {offset: event for offset, event in events if event.event_id is not None}

    def read_records(self, outcomes: Collection[str], *, after: int, limit: int) -> list[dict[str, object]]:
        """
        Return the records of the events with one of these outcomes, by ascending offset.

        :param after: only events with a larger offset
        :param limit: how many at most
        :raises RecordError: if the folder has no records, or a line of them cannot be read
        """
        found = self._read_last(outcomes)
        chosen = [offset for offset in sorted(found) if offset > after][:limit]
        return [msgspec.json.decode(found[offset][1], type=dict[str, object]) for offset in chosen]

    def _read_last(self, outcomes: Collection[str]) -> dict[int, tuple[UndeliveredEvent, bytes]]:
        """Return the last record of each event that has one of these outcomes, with its line."""
        found: dict[int, tuple[UndeliveredEvent, bytes]] = {}
        segments = list(self._list_segments(0, None))
        if not segments:
            raise RecordError(f"{self} has no records of a stream")
        for _, segment in segments:
            for line in _read_complete_lines(segment):
                try:
                    event = _decoder.decode(line)
                except msgspec.MsgspecError as error:
                    raise RecordError(f"a line of {segment} is not a record of a stream: {error}") from None
                found.pop(event.offset, None)  # where two tries recorded an event, the later one counts
                if event.outcome.value in outcomes:
                    found[event.offset] = (event, line)
        return found

    def count_missing(self, *, batches: int, total: int) -> int:
        """
        Return how many records are gone because their segments are: a user may have removed the folder.

        :param batches: how many batches were recorded
        :param total: how many records they have in all; they are read only if a segment is missing
        """
        try:
            segments = list(self._list_segments(0, None))
            if {key.batch for key, _ in segments}.issuperset(range(batches)):
                return 0
            found = {_read_offset(line) for _, segment in segments for line in _read_complete_lines(segment)}
        except OSError:
            return total
        return max(0, total - len(found))

    def remove(self, *, first_batch: int, try_number: int, keeps_own: bool = False) -> None:
        """
        Remove the segments from a batch on that a try and earlier ones wrote; never those of a later try.

        A try that slept while another superseded it would otherwise remove what that one wrote.

        :param keeps_own: whether the segment of the first batch that this object wrote is left
        """
        for key, segment in list(self._list_segments(first_batch, None)):
            is_own = key.batch == first_batch and key.writer == self._writer
            if key.number <= try_number and not (keeps_own and is_own):
                with contextlib.suppress(FileNotFoundError):
                    segment.unlink()

    def _list_segments(self, first: int, last: int | None) -> Iterator[tuple[_SegmentKey, Folder]]:
        """Yield each segment with its key, in the order of the keys."""
        named = ((_SEGMENT.fullmatch(segment.name), segment) for segment in self._folder.iterdir())
        segments = [
            (_SegmentKey(int(name["batch"]), int(name["number"]), name["writer"]), segment)
            for name, segment in named
            if name
        ]
        for key, segment in sorted(segments, key=lambda one: one[0]):
            if first <= key.batch and (last is None or key.batch <= last):
                yield key, segment


class _SegmentKey(NamedTuple):
    batch: int
    number: int
    """The number of the try."""
    writer: str


_decoder = msgspec.json.Decoder(UndeliveredEvent)


def _read_complete_lines(segment: Folder) -> list[bytes]:
    """Read the lines of a segment, but for a last one that a crash cut off."""
    with segment.open("rb") as file:
        return file.read().split(b"\n")[:-1]


def _read_offset(line: bytes) -> int:
    """Return the offset of the event that a line records, or ``_NO_RECORD``."""
    try:
        return int(orjson.loads(line)["offset"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return _NO_RECORD


class SegmentWriter:
    """
    Writes the lines of one segment; what was flushed survives this process.

    A file system that fails, such as a full disk, raises nothing here, since requests are under way: ``error`` holds
    the first exception, and nothing more is written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._bytes = 0
        self._offsets: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        self.error: Exception | None = None

    def write_result(self, line: bytes, *, offset: int, outcome: str) -> None:
        """
        Write the line of an event of the batch that is being sent, and remember its outcome.

        :param outcome: the value of the outcome
        """
        self._offsets[outcome].append(offset)
        self.write(line)

    def write(self, line: bytes) -> None:
        """Write a line, given without its end."""
        if self.error is None:
            self._lines.append(line)
            self._bytes += len(line)
            if self._bytes > _BUFFERED_BYTES:
                self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the file system."""
        if self.error is not None:
            return
        try:
            if self._lines:
                self._file.write(b"\n".join(self._lines) + b"\n")
                self._lines.clear()
                self._bytes = 0
            self._file.flush()
        except Exception as error:  # noqa: BLE001  (each file system raises its own)
            self.error = error

    def close(self) -> None:
        """Make the segment durable; the fsync is for a machine that loses power, so no test can show it."""
        self.flush()
        try:
            with contextlib.suppress(AttributeError, io.UnsupportedOperation):
                os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                self.error = self.error or error
        try:
            self._file.close()
        except Exception as error:  # noqa: BLE001
            self.error = self.error or error

    def list_offsets(self, *, without: Collection[int]) -> dict[str, list[int]]:
        """Return by outcome the offsets of the events given to ``write_result``, without these."""
        lists = {
            outcome: [offset for offset in offsets if offset not in without]
            for outcome, offsets in self._offsets.items()
        }
        return {outcome: offsets for outcome, offsets in lists.items() if offsets}
