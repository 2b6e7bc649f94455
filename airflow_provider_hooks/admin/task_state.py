# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The deliveries of tasks in Airflow's task state store, where a deployment has no ledger."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from airflow import __version__ as airflow_version
from airflow.utils.session import create_session
from sqlalchemy import select, update

from airflow_provider_hooks._runtime.compat import clear_deletes_claims, has_task_state_store
from airflow_provider_hooks.admin.task_instances import database_errors
from airflow_provider_hooks.delivery.claims import CLAIMED, KEY_PREFIX, SETTLED, Claim
from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.ledger.changes import replace_state
from airflow_provider_hooks.ledger.claims import find_stream_outcome
from airflow_provider_hooks.ledger.history import (
    COMPARED,
    MAX_LISTED,
    MIN_PREFIX_CHARACTERS,
    Delivery,
    DeliveryDetails,
    Page,
    add_last_attempt,
    choose_delivery,
    decode_cursor,
    encode_cursor,
    is_found,
    is_row_id,
    to_stored,
    to_text,
)
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.stream.claims import StreamClaim

if TYPE_CHECKING:
    from sqlalchemy import Select

    from airflow_provider_hooks.events.formats import EncodedEvent
    from airflow_provider_hooks.ledger.history import Filters

_NO_LEDGER = (
    "this deployment has no ledger, so only deliveries of tasks are listed, each with its last attempt; to see those "
    "of callbacks and commands, and earlier attempts, and to search faster, set [service_hooks] ledger_conn_id"
)
_CLEAR_DELETES = "a clear in the user interface deletes a claim, unless it keeps the task state"
_FETCHED_AT_ONCE = 500


class TaskStateDeliveries:
    """
    The deliveries of tasks, as far as Airflow's task state store has their claims.

    :raises ServiceHookError: if this Airflow has no task state store
    """

    place: Literal["task_state_store"] = "task_state_store"

    def __init__(self) -> None:
        if not has_task_state_store():
            raise ServiceHookError(
                f"Airflow {airflow_version} has no task state store, so deliveries are found in a ledger only: set "
                "[service_hooks] ledger_conn_id, and run: airflow service-hooks ledger migrate"
            )
        from airflow.models.task_state_store import TaskStateStoreModel  # noqa: PLC0415  (since Airflow 3.3)

        self._model: Any = TaskStateStoreModel
        # Airflow 3.4 renamed the column.
        self._map_index: Any = getattr(self._model, "map_index", None) or self._model.region_index

    @property
    def limits(self) -> tuple[str, ...]:
        """What is not found here, and what would change that."""
        return (_NO_LEDGER, _CLEAR_DELETES) if clear_deletes_claims() else (_NO_LEDGER,)

    def list_page(self, *, filters: Filters, limit: int, after: str | None = None) -> Page:
        """
        Return a page of deliveries, those first whose claim was written last.

        :raises ValidationError: if the cursor is none that a page had
        :raises ServiceHookError: if the database fails
        """
        model, found = self._model, list[tuple[Delivery, str]]()
        query = self._select()
        if after is not None:
            time, id_ = decode_cursor(after)
            parsed = datetime.fromisoformat(time)
            query = query.where((model.updated_at < parsed) | ((model.updated_at == parsed) & (model.id < id_)))
        for name in ("dag_id", "run_id", "task_id"):
            if getattr(filters, name) is not None:
                query = query.where(getattr(model, name) == getattr(filters, name))
        if filters.visible_dags is not None:
            query = query.where(model.dag_id.in_(filters.visible_dags))
        if filters.since is not None:
            query = query.where(model.updated_at >= filters.since)
        with database_errors(), create_session() as session:
            for row in session.execute(query.execution_options(yield_per=_FETCHED_AT_ONCE)):
                details = _read(row)
                if details is not None and _is_listed(details.delivery, filters):
                    found.append((details.delivery, to_text(row.updated_at)))
                    if len(found) > limit:
                        break
        shown = tuple(delivery for delivery, _ in found[:limit])
        is_last = len(found) <= limit
        return Page(deliveries=shown, next_cursor=None if is_last else encode_cursor(found[limit - 1][1], shown[-1].id))

    def find(self, text: str) -> DeliveryDetails:
        """
        Return one delivery.

        :param text: the id of its row, its delivery id, or the beginning of that
        :raises ValidationError: if there is none, or several
        :raises ServiceHookError: if the database fails
        """
        model, found = self._model, dict[int, DeliveryDetails]()
        start = text.lower()
        with database_errors(), create_session() as session:
            if is_row_id(text):
                rows = session.execute(self._select().where(model.id == int(text))).all()
                found |= {row.id: details for row in rows if (details := _read(row))}
            if not found and len(text) >= MIN_PREFIX_CHARACTERS:
                query = self._select().where(model.value.contains(start, autoescape=True))
                for row in session.execute(query.execution_options(yield_per=_FETCHED_AT_ONCE)):
                    details = _read(row)
                    if details is not None and str(details.delivery.delivery_id).startswith(start):
                        found[row.id] = details
                        if len(found) > MAX_LISTED:
                            break
        return found[choose_delivery([one.delivery for one in found.values()], text).id]

    def list_of_task_instance(self, delivery: Delivery) -> list[Delivery]:
        """
        Return all deliveries of the task instance that a delivery comes from, with that one.

        :raises ServiceHookError: if the database fails
        """
        model = self._model
        query = self._select().where(
            model.dag_id == delivery.dag_id,
            model.run_id == delivery.run_id,
            model.task_id == delivery.task_id,
            self._map_index == delivery.map_index,
        )
        with database_errors(), create_session() as session:
            return [details.delivery for row in session.execute(query) if (details := _read(row))]

    def store_state(self, details: DeliveryDetails, *, state: str, found: str | None = None) -> bool:
        """
        Write a state over the claim that was read, and return whether it was still there.

        :raises RecordError: if what is stored is not a claim of an event
        :raises ServiceHookError: if the database fails
        """
        expected = details.claim if found is None else replace_state(details, found).as_json()
        model, written = self._model, json.dumps(replace_state(details, state).as_json())
        with database_errors(), create_session() as session:
            stored = session.scalar(select(model.value).where(model.id == details.delivery.id).with_for_update())
            if stored is None or json.loads(stored) != expected:
                return False
            result: Any = session.execute(
                update(model)
                .where(model.id == details.delivery.id, model.value == stored)
                .values(value=written, updated_at=datetime.now(timezone.utc))
            )
            return bool(result.rowcount)

    def load_event(self, details: DeliveryDetails) -> EncodedEvent | None:  # noqa: ARG002  (as the ledger's)
        """Return ``None``: the task state store has no payloads."""
        return None

    def _select(self) -> Select[Any]:
        model = self._model
        columns = (model.id, model.dag_id, model.run_id, model.task_id, model.key, model.value, model.updated_at)
        return (
            select(*columns, self._map_index.label("map_index"))
            .where(model.key.startswith(KEY_PREFIX, autoescape=True))
            .order_by(model.updated_at.desc(), model.id.desc())
        )


