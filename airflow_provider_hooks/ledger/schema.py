# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The tables of the ledger, and their versions.

One delivery has one row, which is its claim too. Each attempt of it has a row as well. Times are ``timestamptz`` in
PostgreSQL and ISO 8601 text in SQLite, always UTC.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import LedgerError
from airflow_provider_hooks.ledger.database import MIGRATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.ledger.database import Database, Dialect

_WRITTEN: Mapping[str, str] = MappingProxyType(
    {
        "service_hook_deliveries": "claim_key",
        "service_hook_attempts": "delivery",
        "service_hook_payloads": "delivery_id",
        "service_hook_endpoints": "endpoint",
    }
)
"""The tables that a delivery writes, each with one of its columns."""
VERSION = 1
"""The version of the tables that this package reads and writes."""

_FIRST = """
CREATE TABLE service_hook_deliveries (
    id {id},
    claim_key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,
    state TEXT NOT NULL,
    owner_token TEXT NOT NULL,
    claim TEXT NOT NULL,
    claimed_at {time} NOT NULL,
    updated_at {time} NOT NULL,
    delivery_id TEXT{bytewise},
    event_id TEXT,
    event_type TEXT,
    endpoint TEXT,
    outcome TEXT,
    status_code INTEGER,
    error_class TEXT,
    duration_ms {real},
    dag_id TEXT,
    run_id TEXT,
    task_id TEXT,
    map_index INTEGER,
    try_number INTEGER NOT NULL,
    slot TEXT NOT NULL
);
CREATE INDEX service_hook_deliveries_newest ON service_hook_deliveries (claimed_at, id);
CREATE INDEX service_hook_deliveries_endpoint ON service_hook_deliveries (endpoint, claimed_at, id);
CREATE INDEX service_hook_deliveries_undelivered ON service_hook_deliveries (outcome, claimed_at, id)
    WHERE outcome <> 'delivered';
CREATE INDEX service_hook_deliveries_failing ON service_hook_deliveries (endpoint, outcome, claimed_at, id)
    WHERE outcome <> 'delivered';
CREATE INDEX service_hook_deliveries_dag ON service_hook_deliveries (dag_id, claimed_at, id);
CREATE INDEX service_hook_deliveries_run ON service_hook_deliveries (run_id);
CREATE INDEX service_hook_deliveries_event_type ON service_hook_deliveries (event_type, claimed_at, id);
CREATE INDEX service_hook_deliveries_event ON service_hook_deliveries (event_id);
CREATE INDEX service_hook_deliveries_delivery ON service_hook_deliveries (delivery_id);
CREATE TABLE service_hook_attempts (
    id {id},
    delivery BIGINT NOT NULL REFERENCES service_hook_deliveries (id) ON DELETE CASCADE,
    try_number INTEGER NOT NULL,
    claimed_at {time} NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX service_hook_attempts_delivery ON service_hook_attempts (delivery, id);
CREATE TABLE service_hook_payloads (
    delivery_id TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    stored_at {time} NOT NULL,
    payload {bytes} NOT NULL,
    PRIMARY KEY (delivery_id, body_sha256)
);
CREATE INDEX service_hook_payloads_stored ON service_hook_payloads (stored_at);
CREATE TABLE service_hook_endpoints (
    endpoint TEXT PRIMARY KEY,
    is_paused INTEGER NOT NULL,
    paused_at {time} NOT NULL,
    reason TEXT NOT NULL,
    probed_at {time} NOT NULL
)
"""
_MIGRATIONS: tuple[str, ...] = (_FIRST,)
"""The statements of each version; never changed once released."""
_TYPES: Mapping[Dialect, Mapping[str, str]] = MappingProxyType(
    {
        "postgresql": {
            "id": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            "time": "TIMESTAMPTZ",
            "real": "DOUBLE PRECISION",
            "bytes": "BYTEA",
            "bytewise": ' COLLATE "C"',  # an index then finds what begins with a text
        },
        "sqlite": {
            "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
            "time": "TEXT",
            "real": "REAL",
            "bytes": "BLOB",
            "bytewise": "",  # as SQLite compares texts
        },
    }
)


def migrate(database: Database) -> tuple[int, int]:
    """
    Create the tables, or bring those of an older version up to date; nothing changes where they are.

    :returns: the version before, 0 without tables, and the version after
    :raises LedgerError: if the tables are of a newer version, or the role may not create them
    :raises OutageError: if the database does not answer
    """
    if database.target.dialect == "sqlite":
        database.run("PRAGMA journal_mode = WAL")  # stored in the file: a claim then waits for the disk once
    with database.transaction() as run:
        if database.target.dialect == "postgresql":
            run("SELECT pg_advisory_xact_lock(7238114)")  # two commands at once: the second finds the tables
            if not run("SELECT has_schema_privilege(current_schema(), 'CREATE')")[0][0]:
                problem = "the role of the connection may not create tables; run this command with a role that may"
                raise LedgerError(f"{database.target.subject}: {problem}")
        run("CREATE TABLE IF NOT EXISTS service_hook_ledger (version INTEGER PRIMARY KEY)")
        before = int(run("SELECT coalesce(max(version), 0) FROM service_hook_ledger")[0][0])
        _refuse_newer(database, before)
        for version, statements in enumerate(_MIGRATIONS, start=1):
            if version > before:
                for statement in statements.format(**_TYPES[database.target.dialect]).split(";"):
                    run(statement)
                run("INSERT INTO service_hook_ledger (version) VALUES (?)", (version,))
    return before, VERSION


def check_version(database: Database) -> int:
    """
    Return the version of the tables if they are those that this package writes.

    :raises LedgerError: if there are none, or they are of another version
    :raises OutageError: if the database does not answer
    """
    version = int(database.run("SELECT coalesce(max(version), 0) FROM service_hook_ledger")[0][0])
    _refuse_newer(database, version)
    if version < VERSION:
        raise LedgerError(f"{database.target.subject} has tables of version {version}, not {VERSION}; {MIGRATE}")
    return version


def check_privileges(database: Database) -> None:
    """
    Read and write each table that a delivery writes, with no row.

    :raises LedgerError: if the role may not do it
    :raises OutageError: if the database does not answer
    """
    for table, column in _WRITTEN.items():
        database.run(f"INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE 1 = 0")
        database.run(f"UPDATE {table} SET {column} = {column} WHERE 1 = 0")


def _refuse_newer(database: Database, version: int) -> None:
    if version > VERSION:
        raise LedgerError(
            f"{database.target.subject} has tables of version {version}; this package knows version {VERSION} at most: "
            "install a newer airflow-provider-hooks"
        )
