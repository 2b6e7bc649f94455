# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
At-most-once delivery under crashes: tasks and supervisors of a real Airflow are killed at every point of a delivery.

``make test-crash`` runs every combination on PostgreSQL, with the claims in the task state store and in a ledger, and
some of them on SQLite; ``make test`` runs a short form.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_hooks.ledger.schema import migrate
from tests.ledgers import describe_sqlite, open_database
from tests.system.crash_receiver import CrashReceiver
from tests.system.deployment import Deployment, run_airflow

POINTS = ("before_claim", "after_claim", "connected", "mid_request", "after_request", "after_answer", "recorded")
FAULTS = ("kill_task", "kill_supervisor", "term_task")
RECEIVERS = ("answer", "drop", "delay", "reset")
OUTCOMES = ("delivered", "unknown", "rejected", "not_sent", "claimed", "no record")
HERE = Path(__file__).parent

EVERY = [*itertools.product(POINTS, FAULTS, RECEIVERS), *itertools.product(["after_answer"], ["error"], RECEIVERS)]
SHORT = [
    (point, fault, RECEIVERS[number % len(RECEIVERS)])
    for number, (point, fault) in enumerate([*itertools.product(POINTS, FAULTS), ("after_answer", "error")])
]
EVERY_LAST_TRY = list(itertools.product(POINTS, FAULTS, ["answer"]))
LAST_TRY = list(itertools.product(POINTS, FAULTS[:1], ["answer"]))
"""The fault is injected in the only try; then a user clears the task."""


def make_trials(combinations, times=1, *, first=0):
    return {
        number: {"trial": number, "point": point, "fault": fault, "receiver": receiver}
        for number, (point, fault, receiver) in enumerate(list(combinations) * times, start=first)
    }


@contextlib.contextmanager
def prepare(
    deployment: Deployment,
    name: str,
    first: dict[int, dict],
    last: dict[int, dict] | None = None,
    again: dict[int, dict] | None = None,
) -> Iterator[CrashReceiver]:
    """
    Add Dags in which every trial is a mapped task, and run their receiver.

    :param first: trials with the fault in the first of several tries, in the Dag ``{name}_first``
    :param last: trials with the fault in the only try, in the Dag ``{name}_last``
    :param again: trials with ``at_least_once`` and the fault in the first of several tries, in ``{name}_again``
    """
    pids = deployment.home.parent / f"{name}_pids"
    pids.mkdir()
    last, again = last or {}, again or {}
    receiver = CrashReceiver({**first, **last, **again}, pids)
    arguments = {
        kind: [
            {"trial": number, "port": receiver.port, "point": trial["point"], "fault": trial["fault"]}
            for number, trial in trials.items()
        ]
        for kind, trials in (("first", first), ("last", last), ("again", again))
    }
    (deployment.dags / f"{name}.json").write_text(json.dumps({**arguments, "pids": str(pids)}))
    try:
        dag_ids = [f"{name}_{kind}" for kind in ("first", "last", "again")]
        deployment.add_dags(HERE / "crash_dag.py", dag_ids, name=f"{name}.py")
        yield receiver
    finally:
        receiver.close()


def wait_for_trials(deployment: Deployment, dag_id: str, trials: dict[int, dict]) -> list[dict]:
    return deployment.wait_for_run(dag_id, "r1", seconds=60 + 15 * len(trials))


def read_claims(deployment: Deployment, dag_id: str) -> dict[int, dict]:
    """Return the claims of the only run of a Dag, by map index."""
    return deployment.read_claims(dag_id, "r1")


