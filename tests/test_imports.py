# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What each import loads, checked in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("airflow", "fastapi", "orjson", "pendulum", "pycurl", "requests", "sentry_sdk", "urllib3", "uvicorn")

ENTRY_POINTS = [
    f"airflow_provider_hooks.{name}"
    for name in (
        "operators.delivery",
        "operators.registration",
        "operators.management",
        "operators.stream",
        "notifications.service_hook",
        "decorators.service_hook",
    )
]
EXAMPLES = sorted((Path(__file__).parent.parent / "dags").glob("*.py"))
ONLY_WHEN_RUNNING = (
    *(f"airflow_provider_hooks.{name}" for name in ("_runtime", "hooks", "http", "registries", "signing", "stream")),
    "airflow_provider_hooks.delivery.service",
    "httptools",
    "orjson",
    "pycurl",
    "requests",
    "urllib3",
)

LOADED = f"""
import json, sys
import airflow_provider_hooks
from airflow_provider_hooks.get_provider_info import get_provider_info
get_provider_info()
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""

PARSED = """
import importlib, json, runpy, sys
import airflow.sdk
from airflow.sdk import BaseOperator, task
loaded, before = {}, set(sys.modules)
for name in sys.argv[1:]:
    runpy.run_path(name) if name.endswith(".py") else importlib.import_module(name)
    loaded[name] = sorted(set(sys.modules) - before)
    before = set(sys.modules)
print(json.dumps(loaded))
"""

RENDERED = """
import sys, threading
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
names = ["airflow_provider_hooks.hooks.endpoint", "airflow_provider_hooks.delivery.sender"]
operator = DeliverEventAlertOperator(task_id="deliver", message="{{ word }}")
print(any(name in sys.modules for name in names))
if sys.argv[1] == "broken":
    sys.modules[names[0]] = None
operator.render_template_fields({"word": "Late"})
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join()
print(operator.message, *(bool(sys.modules.get(name)) for name in names))
"""


def run(code: str, *arguments: str) -> str:
    told = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "Traceback" not in told.stderr
    return told.stdout


def test_the_package_and_its_metadata_import_nothing_of_airflow_and_nothing_heavy():
    assert json.loads(run(LOADED)) == []


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """What each import, and after them the parsing of each example Dag, adds to what ``airflow.sdk`` has loaded."""
    return json.loads(run(PARSED, *ENTRY_POINTS, *map(str, EXAMPLES)))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_what_a_dag_imports_loads_nothing_but_small_modules_of_the_package(loaded, name):
    assert name in loaded[name]
    foreign = [module for module in loaded[name] if not module.startswith(("airflow_provider_hooks.", "airflow.sdk."))]
    assert foreign == []


@pytest.mark.parametrize("name", [*ENTRY_POINTS, *map(str, EXAMPLES)], ids=lambda name: name.rpartition("/")[2])
def test_parsing_a_dag_loads_nothing_that_only_a_running_task_needs(loaded, name):
    assert [module for module in loaded[name] if module.startswith(ONLY_WHEN_RUNNING)] == []


def test_what_a_delivery_needs_is_imported_while_a_task_is_rendered_and_not_before():
    assert run(RENDERED, "whole").split() == ["False", "Late", "True", "True"]


def test_what_cannot_be_imported_is_told_by_the_task_and_not_while_it_is_rendered():
    assert run(RENDERED, "broken").split() == ["False", "Late", "False", "False"]
