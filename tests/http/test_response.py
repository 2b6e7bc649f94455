# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The response reader reads each response as the table of unusual responses defines, for any split of the bytes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from airflow_provider_hooks.http.response import ResponseReader
from tests.http.unusual_responses import RESPONSES, UnusualResponse


class Reading(NamedTuple):
    """All that a reader reports."""

    status: int | None
    error_class: str | None
    may_reuse: bool
    headers: dict[str, str]
    body: bytes
    message: str | None


def read(parts: Sequence[bytes], row: UnusualResponse, reader: ResponseReader | None = None) -> Reading:
    reader = reader or ResponseReader()
    for part in parts:
        reader.feed(part)
    may_reuse = reader.may_reuse
    if row.end != "open":
        reader.feed_eof(is_reset=row.end == "reset")
    error_class, message = reader.error or (None, None)
    if error_class is None and not reader.is_complete:
        return Reading(reader.status, "timeout", may_reuse, reader.headers, bytes(reader.body), message)
    return Reading(
        reader.status,
        error_class.value if error_class else None,
        may_reuse,
        reader.headers,
        bytes(reader.body),
        message,
    )


def split(raw: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(raw)]
    return [raw[begin:end] for begin, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("row", RESPONSES, ids=lambda row: row.name)
def test_unusual_response_is_read_as_the_table_defines_for_any_split(row):
    whole = read([row.raw], row)
    assert whole[:3] == (row.status, row.error_class, row.may_reuse)
    used = ResponseReader()
    used.feed(b"HTTP/1.1 500 X\nServer: s\n\nbody")
    used.reset()
    assert read([row.raw], row, used) == whole
    assert read([bytes([byte]) for byte in row.raw], row) == whole
    draw = random.Random(row.name)  # noqa: S311  (the same cuts in every run)
    for _ in range(30 if len(row.raw) < 5_000 else 5):
        cuts = draw.sample(range(len(row.raw) + 1), min(len(row.raw), draw.randint(1, 8)))
        assert read(split(row.raw, cuts), row) == whole