def check_trials(trials, tasks, receiver, claims):
    """Print the table, and return the violations; ``claims`` are by map index."""
    rows, violations = defaultdict(Counter), []
    states = {task["map_index"]: task["state"] for task in tasks}
    for index, (number, trial) in enumerate(trials.items()):
        started, complete = receiver.started[number], receiver.complete[number]
        claim = claims.get(index)
        outcome = claim["state"] if claim else "no record"
        row = rows[trial["point"], trial["fault"]]
        row.update(["trials", f"received {min(started, 2)}", outcome])
        info = f"{trial} received {started} complete {complete} outcome {outcome} task {states.get(index)}"
        if started > 1:
            violations.append(f"received twice: {info}")
        if claim is None or claim["record"] is None or outcome == "claimed":
            violations.append(f"no record: {info}")
        elif (outcome == "not_sent" and started) or (outcome == "delivered" and not complete):
            violations.append(f"wrong record: {info}")
        if (states.get(index) == "success") != (outcome == "delivered"):
            violations.append(f"the task state contradicts the outcome: {info}")
    lines = [f"{'crash point':<14} {'fault':<16} {'trials':>6} {'received 0':>11} {'1':>5} {'2+':>5}   outcomes"]
    for (point, fault), row in rows.items():
        outcomes = ", ".join(f"{name} {row[name]}" for name in OUTCOMES if row[name])
        counts = [row[f"received {count}"] for count in range(3)]
        numbers = f"{row['trials']:>6} {counts[0]:>11} {counts[1]:>5} {counts[2]:>5}"
        lines.append(f"{point:<14} {fault:<16} {numbers}   {outcomes}")
    twice = sum(receiver.started[number] > 1 for number in trials)
    print("", *lines, f"{len(trials)} trials, {twice} received twice, {len(violations)} violations", sep="\n")  # noqa: T201
    return violations


def check_cleared_trials(trials, states, before, after, started, *, may_lose_claims):
    """Print the results of the last tries and of the clears, and return the violations."""
    violations = []
    lines = [f"{'fault in the last try':<28} {'received':>8}  {'claim':<10} {'after a clear':>13}  result"]
    for index, (number, trial) in enumerate(trials.items()):
        claim_before, claim = before.get(index), after[index]
        first, second = started[number]
        info = f"{claim['state']}, redelivery {claim['redelivery']}, task {states[index]}"
        title, state = f"{trial['point']} {trial['fault']}", claim_before["state"] if claim_before else "no claim"
        lines.append(f"{title:<28} {first:>8}  {state:<10} {second:>13}  {info}")
        may_have_been_sent = claim_before is not None and claim_before["state"] != "not_sent"
        if first > 1 or second - first > 1:
            violations.append(f"received twice in one run or manual clear: {trial} {first} {second}")
        if first and not may_have_been_sent:
            violations.append(f"sent without a claim: {trial} {claim_before}")
        # Airflow 3.4 may have deleted a claim of the task state store; a clear without a claim is a redelivery.
        is_redelivery = may_have_been_sent or (claim_before is None and may_lose_claims)
        if (claim["state"], claim["redelivery"], states[index]) != ("delivered", is_redelivery, "success"):
            violations.append(f"the clear did not deliver, or its record is wrong: {trial} {info}")
    print("", *lines, f"{len(trials)} last tries, {len(violations)} violations", sep="\n")  # noqa: T201
    return violations


def clear_last_tries(deployment, receiver, dag_id, trials):
    """Clear tasks that have no retries left, and return the violations of both runs of each."""
    wait_for_trials(deployment, dag_id, trials)
    before, first = read_claims(deployment, dag_id), dict(receiver.started)
    indexes = [["deliver", index] for index in range(len(trials))]
    assert deployment.clear(dag_id, "r1", indexes) == len(trials)
    tasks = wait_for_trials(deployment, dag_id, trials)
    started = {number: (first.get(number, 0), receiver.started[number]) for number in trials}
    states = {task["map_index"]: task["state"] for task in tasks}
    after, may_lose_claims = read_claims(deployment, dag_id), deployment.clear_deletes_claims
    return check_cleared_trials(trials, states, before, after, started, may_lose_claims=may_lose_claims)


