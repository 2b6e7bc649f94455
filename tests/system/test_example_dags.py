# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The unchanged example Dags in a real Airflow with the sandbox, and the task states of failed deliveries."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from airflow_provider_hooks.sandbox import Sandbox
from airflow_provider_hooks.sandbox.local_airflow import write_connections
from tests.airflow_context import SECRET
from tests.servers import OK, find_closed_port, raw_server
from tests.system.deployment import Deployment
from tests.system.real_airflow import REPOSITORY
from tests.versions import needs_variable_list

OTHER_PLATFORMS = ("akinon", "zstack", "smartsheet_rm")
EXAMPLES = {
    "alert_on_failure": ["example_alert_on_failure"],
    "cloud_events": ["example_cloud_events"],
    "delivery_policy": ["example_at_least_once", "example_several_endpoints"],
    "mapped_events": ["example_mapped_events"],
    "mtls_delivery": ["example_mtls_delivery"],
    "own_events": ["example_own_events"],
    "once_per_event": ["example_trigger_once", "example_once_per_event"],
    "register_on_sentry": ["example_register_on_sentry"],
    "slack_alert": ["example_slack_alert"],
    "stream_delivery": ["example_stream_delivery"],
    "triggered_delivery": ["example_triggered_delivery"],
    **{f"register_on_{platform}": [f"example_register_on_{platform}"] for platform in OTHER_PLATFORMS},
}
SECRET_VARIABLE = "service_hook_secret_sandbox"


def test_every_example_dag_is_run_by_a_system_test():
    examples = "".join(path.read_text() for path in (REPOSITORY / "dags").glob("*.py"))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = set(re.findall(r"example_\w+", tests)) | {f"example_register_on_{platform}" for platform in OTHER_PLATFORMS}
    declared = set(re.findall(r'DAG\(\s*"(\w+)"', examples))
    assert len(declared) > 14
    assert declared <= named


@dataclass
class Examples:
    """The running Airflow with the example Dags and connections to the sandbox."""

    airflow: Deployment
    sandbox: Sandbox
    numbers: itertools.count = field(default_factory=itertools.count)

    def run(self, dag_id: str, conf: dict | None = None) -> tuple[str, list[dict]]:
        """Run a Dag, and return the id of the run and its task instances."""
        run_id = f"{type(self).__name__.lower()}-{id(self):x}-{next(self.numbers)}"
        self.airflow.trigger(dag_id, run_id, conf, logical_date=dt.datetime.now(dt.timezone.utc).isoformat())
        return run_id, self.airflow.wait_for_run(dag_id, run_id)

    def run_successfully(self, dag_id: str, conf: dict | None = None) -> str:
        """Run a Dag, check that every task succeeds, and return the id of the run."""
        run_id, tasks = self.run(dag_id, conf)
        states = {(task["task_id"], task["map_index"]): task["state"] for task in tasks}
        assert set(states.values()) == {"success"}, states
        return run_id

    def add_hook(self, *events: str) -> None:
        """Register a hook on the sandbox, and store its secret in the Variable of the endpoint."""
        options = {"events": list(events)} if events else {}
        hook = self.sandbox.state.sentry.add_hook(("o", "p"), url=self.sandbox.receiver_url, **options)
        self.airflow.set_variable(SECRET_VARIABLE, hook.secret)


@pytest.fixture(scope="module")
def example_dags(deployment):
    for name, dag_ids in EXAMPLES.items():
        deployment.add_dags(REPOSITORY / "dags" / f"example_{name}.py", dag_ids)
    deployment.add_dags(RETRYING, ["retrying"], name="retrying.py")
    return deployment


@pytest.fixture
def examples(example_dags, sandbox):
    example_dags.delete_variables()
    example_dags.set_connections(sandbox.describe_connections())
    return Examples(example_dags, sandbox)


@needs_variable_list
def test_registration_and_delivery_store_and_log_no_secret(examples, sandbox):
    runs = [examples.run_successfully("example_register_on_sentry") for _ in range(2)]
    name = "example_scheduled_delivery"
    examples.airflow.add_dags(REPOSITORY / "dags" / f"{name}.py", [name])  # it is scheduled from now on
    (scheduled,) = examples.airflow.wait_until("a scheduled run", lambda: examples.airflow.list_runs(name))
    tasks = examples.airflow.wait_for_run(name, scheduled)
    examples.airflow.pause(name, is_paused=True)
    assert {task["state"] for task in tasks} == {"success"}
    counts = sandbox.state.summarize()
    assert {name: counts[name] for name in ("registered", "received", "verified", "duplicates")} == {
        "registered": 1,
        "received": 2,
        "verified": 2,
        "duplicates": 0,
    }
    (hook,) = sandbox.state.sentry.list_hooks(("sandbox", "pump-station"))
    secrets = [hook.secret, sandbox.state.sentry.token]
    connections = write_connections(sandbox, examples.airflow.home)
    assert examples.airflow.find_everywhere(secrets) == ["file connections.json"], "the search finds stored secrets"
    connections.unlink()
    assert examples.airflow.find_everywhere(secrets) == []
    dag_id = "example_register_on_sentry"
    registered = [examples.airflow.read_returned(dag_id, run_id, "register")[-1] for run_id in runs]
    assert [returned["created"] for returned in registered] == [True, False]


