# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The claims of the events of a stream in the ledger: rows like those of single deliveries, written by the thousand.

A statement gets its rows as one JSON parameter, which both databases and both drivers take. What is stored is fenced:
``insert`` and ``replace`` lock the row of the stream's own claim, so that only the try that owns the stream can claim
its events; ``settle`` writes only over claims with the same owner token.

A delivered event has no row in the history: its claim has the record. A failed one has, as a single delivery has.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_hooks.delivery.claims import CLAIMED, Claim
from airflow_provider_hooks.delivery.patience import Patience
from airflow_provider_hooks.delivery.record import format_time
from airflow_provider_hooks.exceptions import ClaimLostError
from airflow_provider_hooks.ledger.claims import make_event_key
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.event_claims import FoundClaim

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_hooks.delivery.claims import ClaimOrigin
    from airflow_provider_hooks.ledger.database import Database, Dialect, Row, Run

_LOST = "another process sends the same stream; this one sends no more"
_FAILED = frozenset({Outcome.NOT_SENT.value, Outcome.REJECTED.value, Outcome.UNKNOWN.value})
_TYPES = {"claimed_at": "timestamptz", "updated_at": "timestamptz", "duration_ms": "double precision"} | dict.fromkeys(
    ("status_code", "try_number", "map_index"), "integer"
)
"""The columns of JSON rows in PostgreSQL that are not text."""
_ORIGIN = ("origin", "dag_id", "run_id", "task_id", "map_index", "slot", "updated_at")
_OUTCOME = ("state", "claim", "outcome", "status_code", "error_class", "duration_ms")
_OWNER = ("owner_token", "claimed_at", "try_number", "delivery_id", "event_id", "event_type", "endpoint")
_PLACES = "claim, origin, dag_id, run_id, task_id"


class _Row(msgspec.Struct):
    """A row as a statement gets it: the columns of a claim, and what is expected to be stored."""

    key: str
    claim: str
    """As text: PostgreSQL refuses a nested object in which a receiver's text has a NUL character."""
    state: str
    owner_token: str
    claimed_at: str
    try_number: int
    delivery_id: str
    event_id: str
    event_type: str
    endpoint: str
    outcome: str
    status_code: int | None
    error_class: str | None
    duration_ms: float | None
    expected_token: str
    expected_state: str
    other_state: str
    """Another state that may be stored."""


class _AttemptRow(msgspec.Struct):
    """A row of the history as a statement gets it."""

    key: str
    try_number: int
    claimed_at: str
    record: str


