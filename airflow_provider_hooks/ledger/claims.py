# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The claim store of the ledger: each step is one atomic statement.

``acquire`` replaces exactly the claim that was found, by its owner token and state, so of two processes one succeeds.
``save`` writes only over a claim with the same owner token: the write of a process whose claim another one has acquired
since fails. If a statement is not answered, what is stored afterwards says whether it had its effect.
"""

from __future__ import annotations

import hashlib
import json
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from airflow_provider_hooks.delivery.claims import CLAIMED, SETTLED, Claim, TaskSlots
from airflow_provider_hooks.delivery.patience import Patience
from airflow_provider_hooks.delivery.record import format_time, parse_stored
from airflow_provider_hooks.exceptions import ClaimLostError
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.stream.claims import StreamClaim
from airflow_provider_hooks.stream.summary import parse_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.delivery.claims import ClaimOrigin
    from airflow_provider_hooks.ledger.database import Database

StoredClaim = Claim | StreamClaim | TaskSlots
ClaimType = TypeVar("ClaimType", bound=StoredClaim)
_REFUSAL = "the claim in the ledger cannot be read, so nothing is sent; restore or delete its row"
_LOST = "another process has claimed this delivery; this one stores nothing"
_COLUMNS = (
    "kind",
    "origin",
    "state",
    "owner_token",
    "claim",
    "claimed_at",
    "updated_at",
    "delivery_id",
    "event_id",
    "event_type",
    "endpoint",
    "outcome",
    "status_code",
    "error_class",
    "duration_ms",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "try_number",
    "slot",
)
_INSERT = (
    f"INSERT INTO service_hook_deliveries (claim_key, {', '.join(_COLUMNS)}) "
    f"VALUES (?{', ?' * len(_COLUMNS)}) ON CONFLICT (claim_key) DO NOTHING RETURNING id"
)
_REPLACE = (
    f"UPDATE service_hook_deliveries SET {', '.join(f'{name} = ?' for name in _COLUMNS)} "
    "WHERE claim_key = ? AND owner_token = ? AND state = ? RETURNING id"
)
_SAVED_COLUMNS = ("state", "claim", "updated_at", "outcome", "status_code", "error_class", "duration_ms")
_ATTEMPT_COLUMNS = "delivery, try_number, claimed_at, record"
_SLOTS = "slots"
_KINDS: Mapping[type, str] = MappingProxyType({Claim: "event", StreamClaim: "stream", TaskSlots: _SLOTS})
_WORST = ("delivered", "not_sent", "rejected", "unknown")


def make_claim_key(*parts: object) -> str:
    """Return the key of a claim from what identifies it: a hash, since texts of Airflow can be long."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()


def make_event_key(delivery_id: str | None) -> str:
    """Return the key of the claim that all runs and processes share which deliver an event id once for ever."""
    return make_claim_key("event", delivery_id)


