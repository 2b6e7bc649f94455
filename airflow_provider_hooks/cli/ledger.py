# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``ledger migrate``, ``check`` and ``clean``: the tables of the ledger, who may use them, and what is deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import msgspec

from airflow_provider_hooks.admin.stored import open_ledger_database
from airflow_provider_hooks.cli._run import command, eprint, show
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.ledger.history import to_stored
from airflow_provider_hooks.ledger.retention import SPACE, Cleaned, clean
from airflow_provider_hooks.ledger.schema import check_privileges, check_version, migrate

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.ledger.database import Database

_PROGRESS_SECONDS = 5.0


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


@command
def clean_ledger(args: Namespace) -> ExitCode:
    """Delete old deliveries in batches, report progress on standard error, and print what was deleted."""
    with open_ledger_database() as database:
        check_version(database)
        cleaned = _clean(database, args)
        space = "" if args.dry_run else SPACE[database.target.dialect]
    counts = cast("JsonObject", msgspec.to_builtins(cleaned))
    older_than = to_stored(args.older_than)
    data: JsonObject = {"older_than": older_than, "dry_run": args.dry_run, **counts, "space": space}
    show(data, args.output, done=_summarize(cleaned, is_dry_run=args.dry_run))
    return ExitCode.DONE


def _clean(database: Database, args: Namespace) -> Cleaned:
    cleaned, reported_at = Cleaned(), time.monotonic()
    batches = clean(
        database,
        older_than=args.older_than,
        batch_size=args.batch_size,
        includes_protecting=args.include_protecting,
        is_dry_run=args.dry_run,
    )
    try:
        for cleaned in batches:
            if time.monotonic() - reported_at >= _PROGRESS_SECONDS:
                eprint(_summarize(cleaned, is_dry_run=args.dry_run))
                reported_at = time.monotonic()
    except KeyboardInterrupt:
        eprint(f"{_summarize(cleaned, is_dry_run=args.dry_run)}; run the command again to go on")
        raise
    return cleaned


def _summarize(cleaned: Cleaned, *, is_dry_run: bool) -> str:
    kept = sum(cleaned.protecting.values())
    done = "would delete" if is_dry_run else "deleted"
    return (
        f"{done} {cleaned.deliveries} deliveries, {cleaned.attempts} attempts and {cleaned.payloads} payloads; "
        f"{kept} claims that still protect stay"
    )


def _describe(database: Database) -> JsonObject:
    return {"ledger": database.target.conn_id, "database": database.target.dialect}
