# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Ledgers for tests, on SQLite and on a PostgreSQL that the tests start; ``tests/conftest.py`` has the fixtures."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_hooks.ledger.database import Database
    from tests.system.postgres import Postgres

CONN_ID = "service_hook_ledger"
_numbers = itertools.count()


def describe_sqlite(folder: Path) -> dict[str, object]:
    """Return an Airflow connection to a SQLite file in a folder."""
    return {"conn_type": "sqlite", "host": str(folder / "ledger.db")}


def describe_postgres(server: Postgres) -> dict[str, object]:
    """Return an Airflow connection to a new schema on a server."""
    import psycopg2

    url = urlsplit(server.url.replace("+psycopg2", ""))
    schema = f"ledger_{next(_numbers)}"
    connection = psycopg2.connect(host=url.hostname, port=url.port, user=url.username, dbname=url.path[1:])
    connection.autocommit = True
    connection.cursor().execute(f"CREATE SCHEMA {schema}")
    connection.close()
    return {
        "conn_type": "postgres",
        "host": url.hostname,
        "port": url.port,
        "login": url.username,
        "schema": url.path[1:],
        "extra": {"options": f"-csearch_path={schema}"},
    }


def create_ledger(server: Postgres) -> dict[str, object]:
    """Create a ledger with its tables, in a new database on a server; return an Airflow connection to it."""
    from airflow_provider_hooks.ledger.schema import migrate

    url, name = urlsplit(server.url), f"ledger_{next(_numbers)}"
    server.run("createdb", "-h", str(url.hostname), "-p", str(url.port), "-U", str(url.username), name)
    described = {
        "conn_type": "postgres",
        "host": url.hostname,
        "port": url.port,
        "login": url.username,
        "schema": name,
    }
    opened = open_database(described)
    migrate(opened)
    opened.close()
    return described


def name_ledger(described: dict[str, object]) -> dict[str, str]:
    """Return the environment variables that configure this ledger."""
    return {
        f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(described),
        "AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID": CONN_ID,
    }


def open_database(described: dict[str, object]) -> Database:
    """Return the database of an Airflow connection; its tables are not created."""
    from airflow_provider_hooks.ledger.database import Database, read_target

    names = ("conn_type", "host", "port", "login", "password", "schema")
    fields = {name: described.get(name) for name in names}
    return Database(read_target(CONN_ID, **fields, extra=described.get("extra", {})))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server for all tests of this worker."""
    from tests.system.postgres import run_postgres

    with run_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "psycopg2", "psycopg"])
def ledger_connection(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    """Return an Airflow connection to an empty database, once on SQLite and once with each PostgreSQL driver."""
    if request.param == "sqlite":
        return describe_sqlite(tmp_path)
    monkeypatch.setattr("airflow_provider_hooks.ledger.database._DRIVERS", (request.param,))
    return describe_postgres(request.getfixturevalue("postgres"))


@pytest.fixture
def database(ledger_connection: dict[str, object]) -> Iterator[Database]:
    """Open a ledger with its tables, once on each kind of database."""
    from airflow_provider_hooks.ledger.schema import migrate

    opened = open_database(ledger_connection)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Database]:
    """Configure a ledger on SQLite, with its tables."""
    from airflow_provider_hooks._runtime.ledger import close_ledgers
    from airflow_provider_hooks.ledger.schema import migrate

    described = describe_sqlite(tmp_path)
    for name, value in name_ledger(described).items():
        monkeypatch.setenv(name, value)
    opened = open_database(described)
    migrate(opened)
    close_ledgers()
    yield opened
    close_ledgers()
    opened.close()
