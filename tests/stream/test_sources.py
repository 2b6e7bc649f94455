# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sources return each event once, from any position, and in any number of shards."""

from __future__ import annotations

import gzip
import io
import itertools
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.stream import sources
from airflow_provider_hooks.stream.sources import (
    FileSource,
    IterableSource,
    OversizedLine,
    SelectedSource,
    Shard,
    select_events,
)

CHUNK, MAX_LINE = 16, 40
relaxed = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FULL = Shard(index=0, count=1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Lower the limits, so that short lines exceed a chunk and the maximum length."""
    monkeypatch.setattr(sources, "_CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", MAX_LINE)


class ShortReads(io.BytesIO):
    """A file whose reads return fewer bytes than requested, as in some file systems."""

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, 3) if size > 3 else size)


def open_source(content: bytes, *, shard: Shard = FULL, version: str = "v", file=io.BytesIO) -> FileSource:
    return FileSource(open_file=lambda: file(content), size=len(content), version=version, shard=shard)


def show(event: object) -> object:
    return "too long" if isinstance(event, OversizedLine) else event


def read_all(source) -> list[tuple[object, int]]:
    return [(show(event), end) for event, _, end in source.read(source.start_offset())]


def split(content: bytes) -> list[tuple[object, int]]:
    """Split like a simple reference reader: return each line that is not blank, and its end."""
    found, position = [], 0
    for number, line in enumerate(content.split(b"\n")):
        position = min(position + len(line) + 1, len(content))
        if len(line) > MAX_LINE:
            found.append(("too long", position))
        elif line.strip():
            found.append((line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line, position))
    return found


CONTENTS = [
    b"", b"\n", b"\n\n\n", b"a", b"a\n", b"a\nb", b"a\nb\n", b"\na\n\n\nb\n\n", b"a\r\nb\r\n", b"\r\n \t\r\na", b"\r",
    b" ", b"x" * (CHUNK - 1), b"x" * CHUNK, b"x" * (CHUNK + 1), b"x" * (CHUNK - 1) + b"\n", b"x" * CHUNK + b"\nb",
    b"a\n" * CHUNK, b"x" * MAX_LINE, b"x" * MAX_LINE + b"\n", b"x" * (MAX_LINE + 1), b"x" * (MAX_LINE + 1) + b"\n",
    b"x" * 500, b"x" * 500 + b"\nb", b"a\n" + b"x" * 500 + b"\nb\n" + b"y" * 500,
    b"x" * 41 + b"\n" + b"y" * 41 + b"\n" + b"z" * 41, b" " * 500, b"\n" + b" " * 500 + b"\na", b"\xef\xbb\xbfa\nb",
    b"\xff\x00\nb", b"\x1f", b"a\x0bb\x0cc\x1cd\x85e\n", "a\u2028b\n".encode(), b"a\rb\rc\n",
]  # fmt: skip


@pytest.mark.parametrize("file", [io.BytesIO, ShortReads])
@pytest.mark.parametrize("content", CONTENTS)
def test_every_line_that_is_not_blank_is_an_event(content, file):
    assert read_all(open_source(content, file=file)) == split(content)


@pytest.mark.parametrize("content", CONTENTS)
def test_gzip_file_gives_the_same_events_as_its_content(content):
    parts = [content[: len(content) // 2], content[len(content) // 2 :]]
    for compressed in (gzip.compress(content), b"".join(map(gzip.compress, parts))):
        assert read_all(open_source(compressed)) == split(content)


PIECES = [b"\n", b"\n", b"\n", b"a", b"bc", b"\r\n", b" ", *(b"x" * length for length in (15, 16, 17, 41, 100))]
contents = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join) | st.binary(max_size=120)


@relaxed
@given(content=contents, is_gzip=st.booleans())
def test_reading_from_a_returned_position_gives_exactly_the_rest(content, is_gzip):
    if content[:2] == b"\x1f\x8b":
        return
    source = open_source(gzip.compress(content, 1) if is_gzip else content)
    whole = read_all(source)
    assert whole == split(content)
    for index, (_, position) in enumerate(whole):
        assert [(show(event), end) for event, _, end in source.read(position)] == whole[index + 1 :]


@relaxed
@given(content=contents, count=st.integers(1, 12) | st.integers(1, 200))
def test_shards_share_the_lines_and_resume_from_any_position(content, count):
    if content[:2] == b"\x1f\x8b":
        return
    shards = [open_source(content, shard=Shard(index=index, count=count)) for index in range(count)]
    read = [read_all(shard) for shard in shards]
    assert list(itertools.chain.from_iterable(read)) == split(content)
    for shard, lines in zip(shards, read, strict=True):
        for index, (_, position) in enumerate(lines):
            assert [(show(event), end) for event, _, end in shard.read(position)] == lines[index + 1 :]


@relaxed
@given(size=st.integers(0, 10_000), count=st.integers(1, 300))
def test_bounds_of_shards_are_contiguous(size, count):
    bounds = [Shard(index=index, count=count).list_bounds(size) for index in range(count)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == size
    assert all(one[1] == next_one[0] for one, next_one in itertools.pairwise(bounds))


def test_gzip_file_cannot_be_read_in_shards():
    with pytest.raises(ValidationError, match="gzip"):
        open_source(gzip.compress(b"a\n"), shard=Shard(index=0, count=2))


GZIPPED = gzip.compress(b"".join(b"line %d\n" % number for number in range(200)))


@pytest.mark.parametrize(
    "content",
    [
        GZIPPED[:-9],
        GZIPPED[:40],
        GZIPPED[:5],
        GZIPPED[:-8] + b"\0" * 8,
        GZIPPED[:30] + b"\xff" * 30 + GZIPPED[60:],
        GZIPPED + b"more",
    ],
    ids=["no trailer", "truncated", "truncated header", "wrong checksum", "invalid deflate data", "trailing data"],
)
def test_damaged_gzip_file_raises_an_error(content):
    with pytest.raises((ServiceHookError, OSError)):
        read_all(open_source(content))


@pytest.mark.parametrize("content", [b"", b"a\nb\n", gzip.compress(b"a\n", mtime=0)])
def test_end_position_is_the_size_of_a_plain_file_and_unknown_for_gzip(content):
    source = open_source(content)
    assert source.end == (0 if content[:2] == b"\x1f\x8b" else len(content))


# Iterables

EVENTS = [{"id": str(number)} for number in range(20)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 50])
@pytest.mark.parametrize(
    "make", [lambda: EVENTS, lambda: iter(EVENTS), lambda: tuple(EVENTS), lambda: (one for one in EVENTS)]
)
def test_events_of_an_iterable_are_read_once_in_shards_and_from_any_position(make, count):
    read = []
    for index in range(count):
        source = IterableSource(make=make, shard=Shard(index=index, count=count))
        events = list(source.read(source.start_offset()))
        for place, (_, _, position) in enumerate(events):
            assert list(source.read(position)) == events[place + 1 :]
        read += [event["id"] for event, _, _ in events]
        assert source.end == 0
    assert sorted(read, key=int) == [event["id"] for event in EVENTS]


# Offsets


@relaxed
@given(content=contents, count=st.integers(1, 6), data=st.data())
def test_events_are_selected_by_their_offsets(content, count, data):
    if content[:2] == b"\x1f\x8b":
        return
    shards = [open_source(content, shard=Shard(index=index, count=count)) for index in range(count)]
    for shard in shards:
        events = list(shard.read(shard.start_offset()))
        assert all(shard.covers(offset) for _, offset, _ in events)
        assert not any(other.covers(offset) for other in shards if other is not shard for _, offset, _ in events)
        for event, offset, end in events:
            assert isinstance(event, OversizedLine) or content[offset:end].rstrip(b"\n") == event
        selected_offsets = data.draw(st.sets(st.sampled_from([offset for _, offset, _ in events]))) if events else set()
        expected = [(show(event), offset, end) for event, offset, end in events if offset in selected_offsets]
        assert [(show(event), offset, end) for event, offset, end in select_events(shard, selected_offsets)] == expected
        selected = SelectedSource(source=shard, offsets=selected_offsets)
        assert [offset for _, offset, _ in selected.read(selected.start_offset())] == sorted(selected_offsets)
        for index, (_, _, end) in enumerate(expected):
            assert [offset for _, offset, _ in selected.read(end)] == sorted(selected_offsets)[index + 1 :]


def test_each_selection_has_a_distinct_fingerprint():
    source = open_source(b"a\nb\nc\n")
    selections = [SelectedSource(source=source, offsets=offsets) for offsets in ({0}, {2}, {0, 2}, set())]
    assert len({source.fingerprint(), *(one.fingerprint() for one in selections)}) == 5
    assert selections[2].fingerprint() == SelectedSource(source=source, offsets=[2, 0]).fingerprint()


# Fingerprints


def test_fingerprint_of_a_file_depends_on_version_size_and_shard():
    same = [open_source(b"a\nb\n").fingerprint() for _ in range(2)]
    others = [
        open_source(b"a\nb\n", version="w"),
        open_source(b"a\nb\nc\n"),
        open_source(b"a\nb\n", shard=Shard(index=0, count=2)),
        open_source(b"a\nb\n", shard=Shard(index=1, count=2)),
        open_source(b"a\nb\n", shard=Shard(index=1, count=3)),
    ]
    assert len(set(same)) == 1
    assert len({*same, *(source.fingerprint() for source in others)}) == 1 + len(others)


def fingerprint(events, shard: Shard = FULL) -> str:
    return IterableSource(make=lambda: events, shard=shard).fingerprint()


def test_fingerprint_of_events_depends_on_values_order_and_shard():
    assert fingerprint([{"a": 1}]) == fingerprint(iter([{"a": 1}]))
    one_event = [{"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": None}, {"a": True}, {"b": 1}, {"a": [1]}, {"a": {"b": 1}}]
    several = [[{}, {}], [{"a": 1}, {"b": 1}], [{"b": 1}, {"a": 1}], [{"a": 1, "b": 1}]]
    others = [[], [{}], *([event] for event in one_event), *several]
    shards = [Shard(index=0, count=2), Shard(index=1, count=2)]
    fingerprints = [*map(fingerprint, others), *(fingerprint([{"a": 1}], shard) for shard in shards)]
    assert len(set(fingerprints)) == len(fingerprints)


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        10**5_000,
        "\ud800",
        float("nan"),
        b"\xff",
        {1: 2},
        {(1, 2): 3},
        {"\ud800": 1},
        {2**70: 1},
        object,
        1j,
    ],
    ids=lambda value: repr(value)[:20] if value != 10**5_000 else "5,001 digits",
)
def test_events_that_cannot_be_encoded_have_a_fingerprint(value):
    assert fingerprint([{"a": value}]) == fingerprint([{"a": value}])
    assert fingerprint([{"a": value}]) != fingerprint([{"b": value}]) or value == 10**5_000
    assert fingerprint([value]) != fingerprint([])


def test_cyclic_and_deeply_nested_events_have_a_fingerprint():
    cycle: list[object] = []
    cycle.append(cycle)
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (cycle, deep):
        assert fingerprint([{"a": value}]) == fingerprint([{"a": value}])


def test_zlib_file_without_a_gzip_header_is_read_as_plain_lines():
    assert read_all(open_source(zlib.compress(b"a\n"))) == split(zlib.compress(b"a\n"))
