# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The API of the pages in the test's process, with Airflow's tables in SQLite and users of each role."""

from __future__ import annotations

import pytest
from airflow import settings
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
from fastapi.testclient import TestClient

from airflow_provider_hooks.ui.app import build_app
from tests.ledger.deliveries import Ledger

ROLES = {"an_admin": "admin", "an_editor": "user", "a_viewer": "viewer", "of_one_dag": "user"}
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
