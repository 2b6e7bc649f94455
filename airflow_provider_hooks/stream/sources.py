# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The sources of the events of a stream, read from any offset.

An offset is a byte of the file, uncompressed, or the number of an event of an iterable. A later try resumes from an
offset, so a source must return the same events each time; its fingerprint shows whether it does.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import orjson

from airflow_provider_hooks.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import BinaryIO

MAX_LINE_BYTES = 16_777_216
"""The longest line that is read as one event; a longer one is an event that cannot be delivered."""

_CHUNK_BYTES = 1_048_576
_GZIP_MAGIC = b"\x1f\x8b"


class OversizedLine:
    """Placeholder for a line that is too long."""


RawEvent = bytes | Mapping[str, object] | OversizedLine
"""An event of a source: a line of JSON, or a mapping."""
SourceEvent = tuple[RawEvent, int, int]
"""An event, the offset where it begins, and the offset to resume from after it."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of ``count`` parts of a source; each event is in exactly one of them."""

    index: int
    count: int

    def list_bounds(self, size: int) -> tuple[int, int]:
        """Return the first byte of this shard, and the byte after its last; it has the lines that begin there."""
        return size * self.index // self.count, size * (self.index + 1) // self.count


FULL = Shard(index=0, count=1)


class Source(Protocol):
    """Events in a fixed order."""

    @property
    def end(self) -> int:
        """The last offset, for progress; 0 where it is unknown."""

    def read(self, start: int) -> Iterator[SourceEvent]:
        """Read the events from an offset on."""

    def covers(self, offset: int) -> bool:
        """Return whether an event that begins at this offset belongs to the shard."""

    def describe_offset(self, offset: int) -> str:
        """Return an offset as users read it."""

    def fingerprint(self) -> str:
        """Return a text that changes if the events do."""

    def start_offset(self) -> int:
        """Return an offset from which all events can be read."""


def select_events(source: Source, offsets: Collection[int]) -> Iterator[SourceEvent]:
    """Read the events that begin at these offsets, in ascending order."""
    wanted = set(offsets)
    last = max(wanted, default=-1)
    for event in source.read(min(wanted)) if wanted else ():
        if event[1] in wanted:
            yield event
        if event[1] >= last:
            return


@dataclass(frozen=True, kw_only=True)
class SelectedSource:
    """The events of another source that begin at these offsets."""

    source: Source
    offsets: Collection[int]

    @property
    def end(self) -> int:
        """The last offset, for progress."""
        return self.source.end

    def read(self, start: int) -> Iterator[SourceEvent]:
        """Read the selected events from an offset on."""
        return select_events(self.source, [offset for offset in self.offsets if offset >= start])

    def covers(self, offset: int) -> bool:
        """Return whether the event is selected."""
        return offset in self.offsets

    def describe_offset(self, offset: int) -> str:
        """Return an offset as users read it."""
        return self.source.describe_offset(offset)

    def fingerprint(self) -> str:
        """Return a text that changes if the events or the selection do."""
        selection = hashlib.sha256(orjson.dumps(sorted(self.offsets))).hexdigest()
        return f"{self.source.fingerprint()}:{selection}"

    def start_offset(self) -> int:
        """Return the offset of the first selected event."""
        return min(self.offsets, default=0)


