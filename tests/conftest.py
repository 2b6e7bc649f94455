# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Each worker of pytest-xdist has its own AIRFLOW_HOME inside the checkout, and uses none of the user's settings.

Each version of Airflow has its own too: an older one cannot use the database of a newer one.
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

# The fixtures import the package, so that the process that starts the workers of pytest-xdist needs no Airflow.

SYSTEM = "tests/system/"
OWN_AIRFLOW = ("test_claim_race.py", "test_cli.py", "test_commands.py", "test_demo.py")
"""The files of system tests that start their own Airflow; the others share one, and so a worker of pytest-xdist."""
ONE_WORKER = ("tests/cli/", "tests/test_imports.py")
"""The folders and files whose tests share a fixture that takes seconds to set up; one worker runs all of them."""
TESTS_AT_ONCE = 8
"""
The number of tests of a file that a worker gets at once.

Few enough that no worker has many left at the end, and enough that pytest-xdist, which searches all tests of a worker
after each test, takes little time.
"""


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """
    Import the test modules without garbage collection: they leave no garbage, and each collection visits all of them.
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
    """Exclude the imported modules from later garbage collections: they live until the end."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each worker a few tests at a time, and tests that share an expensive fixture to one worker."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  (tests run without pytest-xdist too)

    counts: Counter[str] = Counter()

    @functools.cache  # the tests are counted when they are distributed, and looked up as they finish
    def split_scope(nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path.startswith(SYSTEM):
            return nodeid if path.removeprefix(SYSTEM) in OWN_AIRFLOW else SYSTEM
        for place in ONE_WORKER:
            if path.startswith(place):
                return place
        counts[path] += 1
        return f"{path} {(counts[path] - 1) // TESTS_AT_ONCE}"

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def volatile_files() -> Iterator[None]:
    """Replace ``os.fsync``, which is slow: it matters only if the machine loses power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # fails too if the file is not open
        yield


@pytest.fixture(autouse=True)
def masked_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the secrets of a test from Airflow's secrets masker: in another test they may be part of other texts."""
    module = sys.modules.get("airflow.sdk._shared.secrets_masker")
    if module is not None:
        masker = module._secrets_masker()
        monkeypatch.setattr(masker, "patterns", set(masker.patterns))
        monkeypatch.setattr(masker, "replacer", masker.replacer)


@pytest.fixture(scope="session")
def served_sandbox():
    from airflow_provider_hooks.sandbox import serve_sandbox  # noqa: PLC0415

    with serve_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(served_sandbox: Sandbox) -> Sandbox:
    """A sandbox without the state of earlier tests."""
    served_sandbox.state.reset()
    return served_sandbox


@pytest.fixture
def allow_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS", "127.0.0.1")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, allow_loopback: None):
    """Return a function that sets the URL of the default endpoint."""

    def set_connection(url, *, password=SECRET, conn_type="service_hook", **extra):
        connection = {"conn_type": conn_type, "host": url, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))

    return set_connection


@pytest.fixture
def connected(sandbox: Sandbox, allow_loopback: None, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that is the endpoint and the registry of the default connections."""
    for conn_id, connection in sandbox.describe_connections().items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    return sandbox


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    """A replacement for Airflow's Variables, which a test without a task runner can neither write nor list."""
    from airflow_provider_hooks._runtime import airflow, variable_lock, variable_store  # noqa: PLC0415
    from tests.variables import Variables  # noqa: PLC0415

    replacement = Variables()
    for module in (airflow, variable_store, variable_lock):
        monkeypatch.setattr(module, "Variable", replacement)
    return replacement
