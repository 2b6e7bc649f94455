# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The example Dags as they are, in a real Airflow, against the sandbox; and what each outcome means there."""

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


def test_every_example_dag_is_run_by_a_test_of_this_folder():
    examples = "".join(path.read_text() for path in (REPOSITORY / "dags").glob("*.py"))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = set(re.findall(r"example_\w+", tests)) | {f"example_register_on_{platform}" for platform in OTHER_PLATFORMS}
    declared = set(re.findall(r'DAG\(\s*"(\w+)"', examples))
    assert len(declared) > 14
    assert declared <= named


@dataclass
class Examples:
    """The running Airflow with the example Dags, whose connections lead to the sandbox."""

    airflow: Deployment
    sandbox: Sandbox
    numbers: itertools.count = field(default_factory=itertools.count)

    def run(self, dag_id: str, conf: dict | None = None) -> tuple[str, list[dict]]:
        """Run a Dag, and return the id of the run and its task instances."""
        run_id = f"{type(self).__name__.lower()}-{id(self):x}-{next(self.numbers)}"
        self.airflow.trigger(dag_id, run_id, conf, logical_date=dt.datetime.now(dt.timezone.utc).isoformat())
        return run_id, self.airflow.wait_for_run(dag_id, run_id)

    def pass_dag(self, dag_id: str, conf: dict | None = None) -> str:
        """Run a Dag of which every task succeeds, and return the id of the run."""
        run_id, tasks = self.run(dag_id, conf)
        states = {(task["task_id"], task["map_index"]): task["state"] for task in tasks}
        assert set(states.values()) == {"success"}, states
        return run_id

    def add_hook(self, *events: str) -> None:
        """Have a hook on the sandbox whose secret is where the endpoint finds it."""
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
def test_registering_and_delivering_leaves_no_secret_behind(examples, sandbox):
    runs = [examples.pass_dag("example_register_on_sentry") for _ in range(2)]
    name = "example_scheduled_delivery"
    examples.airflow.add_dags(REPOSITORY / "dags" / f"{name}.py", [name])  # from now on it runs by its schedule
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
    private = [hook.secret, sandbox.state.sentry.token]
    connections = write_connections(sandbox, examples.airflow.home)
    assert examples.airflow.find_everywhere(private) == ["file connections.json"], "the search finds what is there"
    connections.unlink()
    assert examples.airflow.find_everywhere(private) == []
    dag_id = "example_register_on_sentry"
    registered = [examples.airflow.read_returned(dag_id, run_id, "register")[-1] for run_id in runs]
    assert [returned["created"] for returned in registered] == [True, False]


@needs_variable_list
@pytest.mark.parametrize("platform", OTHER_PLATFORMS)
def test_a_hook_is_registered_on_every_other_platform(examples, sandbox, platform):
    examples.airflow.set_variable("akinon_header_secret", "s3cret-in-a-header")
    examples.pass_dag(f"example_register_on_{platform}")
    (hook,) = sandbox.state.platforms[platform].list_hooks()
    if platform == "akinon":
        assert hook.headers == {"X-Hook-Secret": "s3cret-in-a-header"}
    private = ["s3cret-in-a-header", *([hook.secret] if hook.secret else [])]
    assert examples.airflow.find_everywhere(private) == []


def test_many_events_of_one_run_are_delivered_once_each_with_a_claim_each(examples, sandbox):
    examples.add_hook("event.alert")
    run_id = examples.pass_dag("example_mapped_events")
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"], counts["duplicates"]) == (3, 3, 0)
    assert len(examples.airflow.read_claims("example_mapped_events", run_id)) == 3


def test_own_events_are_delivered_once_each_verified(examples, sandbox):
    examples.add_hook()
    run_id = examples.pass_dag("example_own_events")
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"]) == (2, 2)
    bodies = {one.event_type: json.loads(one.body) for one in sandbox.state.list_deliveries()}
    assert bodies["orders.loaded"]["data"] == {"orders": 12, "run": run_id}
    assert bodies["orders.checked"]["specversion"] == "1.0"
    assert bodies["orders.checked"]["source"].endswith("/dags/example_own_events/tasks/cloud_event")


def test_an_event_is_delivered_at_least_once_to_a_receiver_that_is_up(examples, sandbox):
    examples.add_hook()
    run_id = examples.pass_dag("example_at_least_once")
    ((_, record),) = examples.airflow.read_returned("example_at_least_once", run_id).items()
    assert (record["outcome"], record["attempts"]) == ("delivered", 1)


def test_an_event_goes_to_several_endpoints(examples, sandbox):
    examples.add_hook()
    names = ["orders_warehouse", "orders_partner", "orders_audit"]
    run_id = examples.pass_dag("example_several_endpoints")
    ((_, records),) = examples.airflow.read_returned("example_several_endpoints", run_id).items()
    assert [record["endpoint"] for record in records] == names
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"], counts["duplicates"]) == (3, 3, 0)


def test_each_change_is_delivered_once_as_a_cloud_event(examples, sandbox):
    examples.add_hook()
    run_id = examples.pass_dag("example_cloud_events")
    bodies = {body["id"]: body for body in (json.loads(one.body) for one in sandbox.state.list_deliveries())}
    assert {name: body["type"] for name, body in bodies.items()} == {
        "1001-created": "com.example.order.created",
        "1002-late": "com.example.order.late",
        "1001-shipped": "com.example.order.shipped",
    }
    assert bodies["1002-late"]["data"] == {"order": "1002", "change": "late"}
    assert sandbox.state.summarize()["verified"] == 3
    assert len(examples.airflow.read_claims("example_cloud_events", run_id)) == 3


