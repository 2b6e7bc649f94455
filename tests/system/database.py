# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Looks into the SQLite database of a real Airflow, as a person with the file would."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path


def read_rows(home: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        return database.execute(query).fetchall()


def read_claim(home: Path, task_id: str) -> dict:
    ((value,),) = read_rows(home, f"SELECT value FROM task_state_store WHERE task_id = '{task_id}'")  # noqa: S608
    return json.loads(value)


def find_everywhere(home: Path, private: list[str]) -> list[str]:
    """Return where any of these texts is: in a column of any table, or in any file of the home but the database."""
    found = []
    for (table,) in read_rows(home, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        rows = read_rows(home, f'SELECT * FROM "{table}"')  # noqa: S608
        found += [f"table {table}" for row in rows if any(text in str(row) for text in private)]
    for path in home.rglob("*"):
        if path.is_file() and not path.name.startswith("airflow.db"):
            content = path.read_text(errors="replace")
            found += [f"file {path.relative_to(home)}" for text in private if text in content]
    return found
