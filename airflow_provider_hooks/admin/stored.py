# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Where the deliveries of a deployment are found: in the ledger, or without one in Airflow's task state store."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from airflow_provider_hooks._runtime.airflow import read_settings
from airflow_provider_hooks._runtime.ledger import read_ledger_target
from airflow_provider_hooks.delivery.patience import OutageError
from airflow_provider_hooks.exceptions import LedgerError, StateStoreError
from airflow_provider_hooks.ledger.changes import store_state
from airflow_provider_hooks.ledger.database import Database
from airflow_provider_hooks.ledger.history import (
    Delivery,
    DeliveryDetails,
    Filters,
    Page,
    find_delivery,
    list_deliveries,
    list_of_task_instance,
)
from airflow_provider_hooks.ledger.payloads import PayloadStore
from airflow_provider_hooks.ledger.schema import check_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_hooks.events.formats import EncodedEvent


class StoredDeliveries(Protocol):
    """What is done with deliveries, wherever they are stored."""

    @property
    def place(self) -> Literal["ledger", "task_state_store"]:
        """Where they are stored."""

    @property
    def limits(self) -> tuple[str, ...]:
        """What is not found there, and what would change that."""

    def list_page(self, *, filters: Filters, limit: int, after: str | None = None) -> Page:
        """Return a page of deliveries, newest first."""

    def find(self, text: str) -> DeliveryDetails:
        """Return one delivery by the id of its row, its delivery id, or the beginning of that."""

    def list_of_task_instance(self, delivery: Delivery) -> list[Delivery]:
        """Return all deliveries of the task instance that a delivery comes from, with that one."""

    def store_state(self, details: DeliveryDetails, *, state: str, found: str | None = None) -> bool:
        """Write a state over the claim that was read, and return whether it was still there."""

    def load_event(self, details: DeliveryDetails) -> EncodedEvent | None:
        """Return what was sent, with the receiver's key masked, or ``None`` if it is not stored."""


class LedgerDeliveries:
    """
    The deliveries in the ledger.

    :param database: the ledger
    """

    place: Literal["ledger"] = "ledger"
    limits: tuple[str, ...] = ()

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_page(self, *, filters: Filters, limit: int, after: str | None = None) -> Page:
        """Return a page of deliveries, newest first; raises as ``list_deliveries``."""
        return list_deliveries(self._database, filters=filters, limit=limit, after=after)

    def find(self, text: str) -> DeliveryDetails:
        """Return one delivery; raises as ``find_delivery``."""
        return find_delivery(self._database, text)

    def list_of_task_instance(self, delivery: Delivery) -> list[Delivery]:
        """Return all deliveries of a task instance."""
        return list_of_task_instance(self._database, delivery)

    def store_state(self, details: DeliveryDetails, *, state: str, found: str | None = None) -> bool:
        """Write a state over the claim that was read, and return whether it was still there."""
        return store_state(self._database, details, state=state, found=found)

    def load_event(self, details: DeliveryDetails) -> EncodedEvent | None:
        """
        Return what was sent, with the receiver's key masked, or ``None`` if it is not stored.

        :raises LedgerError: if no key of this deployment decrypts it
        """
        keys = read_settings().payload_keys
        if not keys:
            raise LedgerError("the payload is encrypted: set [service_hooks] payload_keys here")
        digest = str(details.claim.get("info", {}).get("body_sha256"))
        payloads = PayloadStore(self._database, keys)
        return payloads.load(delivery_id=str(details.delivery.delivery_id), body_sha256=digest, key=None)


@contextmanager
def open_stored() -> Iterator[StoredDeliveries]:
    """
    Open the deliveries of this deployment.

    :raises LedgerError: if its ledger cannot be used
    :raises StateStoreError: if its ledger does not answer
    :raises ServiceHookError: if it has neither a ledger nor a task state store
    """
    if read_settings().ledger_conn_id is None:
        from airflow_provider_hooks.admin.task_state import TaskStateDeliveries  # noqa: PLC0415  (imports Airflow's models)

        yield TaskStateDeliveries()
        return
    with open_ledger_database() as database:
        check_version(database)
        yield LedgerDeliveries(database)


@contextmanager
def open_ledger_database() -> Iterator[Database]:
    """
    Open the database of the ledger for one command or request, which does not wait for one that does not answer.

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
