# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The claims in the claim store that a real Airflow has: its task state store, or a ledger.

Both classes have the same methods, so that a test runs unchanged on each. They read and settle a claim as users do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airflow_provider_hooks.delivery.claims import KEY_PREFIX, SETTLED

if TYPE_CHECKING:
    from tests.system.deployment import Deployment

SETTLING_CLIENTS = ("user", "script")


class TaskInstance(NamedTuple):
    """The task instance that a claim belongs to."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


class StoredClaims(Protocol):
    """The claims of one Airflow."""

    def read(self, task: TaskInstance) -> dict | None:
        """Return the claim of a task instance that delivers one event, if there is one."""

    def read_run(self, dag_id: str, run_id: str) -> dict[int, dict]:
        """Return a claim of each task instance of a run, by its map index."""

    def read_callbacks(self, task: TaskInstance) -> dict[str, dict]:
        """Return the claims of the callbacks of a task instance, by their slots."""

    def settle(self, task: TaskInstance, client: str) -> None:
        """Mark the delivery of a task instance as received, as one of ``SETTLING_CLIENTS`` does it."""


class TaskStateClaims:
    """Claims in the task state store, which the *Storage* tab of the user interface shows."""

    def __init__(self, airflow: Deployment) -> None:
        self._airflow = airflow

    def read(self, task: TaskInstance) -> dict | None:
        response = self._airflow.call("GET", _make_path(task, f"state-store/{KEY_PREFIX}"))
        if response.status_code == 404:
            return None
        assert response.ok, response.text
        entry = response.json()
        assert entry["expires_at"] is None, "a claim does not expire while its run exists"
        return entry["value"]

    def read_run(self, dag_id: str, run_id: str) -> dict[int, dict]:
        found = {}
        for task in self._airflow.list_tasks(dag_id, run_id):
            claims = self._list_claims(TaskInstance(dag_id, run_id, task["task_id"], task["map_index"]))
            found.update((task["map_index"], claim) for claim in claims.values())
        return found

    def read_callbacks(self, task: TaskInstance) -> dict[str, dict]:
        claims = {key.partition(":")[2]: claim for key, claim in self._list_claims(task).items()}
        return {slot: claim for slot, claim in claims.items() if slot.startswith("on_")}

    def settle(self, task: TaskInstance, client: str) -> None:
        """Overwrite the state: the *Storage* tab sends a PUT with the expiry that it read, a script sends a PATCH."""
        method, options = {"user": ("PUT", {"expires_at": None}), "script": ("PATCH", {})}[client]
        claim = self.read(task)
        assert claim is not None, task
        body = {"value": {**claim, "state": SETTLED}, **options}
        response = self._airflow.call(method, _make_path(task, f"state-store/{KEY_PREFIX}"), json=body)
        assert response.ok, response.text

    def _list_claims(self, task: TaskInstance) -> dict[str, dict]:
        entries = self._airflow.call("GET", _make_path(task, "state-store")).json()["task_state_store"]
        return {entry["key"]: entry["value"] for entry in entries if entry["key"].startswith(KEY_PREFIX)}


class LedgerClaims:
    """Claims in the ledger, which ``airflow service-hooks deliveries`` shows."""

    def __init__(self, airflow: Deployment) -> None:
        self._airflow = airflow

    def read(self, task: TaskInstance) -> dict | None:
        rows = self._airflow.read_ledger(
            "SELECT claim FROM service_hook_deliveries WHERE dag_id = ? AND run_id = ? AND task_id = ? "
            "AND map_index = ? AND kind = 'event' AND origin = 'task' AND slot = ''",
            *task,
        )
        return json.loads(rows[0][0]) if rows else None

    def read_run(self, dag_id: str, run_id: str) -> dict[int, dict]:
        rows = self._airflow.read_ledger(
            "SELECT map_index, claim FROM service_hook_deliveries "
            "WHERE dag_id = ? AND run_id = ? AND kind <> 'slots' AND origin = 'task'",
            dag_id,
            run_id,
        )
        return {map_index: json.loads(claim) for map_index, claim in rows}

    def read_callbacks(self, task: TaskInstance) -> dict[str, dict]:
        rows = self._airflow.read_ledger(
            "SELECT slot, claim FROM service_hook_deliveries WHERE dag_id = ? AND run_id = ? AND task_id = ? "
            "AND coalesce(map_index, -1) = ? AND origin = 'callback'",
            *task,
        )
        return {slot: json.loads(claim) for slot, claim in rows}

    def settle(self, task: TaskInstance, client: str) -> None:
        """Run ``mark-delivered``: a user passes the number that ``list`` prints, a script passes the delivery id."""
        rows = self._airflow.read_ledger(
            "SELECT id, delivery_id FROM service_hook_deliveries WHERE dag_id = ? AND run_id = ? AND task_id = ? "
            "AND map_index = ? AND origin = 'task'",
            *task,
        )
        ((number, delivery_id),) = rows
        identifier = {"user": str(number), "script": delivery_id}[client]
        done = self._airflow.run_service_hooks("deliveries", "mark-delivered", identifier, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr


def _make_path(task: TaskInstance, rest: str) -> str:
    base = f"/api/v2/dags/{task.dag_id}/dagRuns/{task.run_id}/taskInstances/{task.task_id}"
    return f"{base}/{rest}?map_index={task.map_index}"
