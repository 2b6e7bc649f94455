# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
At most once for streams, under crashes: a real Airflow on PostgreSQL whose tasks are struck while they deliver files.

``make test-crash`` runs 100 trials of 10,000 events, struck at random; ``make test`` a short form. ``CRASH_SEED``
repeats the choices of a run, whose seed is printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import time
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.system.deployment import run_airflow
from tests.system.postgres import run_postgres
from tests.system.real_airflow import RealAirflow
from tests.system.stream_crash_check import Found, describe, judge, read_hits
from tests.system.stream_crash_receiver import ReceiverProcess
from tests.system.stream_crash_trials import SHORT, choose_combinations, make_trials, write_events

FULL = os.environ.get("CRASH_TRIALS_WANTED") == "full"
TRIALS, EVENTS = (100, 10_000) if FULL else (len(SHORT), 2_000)
DAG_ID, RUN_ID = "stream_crash_dag", "r1"
HERE = Path(__file__).parent


def prepare(home: Path, seed: int) -> list[dict]:
    """Choose the trials, and write their files."""
    chance = random.Random(seed)  # noqa: S311  (chance, not a secret)
    combinations = choose_combinations(chance, TRIALS) if FULL else SHORT
    trials = make_trials(combinations, chance, events=EVENTS, home=home)
    for trial in trials:
        write_events(trial)
    for name in ("dags", "marks", "airflow"):
        (home / name).mkdir()
    shutil.copy(HERE / "stream_crash_dag.py", home / "dags")
    return trials


@contextlib.contextmanager
def run_receiver(home: Path, trials: list[dict]):
    receiver = ReceiverProcess({trial["number"]: trial for trial in trials}, home)
    try:
        yield receiver
    finally:
        receiver.stop()


def run_trials(home: Path, trials: list[dict], port: int, database: dict[str, str]) -> dict[int, dict]:
    """Run every trial as a mapped task, and return the task instances once nothing is under way any more."""
    (home / "trials.json").write_text(json.dumps({"port": port, "trials": trials}))
    with run_airflow(
        home / "airflow",
        home / "dags",
        CRASH_TRIALS=str(home / "trials.json"),
        CRASH_MARKS=str(home / "marks"),
        CRASH_STRIKER=str(HERE / "stream_crash_killer.py"),
        AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS="127.0.0.1",
        AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT="20" if FULL else "12",
        AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL="2",
        **database,
    ) as deployment:
        deployment.trigger(DAG_ID, RUN_ID)
        tasks = deployment.wait_for_run(DAG_ID, RUN_ID, seconds=120 + 30 * len(trials))
        time.sleep(5)  # for those that lost their supervisor, or slept, and go on
    return {task["map_index"]: task for task in tasks}


def read_by_index(url: str, query: str) -> dict[int, dict]:
    """Return what the database keeps for each mapped task."""
    with create_engine(url).connect() as connection:
        rows = connection.execute(text(query), {"dag_id": DAG_ID}).fetchall()
    return {map_index: json.loads(value) if isinstance(value, str) else value for map_index, value in rows}


def test_no_event_of_a_stream_is_received_twice_or_without_a_true_record(tmp_path):
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(10**9))
    print(f"\nCRASH_SEED={seed}")  # noqa: T201
    trials = prepare(tmp_path, seed)
    with run_postgres() as url:
        database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False"}
        done = RealAirflow(home=tmp_path / "airflow", environment=database).run("db", "migrate")
        assert done.returncode == 0, done.stdout + done.stderr
        began = time.monotonic()
        with run_receiver(tmp_path, trials) as receiver:
            tasks = run_trials(tmp_path, trials, receiver.port, database)
        seconds = time.monotonic() - began
        claims = read_by_index(url, "SELECT map_index, value FROM task_state_store WHERE dag_id = :dag_id")
        told = read_by_index(url, "SELECT map_index, value FROM xcom WHERE dag_id = :dag_id AND key = 'return_value'")
    received = receiver.read()
    all_found = []
    for index, trial in enumerate(trials):
        hits = read_hits(tmp_path / "marks", trial)
        found = Found(trial=trial, claim=claims[index], told=told.get(index), task=tasks[index], hits=hits)
        judge(found, received)
        all_found.append(found)
    wrong = [what for found in all_found for what in found.wrong]
    print(describe(all_found), f"{len(wrong)} wrong, {seconds:.0f} s", sep="\n")  # noqa: T201
    assert not wrong, "\n".join(wrong)
    assert (received.touched, received.nameless) == ({}, 0), "requests of no event"
    assert sum(bool(found.hits) for found in all_found) > 0.9 * len(trials), "too few were struck"
    for name in ("events", "records"):
        shutil.rmtree(tmp_path / name)
