# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Callbacks, deadlines, the decorator and the links in a real Airflow: scheduler, LocalExecutor, Dag processor, triggerer.

All Dags of ``notifying_dags.py`` run once, in parallel; the tests check the events that the receiver got from each. By
default they run in the Airflow of the other tests, whose claims are in the task state store, or before 3.3 in a ledger;
``make test-crash`` also runs them in an Airflow with a ledger.
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
RECORD_PATH = f"/{STORAGE_TAB}" if has_task_state_store() else ""
EXPECTED = {
    "final_failure": 2,
    "every_try": 3,
    "store": 3,
    "called_twice": 3,
    "dag_failure": 2,
    "success_callbacks": 2,
    "mapped": 2,
    "lost_heartbeat": 2,
    "missed_deadline": len(DEADLINE_CALLBACKS),
    "linked": 8,
}
"""The number of events to wait for by project; a test below fails if there are more."""


@dataclass(frozen=True)
class ReceivedEvent:
    """An event that the receiver got."""

    received: Received
    body: dict

    @property
    def exception(self) -> dict:
        (value,) = self.body["event"]["exception"]["values"]
        return value


@dataclass(frozen=True)
class Results:
    """The task instances and the received events of all runs."""

    airflow: Deployment
    tasks: dict[str, list[dict]]
    events: dict[str, list[ReceivedEvent]]

    def read_task(self, dag_id: str, task_id: str, rest: str) -> dict:
        response = self.airflow.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{task_id}/{rest}")
        assert response.ok, response.text
        return response.json()


@pytest.fixture(scope="module", params=["deployment", pytest.param("ledger_deployment", marks=pytest.mark.crash)])
def results(request, served_sandbox):
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

    def find_all_events():
        events = group_by_project(served_sandbox.state.list_deliveries())
        return all(len(events[name]) >= number for name, number in EXPECTED.items()) and events

    return Results(deployment, tasks, deployment.wait_until("every event", find_all_events))


def group_by_project(received: list[Received]) -> dict[str, list[ReceivedEvent]]:
    events = defaultdict(list)
    for one in received:
        body = json.loads(one.body)
        events[body["project"]].append(ReceivedEvent(one, body))
    return events


def test_every_event_is_signed(results):
    assert all(one.received.verified for events in results.events.values() for one in events)


def test_failure_callback_of_a_task_with_retries_delivers_only_after_the_last_try(results):
    (failed,) = results.tasks["final_failure"]
    assert (failed["state"], failed["try_number"]) == ("failed", 3)
    alert, created = sorted(results.events["final_failure"], key=lambda one: one.received.event_type)
    assert (alert.received.event_type, created.received.event_type) == ("event.alert", "event.created")
    assert alert.body["message"] == created.body["message"] == "ValueError: no orders, *** 28"
    assert alert.body["triggering_rules"] == ["final_failure failure"]
    assert alert.body["culprit"] == "final_failure.fail"
    assert alert.body["url"] == f"{results.airflow.url}/dags/final_failure/runs/{RUN}/tasks/fail?try_number=3"
    assert alert.body["id"] == created.body["id"]


