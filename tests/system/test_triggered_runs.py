# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The examples that are started by a form, by an asset and by a verified inbound hook, in one real Airflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.claims import TaskInstance
from tests.system.deployment import CLEAR_DELETES_TASK_STATE, Deployment

EXAMPLES = Path(__file__).parent.parent.parent / "dags"
EACH_ASSET_EVENT_HAS_A_RUN = CLEAR_DELETES_TASK_STATE
"""As of Airflow 3.4; before, events that arrive together start one run."""
SECRET = "a-secret-of-the-onward-endpoint"
INBOUND_SECRET = "a-secret-of-the-inbound-hook"

TELL = """
from airflow.sdk import DAG
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

with DAG("tell", schedule=None):
    DeliverEventAlertOperator(
        task_id="deliver",
        service_hook_conn_id="{{ params.endpoint }}",
        event_id="{{ params.event_id }}",
        message="{{ params.message }}",
        url="https://status.example.com/",
        triggering_rules=["Orders arrive in time"],
        retries=3,
    )
"""


@dataclass(frozen=True)
class Place:
    """The running Airflow, which delivers to the sandbox by default, and to itself where told so."""

    airflow: Deployment

    def list_runs(self, dag_id: str) -> list[str]:
        return self.airflow.list_runs(dag_id)

    def wait_for_new_run(self, dag_id: str, known: list[str]) -> str:
        """Return the one run that a Dag has beyond those known, once it has ended."""
        (run_id,) = self.wait_for_new_runs(dag_id, known, count=1)
        return run_id

    def wait_for_new_runs(self, dag_id: str, known: list[str], *, count: int) -> list[str]:
        """Return the runs that a Dag has beyond those known, once there are so many and they have ended."""

        def find() -> list[str]:
            found = [run for run in self.list_runs(dag_id) if run not in known]
            return found if len(found) >= count else []

        runs = self.airflow.wait_until(f"{count} runs of {dag_id}", find)
        for run_id in runs:
            self.airflow.wait_for_run(dag_id, run_id)
        return runs

    def read_states(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        """Return name and state of each task instance of a run, once it has ended."""
        tasks = self.airflow.wait_for_run(dag_id, run_id)
        return sorted((task["rendered_map_index"] or task["task_id"], task["state"]) for task in tasks)

    def has_claim(self, dag_id: str, run_id: str, task_id: str) -> bool:
        return self.airflow.claims.read(TaskInstance(dag_id, run_id, task_id)) is not None

    def tell(self, run_id: str, event_id: str, message: str, endpoint: str = "inbound") -> dict:
        """Deliver an alert to the inbound endpoint, and return the answer that is in the record."""
        conf = {"event_id": event_id, "message": message, "endpoint": endpoint}
        self.airflow.trigger("tell", run_id, conf)
        return self.read_answer(run_id)

    def read_answer(self, run_id: str) -> dict:
        self.airflow.wait_for_run("tell", run_id)
        record = self.airflow.claims.read(TaskInstance("tell", run_id, "deliver"))["record"]
        answer = json.loads(record["response_body"])
        return {"status": record["status_code"], "redelivery": record["redelivery"], **answer}


@pytest.fixture(scope="module")
def place(deployment, served_sandbox):
    """The running Airflow with three example files as they are, and a Dag that delivers to Airflow itself."""
    deployment.add_dags(TELL, ["tell"], name="tell.py")
    deployment.add_dags(EXAMPLES / "example_triggered_delivery.py", ["example_triggered_delivery"])
    deployment.add_dags(EXAMPLES / "example_asset_delivery.py", ["example_load_orders", "example_asset_delivery"])
    deployment.add_dags(EXAMPLES / "example_inbound_delivery.py", ["example_inbound_hook", "example_inbound_delivery"])
    inbound = f"{deployment.url}/webhooks/orders"
    extra = {
        "source_type": "hmac_json",
        "signature_header": "X-Sentry-Hook-Signature",
        "event_header": "X-Service-Hook-Event",
        "delivery_id_field": "id",
    }
    onward = {"conn_type": "service_hook", "password": SECRET, "host": served_sandbox.receiver_url}
    deployment.set_connections(
        {
            "service_hook_default": onward,
            "inbound": {"conn_type": "service_hook", "password": INBOUND_SECRET, "host": inbound},
            "forger": {"conn_type": "service_hook", "password": "a-secret-that-is-another", "host": inbound},
            "webhook_orders": {"conn_type": "inbound_webhook", "password": INBOUND_SECRET, "extra": extra},
        }
    )
    return Place(deployment)


@pytest.fixture
def receiver(sandbox):
    """The state of a sandbox whose receiver knows the secret of the onward endpoint."""
    sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, secret=SECRET)
    return sandbox.state


