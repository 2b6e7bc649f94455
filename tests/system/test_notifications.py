# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Callbacks, deadlines, the decorator and the links in a real Airflow: scheduler, LocalExecutor, Dag processor, triggerer.

All Dags of ``notifying_dags.py`` run once, side by side; the tests look at what the receiver got of each. By default in
the Airflow of the other tests, whose claims are in the task state store, or before 3.3 in a ledger; ``make test-crash``
runs them in one with a ledger too.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import airflow
import pytest

from airflow_provider_hooks._runtime.compat import has_task_state_store
from airflow_provider_hooks.operators.links import STORAGE_TAB
from airflow_provider_hooks.sandbox.state import Received
from tests.system.claims import TaskInstance
from tests.system.deployment import CLEAR_DELETES_TASK_STATE, Deployment
from tests.system.notifying_dags import DEADLINE_CALLBACKS, KNOWN_SECRET
from tests.system.notifying_dags import NOTIFIED_SECRET as SECRET
from tests.versions import needs_deadlines, needs_task_state_store

RUN = "a-run"
RECORD = f"/{STORAGE_TAB}" if has_task_state_store() else ""
EXPECTED = {
    "at_the_end": 2,
    "every_try": 3,
    "store": 3,
    "called_twice": 3,
    "of_the_dag": 2,
    "of_success": 2,
    "mapped": 2,
    "lost": 2,
    "too_late": len(DEADLINE_CALLBACKS),
    "linked": 8,
}
"""How many events at least each project gets; with one more, a test below fails."""


@dataclass(frozen=True)
class Told:
    """One event as the receiver got it."""

    received: Received
    body: dict

    @property
    def exception(self) -> dict:
        (value,) = self.body["event"]["exception"]["values"]
        return value


@dataclass(frozen=True)
class Outcome:
    """What became of all the runs."""

    airflow: Deployment
    tasks: dict[str, list[dict]]
    told: dict[str, list[Told]]

    def read_task(self, dag_id: str, task_id: str, rest: str) -> dict:
        answer = self.airflow.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{task_id}/{rest}")
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture(scope="module", params=["deployment", pytest.param("ledger_deployment", marks=pytest.mark.crash)])
def outcome(request, served_sandbox):
    deployment: Deployment = request.getfixturevalue(request.param)
    served_sandbox.state.reset()
    served_sandbox.state.sentry.add_hook(("o", "p"), url=served_sandbox.receiver_url, secret=SECRET)
    endpoint = {"conn_type": "service_hook", "host": served_sandbox.receiver_url, "password": SECRET}
    deployment.set_connections({"service_hook_default": endpoint})
    dag_ids = [name for name in EXPECTED if name != "store"]
    deployment.add_dags(Path(__file__).parent / "notifying_dags.py", dag_ids)
    for dag_id in dag_ids:
        deployment.trigger(dag_id, RUN)
    tasks = {dag_id: deployment.wait_for_run(dag_id, RUN) for dag_id in dag_ids}

    def all_have_come():
        told = sort_by_project(served_sandbox.state.list_deliveries())
        return all(len(told[name]) >= number for name, number in EXPECTED.items()) and told

    return Outcome(deployment, tasks, deployment.wait_until("every event", all_have_come))


def sort_by_project(received: list[Received]) -> dict[str, list[Told]]:
    told = defaultdict(list)
    for one in received:
        body = json.loads(one.body)
        told[body["project"]].append(Told(one, body))
    return told


def test_every_event_is_signed(outcome):
    assert all(one.received.verified for told in outcome.told.values() for one in told)


def test_a_task_with_two_retries_that_raises_is_told_once_at_the_end(outcome):
    (failed,) = outcome.tasks["at_the_end"]
    assert (failed["state"], failed["try_number"]) == ("failed", 3)
    alert, created = sorted(outcome.told["at_the_end"], key=lambda one: one.received.event_type)
    assert (alert.received.event_type, created.received.event_type) == ("event.alert", "event.created")
    assert alert.body["message"] == created.body["message"] == "ValueError: no orders, *** 28"
    assert alert.body["triggering_rules"] == ["at_the_end failure"]
    assert alert.body["culprit"] == "at_the_end.fail"
    assert alert.body["url"] == f"{outcome.airflow.url}/dags/at_the_end/runs/{RUN}/tasks/fail?try_number=3"
    assert alert.body["id"] == created.body["id"]