@dataclass(kw_only=True)
class FileSource:
    """
    JSON Lines in a file, plain or gzip, of any file system.

    A shard has the lines that begin within its bytes, however long they are. Blank lines are skipped.

    :param open_file: opens the file for reading, as bytes
    :param size: size of the stored file in bytes
    :param version: changes when the file does
    :raises ValidationError: if a gzip file is read in shards
    """

    open_file: Callable[[], BinaryIO]
    size: int
    version: str
    shard: Shard = FULL

    def __post_init__(self) -> None:
        with self.open_file() as file:
            self._is_gzip = file.read(2) == _GZIP_MAGIC
        if self._is_gzip and self.shard.count > 1:
            message = "a gzip file can only be read from its beginning; unpack it, or use one shard"
            raise ValidationError("events", {"shard": message})
        self._begin, self._end = self.shard.list_bounds(self.size)

    @property
    def end(self) -> int:
        """The last offset; the uncompressed size of a gzip file is unknown."""
        return 0 if self._is_gzip else self._end

    def covers(self, offset: int) -> bool:
        """Return whether a line that begins at this byte belongs to the shard."""
        return self._is_gzip or self._begin <= offset < self._end

    def describe_offset(self, offset: int) -> str:
        """Return an offset as users read it."""
        return f"at byte {offset}"

    def fingerprint(self) -> str:
        """Return a text that changes if the file or the shard does."""
        return f"{self.version}:{self.size}:{self.shard.index}/{self.shard.count}"

    def start_offset(self) -> int:
        """Return the offset of the first line that begins within the bytes of this shard."""
        if self._begin == 0:
            return 0
        with self.open_file() as file:
            file.seek(self._begin - 1)
            for _, _, end in _read_lines(file, self._begin - 1):
                return end
        return self.size

    def read(self, start: int) -> Iterator[SourceEvent]:
        """
        Read the lines from an offset on, up to the last that begins within this shard.

        :raises ValidationError: if a gzip file is damaged
        """
        with self.open_file() as file:
            try:
                yield from self._read_open(gzip.GzipFile(fileobj=file) if self._is_gzip else file, start)
            except (EOFError, zlib.error) as error:
                raise ValidationError("events", {"events": f"the gzip file is damaged: {error}"}) from None

    def _read_open(self, file: BinaryIO | gzip.GzipFile, start: int) -> Iterator[SourceEvent]:
        file.seek(start)
        for line, offset, end in _read_lines(file, start):
            if offset >= self._end and not self._is_gzip:
                return
            if offset == 0 and isinstance(line, bytes):
                line = line.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
            if isinstance(line, OversizedLine) or line.strip():
                yield line, offset, end


@dataclass(kw_only=True)
class IterableSource:
    """
    Events from an iterable that returns the same ones each time.

    :param make: returns a new iterable of mappings
    """

    make: Callable[[], Iterable[Mapping[str, object]]]
    shard: Shard = FULL

    @property
    def end(self) -> int:
        """The number of events is unknown."""
        return 0

    def covers(self, offset: int) -> bool:
        """Return whether the event of this number belongs to the shard."""
        return offset % self.shard.count == self.shard.index

    def describe_offset(self, offset: int) -> str:
        """Return an offset as users read it."""
        return f"number {offset}"

    def fingerprint(self) -> str:
        """Return a text that changes if any event or the shard does."""
        hashed = hashlib.sha256()
        for event in self.make():
            hashed.update(_to_bytes(event) + b"\n")
        return f"{hashed.hexdigest()}:{self.shard.index}/{self.shard.count}"

    def start_offset(self) -> int:
        """Return the number of events before the first."""
        return 0

    def read(self, start: int) -> Iterator[SourceEvent]:
        """Read every event of this shard after the first ``start`` of all."""
        for offset, event in enumerate(islice(self.make(), start, None), start=start):
            if self.covers(offset):
                yield event, offset, offset + 1


def _to_bytes(event: object) -> bytes:
    """Encode an event for the fingerprint. One that JSON cannot represent is refused later, and needs one too."""
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        pass
    try:
        return repr(event).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return b"unprintable"


def _read_lines(file: BinaryIO | gzip.GzipFile, start: int) -> Iterator[tuple[bytes | OversizedLine, int, int]]:
    """
    Read lines from an offset on; yields each line, the offset where it begins, and the one where it ends.

    The file is read in large chunks, since many file systems are slow line by line.
    """
    rest, is_too_long, offset, end = b"", False, start, start
    while chunk := file.read(_CHUNK_BYTES):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            end += len(line) + 1
            yield (OversizedLine() if is_too_long or len(line) > MAX_LINE_BYTES else line), offset, end
            offset, is_too_long = end, False
        if len(rest) > MAX_LINE_BYTES:
            end += len(rest)
            rest, is_too_long = b"", True
    if rest or is_too_long:
        yield (OversizedLine() if is_too_long else rest), offset, end + len(rest)
