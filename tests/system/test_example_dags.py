# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The example Dags as they are, in a real Airflow, against the sandbox; and what each outcome means there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

from tests.servers import find_closed_port
from tests.system.database import find_everywhere, read_claim, read_rows

pytestmark = pytest.mark.system

OTHER_PLATFORMS = ("akinon", "zstack", "smartsheet_rm")
ALERT_TASK = "SELECT state, try_number FROM task_instance WHERE task_id = 'deliver_alert'"


def test_every_example_dag_is_run_by_a_test_of_this_folder():
    examples = "".join(path.read_text() for path in (REPOSITORY / "dags").glob("*.py"))
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = set(re.findall(r"example_\w+", tests)) | {f"example_register_on_{platform}" for platform in OTHER_PLATFORMS}
    declared = set(re.findall(r'DAG\(\s*"(\w+)"', examples))
    assert len(declared) > 14
    assert declared <= named


def run_dag(airflow, dag_id: str, *arguments: str, **environment: str):
    return airflow.run("dags", "test", dag_id, *arguments, **environment)


def test_registering_and_delivering_leaves_no_secret_behind(sandboxed, sandbox):
    for dag_id in ("example_register_on_sentry", "example_register_on_sentry", "example_scheduled_delivery"):
        done = run_dag(sandboxed, dag_id)
        assert done.returncode == 0, done.stdout + done.stderr
        (sandboxed.home / "logs" / f"{dag_id}.log").write_text(done.stdout + done.stderr)
    told = sandbox.state.summarize()
    assert {name: told[name] for name in ("registered", "received", "verified", "duplicates")} == {
        "registered": 1,
        "received": 2,
        "verified": 2,
        "duplicates": 0,
    }
    (hook,) = sandbox.state.sentry.list_hooks(("sandbox", "pump-station"))
    private = [hook.secret, sandbox.state.sentry.token]
    assert find_everywhere(sandboxed.home, private) == ["file connections.json"], "the search finds what is there"
    (sandboxed.home / "connections.json").unlink()
    assert find_everywhere(sandboxed.home, private) == []
    registered = read_rows(sandboxed.home, "SELECT value FROM xcom WHERE task_id = 'register'")
    assert [json.loads(value)["created"] for (value,) in registered] == [True, False]


@pytest.mark.parametrize("platform", OTHER_PLATFORMS)
def test_a_hook_is_registered_on_every_other_platform(sandboxed, sandbox, platform):
    secret = {"AIRFLOW_VAR_AKINON_HEADER_SECRET": "s3cret-in-a-header"}
    done = run_dag(sandboxed, f"example_register_on_{platform}", **secret)
    assert done.returncode == 0, done.stdout + done.stderr
    (hook,) = sandbox.state.platforms[platform].list_hooks()
    if platform == "akinon":
        assert hook.headers == {"X-Hook-Secret": "s3cret-in-a-header"}
    (sandboxed.home / "logs" / "register.log").write_text(done.stdout + done.stderr)
    (sandboxed.home / "connections.json").unlink()
    private = ["s3cret-in-a-header", *([hook.secret] if hook.secret else [])]
    assert find_everywhere(sandboxed.home, private) == []


def test_many_events_of_one_run_are_delivered_once_each_with_a_claim_each(sandboxed, sandbox):
    hook = sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, events=["event.alert"])
    done = run_dag(sandboxed, "example_mapped_events", AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX=hook.secret)
    assert done.returncode == 0, done.stdout + done.stderr
    told = sandbox.state.summarize()
    assert (told["received"], told["verified"], told["duplicates"]) == (3, 3, 0)
    assert read_rows(sandboxed.home, "SELECT count(DISTINCT map_index) FROM task_state_store") == [(3,)]


def test_a_file_of_events_is_replayed_once_each_by_its_shards_with_a_record_each(sandboxed, sandbox):
    hook = sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, events=["event.created"])
    replays = sandboxed.home / "replays"
    places = {"REPLAYS": replays.as_uri(), "AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX": hook.secret}
    done = run_dag(sandboxed, "example_stream_delivery", **places)
    assert done.returncode == 0, done.stdout + done.stderr
    told = sandbox.state.summarize()
    assert (told["received"], told["verified"], told["duplicates"]) == (1_000, 1_000, 0)
    lines = [json.loads(line) for part in replays.rglob("part-*.jsonl") for line in part.read_text().splitlines()]
    assert sorted(line["event_id"] for line in lines) == sorted(f"order-{number}" for number in range(1_000))
    assert {line["outcome"] for line in lines} == {"delivered"}
    assert read_rows(sandboxed.home, "SELECT count(DISTINCT map_index) FROM task_state_store") == [(2,)]


