# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The commands as a user runs them: separate processes, with connections and Variables in a real database.

The session of ``docs/reference/cli.md`` is run unchanged. ``WRITE_DOCS=1`` writes its output into the page.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_hooks._runtime.compat import has_provider_commands
from tests.system.real_airflow import REPOSITORY, RealAirflow

PAGE = REPOSITORY / "docs" / "reference" / "cli.md"
COMMANDS = "airflow" if has_provider_commands() else "airflow_provider_hooks.cli"
"""The module that has the commands: Airflow 3.1 has none of providers."""
REGISTRY = "service_hook_registry_default"

Run = Callable[..., str]

_CONSOLE = re.compile(r"(?<=```text\n)\$ .*?(?=```)", re.DOTALL)
_LOGGED_BY_AIRFLOW_3_1 = re.compile(r"^.* \[alembic\.runtime\.plugins\] .*\n", re.MULTILINE)
"""What ``import airflow`` of Airflow 3.1 writes to standard error, whatever the command is."""
_VARYING = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "<uuid>"),
    (r"\b[0-9a-f]{64}\b", "<64 hex digits>"),
    (r"\b[0-9a-f]{32}\b", "<32 hex digits>"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "<time>"),
    (r"\w{3}, \d\d \w{3} \d{4} [\d:]+ GMT", "<date>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"\d+\.\d+(?=\s*\n)", "<ms>"),
    (r"airflow-provider-hooks/\S+", "<version>"),
    (r"=[=+]+", "="),
    (r"[ \t]+", " "),
]


def normalize(text: str) -> str:
    """Return a text without what differs from run to run, and without the widths that follow from it."""
    for pattern, shown in _VARYING:
        text = re.sub(pattern, shown, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def open_session(airflow: RealAirflow, path: Path, **more: str) -> Run:
    """Return what runs a line of shell and returns its output; in it ``airflow`` is the Airflow under test."""
    bin_dir, work = path / "bin", path / "work"
    bin_dir.mkdir()
    work.mkdir()
    (bin_dir / "airflow").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {COMMANDS} "$@"\n')
    (bin_dir / "airflow").chmod(0o755)
    (event,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (work / "alert.json").write_text(event)
    programs = os.pathsep.join([str(bin_dir), os.environ["PATH"]])
    environment = {**os.environ, "AIRFLOW_HOME": str(airflow.home), **airflow.environment, "PATH": programs, **more}

    def run(line: str, **variables: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=work,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return _LOGGED_BY_AIRFLOW_3_1.sub("", done.stdout)

    return run


@pytest.fixture
def session(airflow, sandbox, tmp_path) -> Run:
    """A session whose connections are in the environment, which takes no command to set them."""
    described = sandbox.describe_connections().items()
    connections = {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection) for conn_id, connection in described}
    airflow.environment["AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS"] = sandbox.address
    return open_session(airflow, tmp_path, **connections)


def test_the_session_in_the_docs_goes_as_it_is_shown(sandboxed, sandbox, tmp_path):
    session = open_session(sandboxed, tmp_path)
    printed, private, variables = [], {sandbox.state.sentry.token}, {"HOOK_ID": ""}

    def run_line(line: str) -> str:
        told = session(line, **variables)
        printed.append(told)
        for hook in sandbox.state.sentry.list_hooks():
            variables["HOOK_ID"] = hook.hook_id
            private.add(hook.secret)
        return f"$ {line}\n" + "".join(f"{text.rstrip()}\n" for text in told.rstrip().splitlines())

    def run_block(found: re.Match[str]) -> str:
        return "".join(map(run_line, re.findall(r"^\$ (.*)$", found[0], re.MULTILINE)))

    before = PAGE.read_text()
    after = _CONSOLE.sub(run_block, before)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(after)
        return
    assert normalize(after) == normalize(before), "WRITE_DOCS=1 writes the page again"
    assert len(private) == 2
    assert not [text for text in printed for secret in private if secret in text]
    (delivery,) = sandbox.state.list_deliveries()  # a dry run sends nothing
    assert delivery.verified
    assert sandbox.state.sentry.list_hooks() == []


def test_two_that_declare_the_same_at_once_make_one_hook(session, sandbox):
    line = f"airflow service-hooks hooks ensure {REGISTRY} --name orders --url https://example.com/hook --output json"
    with ThreadPoolExecutor(2) as pool:
        told = [json.loads(text) for text in pool.map(session, [line, line])]
    assert sorted(one["change"] for one in told) == ["created", "unchanged"]
    assert len(sandbox.state.sentry.list_hooks()) == 1


def test_a_rejected_event_is_3_and_its_record_is_json(session, sandbox):
    sandbox.state.answer_status = 503
    secret = {"AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX": "a-secret-that-no-hook-has"}
    line = "airflow service-hooks deliver service_hook_default -o json < alert.json 2>errors; echo $?; cat errors"
    record, code = session(line, **secret).splitlines()
    assert (json.loads(record)["outcome"], json.loads(record)["status_code"], code) == ("rejected", 401, "3")


def test_the_sandbox_serves_until_interrupted(airflow):
    process = subprocess.Popen(
        [sys.executable, "-m", COMMANDS, "service-hooks", "sandbox", "--port", "0"],
        env={**os.environ, "AIRFLOW_HOME": str(airflow.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        (address,) = re.findall(r"http://(127\.0\.0\.1:\d+)", process.stdout.readline())
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://{address}/deliveries", timeout=5) as answer:
                    assert json.load(answer)["delivered"] == 0
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) in (0, 130)
    finally:
        process.kill()
        process.communicate()
