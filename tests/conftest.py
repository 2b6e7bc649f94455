# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Each worker of pytest-xdist has its own AIRFLOW_HOME inside the checkout, and takes nothing from the user's.

So has each version of Airflow: an older one cannot use the database of a newer one.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

# Without their bytecode each worker would rewrite the assertions of every module in each session.
sys.dont_write_bytecode = False

REPOSITORY = Path(__file__).parent.parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(REPOSITORY / ".airflow" / "tests" / version("apache-airflow") / WORKER),
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
}

import pytest  # noqa: E402  (Airflow reads its configuration when it is first imported)

from tests.airflow_context import SECRET  # noqa: E402
from tests.ledgers import database, ledger, ledger_connection, postgres  # noqa: E402, F401  (fixtures)

if TYPE_CHECKING:
    from airflow_provider_hooks.sandbox import Sandbox
    from tests.variables import Variables

# The fixtures import the package: the process that starts the workers of pytest-xdist does without Airflow.

SYSTEM = "tests/system/"
OWN_AIRFLOW = ("test_claim_race.py", "test_cli.py", "test_commands.py", "test_demo.py")
"""The files of system tests that start their own Airflow; the others share one, and so a worker of pytest-xdist."""
WHOLE = ("tests/cli/", "tests/test_imports.py")
"""The folders and files whose tests share what takes seconds to make."""
TESTS_AT_ONCE = 8
"""
How many tests of a file a worker gets at once: few enough that no worker is left with a long rest, and enough that
pytest-xdist, which looks through all that a worker ever got after each test, takes little time.
"""


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """
    Import the test modules.

    No garbage is collected meanwhile: they leave none, and each search goes through all of them.
    """
    if not session.config.pluginmanager.hasplugin("dsession"):  # this process runs tests itself
        from hypothesis import HealthCheck, settings  # noqa: PLC0415

        # No test depends on how fast the machine is.
        settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("tests")
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Leave out of later collections what has been imported: it lives to the end."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each worker a few tests after the other, but those that share something expensive to the same worker."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  (tests run without pytest-xdist too)

    counts: Counter[str] = Counter()

    @functools.cache  # the tests are counted when they are distributed, and looked up as they finish
    def split_scope(nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path.startswith(SYSTEM):
            return nodeid if path.removeprefix(SYSTEM) in OWN_AIRFLOW else SYSTEM
        for whole in WHOLE:
            if path.startswith(whole):
                return whole
        counts[path] += 1
        return f"{path} {(counts[path] - 1) // TESTS_AT_ONCE}"

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def volatile_files() -> Iterator[None]:
    """Wait for no disk: only a machine that loses power could tell the difference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which fails too if the file is not open
        yield


@pytest.fixture(scope="session")
def served_sandbox():
    from airflow_provider_hooks.sandbox import serve_sandbox  # noqa: PLC0415

    with serve_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(served_sandbox: Sandbox) -> Sandbox:
    """A sandbox that has forgotten the test before."""
    served_sandbox.state.reset()
    return served_sandbox


@pytest.fixture
def allow_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS", "127.0.0.1")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, allow_loopback: None):
    """What makes the default endpoint lead to a URL."""

    def set_connection(url, *, password=SECRET, conn_type="service_hook", **extra):
        connection = {"conn_type": conn_type, "host": url, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))

    return set_connection


@pytest.fixture
def connected(sandbox: Sandbox, allow_loopback: None, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that both default connections lead to."""
    for conn_id, connection in sandbox.describe_connections().items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    return sandbox


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    """Airflow's Variables, which a test without a task runner can neither write nor list."""
    from airflow_provider_hooks._runtime import airflow, variable_lock, variable_store  # noqa: PLC0415
    from tests.variables import Variables  # noqa: PLC0415

    played = Variables()
    for module in (airflow, variable_store, variable_lock):
        monkeypatch.setattr(module, "Variable", played)
    return played
