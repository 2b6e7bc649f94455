# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reading the records of an earlier run."""

from __future__ import annotations

import json

import pytest

from airflow_provider_hooks.exceptions import RecordError
from airflow_provider_hooks.stream.records import RecordFolder

OUTCOMES = {"not_sent", "rejected", "unknown"}


def write(folder, batch: int, number: int, *outcomes: str, first: int = 0, rest: str = "") -> None:
    lines = [
        json.dumps({"offset": first + index, "event_id": f"event-{first + index}", "outcome": outcome})
        for index, outcome in enumerate(outcomes)
    ]
    (folder / f"segment-{batch:06d}.try-{number}.0a.jsonl").write_text("".join(f"{line}\n" for line in lines) + rest)


def test_record_of_a_later_try_replaces_the_record_of_an_earlier_try(tmp_path):
    write(tmp_path, 0, 10, "delivered", "unknown")
    write(tmp_path, 0, 9, "unknown", "delivered")
    assert set(RecordFolder(tmp_path).read_undelivered(OUTCOMES)) == {1}


def test_invalid_events_and_truncated_lines_are_not_read(tmp_path):
    write(tmp_path, 0, 1, "not_sent", rest='{"offset": 7, "outcome": "not_sent", "error_class": "invalid_event"}\n')
    write(tmp_path, 1, 1, "not_sent", first=20, rest='{"offset": 21, "event_id": "event-21", "outcome": "not_')
    assert set(RecordFolder(tmp_path).read_undelivered(OUTCOMES)) == {0, 20}


@pytest.mark.parametrize(
    "line", ["7", "{}", '{"offset": "x", "outcome": "unknown"}', '{"offset": 1, "outcome": "lost"}']
)
def test_line_that_is_not_a_record_is_refused(tmp_path, line):
    write(tmp_path, 0, 1, "delivered", rest=f"{line}\n")
    with pytest.raises(RecordError, match="not a record of a stream"):
        RecordFolder(tmp_path).read_undelivered(OUTCOMES)


def test_a_folder_without_segments_is_refused(tmp_path):
    (tmp_path / "other.jsonl").write_text("{}\n")
    with pytest.raises(RecordError, match="has no records"):
        RecordFolder(tmp_path).read_undelivered(OUTCOMES)


def test_records_are_read_page_by_page_in_the_order_of_the_source(tmp_path):
    write(tmp_path, 0, 1, "delivered", "unknown", "rejected", "unknown")
    write(tmp_path, 1, 2, "rejected", first=1)  # a later try has sent it again
    write(tmp_path, 2, 1, "not_sent", first=10, rest='{"offset": 11, "outcome": "not_sent", "message": "is invalid"}\n')
    folder = RecordFolder(tmp_path)
    pages = [folder.read_records(OUTCOMES, after=after, limit=2) for after in (-1, 2, 10, 11)]
    assert [[record["offset"] for record in page] for page in pages] == [[1, 2], [3, 10], [11], []]
    assert (pages[0][0]["outcome"], pages[2][0]["message"]) == ("rejected", "is invalid")
    assert [record["offset"] for record in folder.read_records({"unknown"}, after=-1, limit=9)] == [3]
