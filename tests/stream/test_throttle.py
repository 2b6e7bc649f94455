# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The rate limit, the pauses and the circuit breaker of a stream, with a simulated clock."""

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


def test_all_requests_are_allowed_without_a_rate_limit():
    limiter = RateLimiter(rate_limit=None)
    assert [limiter.acquire(START, wanted) for wanted in (0, 1, 64, 10**6)] == [0, 1, 64, 10**6]
    assert (limiter.delay(START), limiter.prefetch_limit(64)) == (0.0, 64)


steps = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 200)), min_size=1, max_size=25)


@relaxed
@given(rate=st.floats(0.01, 5_000), steps=steps)
def test_rate_limit_plus_a_burst_of_a_tenth_of_a_second_is_never_exceeded(rate, steps):
    limiter, now, sent = RateLimiter(rate_limit=rate), START, []
    for passed, wanted in steps:
        now += passed
        allowed = limiter.acquire(now, wanted)
        assert 0 <= allowed <= wanted
        sent.append((now, allowed))
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            count = sum(allowed for _, allowed in sent[first : last + 1])
            assert count <= rate * (sent[last][0] - sent[first][0] + 0.1) + 2


@relaxed
@given(rate=st.floats(0.01, 5_000), wanted=st.integers(1, 64))
def test_waiting_for_the_returned_delay_reaches_the_rate_limit(rate, wanted):
    limiter, now, sent = RateLimiter(rate_limit=rate), START, 0
    for _ in range(100):
        allowed = limiter.acquire(now, wanted)
        sent += allowed
        if not allowed:
            delay = limiter.delay(now)
            assert 0 < delay <= 1 / rate + 0.001
            now += delay + 1e-9
    assert sent >= min(100, rate * (now - START)) * 0.9


@pytest.mark.parametrize(
    ("rate", "wanted", "ahead"), [(0.01, 64, 1), (1, 64, 5), (10, 64, 50), (1_000, 64, 64), (0.3, 1, 1)]
)
def test_prefetch_limit_is_the_number_of_requests_of_a_few_seconds(rate, wanted, ahead):
    assert RateLimiter(rate_limit=rate).prefetch_limit(wanted) == ahead


@pytest.mark.parametrize(
    ("requested", "seconds"),
    [(None, DEFAULT_PAUSE), (0, 0), (-5, 0), (2.5, 2.5), (60, 60), (1e12, MAX_PAUSE), (math.inf, MAX_PAUSE)],
)
def test_pause_is_as_long_as_requested_within_bounds(requested, seconds):
    limiter = RateLimiter(rate_limit=None)
    assert limiter.pause(START, requested) == pytest.approx(seconds)
    if seconds:
        assert limiter.acquire(START + seconds - 0.01, 5) == 0
    assert limiter.acquire(START + seconds, 5) == 5
    assert limiter.delay(START) == pytest.approx(seconds)


def test_overlapping_pauses_are_not_added_and_a_shorter_pause_changes_nothing():
    limiter = RateLimiter(rate_limit=None)
    limiter.pause(START, 10)
    assert limiter.pause(START + 1, 2) == pytest.approx(9)
    assert (limiter.pauses, limiter.paused_seconds) == (1, pytest.approx(10))
    limiter.pause(START + 5, 10)
    assert (limiter.pauses, limiter.paused_seconds) == (2, pytest.approx(15))
    assert limiter.acquire(START + 14.9, 1) == 0
    limiter.pause(START + 100, 1)
    assert limiter.paused_seconds == pytest.approx(16)


def test_pause_is_not_followed_by_a_burst():
    limiter = RateLimiter(rate_limit=10)
    limiter.acquire(START, 1)
    limiter.pause(START, 60)
    assert limiter.delay(START) == pytest.approx(60)
    assert limiter.acquire(START + 60, 1_000) <= 2


events = st.lists(st.booleans(), max_size=60)


@relaxed
@given(limit=st.none() | st.integers(1, 10), events=events)
def test_circuit_breaker_opens_after_consecutive_failures_and_stays_open(limit, events):
    breaker, consecutive, was_open = CircuitBreaker(limit=limit), 0, False
    for is_success in events:
        if is_success:
            breaker.failures = 0
        else:
            breaker.note_failure()
        consecutive = 0 if is_success else consecutive + 1
        was_open = was_open or (limit is not None and consecutive >= limit)
        assert breaker.is_open is was_open


# After connection errors


@pytest.fixture
def real_pauses(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(throttle, "MAX_BACKOFF_SECONDS", 5.0)


def test_pauses_after_connection_errors_double_and_are_limited_in_length_and_number(real_pauses):
    limiter, now, pauses = RateLimiter(rate_limit=None), START, []
    for _ in range(MAX_BACKOFFS):
        assert limiter.back_off(now)
        assert limiter.back_off(now), "a second failure causes no second pause"
        pauses.append(limiter.delay(now))
        assert limiter.acquire(now + pauses[-1] - 0.01, 5) == 0
        now += pauses[-1]
        assert limiter.acquire(now, 5) == 5
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=1e-6)
    assert not limiter.back_off(now)
    assert (limiter.pauses, limiter.paused_seconds) == (0, 0.0), "the receiver requested none of them"


def test_errors_of_concurrent_requests_cause_one_pause(real_pauses):
    limiter = RateLimiter(rate_limit=None)
    for error in range(64):
        assert limiter.back_off(START + error * 0.001)
    assert limiter.delay(START) == pytest.approx(0.1)


def test_response_resets_the_next_pause_to_the_shortest(real_pauses):
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
def test_total_length_of_the_pauses_of_a_try_is_limited(kind):
    """A receiver that sometimes responds could otherwise occupy a worker for ever."""
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
