# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``ledger migrate`` and ``check``: the tables of the ledger, and who may use them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_hooks._runtime.airflow import read_settings
from airflow_provider_hooks._runtime.ledger import read_ledger_target
from airflow_provider_hooks.cli._run import command, show
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.delivery.patience import OutageError
from airflow_provider_hooks.exceptions import LedgerError, StateStoreError
from airflow_provider_hooks.ledger.database import Database
from airflow_provider_hooks.ledger.schema import check_privileges, check_version, migrate

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from airflow_provider_hooks.json_types import JsonObject


@command
def migrate_ledger(args: Namespace) -> ExitCode:
    """Create the tables of the ledger, or bring them up to date, and print the versions before and after."""
    with open_ledger_database() as database:
        before, after = migrate(database)
        change = "unchanged" if before == after else "created" if before == 0 else "migrated"
        data: JsonObject = {**_describe(database), "change": change, "version_before": before, "version_after": after}
    show(data, args.output, done=f"the ledger is {change}: version {after}")
    return ExitCode.DONE


@command
def check_ledger(args: Namespace) -> ExitCode:
    """Check that a delivery can use the ledger, and print its version."""
    with open_ledger_database() as database:
        version = check_version(database)
        check_privileges(database)
        data: JsonObject = {**_describe(database), "version": version, "message": "Deliveries can use the ledger."}
    show(data, args.output)
    return ExitCode.DONE


@contextmanager
def open_ledger_database() -> Iterator[Database]:
    """
    Open the database of the ledger for a command, which does not wait for one that does not answer.

    :raises LedgerError: if the deployment has no ledger, or it cannot be used
    :raises StateStoreError: if it does not answer
    :raises ValidationError: naming each field of the connection that cannot be used
    """
    conn_id = read_settings().ledger_conn_id
    if conn_id is None:
        raise LedgerError("this deployment has no ledger: set [service_hooks] ledger_conn_id")
    database = Database(read_ledger_target(conn_id))
    try:
        yield database
    except OutageError as error:
        raise StateStoreError(f"{database.target.subject} does not answer: {error}") from None
    finally:
        database.close()


def _describe(database: Database) -> JsonObject:
    return {"ledger": database.target.conn_id, "database": database.target.dialect}
