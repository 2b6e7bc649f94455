# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The Dags of the crash suite: deliver as anybody would, and end their own process at one point of the first try.

Copied into the Dags folder of a real Airflow under the name of a run of trials, next to a file of JSON with the trials.
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


def strike(how: str) -> None:
    """End this process, or its supervisor, or have it asked to end."""
    if how == "kill_supervisor":
        if os.getppid() > 1:
            os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.2)  # what lives on goes on without it
    elif how == "error":
        raise ConnectionError("the database is gone")
    else:
        os.kill(os.getpid(), signal.SIGKILL if how == "kill_task" else signal.SIGTERM)


def arm(point: str, how: str) -> None:
    """Have the process struck when it comes to a point of a delivery, once."""
    send_on = Engine._send_on

    def armed_send_on(self, *arguments):
        if point == "connected":
            strike(how)
        return send_on(self, *arguments)

    Engine._send_on = armed_send_on
    for kind in (TaskStateClaimStore, LedgerClaimStore):
        arm_store(kind, point, how)


def arm_store(kind: type, point: str, how: str) -> None:
    """Have the process struck when it claims or records a delivery in a store of this kind."""
    acquire, save = kind.acquire, kind.save
    acquiring = []

    def armed_acquire(self, expected, new):
        if point == "before_claim":
            strike(how)
        acquiring.append(True)
        acquire(self, expected, new)
        acquiring.pop()
        if point == "after_claim":
            strike(how)

    def armed_save(self, claim):
        if acquiring:
            save(self, claim)
            return
        if point == "after_answer":
            strike(how)
        save(self, claim)
        if point == "recorded":
            strike(how)

    kind.acquire, kind.save = armed_acquire, armed_save


class CrashingOperator(DeliverEventCreatedOperator):
    """Delivers to the receiver of one trial, whose own doing may be to strike."""

    def __init__(self, *, trial, point, how, port, **kwargs):
        super().__init__(event_id=f"trial-{trial}", message="A trial", **kwargs)
        self.trial, self.point, self.how, self.port = trial, point, how, port

    def execute(self, context):
        """Deliver; on the first try come to an end on the way."""
        url = f"http://127.0.0.1:{self.port}/{self.trial}"
        endpoint = {"conn_type": "service_hook", "host": url, "password": "s3cret-of-ours", "extra": {"timeout": 5}}
        os.environ[f"AIRFLOW_CONN_TRIAL_{self.trial}"] = json.dumps(endpoint)
        self.service_hook_conn_id = f"trial_{self.trial}"
        first = context["ti"].try_number == 1
        (PIDS / str(self.trial)).write_text(f"{os.getpid()} {os.getppid()}" if first else "")
        if first:
            arm(self.point, self.how)
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
