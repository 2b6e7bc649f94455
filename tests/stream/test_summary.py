# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Summaries of streams: percentiles, summaries that a later try continues, and the log of the progress."""

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
"""The width of a bin, relative to the one before."""
durations = st.lists(
    st.floats(0.0, 120_000.0).map(lambda one: round(one, 3)) | st.floats(0.0, 2.0), min_size=1, max_size=50
)
outcomes = st.sampled_from([one.value for one in Outcome])


@relaxed
@given(durations=durations, percent=st.sampled_from([*PERCENTILES, 1, 100]))
def test_percentile_is_at_most_one_bin_too_high_and_never_too_low(durations, percent):
    summary = Summary()
    for milliseconds in durations:
        summary.add("delivered", milliseconds)
    exact = max(sorted(durations)[math.ceil(len(durations) * percent / 100) - 1], 0.001)
    percentile = summary.find_percentile(percent)
    assert exact * 0.999 - 0.001 <= percentile <= exact * BIN * 1.001 + 0.001, (exact, percentile)


def test_summary_without_responses_has_no_percentile_and_no_rate():
    summary = Summary()
    summary.add("unknown")
    described = summary.describe()
    assert [described[name] for name in ("p50_ms", "p95_ms", "p99_ms", "events_per_second")] == [None] * 4
    assert (described["total"], described["unknown"]) == (1, 1)


def test_invalid_events_are_counted_but_not_as_undelivered():
    summary = Summary()
    summary.add("delivered", 1.0)
    summary.add_invalid()
    assert (summary.total, summary.invalid, summary.count_undelivered()) == (2, 1, 0)
    summary.add("not_sent")
    assert summary.count_undelivered() == 1


added = st.lists(st.tuples(outcomes, st.none() | st.floats(0, 10_000)), max_size=30)


@relaxed
@given(before=added, after=added, invalid=st.integers(0, 3), seconds=st.floats(0, 1e6), pauses=st.integers(0, 9))
def test_restored_summary_counts_like_one_that_was_never_stored(before, after, invalid, seconds, pauses):
    restored = Summary(seconds=round(seconds, 3), pauses=pauses)
    other = Summary(seconds=round(seconds, 3), pauses=pauses)
    for summary in (restored, other):
        for outcome, milliseconds in before:
            summary.add(outcome, milliseconds)
        for _ in range(invalid):
            summary.add_invalid()
    restored = parse_summary(json.loads(json.dumps(restored.as_json())))
    for summary in (restored, other):
        for outcome, milliseconds in after:
            summary.add(outcome, milliseconds)
    assert restored == other
    assert restored.describe() == other.describe()


names = st.sampled_from(["outcomes", "invalid", "seconds", "pauses", "durations", "x"])
stored = st.dictionaries(
    names, json_values | st.dictionaries(st.sampled_from(["delivered", "7", "x", "-1", "٣"]), json_values)
)


@relaxed
@given(stored=stored)
def test_edited_stored_summary_raises_no_error(stored):
    summary = parse_summary(stored)
    summary.add("delivered", 1.0)
    summary.describe()


@pytest.mark.parametrize(
    "stored",
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
def test_invalid_numbers_in_a_stored_summary_are_ignored(stored):
    assert parse_summary(stored).describe() == Summary().describe()


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


def test_progress_rate_counts_only_the_events_of_this_try(clock):
    lines = Lines()
    progress = Progress(lines, end=10_000)
    progress.start(900, 9_000)
    clock[0] += 10
    progress.report(count(1_000), 9_500)
    assert lines == ["1,000 events: delivered 1,000, 10 events/s, about 10 s left"]


def test_progress_is_logged_every_few_seconds_with_the_rate_of_the_whole_try(clock):
    lines = Lines()
    progress = Progress(lines, end=0)
    progress.start(0, 0)
    for second in range(12):
        clock[0] = 1_000.0 + second
        progress.report(count(second * 10), second)
    assert PROGRESS_SECONDS == 5.0
    assert lines == ["50 events: delivered 50, 10 events/s", "100 events: delivered 100, 10 events/s"]
