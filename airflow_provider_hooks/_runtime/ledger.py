# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Where claims are stored: in the ledger that the deployment names, or else in the task state store of Airflow."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, TypeVar

from airflow.sdk import BaseHook

from airflow_provider_hooks._runtime.airflow import open_claim_store
from airflow_provider_hooks.delivery.claims import ClaimOrigin
from airflow_provider_hooks.delivery.patience import Patience
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, StoredClaim, make_claim_key
from airflow_provider_hooks.ledger.database import Database, LedgerTarget, read_target
from airflow_provider_hooks.ledger.event_claims import LedgerEventClaims
from airflow_provider_hooks.ledger.schema import check_version
from airflow_provider_hooks.stream.event_claims import EventClaims

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import Context

    from airflow_provider_hooks.delivery.claims import ClaimStore, TryContext
    from airflow_provider_hooks.settings import Settings
    from airflow_provider_hooks.stream.event_claims import EventDescription

ClaimType = TypeVar("ClaimType", bound=StoredClaim)
_STREAM_CHARACTERS = 16
"""How much of its key names a stream in the owner tokens of its events."""

_opened = threading.local()


def read_ledger_target(conn_id: str) -> LedgerTarget:
    """
    Return where the ledger is.

    :raises AirflowNotFoundException: if there is no such connection
    :raises ValidationError: naming each field of the connection that cannot be used
    """
    connection = BaseHook.get_connection(conn_id)
    return read_target(
        conn_id,
        conn_type=connection.conn_type,
        host=connection.host,
        port=connection.port,
        login=connection.login,
        password=connection.password,
        schema=connection.schema,
        extra=connection.extra_dejson,
    )


def open_ledger(settings: Settings) -> Database | None:
    """
    Return the database of the ledger for this thread, or ``None`` if the deployment has none.

    :raises AirflowNotFoundException: if there is no such connection
    :raises ValidationError: naming each field of the connection that cannot be used
    :raises LedgerError: if its tables are missing or of another version
    :raises StateStoreError: if it did not answer in time
    """
    if settings.ledger_conn_id is None:
        return None
    databases: dict[tuple[int, str], Database] = vars(_opened).setdefault("databases", {})
    place = (os.getpid(), settings.ledger_conn_id)  # a connection must not be used by a forked process
    database = databases.get(place)
    if database is None:
        database = Database(read_ledger_target(settings.ledger_conn_id))
        patience = Patience(database.target.subject, settings.state_store_timeout)
        patience.call(lambda: check_version(database))
        databases[place] = database
    return database


def close_ledgers() -> None:
    """Close the databases of this thread; the next delivery reads the connection again."""
    for database in vars(_opened).pop("databases", {}).values():
        database.close()


def describe_origin(
    context: Context, *, slot: str = "", endpoint: str | None = None, event_type: str | None = None
) -> ClaimOrigin:
    """
    Return where the delivery of a task comes from.

    :param slot: distinguishes several deliveries of the task
    :param endpoint: the endpoint of a stream
    :param event_type: the type of the events of a stream, if they have one
    """
    ti = context["ti"]
    return ClaimOrigin(
        origin="task",
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=ti.map_index,
        try_number=ti.try_number,
        slot=slot,
        endpoint=endpoint,
        event_type=event_type,
    )


def open_task_claim(
    context: Context,
    key: str,
    kind: type[ClaimType],
    *,
    settings: Settings,
    slot: str = "",
    endpoint: str | None = None,
    event_type: str | None = None,
) -> ClaimStore[ClaimType]:
    """
    Return the store of a claim of the task instance that a context belongs to.

    :param key: names the claim within the task instance, together with the slot
    :param endpoint: the endpoint of a stream
    :param event_type: the type of the events of a stream, if they have one
    :raises ServiceHookError: if there is no place for claims
    """
    named = f"{key}:{slot}" if slot else key
    database = open_ledger(settings)
    if database is None:
        return open_claim_store(context, named, kind, patience=settings.state_store_timeout)
    origin = describe_origin(context, slot=slot, endpoint=endpoint, event_type=event_type)
    claim_key = _make_task_key(context, named, settings=settings)
    return LedgerClaimStore(database, claim_key, kind, origin=origin, patience=settings.state_store_timeout)


def open_event_claims(
    context: Context,
    key: str,
    *,
    settings: Settings,
    database: Database,
    description: EventDescription,
    run: TryContext,
    resends: Collection[str],
) -> EventClaims:
    """
    Return the claims of the events of a stream, where an event id goes to an endpoint once for ever.

    :param key: names the stream's own claim within the task instance
    :param description: what the claims have in common
    :param run: the try
    :param resends: the outcomes of other runs that the user has this stream send again
    """
    stream_key = _make_task_key(context, key, settings=settings)
    origin, patience = describe_origin(context), settings.state_store_timeout
    store = LedgerEventClaims(database, stream_key, origin=origin, patience=patience)
    stream = f"stream-{stream_key[:_STREAM_CHARACTERS]}-{context['ti'].max_tries}"
    return EventClaims(store, stream=stream, description=description, run=run, resends=resends)


def _make_task_key(context: Context, key: str, *, settings: Settings) -> str:
    ti = context["ti"]
    return make_claim_key("run", settings.deployment, ti.dag_id, ti.run_id, ti.task_id, ti.map_index, key)