class LedgerEventClaims:
    """
    The claims of the events of one stream.

    :param database: a database with the tables of ``ledger.schema``
    :param stream_key: the key of the stream's own claim
    :param origin: where the deliveries come from
    :param patience: seconds for which each operation is tried again while the database does not answer
    """

    def __init__(self, database: Database, stream_key: str, *, origin: ClaimOrigin, patience: float = 0.0) -> None:
        self._database, self._stream_key, self._origin = database, stream_key, origin
        self._patience = Patience(database.target.subject, patience)
        dialect = database.target.dialect
        owner = [*_OUTCOME, *_OWNER]
        rows, origins = _select_rows(dialect, ["key", *owner]), _select_rows(dialect, _ORIGIN)
        values = ", ".join([*(f"v.{name}" for name in owner), *(f"c.{name}" for name in _ORIGIN)])
        self._insert = (
            f"INSERT INTO service_hook_deliveries (claim_key, kind, {', '.join([*owner, *_ORIGIN])}) "
            f"SELECT v.key, 'event', {values} FROM {rows} AS v, {origins} AS c WHERE true "
            "ON CONFLICT (claim_key) DO NOTHING RETURNING claim_key"
        )
        expected = ["expected_token", "expected_state", "other_state"]
        changed = [*(f"{name} = v.{name}" for name in owner), *(f"{name} = c.{name}" for name in _ORIGIN)]
        self._replace = self._make_update(["key", *expected, *owner], changed)
        changed = [*(f"{name} = v.{name}" for name in _OUTCOME), "updated_at = c.updated_at"]
        self._settle = self._make_update(["key", *expected, *_OUTCOME], changed)
        self._add_attempts = (
            "INSERT INTO service_hook_attempts (delivery, try_number, claimed_at, record) "
            "SELECT d.id, v.try_number, v.claimed_at, v.record "
            f"FROM {_select_rows(dialect, ['key', 'try_number', 'claimed_at', 'record'])} AS v "
            "JOIN service_hook_deliveries AS d ON d.claim_key = v.key"
        )
        keys = f"{_select_rows(dialect, ['key'])} AS v JOIN service_hook_deliveries AS d ON d.claim_key = v.key"
        self._find = f"SELECT d.delivery_id, {', '.join(f'd.{name}' for name in _PLACES.split(', '))} FROM {keys}"
        self._count_open = f"SELECT count(*) FROM {keys} WHERE d.state = '{CLAIMED}'"
        lock = "" if dialect == "sqlite" else " FOR SHARE"  # a transaction of SQLite has locked the database
        self._fence = f"SELECT id FROM service_hook_deliveries WHERE claim_key = ? AND owner_token = ?{lock}"

    def _make_update(self, names: Sequence[str], changed: Sequence[str]) -> str:
        dialect = self._database.target.dialect
        return (
            f"UPDATE service_hook_deliveries AS d SET {', '.join(changed)} "
            f"FROM {_select_rows(dialect, names)} AS v, {_select_rows(dialect, _ORIGIN)} AS c "
            "WHERE d.claim_key = v.key AND d.owner_token = v.expected_token "
            "AND (d.state = v.expected_state OR d.state = v.other_state) RETURNING claim_key"
        )

    def insert(self, claims: Sequence[Claim], *, stream_token: str) -> Mapping[str, FoundClaim]:
        """
        Store each claim whose event has none, and return by delivery id what is stored for the others.

        :param stream_token: the owner token of the stream's own claim
        :raises ClaimLostError: if another try has taken the stream over; nothing is stored
        :raises StateStoreError: if the database did not answer, so that the claims may be stored
        """
        rows = _sort([_make_row(claim, expected=claim) for claim in claims])

        def write() -> Mapping[str, FoundClaim]:
            with self._database.transaction() as run:
                self._check_fence(run, stream_token)
                found: dict[str, FoundClaim] = {}
                left = rows
                while left:  # again only for a row that was deleted since
                    stored = {key for (key,) in run(self._insert, self._encode(left))}
                    left = [row for row in left if row.key not in stored]
                    found |= self._look(run, [row.key for row in left])
                    left = [row for row in left if row.delivery_id not in found]
                return found

        return self._patience.call(write)

    def replace(self, claims: Sequence[tuple[Claim, Claim]], *, stream_token: str) -> Collection[str]:
        """
        Store each second claim in place of the first one, if that is still there; return the delivery ids of those.

        :param stream_token: the owner token of the stream's own claim
        :raises ClaimLostError: if another try has taken the stream over; nothing is stored
        :raises StateStoreError: if the database did not answer, so that the claims may be stored
        """
        rows = _sort([_make_row(after, expected=before) for before, after in claims])
        attempts = _make_attempts([after for _, after in claims])

        def write() -> Collection[str]:
            with self._database.transaction() as run:
                self._check_fence(run, stream_token)
                return self._change(run, self._replace, rows, attempts)

        return self._patience.call(write)

    def settle(self, claims: Sequence[Claim], *, only_open: bool = False) -> Collection[str]:
        """
        Store a later state of each claim whose owner token is unchanged; return the delivery ids of those.

        :param only_open: whether a claim with an outcome stays unchanged, also one that an observer reported
        :raises StateStoreError: if the database did not answer, so that they may be stored
        """
        rows = _sort([_make_row(claim, states=(CLAIMED,) if only_open else claim.list_replaced()) for claim in claims])
        attempts = _make_attempts(claims)

        def write() -> Collection[str]:
            with self._database.transaction() as run:
                return self._change(run, self._settle, rows, attempts)

        return self._patience.call(write)

    def find(self, delivery_ids: Collection[str]) -> Mapping[str, FoundClaim]:
        """
        Return the claims that are stored for these events.

        :raises StateStoreError: if the database did not answer
        """
        keys = [make_event_key(delivery_id) for delivery_id in delivery_ids]
        return self._patience.call(lambda: self._look(self._database.run, keys))

    def has_open(self, delivery_ids: Collection[str]) -> bool:
        """
        Return whether one of these events is claimed and has no outcome.

        :raises StateStoreError: if the database did not answer
        """
        keys = _encode_keys([make_event_key(delivery_id) for delivery_id in delivery_ids])
        return bool(self._patience.call(lambda: self._database.run(self._count_open, [keys]))[0][0])

    def _check_fence(self, run: Run, stream_token: str) -> None:
        """Lock the claim of the stream until the transaction ends: no other try can take it over meanwhile."""
        if not run(self._fence, (self._stream_key, stream_token)):
            raise ClaimLostError(_LOST)

    def _change(self, run: Run, sql: str, rows: Sequence[_Row], attempts: Mapping[str, _AttemptRow]) -> Collection[str]:
        written = {key for (key,) in run(sql, self._encode(rows))}
        failed = [attempts[key] for key in written & attempts.keys()]
        if failed:
            run(self._add_attempts, [_to_json(failed)])
        return [row.delivery_id for row in rows if row.key in written]

    def _look(self, run: Run, keys: Sequence[str]) -> Mapping[str, FoundClaim]:
        return {str(row[0]): _read_found(row) for row in run(self._find, [_encode_keys(keys)])} if keys else {}

    def _encode(self, rows: Sequence[_Row]) -> tuple[str, str]:
        """Return the parameters of a statement: the rows, and the row of what they have in common."""
        origin = {**msgspec.to_builtins(self._origin), "updated_at": format_time(time.time())}
        return _to_json(rows), _to_json([origin])


