# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The rate that is kept, the pauses that are made, and when a stream stops: on a clock of the test."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.stream.throttle import DEFAULT_PAUSE, MAX_PAUSE, CircuitBreaker, RateLimiter

relaxed = settings(max_examples=100, deadline=None, derandomize=True)
START = 1_000_000.0


def test_without_a_limit_all_that_is_wanted_may_go():
    pace = RateLimiter(rate_limit=None)
    assert [pace.acquire(START, wanted) for wanted in (0, 1, 64, 10**6)] == [0, 1, 64, 10**6]
    assert (pace.delay(START), pace.prefetch_limit(64)) == (0.0, 64)


steps = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 200)), min_size=1, max_size=25)


@relaxed
@given(rate=st.floats(0.01, 5_000), steps=steps)
def test_in_no_span_of_time_more_than_the_rate_and_a_tenth_of_a_second_may_go(rate, steps):
    pace, now, sent = RateLimiter(rate_limit=rate), START, []
    for passed, wanted in steps:
        now += passed
        allowed = pace.acquire(now, wanted)
        assert 0 <= allowed <= wanted
        sent.append((now, allowed))
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            count = sum(allowed for _, allowed in sent[first : last + 1])
            assert count <= rate * (sent[last][0] - sent[first][0] + 0.1) + 2


@relaxed
@given(rate=st.floats(0.01, 5_000), wanted=st.integers(1, 64))
def test_whoever_waits_as_told_keeps_the_rate(rate, wanted):
    pace, now, sent = RateLimiter(rate_limit=rate), START, 0
    for _ in range(100):
        allowed = pace.acquire(now, wanted)
        sent += allowed
        if not allowed:
            delay = pace.delay(now)
            assert 0 < delay <= 1 / rate + 0.001
            now += delay + 1e-9
    assert sent >= min(100, rate * (now - START)) * 0.9


@pytest.mark.parametrize(
    ("rate", "wanted", "ahead"), [(0.01, 64, 1), (1, 64, 5), (10, 64, 50), (1_000, 64, 64), (0.3, 1, 1)]
)
def test_no_more_is_prepared_than_goes_within_seconds(rate, wanted, ahead):
    assert RateLimiter(rate_limit=rate).prefetch_limit(wanted) == ahead


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, DEFAULT_PAUSE), (0, 0), (-5, 0), (2.5, 2.5), (60, 60), (1e12, MAX_PAUSE), (math.inf, MAX_PAUSE)],
)
def test_a_pause_is_as_long_as_asked_for_within_bounds(asked, seconds):
    pace = RateLimiter(rate_limit=None)
    assert pace.slow_down(START, asked) == pytest.approx(seconds)
    if seconds:
        assert pace.acquire(START + seconds - 0.01, 5) == 0
    assert pace.acquire(START + seconds, 5) == 5
    assert pace.delay(START) == pytest.approx(seconds)


def test_pauses_that_overlap_are_one_time_and_a_shorter_one_changes_nothing():
    pace = RateLimiter(rate_limit=None)
    pace.slow_down(START, 10)
    assert pace.slow_down(START + 1, 2) == pytest.approx(9)
    assert (pace.pauses, pace.paused_seconds) == (1, pytest.approx(10))
    pace.slow_down(START + 5, 10)
    assert (pace.pauses, pace.paused_seconds) == (2, pytest.approx(15))
    assert pace.acquire(START + 14.9, 1) == 0
    pace.slow_down(START + 100, 1)
    assert pace.paused_seconds == pytest.approx(16)


def test_a_pause_is_not_made_up_for_by_a_burst():
    pace = RateLimiter(rate_limit=10)
    pace.acquire(START, 1)
    pace.slow_down(START, 60)
    assert pace.delay(START) == pytest.approx(60)
    assert pace.acquire(START + 60, 1_000) <= 2


events = st.lists(st.booleans(), max_size=60)


@relaxed
@given(limit=st.none() | st.integers(1, 10), events=events)
def test_the_breaker_opens_after_so_many_failures_in_a_row_and_stays_open(limit, events):
    breaker, in_a_row, was_open = CircuitBreaker(limit=limit), 0, False
    for is_success in events:
        if is_success:
            breaker.failures = 0
        else:
            breaker.note_failure()
        in_a_row = 0 if is_success else in_a_row + 1
        was_open = was_open or (limit is not None and in_a_row >= limit)
        assert breaker.is_open is was_open
