# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The example Dags that are triggered by a form, an asset or a verified inbound webhook, in a real Airflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.claims import TaskInstance
from tests.system.deployment import CLEAR_DELETES_TASK_STATE, Deployment

EXAMPLES = Path(__file__).parent.parent.parent / "dags"
EACH_ASSET_EVENT_HAS_A_RUN = CLEAR_DELETES_TASK_STATE
"""Since Airflow 3.4; earlier versions start one run for events that arrive together."""
SECRET = "a-secret-of-the-outbound-endpoint"
INBOUND_SECRET = "a-secret-of-the-inbound-webhook"

SEND_ALERT = """
from airflow.sdk import DAG
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

with DAG("send_alert", schedule=None):
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
class Environment:
    """The running Airflow, which delivers to the sandbox, and to its own inbound endpoint from ``send_alert``."""

    airflow: Deployment

    def list_runs(self, dag_id: str) -> list[str]:
        return self.airflow.list_runs(dag_id)

    def wait_for_new_run(self, dag_id: str, known: list[str]) -> str:
        """Wait until a Dag has one run in addition to the known ones and it has ended, and return its id."""
        (run_id,) = self.wait_for_new_runs(dag_id, known, count=1)
        return run_id

    def wait_for_new_runs(self, dag_id: str, known: list[str], *, count: int) -> list[str]:
        """Wait until a Dag has enough runs in addition to the known ones and they have ended, and return their ids."""

        def find() -> list[str]:
            found = [run for run in self.list_runs(dag_id) if run not in known]
            return found if len(found) >= count else []

        runs = self.airflow.wait_until(f"{count} runs of {dag_id}", find)
        for run_id in runs:
            self.airflow.wait_for_run(dag_id, run_id)
        return runs

    def read_states(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        """Wait until a run has ended, and return name and state of each task instance."""
        tasks = self.airflow.wait_for_run(dag_id, run_id)
        return sorted((task["rendered_map_index"] or task["task_id"], task["state"]) for task in tasks)

    def has_claim(self, dag_id: str, run_id: str, task_id: str) -> bool:
        return self.airflow.claims.read(TaskInstance(dag_id, run_id, task_id)) is not None

    def send_alert(self, run_id: str, event_id: str, message: str, endpoint: str = "inbound") -> dict:
        """Deliver an alert to the inbound endpoint, and return the response from the delivery record."""
        conf = {"event_id": event_id, "message": message, "endpoint": endpoint}
        self.airflow.trigger("send_alert", run_id, conf)
        return self.read_response(run_id)

    def read_response(self, run_id: str) -> dict:
        self.airflow.wait_for_run("send_alert", run_id)
        record = self.airflow.claims.read(TaskInstance("send_alert", run_id, "deliver"))["record"]
        response = json.loads(record["response_body"])
        return {"status": record["status_code"], "redelivery": record["redelivery"], **response}


@pytest.fixture(scope="module")
def environment(deployment, served_sandbox):
    """The running Airflow with three unchanged example files, and a Dag that delivers to Airflow itself."""
    deployment.add_dags(SEND_ALERT, ["send_alert"], name="send_alert.py")
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
    outbound = {"conn_type": "service_hook", "password": SECRET, "host": served_sandbox.receiver_url}
    deployment.set_connections(
        {
            "service_hook_default": outbound,
            "inbound": {"conn_type": "service_hook", "password": INBOUND_SECRET, "host": inbound},
            "forger": {"conn_type": "service_hook", "password": "a-wrong-secret", "host": inbound},
            "webhook_orders": {"conn_type": "inbound_webhook", "password": INBOUND_SECRET, "extra": extra},
        }
    )
    return Environment(deployment)


@pytest.fixture
def receiver(sandbox):
    """The state of a sandbox whose receiver has the secret of the outbound endpoint."""
    sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, secret=SECRET)
    return sandbox.state


def read_events(receiver) -> list[dict]:
    """Return the received events, and check that all of them were verified."""
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
def test_invalid_params_are_refused_before_a_run_is_created(environment, receiver, conf):
    known = environment.list_runs("example_triggered_delivery")
    body = {"dag_run_id": "invalid", "logical_date": None, "conf": conf}
    response = environment.airflow.call("POST", "/api/v2/dags/example_triggered_delivery/dagRuns", json=body)
    assert response.status_code == 400, response.text
    assert environment.list_runs("example_triggered_delivery") == known
    assert receiver.list_deliveries() == []


def test_valid_params_are_delivered_and_not_rendered_as_templates(environment, receiver):
    conf = {
        "message": "Stock is low {{ 6 * 7 }}",
        "level": "info",
        "rules": ["Stock", "By hand"],
        "event_id": "stock-1",
    }
    environment.airflow.trigger("example_triggered_delivery", "valid", conf)
    assert environment.read_states("example_triggered_delivery", "valid") == [("deliver_alert", "success")]
    (event,) = read_events(receiver)
    expected = {"id": "stock-1", "level": "info", "message": conf["message"], "url": "https://status.example.com/"}
    assert {name: event[name] for name in expected} == expected, "the input of a user is not rendered as a template"
    assert event["triggering_rules"] == ["Stock", "By hand"]


def test_invalid_event_that_passes_the_form_fails_before_it_is_claimed(environment, receiver):
    environment.airflow.trigger("example_triggered_delivery", "accepted", {"url": "https://["})
    assert environment.read_states("example_triggered_delivery", "accepted") == [("deliver_alert", "failed")]
    assert not environment.has_claim("example_triggered_delivery", "accepted", "deliver_alert")
    assert receiver.list_deliveries() == []


def test_extra_of_an_asset_event_is_delivered(environment, receiver):
    known = environment.list_runs("example_asset_delivery")
    environment.airflow.trigger("example_load_orders", "loaded-1")
    run_id = environment.wait_for_new_run("example_asset_delivery", known)
    (event,) = read_events(receiver)
    assert (event["message"], event["level"]) == ("12 orders were loaded by loaded-1", "info")
    assert event["culprit"] == "example_load_orders.load_orders"
    states = [("list_events", "success"), (event["id"], "success")]
    assert environment.read_states("example_asset_delivery", run_id) == sorted(states)

    # A clear of both tasks delivers the same event again.
    assert environment.airflow.clear("example_asset_delivery", run_id, ["list_events", "deliver"]) == 2
    assert environment.read_states("example_asset_delivery", run_id) == sorted(states)
    assert read_events(receiver) == [event] * 2
    assert len({one.delivery_id for one in receiver.list_deliveries()}) == 1


def test_several_asset_events_are_delivered_once_each(environment, receiver):
    assets = environment.airflow.call("GET", "/api/v2/assets?name_pattern=example_orders").json()["assets"]
    (asset_id,) = [one["id"] for one in assets if one["name"] == "example_orders"]

    def update(extra: dict) -> None:
        response = environment.airflow.call(
            "POST", "/api/v2/assets/events", json={"asset_id": asset_id, "extra": extra}
        )
        assert response.status_code == 200, response.text

    def pause(is_paused: bool) -> None:
        # In Airflow 3.3 one run gets all events that arrived while the Dag was paused; Airflow 3.4 drops them.
        if not EACH_ASSET_EVENT_HAS_A_RUN:
            assert environment.airflow.pause("example_asset_delivery", is_paused=is_paused)

    known = environment.list_runs("example_asset_delivery")
    pause(True)
    update({"id": "several-1", "message": "one {{ 6 * 7 }}"})
    update({"id": "several-2", "message": "two", "level": "loud"})
    update({"id": "several-1", "message": "one, sent again"})
    pause(False)
    update({"id": "several-3", "message": "three"})
    count = 4 if EACH_ASSET_EVENT_HAS_A_RUN else 1
    runs = environment.wait_for_new_runs("example_asset_delivery", known, count=count)
    states = {state for run_id in runs for state in environment.read_states("example_asset_delivery", run_id)}
    assert states == {
        ("list_events", "success"),
        ("several-1", "success"),
        ("several-2", "failed"),
        ("several-3", "success"),
    }
    delivered = sorted((event["id"], event["message"]) for event in read_events(receiver))
    repeated = [("several-1", "one, sent again")] if EACH_ASSET_EVENT_HAS_A_RUN else []
    expected = [("several-1", "one {{ 6 * 7 }}"), *repeated, ("several-3", "three")]
    assert delivered == expected, "an invalid event does not stop the others, and no message is rendered as a template"


def test_repeated_inbound_webhook_starts_one_run(environment, receiver):
    known = environment.list_runs("example_inbound_hook")
    message = "Order 1001 is late {{ 6 * 7 }}"
    first = environment.send_alert("first", "order-1001", message)
    assert first == {"status": 202, "redelivery": False, "delivery_id": "order-1001", "outcome": "accepted"}
    hook_run = environment.wait_for_new_run("example_inbound_hook", known)
    states = [("inbound-order-1001", "success"), ("list_events", "success")]
    assert environment.read_states("example_inbound_hook", hook_run) == states
    assert environment.read_states("example_inbound_delivery", "inbound-order-1001") == [("deliver", "success")]
    (event,) = read_events(receiver)
    assert event["message"] == message, "the message is not rendered as a template"
    assert (event["id"], event["project"]) == ("order-1001", "send_alert")

    # A user clears the delivery: it is sent again, with the same id and the same body.
    assert environment.airflow.clear("send_alert", "first", ["deliver"]) == 1
    second = environment.read_response("first")
    assert second == {"status": 200, "redelivery": True, "delivery_id": "order-1001", "outcome": "duplicate"}
    assert environment.list_runs("example_inbound_hook") == [*known, hook_run]

    # Another run delivers the same event with another message, which the endpoint does not detect as a duplicate.
    known = environment.list_runs("example_inbound_hook")
    assert environment.send_alert("second", "order-1001", "Order 1001 is still late")["outcome"] == "accepted"
    hook_run = environment.wait_for_new_run("example_inbound_hook", known)
    states = [("inbound-order-1001", "skipped"), ("list_events", "success")]
    assert environment.read_states("example_inbound_hook", hook_run) == states

    assert environment.list_runs("example_inbound_delivery") == ["inbound-order-1001"]
    assert read_events(receiver) == [event]


def test_inbound_webhook_with_an_invalid_signature_starts_no_run(environment, receiver):
    known = environment.list_runs("example_inbound_hook")
    runs = environment.list_runs("example_inbound_delivery")
    forged = environment.send_alert("forged", "order-1002", "Order 1002 is late", endpoint="forger")
    assert forged["status"] == 401
    # The next verified webhook starts a run.
    assert environment.send_alert("verified", "order-1003", "Order 1003 is late")["status"] == 202
    environment.wait_for_new_run("example_inbound_hook", known)
    environment.read_states("example_inbound_delivery", "inbound-order-1003")
    assert environment.list_runs("example_inbound_delivery") == [*runs, "inbound-order-1003"]
    assert [event["id"] for event in read_events(receiver)] == ["order-1003"]
