# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A real Airflow of its own: SQLite, the real Execution API, real rows and real retries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airflow_provider_hooks.sandbox.demo import write_connections

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass
class RealAirflow:
    """An Airflow with a home of its own, driven as a person would: by its commands."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env={**os.environ, "AIRFLOW_HOME": str(self.home), **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("airflow")
    done = RealAirflow(home=home).run("db", "migrate")
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture
def airflow(migrated_home, tmp_path) -> RealAirflow:
    """A freshly migrated Airflow; its database is a copy, so that no test sees another's rows."""
    home = tmp_path / "airflow"
    shutil.copytree(migrated_home, home)
    text = (home / "airflow.cfg").read_text().replace(str(migrated_home), str(home))
    (home / "airflow.cfg").write_text(text)
    return RealAirflow(home=home)


@pytest.fixture
def sandboxed(airflow, sandbox) -> RealAirflow:
    """The same, with its two connections set to lead to the sandbox."""
    path = write_connections(sandbox, airflow.home)
    done = airflow.run("connections", "import", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    airflow.environment["AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS"] = sandbox.address
    return airflow