def read_events(receiver) -> list[dict]:
    """Return what the receiver got, after a look that it verified all of it."""
    received = receiver.list_deliveries()
    assert [one.reason for one in received] == [None] * len(received)
    return [json.loads(one.body) for one in received]


@pytest.mark.parametrize(
    "conf",
    [
        {"level": "loud"},
        {"level": None},
        {"message": ""},
        {"message": "  "},
        {"message": "x" * 201},
        {"message": 7},
        {"url": "status.example.com"},
        {"url": "ftp://status.example.com/"},
        {"url": "https://status.example.com/a b"},
        {"rules": []},
        {"rules": "a rule"},
        {"rules": ["a rule", " "]},
        {"event_id": "an id/with a slash"},
    ],
    ids=json.dumps,
)
def test_wrong_params_are_refused_before_there_is_a_run(place, receiver, conf):
    known = place.list_runs("example_triggered_delivery")
    body = {"dag_run_id": "wrong", "logical_date": None, "conf": conf}
    answer = place.airflow.call("POST", "/api/v2/dags/example_triggered_delivery/dagRuns", json=body)
    assert answer.status_code == 400, answer.text
    assert place.list_runs("example_triggered_delivery") == known
    assert receiver.list_deliveries() == []


def test_right_params_are_what_the_event_says(place, receiver):
    conf = {
        "message": "Stock is low {{ 6 * 7 }}",
        "level": "info",
        "rules": ["Stock", "By hand"],
        "event_id": "stock-1",
    }
    place.airflow.trigger("example_triggered_delivery", "right", conf)
    assert place.read_states("example_triggered_delivery", "right") == [("deliver_alert", "success")]
    (event,) = read_events(receiver)
    told = {"id": "stock-1", "level": "info", "message": conf["message"], "url": "https://status.example.com/"}
    assert {name: event[name] for name in told} == told, "and what a person typed is no template"
    assert event["triggering_rules"] == ["Stock", "By hand"]


def test_what_passes_the_form_is_validated_once_more_before_it_is_claimed(place, receiver):
    place.airflow.trigger("example_triggered_delivery", "passing", {"url": "https://["})
    assert place.read_states("example_triggered_delivery", "passing") == [("deliver_alert", "failed")]
    assert not place.has_claim("example_triggered_delivery", "passing", "deliver_alert")
    assert receiver.list_deliveries() == []


def test_the_extra_of_an_asset_event_is_delivered(place, receiver):
    known = place.list_runs("example_asset_delivery")
    place.airflow.trigger("example_load_orders", "loaded-1")
    run_id = place.wait_for_new_run("example_asset_delivery", known)
    (event,) = read_events(receiver)
    assert (event["message"], event["level"]) == ("12 orders were loaded by loaded-1", "info")
    assert event["culprit"] == "example_load_orders.load_orders"
    states = [("list_events", "success"), (event["id"], "success")]
    assert place.read_states("example_asset_delivery", run_id) == sorted(states)

    # Whatever is run anew tells the same event: here all of it, by hand.
    assert place.airflow.clear("example_asset_delivery", run_id, ["list_events", "deliver"]) == 2
    assert place.read_states("example_asset_delivery", run_id) == sorted(states)
    assert read_events(receiver) == [event] * 2
    assert len({one.delivery_id for one in receiver.list_deliveries()}) == 1