FULL = (make_trials(EVERY, 3), make_trials(EVERY_LAST_TRY, first=3 * len(EVERY)))
"""The trials with the fault in the first of several tries, and those with the fault in the last."""


@pytest.mark.parametrize(
    ("name", "trials", "last_tries", "store"),
    [
        ("crash", make_trials(SHORT), make_trials(LAST_TRY, first=len(SHORT)), "deployment"),
        pytest.param("crash_full", *FULL, "deployment", marks=pytest.mark.crash),
        pytest.param("crash_ledger", *FULL, "ledger_deployment", marks=pytest.mark.crash),
    ],
    ids=["short", "full", "ledger"],
)
def test_crashed_deliveries_are_sent_at_most_once_and_recorded_on_postgresql(request, name, trials, last_tries, store):
    deployment = request.getfixturevalue(store)
    with prepare(deployment, name, trials, last_tries) as receiver:
        for kind in ("first", "last"):
            deployment.trigger(f"{name}_{kind}", "r1")
        violations = clear_last_tries(deployment, receiver, f"{name}_last", last_tries)
        tasks = wait_for_trials(deployment, f"{name}_first", trials)
        violations += check_trials(trials, tasks, receiver, read_claims(deployment, f"{name}_first"))
    assert violations == []


def check_at_least_once(trials, tasks, receiver, claims):
    """Print the results of the trials, and return the violations: lost events and wrong records."""
    violations, received = [], Counter()
    states = {task["map_index"]: task["state"] for task in tasks}
    for index, (number, trial) in enumerate(trials.items()):
        started, complete, record = receiver.started[number], receiver.complete[number], claims[index]["record"]
        received[min(complete, 3)] += 1
        if (states[index], record["outcome"]) != ("success", "delivered") or not complete:
            violations.append(f"lost: {trial} received {complete} outcome {record['outcome']} task {states[index]}")
        if started > record["attempts"] or (started > 1 and not record["redelivery"]):
            violations.append(f"wrong record: {trial} received {started} {record['attempts']} {record['redelivery']}")
    counts = ", ".join(f"{count}: {received[count]}" for count in sorted(received))
    print(f"\nat least once: {len(trials)} trials, complete requests {counts}, {len(violations)} violations")  # noqa: T201
    return violations


@pytest.mark.crash
@pytest.mark.parametrize("store", ["deployment", "ledger_deployment"], ids=["task state store", "ledger"])
def test_crashed_at_least_once_deliveries_lose_no_event_on_postgresql(request, store):
    deployment, trials = request.getfixturevalue(store), make_trials(EVERY)
    with prepare(deployment, "crash_again", {}, again=trials) as receiver:
        deployment.trigger("crash_again_again", "r1")
        tasks = wait_for_trials(deployment, "crash_again_again", trials)
        assert check_at_least_once(trials, tasks, receiver, read_claims(deployment, "crash_again_again")) == []


@pytest.mark.crash
@pytest.mark.parametrize("has_ledger", [False, True], ids=["task state store", "ledger"])
def test_crashed_deliveries_are_sent_at_most_once_and_recorded_on_sqlite(airflow, tmp_path, has_ledger):
    trials, ledger = make_trials(SHORT), None
    if has_ledger:
        ledger = describe_sqlite(tmp_path)
        migrate(open_database(ledger))
    (tmp_path / "dags").mkdir()
    settings = {
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        "AIRFLOW__SERVICE_HOOKS__DEPLOYMENT": "trials",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    }
    with (
        run_airflow(airflow.home, tmp_path / "dags", ledger=ledger, **settings) as deployment,
        prepare(deployment, "crash", trials) as receiver,
    ):
        deployment.trigger("crash_first", "r1")
        tasks = wait_for_trials(deployment, "crash_first", trials)
        assert check_trials(trials, tasks, receiver, read_claims(deployment, "crash_first")) == []
