# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The modules that Dag files and provider metadata import, each checked in a new process: both are loaded often."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("airflow", "fastapi", "orjson", "pendulum", "requests", "sentry_sdk", "urllib3", "uvicorn")

LOADED = f"""
import json, sys
import airflow_provider_hooks
from airflow_provider_hooks.get_provider_info import get_provider_info
get_provider_info()
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""

PARSED = """
import importlib, json, sys
import airflow.sdk
from airflow.sdk import BaseNotifier, BaseOperator, task
imported, before = {}, set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
    imported[name] = sorted(set(sys.modules) - before)
    before = set(sys.modules)
print(json.dumps(imported))
"""

ALLOWED = {
    "airflow.sdk.bases.operatorlink",
    "airflow.sdk.definitions.retry_policy",
    "airflow_provider_hooks",
    "airflow_provider_hooks._runtime",
    "airflow_provider_hooks._runtime.compat",
    "airflow_provider_hooks.decorators",
    "airflow_provider_hooks.events",
    "airflow_provider_hooks.events.types",
    "airflow_provider_hooks.notifications",
    "airflow_provider_hooks.operators",
    "airflow_provider_hooks.operators._arguments",
    "airflow_provider_hooks.operators._base",
    "airflow_provider_hooks.operators.delivery",
    "airflow_provider_hooks.operators.links",
    "airflow_provider_hooks.sanitize",
}
"""The modules that the public operators may import in addition to ``airflow.sdk``."""


def run(code: str, *arguments: str) -> str:
    process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "Traceback" not in process.stderr
    return process.stdout


def test_package_and_provider_info_import_neither_airflow_nor_heavy_libraries():
    assert json.loads(run(LOADED)) == []


ENTRY_POINTS = [
    f"airflow_provider_hooks.{name}"
    for name in (
        "operators.delivery",
        "operators.registration",
        "notifications.service_hook",
        "decorators.service_hook",
    )
]


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """Return what each module imports that neither ``airflow.sdk`` nor the modules before it have imported."""
    return json.loads(run(PARSED, *ENTRY_POINTS))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_dag_file_does_not_import_modules_that_only_running_tasks_need(name, imported):
    assert name in imported[name]
    assert set(imported[name]) - ALLOWED <= {name, "airflow_provider_hooks.exceptions"}