def test_the_exception_arrives_with_its_type_its_message_and_its_frames(outcome):
    (created,) = [one for one in outcome.told["at_the_end"] if one.received.event_type == "event.created"]
    assert (created.exception["type"], created.exception["value"]) == ("ValueError", "no orders, *** 28")
    frame = created.exception["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["filename"].endswith("notifying_dags.py")) == ("fail", True)
    assert "raise ValueError" in frame["context_line"]
    assert "vars" not in frame
    assert dict(created.body["event"]["tags"]) == {
        "dag_id": "at_the_end",
        "task_id": "fail",
        "run_id": RUN,
        "try_number": "3",
        "team": "at_the_end",
    }


def test_a_notifier_that_fails_is_logged_and_stops_neither_the_task_nor_the_next_one(outcome):
    logged = json.dumps(outcome.read_task("at_the_end", "fail", "logs/3?full_content=true"))
    assert "Failed to send notification (sync): The conn_id `nobody` isn't defined" in logged


def test_every_try_is_told_where_asked(outcome):
    told = [(one.body["level"], one.body["url"][-1]) for one in outcome.told["every_try"]]
    assert told == [("warning", "1"), ("warning", "2"), ("error", "3")]
    assert {one.body["message"] for one in outcome.told["every_try"]} == {"fail: no orders, *** 28"}
    assert {one.body["triggering_rules"][0] for one in outcome.told["every_try"]} == {"Rule of every_try"}


@needs_task_state_store
def test_the_state_store_is_refused_to_a_try_that_is_retried_so_it_is_not_asked(outcome):
    """Airflow 3.4 serves it to a retry's callback too."""
    retried = "kept" if CLEAR_DELETES_TASK_STATE else "refused"
    assert [one.body["message"] for one in outcome.told["store"]] == [retried, retried, "kept"]


def test_a_callback_that_is_fired_twice_delivers_once_and_keeps_its_record(outcome):
    event_ids = {one.body["culprit"].rpartition(".")[2]: one.body["id"] for one in outcome.told["called_twice"]}
    assert (set(event_ids), len(outcome.told["called_twice"])) == ({"fail", "succeed", "skip"}, 3)
    for task_id, kind in (("fail", "failure"), ("succeed", "success"), ("skip", "skipped")):
        claims = outcome.airflow.claims.read_callbacks(TaskInstance("called_twice", RUN, task_id))
        ((slot, claim),) = claims.items()
        assert slot == f"on_{kind}:event.alert:service_hook_default:{event_ids[task_id]}"
        assert (claim["state"], claim["record"]["outcome"]) == ("delivered", "delivered")


def test_each_mapped_task_is_told_of_alone(outcome):
    told = sorted(one.body["url"].partition("/tasks/")[2] for one in outcome.told["mapped"])
    assert told == ["fail_mapped/mapped/0?try_number=1", "fail_mapped/mapped/1?try_number=1"]


def test_a_dag_that_fails_is_told_of(outcome):
    alert, created = sorted(outcome.told["of_the_dag"], key=lambda one: one.received.event_type)
    assert alert.body["message"] == created.body["message"] == "Dag of_the_dag failed: task_failure"
    assert alert.body["url"] == f"{outcome.airflow.url}/dags/of_the_dag/runs/{RUN}"
    assert created.body["event"]["tags"] == [["dag_id", "of_the_dag"], ["run_id", RUN], ["team", "of_the_dag"]]


def test_success_of_a_task_and_of_a_dag_is_told(outcome):
    told = {(one.body["message"], one.body["level"]) for one in outcome.told["of_success"]}
    assert told == {("Task of_success.succeed succeeded", "info"), ("Dag of_success succeeded", "info")}
    assert len(outcome.told["of_success"]) == 2


def test_a_lost_heartbeat_is_told_and_fired_again_it_has_the_same_delivery_id(outcome):
    """Airflow fires these callbacks in the Dag processor, where nothing can keep a claim, and sometimes twice."""
    told = outcome.told["lost"]
    assert {one.body["message"] for one in told} == {"Task lost.lose_heartbeat failed"}
    assert len({one.received.delivery_id for one in told}) == 2, "one of each event"


@needs_deadlines
def test_a_missed_deadline_is_told_from_an_executor_and_from_the_triggerer(outcome):
    told = {(one.body["message"], one.body["level"]) for one in outcome.told["too_late"]}
    needed = "2026-01-01 00:00:00+00:00"
    expected = [
        (f"Dag too_late missed its deadline: it was needed by {needed}", "fatal"),
        ("too_late is late", "error"),
    ]
    assert told == set(expected[-len(DEADLINE_CALLBACKS) :])
    assert len({one.body["id"] for one in outcome.told["too_late"]}) == len(outcome.told["too_late"]) == len(told)


def test_what_a_decorated_function_returns_is_delivered(outcome):
    states = {task["task_id"]: (task["state"], task["try_number"]) for task in outcome.tasks["linked"]}
    assert (states["tell_of_one"], states["tell_of_several"]) == (("success", 1), ("failed", 1))
    told = {one.body["culprit"]: one.body for one in outcome.told["linked"] if one.body["id"].isalnum()}
    one = told["linked.tell_of_one"]
    assert (one["message"], one["level"], one["triggering_rules"]) == ("linked", "info", ["Orders"])
    several = [one.body["id"] for one in outcome.told["linked"] if one.body["culprit"] == "linked.tell_of_several"]
    assert several == ["order-1", "order-3"], "the one that is wrong fails alone"


@pytest.mark.parametrize(
    ("task_id", "address"),
    [
        ("elsewhere", "https://example.com/x"),
        ("hostile", None),
        ("tell_of_one", "https://example.com/one"),
        ("tell_of_several", None),
    ],
)
def test_a_task_links_to_its_event_and_to_its_record(outcome, task_id, address):
    page = f"{outcome.airflow.url}/dags/linked/runs/{RUN}/tasks/{task_id}"
    links = outcome.read_task("linked", task_id, "links")["extra_links"]
    assert links == {"Event": address, "Delivery record": f"{page}{RECORD}"}


@pytest.mark.parametrize(
    ("task_id", "address"), [("each", "https://example.com/b"), ("tell_of_each", "https://example.com/2")]
)
def test_a_mapped_task_links_to_its_own(outcome, task_id, address):
    page = f"{outcome.airflow.url}/dags/linked/runs/{RUN}/tasks/{task_id}/mapped/1"
    links = outcome.read_task("linked", task_id, "links?map_index=1")["extra_links"]
    assert links == {"Event": address, "Delivery record": f"{page}{RECORD}"}


STORAGE_TAB_ROUTE = re.compile(rf"(path:|TaskStateStore=)`{STORAGE_TAB}`")


@needs_task_state_store
def test_the_storage_tab_is_where_the_link_leads():
    """The user interface is one page that finds its way itself; so its program is where the address has to be."""
    built = Path(airflow.__file__).parent / "ui" / "dist" / "assets"
    programs = [path for path in built.glob("*.js") if STORAGE_TAB_ROUTE.search(path.read_text(errors="replace"))]
    assert programs


def test_no_secret_is_left_behind(outcome):
    assert outcome.airflow.find_everywhere([SECRET]) == []
    in_components = [
        f"file {name}.log" for name in outcome.airflow.processes
    ]  # what Airflow itself leaves unmasked there
    assert set(outcome.airflow.find_everywhere([KNOWN_SECRET])) <= set(in_components)
    assert not [one for told in outcome.told.values() for one in told if KNOWN_SECRET in one.received.body]
