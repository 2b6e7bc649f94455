# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The rendered fields of a task show the request that it makes, without secrets."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG

from airflow_provider_hooks.operators.delivery import (
    DeliverEventAlertOperator,
    DeliverEventOperator,
    DeliverEventStreamOperator,
)
from tests.airflow_context import SECRET, StateStore, make_context
from tests.servers import OK, raw_server

URL = "http://127.0.0.1:9/hook"


def render(operator_class, *, times=1, **arguments):
    with DAG("a_dag", schedule=None):
        operator = operator_class(task_id="a_task", **arguments)
    context = {**make_context(StateStore()), "params": {"count": 12}}
    for _ in range(times):
        operator.render_template_fields(context)
    return operator, context


def test_the_preview_is_the_request_without_its_signature(connect):
    with raw_server(OK) as receiver:
        connect(f"{receiver.url}?token=x", scheme="standard_webhooks")
        operator, context = render(DeliverEventOperator, event_type="orders.loaded", data={"n": "{{ params.count }}"})
        shown = operator.request_preview
        assert receiver.requests == []
        operator.execute(context)
    sent_head, _, sent_body = receiver.requests[0].decode().partition("\r\n\r\n")
    head, _, body = shown.partition("\n\n")
    assert body == sent_body == '{"type":"orders.loaded","timestamp":"2026-01-01T12:00:00.000Z","data":{"n":"12"}}'
    assert "webhook-signature: ***" in head
    names = [line.partition(":")[0] for line in head.splitlines()[1:]]
    assert names == [line.partition(":")[0] for line in sent_head.split("\r\n")[1:]]
    assert SECRET not in shown
    assert "token=x" not in shown


@pytest.mark.parametrize("format_name", ["cloudevents", "cloudevents_binary", "raw"])
def test_the_preview_has_the_format_of_the_task(connect, format_name):
    connect(URL)
    operator, _ = render(DeliverEventOperator, event_type="orders.loaded", data={"orders": 12}, format=format_name)
    assert "orders" in operator.request_preview
    alert, _ = render(DeliverEventAlertOperator, message="It broke", triggering_rules=["r"])
    assert '"message":"It broke"' in alert.request_preview


def test_rendered_data_and_the_preview_are_not_rendered_again(connect):
    connect(URL)
    data = {"text": "{{ '{{' }} params.count {{ '}}' }}"}
    operator, _ = render(DeliverEventOperator, event_type="orders.loaded", data=data)
    assert "{{ params.count }}" in operator.request_preview
    operator.data = "new text"
    operator.request_preview = "{{ params.count }}"
    operator.render_template_fields({**make_context(StateStore()), "params": {"count": 12}})
    assert operator.request_preview.endswith('"new text"}')


@pytest.mark.parametrize(
    "arguments", [{"event_type": "orders loaded"}, {"data": float("nan")}, {"service_hook_conn_id": "missing"}]
)
def test_an_invalid_request_has_no_preview(connect, arguments):
    connect(URL)
    operator, _ = render(DeliverEventOperator, **{"event_type": "orders.loaded", **arguments})
    assert operator.request_preview is None


def test_a_stream_has_no_preview(connect, tmp_path):
    connect(URL)
    operator, _ = render(DeliverEventStreamOperator, events=[], records_path=str(tmp_path))
    assert operator.request_preview is None


def test_a_long_preview_is_cut(connect):
    connect(URL)
    operator, _ = render(DeliverEventOperator, event_type="orders.loaded", data="x" * 10_000)
    assert len(operator.request_preview) == 4_000
