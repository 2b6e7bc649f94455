# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The API of the pages in the test's process, with Airflow's tables in SQLite and users of each role."""

from __future__ import annotations

import json

import pytest
from airflow import settings
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils import timezone
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType
from fastapi.testclient import TestClient

from airflow_provider_hooks.delivery.claims import KEY_PREFIX
from airflow_provider_hooks.ui.app import build_app
from tests.ledger.deliveries import Ledger

ROLES = {"an_admin": "admin", "an_editor": "user", "a_viewer": "viewer", "of_one_dag": "user"}
TIME = "2026-01-01T00:00:00+00:00"
INFO = {
    "delivery_id": "00000001-0000-5000-8000-000000000000",
    "event_id": "order-1",
    "event_type": "orders.loaded",
    "endpoint": "an_endpoint",
    "url": "https://example.com/hook",
    "scheme": "sentry",
    "body_sha256": "0" * 64,
    "body_bytes": 2,
}
DAGS = ("a_dag", "another_dag")


@pytest.fixture(scope="session")
def _tables():
    import_all_models()
    Base.metadata.create_all(settings.engine)
    with create_session() as session:
        if session.get(DagBundleModel, "tests") is None:
            session.add(DagBundleModel(name="tests"))
            session.flush()
        for dag_id in DAGS:
            session.merge(DagModel(dag_id=dag_id, bundle_name="tests"))


@pytest.fixture
def log_in(monkeypatch, _tables):
    """Return a client of the API for a user."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.ui.auth.OneDagAuthManager")
    create_auth_manager()
    app = build_app()

    def log_in(name: str | None) -> TestClient:
        app.dependency_overrides.clear()
        if name is not None:
            user = SimpleAuthManagerUser(username=name, role=ROLES[name])
            app.dependency_overrides[get_user] = lambda: user
        return TestClient(app, raise_server_exceptions=False)

    return log_in


@pytest.fixture
def filled(ledger) -> Ledger:
    return Ledger(ledger)


@pytest.fixture
def stored_claim(_tables):
    """A claim of an unknown delivery in Airflow's task state store, for a deployment without a ledger."""
    from airflow.models.task_state_store import TaskStateStoreModel  # noqa: PLC0415  (since Airflow 3.3)

    described = {"outcome": "unknown", "error_class": "timeout", "requested_at": TIME, "duration_ms": 5.0}
    claim = {
        "state": "unknown",
        "generation": "0",
        "try_number": 1,
        "owner_token": "one",
        "redelivery": False,
        "claimed_at": TIME,
        "info": INFO,
        "record": {**INFO, "generation": "0", "redelivery": False, **described},
    }
    place = {"dag_id": "a_dag", "run_id": "a_run", "task_id": "a_task"}
    with create_session() as session:
        run = DagRun(dag_id="a_dag", run_id="a_run", run_type=DagRunType.MANUAL, run_after=timezone.utcnow())
        session.add(run)
        session.flush()
        row = TaskStateStoreModel(dag_run_id=run.id, key=KEY_PREFIX, value=json.dumps(claim), **place)
        session.add(row)
    yield
    with create_session() as session:
        for one in (row, run):
            session.delete(one)
