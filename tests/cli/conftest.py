# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Run commands in the test process, by Airflow's parser if it has them, and return their output and exit status."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import pytest
from airflow.cli.cli_parser import get_parser

from airflow_provider_hooks._runtime.compat import has_provider_commands
from airflow_provider_hooks.cli.__main__ import make_parser
from airflow_provider_hooks.ledger.schema import migrate
from tests.cli.cli_secrets import SECRET, TOKEN
from tests.ledgers import CONN_ID, describe_postgres, open_database


@dataclass
class CommandResult:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Terminal(io.TextIOWrapper):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="session")
def parser():
    return get_parser() if has_provider_commands() else make_parser()


@pytest.fixture
def run(parser, monkeypatch, capsys):
    """Run ``airflow service-hooks`` with arguments, and optionally with standard input."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.delenv("SERVICE_HOOK_SECRET", raising=False)

    def run(*arguments: str, stdin: bytes = b"", is_terminal: bool = False) -> CommandResult:
        monkeypatch.setattr(
            "sys.stdin", Terminal(io.BytesIO(stdin)) if is_terminal else io.TextIOWrapper(io.BytesIO(stdin))
        )
        code: int | str | None = 0
        capsys.readouterr()
        try:
            args = parser.parse_args(["service-hooks", *arguments])
            args.func(args)
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        assert "Traceback" not in out + err
        return CommandResult(code=code, out=out, err=err)

    return run


@pytest.fixture
def endpoint(monkeypatch, allow_loopback):
    """Set the connection ``an_endpoint``, with a signing secret and a secret header."""

    def set_connection(url: str, **extra: object) -> str:
        connection = {
            "conn_type": "service_hook",
            "host": url,
            "password": SECRET,
            "extra": {"scheme": "sentry", "secret_headers": {"Authorization": f"Bearer {TOKEN}"}, **extra},
        }
        monkeypatch.setenv("AIRFLOW_CONN_AN_ENDPOINT", json.dumps(connection))
        return "an_endpoint"

    return set_connection


@pytest.fixture
def name_ledger(monkeypatch):
    """Configure the ledger of the deployment, described as an Airflow connection."""

    def name(described):
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(described))
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID", CONN_ID)

    return name


@pytest.fixture
def restricted(postgres):
    """Return connections to a migrated ledger: of its owner, and of a role with some rights on its tables."""

    def describe(rights: str) -> tuple[dict[str, object], dict[str, object]]:
        owner = describe_postgres(postgres)
        schema = owner["extra"]["options"].partition("=")[2]
        role = f"{schema}_worker"
        database = open_database(owner)
        migrate(database)
        database.run(f"CREATE ROLE {role} LOGIN")
        database.run(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        database.run(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {role}")
        database.close()
        return owner, {**owner, "login": role}

    return describe
