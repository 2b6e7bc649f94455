# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What the ledger knows of deliveries: lists, one delivery with its attempts, and counts.

A list is a page in the order of ``(claimed_at, id)``, newest first. The next page begins after the last row of the one
before, so a page far back takes no longer than the first one.
"""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airflow_provider_hooks.exceptions import RecordError, ValidationError
from airflow_provider_hooks.ledger.claims import make_event_key
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.ledger.database import Database, Dialect, Row

MIN_PREFIX_CHARACTERS = 6
"""How much of a delivery id identifies it at least."""
MAX_LISTED = 10
"""How many deliveries the error for an ambiguous id lists."""
_AFTER_HEX = "~"
"""Sorts after every character of a delivery id."""
_MAX_ROW_ID = 2**63 - 1
Condition = tuple[str, tuple[object, ...]]
"""A condition of a query, and its parameters."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery or stream, as its claim describes it. Times are ISO 8601, UTC."""

    id: int
    """Of its row; the same as long as the claim exists."""
    kind: Literal["event", "stream"]
    origin: str
    """``task``, ``callback`` or ``command``."""
    state: str
    """Of its claim: an outcome, ``claimed``, or what a user wrote over it (``settled``, ``resend``)."""
    outcome: str
    """``claimed`` as long as there is none."""
    claimed_at: str
    updated_at: str
    delivery_id: str | None
    event_id: str | None
    event_type: str | None
    endpoint: str | None
    status_code: int | None
    error_class: str | None
    duration_ms: float | None
    dag_id: str | None
    run_id: str | None
    task_id: str | None
    map_index: int | None
    try_number: int
    slot: str
    once: Literal["run", "event"]
    """``event`` if no other run, callback or command delivers this event to this endpoint either."""

    @property
    def source(self) -> str:
        """Where it comes from, in one line: the task instance, or the kind of origin."""
        if self.origin != "task":
            return self.origin
        mapped = f"[{self.map_index}]" if self.map_index is not None and self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped} {self.run_id}"

    def as_json(self) -> JsonObject:
        """Return all fields."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are listed; those for which everything given is true."""

    outcomes: tuple[str, ...] = ()
    endpoint: str | None = None
    event_type: str | None = None
    event_id: str | None = None
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    search: str | None = None
    """An event id, the number of a row, or a delivery id or the beginning of one."""
    visible_dags: frozenset[str] | None = None
    """Only deliveries of these Dags; ``None`` for all, with those that come from no Dag."""
    since: datetime | None = None
    """Claimed at this time or later."""
    until: datetime | None = None
    """Claimed before this time."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some deliveries, newest first."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None
    """Where the next page begins, if there are more."""


class StoredAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt with its record."""

    try_number: int
    claimed_at: str
    record: dict[str, Any]  # what ``Record.as_json`` returned


class DeliveryDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is stored of one delivery."""

    delivery: Delivery
    claim_key: str
    """Of its row in the ledger, or of its entry in the task state store."""
    owner_token: str
    """With the state it identifies the claim for a change."""
    claim: dict[str, Any]  # a ``Claim`` or a ``StreamClaim`` as JSON
    attempts: tuple[StoredAttempt, ...]
    """In their order; earlier ones may be missing after a clean."""
    payload_stored_at: str | None = None
    """When its payload was stored, if it is."""


class EndpointCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries to one endpoint had one outcome."""

    endpoint: str | None
    kind: Literal["event", "stream"]
    outcome: str
    deliveries: int
    mean_ms: float | None
    """Of the last attempt of each; ``None`` for streams."""
    last_claimed_at: str


COMPARED = ("endpoint", "event_type", "event_id", "dag_id", "run_id", "task_id", "map_index")
"""The filters that a delivery has a field of the same name for."""
_COLUMNS = (*(name for name in Delivery.__struct_fields__ if name != "once"), "claim_key")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM service_hook_deliveries"
_NEWEST_FIRST = "ORDER BY claimed_at DESC, id DESC LIMIT ?"


def list_deliveries(database: Database, *, filters: Filters, limit: int, after: str | None = None) -> Page:
    """
    Return a page of deliveries, newest first.

    :param limit: how many it has at most
    :param after: the cursor of the page before
    :raises ValidationError: if the cursor is none that a page had
    :raises OutageError: if the database does not answer
    """
    place = None if after is None else decode_cursor(after)
    if filters.visible_dags is not None and not filters.visible_dags:
        return Page(deliveries=(), next_cursor=None)
    # One part for each alternative: each reads its own range of an index, in the order of the page.
    parts = [
        _select_page(database.target.dialect, filters, outcome=outcome, searched=searched, after=place, limit=limit)
        for outcome in filters.outcomes or (None,)
        for searched in _list_searched(filters.search)
    ]
    sql, parameters = parts[0]
    if len(parts) > 1:
        union = " UNION ".join(f"SELECT * FROM ({part}) AS part" for part, _ in parts)  # a search can find a row twice
        sql = f"SELECT * FROM ({union}) AS parts {_NEWEST_FIRST}"
        parameters = [value for _, values in parts for value in values] + [limit + 1]
    found = [_read_delivery(row) for row in database.run(sql, parameters)]
    shown = tuple(found[:limit])
    is_last = len(found) <= limit
    return Page(deliveries=shown, next_cursor=None if is_last else encode_cursor(shown[-1].claimed_at, shown[-1].id))


