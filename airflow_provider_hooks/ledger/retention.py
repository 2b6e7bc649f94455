# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deletes old deliveries from the ledger in small batches, except for claims that still prevent something from being sent.

The row of a delivery is its claim. Of a claim that still protects, only the history is deleted: its attempts and its
payload. A claim that is written again meanwhile is not deleted, because the time of its last write is checked again by
the statement that deletes.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal

import msgspec

from airflow_provider_hooks.delivery.claims import CLAIMED, RESEND, SETTLED
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.ledger.claims import make_event_key
from airflow_provider_hooks.ledger.history import to_stored, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_hooks.ledger.database import Database, Row

Protection = Literal["once_event", "settled", "resend", "open", "unfinished_stream"]

MIN_AGE = timedelta(days=7)
"""A task may have retries left for this long, and its claims prevent each of them from sending again."""
MAX_BATCH_SIZE = 10_000
"""SQLite takes 32,766 parameters at most."""
SPACE = {
    "postgresql": "autovacuum makes the space usable for new deliveries; VACUUM FULL returns it to the system, and "
    "locks each table meanwhile",
    "sqlite": "the file has free pages for new deliveries; VACUUM makes it smaller, and deliveries wait meanwhile",
}
"""How each database gives back the space of what was deleted."""
_SELECT = (
    "SELECT id, claim_key, kind, state, delivery_id, claimed_at FROM service_hook_deliveries "
    "WHERE claimed_at < ? AND updated_at < ?"
)


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted so far, or would be by a dry run."""

    deliveries: int = 0
    attempts: int = 0
    payloads: int = 0
    protecting: dict[str, int] = {}
    """How many claims stay, by what they protect; without their history."""


def clean(
    database: Database,
    *,
    older_than: datetime,
    batch_size: int = 1_000,
    includes_protecting: bool = False,
    is_dry_run: bool = False,
) -> Iterator[Cleaned]:
    """
    Delete what is older than a time, and yield what was deleted so far after each batch.

    :param batch_size: how many deliveries one statement deletes; the database is free for others between two
    :param includes_protecting: whether claims that still protect are deleted too; their events can be sent again
    :param is_dry_run: whether to count only
    :raises ValidationError: if the time is too recent, or the size cannot be used; nothing was deleted
    :raises LedgerError: if the role may not delete
    :raises OutageError: if the database does not answer; what was deleted before is deleted
    """
    problems = {}
    if not includes_protecting and older_than > datetime.now(timezone.utc) - MIN_AGE:
        problems["older_than"] = (
            f"must be {MIN_AGE.days} days ago or earlier: tasks that have retries left need their claims"
        )
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        problems["batch_size"] = f"must be 1 to {MAX_BATCH_SIZE}, not {batch_size}"
    if problems:
        raise ValidationError("the clean", problems)
    cleaner = _Cleaner(database, to_stored(older_than), batch_size, is_dry_run=is_dry_run)
    return cleaner.run(includes_protecting=includes_protecting)


class _Cleaner:
    def __init__(self, database: Database, limit: str, batch_size: int, *, is_dry_run: bool) -> None:
        self._database, self._limit, self._batch_size, self._is_dry_run = database, limit, batch_size, is_dry_run

    def run(self, *, includes_protecting: bool) -> Iterator[Cleaned]:
        deliveries, attempts, payloads, protecting = 0, 0, 0, dict[str, int]()
        for rows in self._list_batches():
            deleted, events = [], 0
            for id_, claim_key, kind, state, delivery_id, _ in rows:
                protection = find_protection(claim_key, kind=kind, state=state, delivery_id=delivery_id)
                if protection is not None and not includes_protecting:
                    protecting[protection] = protecting.get(protection, 0) + 1
                    continue
                deleted.append(id_)
                events += kind != "slots"
            attempts += self._delete_attempts([row[0] for row in rows])
            deliveries += events - self._delete(deleted)
            yield Cleaned(deliveries=deliveries, attempts=attempts, payloads=payloads, protecting={**protecting})
        for count in self._delete_payloads():
            payloads += count
            yield Cleaned(deliveries=deliveries, attempts=attempts, payloads=payloads, protecting={**protecting})
        yield Cleaned(deliveries=deliveries, attempts=attempts, payloads=payloads, protecting={**protecting})

    def _list_batches(self) -> Iterator[list[Row]]:
        """Return the old rows in batches, oldest first; those that stay are not read twice."""
        after: tuple[object, ...] = ()
        while True:
            follows = " AND (claimed_at, id) > (?, ?)" if after else ""
            rows = self._database.run(
                f"{_SELECT}{follows} ORDER BY claimed_at, id LIMIT ?",
                (self._limit, self._limit, *after, self._batch_size),
            )
            if not rows:
                return
            yield rows
            after = (to_text(rows[-1][5]), rows[-1][0])

    def _delete_attempts(self, ids: Sequence[int]) -> int:
        condition = f"delivery IN ({_mark(ids)}) AND claimed_at < ?"
        if self._is_dry_run:
            return self._count("service_hook_attempts", condition, (*ids, self._limit))
        sql = f"DELETE FROM service_hook_attempts WHERE {condition} RETURNING id"
        return len(self._database.run(sql, (*ids, self._limit)))

    def _delete(self, ids: Sequence[int]) -> int:
        """Delete rows, and return how many were written again meanwhile and stay."""
        if self._is_dry_run or not ids:
            return 0
        sql = f"DELETE FROM service_hook_deliveries WHERE id IN ({_mark(ids)}) AND updated_at < ? RETURNING id"
        return len(ids) - len(self._database.run(sql, (*ids, self._limit)))

    def _delete_payloads(self) -> Iterator[int]:
        if self._is_dry_run:
            yield self._count("service_hook_payloads", "stored_at < ?", (self._limit,))
            return
        old = "SELECT delivery_id, body_sha256 FROM service_hook_payloads WHERE stored_at < ? LIMIT ?"
        sql = f"DELETE FROM service_hook_payloads WHERE (delivery_id, body_sha256) IN ({old}) RETURNING delivery_id"
        while count := len(self._database.run(sql, (self._limit, self._batch_size))):
            yield count

    def _count(self, table: str, condition: str, parameters: Sequence[object]) -> int:
        return int(self._database.run(f"SELECT count(*) FROM {table} WHERE {condition}", parameters)[0][0])


def find_protection(claim_key: str, *, kind: str, state: str, delivery_id: str | None) -> Protection | None:
    """Return what a claim still protects, whatever its age."""
    if kind == "stream":
        return None if state == "done" else "unfinished_stream"
    if kind != "event":
        return None
    if state in (CLAIMED, SETTLED, RESEND):
        return _OF_STATES[state]
    return "once_event" if claim_key == make_event_key(delivery_id) else None


_OF_STATES: dict[str, Protection] = {CLAIMED: "open", SETTLED: "settled", RESEND: "resend"}


def _mark(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
