# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The Dags of the crash suite: deliver an event, and inject a fault at one point of the first try.

This file is copied into the Dags folder of a real Airflow, next to a JSON file of the same name with the trials.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.ledger.claims import LedgerClaimStore
from airflow_provider_hooks.operators.delivery import DeliverEventCreatedOperator

TRIALS = json.loads(Path(__file__).with_suffix(".json").read_text())
PIDS = Path(TRIALS["pids"])


def inject(fault: str) -> None:
    """Kill or terminate this process, kill its supervisor, or raise an error."""
    if fault == "kill_supervisor":
        if os.getppid() > 1:
            os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.2)  # the task goes on without its supervisor
    elif fault == "error":
        raise ConnectionError("the database is gone")
    else:
        os.kill(os.getpid(), signal.SIGKILL if fault == "kill_task" else signal.SIGTERM)


def arm(point: str, fault: str) -> None:
    """Inject a fault when a delivery reaches a point."""
    send_on = Engine._send_on

    def armed_send_on(self, *arguments):
        if point == "connected":
            inject(fault)
        return send_on(self, *arguments)

    Engine._send_on = armed_send_on
    for store_class in (TaskStateClaimStore, LedgerClaimStore):
        arm_store(store_class, point, fault)


def arm_store(store_class: type, point: str, fault: str) -> None:
    """Inject a fault when a delivery is claimed or recorded in a store of this class."""
    acquire, save = store_class.acquire, store_class.save
    acquiring = []

    def armed_acquire(self, expected, new):
        if point == "before_claim":
            inject(fault)
        acquiring.append(True)
        acquire(self, expected, new)
        acquiring.pop()
        if point == "after_claim":
            inject(fault)

    def armed_save(self, claim):
        if acquiring:
            save(self, claim)
            return
        if point == "after_answer":
            inject(fault)
        save(self, claim)
        if point == "recorded":
            inject(fault)

    store_class.acquire, store_class.save = armed_acquire, armed_save


class CrashingOperator(DeliverEventCreatedOperator):
    """Delivers the event of one trial; the receiver injects the faults of some points."""

    def __init__(self, *, trial, point, fault, port, **kwargs):
        super().__init__(event_id=f"trial-{trial}", message="A trial", **kwargs)
        self.trial, self.point, self.fault, self.port = trial, point, fault, port

    def execute(self, context):
        """Deliver, and inject the fault in the first try."""
        url = f"http://127.0.0.1:{self.port}/{self.trial}"
        endpoint = {"conn_type": "service_hook", "host": url, "password": "s3cret-of-ours", "extra": {"timeout": 5}}
        os.environ[f"AIRFLOW_CONN_TRIAL_{self.trial}"] = json.dumps(endpoint)
        self.service_hook_conn_id = f"trial_{self.trial}"
        is_first = context["ti"].try_number == 1
        (PIDS / str(self.trial)).write_text(f"{os.getpid()} {os.getppid()}" if is_first else "")
        if is_first:
            arm(self.point, self.fault)
        return super().execute(context)


for kind, retries in (("first", 3), ("last", 0), ("again", 3)):
    with DAG(f"{Path(__file__).stem}_{kind}", schedule=None):
        CrashingOperator.partial(
            task_id="deliver",
            guarantee="at_least_once" if kind == "again" else "at_most_once",
            retries=retries,
            retry_delay=timedelta(seconds=1),
            max_retry_delay=timedelta(seconds=1),
        ).expand_kwargs(TRIALS[kind])