def _read(row: Any) -> DeliveryDetails | None:  # a row of SQLAlchemy
    """Return the delivery of a row, or ``None`` if it cannot be read: a user may have edited it."""
    try:
        value = json.loads(row.value)
        claim = _parse_claim(value)
    except (ValueError, msgspec.ValidationError):
        return None
    time = to_text(row.updated_at)
    place = {"dag_id": row.dag_id, "run_id": row.run_id, "task_id": row.task_id, "map_index": row.map_index}
    slot = row.key.removeprefix(KEY_PREFIX).removeprefix(":")
    common = {"id": row.id, "origin": "task", "updated_at": time, "try_number": claim.try_number, "slot": slot, **place}
    nothing = dict.fromkeys(("delivery_id", "event_id", "event_type", "endpoint"))
    record: dict[str, Any] = {}
    if isinstance(claim, Claim):
        record, claimed_at = claim.record or {}, claim.claimed_at
        outcome = Outcome.DELIVERED.value if claim.state == SETTLED else record.get("outcome", CLAIMED)
        nothing = {name: getattr(claim.info, name) for name in nothing}
    else:
        claimed_at, outcome = time, find_stream_outcome(claim)
    kind = "event" if isinstance(claim, Claim) else "stream"
    results = {name: record.get(name) for name in ("status_code", "error_class", "duration_ms")}
    delivery = msgspec.convert(
        {
            **common,
            **nothing,
            **results,
            "kind": kind,
            "state": claim.state,
            "outcome": outcome,
            "claimed_at": claimed_at,
            "once": "run",
        },
        Delivery,
    )
    return DeliveryDetails(
        delivery=delivery,
        claim_key=row.key,
        owner_token=claim.owner_token,
        claim=value,
        attempts=add_last_attempt([], delivery, record),
    )


def _parse_claim(value: object) -> Claim | StreamClaim:
    try:
        return msgspec.convert(value, Claim)
    except msgspec.ValidationError:
        return msgspec.convert(value, StreamClaim)


def _is_listed(delivery: Delivery, filters: Filters) -> bool:
    for name in COMPARED:
        wanted = getattr(filters, name)
        if wanted is not None and getattr(delivery, name) != wanted:
            return False
    if filters.visible_dags is not None and delivery.dag_id not in filters.visible_dags:
        return False
    if filters.outcomes and delivery.outcome not in filters.outcomes:
        return False
    if filters.search is not None and not is_found(delivery, filters.search):
        return False
    if filters.since is not None and delivery.claimed_at < to_stored(filters.since):
        return False
    return filters.until is None or delivery.claimed_at < to_stored(filters.until)