def test_a_task_that_fails_for_good_is_one_message_in_slack(examples, sandbox):
    _, (task,) = examples.run("example_slack_alert")
    assert task["state"] == "failed"
    (delivery,) = sandbox.state.list_deliveries()
    assert (delivery.scheme, delivery.answered) == ("none", 200)
    message = json.loads(delivery.body)
    assert message["text"].startswith("ERROR: FileNotFoundError")
    assert "example_slack_alert.load_orders" in delivery.body


def test_an_event_is_delivered_with_the_client_certificate_of_a_variable(examples):
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
        examples.pass_dag("example_mtls_delivery")
    assert len(received.requests) == 1
    key = client.private_key_pem.bytes().decode().splitlines()[1]
    assert examples.airflow.find_everywhere([key]) == []


def test_a_file_of_events_is_replayed_once_each_by_its_shards_with_a_record_each(examples, sandbox):
    examples.add_hook("event.created")
    run_id = examples.pass_dag("example_stream_delivery")
    counts = sandbox.state.summarize()
    assert (counts["received"], counts["verified"], counts["duplicates"]) == (1_000, 1_000, 0)
    replays = examples.airflow.home.parent / "replays"
    lines = [json.loads(line) for part in replays.rglob("segment-*.jsonl") for line in part.read_text().splitlines()]
    assert sorted(line["event_id"] for line in lines) == sorted(f"order-{number}" for number in range(1_000))
    assert {line["outcome"] for line in lines} == {"delivered"}
    assert len(examples.airflow.read_claims("example_stream_delivery", run_id)) == 2


def test_a_task_that_fails_for_good_is_told_of_once_and_what_a_function_finds_is_delivered(examples, sandbox):
    examples.add_hook()
    _, tasks = examples.run("example_alert_on_failure")
    assert {task["task_id"]: task["state"] for task in tasks} == {
        "load_orders": "failed",
        "find_late_orders": "success",
    }
    told = sorted(
        [json.loads(one.body) for one in sandbox.state.list_deliveries() if one.verified],
        key=lambda body: (body["message"], "event" in body),
    )
    failed = f"FileNotFoundError: [Errno 2] No such file or directory: '{examples.airflow.home}/no-inbox/orders.csv'"
    assert [body["message"] for body in told] == [
        failed,
        failed,
        "Order 1001 is 3 days late",
        "Order 1002 is 1 days late",
    ]
    assert told[0]["triggering_rules"] == ["Orders are loaded"]
    (exception,) = told[1]["event"]["exception"]["values"]
    assert "load_orders" in [frame["function"] for frame in exception["stacktrace"]["frames"]]


def test_an_event_that_is_heard_of_twice_is_one_run(examples):
    examples.add_hook()
    states = []
    for _ in range(2):
        _, tasks = examples.run("example_trigger_once")
        states += [(task["task_id"], task["state"]) for task in tasks]
    assert states == [("deliver_once", "success"), ("deliver_once", "skipped")]
    assert examples.airflow.list_runs("example_once_per_event") == ["event-order-1001-late"]


def test_a_triggered_delivery_says_what_its_params_say(examples, sandbox):
    examples.add_hook("event.alert")
    conf = {"message": "Stock is low", "level": "info", "url": "https://example.com/", "rules": ["Stock", "By hand"]}
    run_id = examples.pass_dag("example_triggered_delivery", conf)
    (delivery,) = sandbox.state.list_deliveries()
    assert (delivery.verified, delivery.event_type) == (True, "event.alert")
    fields = examples.airflow.read_task("example_triggered_delivery", run_id, "deliver_alert")["rendered_fields"]
    assert (fields["message"], fields["triggering_rules"]) == ("Stock is low", ["Stock", "By hand"])


def test_a_connection_of_another_type_is_refused_by_name(examples):
    examples.airflow.set_connections({"service_hook_default": {"conn_type": "http", "host": "https://example.com"}})
    run_id, (task,) = examples.run("example_triggered_delivery")
    assert task["state"] == "failed"
    logged = examples.airflow.read_log("example_triggered_delivery", run_id, "deliver_alert", 1)
    assert "must be service_hook (Service Hook: webhook endpoint), not 'http'" in logged


def test_params_are_checked_before_anything_is_sent(examples, sandbox):
    body = {"dag_run_id": "loud", "logical_date": None, "conf": {"level": "loud"}}
    answer = examples.airflow.call("POST", "/api/v2/dags/example_triggered_delivery/dagRuns", json=body)
    assert answer.status_code == 400, answer.text
    assert sandbox.state.list_deliveries() == []


def test_a_receiver_that_answers_500_gets_one_request_and_the_task_fails_without_retry(examples, sandbox):
    examples.add_hook("event.alert")
    sandbox.state.answer_status = 500
    run_id, (task,) = examples.run("example_triggered_delivery")
    assert len(sandbox.state.list_deliveries()) == 1
    assert (task["state"], task["try_number"]) == ("failed", 1)
    claim = examples.airflow.read_claims("example_triggered_delivery", run_id)[-1]
    assert (claim["state"], claim["record"]["status_code"]) == ("rejected", 500)


def test_with_nobody_listening_airflow_retries_and_nothing_is_sent(examples, sandbox):
    url = f"http://127.0.0.1:{find_closed_port()}/"
    endpoint = {"conn_type": "service_hook", "host": url, "password": "a-secret-of-nobody"}
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