@needs_variable_list
@pytest.mark.parametrize("platform", OTHER_PLATFORMS)
def test_hook_is_registered_on_the_other_platforms(examples, sandbox, platform):
    examples.airflow.set_variable("akinon_header_secret", "s3cret-in-a-header")
    examples.run_successfully(f"example_register_on_{platform}")
    (hook,) = sandbox.state.platforms[platform].list_hooks()
    if platform == "akinon":
        assert hook.headers == {"X-Hook-Secret": "s3cret-in-a-header"}
    secrets = ["s3cret-in-a-header", *([hook.secret] if hook.secret else [])]
    assert examples.airflow.find_everywhere(secrets) == []


def test_mapped_events_are_delivered_once_with_a_claim_each(examples, sandbox):
    examples.add_hook("event.alert")
    run_id = examples.run_successfully("example_mapped_events")
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"], counts["duplicates"]) == (3, 3, 0)
    assert len(examples.airflow.read_claims("example_mapped_events", run_id)) == 3


def test_custom_events_are_delivered_once_and_verified(examples, sandbox):
    examples.add_hook()
    run_id = examples.run_successfully("example_own_events")
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"]) == (2, 2)
    bodies = {one.event_type: json.loads(one.body) for one in sandbox.state.list_deliveries()}
    assert bodies["orders.loaded"]["data"] == {"orders": 12, "run": run_id}
    assert bodies["orders.checked"]["specversion"] == "1.0"
    assert bodies["orders.checked"]["source"].endswith("/dags/example_own_events/tasks/cloud_event")


def test_at_least_once_delivery_to_a_working_receiver_takes_one_attempt(examples, sandbox):
    examples.add_hook()
    run_id = examples.run_successfully("example_at_least_once")
    ((_, record),) = examples.airflow.read_returned("example_at_least_once", run_id).items()
    assert (record["outcome"], record["attempts"]) == ("delivered", 1)


def test_event_is_delivered_to_several_endpoints(examples, sandbox):
    examples.add_hook()
    names = ["orders_warehouse", "orders_partner", "orders_audit"]
    run_id = examples.run_successfully("example_several_endpoints")
    ((_, records),) = examples.airflow.read_returned("example_several_endpoints", run_id).items()
    assert [record["endpoint"] for record in records] == names
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"], counts["duplicates"]) == (3, 3, 0)


def test_each_change_is_delivered_once_as_a_cloud_event(examples, sandbox):
    examples.add_hook()
    run_id = examples.run_successfully("example_cloud_events")
    bodies = {body["id"]: body for body in (json.loads(one.body) for one in sandbox.state.list_deliveries())}
    assert {name: body["type"] for name, body in bodies.items()} == {
        "1001-created": "com.example.order.created",
        "1002-late": "com.example.order.late",
        "1001-shipped": "com.example.order.shipped",
    }
    assert bodies["1002-late"]["data"] == {"order": "1002", "change": "late"}
    assert sandbox.state.summarize()["verified"] == 3
    assert len(examples.airflow.read_claims("example_cloud_events", run_id)) == 3


def test_failed_task_sends_one_slack_message(examples, sandbox):
    _, (task,) = examples.run("example_slack_alert")
    assert task["state"] == "failed"
    (delivery,) = sandbox.state.list_deliveries()
    assert (delivery.scheme, delivery.answered) == ("none", 200)
    message = json.loads(delivery.body)
    assert message["text"].startswith("ERROR: FileNotFoundError")
    assert "example_slack_alert.load_orders" in delivery.body


def test_event_is_delivered_with_the_client_certificate_of_a_variable(examples):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    client = authority.issue_cert("a-client")
    examples.airflow.set_variable("orders_client_private_key", client.private_key_and_cert_chain_pem.bytes().decode())
    extra = {
        "client_certificate_variable": "orders_client_private_key",
        "ca_certificates": authority.cert_pem.bytes().decode(),
        "scheme": "standard_webhooks",
    }
    with raw_server(OK, tls=context) as received:
        endpoint = {"conn_type": "service_hook", "host": received.url, "password": SECRET, "extra": extra}
        examples.airflow.set_connections({"mtls_hook": endpoint})
        examples.run_successfully("example_mtls_delivery")
    assert len(received.requests) == 1
    key = client.private_key_pem.bytes().decode().splitlines()[1]
    assert examples.airflow.find_everywhere([key]) == []


