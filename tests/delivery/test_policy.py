# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The delivery policy: which arguments it takes, what it sends again, and when."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.delivery.policy import (
    AT_MOST_ONCE,
    ATTEMPT_DELAYS,
    MAX_RETRY_AFTER_SECONDS,
    RETRY_DELAYS,
    RETRY_STATUSES,
    find_attempt_delay,
    find_retry_after,
    find_retry_delay,
    make_policy,
)
from airflow_provider_hooks.delivery.record import Attempt
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

AT_LEAST_ONCE = make_policy(guarantee="at_least_once")
NOW = 1_800_000_000.0


def test_the_default_retries_no_status():
    assert make_policy() == AT_MOST_ONCE
    assert AT_MOST_ONCE.retry_statuses == frozenset()
    assert AT_LEAST_ONCE.retry_statuses == set(RETRY_STATUSES)


@pytest.mark.parametrize("given_statuses", [[503, 429], ("503", " 429 "), {429, 503}])
def test_statuses_are_read_from_numbers_and_template_text(given_statuses):
    assert make_policy(retry_statuses=given_statuses).retry_statuses == {429, 503}
    assert make_policy(guarantee="at_least_once", retry_statuses=[]).retry_statuses == frozenset()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"guarantee": "exactly_once"}, "guarantee: must be at_most_once or at_least_once, not 'exactly_once'"),
        ({"guarantee": None}, "guarantee: must be"),
        ({"guarantee": ["at_least_once"]}, "guarantee: must be"),
        ({"retry_statuses": "503"}, r"retry_statuses: must be a list of statuses such as \[429, 503\], not '503'"),
        ({"retry_statuses": [True]}, "must be a list"),
        ({"retry_statuses": [503.0]}, "must be a list"),
        ({"retry_statuses": ["5xx"]}, "must be a list"),
        ({"retry_statuses": ["٥٠٣"]}, "must be a list"),
        ({"retry_statuses": 503}, "must be a list"),
        ({"retry_statuses": [200, 503]}, "can have 300 to 599, not 200"),
        ({"retry_statuses": [410]}, "cannot have 410: the URL no longer exists"),
        ({"guarantee": "x", "retry_statuses": [99]}, r"guarantee: .*; retry_statuses: must be a list"),
    ],
)
def test_invalid_arguments_are_refused(arguments, problem):
    with pytest.raises(ValidationError, match=problem):
        make_policy(**arguments)


@pytest.mark.parametrize(
    ("outcome", "status", "at_most", "at_least"),
    [
        (Outcome.NOT_SENT, None, True, True),
        (Outcome.UNKNOWN, None, False, True),
        (Outcome.UNKNOWN, 503, False, True),
        (Outcome.DELIVERED, 200, False, False),
        *((Outcome.REJECTED, status, False, True) for status in RETRY_STATUSES),
        *((Outcome.REJECTED, status, False, False) for status in (301, 400, 401, 404, 410, 413, 501)),
    ],
)
def test_policy_decides_which_outcomes_are_sent_again(outcome, status, at_most, at_least):
    assert AT_MOST_ONCE.sends_again(outcome, status) is at_most
    assert AT_LEAST_ONCE.sends_again(outcome, status) is at_least


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "999999"}, MAX_RETRY_AFTER_SECONDS),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_is_read_from_the_headers(headers, seconds):
    assert find_retry_after(headers, now=NOW) == seconds


@given(tries=st.integers(-5, 50), random=st.floats(0, 1))
def test_retry_delays_follow_the_plan_with_jitter(tries, random):
    pause = find_retry_delay(tries, retry_after=None, random=random)
    planned = RETRY_DELAYS[min(max(tries, 1), len(RETRY_DELAYS)) - 1]
    assert 0.9 * planned <= pause <= 1.1 * planned
    assert list(RETRY_DELAYS) == sorted(RETRY_DELAYS)


@pytest.mark.parametrize(("retry_after", "pause"), [(2.0, 2.0), (0.0, 1.0), (3_600.0, 3_600.0)])
def test_retry_after_replaces_the_planned_delay(retry_after, pause):
    assert find_retry_delay(1, retry_after=retry_after, random=0.5) == pause


def attempt(outcome, status=None, **fields):
    return Attempt(outcome=outcome, status_code=status, requested_at="", duration_ms=0, **fields)


@pytest.mark.parametrize(
    ("policy", "attempts", "last", "pause"),
    [
        (AT_MOST_ONCE, 1, attempt(Outcome.NOT_SENT), None),
        (AT_LEAST_ONCE, 1, attempt(Outcome.NOT_SENT), ATTEMPT_DELAYS[0]),
        (AT_LEAST_ONCE, 3, attempt(Outcome.UNKNOWN), ATTEMPT_DELAYS[2]),
        (AT_LEAST_ONCE, 4, attempt(Outcome.UNKNOWN), None),
        (AT_LEAST_ONCE, 1, attempt(Outcome.DELIVERED, 200), None),
        (AT_LEAST_ONCE, 1, attempt(Outcome.REJECTED, 400), None),
        (AT_LEAST_ONCE, 1, attempt(Outcome.NOT_SENT, error_class=ErrorClass.BLOCKED_ADDRESS), None),
        (AT_LEAST_ONCE, 1, attempt(Outcome.REJECTED, 503, response_headers={"retry-after": "7"}), 7),
        (AT_LEAST_ONCE, 1, attempt(Outcome.REJECTED, 503, response_headers={"retry-after": "700"}), 30),
        (AT_LEAST_ONCE, 2, attempt(Outcome.REJECTED, 503, response_headers={"retry-after": "1"}), ATTEMPT_DELAYS[1]),
        (make_policy(retry_statuses=[503]), 1, attempt(Outcome.UNKNOWN), None),
        (make_policy(retry_statuses=[503]), 1, attempt(Outcome.REJECTED, 503), ATTEMPT_DELAYS[0]),
    ],
)
def test_attempt_delay_follows_from_the_policy_and_the_last_attempt(policy, attempts, last, pause):
    assert find_attempt_delay(attempts, policy=policy, attempt=last, now=NOW) == pause
