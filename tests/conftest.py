# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Each worker of pytest-xdist has its own AIRFLOW_HOME inside the checkout, and takes nothing from the user's."""

from __future__ import annotations

import json
import os
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(REPOSITORY / ".airflow" / "tests" / WORKER),
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
}

import pytest  # noqa: E402  (Airflow reads its configuration when it is first imported)

from airflow_provider_hooks._runtime import airflow as airflow_module  # noqa: E402
from airflow_provider_hooks._runtime import variable_lock as lock_module  # noqa: E402
from airflow_provider_hooks._runtime import variable_store as variables_module  # noqa: E402
from airflow_provider_hooks.sandbox import Sandbox, serve_sandbox  # noqa: E402
from tests.airflow_context import SECRET  # noqa: E402
from tests.variables import Variables  # noqa: E402


@pytest.fixture(scope="session")
def served_sandbox():
    with serve_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(served_sandbox: Sandbox) -> Sandbox:
    """A sandbox that has forgotten the test before."""
    served_sandbox.state.reset()
    return served_sandbox


@pytest.fixture
def allow_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS", "127.0.0.1")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, allow_loopback: None):
    """What makes the default endpoint lead to a URL."""

    def set_connection(url, *, password=SECRET, conn_type="service_hook", **extra):
        connection = {"conn_type": conn_type, "host": url, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))

    return set_connection


@pytest.fixture
def connected(sandbox: Sandbox, allow_loopback: None, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that both default connections lead to."""
    for conn_id, connection in sandbox.describe_connections().items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    return sandbox


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    """Airflow's Variables, which a test without a task runner can neither write nor list."""
    played = Variables()
    monkeypatch.setattr(airflow_module, "Variable", played)
    monkeypatch.setattr(variables_module, "Variable", played)
    monkeypatch.setattr(lock_module, "Variable", played)
    return played
