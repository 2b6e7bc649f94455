# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The commands in separate processes, as a user runs them, with connections and Variables in a real database.

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
"""The module with the commands: Airflow 3.1 does not support commands of providers."""
REGISTRY = "service_hook_registry_default"

Run = Callable[..., str]

_CONSOLE = re.compile(r"(?<=```text\n)\$ .*?(?=```)", re.DOTALL)
_LOGGED_BY_AIRFLOW_3_1 = re.compile(r"^.* \[alembic\.runtime\.plugins\] .*\n", re.MULTILINE)
"""The output of ``import airflow`` of Airflow 3.1 on standard error, which every command has."""
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
    """Replace the parts of a text that differ between runs, and the column widths that depend on them."""
    for pattern, shown in _VARYING:
        text = re.sub(pattern, shown, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def open_session(airflow: RealAirflow, path: Path, **more: str) -> Run:
    """Return a function that runs a shell line and returns its output; ``airflow`` is the Airflow under test."""
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
    """A session with the connections in the environment, so that no command is needed to add them."""
    described = sandbox.describe_connections().items()
    connections = {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection) for conn_id, connection in described}
    airflow.environment["AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS"] = sandbox.address
    return open_session(airflow, tmp_path, **connections)


def test_session_in_the_docs_has_the_documented_output(sandboxed, sandbox, tmp_path):
    session = open_session(sandboxed, tmp_path)
    outputs, secrets, variables = [], {sandbox.state.sentry.token}, {"HOOK_ID": ""}

    def run_line(line: str) -> str:
        output = session(line, **variables)
        outputs.append(output)
        for hook in sandbox.state.sentry.list_hooks():
            variables["HOOK_ID"] = hook.hook_id
            secrets.add(hook.secret)
        return f"$ {line}\n" + "".join(f"{text.rstrip()}\n" for text in output.rstrip().splitlines())

    def run_block(match: re.Match[str]) -> str:
        return "".join(map(run_line, re.findall(r"^\$ (.*)$", match[0], re.MULTILINE)))

    before = PAGE.read_text()
    after = _CONSOLE.sub(run_block, before)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(after)
        return
    assert normalize(after) == normalize(before), "WRITE_DOCS=1 writes the page again"
    assert len(secrets) == 2
    assert not [text for text in outputs for secret in secrets if secret in text]
    (delivery,) = sandbox.state.list_deliveries()  # a dry run sends nothing
    assert delivery.verified
    assert sandbox.state.sentry.list_hooks() == []


def test_two_concurrent_ensure_commands_register_one_hook(session, sandbox):
    line = f"airflow service-hooks hooks ensure {REGISTRY} --name orders --url https://example.com/hook --output json"
    with ThreadPoolExecutor(2) as pool:
        results = [json.loads(text) for text in pool.map(session, [line, line])]
    assert sorted(one["change"] for one in results) == ["created", "unchanged"]
    assert len(sandbox.state.sentry.list_hooks()) == 1


def test_rejected_event_has_exit_code_3_and_a_json_record(session, sandbox):
    sandbox.state.answer_status = 503
    secret = {"AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX": "a-secret-that-no-hook-has"}
    line = "airflow service-hooks deliver service_hook_default -o json < alert.json 2>errors; echo $?; cat errors"
    record, code = session(line, **secret).splitlines()
    assert (json.loads(record)["outcome"], json.loads(record)["status_code"], code) == ("rejected", 401, "3")


def test_sandbox_command_serves_until_sigint(airflow):
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
                with urllib.request.urlopen(f"http://{address}/deliveries", timeout=5) as response:
                    assert json.load(response)["delivered"] == 0
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) in (0, 130)
    finally:
        process.kill()
        process.communicate()
