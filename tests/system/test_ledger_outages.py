# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The PostgreSQL of the ledger crashes or is paused while tasks and callbacks of a real Airflow deliver.

The database of Airflow is on another server. The tests run only with ``-m crash``, and print a table.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ledgers import create_ledger
from tests.system.deployment import Deployment, run_airflow
from tests.system.postgres import Postgres, run_postgres
from tests.system.test_outages import Receiver

pytestmark = [pytest.mark.system, pytest.mark.crash, pytest.mark.timeout(3600)]

TASKS = 4
"""The number of tasks, and of callbacks, that deliver one event each in a run."""
FAULTS = {"crashed, 1 s": ("crash", 1), "crashed, 15 s": ("crash", 15), "paused, 20 s": ("pause", 20)}
"""The faults and their duration in seconds."""
POINTS = ("load", "claim", "record")
"""The statement that fails."""
STORM_TASKS, STORM_EVENTS, STORM_SECONDS = 4, 150, 45
"""The number of tasks, the events of each task, and how long the server crashes repeatedly in the meantime."""
DAGS = """
import os, time
from airflow.sdk import DAG, get_current_context, task
from airflow_provider_hooks.events import build_event_alert
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.ledger.claims import LedgerClaimStore
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

load, acquire = LedgerClaimStore.load, LedgerClaimStore.acquire

def wait(store, point):
    name = store._origin.run_id.partition("-")[0]
    if name == point:
        open(os.path.join(MARKS, store._key), "w").close()
        while not os.path.exists(os.path.join(MARKS, "down")):
            time.sleep(0.05)

def wait_and_load(self):
    wait(self, "load")
    return load(self)

def wait_and_acquire(self, expected, new):
    wait(self, "claim")
    acquire(self, expected, new)

LedgerClaimStore.load, LedgerClaimStore.acquire = wait_and_load, wait_and_acquire
OPTIONS = {"schedule": None, "is_paused_upon_creation": False, "max_active_tasks": 8}

with DAG("outage", **OPTIONS):
    for number in range(TASKS):
        DeliverEventAlertOperator(
            task_id=f"deliver-{number}", message="m", triggering_rules=["r"], event_id="{{ run_id }}-" + str(number)
        )

        @task(
            task_id=f"notify-{number}",
            on_success_callback=ServiceHookNotifier(event_id="{{ run_id }}-callback-" + str(number)),
        )
        def notify():
            pass

        notify()

with DAG("storm", **OPTIONS):
    @task
    def deliver_many(number):
        hook, context = EndpointHook(), get_current_context()
        fields = {"project": "p", "project_id": "p", "project_name": "p", "level": "info", "url": "https://example.com/"}
        for n in range(EVENTS):
            event = {"id": f"storm-{number}-{n}", "message": "m", **fields}
            hook.deliver(
                "event.alert", build_event_alert(event, triggering_rules=["r"]), context=context, slot=str(n)
            )

    deliver_many.expand(number=list(range(STORM_TASKS)))
"""


@dataclass(frozen=True)
class Environment:
    """An Airflow, the server of its ledger, and the receiver of its events."""

    airflow: Deployment
    server: Postgres
    receiver: Receiver
    marks: Path

    def count_states(self, run_id: str) -> Counter[tuple[str, str]]:
        """Count the claims of a run by origin and state."""
        query = "SELECT origin, state FROM service_hook_deliveries WHERE run_id = ?"
        return Counter(self.airflow.read_ledger(query, run_id))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder, receiver = tmp_path_factory.mktemp("ledger_outages"), Receiver()
    marks = folder / "marks"
    for path in (folder / "dags", folder / "home", marks):
        path.mkdir()
    numbers = {"STORM_TASKS": STORM_TASKS, "EVENTS": STORM_EVENTS, "TASKS": TASKS}
    text = "\n".join([*(f"{name} = {value}" for name, value in numbers.items()), f"MARKS = {str(marks)!r}", DAGS])
    (folder / "dags" / "ledger_outages.py").write_text(text)
    connection = {"conn_type": "service_hook", "host": receiver.url, "password": "a-secret-of-ours"}
    settings = {
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        "AIRFLOW__SERVICE_HOOKS__TIMEOUT": "120",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",  # with the default, tasks fail to start on a busy machine
        "AIRFLOW_CONN_SERVICE_HOOK_DEFAULT": json.dumps(connection),
    }
    with contextlib.closing(receiver.server.socket), run_postgres() as metadata, run_postgres() as server:
        ledger = create_ledger(server)
        with run_airflow(folder / "home", folder / "dags", url=metadata.url, ledger=ledger, **settings) as airflow:
            yield Environment(airflow, server, receiver, marks)


