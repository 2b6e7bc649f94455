# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
An API server that is killed while tasks deliver, and started again: what the tasks know is not lost.

Without ``-m crash`` this does not run. It prints a table.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.system.deployment import Deployment, run_airflow
from tests.system.real_airflow import RealAirflow

pytestmark = [pytest.mark.system, pytest.mark.crash, pytest.mark.timeout(3600)]

TASKS = 4
POINTS = ("read back", "record")
"""Which call to the state store finds no server."""
AWAY_SECONDS = (6, 35, 75)
MAX_AWAY_SECONDS = 45
"""How long a task outlives its API server by Airflow's defaults."""
DAG = """
import os, time
from airflow.sdk import DAG
from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

save = TaskStateClaimStore.save

def save_and_wait(self, claim):
    save(self, claim)
    ti = claim.info.event_id
    if claim.state == "claimed" and "read-back" in ti and claim.try_number == 1:
        open(os.path.join(MARKS, ti), "w").close()
        while not os.path.exists(os.path.join(MARKS, "killed")):
            time.sleep(0.05)

TaskStateClaimStore.save = save_and_wait

with DAG("outage", schedule=None, is_paused_upon_creation=False, params={"name": ""}):
    for number in range(TASKS):
        DeliverEventAlertOperator(
            task_id=f"deliver-{number}", message="m", triggering_rules=["r"], retries=2, retry_delay=1,
            event_id="{{ params.name }}-" + str(number),
        )
"""


class Receiver:
    """Counts requests by event, and holds those of the point ``record`` back until the API server is dead."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.is_dead = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.received[event["id"]] += 1
                if event["id"].startswith("record"):
                    receiver.is_dead.wait(100)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def restart(deployment: Deployment, *, away: float) -> None:
    """Start the API server again after some seconds, and wait until it answers."""
    time.sleep(away)
    deployment.start("api-server")
    deployment.wait_until("the API server", lambda: deployment.call("GET", "/api/v2/version").ok)


def kill(deployment: Deployment) -> None:
    os.killpg(deployment.processes["api-server"].pid, signal.SIGKILL)
    deployment.processes["api-server"].wait()


@pytest.mark.parametrize("away", AWAY_SECONDS)
def test_what_a_task_knows_outlives_the_api_server(tmp_path, away):
    receiver, marks = Receiver(), tmp_path / "marks"
    (tmp_path / "dags").mkdir()
    marks.mkdir()
    text = DAG.replace("MARKS", repr(str(marks))).replace("range(TASKS)", f"range({TASKS})")
    (tmp_path / "dags" / "outage.py").write_text(text)
    home = tmp_path / "home"
    home.mkdir()
    RealAirflow(home=home).migrate()
    connection = {"conn_type": "service_hook", "host": receiver.url, "password": "a-secret-of-ours"}
    with (
        contextlib.closing(receiver.server.socket),
        run_airflow(
            home,
            tmp_path / "dags",
            AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS="127.0.0.1",
            AIRFLOW__SERVICE_HOOKS__TIMEOUT="120",
            # By default a supervisor ends its task after three failed heartbeats, which is before 75 s.
            AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS="3" if away < MAX_AWAY_SECONDS else "100",
            AIRFLOW_CONN_SERVICE_HOOK_DEFAULT=json.dumps(connection),
        ) as deployment,
    ):
        for point in POINTS:
            name = point.replace(" ", "-")
            receiver.is_dead.clear()
            deployment.trigger("outage", name, conf={"name": name})
            if point == "record":
                deployment.wait_until("requests", lambda: sum(receiver.received.values()) >= 2 * TASKS)
            else:
                deployment.wait_until("claims", lambda: len(list(marks.iterdir())) == TASKS)
            kill(deployment)
            receiver.is_dead.set()
            (marks / "killed").touch()
            restart(deployment, away=away)
            tasks = deployment.wait_for_run("outage", name, seconds=900)
            counts = [receiver.received[f"{name}-{number}"] for number in range(TASKS)]
            states = Counter(f"{task['state']} in try {task['try_number']}" for task in tasks)
            print(f"\n{point}, away for {away} s: received {counts}, {dict(states)}")  # noqa: T201
            assert max(counts) <= 1, "never twice"
            assert counts == [1] * TASKS
            assert {task["state"] for task in tasks} == {"success"}
