# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""When Airflow retries a delivery task: by the arguments of the Dag, the guarantee and ``Retry-After``."""

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
OPERATORS = {
    DeliverEventOperator: {"event_type": "orders.loaded"},
    DeliverEventCreatedOperator: {},
    DeliverEventAlertOperator: {},
    DeliverEventStreamOperator: {"events": [], "records_path": "/tmp/records"},  # noqa: S108
}


class OwnPolicy(RetryPolicy):
    def evaluate(self, exception, try_number, max_tries, context=None):
        raise NotImplementedError


def make_operator(operator_class=DeliverEventOperator, default_args=None, **arguments):
    with DAG("a_dag", schedule=None, default_args=default_args or {}):
        return operator_class(task_id="a_task", **OPERATORS[operator_class], **arguments)


@pytest.mark.parametrize("operator_class", OPERATORS)
def test_at_least_once_has_default_retries_for_hours(operator_class):
    operator = make_operator(operator_class, guarantee="at_least_once")
    assert operator.retries == len(RETRY_DELAYS)
    assert operator.retry_policy.has_schedule if has_retry_policy() else not hasattr(operator, "retry_policy")
    assert make_operator(operator_class).retries == 0


def test_no_retry_policy_is_set_if_airflow_has_none(monkeypatch):
    monkeypatch.setattr(_base, "has_retry_policy", lambda: False)
    operator = make_operator(guarantee="at_least_once")
    assert (operator.retries, getattr(operator, "retry_policy", None)) == (len(RETRY_DELAYS), None)


def test_a_decorated_function_with_at_least_once_has_default_retries():
    with DAG("a_dag", schedule=None) as dag:
        task.service_hook(task_id="a_task", guarantee="at_least_once")(lambda: None)()
    assert dag.get_task("a_task").retries == len(RETRY_DELAYS)


@pytest.mark.parametrize("place", ["argument", "default_args"])
@pytest.mark.parametrize(
    ("arguments", "retries", "has_schedule"),
    [
        ({"retries": 3}, 3, True),
        ({"retries": 0}, 0, True),
        ({"retry_delay": MINUTE}, len(RETRY_DELAYS), False),
        ({"retries": 3, "retry_delay": MINUTE}, 3, False),
        ({"retries": 3, "retry_exponential_backoff": BACKOFF}, 3, False),
    ],
)
def test_retry_arguments_of_the_dag_override_the_defaults(place, arguments, retries, has_schedule):
    passed = arguments if place == "argument" else {"default_args": arguments}
    operator = make_operator(guarantee="at_least_once", **passed)
    assert operator.retries == retries
    if has_retry_policy():
        assert operator.retry_policy.has_schedule == has_schedule


@needs_retry_policy
def test_a_retry_policy_of_the_dag_overrides_the_default():
    own = OwnPolicy()
    assert make_operator(guarantee="at_least_once", retry_policy=own).retry_policy is own


def test_the_guarantee_can_be_a_default_argument_of_the_dag():
    operator = make_operator(default_args={"guarantee": "at_least_once"})
    assert (operator.guarantee, operator.retries) == ("at_least_once", len(RETRY_DELAYS))


def evaluate(policy, error, *, try_number=1, max_tries=8, retries=8, retry_delay=MINUTE, backoff=0.0, max_delay=None):
    task = SimpleNamespace(
        retries=retries, retry_delay=retry_delay, retry_exponential_backoff=backoff, max_retry_delay=max_delay
    )
    context = {"task": task}
    return policy.evaluate(error, try_number, max_tries, context)


REJECTED_2_SECONDS = DeliveryRejectedError("x", retry_after=2.0)
REJECTED_1_HOUR = DeliveryRejectedError("x", retry_after=3_600.0)
NOT_SENT = DeliveryNotSentError("x")


@needs_retry_policy
@pytest.mark.parametrize(
    ("has_schedule", "error", "options", "seconds"),
    [
        (True, REJECTED_2_SECONDS, {}, 2),
        (True, REJECTED_1_HOUR, {}, 3_600),
        *((True, NOT_SENT, {"try_number": number}, RETRY_DELAYS[number - 1]) for number in range(1, 9)),
        # After a clear of try 3 the try numbers continue, and the delays start again.
        (True, NOT_SENT, {"try_number": 4, "max_tries": 11}, RETRY_DELAYS[0]),
        (True, ValueError("x"), {}, RETRY_DELAYS[0]),
        (False, REJECTED_1_HOUR, {}, 3_600),
        (False, REJECTED_2_SECONDS, {}, None),
        # Airflow's own delay is between 16 and 32 minutes in the fifth try.
        (False, REJECTED_1_HOUR, {"backoff": 2.0, "try_number": 5}, 3_600),
        (False, DeliveryRejectedError("x", retry_after=900.0), {"backoff": 2.0, "try_number": 5}, None),
        (False, DeliveryRejectedError("x", retry_after=1_000.0), {"backoff": 2.0, "try_number": 5}, 1_920),
        (False, REJECTED_1_HOUR, {"backoff": 2.0, "try_number": 500}, None),
        (False, REJECTED_1_HOUR, {"backoff": 2.0, "try_number": 500, "max_delay": MINUTE}, 3_600),
        (False, NOT_SENT, {}, None),
        (False, ValueError("x"), {}, None),
    ],
)
def test_the_delay_of_a_retry_follows_retry_after_or_the_schedule(has_schedule, error, options, seconds):
    decision = evaluate(DeliveryRetryPolicy(has_schedule=has_schedule), error, **options)
    if seconds is None:
        assert decision.action.name == "DEFAULT"
    else:
        assert decision.action.name == "RETRY"
        assert decision.retry_delay.total_seconds() == pytest.approx(seconds, rel=0.1)


@needs_retry_policy
@pytest.mark.parametrize("has_schedule", [True, False])
def test_the_retry_policy_accepts_a_missing_context(has_schedule):
    policy = DeliveryRetryPolicy(has_schedule=has_schedule)
    assert policy.evaluate(REJECTED_1_HOUR, 1, 8, None).action.name == ("RETRY" if has_schedule else "DEFAULT")
