# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Dags for ``test_ledger.py``: callbacks that are killed and called again, an event of several Dags, a deleted run.

This file is copied into the Dags folder of a real Airflow, next to a JSON file with the trials of the callbacks.
"""

from __future__ import annotations

import copy
import json
import os
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.ledger.claims import LedgerClaimStore
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators.delivery import DeliverEventOperator

TRIALS = json.loads(Path(__file__).with_suffix(".json").read_text())
LATE = DeadlineReference.FIXED_DATETIME(datetime(2026, 1, 1, tzinfo=timezone.utc))


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """Kill this process when a delivery reaches a point; at the other points the receiver kills it."""
    acquire, save, send_on = LedgerClaimStore.acquire, LedgerClaimStore.save, Engine._send_on

    def armed_acquire(self, expected, new):
        if point == "before_claim":
            kill()
        acquire(self, expected, new)
        if point == "after_claim":
            kill()

    def armed_send_on(self, *arguments):
        if point == "connected":
            kill()
        return send_on(self, *arguments)

    def armed_save(self, claim):
        if point == "after_answer":
            kill()
        save(self, claim)
        if point == "recorded":
            kill()

    LedgerClaimStore.acquire, LedgerClaimStore.save, Engine._send_on = armed_acquire, armed_save, armed_send_on


class KilledNotifier(ServiceHookNotifier):
    """
    Runs twice for each call: first in a child process, which is killed at the point of the trial.

    Airflow may call it once more, such as in the Dag processor if the result of the first call was lost.
    """

    def __init__(self, *, kind: str, context=None):
        super().__init__(context=context)
        self.kind = kind

    def __call__(self, *args):
        ti, run = args[0].get("ti"), args[0]["dag_run"]
        run_id = run["dag_run_id"] if isinstance(run, dict) else run.run_id
        is_mapped = ti is not None and "reason" not in args[0] and ti.map_index >= 0
        trial = TRIALS["kinds"][self.kind][ti.map_index if is_mapped else int(run_id)]
        notifier = copy.copy(self)
        notifier.service_hook_conn_id = f"killed_{trial['trial']}"
        # A callback that an executor runs cannot read connections from the database.
        url = f"http://127.0.0.1:{TRIALS['port']}/{trial['trial']}"
        endpoint = {"conn_type": "service_hook", "host": url, "password": "s3cret-of-ours", "extra": {"timeout": 2}}
        os.environ[f"AIRFLOW_CONN_{notifier.service_hook_conn_id.upper()}"] = json.dumps(endpoint)
        pids = Path(TRIALS["pids"]) / str(trial["trial"])
        if not pids.exists():
            self._run_and_kill(notifier, args, trial["point"], pids)
        ServiceHookNotifier.__call__(notifier, *args)

    @staticmethod
    def _run_and_kill(notifier, args, point, pids):
        child = os.fork()
        if not child:
            pids.write_text(f"{os.getpid()} {os.getpid()}")
            arm(point)
            try:
                ServiceHookNotifier.__call__(notifier, *args)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        pids.with_suffix(".status").write_text(str(os.waitstatus_to_exitcode(status)))


def new_dag(dag_id, **options):
    return DAG(dag_id, schedule=None, is_paused_upon_creation=False, max_active_runs=16, **options)


@task
def fail():
    raise ValueError("no orders")


@task
def succeed():
    """Do nothing."""


@task
def skip():
    raise AirflowSkipException


@task
def lose_heartbeat():
    os.kill(os.getppid(), signal.SIGKILL)
    kill()


for kind, function, argument in (
    ("failure", fail, "on_failure_callback"),
    ("retry", fail.override(retries=1, retry_delay=timedelta(minutes=2)), "on_retry_callback"),
    ("success", succeed, "on_success_callback"),
    ("skipped", skip, "on_skipped_callback"),
    ("lost", lose_heartbeat, "on_failure_callback"),
):
    with new_dag(f"killed_{kind}"):
        notified = function.override(**{argument: KilledNotifier(kind=kind)})
        notified.partial().expand_kwargs([{} for _ in TRIALS["kinds"][kind]])

with new_dag("killed_dag_failure", on_failure_callback=KilledNotifier(kind="dag_failure")):
    fail()

with new_dag("killed_dag_success", on_success_callback=KilledNotifier(kind="dag_success")):
    succeed()

with new_dag(
    "killed_deadline",
    deadline=DeadlineAlert(
        reference=LATE, interval=timedelta(0), callback=SyncCallback(KilledNotifier, {"kind": "deadline"})
    ),
):
    succeed()

with new_dag(
    "killed_triggerer",
    deadline=DeadlineAlert(
        reference=LATE,
        interval=timedelta(0),
        callback=AsyncCallback(ServiceHookNotifier, {"service_hook_conn_id": "killed_triggerer"}),
    ),
):
    succeed()

for dag_id in ("once_a", "once_b"):
    with new_dag(dag_id):
        DeliverEventOperator(
            task_id="deliver",
            event_type="orders.loaded",
            data={"orders": 12},
            event_id="orders-of-the-day",
            service_hook_conn_id="{{ params.endpoint }}",
            once="event",
            retries=2,
            retry_delay=timedelta(seconds=1),
            params={"endpoint": ""},
        )

with new_dag("deleted"):
    DeliverEventOperator(
        task_id="deliver",
        event_type="orders.loaded",
        data={"orders": 12},
        service_hook_conn_id="{{ params.endpoint }}",
        params={"endpoint": ""},
    )