def start_fault(environment: Environment, fault: str) -> None:
    if fault == "crash":
        environment.server.crash()
    else:
        environment.server.signal(signal.SIGSTOP)


def end_fault(environment: Environment, fault: str) -> None:
    if fault == "crash":
        environment.server.start()
    else:
        environment.server.signal(signal.SIGCONT)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("point", POINTS)
def test_events_and_outcomes_survive_an_outage_of_the_ledger(environment, name, point):
    fault, seconds = FAULTS[name]
    run_id, received, total = f"{point}-{fault}-{seconds}", environment.receiver.received, 2 * TASKS
    for mark in environment.marks.iterdir():
        mark.unlink()
    environment.receiver.may_respond.clear()
    environment.airflow.trigger("outage", run_id)

    def list_received() -> list[int]:
        return [count for event_id, count in received.items() if event_id.startswith(f"{run_id}-")]

    if point == "record":
        environment.airflow.wait_until("every request", lambda: len(list_received()) == total)
    else:
        environment.airflow.wait_until("every claim", lambda: len(list(environment.marks.iterdir())) == total)
    start_fault(environment, fault)
    environment.receiver.may_respond.set()
    (environment.marks / "down").touch()
    time.sleep(seconds)
    end_fault(environment, fault)
    ended_at = time.monotonic()
    tasks = environment.airflow.wait_for_run("outage", run_id)
    expected = {("task", "delivered"): TASKS, ("callback", "delivered"): TASKS}
    environment.airflow.wait_until("every outcome", lambda: environment.count_states(run_id) == expected)
    states = Counter(f"{task['state']} in try {task['try_number']}" for task in tasks)
    print(  # noqa: T201
        f"\n{name}, {point}: received {dict(Counter(list_received()))}, {dict(states)}, "
        f"all stored {time.monotonic() - ended_at:.0f} s after the outage",
        flush=True,
    )
    assert list_received() == [1] * total
    assert states == {"success in try 1": total}


def test_repeated_crashes_of_the_ledger_lose_and_repeat_no_event(environment):
    environment.receiver.may_respond.set()
    chance, crashes = random.SystemRandom(), 0
    environment.airflow.trigger("storm", "storm")
    received = environment.receiver.received
    environment.airflow.wait_until("a request", lambda: any(name.startswith("storm") for name in received))
    began = time.monotonic()
    while time.monotonic() - began < STORM_SECONDS:
        time.sleep(chance.uniform(0, 1.5))
        environment.server.crash()
        environment.server.start()
        crashes += 1
    states = Counter(task["state"] for task in environment.airflow.wait_for_run("storm", "storm"))
    counts = Counter(count for name, count in received.items() if name.startswith("storm"))
    claims = environment.count_states("storm")
    print(f"\n{crashes} crashes: received {dict(counts)}, {dict(states)}, {dict(claims)}", flush=True)  # noqa: T201
    assert counts == {1: STORM_TASKS * STORM_EVENTS}
    assert claims == {("task", "delivered"): STORM_TASKS * STORM_EVENTS}
    assert states == {"success": STORM_TASKS}
