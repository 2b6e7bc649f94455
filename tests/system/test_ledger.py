# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What only the ledger guarantees, in a real Airflow on PostgreSQL.

Callbacks are killed at every point and called again, in every component that calls them; an event of several Dags and
of the command line is sent once; and a claim outlives its Dag run. ``make test-crash`` runs these tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_hooks.cli.commands import ExitCode
from tests.servers import OK, raw_server
from tests.system.crash_receiver import CrashReceiver
from tests.system.deployment import Deployment
from tests.system.real_airflow import RealAirflow

pytestmark = [pytest.mark.crash, pytest.mark.timeout(3600)]

HERE = Path(__file__).parent
EXPECTED = {
    "before_claim": (1, "delivered"),
    "after_claim": (0, "unknown"),
    "connected": (0, "unknown"),
    "mid_request": (1, "unknown"),
    "after_request": (1, "unknown"),
    "after_answer": (1, "unknown"),
    "recorded": (1, "delivered"),
}
"""The point at which the first call of a callback is killed, the requests of both calls, and the stored outcome."""
KINDS = ("failure", "retry", "success", "skipped", "lost", "dag_failure", "dag_success", "deadline")
RUN_CALLBACKS = ("dag_failure", "dag_success", "deadline")
"""The callbacks of a Dag run; the others are callbacks of a mapped task."""
ONCE_DAGS, ONCE_RUNS = ("once_a", "once_b"), 5
RESPONSES = {
    "delivered": (OK, "success", ExitCode.DONE),
    "rejected": (b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n", "failed", ExitCode.REJECTED),
    "unknown": (b"", "failed", ExitCode.UNKNOWN),
}
"""For each outcome: the response, the state of the tasks, and the exit code of the command."""
RESPONSE_SECONDS = 4
"""The delay of the response, so that the other tasks find an open claim."""


@pytest.fixture(scope="module")
def trials() -> dict[str, list[dict]]:
    """The trials of each kind of callback."""
    combinations = [(kind, point) for kind in KINDS for point in EXPECTED]
    found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for number, (kind, point) in enumerate(combinations):
        found[kind].append({"trial": number, "point": point, "fault": "kill_task", "receiver": "answer"})
    return found


@pytest.fixture(scope="module")
def receiver(ledger_deployment, trials, tmp_path_factory):
    """The receiver of all trials; the Dags are added to Airflow first."""
    pids = tmp_path_factory.mktemp("pids")
    receiver = CrashReceiver({trial["trial"]: trial for kind in KINDS for trial in trials[kind]}, pids)
    described = {"port": receiver.port, "pids": str(pids), "kinds": trials}
    (ledger_deployment.dags / "ledger_dags.json").write_text(json.dumps(described))
    dag_ids = [*(f"killed_{kind}" for kind in (*KINDS, "triggerer")), *ONCE_DAGS, "deleted"]
    ledger_deployment.add_dags(HERE / "ledger_dags.py", dag_ids)
    yield receiver
    receiver.close()


@pytest.fixture
def airflow(ledger_deployment, receiver) -> Deployment:
    return ledger_deployment


def list_claims(airflow: Deployment, endpoint: str) -> list[tuple[str, str]]:
    """Return the origins of the deliveries to an endpoint, and the states of their claims."""
    return airflow.read_ledger("SELECT origin, state FROM service_hook_deliveries WHERE endpoint = ?", endpoint)


def add_endpoint(airflow: Deployment, conn_id: str, url: str, **extra: object) -> str:
    airflow.set_connections(
        {conn_id: {"conn_type": "service_hook", "host": url, "password": "s3cret-of-ours", "extra": extra}}
    )
    return conn_id


def test_callback_that_is_killed_and_called_again_sends_one_request(airflow, receiver, trials):
    for kind in KINDS:
        for run_id in range(len(EXPECTED)) if kind in RUN_CALLBACKS else ("r",):
            airflow.trigger(f"killed_{kind}", str(run_id))

    def all_have_outcomes() -> bool:
        rows = airflow.read_ledger(
            "SELECT count(*) FROM service_hook_deliveries WHERE endpoint LIKE 'killed_%' AND state <> 'claimed'"
        )
        return rows[0][0] == len(KINDS) * len(EXPECTED)

    airflow.wait_until("the outcome of every callback", all_have_outcomes, seconds=1200)
    time.sleep(15)  # time for the second calls of the callbacks whose first call recorded the outcome
    violations, lines = [], []
    for kind in KINDS:
        counted = Counter()
        for trial in trials[kind]:
            number, expected = trial["trial"], EXPECTED[trial["point"]]
            ((origin, state),) = list_claims(airflow, f"killed_{number}")
            result = (receiver.started[number], state)
            counted[f"{result[0]} request, {state}"] += 1
            status = Path(receiver._pids, f"{number}.status").read_text()
            if result != expected or origin != "callback" or status != str(-signal.SIGKILL):
                violations.append(f"{kind} {trial['point']}: {result}, not {expected}; {origin}, exit status {status}")
        lines.append(f"{kind:<12} {dict(counted)}")
    print("", *lines, f"{len(KINDS) * len(EXPECTED)} callbacks, {len(violations)} violations", sep="\n")  # noqa: T201
    assert violations == []


def test_deadline_callback_of_a_killed_triggerer_sends_one_request(airflow):
    has_request = threading.Event()

    def answer_late(connection):
        has_request.set()
        time.sleep(5)
        connection.sendall(OK)

    with raw_server(answer_late) as received:
        add_endpoint(airflow, "killed_triggerer", received.url, timeout=3)
        airflow.trigger("killed_triggerer", "r")
        airflow.wait_until("a request", has_request.is_set)
        triggerer = airflow.processes["triggerer"]
        os.killpg(triggerer.pid, signal.SIGKILL)
        triggerer.wait()
        assert list_claims(airflow, "killed_triggerer") == [("callback", "claimed")]
        airflow.start("triggerer")
        airflow.wait_until(
            "the outcome of the deadline", lambda: list_claims(airflow, "killed_triggerer")[0][1] != "claimed"
        )
        assert list_claims(airflow, "killed_triggerer") == [("callback", "unknown")]
        assert len(received.requests) == 1


@contextlib.contextmanager
def deliver_by_command(airflow: Deployment, endpoint: str):
    """Deliver the event of the once-per-event Dags by a command while the block runs."""
    environment = {**airflow.full_environment(), "PYTHONWARNINGS": "ignore"}
    arguments = ["--event-type", "orders.loaded", "--data", '{"orders": 12}', "--event-id", "orders-of-the-day"]
    command = ["deliver", endpoint, *arguments, "--once", "event", "--output", "json"]
    with subprocess.Popen(
        [sys.executable, "-m", "airflow", "service-hooks", *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("outcome", RESPONSES)
def test_event_of_two_dags_and_a_command_is_sent_once(airflow, outcome):
    response, state, code = RESPONSES[outcome]

    def wait_and_answer(connection):
        time.sleep(RESPONSE_SECONDS)
        connection.sendall(response)

    with raw_server(wait_and_answer) as received:
        endpoint = add_endpoint(airflow, f"once_{outcome}", received.url, timeout=30)
        with deliver_by_command(airflow, endpoint) as command:
            for number in range(ONCE_RUNS):
                for dag_id in ONCE_DAGS:
                    airflow.trigger(dag_id, f"{outcome}-{number}", {"endpoint": endpoint})
            stdout, stderr = command.communicate(timeout=600)
        runs = [(dag_id, f"{outcome}-{number}") for dag_id in ONCE_DAGS for number in range(ONCE_RUNS)]
        tasks = [task for run in runs for task in airflow.wait_for_run(*run)]
        assert len(received.requests) == 1
    assert command.returncode == code, stdout + stderr
    assert Counter((task["state"], task["try_number"]) for task in tasks) == {(state, 1): len(runs)}
    (sent,) = airflow.read_ledger(
        "SELECT claim FROM service_hook_deliveries WHERE endpoint = ? AND outcome = ?", endpoint, outcome
    )
    record = json.loads(sent[0])["record"]
    assert json.loads(stdout)["delivery_id"] == record["delivery_id"]
    senders = [
        task
        for task in tasks
        if "Nothing was sent" not in airflow.read_log(task["dag_id"], task["dag_run_id"], "deliver", 1)
    ]
    print(f"\n{outcome}: 1 request for {len(runs)} tasks and a command; sent by a task: {len(senders)}")  # noqa: T201
    if state == "success":
        assert [airflow.read_returned(*run)[-1] for run in runs] == [record] * len(runs)
        assert json.loads(stdout) == record


def test_deleted_run_that_is_triggered_again_sends_nothing(airflow):
    with raw_server(OK) as received:
        endpoint = add_endpoint(airflow, "deleted", received.url)

        def run() -> object:
            airflow.trigger("deleted", "r", {"endpoint": endpoint})
            (task,) = airflow.wait_for_run("deleted", "r")
            log = airflow.read_log("deleted", "r", "deliver", 1)
            assert (task["state"], task["try_number"]) == ("success", 1), log
            return airflow.read_returned("deleted", "r")[-1]

        record = run()
        response = airflow.call("DELETE", "/api/v2/dags/deleted/dagRuns/r")
        assert response.ok, response.text
        assert run() == record
        done = RealAirflow(home=airflow.home, environment=airflow.full_environment()).run(
            "db", "clean", "--tables", "dag_run", "--clean-before-timestamp", "2100-01-01", "--skip-archive", "--yes"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert airflow.list_runs("deleted") == []
        assert run() == record
        assert len(received.requests) == 1


def test_delivery_that_is_settled_in_the_ledger_is_not_sent_by_the_next_clear(airflow):
    responses = [OK, OK, b""]
    with raw_server(lambda connection: connection.sendall(responses.pop())) as received:
        endpoint = add_endpoint(airflow, "settled", received.url)
        airflow.trigger("deleted", "settled", {"endpoint": endpoint})
        assert [task["state"] for task in airflow.wait_for_run("deleted", "settled")] == ["failed"]
        claim = airflow.read_claims("deleted", "settled")[-1]
        assert (claim["state"], len(received.requests)) == ("unknown", 1)
        airflow.read_ledger(
            "UPDATE service_hook_deliveries SET state = 'settled', claim = ? WHERE endpoint = ? AND state = 'unknown'",
            json.dumps({**claim, "state": "settled"}),
            endpoint,
        )
        for redelivery, requests in ((False, 1), (True, 2)):
            assert airflow.clear("deleted", "settled", [["deliver", -1]]) == 1
            assert [task["state"] for task in airflow.wait_for_run("deleted", "settled")] == ["success"]
            record = airflow.read_returned("deleted", "settled")[-1]
            assert (record["settled"], record["redelivery"], len(received.requests)) == (
                not redelivery,
                redelivery,
                requests,
            )
