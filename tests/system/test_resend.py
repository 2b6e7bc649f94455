# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``deliveries resend`` and ``mark-delivered`` in a real Airflow, whose scheduler then runs the cleared tasks.

By default the tests run in the Airflow of the other tests, whose claims are in the task state store, or before 3.3 in a
ledger; ``make test-crash`` also runs them in an Airflow with a ledger.
"""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass

import pytest

from tests.servers import OK, raw_server
from tests.system.deployment import Deployment
from tests.versions import needs_task_state_store

SECRET = "a-secret-of-the-endpoint"
DAGS = """
from airflow.sdk import DAG, task
from airflow_provider_hooks.operators.delivery import DeliverEventOperator

OPTIONS = {"event_type": "orders.loaded", "service_hook_conn_id": "{{ params.endpoint }}"}

with DAG("resend_one", schedule=None, is_paused_upon_creation=False):
    @task(trigger_rule="all_done")
    def after():
        pass

    DeliverEventOperator(task_id="deliver", event_id="e-{{ run_id }}", **OPTIONS) >> after()

with DAG("resend_mapped", schedule=None, is_paused_upon_creation=False):
    DeliverEventOperator.partial(task_id="deliver", **OPTIONS).expand(event_id=["m-0", "m-1", "m-2"])

with DAG("resend_several", schedule=None, is_paused_upon_creation=False):
    DeliverEventOperator(
        task_id="deliver", event_type="orders.loaded", service_hook_conn_id=["resend_first", "resend_second"]
    )
"""
ONCE_PER_EVENT_DAG = """
from airflow.sdk import DAG
from airflow_provider_hooks.operators.delivery import DeliverEventOperator

with DAG("resend_once", schedule=None, is_paused_upon_creation=False):
    DeliverEventOperator(
        task_id="deliver",
        event_type="orders.loaded",
        event_id="once-per-event",
        once="event",
        service_hook_conn_id="resend_once",
    )
