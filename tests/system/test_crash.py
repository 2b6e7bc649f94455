# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
At most once, under crashes: a real Airflow whose tasks and supervisors are killed at every point of a delivery.

``make test-crash`` runs every combination on PostgreSQL, with the claims in the task state store and in a ledger, and a
part of them on SQLite; ``make test`` a short form.
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
HOWS = ("kill_task", "kill_supervisor", "term_task")
RECEIVERS = ("answer", "drop", "delay", "reset")
OUTCOMES = ("delivered", "unknown", "rejected", "not_sent", "claimed", "no record")
HERE = Path(__file__).parent

EVERY = [*itertools.product(POINTS, HOWS, RECEIVERS), *itertools.product(["after_answer"], ["error"], RECEIVERS)]
SHORT = [
    (point, how, RECEIVERS[number % len(RECEIVERS)])
    for number, (point, how) in enumerate([*itertools.product(POINTS, HOWS), ("after_answer", "error")])
]
EVERY_LAST_TRY = list(itertools.product(POINTS, HOWS, ["answer"]))
LAST_TRY = list(itertools.product(POINTS, HOWS[:1], ["answer"]))
"""Struck in the only try that there is; then a user clears the task."""


def make_trials(combinations, times=1, *, first=0):
    return {
        number: {"trial": number, "point": point, "how": how, "receiver": receiver}
        for number, (point, how, receiver) in enumerate(list(combinations) * times, start=first)
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
    Give an Airflow Dags in which every trial is a mapped task, and serve their receiver.

    :param first: trials that are struck in the first of several tries, of the Dag ``{name}_first``
    :param last: trials that are struck in their only try, of the Dag ``{name}_last``
    :param again: trials that are struck in the first of several tries and deliver at least once: ``{name}_again``
    """
    pids = deployment.home.parent / f"{name}_pids"
    pids.mkdir()
    last, again = last or {}, again or {}
    receiver = CrashReceiver({**first, **last, **again}, pids)
    told = {
        kind: [
            {"trial": number, "port": receiver.port, "point": trial["point"], "how": trial["how"]}
            for number, trial in trials.items()
        ]
        for kind, trials in (("first", first), ("last", last), ("again", again))
    }
    (deployment.dags / f"{name}.json").write_text(json.dumps({**told, "pids": str(pids)}))
    try:
        dag_ids = [f"{name}_{kind}" for kind in ("first", "last", "again")]
        deployment.add_dags(HERE / "crash_dag.py", dag_ids, name=f"{name}.py")
        yield receiver
    finally:
        receiver.close()


def wait_for_trials(deployment: Deployment, dag_id: str, trials: dict[int, dict]) -> list[dict]:
    return deployment.wait_for_run(dag_id, "r1", seconds=60 + 15 * len(trials))


def read_claims(deployment: Deployment, dag_id: str) -> dict[int, dict]:
    """Return the claims of a Dag's only run by the index of the mapped task."""
    return deployment.read_claims(dag_id, "r1")


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


def judge_cleared(trials, states, before, after, touched, *, may_lose_claims):
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
        # Airflow 3.4 may have deleted a claim of the task state store; a clear that finds none marks a redelivery.
        is_redelivery = may_have_been_sent or (left is None and may_lose_claims)
        if (claim["state"], claim["redelivery"], states[index]) != ("delivered", is_redelivery, "success"):
            wrong.append(f"the clear did not deliver, or says otherwise: {trial} {info}")
    print("", *lines, f"{len(trials)} last tries, {len(wrong)} wrong", sep="\n")  # noqa: T201
    return wrong


def clear_last_tries(deployment, receiver, dag_id, trials):
    """Clear tasks that had no retry left, and judge both runs of each."""
    wait_for_trials(deployment, dag_id, trials)
    before, first = read_claims(deployment, dag_id), dict(receiver.touched)
    indexes = [["deliver", index] for index in range(len(trials))]
    assert deployment.clear(dag_id, "r1", indexes) == len(trials)
    tasks = wait_for_trials(deployment, dag_id, trials)
    touched = {number: (first.get(number, 0), receiver.touched[number]) for number in trials}
    states = {task["map_index"]: task["state"] for task in tasks}
    after, may_lose_claims = read_claims(deployment, dag_id), deployment.clear_deletes_claims
    return judge_cleared(trials, states, before, after, touched, may_lose_claims=may_lose_claims)


FULL = (make_trials(EVERY, 3), make_trials(EVERY_LAST_TRY, first=3 * len(EVERY)))
"""Struck in the first of several tries, and in the last."""


@pytest.mark.parametrize(
    ("name", "trials", "last_tries", "store"),
    [
        ("crash", make_trials(SHORT), make_trials(LAST_TRY, first=len(SHORT)), "deployment"),
        pytest.param("crash_full", *FULL, "deployment", marks=pytest.mark.crash),
        pytest.param("crash_ledger", *FULL, "ledger_deployment", marks=pytest.mark.crash),
    ],
    ids=["short", "full", "ledger"],
)
def test_no_event_is_received_twice_or_without_a_record_on_postgresql(request, name, trials, last_tries, store):
    deployment = request.getfixturevalue(store)
    with prepare(deployment, name, trials, last_tries) as receiver:
        for kind in ("first", "last"):
            deployment.trigger(f"{name}_{kind}", "r1")
        wrong = clear_last_tries(deployment, receiver, f"{name}_last", last_tries)
        tasks = wait_for_trials(deployment, f"{name}_first", trials)
        wrong += judge(trials, tasks, receiver, read_claims(deployment, f"{name}_first"))
    assert wrong == []


def judge_at_least_once(trials, tasks, receiver, claims):
    """Print what came of the trials, and return what must not be: an event that was lost, or a wrong record."""
    wrong, received = [], Counter()
    states = {task["map_index"]: task["state"] for task in tasks}
    for index, (number, trial) in enumerate(trials.items()):
        touched, complete, record = receiver.touched[number], receiver.complete[number], claims[index]["record"]
        received[min(complete, 3)] += 1
        if (states[index], record["outcome"]) != ("success", "delivered") or not complete:
            wrong.append(f"lost: {trial} received {complete} outcome {record['outcome']} task {states[index]}")
        if touched > record["attempts"] or (touched > 1 and not record["redelivery"]):
            wrong.append(f"not true: {trial} received {touched} {record['attempts']} {record['redelivery']}")
    counts = ", ".join(f"{count}: {received[count]}" for count in sorted(received))
    print(f"\nat least once: {len(trials)} trials, complete requests {counts}, {len(wrong)} wrong")  # noqa: T201
    return wrong


@pytest.mark.crash
@pytest.mark.parametrize("store", ["deployment", "ledger_deployment"], ids=["task state store", "ledger"])
def test_no_event_is_lost_by_at_least_once_on_postgresql(request, store):
    deployment, trials = request.getfixturevalue(store), make_trials(EVERY)
    with prepare(deployment, "crash_again", {}, again=trials) as receiver:
        deployment.trigger("crash_again_again", "r1")
        tasks = wait_for_trials(deployment, "crash_again_again", trials)
        assert judge_at_least_once(trials, tasks, receiver, read_claims(deployment, "crash_again_again")) == []


@pytest.mark.crash
@pytest.mark.parametrize("has_ledger", [False, True], ids=["task state store", "ledger"])
def test_no_event_is_received_twice_or_without_a_record_on_sqlite(airflow, tmp_path, has_ledger):
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
        assert judge(trials, tasks, receiver, read_claims(deployment, "crash_first")) == []
