# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Hooks on four platforms, kept as declared by a real Airflow: what the sandbox counted, and what a kill -9 leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time

import psutil
import pytest
from conftest import REPOSITORY

from airflow_provider_hooks.registries.store import parse_state
from tests.system.database import find_everywhere, read_rows
from tests.system.deployment import run_airflow

pytestmark = pytest.mark.system

KEEP = "example_keep_service_hooks"
UNCHANGED = {"sentry": {"list": 1}, "akinon": {"list": 1}, "zstack": {"get": 1}, "smartsheet_rm": {"list": 1}}


def run_and_count(airflow, sandbox, **environment):
    """Run the example once, and return the calls that each platform counted and what each task told."""
    done = airflow.run("dags", "test", KEEP, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (airflow.home / "logs" / "keep.log").write_text(done.stdout + done.stderr)
    told = [
        json.loads(value) for (value,) in read_rows(airflow.home, "SELECT value FROM xcom WHERE key = 'return_value'")
    ]
    calls = {name: platform.forget_calls() for name, platform in sandbox.state.platforms.items()}
    return calls, [one["change"] for one in told[-4:]]


def test_every_run_makes_the_calls_that_are_needed_and_no_others(sandboxed, sandbox, tmp_path):
    assert run_and_count(sandboxed, sandbox) == (
        {
            "sentry": {"list": 1, "create": 1},
            "akinon": {"list": 2, "create": 1},
            "zstack": {"create": 1},
            "smartsheet_rm": {"list": 1, "create": 1},
        },
        ["created"] * 4,
    )
    for _ in range(2):
        assert run_and_count(sandboxed, sandbox) == (UNCHANGED, ["unchanged"] * 4)

    dags = tmp_path / "dags"
    dags.mkdir()
    text = (REPOSITORY / "dags" / f"{KEEP}.py").read_text()
    (dags / f"{KEEP}.py").write_text(text.replace("hooks.example.com/smartsheet", "hooks.example.com/moved"))
    moved = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
    calls, changes = run_and_count(sandboxed, sandbox, **moved)
    assert calls == {**UNCHANGED, "smartsheet_rm": {"list": 1, "create": 1, "delete": 1}}
    assert sorted(changes) == ["unchanged"] * 3 + ["updated"]

    zstack = sandbox.state.platforms["zstack"]
    zstack.remove_hook(zstack.list_hooks()[0])
    calls, changes = run_and_count(sandboxed, sandbox, **moved)
    assert calls == {**UNCHANGED, "zstack": {"get": 1, "create": 1}}
    assert sorted(changes) == ["created"] + ["unchanged"] * 3

    assert [len(platform.list_hooks()) for platform in sandbox.state.platforms.values()] == [1, 1, 1, 1]
    (sandboxed.home / "connections.json").unlink()
    private = [hook.secret for hook in sandbox.state.list_hooks() if hook.secret]
    private += [platform.token for platform in sandbox.state.platforms.values()]
    assert find_everywhere(sandboxed.home, private) == []
    assert read_rows(sandboxed.home, "SELECT key FROM variable WHERE key LIKE '%lock%'") == []


ROTATE = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_hooks.operators import management
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
from airflow_provider_hooks.operators.registration import EnsureServiceHookOperator

management._LONGEST_SLEEP = 0  # so that a short overlap is deferred too

with DAG("rotate", schedule=None):
    here = {"hook_name": "orders", "service_hook_conn_id": "service_hook_default"}
    ensure = EnsureServiceHookOperator(task_id="ensure", **here)
    rotate = management.RotateServiceHookSecretOperator(task_id="rotate", overlap=timedelta(seconds=3), **here)
    alert = DeliverEventAlertOperator(task_id="deliver_alert", message="x", triggering_rules=["r"])
    ensure >> rotate >> alert
"""


def test_a_rotation_is_deferred_and_the_next_delivery_is_signed_with_the_new_secret(sandboxed, sandbox, tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "rotate.py").write_text(ROTATE)
    done = sandboxed.run("dags", "test", "rotate", AIRFLOW__CORE__DAGS_FOLDER=str(tmp_path / "dags"))
    assert done.returncode == 0, done.stdout + done.stderr
    (hook,) = sandbox.state.sentry.list_hooks()
    assert sandbox.state.sentry.count_calls() == {"list": 2, "create": 2, "delete": 1}
    (delivery,) = sandbox.state.list_deliveries()
    assert delivery.verified, "the receiver knows the new hook's secret only"
    assert hook.secret not in done.stdout + done.stderr


TRIALS = [(registry, milliseconds) for registry in ("sentry", "zstack") for milliseconds in (0, 10, 30, 100)]
TRIALS += [("akinon", 0), ("smartsheet_rm", 0)]
CONN_IDS = {"sentry": "service_hook_registry_default"}
EVENTS = {"akinon": ["a.b"], "smartsheet_rm": ["project.created"]}
KILLED = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_hooks.operators.registration import EnsureServiceHookOperator

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
"""Two runs of six declarations at once, all in one Variable."""


def find_owner(port: int) -> psutil.Process:
    """Return the process that has a connection from a port: the task itself."""
    (pid,) = {one.pid for one in psutil.net_connections("tcp4") if one.laddr.port == port} - {None, os.getpid()}
    return psutil.Process(pid)


def test_a_kill_between_the_platforms_answer_and_the_tasks_end_leaves_one_hook_and_its_secret(
    sandboxed, sandbox, tmp_path
):
    declared, killed = [], []
    for registry, milliseconds in TRIALS:
        name = f"{registry}-{milliseconds}"
        declared.append(
            {
                "service_hook_registry_conn_id": CONN_IDS.get(registry, f"{registry}_registry"),
                "hook_name": name,
                "url": f"https://hooks.example.com/{name}",
                "events": EVENTS.get(registry),
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
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "killed.py").write_text(f"DECLARED = {declared!r}\n{KILLED}")
    (dags / "shared.py").write_text(SHARED)
    with run_airflow(sandboxed.home, dags, **sandboxed.environment) as deployment:
        deployment.trigger("killed", "r1")
        tasks = deployment.wait_for_run("killed", "r1", seconds=250)
        for number in (1, 2):
            deployment.trigger("shared", f"r{number}")
        for number in (1, 2):
            ended = deployment.wait_for_run("shared", f"r{number}")
            assert {task["state"] for task in ended} == {"success"}, deployment.tell()
    assert len(killed) >= len(TRIALS) - 2, "the last may have been done before"
    sandboxed.run("variables", "export", str(tmp_path / "variables.json"))
    variables = json.loads((tmp_path / "variables.json").read_text())
    assert not [name for name in variables if "lock" in name], "what a killed holder left is cleared away"
    shared = [hook for hook in sandbox.state.platforms["zstack"].list_hooks() if "/shared/" in hook.url]
    kept = parse_state(json.dumps(variables["service_hook_secret_shared"]["value"]))
    assert len(shared) == 6, "two runs at once registered nothing twice"
    assert {one.secret for one in kept} == {hook.secret for hook in shared}, "and lost no secret"
    for task in tasks:
        registry, milliseconds = TRIALS[task["map_index"]]
        name = f"{registry}-{milliseconds}"
        hooks = [one for one in sandbox.state.platforms[registry].list_hooks() if one.url.endswith(name)]
        assert len(hooks) == 1, f"{name}: one hook, whenever the task was killed"
        kept = parse_state(json.dumps(variables[f"service_hook_secret_{name}"]["value"]))
        assert [one.secret for one in kept] == [hooks[0].secret], f"{name}: its secret is kept"
        if registry == "zstack" and kept[0].is_pending:
            assert task["state"] == "failed", "nobody can ask ZStack, so a person is asked"
        else:
            assert (task["state"], kept[0].hook_id) == ("success", hooks[0].hook_id)
