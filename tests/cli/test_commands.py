# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The definition that Airflow's parser imports: its commands, its help, and the modules that it imports."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest
import yaml
from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_provider_hooks import cli
from airflow_provider_hooks.cli.__main__ import make_parser
from airflow_provider_hooks.cli.commands import _load, get_service_hooks_cli_commands
from airflow_provider_hooks.get_provider_info import get_provider_info
from airflow_provider_hooks.signing import SCHEMES

ADDED = """
import json, sys
import airflow.cli.cli_config
from airflow_provider_hooks.get_provider_info import get_provider_info
get_provider_info()
before = set(sys.modules)
import airflow_provider_hooks.cli.commands as definition
definition.get_service_hooks_cli_commands()
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def walk(commands, path=()):
    for command in commands:
        if isinstance(command, GroupCommand):
            yield from walk(command.subcommands, (*path, command.name))
        else:
            yield (*path, command.name), command


COMMANDS = dict(walk(get_service_hooks_cli_commands()))


def test_the_commands_are_complete():
    names = {" ".join(path) for path in COMMANDS}
    assert names == {
        f"service-hooks {name}"
        for name in (
            *("deliver", "verify", "ping", "schemes", "sandbox"),
            *("hooks list", "hooks ensure", "hooks delete"),
            *("ledger migrate", "ledger check", "ledger clean"),
            *("endpoints list", "endpoints pause", "endpoints resume"),
            *(f"deliveries {name}" for name in ("list", "show", "resend", "mark-delivered", "stats")),
        )
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_a_function_and_help(path, run):
    command = COMMANDS[path]
    assert isinstance(command, ActionCommand)
    assert callable(pkgutil.resolve_name(command.func.__closure__[0].cell_contents))
    assert run(*path[1:], "--help").code == 0
    if path[-1] != "sandbox":
        assert any("--output" in arg.flags for arg in command.args)


def test_provider_info_names_the_function():
    (name,) = get_provider_info()["cli"]
    assert pkgutil.resolve_name(name) is get_service_hooks_cli_commands


def test_definition_imports_no_command_when_airflow_starts():
    done = subprocess.run([sys.executable, "-c", ADDED], capture_output=True, text=True, check=True)
    own = [name for name in json.loads(done.stdout) if name.startswith("airflow_provider_hooks.")]
    assert own == json.loads(done.stdout), "no library is imported"
    tables = {"airflow_provider_hooks.delivery.policy", "airflow_provider_hooks.outcomes"}
    assert set(own) == {"airflow_provider_hooks.cli", "airflow_provider_hooks.cli.commands", *tables}


def test_commands_run_without_provider_commands_of_airflow():
    command = [sys.executable, "-m", "airflow_provider_hooks.cli", "service-hooks", "schemes", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [row["scheme"] for row in json.loads(done.stdout)] == list(SCHEMES)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_parser_of_the_module_has_every_command_and_its_help(path, capsys):
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args([*path, "--help"])
    shown = capsys.readouterr().out
    assert COMMANDS[path].help.split(";")[0] in shown or COMMANDS[path].description in " ".join(shown.split())


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_schemes_command_prints_every_scheme(run, output, read):
    rows = read(run("schemes", "-o", output).out)
    assert [row["scheme"] for row in rows] == list(SCHEMES)
    assert rows[0]["signature_header"] == "X-Sentry-Hook-Signature"
    assert rows[0]["several_signatures"] is False
    assert rows[-1]["signature_header"] is None


@pytest.mark.parametrize("output", ["table", "plain"])
def test_a_table_lists_every_scheme(run, output):
    printed = run("schemes", "-o", output).out
    assert all(name in printed for name in SCHEMES)


def test_sandbox_gets_the_options_of_the_command(run, monkeypatch):
    options = {}
    monkeypatch.setattr("airflow_provider_hooks.sandbox.__main__.serve", lambda **named: options.update(named))
    assert run("sandbox", "--port", "0", "--answer", "503").code == 0
    assert options == {"host": "127.0.0.1", "port": 0, "anywhere": False, "answer": 503}


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--host", "192.0.2.1"], ["--port", "-1"]])
def test_sandbox_that_cannot_start_is_one_error_line(run, arguments):
    done = run("sandbox", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)


NOISY = """
import logging
logging.getLogger("noisy").error("imported")

def run(args):
    logging.getLogger("noisy").error(args)
"""


def test_the_import_of_a_command_logs_nothing(tmp_path, monkeypatch, caplog):
    (tmp_path / "noisy.py").write_text(NOISY)
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    _load("noisy.run")("runs")
    monkeypatch.delattr(cli, "noisy")
    monkeypatch.delitem(sys.modules, "airflow_provider_hooks.cli.noisy")
    assert caplog.messages == ["runs"]
