# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``make demo`` as a separate process: its output, its exit status, and the folder that it uses."""

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
def test_demo_prints_the_counts_of_the_receiver(tmp_path):
    done = run_demo(tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    counted = json.loads(done.stdout.splitlines()[-1])
    assert counted == {"registered": 4, "delivered": 2, "verified": 2, "duplicates": 0}
    assert "Deliveries in the ledger, newest first" in done.stdout
    history = done.stdout.partition("Deliveries in the ledger, newest first")[2]
    assert history.count("delivered") == 3  # in two rows and in the counts
    assert read_rows(sqlite_url(tmp_path / "home"), "SELECT count(*) FROM task_state_store") == [(0,)]


def test_demo_does_not_change_a_folder_that_it_did_not_create(tmp_path):
    (tmp_path / "file").write_text("content")
    done = run_demo(tmp_path)
    assert done.returncode == 1
    assert "was not created by this command" in done.stdout
    assert (tmp_path / "file").read_text() == "content"