def _select_rows(dialect: Dialect, names: Sequence[str]) -> str:
    """Return a table expression whose only parameter is a JSON array of objects."""
    if dialect == "postgresql":
        columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in names)
        return f"(SELECT * FROM json_to_recordset(CAST(? AS json)) AS j({columns}))"
    columns = ", ".join(f"json_extract(j.value, '$.{name}') AS {name}" for name in names)
    return f"(SELECT {columns} FROM json_each(?) AS j)"


def _make_row(claim: Claim, *, expected: Claim | None = None, states: tuple[str, ...] = ()) -> _Row:
    """
    Return the row of a claim.

    :param expected: the claim that it replaces
    :param states: the states that it may be written over, where its owner token is unchanged
    """
    info, record = claim.info, claim.record or {}
    states = (expected.state,) if expected is not None else states
    return _Row(
        key=make_event_key(info.delivery_id),
        claim=_to_json(claim),
        state=claim.state,
        owner_token=claim.owner_token,
        claimed_at=claim.claimed_at,
        try_number=claim.try_number,
        delivery_id=info.delivery_id,
        event_id=info.event_id,
        event_type=info.event_type,
        endpoint=info.endpoint,
        outcome=claim.state,
        status_code=record.get("status_code"),
        error_class=record.get("error_class"),
        duration_ms=record.get("duration_ms"),
        expected_token=(expected or claim).owner_token,
        expected_state=states[0],
        other_state=states[-1],
    )


def _sort(rows: list[_Row]) -> list[_Row]:
    """Return rows in the order of their keys, so that two processes that insert the same ones do not deadlock."""
    return sorted(rows, key=lambda row: row.key)


def _make_attempts(claims: Sequence[Claim]) -> dict[str, _AttemptRow]:
    """Return the rows of the history, by the key of the claim: those of attempts that failed."""
    return {
        row.key: row
        for row in (
            _AttemptRow(
                make_event_key(claim.info.delivery_id), claim.try_number, claim.claimed_at, _to_json(claim.record)
            )
            for claim in claims
            if claim.state in _FAILED and (claim.record or {}).get("error_class") != ErrorClass.STOPPED.value
        )
    }


def _encode_keys(keys: Sequence[str]) -> str:
    return _to_json([{"key": key} for key in sorted(keys)])


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _read_found(row: Row) -> FoundClaim:
    _, text, origin, dag_id, run_id, task_id = row
    try:
        claim = msgspec.json.decode(text, type=Claim)
    except (msgspec.MsgspecError, ValueError):
        claim = None
    place = f"task '{task_id}' of Dag '{dag_id}', run '{run_id}'" if dag_id and origin == "task" else f"a {origin}"
    return FoundClaim(claim=claim, place=place)
