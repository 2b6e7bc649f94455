# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is read of Airflow's configuration, and what an event has of its task instance."""

from __future__ import annotations

import pytest

from airflow_provider_hooks._runtime.airflow import describe_task_instance, find_log_url, read_base_url
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
from tests.airflow_context import make_context
from tests.servers import OK, raw_server


@pytest.mark.parametrize(
    ("base_url", "absolute"),
    [
        ("https://airflow.example.com/", "https://airflow.example.com"),
        ("https://airflow.example.com/team", "https://airflow.example.com/team"),
        ("/team", "http://localhost:8080/team"),
        ("", "http://localhost:8080"),
    ],
)
def test_the_base_url_is_absolute_also_where_it_is_only_a_path(monkeypatch, base_url, absolute):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert read_base_url() == absolute


@pytest.mark.parametrize(
    ("log_url", "absolute"),
    [
        ("https://a.example/dags/d?try_number=1", "https://a.example/dags/d?try_number=1"),
        ("/team/dags/d", "http://localhost:8080/team/dags/d"),
        (None, "https://b.example/dags/a_dag/runs/a_run/tasks/a_task"),
    ],
)
def test_the_url_of_a_log_is_absolute_whatever_airflow_knows(monkeypatch, log_url, absolute):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://b.example")
    assert find_log_url(make_context(log_url=log_url)["ti"]) == absolute


def test_the_ids_of_two_deployments_differ_and_those_of_one_do_not(monkeypatch, connect):
    """The same Dag in staging and production: neither the event nor the delivery has the same id."""
    found = []
    with raw_server(OK) as receiver:
        connect(receiver.url)
        for name in ("staging", "production", "staging"):
            monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__DEPLOYMENT", name)
            operator = DeliverEventAlertOperator(task_id="t", message="m", triggering_rules=["r"])
            record = operator.execute(make_context())
            fixed = EndpointHook().preview("event.alert", {"id": "order-7"}).info.delivery_id
            found.append((record["event_id"], record["delivery_id"], fixed))
    staging, production, again = found
    assert staging == again
    assert all(one != other for one, other in zip(staging, production, strict=True))


def test_the_base_url_tells_deployments_apart_that_have_no_name(monkeypatch):
    ids = []
    for base_url in ("https://staging.example", "https://production.example"):
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
        ids.append(describe_task_instance(make_context())["id"])
    assert ids[0] != ids[1]
