# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What importing costs, measured in processes of their own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import pytest

HEAVY = ("airflow", "fastapi", "orjson", "pendulum", "pycurl", "requests", "sentry_sdk", "urllib3", "uvicorn")

LOADED = f"""
import json, sys
import airflow_provider_hooks
from airflow_provider_hooks.get_provider_info import get_provider_info
get_provider_info()
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""

TIMED = """
import importlib, sys, time
import airflow.sdk
from airflow.sdk import BaseOperator, task
started = time.process_time()  # not the clock: others may be busy on this machine
importlib.import_module(sys.argv[1])
print(1000 * (time.process_time() - started))
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


@pytest.mark.parametrize(
    "name",
    [
        "operators.delivery",
        "operators.registration",
        "notifications.service_hook",
        "decorators.service_hook",
    ],
)
def test_what_a_dag_imports_costs_at_most_10_ms_beyond_airflow_sdk(name):
    assert statistics.median(float(run(TIMED, f"airflow_provider_hooks.{name}")) for _ in range(3)) <= 10


def test_what_a_delivery_needs_is_imported_while_a_task_is_rendered_and_not_before():
    assert run(RENDERED, "whole").split() == ["False", "Late", "True", "True"]


def test_what_cannot_be_imported_is_told_by_the_task_and_not_while_it_is_rendered():
    assert run(RENDERED, "broken").split() == ["False", "Late", "False", "False"]
