# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Deliveries to an endpoint whose connection is disabled: tasks are skipped, and nothing is sent."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_hooks._runtime.compat import AirflowSkipException
from airflow_provider_hooks.exceptions import EndpointDisabledError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
from tests.airflow_context import StateStore, make_context
from tests.events_data import ALERT
from tests.servers import OK, raw_server


@pytest.fixture
def disabled_receiver(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url, disabled=True)
        yield receiver
    assert receiver.connections == 0


def test_a_task_is_skipped_with_the_reason(disabled_receiver):
    store = StateStore()
    with pytest.raises(AirflowSkipException, match="connection 'service_hook_default' is disabled: nothing was sent"):
        EndpointHook().deliver("event.alert", ALERT, context=make_context(store))
    assert store.stored == {}, "no claim: the next clear delivers"


def test_preview_and_deliver_now_raise_an_error(disabled_receiver):
    for call in (EndpointHook().preview, EndpointHook().deliver_now):
        with pytest.raises(EndpointDisabledError):
            call("event.alert", ALERT)


def test_the_record_of_an_earlier_try_is_still_returned(connect):
    store = StateStore()
    with raw_server(OK) as receiver:
        connect(receiver.url)
        first = EndpointHook().deliver("event.alert", ALERT, context=make_context(store))
        connect(receiver.url, disabled=True)
        again = EndpointHook().deliver("event.alert", ALERT, context=make_context(store, try_number=2))
    assert again["delivery_id"] == first["delivery_id"]
    assert again["outcome"] == "delivered"


def test_a_notifier_sends_nothing_and_raises_no_error(disabled_receiver, caplog):
    notifier = ServiceHookNotifier(message="An alert", triggering_rules=["a rule"])
    with caplog.at_level(logging.INFO):
        notifier.notify(make_context(exception=ValueError("x")))


def test_the_connection_test_reports_that_the_endpoint_is_disabled(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url, disabled=True)
        is_ok, message = EndpointHook().test_connection()
    assert is_ok
    assert message.endswith("Nothing was sent. The endpoint is disabled: deliveries to it are skipped.")
    assert receiver.requests == []


def test_a_stream_is_skipped(disabled_receiver, tmp_path):
    store = StateStore()
    operator = DeliverEventStreamOperator(task_id="a_task", events=[], records_path=str(tmp_path / "records"))
    with pytest.raises(AirflowSkipException, match="is disabled: nothing was sent"):
        operator.execute(make_context(store))
    assert store.stored == {}
