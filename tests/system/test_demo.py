# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``make demo`` as a process of its own: what it prints, its exit status, and that a second one starts afresh."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.system.database import read_rows, sqlite_url
from tests.versions import needs_variable_list


def run_demo(home):
    return subprocess.run(
        [sys.executable, "-m", "airflow_provider_hooks.sandbox.demo"],
        env={**os.environ, "DEMO_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@needs_variable_list
def test_it_ends_with_what_the_receiver_counted(tmp_path):
    done = run_demo(tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    counted = json.loads(done.stdout.splitlines()[-1])
    assert counted == {"registered": 4, "delivered": 2, "verified": 2, "duplicates": 0}
    assert "Deliveries in the ledger, newest first" in done.stdout
    history = done.stdout.partition("Deliveries in the ledger, newest first")[2]
    assert history.count("delivered") == 3  # two rows, and the counts
    assert read_rows(sqlite_url(tmp_path / "home"), "SELECT count(*) FROM task_state_store") == [(0,)]


def test_a_home_that_is_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("keep me")
    done = run_demo(tmp_path)
    assert done.returncode == 1
    assert "was not made by this demonstration" in done.stdout
    assert (tmp_path / "precious").read_text() == "keep me"
