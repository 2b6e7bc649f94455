# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Two kinds of a real Airflow.

``deployment`` is a whole one with PostgreSQL: API server, scheduler, Dag processor and triggerer. It starts once in a
session of tests; each test adds its own Dags, connections and runs. ``ledger_deployment`` is another one, whose claims
are in a ledger. ``airflow`` is a fresh SQLite database for Airflow's commands.
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
    """Mark the tests of this folder, and begin with those of the shared Airflow, which wait a lot."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.system)
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("system") is None:
        return 2
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return 0 if "deployment" in (*chosen, *getattr(item, "fixturenames", ())) else 1


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, served_sandbox: Sandbox) -> Iterator[Deployment]:
    """A running Airflow for all tests of a session; it may deliver to loopback."""
    with run_postgres() as server:
        ledger = None if has_task_state_store() else create_ledger(server)
        place = tmp_path_factory.mktemp("deployment")
        with _run(place, server, served_sandbox, ledger=ledger) as running:
            yield running


@pytest.fixture(scope="session")
def ledger_deployment(tmp_path_factory: pytest.TempPathFactory, served_sandbox: Sandbox) -> Iterator[Deployment]:
    """The same with a ledger, which is a database on Airflow's own PostgreSQL."""
    with run_postgres() as server:
        place, ledger = tmp_path_factory.mktemp("ledger_deployment"), create_ledger(server)
        with _run(place, server, served_sandbox, ledger=ledger) as running:
            yield running


@contextlib.contextmanager
def _run(
    place: Path, server: Postgres, sandbox: Sandbox, *, ledger: dict[str, object] | None = None
) -> Iterator[Deployment]:
    notified = {"conn_type": "service_hook", "host": sandbox.receiver_url, "password": NOTIFIED_SECRET}
    (place / "dags").mkdir()
    environment = {
        # Airflow refuses a callback that an executor runs the connections of the database.
        f"AIRFLOW_CONN_{EXECUTOR_CONN_ID.upper()}": json.dumps(notified),
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        "AIRFLOW__SERVICE_HOOKS__DEPLOYMENT": "trials",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # The receiver is in the process of the tests, which a busy machine can hold up for long.
        "AIRFLOW__SERVICE_HOOKS__TIMEOUT": "120",
        "AIRFLOW__SERVICE_HOOKS__CONNECT_TIMEOUT": "120",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "AIRFLOW__INBOUND_WEBHOOKS__WEBHOOK_NAMES": "orders",
        **INBOUND_SETTINGS,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        # A callback that finds an open claim waits for its outcome, longer than Airflow lets callbacks run by default.
        "AIRFLOW__CORE__TASK_SUCCESS_OVERTIME": "300",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "900",
        "ORDERS_INBOX": str(place / "airflow" / "no-inbox"),
        "REPLAYS": (place / "replays").as_uri(),
    }
    (place / "airflow").mkdir()
    with run_airflow(place / "airflow", place / "dags", url=server.url, ledger=ledger, **environment) as running:
        yield running


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("airflow")
    RealAirflow(home=home).migrate()
    return home


@pytest.fixture
def airflow(migrated_home: Path, tmp_path: Path) -> RealAirflow:
    """A freshly migrated Airflow; its database is a copy, so that no test sees another's rows."""
    home = tmp_path / "airflow"
    shutil.copytree(migrated_home, home)
    text = (home / "airflow.cfg").read_text().replace(str(migrated_home), str(home))
    (home / "airflow.cfg").write_text(text)
    return RealAirflow(home=home)


@pytest.fixture
def sandboxed(airflow: RealAirflow, sandbox: Sandbox) -> RealAirflow:
    """The same, with connections that lead to the sandbox."""
    path = write_connections(sandbox, airflow.home)
    done = airflow.run("connections", "import", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    airflow.environment["AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS"] = sandbox.address
    return airflow
