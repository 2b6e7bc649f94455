# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A complete Airflow as processes: API server, scheduler with the LocalExecutor, Dag processor, triggerer."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import requests
from packaging.version import Version

from airflow_provider_hooks._runtime.compat import has_provider_commands
from tests.ledgers import name_ledger, open_database
from tests.servers import find_free_port
from tests.system.claims import LedgerClaims, StoredClaims, TaskStateClaims
from tests.system.database import find_everywhere, read_rows, sqlite_url
from tests.system.real_airflow import RealAirflow

CLEAR_DELETES_TASK_STATE = Version(version("apache-airflow-core")) >= Version("3.4.dev0")
"""Whether a clear in this version of Airflow deletes the task state store, unless ``keep_task_state`` is set."""
IS_BETA = Version(version("apache-airflow-core")).is_prerelease
"""The scheduler of 3.4.0b2 can exit with an IntegrityError when a task is killed; other versions must not."""
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
FINAL = {"success", "failed", "upstream_failed", "skipped"}


@dataclass
class Deployment:
    """
    A running Airflow, controlled through its REST API.

    :param home: its ``AIRFLOW_HOME``
    :param dags: its Dags folder, which is outside the home
    :param database: the SQLAlchemy URL of its database
    """

    home: Path
    dags: Path
    database: str
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=find_free_port)
    log_ports: tuple[int, int] = field(default_factory=lambda: (find_free_port(), find_free_port()))
    """The ports of the log servers, so that two deployments do not use the same."""
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    restarts: bool = IS_BETA
    """Whether a component that exits is restarted while a test waits."""
    token: str = ""
    ledger: dict[str, object] | None = None
    """The Airflow connection to the ledger that stores the claims; without one they are in the task state store."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def claims(self) -> StoredClaims:
        """The claims of the tasks and callbacks, from the claim store of this Airflow."""
        return TaskStateClaims(self) if self.ledger is None else LedgerClaims(self)

    @property
    def clear_deletes_claims(self) -> bool:
        """Whether a clear deletes the claims, unless ``keep_task_state`` is set."""
        return CLEAR_DELETES_TASK_STATE and self.ledger is None

    def full_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "8",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.log_ports[0]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.log_ports[1]),
            "AIRFLOW__API_AUTH__JWT_SECRET": "for-tests-only-for-tests-only-for-tests-only-for-tests-only-1234",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            **self.environment,
        }

    def start(self, component: str) -> None:
        log = (self.home / f"{component}.log").open("ab")
        self.processes[component] = subprocess.Popen(
            [sys.executable, "-m", "airflow", component],
            env=self.full_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def restart_exited(self) -> None:
        """Restart each component that exited, as a service manager does."""
        for component, process in list(self.processes.items()):
            if process.poll() is not None:
                self.start(component)

    def stop(self) -> None:
        """Stop every process that was started, with its child processes, by process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + 10
            for process in self.processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, deadline - time.monotonic()))

    def read_rows(self, query: str, **parameters: object) -> list[tuple]:
        return read_rows(self.database, query, **parameters)

    def find_everywhere(self, secrets: list[str]) -> list[str]:
        """Return the database tables, and the files of the home with its logs, that contain any of these texts."""
        return find_everywhere(self.database, self.home, secrets)

    def call(self, method: str, path: str, **options: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=120, **options)

    def wait_until(self, description: str, condition, *, seconds: float = 600):
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(requests.RequestException, KeyError):
                if found := condition():
                    return found
            if self.restarts:
                self.restart_exited()
            if time.monotonic() > deadline:
                raise AssertionError(f"timed out after {seconds} s: {description}\n{self.read_log_tails()}")
            time.sleep(0.3)

    def read_log_tails(self) -> str:
        """Return the last lines of each log."""
        parts = []
        for component in self.processes:
            lines = (self.home / f"{component}.log").read_text(errors="replace").splitlines()
            parts.append(f"--- {component}\n" + "\n".join(lines[-30:]))
        return "\n".join(parts)

    def add_dags(self, source: Path | str, dag_ids: Iterable[str], *, name: str = "") -> None:
        """
        Add a file of Dags, wait until Airflow has all of them, and unpause them.

        :param source: the file, or the text of one
        :param name: the name of the file in the Dags folder; by default the name of the source
        """
        if isinstance(source, Path):
            shutil.copy(source, self.dags / (name or source.name))
        else:
            (self.dags / name).write_text(source)
        for dag_id in dag_ids:
            self.wait_until(f"the Dag {dag_id}", lambda dag_id=dag_id: self.pause(dag_id, is_paused=False))

    def pause(self, dag_id: str, *, is_paused: bool) -> bool:
        """Pause or unpause a Dag; return whether Airflow has it."""
        return self.call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": is_paused}).ok

    def set_connections(self, connections: Mapping[str, Mapping[str, object]]) -> None:
        """Create or replace connections, in the format of ``airflow connections import``."""
        for conn_id, connection in connections.items():
            extra = connection.get("extra", {})
            body = {**connection, "connection_id": conn_id, "extra": json.dumps(extra)}
            self.call("DELETE", f"/api/v2/connections/{conn_id}")
            response = self.call("POST", "/api/v2/connections", json=body)
            assert response.status_code == 201, response.text

    def set_variable(self, key: str, value: str) -> None:
        response = self.call("POST", "/api/v2/variables", json={"key": key, "value": value})
        assert response.status_code == 201, response.text

    def delete_variables(self) -> None:
        for (key,) in self.read_rows("SELECT key FROM variable"):
            response = self.call("DELETE", f"/api/v2/variables/{key}")
            assert response.ok, response.text

    def export_variables(self, path: Path) -> dict[str, str]:
        """Return the value of every Variable; the REST API would mask secrets."""
        done = RealAirflow(home=self.home, environment=self.full_environment()).run("variables", "export", str(path))
        assert done.returncode == 0, done.stdout + done.stderr
        exported = {key: one["value"] for key, one in json.loads(path.read_text()).items()}
        path.unlink()
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in exported.items()}

    def trigger(self, dag_id: str, run_id: str, conf: dict | None = None, *, logical_date: str | None = None) -> None:
        body = {"dag_run_id": run_id, "logical_date": logical_date, "conf": conf or {}}
        response = self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        assert response.status_code == 200, response.text

    def clear(self, dag_id: str, run_id: str, task_ids: list, *, keeps_claims: bool = True) -> int:
        """
        Clear tasks as the button in the user interface does, without "downstream" etc.; return how many.

        :param keeps_claims: whether "keep task state" is selected; Airflow before 3.4 has no such option
        """
        body: dict[str, object] = {"keep_task_state": keeps_claims} if CLEAR_DELETES_TASK_STATE else {}
        body |= {
            "dag_run_id": run_id,
            "dry_run": False,
            "include_downstream": False,
            "include_future": False,
            "include_past": False,
            "include_upstream": False,
            "only_failed": False,
            "reset_dag_runs": True,
            "task_ids": task_ids,
        }
        response = self.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)
        assert response.status_code == 200, response.text
        return response.json()["total_entries"]

    def read_log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> str:
        """Return the log of a try of a task."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        return str(self.call("GET", f"{path}?full_content=true").json())

    def read_claims(self, dag_id: str, run_id: str) -> dict[int, dict]:
        """Return the claim of each task instance of a run, by its map index, from the ledger or the Storage tab."""
        return self.claims.read_run(dag_id, run_id)

    def run_service_hooks(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``airflow service-hooks`` with the environment of the scheduler; Airflow 3.1 needs another module."""
        module = "airflow" if has_provider_commands() else "airflow_provider_hooks.cli"
        return subprocess.run(
            [sys.executable, "-m", module, "service-hooks", *arguments],
            env=self.full_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def read_ledger(self, query: str, *parameters: object) -> list[tuple]:
        """Run a statement on the ledger, and return its rows."""
        assert self.ledger is not None
        database = open_database(self.ledger)
        try:
            return database.run(query, parameters)
        finally:
            database.close()

    def read_returned(self, dag_id: str, run_id: str, task_id: str | None = None) -> dict[int, object]:
        """Return the return values in XCom of the task instances of a run, or of one of its tasks, by map index."""
        found = {}
        for task in self.list_tasks(dag_id, run_id):
            if task_id in (None, task["task_id"]):
                path = f"{self._make_task_path(dag_id, run_id, task)}/xcomEntries/return_value"
                response = self.call("GET", f"{path}?map_index={task['map_index']}&stringify=false")
                if response.ok:
                    value = response.json()["value"]
                    found[task["map_index"]] = json.loads(value) if isinstance(value, str) else value
        return found

    @staticmethod
    def _make_task_path(dag_id: str, run_id: str, task: dict) -> str:
        return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}"

    def list_runs(self, dag_id: str) -> list[str]:
        """Return the ids of the runs of a Dag, oldest first."""
        response = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=100&order_by=id").json()
        return [run["dag_run_id"] for run in response["dag_runs"]]

    def list_tasks(self, dag_id: str, run_id: str) -> list[dict]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict] = []
        while True:
            page = self.call("GET", f"{path}?limit=100&offset={len(found)}").json()
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def read_task(self, dag_id: str, run_id: str, task_id: str) -> dict:
        """Return a task instance with its rendered fields, which Airflow 3.2 omits from the list."""
        return self.call("GET", self._make_task_path(dag_id, run_id, {"task_id": task_id})).json()

    def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float = 600) -> list[dict]:
        """Wait until a run has ended, and return its task instances."""

        def has_ended():
            state = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").json()["state"]
            return state in {"success", "failed"}

        self.wait_until(f"the end of {run_id}", has_ended, seconds=seconds)
        return self.list_tasks(dag_id, run_id)


@contextlib.contextmanager
def run_airflow(
    home: Path,
    dags: Path,
    *,
    url: str | None = None,
    ledger: dict[str, object] | None = None,
    **environment: str,
) -> Iterator[Deployment]:
    """
    Run a complete Airflow for as long as the block runs.

    :param url: the URL of an empty database; by default the migrated SQLite database of the home
    :param ledger: an Airflow connection to a migrated ledger; by default claims are in the task state store
    """
    if ledger is not None:
        environment |= name_ledger(ledger)
    if url is not None:
        environment |= {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        }
        RealAirflow(home=home, environment=environment).migrate()
    database = url or sqlite_url(home)
    deployment = Deployment(home=home, dags=dags, database=database, environment=environment, ledger=ledger)
    try:
        for component in COMPONENTS:
            deployment.start(component)

        def is_healthy():
            deployment.token = requests.get(f"{deployment.url}/auth/token", timeout=5).json()["access_token"]
            health = deployment.call("GET", "/api/v2/monitor/health").json()
            return all(health[name]["status"] == "healthy" for name in ("scheduler", "dag_processor", "metadatabase"))

        deployment.wait_until("a healthy Airflow", is_healthy)
        yield deployment
    finally:
        deployment.stop()
