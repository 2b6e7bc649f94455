# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import contextlib

import pytest
from airflow.sdk import DAG, task

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.operators import links
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
from airflow_provider_hooks.operators.links import DeliveryRecordLink, EventLink
from tests.airflow_context import make_context

TASK = "http://localhost:8080/dags/a_dag/runs/a_run/tasks/a_task"


def find_link(link, operator):
    return link.get_link(operator, ti_key=make_context()["ti"])


def make_alert(**options):
    return DeliverEventAlertOperator(task_id="a_task", message="x", triggering_rules=["r"], **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, TASK),
        ({"url": "https://example.com/a"}, "https://example.com/a"),
        ({"event": {"url": "https://example.com/b"}}, "https://example.com/b"),
        ({"event": {"url": "https://example.com/b"}, "url": "https://example.com/a"}, "https://example.com/a"),
        ({"url": "javascript:alert(1)"}, ""),
        ({"event": {"url": "java\nscript:alert(1)"}}, ""),
        ({"event": {"url": ["x"]}}, ""),
        ({"event": "text"}, ""),
    ],
)
def test_the_event_link_is_the_http_url_of_the_event_or_empty(options, expected):
    assert find_link(EventLink(), make_alert(**options)) == expected


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ({"url": "https://example.com/a"}, "https://example.com/a"),
        ([{"url": "https://example.com/a"}], "https://example.com/a"),
        ([{}], TASK),
        ([{}, {}], ""),
        (["text"], ""),
        ([], ""),
    ],
)
def test_the_event_link_of_a_function_needs_exactly_one_returned_event(returned, expected):
    with DAG("a_dag", schedule=None) as dag:
        task.service_hook(task_id="a_task", service_hook_conn_id="missing")(lambda: returned)()
    operator = dag.get_task("a_task")
    with contextlib.suppress(AirflowFailException):
        operator.execute(make_context())
    assert find_link(EventLink(), operator) == expected


def test_the_event_link_is_empty_if_the_function_did_not_run():
    with DAG("a_dag", schedule=None) as dag:
        task.service_hook(task_id="a_task")(lambda: None)()
    assert find_link(EventLink(), dag.get_task("a_task")) == ""


@pytest.mark.parametrize(("has_store", "expected"), [(True, f"{TASK}/task-state-store"), (False, TASK)])
def test_the_record_link_leads_to_the_state_store_tab_or_the_log(monkeypatch, has_store, expected):
    monkeypatch.setattr(links, "has_task_state_store", lambda: has_store)
    assert find_link(DeliveryRecordLink(), make_alert()) == expected


def test_delivery_operators_have_both_links():
    assert [link.name for link in make_alert().operator_extra_links] == ["Event", "Delivery record"]
