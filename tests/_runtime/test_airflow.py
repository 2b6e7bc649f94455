# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The values read from Airflow's configuration, and the values that an event takes from its task instance."""

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
def test_base_url_is_absolute_even_if_only_a_path_is_configured(monkeypatch, base_url, absolute):
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
def test_log_url_is_absolute_even_if_airflow_has_a_path_or_none(monkeypatch, log_url, absolute):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://b.example")
    assert find_log_url(make_context(log_url=log_url)["ti"]) == absolute


def test_event_and_delivery_ids_differ_between_deployments(monkeypatch, connect):
    """One Dag in staging and production: the ids of its events and deliveries differ."""
    ids = []
    with raw_server(OK) as receiver:
        connect(receiver.url)
        for name in ("staging", "production", "staging"):
            monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__DEPLOYMENT", name)
            operator = DeliverEventAlertOperator(task_id="t", message="m", triggering_rules=["r"])
            record = operator.execute(make_context())
            explicit_delivery_id = EndpointHook().preview("event.alert", {"id": "order-7"}).info.delivery_id
            ids.append((record["event_id"], record["delivery_id"], explicit_delivery_id))
    staging, production, staging_again = ids
    assert staging == staging_again
    assert all(one != other for one, other in zip(staging, production, strict=True))


def test_base_url_distinguishes_deployments_without_a_name(monkeypatch):
    ids = []
    for base_url in ("https://staging.example", "https://production.example"):
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
        ids.append(describe_task_instance(make_context())["id"])
    assert ids[0] != ids[1]