"""


@dataclass(frozen=True)
class Commands:
    """The commands, run with the environment of the scheduler."""

    airflow: Deployment

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.airflow.run_service_hooks("deliveries", *arguments)

    def read(self, *arguments: str) -> object:
        done = self.run(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def find(self, dag_id: str, run_id: str) -> list[dict]:
        """Return the deliveries of a run, sorted by map index."""
        found = self.read("list", "--dag-id", dag_id, "--run-id", run_id)["deliveries"]
        return sorted(found, key=lambda one: one["map_index"])

    def wait(self, dag_id: str, run_id: str) -> dict[tuple[str, int], tuple[str, int]]:
        """Wait until a run has ended, and return state and try number of each task instance."""
        tasks = self.airflow.wait_for_run(dag_id, run_id)
        return {(task["task_id"], task["map_index"]): (task["state"], task["try_number"]) for task in tasks}

    def set_endpoint(self, conn_id: str, url: str) -> None:
        # Commands are slow on a busy machine, and an attempt must not time out in the meantime.
        described = {"conn_type": "service_hook", "host": url, "password": SECRET, "extra": {"timeout": 600}}
        self.airflow.set_connections({conn_id: described})

    def trigger(self, dag_id: str, run_id: str, url: str) -> None:
        self.set_endpoint(f"{dag_id}_endpoint", url)
        self.airflow.trigger(dag_id, run_id, {"endpoint": f"{dag_id}_endpoint"})


@pytest.fixture(scope="module", params=["deployment", pytest.param("ledger_deployment", marks=pytest.mark.crash)])
def commands(request):
    running: Deployment = request.getfixturevalue(request.param)
    running.add_dags(DAGS, ("resend_one", "resend_mapped", "resend_several"), name="resend.py")
    return Commands(running)


def drop(count: int):
    """Return a handler that closes the first connections without a response, and answers the others."""
    left = [None] * count

    def answer(connection) -> None:
        connection.sendall(OK) if not left else left.pop()

    return answer


def read_delivery_id(request: bytes) -> str:
    (line,) = [one for one in request.split(b"\r\n") if one.lower().startswith(b"x-service-hook-delivery:")]
    return line.partition(b":")[2].strip().decode()


def test_resend_of_an_unknown_delivery_clears_its_task_but_not_the_downstream_task(commands):
    with raw_server(drop(1)) as server:
        commands.trigger("resend_one", "resent", server.url)
        before = commands.wait("resend_one", "resent")
        assert before["deliver", -1] == ("failed", 1)
        (found,) = commands.find("resend_one", "resent")
        assert (found["outcome"], found["state"]) == ("unknown", "unknown")
        done = commands.run("resend", found["delivery_id"][:13], "--yes", "-o", "json")
        assert done.returncode == 0, done.stderr
        assert "resend_one.deliver resent will be cleared, which sends it again; it is unknown" in done.stderr
        assert commands.wait("resend_one", "resent") == {**before, ("deliver", -1): ("success", 2)}
        assert [read_delivery_id(one) for one in server.requests] == [found["delivery_id"]] * 2
        assert b"X-Service-Hook-Redelivery: true" in server.requests[1]
    shown = commands.read("show", str(found["id"]))
    assert (shown["outcome"], shown["state"]) == ("delivered", "delivered")
    assert shown["attempts"][-1]["record"]["redelivery"] is True


def test_delivery_that_is_marked_as_delivered_is_not_sent_by_the_next_clear(commands):
    with raw_server(drop(9)) as server:
        commands.trigger("resend_one", "marked", server.url)
        assert commands.wait("resend_one", "marked")["deliver", -1] == ("failed", 1)
        (found,) = commands.find("resend_one", "marked")
        assert commands.read("mark-delivered", str(found["id"]), "--yes")[0]["result"] == "marked as delivered"
        shown = commands.read("show", str(found["id"]))
        assert (shown["outcome"], shown["state"]) == ("delivered", "settled")
        assert commands.airflow.clear("resend_one", "marked", ["deliver"]) == 1
        assert commands.wait("resend_one", "marked")["deliver", -1] == ("success", 2)
        assert len(server.requests) == 1
    shown = commands.read("show", str(found["id"]))
    assert (shown["state"], shown["attempts"][-1]["record"]["settled"]) == ("delivered", True)


def test_mark_delivered_and_resend_refuse_a_running_delivery(commands):
    may_answer = threading.Event()

    def answer(connection) -> None:
        may_answer.wait(600)
        connection.sendall(OK)

    with raw_server(answer) as server:
        commands.trigger("resend_one", "running", server.url)
        commands.airflow.wait_until("the request", lambda: server.requests)
        try:
            (found,) = commands.find("resend_one", "running")
            assert found["outcome"] == "claimed"
            for command in ("mark-delivered", "resend"):
                done = commands.run(command, str(found["id"]), "--yes")
                assert (done.returncode, done.stdout) == (1, "")
                assert "its task instance is running; wait until it has finished" in done.stderr
        finally:
            may_answer.set()
        assert commands.wait("resend_one", "running")["deliver", -1] == ("success", 1)
        assert len(server.requests) == 1
    assert commands.find("resend_one", "running")[0]["outcome"] == "delivered"


def test_resend_of_a_mapped_delivery_clears_only_its_task_instance(commands):
    with raw_server(OK) as server:
        commands.trigger("resend_mapped", "mapped", server.url)
        assert set(commands.wait("resend_mapped", "mapped").values()) == {("success", 1)}
        found = commands.find("resend_mapped", "mapped")
        assert [one["event_id"] for one in found] == ["m-0", "m-1", "m-2"]
        commands.read("resend", str(found[1]["id"]), "--yes")
        expected = {("deliver", index): ("success", 2 if index == 1 else 1) for index in range(3)}
        assert commands.wait("resend_mapped", "mapped") == expected
        sent = [read_delivery_id(one) for one in server.requests]
        assert sorted(sent) == sorted([one["delivery_id"] for one in found] + [found[1]["delivery_id"]])


def test_resend_of_one_of_several_deliveries_requires_whole_task(commands):
    with raw_server(OK) as first, raw_server(drop(1)) as second:
        commands.set_endpoint("resend_first", first.url)
        commands.set_endpoint("resend_second", second.url)
        commands.airflow.trigger("resend_several", "several")
        assert commands.wait("resend_several", "several")["deliver", -1] == ("failed", 1)
        found = {one["endpoint"]: one for one in commands.find("resend_several", "several")}
        unknown, delivered = (str(found[name]["id"]) for name in ("resend_second", "resend_first"))
        assert found["resend_second"]["outcome"] == "unknown"
        refused = commands.run("resend", unknown, "--yes")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert (
            f"a clear of its task also sends {delivered} again; give these ids too, or --whole-task" in refused.stderr
        )
        assert commands.find("resend_several", "several")[0]["state"] in ("unknown", "delivered"), "unchanged"

        done = commands.run("resend", unknown, "--whole-task", "--yes")
        assert done.returncode == 0, done.stderr
        assert f"{delivered}: will be sent again too, by the same task" in done.stderr
        assert commands.wait("resend_several", "several")["deliver", -1] == ("success", 2)
        assert (len(first.requests), len(second.requests)) == (2, 2)


@pytest.mark.crash
def test_resend_sends_a_once_per_event_delivery_again_and_a_clear_does_not(ledger_deployment):
    commands = Commands(ledger_deployment)
    ledger_deployment.add_dags(ONCE_PER_EVENT_DAG, ("resend_once",), name="resend_once.py")
    with raw_server(drop(1)) as server:
        commands.set_endpoint("resend_once", server.url)
        ledger_deployment.trigger("resend_once", "one")
        assert commands.wait("resend_once", "one")["deliver", -1] == ("failed", 1)
        ledger_deployment.clear("resend_once", "one", ["deliver"])
        assert commands.wait("resend_once", "one")["deliver", -1] == ("failed", 2), "a clear alone sends nothing"
        (found,) = commands.find("resend_once", "one")
        assert len(server.requests) == 1

        commands.read("resend", str(found["id"]), "--yes")
        assert commands.wait("resend_once", "one")["deliver", -1] == ("success", 3)
        ledger_deployment.clear("resend_once", "one", ["deliver"])
        assert commands.wait("resend_once", "one")["deliver", -1] == ("success", 4)
        assert [read_delivery_id(one) for one in server.requests] == [found["delivery_id"]] * 2
    shown = commands.read("show", str(found["id"]))
    assert [attempt["record"]["outcome"] for attempt in shown["attempts"]] == ["unknown", "delivered"]


@pytest.mark.crash
def test_resend_refuses_a_delivery_of_a_deleted_run_and_suggests_a_new_run(ledger_deployment):
    commands = Commands(ledger_deployment)
    ledger_deployment.add_dags(DAGS, ("resend_one",), name="resend.py")
    with raw_server(OK) as server:
        commands.trigger("resend_one", "deleted", server.url)
        commands.wait("resend_one", "deleted")
        assert ledger_deployment.call("DELETE", "/api/v2/dags/resend_one/dagRuns/deleted").ok
        (found,) = commands.find("resend_one", "deleted")
        done = commands.run("resend", str(found["id"]), "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "its task instance no longer exists: deliver the event again in another run" in done.stderr
    assert commands.read("show", str(found["id"]))["state"] == "delivered"


@needs_task_state_store
def test_commands_without_a_ledger_warn_once_and_list_pages_of_deliveries(deployment):
    commands = Commands(deployment)
    deployment.add_dags(DAGS, ("resend_one",), name="resend.py")
    with raw_server(OK) as server:
        for number in range(2):
            commands.trigger("resend_one", f"page-{number}", server.url)
            commands.wait("resend_one", f"page-{number}")
    first = commands.run("list", "--dag-id", "resend_one", "--outcome", "delivered", "--limit", "1", "-o", "json")
    assert first.stderr.count("this deployment has no ledger") == 1
    assert first.stderr.count("\n") == 1
    page = json.loads(first.stdout)
    rest = commands.read("list", "--dag-id", "resend_one", "--limit", "1", "--after", page["next_cursor"])
    runs = [one["run_id"] for one in (*page["deliveries"], *rest["deliveries"])]
    assert runs == ["page-1", "page-0"], "newest first"
    assert commands.run("stats").returncode == 1