def find_delivery(database: Database, text: str) -> DeliveryDetails:
    """
    Return one delivery with its attempts.

    :param text: the id of its row, which is looked for first; its delivery id, or the beginning of that
    :raises ValidationError: if there is none, or several; the error lists them
    :raises RecordError: if its claim cannot be read
    :raises OutageError: if the database does not answer
    """
    found: list[Row] = []
    if is_row_id(text):
        found = database.run(f"{_SELECT} WHERE id = ? AND kind <> 'slots'", (int(text),))
    if not found and len(text) >= MIN_PREFIX_CHARACTERS:
        condition, parameters = _match_prefix(text)
        found = database.run(
            f"{_SELECT} WHERE {condition} AND kind <> 'slots' {_NEWEST_FIRST}", (*parameters, MAX_LISTED + 1)
        )
    return read_details(database, choose_delivery([_read_delivery(row) for row in found], text))


def is_row_id(text: str) -> bool:
    """Return whether a text is a number as a list prints it, without a zero before it, as a delivery id can have."""
    return text.isascii() and text.isdecimal() and text[0] != "0" and int(text) <= _MAX_ROW_ID


def choose_delivery(found: Sequence[Delivery], text: str) -> Delivery:
    """
    Return the one delivery that was found.

    :raises ValidationError: if there is none, or several
    """
    if len(found) == 1:
        return found[0]
    subject = f"delivery {safe_repr(text)}"
    if not found:
        wanted = f"its row, or at least {MIN_PREFIX_CHARACTERS} characters of its delivery id"
        raise ValidationError(subject, {"ID": f"there is none; give the id of {wanted}"})
    listed = "; ".join(_describe_match(one) for one in found[:MAX_LISTED])
    count = len(found) if len(found) <= MAX_LISTED else f"more than {MAX_LISTED}"
    raise ValidationError(subject, {"ID": f"{count} deliveries match; give the number of one: {listed}"})


def _describe_match(one: Delivery) -> str:
    return f"{one.id} ({one.delivery_id}, {escape(str(one.endpoint))}, {escape(one.source)}, {one.claimed_at})"


def read_details(database: Database, delivery: Delivery) -> DeliveryDetails:
    """
    Return everything that is stored of a delivery.

    :raises RecordError: if its claim or a record cannot be read
    :raises ValidationError: if its row is gone
    """
    rows = database.run(
        "SELECT claim_key, claim, owner_token FROM service_hook_deliveries WHERE id = ?", (delivery.id,)
    )
    if not rows:
        choose_delivery([], str(delivery.id))
    ((claim_key, stored, owner_token),) = rows
    claim = _decode(stored)
    attempts = database.run(
        "SELECT try_number, claimed_at, record FROM service_hook_attempts WHERE delivery = ? ORDER BY id",
        (delivery.id,),
    )
    payloads = database.run(
        "SELECT stored_at FROM service_hook_payloads WHERE delivery_id = ? AND body_sha256 = ?",
        (delivery.delivery_id, claim.get("info", {}).get("body_sha256")),
    )
    return DeliveryDetails(
        delivery=delivery,
        claim_key=claim_key,
        owner_token=owner_token,
        claim=claim,
        attempts=add_last_attempt(
            [
                StoredAttempt(try_number=number, claimed_at=to_text(time), record=_decode(record))
                for number, time, record in attempts
            ],
            delivery,
            claim.get("record"),
        ),
        payload_stored_at=to_text(payloads[0][0]) if payloads else None,
    )


def add_last_attempt(
    attempts: list[StoredAttempt], delivery: Delivery, record: dict[str, Any] | None
) -> tuple[StoredAttempt, ...]:
    """
    Return the attempts with the one that the claim has, if it is not among them.

    It is missing for a delivered event of a stream, after a clean, and in the task state store.
    """
    if record and (not attempts or attempts[-1].record != record):
        last = StoredAttempt(try_number=delivery.try_number, claimed_at=delivery.claimed_at, record=record)
        return (*attempts, last)
    return tuple(attempts)


def list_of_task_instance(database: Database, delivery: Delivery) -> list[Delivery]:
    """
    Return all deliveries of the task instance that a delivery comes from, with that one.

    :raises OutageError: if the database does not answer
    """
    rows = database.run(
        f"{_SELECT} WHERE kind <> 'slots' AND run_id = ? AND dag_id = ? AND task_id = ? AND map_index = ? ORDER BY id",
        (delivery.run_id, delivery.dag_id, delivery.task_id, delivery.map_index),
    )
    return [_read_delivery(row) for row in rows]