def test_exception_is_delivered_with_type_message_and_frames(results):
    (created,) = [one for one in results.events["final_failure"] if one.received.event_type == "event.created"]
    assert (created.exception["type"], created.exception["value"]) == ("ValueError", "no orders, *** 28")
    frame = created.exception["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["filename"].endswith("notifying_dags.py")) == ("fail", True)
    assert "raise ValueError" in frame["context_line"]
    assert "vars" not in frame
    assert dict(created.body["event"]["tags"]) == {
        "dag_id": "final_failure",
        "task_id": "fail",
        "run_id": RUN,
        "try_number": "3",
        "team": "final_failure",
    }


def test_failed_notifier_is_logged_and_does_not_stop_the_task_or_other_notifiers(results):
    logged = json.dumps(results.read_task("final_failure", "fail", "logs/3?full_content=true"))
    assert "Failed to send notification (sync): The conn_id `undefined_endpoint` isn't defined" in logged


def test_retry_callback_delivers_an_event_for_every_try(results):
    levels_and_tries = [(one.body["level"], one.body["url"][-1]) for one in results.events["every_try"]]
    assert levels_and_tries == [("warning", "1"), ("warning", "2"), ("error", "3")]
    assert {one.body["message"] for one in results.events["every_try"]} == {"fail: no orders, *** 28"}
    assert {one.body["triggering_rules"][0] for one in results.events["every_try"]} == {"Rule of every_try"}


@needs_task_state_store
def test_task_state_store_is_not_available_to_retry_callbacks_before_airflow_3_4(results):
    retried = "stored" if CLEAR_DELETES_TASK_STATE else "refused"
    assert [one.body["message"] for one in results.events["store"]] == [retried, retried, "stored"]


def test_callback_that_is_called_twice_delivers_once_and_stores_its_record(results):
    event_ids = {one.body["culprit"].rpartition(".")[2]: one.body["id"] for one in results.events["called_twice"]}
    assert (set(event_ids), len(results.events["called_twice"])) == ({"fail", "succeed", "skip"}, 3)
    for task_id, kind in (("fail", "failure"), ("succeed", "success"), ("skip", "skipped")):
        claims = results.airflow.claims.read_callbacks(TaskInstance("called_twice", RUN, task_id))
        ((slot, claim),) = claims.items()
        assert slot == f"on_{kind}:event.alert:service_hook_default:{event_ids[task_id]}"
        assert (claim["state"], claim["record"]["outcome"]) == ("delivered", "delivered")


def test_callback_of_each_mapped_task_instance_delivers_an_event(results):
    paths = sorted(one.body["url"].partition("/tasks/")[2] for one in results.events["mapped"])
    assert paths == ["fail_mapped/mapped/0?try_number=1", "fail_mapped/mapped/1?try_number=1"]


def test_failure_callback_of_a_dag_delivers_an_event(results):
    alert, created = sorted(results.events["dag_failure"], key=lambda one: one.received.event_type)
    assert alert.body["message"] == created.body["message"] == "Dag dag_failure failed: task_failure"
    assert alert.body["url"] == f"{results.airflow.url}/dags/dag_failure/runs/{RUN}"
    assert created.body["event"]["tags"] == [["dag_id", "dag_failure"], ["run_id", RUN], ["team", "dag_failure"]]


def test_success_callbacks_of_a_task_and_a_dag_deliver_an_event_each(results):
    messages = {(one.body["message"], one.body["level"]) for one in results.events["success_callbacks"]}
    assert messages == {
        ("Task success_callbacks.succeed succeeded", "info"),
        ("Dag success_callbacks succeeded", "info"),
    }
    assert len(results.events["success_callbacks"]) == 2


def test_callback_after_a_lost_heartbeat_delivers_with_a_stable_delivery_id(results):
    """Airflow runs these callbacks in the Dag processor, which has no task state store, and sometimes twice."""
    events = results.events["lost_heartbeat"]
    assert {one.body["message"] for one in events} == {"Task lost_heartbeat.lose_heartbeat failed"}
    assert len({one.received.delivery_id for one in events}) == 2, "one delivery id for each event"


@needs_deadlines
def test_missed_deadline_is_delivered_from_an_executor_and_from_the_triggerer(results):
    events = results.events["missed_deadline"]
    messages = {(one.body["message"], one.body["level"]) for one in events}
    needed_by = "2026-01-01 00:00:00+00:00"
    expected = [
        (f"Dag missed_deadline missed its deadline: it was due at {needed_by}", "fatal"),
        ("missed_deadline is late", "error"),
    ]
    assert messages == set(expected[-len(DEADLINE_CALLBACKS) :])
    assert len({one.body["id"] for one in events}) == len(events) == len(messages)


def test_return_value_of_a_decorated_function_is_delivered(results):
    states = {task["task_id"]: (task["state"], task["try_number"]) for task in results.tasks["linked"]}
    assert (states["deliver_one"], states["deliver_several"]) == (("success", 1), ("failed", 1))
    bodies = {one.body["culprit"]: one.body for one in results.events["linked"] if one.body["id"].isalnum()}
    one = bodies["linked.deliver_one"]
    assert (one["message"], one["level"], one["triggering_rules"]) == ("linked", "info", ["Orders"])
    several = [one.body["id"] for one in results.events["linked"] if one.body["culprit"] == "linked.deliver_several"]
    assert several == ["order-1", "order-3"], "only the invalid event fails"


@pytest.mark.parametrize(
    ("task_id", "url"),
    [
        ("elsewhere", "https://example.com/x"),
        ("hostile", None),
        ("deliver_one", "https://example.com/one"),
        ("deliver_several", None),
    ],
)
def test_task_has_links_to_its_event_and_its_delivery_record(results, task_id, url):
    page = f"{results.airflow.url}/dags/linked/runs/{RUN}/tasks/{task_id}"
    links = results.read_task("linked", task_id, "links")["extra_links"]
    assert links == {"Event": url, "Delivery record": f"{page}{RECORD_PATH}"}


@pytest.mark.parametrize(
    ("task_id", "url"), [("each", "https://example.com/b"), ("deliver_each", "https://example.com/2")]
)
def test_mapped_task_instance_has_links_to_its_own_event_and_record(results, task_id, url):
    page = f"{results.airflow.url}/dags/linked/runs/{RUN}/tasks/{task_id}/mapped/1"
    links = results.read_task("linked", task_id, "links?map_index=1")["extra_links"]
    assert links == {"Event": url, "Delivery record": f"{page}{RECORD_PATH}"}


STORAGE_TAB_ROUTE = re.compile(rf"(path:|TaskStateStore=)`{STORAGE_TAB}`")


@needs_task_state_store
def test_user_interface_has_the_storage_tab_of_the_link():
    """The user interface is a single-page application, so its JavaScript must contain the route."""
    assets = Path(airflow.__file__).parent / "ui" / "dist" / "assets"
    scripts = [path for path in assets.glob("*.js") if STORAGE_TAB_ROUTE.search(path.read_text(errors="replace"))]
    assert scripts


def test_no_secret_is_stored_logged_or_delivered(results):
    assert results.airflow.find_everywhere([SECRET]) == []
    # Airflow itself does not mask the secrets of tasks in the logs of its components.
    component_logs = {f"file {name}.log" for name in results.airflow.processes}
    assert set(results.airflow.find_everywhere([KNOWN_SECRET])) <= component_logs
    assert not [one for events in results.events.values() for one in events if KNOWN_SECRET in one.received.body]
