# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Outages of the API server and the database of Airflow, and lost calls: events and outcomes survive them.

The tests run only with ``-m crash``, and print a table.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.system.deployment import Deployment, run_airflow
from tests.system.postgres import Postgres, run_postgres
from tests.versions import needs_task_state_store

pytestmark = [pytest.mark.system, pytest.mark.crash, pytest.mark.timeout(3600), needs_task_state_store]

TASKS = 4
POINTS = ("read back", "record")
"""The call to the task state store that fails."""
FAULTS = {
    "API server killed, 6 s": ("kill", 6),
    "API server killed, 35 s": ("kill", 35),
    "API server killed, 75 s": ("kill", 75),
    "API server paused, 12 s": ("pause", 12),
    "PostgreSQL crashed, 1 s": ("crash database", 1),
    "PostgreSQL paused, 20 s": ("pause database", 20),
}
"""The faults and their duration in seconds."""
MAX_OUTAGE_SECONDS = 45
"""How long a task survives an outage of the API server with Airflow's defaults."""
LOST_REQUESTS, LOST_RESPONSES, LOSSY_TASKS = 0.3, 0.35, 40
"""The share of lost requests to the task state store, and of lost responses to the others; the number of tasks."""
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
    """Counts requests by event, and responds to those of the point ``record`` only after the fault has started."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.may_respond = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.received[event["id"]] += 1
                if event["id"].startswith("record"):
                    receiver.may_respond.wait(100)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def start_fault(fault: str, deployment: Deployment, postgres: Postgres) -> None:
    server = deployment.processes["api-server"]
    if fault == "kill":
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    elif fault == "pause":
        os.killpg(server.pid, signal.SIGSTOP)
    elif fault == "crash database":
        postgres.crash()
    else:
        postgres.signal(signal.SIGSTOP)


def end_fault(fault: str, deployment: Deployment, postgres: Postgres) -> None:
    """End the fault, restart the components that exited, and wait until the API server responds."""
    deployment.restarts = "database" in fault  # the scheduler and the Dag processor exit without a database
    if fault == "pause":
        os.killpg(deployment.processes["api-server"].pid, signal.SIGCONT)
    elif fault == "crash database":
        postgres.start()
    elif fault == "pause database":
        postgres.signal(signal.SIGCONT)
    elif fault == "kill":
        deployment.start("api-server")
    deployment.wait_until("the API server", lambda: deployment.call("GET", "/api/v2/dags").ok)


@contextlib.contextmanager
def run_outage(
    tmp_path: Path, receiver: Receiver, postgres: Postgres, *, tasks: int, **environment: str
) -> Iterator[Deployment]:
    """Run an Airflow with the Dag of this module."""
    marks, home = tmp_path / "marks", tmp_path / "home"
    for folder in (tmp_path / "dags", marks, home):
        folder.mkdir()
    text = DAG.replace("MARKS", repr(str(marks))).replace("range(TASKS)", f"range({tasks})")
    (tmp_path / "dags" / "outage.py").write_text(text)
    connection = {"conn_type": "service_hook", "host": receiver.url, "password": "a-secret-of-ours"}
    settings = {
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        "AIRFLOW__SERVICE_HOOKS__TIMEOUT": "120",
        "AIRFLOW_CONN_SERVICE_HOOK_DEFAULT": json.dumps(connection),
        **environment,
    }
    with (
        contextlib.closing(receiver.server.socket),
        run_airflow(home, tmp_path / "dags", url=postgres.url, **settings) as deployment,
    ):
        yield deployment


def check_run(deployment: Deployment, receiver: Receiver, title: str, name: str, tasks: int) -> None:
    """Wait for a run, print its results, and check that every event was received once and every task succeeded."""
    found = deployment.wait_for_run("outage", name, seconds=900)
    counts = Counter(receiver.received[f"{name}-{number}"] for number in range(tasks))
    states = Counter(f"{task['state']} in try {task['try_number']}" for task in found)
    print(f"\n{title}: received {dict(counts)}, {dict(states)}", flush=True)  # noqa: T201
    assert counts == {1: tasks}
    assert {task["state"] for task in found} == {"success"}


@pytest.mark.parametrize("name", FAULTS)
def test_events_and_outcomes_survive_an_outage(tmp_path, name):
    fault, seconds = FAULTS[name]
    receiver = Receiver()
    # By default a supervisor kills its task after three failed heartbeats, which is earlier than 75 s.
    heartbeats = {"AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "3" if seconds < MAX_OUTAGE_SECONDS else "100"}
    with (
        run_postgres() as postgres,
        run_outage(tmp_path, receiver, postgres, tasks=TASKS, **heartbeats) as deployment,
    ):
        for point in POINTS:
            run_id = point.replace(" ", "-")
            marks = tmp_path / "marks"
            receiver.may_respond.clear()
            (marks / "killed").unlink(missing_ok=True)
            deployment.trigger("outage", run_id, conf={"name": run_id})
            if point == "record":
                deployment.wait_until("requests", lambda: sum(receiver.received.values()) >= 2 * TASKS)
            else:
                deployment.wait_until("claims", lambda marks=marks: len(list(marks.iterdir())) == TASKS)
            start_fault(fault, deployment, postgres)
            receiver.may_respond.set()
            (marks / "killed").touch()
            time.sleep(seconds)
            end_fault(fault, deployment, postgres)
            check_run(deployment, receiver, f"{name}, {point}", run_id, TASKS)


class LossyProxy:
    """Forwards calls of tasks to the API server, and loses some requests to the task state store, or the responses."""

    def __init__(self) -> None:
        self.target = ""
        self.lost: Counter[str] = Counter()
        proxy, chance, lock = self, random.Random(1), threading.Lock()  # noqa: S311  (not for security)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                is_store = "/store/" in self.path
                with lock:
                    loses_request = is_store and chance.random() < LOST_REQUESTS
                    loses_response = is_store and chance.random() < LOST_RESPONSES
                if loses_request:
                    self.lose("requests")
                    return
                headers = {name: text for name, text in self.headers.items() if name.lower() != "host"}
                response = requests.request(
                    self.command, proxy.target + self.path, headers=headers, data=body, timeout=60
                )
                if loses_response:
                    self.lose("responses")
                    return
                self.send_response(response.status_code)
                for name in ("Content-Type", "airflow-api-version", "Refreshed-API-Token"):
                    if name in response.headers:
                        self.send_header(name, response.headers[name])
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

            def lose(self, message: str) -> None:
                with lock:
                    proxy.lost[message] += 1
                self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = forward  # noqa: N815

            def log_message(self, *_args: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_lost_calls_to_the_task_state_store_lose_no_event(tmp_path):
    receiver, proxy = Receiver(), LossyProxy()
    receiver.may_respond.set()
    execution = {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{proxy.url}/execution/"}
    with (
        contextlib.closing(proxy.server.socket),
        run_postgres() as postgres,
        run_outage(tmp_path, receiver, postgres, tasks=LOSSY_TASKS, **execution) as deployment,
    ):
        proxy.target = deployment.url
        deployment.trigger("outage", "lossy", conf={"name": "lossy"})
        check_run(deployment, receiver, "calls lost", "lossy", LOSSY_TASKS)
        print(f"lost: {dict(proxy.lost)}", flush=True)  # noqa: T201
        assert min(proxy.lost["requests"], proxy.lost["responses"]) > LOSSY_TASKS / 2
