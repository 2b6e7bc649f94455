# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
At-most-once delivery of streams under crashes: faults are injected into tasks of a real Airflow on PostgreSQL.

``make test-crash`` runs 100 trials of 10,000 events with random faults, with the claims in the task state store and
in a ledger; ``make test`` runs a short form. ``CRASH_SEED`` repeats the choices of a run, which prints its seed.
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
from tests.system.stream_crash_check import TrialResult, check_trial, describe, read_injected
from tests.system.stream_crash_receiver import ReceiverProcess
from tests.system.stream_crash_trials import SHORT, choose_combinations, make_trials, write_events

RUN_ID = "r1"
HERE = Path(__file__).parent


def prepare(home: Path, seed: int, *, count: int | None, events: int) -> list[dict]:
    """
    Choose the trials, and write their files.

    :param count: the number of random trials; by default the short list is used
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
    """Run every trial as a mapped task, wait until all its processes have ended, and return the task instances."""
    killer = str(HERE / "stream_crash_killer.py")
    settings = {"port": port, "trials": trials, "marks": str(home / "marks"), "killer": killer}
    (deployment.dags / f"{dag_id}.json").write_text(json.dumps(settings))
    deployment.add_dags(HERE / "stream_crash_dag.py", [dag_id], name=f"{dag_id}.py")
    deployment.trigger(dag_id, RUN_ID)
    tasks = deployment.wait_for_run(dag_id, RUN_ID, seconds=120 + 30 * len(trials))
    deployment.wait_until("the end of every try", lambda: not list_running_tries(home / "marks"))
    return {task["map_index"]: task for task in tasks}


def list_running_tries(marks: Path) -> list[int]:
    """Return the running processes of the tries; some have lost their supervisor or were suspended."""
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
    reason="the scheduler of Airflow 3.4.0b2 exits with an IntegrityError (task_instance_current_key) when it fails "
    "mapped tasks without a heartbeat, and LocalExecutor then waits for the tasks that this test suspends",
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
def test_events_of_crashed_streams_are_sent_at_most_once_with_correct_records(
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
    results = []
    for index, trial in enumerate(trials):
        result = TrialResult(
            trial=trial,
            claim=claims[index],
            returned=returned.get(index),
            task=tasks[index],
            injected=read_injected(tmp_path / "marks", trial),
        )
        check_trial(result, received)
        results.append(result)
    violations = [violation for result in results for violation in result.violations]
    print(describe(results), f"{len(violations)} violations, {seconds:.0f} s", sep="\n")  # noqa: T201
    assert not violations, "\n".join(violations)
    assert (received.started, received.nameless) == ({}, 0), "requests without an event"
    assert sum(bool(result.injected) for result in results) > 0.9 * len(trials), "too few faults were injected"
    for name in ("events", "records"):
        shutil.rmtree(tmp_path / name)