def test_several_asset_events_of_one_run_are_delivered_once_each(place, receiver):
    assets = place.airflow.call("GET", "/api/v2/assets?name_pattern=example_orders").json()["assets"]
    (asset_id,) = [one["id"] for one in assets if one["name"] == "example_orders"]

    def update(extra: dict) -> None:
        answer = place.airflow.call("POST", "/api/v2/assets/events", json={"asset_id": asset_id, "extra": extra})
        assert answer.status_code == 200, answer.text

    def pause(is_paused: bool) -> None:
        # One run of Airflow 3.3 gets all events that arrived while the Dag was paused; Airflow 3.4 drops those.
        if not EACH_ASSET_EVENT_HAS_A_RUN:
            assert place.airflow.pause("example_asset_delivery", is_paused=is_paused)

    known = place.list_runs("example_asset_delivery")
    pause(True)
    update({"id": "several-1", "message": "one {{ 6 * 7 }}"})
    update({"id": "several-2", "message": "two", "level": "loud"})
    update({"id": "several-1", "message": "one, sent again"})
    pause(False)
    update({"id": "several-3", "message": "three"})
    count = 4 if EACH_ASSET_EVENT_HAS_A_RUN else 1
    runs = place.wait_for_new_runs("example_asset_delivery", known, count=count)
    states = {state for run_id in runs for state in place.read_states("example_asset_delivery", run_id)}
    assert states == {
        ("list_events", "success"),
        ("several-1", "success"),
        ("several-2", "failed"),
        ("several-3", "success"),
    }
    told = sorted((event["id"], event["message"]) for event in read_events(receiver))
    again = [("several-1", "one, sent again")] if EACH_ASSET_EVENT_HAS_A_RUN else []
    expected = [("several-1", "one {{ 6 * 7 }}"), *again, ("several-3", "three")]
    assert told == expected, "the one that is wrong harms no other, and none is a template"


def test_an_inbound_hook_that_is_repeated_is_one_run(place, receiver):
    known = place.list_runs("example_inbound_hook")
    message = "Order 1001 is late {{ 6 * 7 }}"
    first = place.tell("first", "order-1001", message)
    assert first == {"status": 202, "redelivery": False, "delivery_id": "order-1001", "outcome": "accepted"}
    hook_run = place.wait_for_new_run("example_inbound_hook", known)
    states = [("inbound-order-1001", "success"), ("list_events", "success")]
    assert place.read_states("example_inbound_hook", hook_run) == states
    assert place.read_states("example_inbound_delivery", "inbound-order-1001") == [("deliver", "success")]
    (event,) = read_events(receiver)
    assert (event["id"], event["message"], event["project"]) == ("order-1001", message, "tell"), "no template"

    # A person clears the delivery: it comes once more, with the same id and the same body.
    assert place.airflow.clear("tell", "first", ["deliver"]) == 1
    again = place.read_answer("first")
    assert again == {"status": 200, "redelivery": True, "delivery_id": "order-1001", "outcome": "duplicate"}
    assert place.list_runs("example_inbound_hook") == [*known, hook_run]

    # Another sender tells of the same event in other words, which the endpoint does not know for a repetition.
    known = place.list_runs("example_inbound_hook")
    assert place.tell("second", "order-1001", "Order 1001 is still late")["outcome"] == "accepted"
    hook_run = place.wait_for_new_run("example_inbound_hook", known)
    states = [("inbound-order-1001", "skipped"), ("list_events", "success")]
    assert place.read_states("example_inbound_hook", hook_run) == states

    assert place.list_runs("example_inbound_delivery") == ["inbound-order-1001"]
    assert read_events(receiver) == [event]


def test_a_hook_that_is_not_verified_starts_nothing(place, receiver):
    known = place.list_runs("example_inbound_hook")
    runs = place.list_runs("example_inbound_delivery")
    forged = place.tell("forged", "order-1002", "Order 1002 is late", endpoint="forger")
    assert forged["status"] == 401
    # A verified one after it is the next that starts a run.
    assert place.tell("verified", "order-1003", "Order 1003 is late")["status"] == 202
    place.wait_for_new_run("example_inbound_hook", known)
    place.read_states("example_inbound_delivery", "inbound-order-1003")
    assert place.list_runs("example_inbound_delivery") == [*runs, "inbound-order-1003"]
    assert [event["id"] for event in read_events(receiver)] == ["order-1003"]