class LedgerClaimStore(Generic[ClaimType]):
    """
    One claim in the ledger.

    :param database: a database with the tables of ``ledger.schema``
    :param key: what ``make_claim_key`` returned
    :param kind: the type of the claim
    :param origin: where the delivery comes from
    :param patience: seconds for which each operation is tried again while the database does not answer
    """

    def __init__(
        self, database: Database, key: str, kind: type[ClaimType], *, origin: ClaimOrigin, patience: float = 0.0
    ) -> None:
        self._database, self._key, self._kind, self._origin = database, key, kind, origin
        self._patience = Patience(database.target.subject, patience)

    def load(self) -> ClaimType | None:
        """
        Return the claim that another try, run or process left, if any.

        :raises RecordError: if what is stored cannot be read as a claim
        :raises StateStoreError: if the database did not answer
        """
        return self._patience.call(self._load)

    def acquire(self, expected: ClaimType | None, new: ClaimType) -> None:
        """
        Store a claim in place of the expected one, if that is still there.

        :raises ClaimLostError: if another process stored a claim since
        :raises StateStoreError: if the database did not answer, so that the claim may be stored
        """
        row = _describe(new, self._origin)
        values = [row[name] for name in _COLUMNS]
        if expected is None:
            sql, parameters = _INSERT, [self._key, *values]
        else:
            sql, parameters = _REPLACE, [*values, self._key, *_find_fence(expected)]
        self._write(new, lambda: bool(self._database.run(sql, parameters)))

    def save(self, claim: ClaimType) -> None:
        """
        Store a later state of a claim, with its record in the history, unless another process has acquired it since.

        :raises ClaimLostError: if another process has
        :raises StateStoreError: if the database did not answer, so that the state may be stored
        """
        self._write(claim, lambda: self._save(claim))

    def _write(self, claim: ClaimType, write: Callable[[], bool]) -> None:
        """Write a claim; where an answer was lost, look whether it is stored, before and after another attempt."""
        is_uncertain = False

        def write_or_find() -> bool:
            nonlocal is_uncertain
            if is_uncertain and self._load() == claim:
                return True
            was_uncertain, is_uncertain = is_uncertain, True
            # A statement whose connection was lost can have its effect late: the server may still be busy with it.
            return write() or (was_uncertain and self._load() == claim)

        if not self._patience.call(write_or_find):
            raise ClaimLostError(_LOST)

    def _load(self) -> ClaimType | None:
        rows = self._database.run("SELECT claim FROM service_hook_deliveries WHERE claim_key = ?", (self._key,))
        if not rows:
            return None
        try:
            stored = msgspec.json.decode(rows[0][0])
        except msgspec.MsgspecError:
            stored = None
        return parse_stored(stored, self._kind, refusal=_REFUSAL)

    def _save(self, claim: ClaimType) -> bool:
        row = _describe(claim, self._origin)
        replaced = _list_replaced(claim)
        states = ", ".join("?" * len(replaced))
        update = (
            f"UPDATE service_hook_deliveries SET {', '.join(f'{name} = ?' for name in _SAVED_COLUMNS)} "
            f"WHERE claim_key = ? AND owner_token = ? AND state IN ({states}) RETURNING id"
        )
        parameters = [*(row[name] for name in _SAVED_COLUMNS), self._key, _find_fence(claim)[0], *replaced]
        record = claim.record if isinstance(claim, Claim) else None
        if not record:
            return bool(self._database.run(update, parameters))
        attempt = [row["try_number"], row["claimed_at"], msgspec.json.encode(record).decode()]
        if self._database.target.dialect == "postgresql":
            insert = f"INSERT INTO service_hook_attempts ({_ATTEMPT_COLUMNS}) SELECT id, ?, ?, ? FROM saved"
            sql = f"WITH saved AS ({update}) {insert} RETURNING delivery"
            return bool(self._database.run(sql, [*parameters, *attempt]))
        with self._database.transaction() as run:
            rows = run(update, parameters)
            if rows:
                insert = f"INSERT INTO service_hook_attempts ({_ATTEMPT_COLUMNS}) VALUES (?, ?, ?, ?)"
                run(insert, [rows[0][0], *attempt])
        return bool(rows)


def _find_fence(claim: StoredClaim) -> tuple[str, str]:
    """Return the owner token and the state by which a stored claim is recognized."""
    if isinstance(claim, TaskSlots):
        return claim.generation, _SLOTS
    return claim.owner_token, claim.state


def _list_replaced(claim: StoredClaim) -> tuple[str, ...]:
    """Return the states over which a later state of the claim may be written."""
    if isinstance(claim, Claim):
        return claim.list_replaced()
    return (_SLOTS,) if isinstance(claim, TaskSlots) else ("claimed", "resending", "stopped")


def _describe(claim: StoredClaim, origin: ClaimOrigin) -> dict[str, object]:
    """Return the row of a claim, by column."""
    now, (owner_token, state) = format_time(time.time()), _find_fence(claim)
    row: dict[str, object] = {
        **dict.fromkeys(_COLUMNS),
        **msgspec.to_builtins(origin),
        "kind": _KINDS[type(claim)],
        "state": state,
        "owner_token": owner_token,
        "claim": msgspec.json.encode(claim).decode(),
        "claimed_at": now,
        "updated_at": now,
    }
    if isinstance(claim, StreamClaim):
        row["outcome"] = find_stream_outcome(claim)
    elif isinstance(claim, Claim):
        record = claim.record or {}
        row |= {name: getattr(claim.info, name) for name in ("delivery_id", "event_id", "event_type", "endpoint")}
        row |= {name: record.get(name) for name in ("status_code", "error_class", "duration_ms")}
        row["claimed_at"], row["try_number"] = claim.claimed_at, claim.try_number
        row["outcome"] = Outcome.DELIVERED.value if state == SETTLED else state
    return row


def find_stream_outcome(claim: StreamClaim) -> str:
    """Return the outcome of a stream that is done: that of its events which comes last in ``_WORST``."""
    if claim.state != "done":
        return CLAIMED
    counts = parse_summary(claim.summary).outcomes
    return max((name for name, count in counts.items() if count), key=_WORST.index, default=_WORST[0])
