# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""When Airflow retries a task that delivers: by the Dag's arguments, by the guarantee, by ``Retry-After``."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, task

from airflow_provider_hooks._runtime.compat import RetryPolicy, has_retry_policy
from airflow_provider_hooks.delivery.policy import RETRY_DELAYS
from airflow_provider_hooks.exceptions import DeliveryNotSentError, DeliveryRejectedError
from airflow_provider_hooks.operators import _base
from airflow_provider_hooks.operators._base import DeliveryRetryPolicy
from airflow_provider_hooks.operators.delivery import (
    DeliverEventAlertOperator,
    DeliverEventCreatedOperator,
    DeliverEventOperator,
    DeliverEventStreamOperator,
)
from tests.versions import BACKOFF, needs_retry_policy

MINUTE = dt.timedelta(minutes=1)
KINDS = {
    DeliverEventOperator: {"event_type": "orders.loaded"},
    DeliverEventCreatedOperator: {},
    DeliverEventAlertOperator: {},
    DeliverEventStreamOperator: {"events": [], "records_path": "/tmp/records"},  # noqa: S108
}


class OwnPolicy(RetryPolicy):
    def evaluate(self, exception, try_number, max_tries, context=None):
        raise NotImplementedError


def make(kind=DeliverEventOperator, default_args=None, **arguments):
    with DAG("a_dag", schedule=None, default_args=default_args or {}):
        return kind(task_id="a_task", **KINDS[kind], **arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_at_least_once_is_retried_for_hours_if_the_dag_sets_nothing(kind):
    made = make(kind, guarantee="at_least_once")
    assert made.retries == len(RETRY_DELAYS)
    assert made.retry_policy.has_schedule if has_retry_policy() else not hasattr(made, "retry_policy")
    assert make(kind).retries == 0


def test_an_airflow_without_retry_policies_gets_none(monkeypatch):
    monkeypatch.setattr(_base, "has_retry_policy", lambda: False)
    made = make(guarantee="at_least_once")
    assert (made.retries, getattr(made, "retry_policy", None)) == (len(RETRY_DELAYS), None)


def test_a_decorated_function_too():
    with DAG("a_dag", schedule=None) as dag:
        task.service_hook(task_id="a_task", guarantee="at_least_once")(lambda: None)()
    assert dag.get_task("a_task").retries == len(RETRY_DELAYS)


@pytest.mark.parametrize("place", ["argument", "default_args"])
@pytest.mark.parametrize(
    ("given", "retries", "has_schedule"),
    [
        ({"retries": 3}, 3, True),
        ({"retries": 0}, 0, True),
        ({"retry_delay": MINUTE}, len(RETRY_DELAYS), False),
        ({"retries": 3, "retry_delay": MINUTE}, 3, False),
        ({"retries": 3, "retry_exponential_backoff": BACKOFF}, 3, False),
    ],
)
def test_what_the_dag_sets_wins(place, given, retries, has_schedule):
    arguments = given if place == "argument" else {"default_args": given}
    made = make(guarantee="at_least_once", **arguments)
    assert made.retries == retries
    if has_retry_policy():
        assert made.retry_policy.has_schedule == has_schedule


@needs_retry_policy
def test_a_retry_policy_of_the_dag_wins():
    own = OwnPolicy()
    assert make(guarantee="at_least_once", retry_policy=own).retry_policy is own


def test_the_guarantee_can_be_a_default_argument_of_the_dag():
    made = make(default_args={"guarantee": "at_least_once"})
    assert (made.guarantee, made.retries) == ("at_least_once", len(RETRY_DELAYS))


def evaluate(policy, error, *, try_number=1, max_tries=8, retries=8, retry_delay=MINUTE, backoff=0.0, longest=None):
    task = SimpleNamespace(
        retries=retries, retry_delay=retry_delay, retry_exponential_backoff=backoff, max_retry_delay=longest
    )
    context = {"task": task}
    return policy.evaluate(error, try_number, max_tries, context)


REJECTED = DeliveryRejectedError("x", retry_after=2.0)
LATER = DeliveryRejectedError("x", retry_after=3_600.0)
NOT_SENT = DeliveryNotSentError("x")


@needs_retry_policy
@pytest.mark.parametrize(
    ("has_schedule", "error", "tries", "seconds"),
    [
        (True, REJECTED, {}, 2),
        (True, LATER, {}, 3_600),
        *((True, NOT_SENT, {"try_number": number}, RETRY_DELAYS[number - 1]) for number in range(1, 9)),
        # After a clear of try 3 the numbers go on, and the pauses begin again.
        (True, NOT_SENT, {"try_number": 4, "max_tries": 11}, RETRY_DELAYS[0]),
        (True, ValueError("x"), {}, RETRY_DELAYS[0]),
        (False, LATER, {}, 3_600),
        (False, REJECTED, {}, None),
        # Airflow's own pause is between 16 and 32 minutes in the fifth try.
        (False, LATER, {"backoff": 2.0, "try_number": 5}, 3_600),
        (False, DeliveryRejectedError("x", retry_after=900.0), {"backoff": 2.0, "try_number": 5}, None),
        (False, DeliveryRejectedError("x", retry_after=1_000.0), {"backoff": 2.0, "try_number": 5}, 1_920),
        (False, LATER, {"backoff": 2.0, "try_number": 500}, None),
        (False, LATER, {"backoff": 2.0, "try_number": 500, "longest": MINUTE}, 3_600),
        (False, NOT_SENT, {}, None),
        (False, ValueError("x"), {}, None),
    ],
)
def test_the_pause_before_the_next_try(has_schedule, error, tries, seconds):
    decision = evaluate(DeliveryRetryPolicy(has_schedule=has_schedule), error, **tries)
    if seconds is None:
        assert decision.action.name == "DEFAULT"
    else:
        assert decision.action.name == "RETRY"
        assert decision.retry_delay.total_seconds() == pytest.approx(seconds, rel=0.1)


@needs_retry_policy
@pytest.mark.parametrize("has_schedule", [True, False])
def test_a_context_that_is_missing_raises_nothing(has_schedule):
    policy = DeliveryRetryPolicy(has_schedule=has_schedule)
    assert policy.evaluate(LATER, 1, 8, None).action.name == ("RETRY" if has_schedule else "DEFAULT")
