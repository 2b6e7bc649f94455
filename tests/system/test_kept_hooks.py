# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Declared hooks on several platforms in a real Airflow: the API calls of each run, and the hooks after a SIGKILL."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import psutil
import pytest

from airflow_provider_hooks._runtime.variable_lock import LEASE_SECONDS
from airflow_provider_hooks.registries.store import parse_state
from tests.registries.platform_data import PLATFORM_DATA, name_connection
from tests.system.real_airflow import REPOSITORY
from tests.versions import needs_variable_list

pytestmark = needs_variable_list
EXAMPLE = "example_ensure_service_hooks"
UNCHANGED_CALLS = {name: PLATFORM_DATA[name].later_calls for name in ("sentry", "akinon", "zstack", "smartsheet_rm")}
"""The API calls of a run of the example Dag without changes, by platform."""


@pytest.fixture
def airflow(deployment, sandbox):
    """The running Airflow with connections to the sandbox."""
    deployment.delete_variables()
    deployment.set_connections(sandbox.describe_connections())
    return deployment


def add_example(airflow, dag_id: str, **replacements: str) -> None:
    """Add the example Dag with another id, without a schedule, and with parts of its text replaced."""
    text = (REPOSITORY / "dags" / f"{EXAMPLE}.py").read_text()
    for old, new in {f'"{EXAMPLE}"': f'"{dag_id}"', 'schedule="@daily"': "schedule=None", **replacements}.items():
        assert old in text
        text = text.replace(old, new)
    airflow.add_dags(text, [dag_id], name=f"{dag_id}.py")


def run_and_count(airflow, sandbox, dag_id: str = "ensure"):
    """Run the Dag once, and return the calls to each platform that was called, and the change of each task."""
    run_id = f"run-{len(airflow.list_runs(dag_id))}"
    airflow.trigger(dag_id, run_id)
    tasks = airflow.wait_for_run(dag_id, run_id)
    assert [task["state"] for task in tasks] == ["success"] * 4
    returned = airflow.read_returned(dag_id, run_id)
    counted = {name: platform.forget_calls() for name, platform in sandbox.state.platforms.items()}
    calls = {name: calls for name, calls in counted.items() if calls}
    return calls, [returned[index]["change"] for index in sorted(returned)]


def test_each_run_makes_only_the_api_calls_that_its_changes_need(airflow, sandbox):
    add_example(airflow, "ensure")
    add_example(airflow, "ensure_moved", **{"hooks.example.com/smartsheet": "hooks.example.com/moved"})
    assert run_and_count(airflow, sandbox) == (
        {
            "sentry": {"list": 1, "create": 1},
            "akinon": {"list": 2, "create": 1},
            "zstack": {"create": 1},
            "smartsheet_rm": {"list": 1, "create": 1},
        },
        ["created"] * 4,
    )
    for _ in range(2):
        assert run_and_count(airflow, sandbox) == (UNCHANGED_CALLS, ["unchanged"] * 4)

    calls, changes = run_and_count(airflow, sandbox, "ensure_moved")
    assert calls == {**UNCHANGED_CALLS, "smartsheet_rm": {"list": 1, "create": 1, "delete": 1}}
    assert sorted(changes) == ["unchanged"] * 3 + ["updated"]

    zstack = sandbox.state.platforms["zstack"]
    zstack.remove_hook(zstack.list_hooks()[0])
    calls, changes = run_and_count(airflow, sandbox, "ensure_moved")
    assert calls == {**UNCHANGED_CALLS, "zstack": {"get": 1, "create": 1}}
    assert sorted(changes) == ["created"] + ["unchanged"] * 3

    registered = {name: len(platform.list_hooks()) for name, platform in sandbox.state.platforms.items()}
    assert registered == {**dict.fromkeys(PLATFORM_DATA, 0), **dict.fromkeys(UNCHANGED_CALLS, 1)}
    secrets = [hook.secret for hook in sandbox.state.list_hooks() if hook.secret]
    secrets += [platform.token for platform in sandbox.state.platforms.values()]
    assert airflow.find_everywhere(secrets) == []
    assert airflow.read_rows("SELECT key FROM variable WHERE key LIKE '%lock%'") == []


ROTATE = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_hooks.operators import registration
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
from airflow_provider_hooks.operators.registration import EnsureServiceHookOperator

registration._MAX_SLEEP_SECONDS = 0  # so that the task is deferred also for a short overlap

with DAG("rotate", schedule=None):
    hook = {"hook_name": "orders", "service_hook_conn_id": "service_hook_default"}
    ensure = EnsureServiceHookOperator(task_id="ensure", **hook)
    # Long enough for a busy scheduler to process the deferral before the trigger fires.
    rotate = registration.RotateServiceHookSecretOperator(task_id="rotate", overlap=timedelta(seconds=10), **hook)
    alert = DeliverEventAlertOperator(task_id="deliver_alert", message="x", triggering_rules=["r"])
    ensure >> rotate >> alert
