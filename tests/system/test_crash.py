# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
At most once, under crashes: a real Airflow whose tasks and supervisors are killed at every point of a delivery.

``make test-crash`` runs every combination, on PostgreSQL and a part of them on SQLite; ``make test`` a short form.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.system.crash_receiver import CrashReceiver
from tests.system.database import read_rows
from tests.system.deployment import run_airflow
from tests.system.postgres import run_postgres
from tests.system.real_airflow import RealAirflow

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
LAST_TRY = list(itertools.product(POINTS, HOWS if FULL else HOWS[:1], ["answer"]))
"""Struck in the only try that there is; then a person clears the task."""


def make_trials(combinations, times=1, *, first=0):
    return {
        number: {"trial": number, "point": point, "how": how, "receiver": receiver}
        for number, (point, how, receiver) in enumerate(list(combinations) * times, start=first)
    }


@contextlib.contextmanager
def run_trials(home: Path, tmp_path: Path, trials: dict[str, dict[int, dict]], **environment: str):
    """Run an Airflow in which every trial of a Dag is a mapped task; give it, and what the receiver counts."""
    dags, pids = tmp_path / "dags", tmp_path / "pids"
    dags.mkdir()
    pids.mkdir()
    shutil.copy(Path(__file__).parent / "crash_dag.py", dags)
    receiver = CrashReceiver({number: trial for part in trials.values() for number, trial in part.items()}, pids)
    told = {
        dag_id: [
            {"trial": number, "port": receiver.port, "point": trial["point"], "how": trial["how"]}
            for number, trial in part.items()
        ]
        for dag_id, part in trials.items()
    }
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
            yield deployment, receiver
    finally:
        receiver.close()


def run_to_its_end(deployment, dag_id, trials):
    deployment.trigger(dag_id, "r1")
    return deployment.wait_for_run(dag_id, "r1", seconds=60 + 15 * len(trials))


def judge(trials, tasks, receiver, claims):
    """Print the table, and return what must not be; ``claims`` by the index of the mapped task."""
    rows, wrong = defaultdict(Counter), []
    states = {task["map_index"]: task["state"] for task in tasks}
    for index, (number, trial) in enumerate(trials.items()):
        touched, complete = receiver.touched[number], receiver.complete[number]
        claim = claims.get(index)
        outcome = claim["state"] if claim else "no record"
        row = rows[trial["point"], trial["how"]]
        row.update(["trials", f"received {min(touched, 2)}", outcome])
        told = f"{trial} received {touched} complete {complete} outcome {outcome} task {states.get(index)}"
        if touched > 1:
            wrong.append(f"received twice: {told}")
        if claim is None or claim["record"] is None or outcome == "claimed":
            wrong.append(f"without a record: {told}")
        elif (outcome == "not_sent" and touched) or (outcome == "delivered" and not complete):
            wrong.append(f"not true: {told}")
        if (states.get(index) == "success") != (outcome == "delivered"):
            wrong.append(f"the task says otherwise: {told}")
    lines = [f"{'crash point':<14} {'how':<16} {'trials':>6} {'received 0':>11} {'1':>5} {'2+':>5}   outcomes"]
    for (point, how), row in rows.items():
        outcomes = ", ".join(f"{name} {row[name]}" for name in OUTCOMES if row[name])
        counts = [row[f"received {count}"] for count in range(3)]
        numbers = f"{row['trials']:>6} {counts[0]:>11} {counts[1]:>5} {counts[2]:>5}"
        lines.append(f"{point:<14} {how:<16} {numbers}   {outcomes}")
    twice = sum(receiver.touched[number] > 1 for number in trials)
    print("", *lines, f"{len(trials)} trials, {twice} received twice, {len(wrong)} wrong", sep="\n")  # noqa: T201
    return wrong


def judge_cleared(trials, states, before, after, touched):
    """Print what came of the last tries and of the clears, and return what must not be."""
    wrong, lines = (
        [],
        [f"{'struck at, in the last try':<28} {'received':>8}  {'left as':<10} {'after a clear':>13}  told"],
    )
    for index, (number, trial) in enumerate(trials.items()):
        left, claim = before.get(index), after[index]
        first, second = touched[number]
        info = f"{claim['state']}, redelivery {claim['redelivery']}, task {states[index]}"
        title, state = f"{trial['point']} {trial['how']}", left["state"] if left else "no claim"
        lines.append(f"{title:<28} {first:>8}  {state:<10} {second:>13}  {info}")
        may_have_been_sent = left is not None and left["state"] != "not_sent"
        if first > 1 or second - first > 1:
            wrong.append(f"received twice for one asking: {trial} {first} {second}")
        if first and not may_have_been_sent:
            wrong.append(f"sent without a claim: {trial} {left}")
        if (claim["state"], claim["redelivery"], states[index]) != ("delivered", may_have_been_sent, "success"):
            wrong.append(f"the clear did not deliver, or says otherwise: {trial} {info}")
    print("", *lines, f"{len(trials)} last tries, {len(wrong)} wrong", sep="\n")  # noqa: T201
    return wrong


def strike_last_tries(deployment, receiver, trials, read_claims):
    """Strike tasks that have no retry left, clear them all, and judge both askings."""
    run_to_its_end(deployment, "last_try_dag", trials)
    before, first = read_claims("last_try_dag"), dict(receiver.touched)
    indexes = [["deliver", index] for index in range(len(trials))]
    assert deployment.clear("last_try_dag", "r1", indexes) == len(trials)
    tasks = deployment.wait_for_run("last_try_dag", "r1", seconds=60 + 15 * len(trials))
    touched = {number: (first.get(number, 0), receiver.touched[number]) for number in trials}
    states = {task["map_index"]: task["state"] for task in tasks}
    return judge_cleared(trials, states, before, read_claims("last_try_dag"), touched)


def test_no_event_is_received_twice_or_without_a_record_on_postgresql(migrated_home, tmp_path):
    trials = make_trials(EVERY, 3) if FULL else make_trials(SHORT)
    last_tries = make_trials(LAST_TRY, first=len(trials))
    with run_postgres() as url:
        home = tmp_path / "airflow"
        home.mkdir()
        database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False"}
        done = RealAirflow(home=home, environment=database).run("db", "migrate")
        assert done.returncode == 0, done.stdout + done.stderr

        def read_claims(dag_id):
            query = text("SELECT map_index, value FROM task_state_store WHERE dag_id = :dag_id")
            with create_engine(url).connect() as connection:
                rows = connection.execute(query, {"dag_id": dag_id}).fetchall()
            return {map_index: json.loads(value) for map_index, value in rows}

        both = {"crash_dag": trials, "last_try_dag": last_tries}
        with run_trials(home, tmp_path, both, **database) as (deployment, receiver):
            tasks = run_to_its_end(deployment, "crash_dag", trials)
            claims = read_claims("crash_dag")
            wrong = judge(trials, tasks, receiver, claims)
            wrong += strike_last_tries(deployment, receiver, last_tries, read_claims)
    assert wrong == []


@pytest.mark.skipif(not FULL, reason="the short form runs on PostgreSQL; 'make test-crash' runs both")
def test_no_event_is_received_twice_or_without_a_record_on_sqlite(airflow, tmp_path):
    trials = make_trials(SHORT)
    with run_trials(airflow.home, tmp_path, {"crash_dag": trials, "last_try_dag": {}}) as (deployment, receiver):
        tasks = run_to_its_end(deployment, "crash_dag", trials)
    rows = read_rows(airflow.home, "SELECT map_index, value FROM task_state_store")
    assert judge(trials, tasks, receiver, {map_index: json.loads(value) for map_index, value in rows}) == []
