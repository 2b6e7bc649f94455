# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Outages of the Airflow API server: results are stored when the server answers again."""

from __future__ import annotations

import itertools
import json

import pytest
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_provider_hooks._runtime.compat import AirflowRuntimeError, ErrorType
from airflow_provider_hooks.delivery import patience
from airflow_provider_hooks.exceptions import DeliveryFailedError, NonRetryableError, RetryableError
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
from tests.airflow_context import StateStore, make_context
from tests.servers import raw_server

DELIVERED = b"HTTP/1.1 204 X\r\n\r\n"
CALLS = ["read", "write", "read back", "record"]
"""The calls of one delivery to the state store, in order."""


def make_error(status: int | None = None) -> AirflowRuntimeError:
    detail = {"status_code": status, "message": "Connection refused"}
    return AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


class StateStoreInOutage(StateStore):
    """
    A state store whose server fails from a given call on.

    :param first: the number of the first call that fails
    :param count: how many calls fail
    :param is_stored: whether a write that fails reached the database, and only its response was lost
    """

    def __init__(self, *, first: int, count: float, status: int | None = None, is_stored: bool = False) -> None:
        super().__init__()
        self.first, self.count, self.status, self.is_stored = first, count, status, is_stored
        self.numbers = itertools.count()

    def get(self, key, default=None):
        self.fail_in_outage()
        return super().get(key, default)

    def set(self, key, value, *, retention=None):
        if self.is_stored:
            super().set(key, value, retention=retention)
        self.fail_in_outage()
        super().set(key, value, retention=retention)

    def fail_in_outage(self) -> None:
        if 0 <= next(self.numbers) - self.first < self.count:
            raise make_error(self.status)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(patience, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(patience, "_MAX_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__STATE_STORE_TIMEOUT", "0.2")


def deliver(connect, store, *, answer: bytes = DELIVERED, **context) -> tuple[object, int]:
    with raw_server(answer) as receiver:
        connect(receiver.url)
        operator = DeliverEventAlertOperator(task_id="a_task", message="An event", triggering_rules=["a rule"])
        try:
            result: object = operator.execute(make_context(store, **context))["outcome"]
        except (RetryableError, NonRetryableError, AirflowRuntimeError) as error:
            result = error
        return result, len(receiver.requests)


def read_claim(store) -> dict | None:
    stored = store.stored.get("service_hook_delivery")
    return None if stored is None else json.loads(stored)


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("status", [None, 500, 503])
@pytest.mark.parametrize("first", range(4), ids=CALLS)
def test_short_outage_does_not_change_the_result(connect, first, status, is_stored):
    store = StateStoreInOutage(first=first, count=5, status=status, is_stored=is_stored)
    assert deliver(connect, store) == ("delivered", 1)
    assert read_claim(store)["state"] == "delivered"


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("first", range(3), ids=CALLS[:3])
def test_outage_before_the_request_raises_a_retryable_error(connect, first, is_stored):
    store = StateStoreInOutage(first=first, count=10_000, is_stored=is_stored)
    error, requests = deliver(connect, store)
    assert isinstance(error, RetryableError)
    assert "did not answer for 0.2 s" in str(error)
    assert requests == 0
    claim, store.count = read_claim(store), 0
    retried, requests = deliver(connect, store, try_number=2)
    if claim is None or claim["state"] == "not_sent":
        assert (retried, requests) == ("delivered", 1)
    else:
        assert isinstance(retried, DeliveryFailedError), (
            "the claim is open, and nothing proves that the event was not sent"
        )
        assert requests == 0


def test_claim_that_could_not_be_read_back_is_recorded_as_not_sent(connect, monkeypatch):
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__STATE_STORE_TIMEOUT", "0.000001")
    store = StateStoreInOutage(first=2, count=1)
    error, requests = deliver(connect, store)
    assert (isinstance(error, RetryableError), requests, read_claim(store)["state"]) == (True, 0, "not_sent")
    assert deliver(connect, store, try_number=2) == ("delivered", 1)


@pytest.mark.parametrize("answer", [DELIVERED, b"HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n"])
def test_an_outcome_that_cannot_be_recorded_is_in_the_error(connect, answer):
    store = StateStoreInOutage(first=3, count=10_000)
    error, requests = deliver(connect, store, answer=answer)
    assert isinstance(error, NonRetryableError), "a retry could only find the open claim"
    assert requests == 1
    assert ("delivered (HTTP 204)" if answer is DELIVERED else "rejected (HTTP 400)") in str(error)
    assert "could not be recorded" in str(error)
    store.count = 0
    error, requests = deliver(connect, store, try_number=2)
    assert "try 1 claimed this delivery and ended without recording an outcome; see its log" in str(error)
    assert requests == 0


@pytest.mark.parametrize("status", [404, 409, 410, 422])
@pytest.mark.parametrize("first", range(4), ids=CALLS)
def test_refused_call_fails_at_once(connect, first, status):
    store = StateStoreInOutage(first=first, count=1, status=status)
    error, requests = deliver(connect, store)
    assert isinstance(error, AirflowRuntimeError)
    assert requests == (1 if CALLS[first] == "record" else 0)


def test_missing_claim_raises_a_retryable_error(connect):
    class ForgetfulStore(StateStore):
        def set(self, key, value, *, retention=None):
            """Drop the write."""

    error, requests = deliver(connect, ForgetfulStore())
    assert (isinstance(error, RetryableError), requests) == (True, 0)
    assert "is gone" in str(error)
