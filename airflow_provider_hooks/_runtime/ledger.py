# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The ledger that the deployment names: claims, payloads and pauses. Without it claims are in the task state store."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from typing import TYPE_CHECKING, TypeVar

from airflow.sdk import BaseHook

from airflow_provider_hooks._runtime.airflow import open_claim_store, read_base_url
from airflow_provider_hooks._runtime.compat import mask_secret
from airflow_provider_hooks.delivery.claims import ClaimOrigin
from airflow_provider_hooks.delivery.patience import OutageError, Patience
from airflow_provider_hooks.events import build_event_alert
from airflow_provider_hooks.exceptions import LedgerError
from airflow_provider_hooks.ledger import endpoints
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, StoredClaim, make_claim_key
from airflow_provider_hooks.ledger.database import Database, LedgerTarget, read_target
from airflow_provider_hooks.ledger.event_claims import LedgerEventClaims
from airflow_provider_hooks.ledger.payloads import PayloadStore
from airflow_provider_hooks.ledger.schema import check_version
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.stream.event_claims import EventClaims

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import Context

    from airflow_provider_hooks._runtime.sending import PreparedDelivery
    from airflow_provider_hooks.delivery.claims import ClaimStore, TryContext
    from airflow_provider_hooks.delivery.record import Record
    from airflow_provider_hooks.events.types import Payload
    from airflow_provider_hooks.ledger.endpoints import Pause
    from airflow_provider_hooks.settings import Settings
    from airflow_provider_hooks.stream.event_claims import EventDescription

ClaimType = TypeVar("ClaimType", bound=StoredClaim)
_STREAM_CHARACTERS = 16
"""How much of its key names a stream in the owner tokens of its events."""

_log = logging.getLogger(__name__)
_opened = threading.local()


def read_ledger_target(conn_id: str) -> LedgerTarget:
    """
    Return where the ledger is.

    :raises AirflowNotFoundException: if there is no such connection
    :raises ValidationError: naming each field of the connection that cannot be used
    """
    connection = BaseHook.get_connection(conn_id)
    if connection.password:
        mask_secret(connection.password)
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
        _make_patience(database, settings).call(lambda: check_version(database))
        databases[place] = database
    return database


def _make_patience(database: Database, settings: Settings) -> Patience:
    return Patience(database.target.subject, settings.state_store_timeout)


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


def store_payload(settings: Settings, delivery: PreparedDelivery) -> None:
    """
    Store the event of a delivery before it is claimed, if the deployment stores payloads.

    :raises StateStoreError: if the ledger did not answer in time; nothing was sent
    """
    database = open_ledger(settings)
    if database is None or not settings.store_payloads:
        return
    payloads, key = PayloadStore(database, settings.payload_keys), delivery.template.endpoint.format_settings.key
    patience = _make_patience(database, settings)
    if not patience.call(lambda: payloads.store(delivery.info, delivery.event, key=key)):
        _log.warning("The payload is not stored: the receiver's key in it cannot be taken out")


def find_pause(settings: Settings, endpoint: str) -> Pause | None:
    """
    Return why nothing is to be sent to an endpoint; ``None`` if it is not paused, or this delivery is the probe.

    :raises StateStoreError: if the ledger did not answer in time; nothing was sent
    """
    database = open_ledger(settings)
    if database is None:
        return None
    patience = _make_patience(database, settings)
    return patience.call(lambda: endpoints.find_pause(database, endpoint, probe_after=settings.pause_seconds))


def update_pause(settings: Settings, record: Record) -> str | None:
    """
    Pause the endpoint of a delivery that failed, or open it again after one that was delivered.

    The outcome is stored by now, so an error is only logged.

    :returns: why this call paused the endpoint, if it did
    """
    database = open_ledger(settings)
    if database is None or not settings.pause_after_failures:
        return None
    endpoint = record.info.endpoint
    try:
        if record.attempt.outcome is Outcome.DELIVERED:
            if endpoints.resume_endpoint(database, endpoint, by_probe=True):
                _log.warning("Endpoint %s is open again: a delivery to it was delivered", endpoint)
            return None
        reason = endpoints.find_reason_to_pause(database, record, failures=settings.pause_after_failures)
        if reason is None or not endpoints.pause_endpoint(database, endpoint, reason=reason):
            return None
    except (OutageError, LedgerError) as error:
        _log.warning("The health of endpoint %s was not updated: %s", endpoint, error)
        return None
    _log.error("Endpoint %s is paused: %s", endpoint, reason)
    return reason


def describe_pause(record: Record, reason: str) -> Payload:
    """Return the alert that an endpoint is paused."""
    endpoint = record.info.endpoint
    event = {
        "id": uuid.uuid4().hex,
        "project": "airflow",
        "project_id": "airflow",
        "project_name": "airflow",
        "culprit": endpoint,
        "message": f"Endpoint {endpoint} is paused: {reason}",
        "url": f"{read_base_url()}/",
        "level": "error",
    }
    return build_event_alert(event, triggering_rules=["endpoint paused"])