def test_a_task_that_fails_for_good_is_told_of_once_and_what_a_function_finds_is_delivered(sandboxed, sandbox):
    hook = sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url)
    secret = {"AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX": hook.secret, "ORDERS_INBOX": str(sandboxed.home / "no-inbox")}
    done = run_dag(sandboxed, "example_alert_on_failure", **secret)
    assert "FileNotFoundError" in done.stdout + done.stderr
    told = [json.loads(one.body) for one in sandbox.state.list_deliveries() if one.verified]
    failed = f"FileNotFoundError: [Errno 2] No such file or directory: '{sandboxed.home}/no-inbox/orders.csv'"
    assert [body["message"] for body in told] == [
        failed,
        failed,
        "Order 1001 is 3 days late",
        "Order 1002 is 1 days late",
    ]
    assert told[0]["triggering_rules"] == ["Orders are loaded"]
    (exception,) = told[1]["event"]["exception"]["values"]
    assert "load_orders" in [frame["function"] for frame in exception["stacktrace"]["frames"]]


def test_an_event_that_is_heard_of_twice_is_one_run(sandboxed):
    for _ in range(2):
        done = run_dag(sandboxed, "example_trigger_once")
        assert done.returncode == 0, done.stdout + done.stderr
    runs = read_rows(sandboxed.home, "SELECT run_id FROM dag_run WHERE dag_id = 'example_once_per_event'")
    assert runs == [("event-order-1001-late",)]
    states = read_rows(
        sandboxed.home, "SELECT state FROM task_instance WHERE task_id = 'deliver_once' ORDER BY start_date"
    )
    assert states == [("success",), ("skipped",)]


def test_a_triggered_delivery_says_what_its_params_say(sandboxed, sandbox):
    sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, events=["event.alert"])
    secret = {"AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX": sandbox.state.sentry.list_hooks(("o", "p"))[0].secret}
    conf = {"message": "Stock is low", "level": "info", "url": "https://example.com/", "rules": ["Stock", "By hand"]}
    done = run_dag(sandboxed, "example_triggered_delivery", "--conf", json.dumps(conf), **secret)
    assert done.returncode == 0, done.stdout + done.stderr
    (delivery,) = sandbox.state.list_deliveries()
    assert (delivery.verified, delivery.event_type) == (True, "event.alert")
    rendered = read_rows(sandboxed.home, "SELECT rendered_fields FROM rendered_task_instance_fields")
    fields = json.loads(rendered[0][0])
    assert (fields["message"], fields["triggering_rules"]) == ("Stock is low", ["Stock", "By hand"])


def test_params_are_checked_before_anything_is_sent(sandboxed, sandbox):
    done = run_dag(sandboxed, "example_triggered_delivery", "--conf", '{"level": "loud"}')
    assert done.returncode != 0
    assert sandbox.state.list_deliveries() == []


def test_a_receiver_that_answers_500_gets_one_request_and_the_task_fails_without_retry(sandboxed, sandbox):
    sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, events=["event.alert"])
    sandbox.state.answer_status = 500
    secret = {"AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX": sandbox.state.sentry.list_hooks(("o", "p"))[0].secret}
    done = run_dag(sandboxed, "example_triggered_delivery", **secret)
    assert done.returncode == 1
    assert len(sandbox.state.list_deliveries()) == 1
    assert read_rows(sandboxed.home, ALERT_TASK) == [("failed", 1)]
    claim = read_claim(sandboxed.home, "deliver_alert")
    assert (claim["state"], claim["record"]["status_code"]) == ("rejected", 500)


def test_with_nobody_listening_airflow_retries_and_nothing_is_sent(sandboxed, sandbox, tmp_path):
    port = find_closed_port()
    endpoint = {"conn_type": "service_hook", "host": f"http://127.0.0.1:{port}/", "password": "a-secret-of-ours"}
    dag = sandboxed.home.parent / "dags" / "retrying.py"
    dag.parent.mkdir()
    dag.write_text(RETRYING)
    done = sandboxed.run(
        "dags",
        "test",
        "retrying",
        AIRFLOW__CORE__DAGS_FOLDER=str(dag.parent),
        AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS="127.0.0.1",
        AIRFLOW_CONN_SERVICE_HOOK_DEFAULT=json.dumps(endpoint),
    )
    assert done.returncode == 1
    assert sandbox.state.list_deliveries() == []
    assert read_rows(sandboxed.home, ALERT_TASK) == [("failed", 4)]
    claim = read_claim(sandboxed.home, "deliver_alert")
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
