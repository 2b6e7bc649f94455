# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Where the events of a bulk delivery come from, read as a stream from any position on.

A position is where an event ends: a byte of the file as it is uncompressed, or the number of events of an iterable. It
is what a later try goes on from, so a source must give the same events again; its fingerprint tells whether it does.
"""

from __future__ import annotations

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
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

MAX_LINE_BYTES = 16_777_216
"""The longest line that is read as one event; a longer one is an event that cannot be used."""

_CHUNK_BYTES = 1_048_576
_GZIP_MAGIC = b"\x1f\x8b"


class OversizedLine:
    """What stands in place of a line that is longer than a line may be."""


RawEvent = bytes | Mapping[str, object] | OversizedLine
"""An event as it was read: a line of JSON, or a mapping."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of so many parts that together are the whole: no event is in two of them, and none is in none."""

    index: int
    count: int

    def list_bounds(self, size: int) -> tuple[int, int]:
        """Return the bytes of which this shard has the lines that begin there."""
        return size * self.index // self.count, size * (self.index + 1) // self.count


WHOLE = Shard(index=0, count=1)


class Source(Protocol):
    """Events in a fixed order."""

    @property
    def end(self) -> int:
        """How far positions go, for progress; 0 where nobody knows."""

    def read(self, start: int) -> Iterator[tuple[RawEvent, int]]:
        """Read from a position on; gives each event, and the position after it."""

    def fingerprint(self) -> str:
        """Return what changes if the events do."""

    def start_offset(self) -> int:
        """Return the position of the first event."""


@dataclass(kw_only=True)
class FileSource:
    """
    JSON Lines in a file, plain or gzip, of any file system.

    A shard has the lines that begin within its bytes, however long they are. A blank line is no event.

    :param open_file: opens the file for reading, as bytes
    :param size: of the file as it is kept, in bytes
    :param version: changes when the file does
    :raises ValidationError: if a gzip file is to be read in shards, which it cannot be
    """

    open_file: Callable[[], BinaryIO]
    size: int
    version: str
    shard: Shard = WHOLE

    def __post_init__(self) -> None:
        with self.open_file() as file:
            self._is_gzip = file.read(2) == _GZIP_MAGIC
        if self._is_gzip and self.shard.count > 1:
            told = "a gzip file can be read from its beginning only; give it unpacked, or in one shard"
            raise ValidationError("events", {"shard": told})
        self._begin, self._end = self.shard.list_bounds(self.size)

    @property
    def end(self) -> int:
        """How far positions go; nobody knows where a gzip file ends."""
        return 0 if self._is_gzip else self._end

    def fingerprint(self) -> str:
        """Return what changes if the file does, or the shard."""
        return f"{self.version}:{self.size}:{self.shard.index}/{self.shard.count}"

    def start_offset(self) -> int:
        """Return where the first line of this shard begins: after the line that begins before its bytes."""
        if self._begin == 0:
            return 0
        with self.open_file() as file:
            file.seek(self._begin - 1)
            for _, position in _read_lines(file, self._begin - 1):
                return position
        return self.size

    def read(self, start: int) -> Iterator[tuple[RawEvent, int]]:
        """
        Read the lines from a position on, up to the last that begins within this shard.

        :raises ValidationError: if a gzip file is damaged
        """
        with self.open_file() as file:
            try:
                yield from self._read_open(gzip.GzipFile(fileobj=file) if self._is_gzip else file, start)
            except (EOFError, zlib.error) as error:
                raise ValidationError("events", {"events": f"the gzip file is damaged: {error}"}) from None

    def _read_open(self, file: BinaryIO | gzip.GzipFile, start: int) -> Iterator[tuple[RawEvent, int]]:
        file.seek(start)
        begin = start
        for line, position in _read_lines(file, start):
            if begin >= self._end and not self._is_gzip:
                return
            begin = position
            if isinstance(line, OversizedLine) or line.strip():
                yield line, position


@dataclass(kw_only=True)
class IterableSource:
    """
    Events from anything that gives the same ones each time it is iterated over.

    :param make: returns a new iterable of mappings
    """

    make: Callable[[], Iterable[Mapping[str, object]]]
    shard: Shard = WHOLE

    @property
    def end(self) -> int:
        """Nobody knows how many there are."""
        return 0

    def fingerprint(self) -> str:
        """Return what changes if any event does, or the shard."""
        hashed = hashlib.sha256()
        for event in self.make():
            hashed.update(_write(event) + b"\n")
        return f"{hashed.hexdigest()}:{self.shard.index}/{self.shard.count}"

    def start_offset(self) -> int:
        """Return the number of events before the first."""
        return 0

    def read(self, start: int) -> Iterator[tuple[RawEvent, int]]:
        """Read every event of this shard after the first ``start`` of all."""
        for position, event in enumerate(islice(self.make(), start, None), start=start):
            if position % self.shard.count == self.shard.index:
                yield event, position + 1


def _write(event: object) -> bytes:
    """Write an event for the fingerprint; one that JSON cannot say will be refused, and has one too."""
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        pass
    try:
        return repr(event).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return b"what cannot be shown"


def _read_lines(file: BinaryIO | gzip.GzipFile, position: int) -> Iterator[tuple[bytes | OversizedLine, int]]:
    """Read lines in large parts, since many file systems are slow line by line; gives where each ends."""
    rest, is_too_long = b"", False
    while chunk := file.read(_CHUNK_BYTES):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            position += len(line) + 1
            yield (OversizedLine() if is_too_long or len(line) > MAX_LINE_BYTES else line), position
            is_too_long = False
        if len(rest) > MAX_LINE_BYTES:
            position += len(rest)
            rest, is_too_long = b"", True
    if rest or is_too_long:
        yield (OversizedLine() if is_too_long else rest), position + len(rest)