def test_sharded_stream_delivers_each_event_of_a_file_once_with_a_record(examples, sandbox):
    examples.add_hook("event.created")
    run_id = examples.run_successfully("example_stream_delivery")
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"], counts["duplicates"]) == (1_000, 1_000, 0)
    replays = examples.airflow.home.parent / "replays"
    lines = [json.loads(line) for part in replays.rglob("segment-*.jsonl") for line in part.read_text().splitlines()]
    assert sorted(line["event_id"] for line in lines) == sorted(f"order-{number}" for number in range(1_000))
    assert {line["outcome"] for line in lines} == {"delivered"}
    assert len(examples.airflow.read_claims("example_stream_delivery", run_id)) == 2


def test_failed_task_sends_one_alert_and_decorated_function_delivers_its_alerts(examples, sandbox):
    examples.add_hook()
    _, tasks = examples.run("example_alert_on_failure")
    assert {task["task_id"]: task["state"] for task in tasks} == {
        "load_orders": "failed",
        "find_late_orders": "success",
    }
    bodies = sorted(
        [json.loads(one.body) for one in sandbox.state.list_deliveries() if one.verified],
        key=lambda body: (body["message"], "event" in body),
    )
    failure = f"FileNotFoundError: [Errno 2] No such file or directory: '{examples.airflow.home}/no-inbox/orders.csv'"
    assert [body["message"] for body in bodies] == [
        failure,
        failure,
        "Order 1001 is 3 days late",
        "Order 1002 is 1 days late",
    ]
    assert bodies[0]["triggering_rules"] == ["Orders are loaded"]
    (exception,) = bodies[1]["event"]["exception"]["values"]
    assert "load_orders" in [frame["function"] for frame in exception["stacktrace"]["frames"]]


def test_repeated_trigger_for_one_event_creates_one_run(examples):
    examples.add_hook()
    states = []
    for _ in range(2):
        _, tasks = examples.run("example_trigger_once")
        states += [(task["task_id"], task["state"]) for task in tasks]
    assert states == [("deliver_once", "success"), ("deliver_once", "skipped")]
    assert examples.airflow.list_runs("example_once_per_event") == ["event-order-1001-late"]


def test_triggered_delivery_uses_the_params_of_the_run(examples, sandbox):
    examples.add_hook("event.alert")
    conf = {"message": "Stock is low", "level": "info", "url": "https://example.com/", "rules": ["Stock", "By hand"]}
    run_id = examples.run_successfully("example_triggered_delivery", conf)
    (delivery,) = sandbox.state.list_deliveries()
    assert (delivery.verified, delivery.event_type) == (True, "event.alert")
    fields = examples.airflow.read_task("example_triggered_delivery", run_id, "deliver_alert")["rendered_fields"]
    assert (fields["message"], fields["triggering_rules"]) == ("Stock is low", ["Stock", "By hand"])


def test_connection_of_another_type_fails_with_an_error_that_names_both_types(examples):
    examples.airflow.set_connections({"service_hook_default": {"conn_type": "http", "host": "https://example.com"}})
    run_id, (task,) = examples.run("example_triggered_delivery")
    assert task["state"] == "failed"
    logged = examples.airflow.read_log("example_triggered_delivery", run_id, "deliver_alert", 1)
    assert "must be service_hook (Service Hook: webhook endpoint), not 'http'" in logged


def test_invalid_params_are_refused_before_an_event_is_sent(examples, sandbox):
    body = {"dag_run_id": "loud", "logical_date": None, "conf": {"level": "loud"}}
    response = examples.airflow.call("POST", "/api/v2/dags/example_triggered_delivery/dagRuns", json=body)
    assert response.status_code == 400, response.text
    assert sandbox.state.list_deliveries() == []


def test_response_500_fails_the_task_without_a_retry(examples, sandbox):
    examples.add_hook("event.alert")
    sandbox.state.answer_status = 500
    run_id, (task,) = examples.run("example_triggered_delivery")
    assert len(sandbox.state.list_deliveries()) == 1
    assert (task["state"], task["try_number"]) == ("failed", 1)
    claim = examples.airflow.read_claims("example_triggered_delivery", run_id)[-1]
    assert (claim["state"], claim["record"]["status_code"]) == ("rejected", 500)


def test_refused_connection_is_retried_and_recorded_as_not_sent(examples, sandbox):
    url = f"http://127.0.0.1:{find_closed_port()}/"
    endpoint = {"conn_type": "service_hook", "host": url, "password": "a-secret-of-a-closed-port"}
    examples.airflow.set_connections({"service_hook_default": endpoint})
    run_id, (task,) = examples.run("retrying")
    assert sandbox.state.list_deliveries() == []
    assert (task["state"], task["try_number"]) == ("failed", 4)
    claim = examples.airflow.read_claims("retrying", run_id)[-1]
    assert (claim["state"], claim["try_number"]) == ("not_sent", 4)
    assert claim["record"]["error_class"] == "connection_refused"


RETRYING = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

with DAG("retrying", schedule=None):
    DeliverEventAlertOperator(
        task_id="deliver_alert", message="x", triggering_rules=["r"], retries=3, retry_delay=timedelta(seconds=1)
    )
"""
