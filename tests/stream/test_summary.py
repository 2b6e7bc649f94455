# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The numbers of a stream: percentiles within a bin, and nothing lost between two tries."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.delivery.record import Outcome
from airflow_provider_hooks.stream import summary as summary_module
from airflow_provider_hooks.stream.summary import PERCENTILES, PROGRESS_SECONDS, Progress, Summary, parse_summary
from tests.security.properties_data import json_values

relaxed = settings(max_examples=100, deadline=None, derandomize=True)
BIN = 2 ** (1 / 8)
"""How much wider a bin is than the one before."""
durations = st.lists(
    st.floats(0.0, 120_000.0).map(lambda one: round(one, 3)) | st.floats(0.0, 2.0), min_size=1, max_size=50
)
outcomes = st.sampled_from([one.value for one in Outcome])


@relaxed
@given(durations=durations, percent=st.sampled_from([*PERCENTILES, 1, 100]))
def test_a_percentile_is_off_by_a_bin_at_most_and_never_too_low(durations, percent):
    summary = Summary()
    for milliseconds in durations:
        summary.add("delivered", milliseconds)
    exact = max(sorted(durations)[math.ceil(len(durations) * percent / 100) - 1], 0.001)
    told = summary.find_percentile(percent)
    assert exact * 0.999 - 0.001 <= told <= exact * BIN * 1.001 + 0.001, (exact, told)


def test_without_an_answer_there_is_no_percentile_and_no_rate():
    summary = Summary()
    summary.add("unknown")
    described = summary.describe()
    assert [described[name] for name in ("p50_ms", "p95_ms", "p99_ms", "events_per_second")] == [None] * 4
    assert (described["total"], described["unknown"]) == (1, 1)


def test_events_that_cannot_be_delivered_are_not_sent_and_not_undelivered():
    summary = Summary()
    summary.add("delivered", 1.0)
    summary.add_invalid()
    assert (summary.total, summary.invalid, summary.count_undelivered()) == (2, 1, 0)
    summary.add("not_sent")
    assert summary.count_undelivered() == 1


added = st.lists(st.tuples(outcomes, st.none() | st.floats(0, 10_000)), max_size=30)


@relaxed
@given(before=added, after=added, invalid=st.integers(0, 3), seconds=st.floats(0, 1e6), pauses=st.integers(0, 9))
def test_a_summary_that_was_kept_goes_on_as_if_it_had_never_been_written(before, after, invalid, seconds, pauses):
    one, other = Summary(seconds=round(seconds, 3), pauses=pauses), Summary(seconds=round(seconds, 3), pauses=pauses)
    for summary in (one, other):
        for outcome, milliseconds in before:
            summary.add(outcome, milliseconds)
        for _ in range(invalid):
            summary.add_invalid()
    one = parse_summary(json.loads(json.dumps(one.as_json())))
    for summary in (one, other):
        for outcome, milliseconds in after:
            summary.add(outcome, milliseconds)
    assert one == other
    assert one.describe() == other.describe()


names = st.sampled_from(["outcomes", "invalid", "seconds", "pauses", "durations", "x"])
kept = st.dictionaries(
    names, json_values | st.dictionaries(st.sampled_from(["delivered", "7", "x", "-1", "٣"]), json_values)
)


@relaxed
@given(kept=kept)
def test_what_somebody_made_of_a_kept_summary_counts_as_nothing_and_breaks_nothing(kept):
    summary = parse_summary(kept)
    summary.add("delivered", 1.0)
    summary.describe()


@pytest.mark.parametrize(
    "kept",
    [
        {"durations": {"x": 1}},
        {"durations": {"1.5": 1}},
        {"durations": {"٣": 1}},
        {"durations": {"9" * 5_000: 1}},
        {"durations": {"9" * 9: 1}},
        {"seconds": 10**400},
        {"outcomes": {"delivered": "7"}},
        {"outcomes": {"lost": 7}},
        {"outcomes": [], "durations": 7, "invalid": "x", "seconds": None, "pauses": []},
    ],
)
def test_what_is_no_number_counts_as_nothing(kept):
    assert parse_summary(kept).describe() == Summary().describe()


# Progress


class Lines(list):
    """A log."""

    def info(self, message, *arguments):
        self.append(message % arguments)


@pytest.fixture
def clock(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(summary_module.time, "monotonic", lambda: now[0])
    return now


def count(delivered: int) -> Summary:
    summary = Summary()
    for _ in range(delivered):
        summary.add("delivered", 1.0)
    return summary


def test_progress_counts_only_what_this_try_sent(clock):
    lines = Lines()
    progress = Progress(lines, end=10_000)
    progress.start(900, 9_000)
    clock[0] += 10
    progress.report(count(1_000), 9_500)
    assert lines == ["1,000 events: delivered 1,000, 10 events/s, about 10 s left"]


def test_progress_is_logged_at_most_every_few_seconds_and_the_rate_is_of_the_whole_try(clock):
    lines = Lines()
    progress = Progress(lines, end=0)
    progress.start(0, 0)
    for second in range(12):
        clock[0] = 1_000.0 + second
        progress.report(count(second * 10), second)
    assert PROGRESS_SECONDS == 5.0
    assert lines == ["50 events: delivered 50, 10 events/s", "100 events: delivered 100, 10 events/s"]