"""


def test_rotation_is_deferred_and_the_next_delivery_is_signed_with_the_new_secret(airflow, sandbox):
    airflow.add_dags(ROTATE, ["rotate"], name="rotate.py")
    airflow.trigger("rotate", "r1")
    tasks = airflow.wait_for_run("rotate", "r1")
    assert {task["state"] for task in tasks} == {"success"}, airflow.read_log_tails()
    (hook,) = sandbox.state.sentry.list_hooks()
    assert sandbox.state.sentry.count_calls() == {"list": 2, "create": 2, "delete": 1}
    (delivery,) = sandbox.state.list_deliveries()
    assert delivery.verified, "the receiver has only the secret of the new hook"
    assert airflow.find_everywhere([hook.secret]) == []


FULL = [(registry, milliseconds) for registry in ("sentry", "zstack") for milliseconds in (0, 10, 30, 100)]
FULL += [("akinon", 0), ("smartsheet_rm", 0)]
SHORT = [("sentry", 10), ("zstack", 0)]
"""The platform, and the milliseconds from its response to the kill; the next try waits for the lease to expire."""
KILLED = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_hooks._runtime.variable_lock import VariableLock
from airflow_provider_hooks.operators.registration import EnsureServiceHookOperator

VariableLock.__init__.__kwdefaults__["lease"] = LEASE

with DAG("killed", schedule=None, is_paused_upon_creation=False):
    EnsureServiceHookOperator.partial(
        task_id="ensure", retries=2, retry_delay=timedelta(seconds=1)
    ).expand_kwargs(DECLARED)
"""


SHARED = """
from airflow.sdk import DAG
from airflow_provider_hooks.operators.registration import EnsureServiceHookOperator

with DAG("shared", schedule=None, is_paused_upon_creation=False):
    EnsureServiceHookOperator.partial(
        task_id="ensure", service_hook_registry_conn_id="zstack_registry", secret_variable="service_hook_secret_shared"
    ).expand_kwargs([{"hook_name": f"n{n}", "url": f"https://hooks.example.com/shared/{n}"} for n in range(6)])
"""
"""Six declarations that share one Variable; the test starts two runs at the same time."""


def find_owner(port: int) -> psutil.Process:
    """Return the process that has a connection from a port: the process of the task."""
    (pid,) = {one.pid for one in psutil.net_connections("tcp4") if one.laddr.port == port} - {None, os.getpid()}
    return psutil.Process(pid)


@pytest.mark.parametrize(
    ("trials", "lease"),
    [(SHORT, 10), pytest.param(FULL, LEASE_SECONDS, marks=pytest.mark.crash)],
    ids=["short", "full"],
)
def test_task_killed_after_the_response_of_the_platform_leaves_one_hook_and_its_secret(
    airflow, sandbox, tmp_path, trials, lease
):
    declared, killed = [], []
    for registry, milliseconds in trials:
        name = f"{registry}-{milliseconds}"
        declared.append(
            {
                "service_hook_registry_conn_id": name_connection(registry),
                "hook_name": name,
                "url": f"https://hooks.example.com/{name}",
                "events": list(PLATFORM_DATA[registry].events[0]) or None,
                "secret_variable": f"service_hook_secret_{name}",
            }
        )

        def kill_soon(caller, milliseconds=milliseconds):
            process = find_owner(caller[1])

            def kill():
                time.sleep(milliseconds / 1_000)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
                    killed.append(caller)

            threading.Thread(target=kill, daemon=True).start()

        sandbox.state.platforms[registry].misbehave("create", then=kill_soon)
    airflow.add_dags(f"DECLARED, LEASE = {declared!r}, {lease}\n{KILLED}", ["killed"], name="killed.py")
    airflow.add_dags(SHARED, ["shared"], name="shared.py")
    airflow.trigger("killed", "r1")
    tasks = airflow.wait_for_run("killed", "r1")
    for number in (1, 2):
        airflow.trigger("shared", f"r{number}")
    for number in (1, 2):
        shared_tasks = airflow.wait_for_run("shared", f"r{number}")
        assert {task["state"] for task in shared_tasks} == {"success"}, airflow.read_log_tails()
    assert len(killed) >= len(trials) - 2, "the last two may have finished before the kill"
    variables = airflow.export_variables(tmp_path / "variables.json")
    assert not [name for name in variables if "lock" in name], "the locks of killed tasks are deleted"
    shared_hooks = [hook for hook in sandbox.state.platforms["zstack"].list_hooks() if "/shared/" in hook.url]
    stored = parse_state(variables["service_hook_secret_shared"])
    assert len(shared_hooks) == 6, "concurrent runs register no hook twice"
    assert {one.secret for one in stored} == {hook.secret for hook in shared_hooks}, "concurrent runs lose no secret"
    for task in tasks:
        registry, milliseconds = trials[task["map_index"]]
        name = f"{registry}-{milliseconds}"
        hooks = [one for one in sandbox.state.platforms[registry].list_hooks() if one.url.endswith(name)]
        assert len(hooks) == 1, f"{name}: one hook after the kill"
        stored = parse_state(variables[f"service_hook_secret_{name}"])
        assert [one.secret for one in stored] == [hooks[0].secret], f"{name}: its secret is stored"
        if registry == "zstack" and stored[0].is_pending:
            assert task["state"] == "failed", "ZStack cannot list hooks, so a user must decide"
        else:
            assert (task["state"], stored[0].hook_id) == ("success", hooks[0].hook_id)
