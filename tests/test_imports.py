# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is imported, in processes of their own: a Dag file is parsed again and again, and so is provider metadata."""

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

LIGHT = {
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
"""What the modules of the public operators may import beyond ``airflow.sdk``."""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_package_and_its_metadata_import_nothing_of_airflow_and_nothing_heavy():
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
    """What each module imports that neither ``airflow.sdk`` nor the ones before it have imported."""
    return json.loads(run(PARSED, *ENTRY_POINTS))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_a_dag_file_imports_nothing_that_only_a_running_task_needs(name, imported):
    assert name in imported[name]
    assert set(imported[name]) - LIGHT <= {name, "airflow_provider_hooks.exceptions"}
