# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
At most once, under crashes: a real Airflow whose tasks and supervisors are killed at every point of a delivery.

``make test-crash`` runs every combination, on PostgreSQL and a part of them on SQLite; ``make test`` a short form.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from conftest import RealAirflow
from crash_receiver import CrashReceiver
from database import read_rows
from deployment import run_airflow
from postgres import run_postgres
from sqlalchemy import create_engine, text

pytestmark = pytest.mark.system

POINTS = ("before_claim", "after_claim", "connected", "mid_request", "after_request", "after_answer", "recorded")
HOWS = ("kill_task", "kill_supervisor", "term_task")
RECEIVERS = ("answer", "drop", "delay", "reset")
OUTCOMES = ("delivered", "unknown", "rejected", "not_sent", "claimed", "no record")
FULL = os.environ.get("CRASH_TRIALS_WANTED") == "full"

EVERY = [*itertools.product(POINTS, HOWS, RECEIVERS), *itertools.product(["after_answer"], ["error"], RECEIVERS)]
SHORT = [
    (point, how, RECEIVERS[number % len(RECEIVERS)])
    for number, (point, how) in enumerate([*itertools.product(POINTS, HOWS), ("after_answer", "error")])
]


def make_trials(combinations, times):
    return {
        number: {"trial": number, "point": point, "how": how, "receiver": receiver}
        for number, (point, how, receiver) in enumerate(list(combinations) * times)
    }


def run_trials(home: Path, tmp_path: Path, trials: dict[int, dict], *, seconds: float, **environment: str):
    """Run every trial as a mapped task; return the task instances, and what the receiver counted."""
    dags, pids = tmp_path / "dags", tmp_path / "pids"
    dags.mkdir()
    pids.mkdir()
    shutil.copy(Path(__file__).parent / "crash_dag.py", dags)
    receiver = CrashReceiver(trials, pids)
    told = [
        {"trial": number, "port": receiver.port, "point": trial["point"], "how": trial["how"]}
        for number, trial in trials.items()
    ]
    (tmp_path / "trials.json").write_text(json.dumps(told))
    try:
        with run_airflow(
            home,
            dags,
            CRASH_TRIALS=str(tmp_path / "trials.json"),
            CRASH_PIDS=str(pids),
            AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS="127.0.0.1",
            AIRFLOW__SERVICE_HOOKS__TIMEOUT="5",
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT="20",
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL="5",
            **environment,
        ) as deployment:
            deployment.trigger("crash_dag", "r1")
            tasks = deployment.wait_for_run("crash_dag", "r1", seconds=seconds)
    finally:
        receiver.close()
    return tasks, receiver


def judge(trials, tasks, receiver, claims):
    """Print the table, and return what must not be."""
    rows, wrong = defaultdict(Counter), []
    states = {task["map_index"]: task["state"] for task in tasks}
    for number, trial in trials.items():
        touched, complete = receiver.touched[number], receiver.complete[number]
        claim = claims.get(number)
        outcome = claim["state"] if claim else "no record"
        row = rows[trial["point"], trial["how"]]
        row.update(["trials", f"received {min(touched, 2)}", outcome])
        told = f"{trial} received {touched} complete {complete} outcome {outcome} task {states.get(number)}"
        if touched > 1:
            wrong.append(f"received twice: {told}")
        if claim is None or claim["record"] is None or outcome == "claimed":
            wrong.append(f"without a record: {told}")
        elif (outcome == "not_sent" and touched) or (outcome == "delivered" and not complete):
            wrong.append(f"not true: {told}")
        if (states.get(number) == "success") != (outcome == "delivered"):
            wrong.append(f"the task says otherwise: {told}")
    lines = [f"{'crash point':<14} {'how':<16} {'trials':>6} {'received 0':>11} {'1':>5} {'2+':>5}   outcomes"]
    for (point, how), row in rows.items():
        outcomes = ", ".join(f"{name} {row[name]}" for name in OUTCOMES if row[name])
        counts = [row[f"received {count}"] for count in range(3)]
        numbers = f"{row['trials']:>6} {counts[0]:>11} {counts[1]:>5} {counts[2]:>5}"
        lines.append(f"{point:<14} {how:<16} {numbers}   {outcomes}")
    twice = sum(count > 1 for count in receiver.touched.values())
    print("", *lines, f"{len(trials)} trials, {twice} received twice, {len(wrong)} wrong", sep="\n")  # noqa: T201
    return wrong


def test_no_event_is_received_twice_or_without_a_record_on_postgresql(migrated_home, tmp_path):
    trials = make_trials(EVERY, 3) if FULL else make_trials(SHORT, 1)
    with run_postgres() as url:
        home = tmp_path / "airflow"
        home.mkdir()
        database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False"}
        done = RealAirflow(home=home, environment=database).run("db", "migrate")
        assert done.returncode == 0, done.stdout + done.stderr
        tasks, receiver = run_trials(home, tmp_path, trials, seconds=60 + 10 * len(trials), **database)
        with create_engine(url).connect() as connection:
            rows = connection.execute(text("SELECT map_index, value FROM task_state_store")).fetchall()
    claims = {map_index: json.loads(value) for map_index, value in rows}
    assert judge(trials, tasks, receiver, claims) == []


@pytest.mark.skipif(not FULL, reason="the short form runs on PostgreSQL; 'make test-crash' runs both")
def test_no_event_is_received_twice_or_without_a_record_on_sqlite(airflow, tmp_path):
    trials = make_trials(SHORT, 1)
    tasks, receiver = run_trials(airflow.home, tmp_path, trials, seconds=60 + 15 * len(trials))
    rows = read_rows(airflow.home, "SELECT map_index, value FROM task_state_store")
    assert judge(trials, tasks, receiver, {map_index: json.loads(value) for map_index, value in rows}) == []
