# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The routes of endpoints and registries: health, pauses, and the hooks of a platform."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from airflow.utils.session import create_session

from airflow_provider_hooks._runtime.variable_store import default_variable_name
from airflow_provider_hooks.registries.store import StoredHook, format_state

OWNER = ("sandbox", "pump-station")
"""The organization and the project of the connection."""


def ago(**time: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**time)).isoformat()


@pytest.fixture
def stored():
    """Add rows to Airflow's database for one test."""
    added = []

    def add(row):
        with create_session() as session:
            session.add(row)
        added.append(row)

    yield add
    with create_session() as session:
        for row in added:
            session.delete(row)


@pytest.fixture
def sentry(sandbox, stored, monkeypatch):
    """A registry in Airflow's database that leads to the sandbox."""
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS", sandbox.address)
    described = sandbox.describe_connections()["service_hook_registry_default"]
    stored(
        Connection(
            conn_id="sentry_org",
            conn_type=described["conn_type"],
            host=described["host"],
            password=described["password"],
            extra=json.dumps(described["extra"]),
        )
    )
    return sandbox.state.sentry


def test_health_is_shown_with_one_bar_for_each_part_of_the_period(log_in, filled):
    filled.add("delivered", at=ago(minutes=30), endpoint="partner")
    filled.add("rejected", at=ago(minutes=10), endpoint="partner")
    filled.add("delivered", at=ago(days=3), endpoint="idle")
    shown = log_in("an_admin").get("/api/endpoints?hours=24").json()
    (partner,) = shown["endpoints"]
    names = ("endpoint", "deliveries", "delivered", "success_rate", "failures_in_a_row", "paused_at", "may_edit")
    assert [partner[name] for name in names] == ["partner", 2, 1, 0.5, 1, None, True]
    assert len(partner["buckets"]) == 24
    last = partner["buckets"][-1]
    assert (last["delivered"], last["failed"]) == (1, 1)
    assert sum(one["delivered"] + one["failed"] for one in partner["buckets"]) == 2


def test_an_endpoint_is_paused_and_resumed(log_in, filled):
    client = log_in("an_admin")
    for action, changed in (("pause", True), ("pause", False), ("resume", True), ("resume", False)):
        response = client.post(f"/api/endpoints/partner/{action}", json={"reason": "maintenance"})
        assert (response.status_code, response.json()) == (200, {"changed": changed})
        if action == "pause":
            (shown,) = client.get("/api/endpoints").json()["endpoints"]
            assert (shown["pause_reason"], shown["deliveries"]) == ("maintenance", 0)
    assert client.post("/api/endpoints/partner/pause", json={"reason": ""}).status_code == 422


@pytest.mark.parametrize("user", ["an_editor", "a_viewer", "of_one_dag"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/endpoints"),
        ("POST", "/api/endpoints/partner/pause"),
        ("POST", "/api/endpoints/partner/resume"),
        ("GET", "/api/registries/sentry_org/hooks"),
    ],
)
def test_users_who_may_not_read_connections_see_and_change_no_endpoint(log_in, filled, user, method, path):
    assert log_in(user).request(method, path, json={"reason": "r"}).status_code == 403


def test_the_hooks_of_a_platform_are_shown_as_declared_or_not(log_in, filled, sentry, stored):
    declared = sentry.add_hook(OWNER, url="https://example.com/a?token=of-the-hook", events=["event.alert"])
    other = sentry.add_hook(OWNER, url="https://example.com/b", events=["event.alert"])
    variable = default_variable_name("sentry_org", "orders")
    stored(Variable(key=variable, val=format_state((StoredHook(hook_id=declared.hook_id, registry="sentry_org"),))))
    client = log_in("an_admin")
    registries = client.get("/api/endpoints").json()["registries"]
    assert {"conn_id": "sentry_org", "platform": "sentry"} in registries
    response = client.get("/api/registries/sentry_org/hooks")
    assert response.status_code == 200, response.text
    hooks = {one["hook_id"]: one for one in response.json()["hooks"]}
    assert (hooks[declared.hook_id]["is_declared"], hooks[declared.hook_id]["variable"]) == (True, variable)
    assert (hooks[other.hook_id]["is_declared"], hooks[other.hook_id]["variable"]) == (False, None)
    assert declared.secret not in response.text
    assert "of-the-hook" not in response.text


def test_failing_platform_is_reported_in_one_sentence(log_in, filled, sentry):
    sentry.misbehave("list", "error")
    response = log_in("an_admin").get("/api/registries/sentry_org/hooks")
    assert response.status_code == 502
    assert response.json()["detail"].startswith("The hooks cannot be listed: ")


def test_only_registries_are_called(log_in, filled, stored):
    stored(Connection(conn_id="a_database", conn_type="postgres", host="127.0.0.1"))
    assert log_in("an_admin").get("/api/registries/a_database/hooks").status_code == 404
