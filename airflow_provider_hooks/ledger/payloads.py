# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The events of deliveries as they were sent, encrypted, so that they can be shown and sent again exactly.

What is stored is the body, its content type and the headers of the event. It is signed again when it is sent again, so
neither a signature nor a credential is stored; the key of a receiver that the body of some formats holds is taken out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping  # noqa: TC003  (msgspec reads the types of the fields)
from typing import TYPE_CHECKING

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from airflow_provider_hooks.delivery.record import format_time
from airflow_provider_hooks.events.formats import EncodedEvent
from airflow_provider_hooks.exceptions import LedgerError
from airflow_provider_hooks.http.redact import MASK, redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_hooks.delivery.record import DeliveryInfo
    from airflow_provider_hooks.ledger.database import Database

_KEY_MARK = b"\x00key\x00"
"""Stands for the receiver's key; JSON has no such characters."""


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What is encrypted."""

    id: str
    event_type: str
    body: bytes
    headers: Mapping[str, str]
    content_type: str
    header_names: tuple[str, ...]


class PayloadStore:
    """
    Stores and reads the events of deliveries.

    :param database: the ledger
    :param keys: Fernet keys; the first encrypts, all decrypt
    """

    def __init__(self, database: Database, keys: Sequence[str]) -> None:
        self._database = database
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def store(self, info: DeliveryInfo, event: EncodedEvent, *, key: str | None) -> bool:
        """
        Store the event of a delivery, unless it is stored already.

        :param key: the receiver's key, which the body holds
        :returns: whether it is stored; an event in which the key cannot be taken out is not
        :raises OutageError: if the database does not answer
        :raises LedgerError: if the ledger cannot be used
        """
        body = event.body
        if key:
            body = body.replace(msgspec.json.encode(key)[1:-1], _KEY_MARK)
            if MASK in redact(body.replace(_KEY_MARK, b"").decode(), [key]):
                return False
        stored = _Stored(
            id=event.id,
            event_type=info.event_type,
            body=body,
            headers=dict(event.headers),
            content_type=event.content_type,
            header_names=event.header_names,
        )
        self._database.run(
            "INSERT INTO service_hook_payloads (delivery_id, body_sha256, stored_at, payload) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (delivery_id, body_sha256) DO NOTHING",
            (
                info.delivery_id,
                info.body_sha256,
                format_time(time.time()),
                self._fernet.encrypt(msgspec.msgpack.encode(stored)),
            ),
        )
        return True

    def load(self, *, delivery_id: str, body_sha256: str, key: str | None) -> EncodedEvent | None:
        """
        Return the event of a delivery, or ``None`` if it is not stored.

        :param key: the receiver's key, which the body gets; ``None`` leaves it masked
        :raises LedgerError: if no key decrypts it
        :raises OutageError: if the database does not answer
        """
        rows = self._database.run(
            "SELECT payload FROM service_hook_payloads WHERE delivery_id = ? AND body_sha256 = ?",
            (delivery_id, body_sha256),
        )
        if not rows:
            return None
        try:
            stored = msgspec.msgpack.decode(self._fernet.decrypt(bytes(rows[0][0])), type=_Stored)
        except (InvalidToken, msgspec.DecodeError):
            message = "cannot be decrypted: add the key that encrypted it to [service_hooks] payload_keys"
            raise LedgerError(f"the payload of delivery {delivery_id} {message}") from None
        inserted = MASK.encode() if key is None else msgspec.json.encode(key)[1:-1]
        return EncodedEvent(
            id=stored.id,
            body=stored.body.replace(_KEY_MARK, inserted),
            headers=stored.headers,
            content_type=stored.content_type,
            header_names=stored.header_names,
        )
