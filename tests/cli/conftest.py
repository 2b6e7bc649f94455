# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Commands run within the test's process, by Airflow's own parser if it has them, with their output and exit status."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import pytest
from airflow.cli.cli_parser import get_parser

from airflow_provider_hooks._runtime.compat import has_provider_commands
from airflow_provider_hooks.cli.__main__ import make_parser
from tests.cli.cli_secrets import SECRET, TOKEN


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def parser():
    return get_parser() if has_provider_commands() else make_parser()


@pytest.fixture
def run(parser, monkeypatch, capsys):
    """Run ``airflow service-hooks`` with arguments, and perhaps with standard input."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.delenv("SERVICE_HOOK_SECRET", raising=False)

    def run(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
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
        return Done(code=code, out=out, err=err)

    return run


@pytest.fixture
def endpoint(monkeypatch, allow_loopback):
    """Set the connection ``an_endpoint``, with a signing secret and a header that is one too."""

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
