# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Runs Airflow's own commands in the home of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass
class RealAirflow:
    """An Airflow with its own home, used through its commands."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env={**os.environ, "AIRFLOW_HOME": str(self.home), **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def migrate(self) -> None:
        """Create the tables of Airflow's database."""
        done = self.run("db", "migrate")
        assert done.returncode == 0, done.stdout + done.stderr
