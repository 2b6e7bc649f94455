# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Fixtures that run a real Airflow.

``deployment`` runs a complete Airflow on PostgreSQL: API server, scheduler, Dag processor and triggerer. It is started
once per test session; each test adds its own Dags, connections and runs. ``ledger_deployment`` is the same with its
claims in a ledger. ``airflow`` is a new SQLite database for Airflow's commands.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_hooks._runtime.compat import has_task_state_store
from airflow_provider_hooks.sandbox import Sandbox
from airflow_provider_hooks.sandbox.local_airflow import write_connections
from tests.ledgers import create_ledger
from tests.system.deployment import Deployment, run_airflow
from tests.system.notifying_dags import EXECUTOR_CONN_ID, NOTIFIED_SECRET
from tests.system.postgres import Postgres, run_postgres
from tests.system.real_airflow import RealAirflow
from tests.versions import INBOUND_SETTINGS


@pytest.hookimpl(tryfirst=True)  # before items are deselected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and run those of the shared Airflow first, since they wait most of the time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.system)
    items.sort(key=_get_rank)


def _get_rank(item: pytest.Item) -> int:
    if item.get_closest_marker("system") is None:
        return 2
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return 0 if "deployment" in (*chosen, *getattr(item, "fixturenames", ())) else 1


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, served_sandbox: Sandbox) -> Iterator[Deployment]:
    """A running Airflow for all tests of a session; deliveries to loopback addresses are allowed."""
    with run_postgres() as server:
        ledger = None if has_task_state_store() else create_ledger(server)
        folder = tmp_path_factory.mktemp("deployment")
        with _run_deployment(folder, server, served_sandbox, ledger=ledger) as running:
            yield running


@pytest.fixture(scope="session")
def ledger_deployment(tmp_path_factory: pytest.TempPathFactory, served_sandbox: Sandbox) -> Iterator[Deployment]:
    """The same with a ledger, in a second database on the PostgreSQL server of Airflow."""
    with run_postgres() as server:
        folder, ledger = tmp_path_factory.mktemp("ledger_deployment"), create_ledger(server)
        with _run_deployment(folder, server, served_sandbox, ledger=ledger) as running:
            yield running


@contextlib.contextmanager
def _run_deployment(
    folder: Path, server: Postgres, sandbox: Sandbox, *, ledger: dict[str, object] | None = None
) -> Iterator[Deployment]:
    endpoint = {"conn_type": "service_hook", "host": sandbox.receiver_url, "password": NOTIFIED_SECRET}
    (folder / "dags").mkdir()
    environment = {
        # A callback that an executor runs cannot read connections from the database.
        f"AIRFLOW_CONN_{EXECUTOR_CONN_ID.upper()}": json.dumps(endpoint),
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        "AIRFLOW__SERVICE_HOOKS__DEPLOYMENT": "trials",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # The receiver runs in the process of the tests, which can be slow on a busy machine.
        "AIRFLOW__SERVICE_HOOKS__TIMEOUT": "120",
        "AIRFLOW__SERVICE_HOOKS__CONNECT_TIMEOUT": "120",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "AIRFLOW__INBOUND_WEBHOOKS__WEBHOOK_NAMES": "orders",
        **INBOUND_SETTINGS,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        # A callback that finds an open claim waits for its outcome, longer than the default time limit of callbacks.
        "AIRFLOW__CORE__TASK_SUCCESS_OVERTIME": "300",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "900",
        "ORDERS_INBOX": str(folder / "airflow" / "no-inbox"),
        "REPLAYS": (folder / "replays").as_uri(),
    }
    (folder / "airflow").mkdir()
    with run_airflow(folder / "airflow", folder / "dags", url=server.url, ledger=ledger, **environment) as running:
        yield running


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("airflow")
    RealAirflow(home=home).migrate()
    return home


@pytest.fixture
def airflow(migrated_home: Path, tmp_path: Path) -> RealAirflow:
    """A newly migrated Airflow; its database is a copy, so that tests do not share rows."""
    home = tmp_path / "airflow"
    shutil.copytree(migrated_home, home)
    text = (home / "airflow.cfg").read_text().replace(str(migrated_home), str(home))
    (home / "airflow.cfg").write_text(text)
    return RealAirflow(home=home)


@pytest.fixture
def sandboxed(airflow: RealAirflow, sandbox: Sandbox) -> RealAirflow:
    """The same, with connections to the sandbox."""
    path = write_connections(sandbox, airflow.home)
    done = airflow.run("connections", "import", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    airflow.environment["AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS"] = sandbox.address
    return airflow
