# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads the database of a real Airflow directly, without importing Airflow."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool


def sqlite_url(home: Path) -> str:
    """Return the URL of the database that Airflow creates in its home by default."""
    return f"sqlite:///{home / 'airflow.db'}"


def read_rows(url: str, query: str, **parameters: object) -> list[tuple]:
    """Return the rows of a query."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), parameters)]


def read_json(value: object) -> object:
    """Return the value of a JSON column: PostgreSQL's driver decodes it, SQLite's does not."""
    return json.loads(value) if isinstance(value, str) else value


def find_everywhere(url: str, home: Path, secrets: list[str]) -> list[str]:
    """Return the tables, and the files of the home except the database, that contain any of these texts."""
    found = []
    for table in inspect(create_engine(url, poolclass=NullPool)).get_table_names():
        for row in read_rows(url, f'SELECT * FROM "{table}"'):  # noqa: S608
            row_text = str([bytes(value) if isinstance(value, memoryview) else value for value in row])
            found += [f"table {table}" for text_ in secrets if text_ in row_text]
    for path in home.rglob("*"):
        if path.is_file() and not path.name.startswith("airflow.db"):
            content = path.read_text(errors="replace")
            found += [f"file {path.relative_to(home)}" for text_ in secrets if text_ in content]
    return found
