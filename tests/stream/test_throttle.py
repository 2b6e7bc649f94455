# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The rate that is kept, the pauses that are made, and when a stream stops: on a clock of the test."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.stream import throttle
from airflow_provider_hooks.stream.throttle import (
    DEFAULT_PAUSE,
    MAX_BACKOFFS,
    MAX_PAUSE,
    CircuitBreaker,
    RateLimiter,
)

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
    assert pace.pause(START, asked) == pytest.approx(seconds)
    if seconds:
        assert pace.acquire(START + seconds - 0.01, 5) == 0
    assert pace.acquire(START + seconds, 5) == 5
    assert pace.delay(START) == pytest.approx(seconds)


def test_pauses_that_overlap_are_one_time_and_a_shorter_one_changes_nothing():
    pace = RateLimiter(rate_limit=None)
    pace.pause(START, 10)
    assert pace.pause(START + 1, 2) == pytest.approx(9)
    assert (pace.pauses, pace.paused_seconds) == (1, pytest.approx(10))
    pace.pause(START + 5, 10)
    assert (pace.pauses, pace.paused_seconds) == (2, pytest.approx(15))
    assert pace.acquire(START + 14.9, 1) == 0
    pace.pause(START + 100, 1)
    assert pace.paused_seconds == pytest.approx(16)


def test_a_pause_is_not_made_up_for_by_a_burst():
    pace = RateLimiter(rate_limit=10)
    pace.acquire(START, 1)
    pace.pause(START, 60)
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


# After connection errors


@pytest.fixture
def real_pauses(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(throttle, "MAX_BACKOFF_SECONDS", 5.0)


def test_pauses_after_connection_errors_double_up_to_their_bound_and_are_bounded_in_number(real_pauses):
    limiter, now, pauses = RateLimiter(rate_limit=None), START, []
    for _ in range(MAX_BACKOFFS):
        assert limiter.back_off(now)
        assert limiter.back_off(now), "a second failure of the same pause"
        pauses.append(limiter.delay(now))
        assert limiter.acquire(now + pauses[-1] - 0.01, 5) == 0
        now += pauses[-1]
        assert limiter.acquire(now, 5) == 5
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=1e-6)
    assert not limiter.back_off(now)
    assert (limiter.pauses, limiter.paused_seconds) == (0, 0.0), "the receiver requested none of them"


def test_errors_of_requests_that_were_under_way_are_one_pause(real_pauses):
    limiter = RateLimiter(rate_limit=None)
    for error in range(64):
        assert limiter.back_off(START + error * 0.001)
    assert limiter.delay(START) == pytest.approx(0.1)


def test_a_response_has_the_next_pause_be_short_again(real_pauses):
    limiter = RateLimiter(rate_limit=None)
    for second in range(5):
        limiter.back_off(START + second * 10)
    limiter.note_response()
    assert limiter.back_off(START + 100)
    assert limiter.delay(START + 100) == pytest.approx(0.1)


def test_a_response_does_not_end_a_pause_that_has_begun(real_pauses):
    limiter = RateLimiter(rate_limit=None)
    limiter.back_off(START)
    limiter.note_response()
    assert limiter.acquire(START + 0.05, 1) == 0


@pytest.mark.parametrize("kind", ["requested", "after errors"])
def test_all_pauses_of_a_try_have_a_sum(kind):
    """A receiver that answers in between could otherwise hold a worker for ever."""
    limiter, now, count = RateLimiter(rate_limit=None), 0.0, 0
    while not limiter.is_exhausted:
        if kind == "requested":
            limiter.pause(now, 60.0)
        else:
            limiter.back_off(now)
            limiter.note_response()
        now += limiter.delay(now)
        count += 1
    assert now == pytest.approx(throttle.MAX_PAUSED_SECONDS, abs=61)
    assert count > 50
