# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
At most once for streams, under crashes: a real Airflow on PostgreSQL whose tasks are struck while they deliver files.

``make test-crash`` runs 100 trials of 10,000 events, struck at random, with the claims in the task state store and
again in a ledger; ``make test`` a short form. ``CRASH_SEED`` repeats the choices of a run, whose seed is printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import time
from pathlib import Path

import psutil
import pytest

from tests.system.deployment import IS_BETA, Deployment
from tests.system.stream_crash_check import Found, describe, judge, read_hits
from tests.system.stream_crash_receiver import ReceiverProcess
from tests.system.stream_crash_trials import SHORT, choose_combinations, make_trials, write_events

RUN_ID = "r1"
HERE = Path(__file__).parent


def prepare(home: Path, seed: int, *, count: int | None, events: int) -> list[dict]:
    """
    Choose the trials, and write their files.

    :param count: how many are chosen at random; by default the short list
    """
    chance = random.Random(seed)  # noqa: S311  (chance, not a secret)
    combinations = SHORT if count is None else choose_combinations(chance, count)
    trials = make_trials(combinations, chance, events=events, home=home)
    for trial in trials:
        write_events(trial)
    (home / "marks").mkdir()
    return trials


@contextlib.contextmanager
def run_receiver(home: Path, trials: list[dict]):
    receiver = ReceiverProcess({trial["number"]: trial for trial in trials}, home)
    try:
        yield receiver
    finally:
        receiver.stop()


def run_trials(deployment: Deployment, dag_id: str, home: Path, trials: list[dict], port: int) -> dict[int, dict]:
    """Run every trial as a mapped task, and return the task instances once none of their processes is left."""
    killer = str(HERE / "stream_crash_killer.py")
    told = {"port": port, "trials": trials, "marks": str(home / "marks"), "killer": killer}
    (deployment.dags / f"{dag_id}.json").write_text(json.dumps(told))
    deployment.add_dags(HERE / "stream_crash_dag.py", [dag_id], name=f"{dag_id}.py")
    deployment.trigger(dag_id, RUN_ID)
    tasks = deployment.wait_for_run(dag_id, RUN_ID, seconds=120 + 30 * len(trials))
    deployment.wait_until("the end of every try", lambda: not list_running_tries(home / "marks"))
    return {task["map_index"]: task for task in tasks}


def list_running_tries(marks: Path) -> list[int]:
    """Return the processes of the tries that have begun and still run: some lost their supervisor, or were stopped."""
    found = []
    for mark in marks.glob("*.begun"):
        pid, started = mark.read_text().split()
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(pid))
            if str(process.create_time()) == started and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.mark.skipif(
    IS_BETA,
    reason="the scheduler of Airflow 3.4.0b2 ends with an IntegrityError (task_instance_current_key) when it fails "
    "mapped tasks that lost their heartbeat, and LocalExecutor then waits for the tasks that this test suspends",
)
@pytest.mark.parametrize(
    ("dag_id", "count", "events", "store"),
    [
        ("stream_crash", None, 2_000, "deployment"),
        pytest.param("stream_crash_full", 100, 10_000, "deployment", marks=pytest.mark.crash),
        pytest.param("stream_crash_ledger", 100, 10_000, "ledger_deployment", marks=pytest.mark.crash),
    ],
    ids=["short", "full", "ledger"],
)
def test_no_event_of_a_stream_is_received_twice_or_without_a_true_record(
    request, tmp_path, dag_id, count, events, store
):
    deployment = request.getfixturevalue(store)
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(10**9))
    print(f"\nCRASH_SEED={seed}")  # noqa: T201
    trials = prepare(tmp_path, seed, count=count, events=events)
    began = time.monotonic()
    with run_receiver(tmp_path, trials) as receiver:
        tasks = run_trials(deployment, dag_id, tmp_path, trials, receiver.port)
    seconds = time.monotonic() - began
    claims = deployment.read_claims(dag_id, RUN_ID)
    returned = deployment.read_returned(dag_id, RUN_ID)
    received = receiver.read()
    all_found = []
    for index, trial in enumerate(trials):
        hits = read_hits(tmp_path / "marks", trial)
        found = Found(trial=trial, claim=claims[index], returned=returned.get(index), task=tasks[index], hits=hits)
        judge(found, received)
        all_found.append(found)
    wrong = [what for found in all_found for what in found.wrong]
    print(describe(all_found), f"{len(wrong)} wrong, {seconds:.0f} s", sep="\n")  # noqa: T201
    assert not wrong, "\n".join(wrong)
    assert (received.touched, received.nameless) == ({}, 0), "requests of no event"
    assert sum(bool(found.hits) for found in all_found) > 0.9 * len(trials), "too few were struck"
    for name in ("events", "records"):
        shutil.rmtree(tmp_path / name)
