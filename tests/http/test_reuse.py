# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The limits on reuse and concurrency after a receiver closed a connection unexpectedly."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.http.reuse import RestartGuard

START = 1_000.0


def list_limits(guard: RestartGuard, since: float, period: float) -> list[tuple[bool, int]]:
    """Return for the middle of each period whether connections are reused, and how many requests of 64 are sent."""
    times = [since + period * (number + 0.5) for number in range(5)]
    return [(now >= guard.reuses_from, guard.limit(64, now)) for now in times]


def test_nothing_is_limited_before_a_connection_was_closed():
    guard = RestartGuard()
    assert guard.reuses_from <= START
    assert guard.limit(64, START) == 64


def test_reuse_starts_with_few_requests_and_doubles_in_each_period():
    guard = RestartGuard()
    guard.note_close(START)
    assert list_limits(guard, START, 2.0) == [(False, 16), (True, 8), (True, 16), (True, 32), (True, 64)]


@pytest.mark.parametrize(
    ("seconds", "reuses", "limit"),
    [
        *[(0.0, False, 16), (1.99, False, 16), (2.0, True, 8), (3.99, True, 8)],
        *[(4.0, True, 16), (7.99, True, 32), (8.0, True, 64)],
    ],
)
def test_limit_changes_exactly_at_the_end_of_a_period(seconds, reuses, limit):
    guard = RestartGuard()
    guard.note_close(START)
    assert (START + seconds >= guard.reuses_from, guard.limit(64, START + seconds)) == (reuses, limit)


@pytest.mark.parametrize(("concurrency", "limit"), [(1, 1), (2, 1), (8, 1), (16, 2), (4_096, 512)])
def test_at_least_one_request_is_sent(concurrency, limit):
    guard = RestartGuard()
    guard.note_close(START)
    assert guard.limit(concurrency, START + 2.0) == limit


def test_time_just_before_the_close_belongs_to_the_first_period():
    guard = RestartGuard()
    guard.note_close(START)
    assert guard.limit(64, START - 0.001) == 16


def test_further_close_before_reuse_restarts_the_period():
    guard = RestartGuard()
    for seconds in (0.0, 0.01, 1.9, 3.8):
        guard.note_close(START + seconds)
    assert list_limits(guard, START + 3.8, 2.0) == [(False, 16), (True, 8), (True, 16), (True, 32), (True, 64)]


def test_periods_double_up_to_a_maximum_after_repeated_closes():
    guard = RestartGuard()
    now = START
    guard.note_close(now)
    for period in (4.0, 8.0, 16.0, 32.0, 32.0):
        now = guard.reuses_from
        guard.note_close(now)
        assert list_limits(guard, now, period) == [(False, 16), (True, 8), (True, 16), (True, 32), (True, 64)]


def test_periods_are_short_again_after_a_time_without_a_close():
    guard = RestartGuard()
    guard.note_close(START)
    guard.note_close(START + 7.9)
    assert guard.reuses_from == START + 7.9 + 4.0
    later = guard.limited_until
    guard.note_close(later)
    assert guard.reuses_from == later + 2.0