def count_by_endpoint(database: Database, *, filters: Filters) -> list[EndpointCount]:
    """
    Return how many deliveries each endpoint had, by outcome.

    :raises OutageError: if the database does not answer
    """
    conditions, parameters = _list_conditions(filters)
    if filters.outcomes:
        conditions.append(f"outcome IN ({', '.join('?' * len(filters.outcomes))})")
        parameters += filters.outcomes
    sql = (
        "SELECT endpoint, kind, outcome, count(*), avg(duration_ms), max(claimed_at) "
        f"FROM service_hook_deliveries WHERE {' AND '.join(conditions)} "
        "GROUP BY endpoint, kind, outcome ORDER BY endpoint, kind, outcome"
    )
    return [
        EndpointCount(
            endpoint=endpoint,
            kind=kind,
            outcome=outcome,
            deliveries=count,
            mean_ms=None if mean is None else round(mean, 3),
            last_claimed_at=to_text(last),
        )
        for endpoint, kind, outcome, count, mean, last in database.run(sql, parameters)
    ]


def encode_cursor(time: str, id_: int) -> str:
    """Return where the page after a row begins, by the time that pages are ordered by."""
    return base64.urlsafe_b64encode(f"{id_} {time}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[str, int]:
    """
    Return time and row of the delivery that a cursor follows.

    :raises ValidationError: if it is none that a page had
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        number, time = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").split(" ")
        datetime.fromisoformat(time)
        return time, int(number)
    except ValueError:
        raise ValidationError("the list", {"after": "is not a cursor that a list printed"}) from None


def to_text(time: datetime | str) -> str:
    """Return a time in the form that is shown: PostgreSQL returns an object, SQLite the text that was stored."""
    return time.astimezone(timezone.utc).isoformat(timespec="microseconds") if isinstance(time, datetime) else time


def to_stored(time: datetime) -> str:
    """Return a time so that it can be compared with stored ones: as text, a time without a fraction sorts first."""
    return time.astimezone(timezone.utc).isoformat()


def _select_page(
    dialect: Dialect,
    filters: Filters,
    *,
    outcome: str | None,
    searched: Condition,
    after: tuple[str, int] | None,
    limit: int,
) -> tuple[str, list[object]]:
    conditions, parameters = _list_conditions(filters)
    conditions.append(searched[0])
    parameters += searched[1]
    if outcome is not None:
        conditions.append("outcome = ?")
        parameters.append(outcome)
        if dialect == "sqlite" and outcome != Outcome.DELIVERED.value:
            # The condition of the partial indexes: SQLite does not conclude it, and PostgreSQL would count it twice.
            conditions.append("outcome <> 'delivered'")
    if after is not None:
        conditions.append("(claimed_at, id) < (?, ?)")
        parameters += after
    return f"{_SELECT} WHERE {' AND '.join(conditions)} {_NEWEST_FIRST}", [*parameters, limit + 1]


def _list_searched(text: str | None) -> list[Condition]:
    """Return the alternatives of a search; one that is always true without a search."""
    if text is None:
        return [("1 = 1", ())]
    found: list[Condition] = [("event_id = ?", (text,))]
    if is_row_id(text):
        found.append(("id = ?", (int(text),)))
    if len(text) >= MIN_PREFIX_CHARACTERS:
        found.append(_match_prefix(text))
    return found


def _match_prefix(text: str) -> Condition:
    start = text.lower()
    return "delivery_id >= ? AND delivery_id < ?", (start, f"{start}{_AFTER_HEX}")


def is_found(delivery: Delivery, text: str) -> bool:
    """Return whether a search finds a delivery, as the ledger's does."""
    is_prefix = len(text) >= MIN_PREFIX_CHARACTERS and str(delivery.delivery_id).startswith(text.lower())
    return is_prefix or delivery.event_id == text or (is_row_id(text) and delivery.id == int(text))


def _list_conditions(filters: Filters) -> tuple[list[str], list[object]]:
    """Return the conditions of a query, and their parameters, except for the outcomes."""
    conditions, parameters = ["kind <> 'slots'"], list[object]()
    for name in COMPARED:
        value = getattr(filters, name)
        if value is not None:
            conditions.append(f"{name} = ?")
            parameters.append(value)
    if filters.visible_dags is not None:
        conditions.append(f"dag_id IN ({', '.join('?' * len(filters.visible_dags))})")
        parameters += sorted(filters.visible_dags)
    for condition, time in (("claimed_at >= ?", filters.since), ("claimed_at < ?", filters.until)):
        if time is not None:
            conditions.append(condition)
            parameters.append(to_stored(time))
    return conditions, parameters


def _read_delivery(row: Row) -> Delivery:
    fields = dict(zip(_COLUMNS, row, strict=True))
    times = {name: to_text(fields[name]) for name in ("claimed_at", "updated_at")}
    once = "event" if fields.pop("claim_key") == make_event_key(fields["delivery_id"]) else "run"
    return Delivery(**{**fields, **times, "once": once})


def _decode(text: str) -> dict[str, Any]:
    """
    Return a stored JSON object; a user may have edited it.

    :raises RecordError: if it is none
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise RecordError(f"what the ledger stores of the delivery cannot be read ({escape(str(error))})") from None
