# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Puts deliveries into a ledger by its claim store, as tasks, callbacks and commands do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from airflow_provider_hooks.delivery.claims import Claim, ClaimOrigin, TryContext, make_claim, make_record, record_claim
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.claims import StreamClaim

STATUSES = {"delivered": 200, "rejected": 500}


def make_stream(state: str) -> StreamClaim:
    """Return the claim of a stream whose first batch has ten events."""
    return StreamClaim(
        state=state,
        generation="0",
        try_number=1,
        owner_token="one",
        redelivery=False,
        source="s",
        records="r",
        batch=0,
        start=0,
        size=10,
        summary={"outcomes": {"delivered": 9}},
    )


@dataclass
class Ledger:
    """A ledger that a test fills."""

    database: object
    numbers: itertools.count = field(default_factory=itertools.count)

    def add(
        self,
        outcome: str = "delivered",
        *,
        at: str = "2026-01-01T00:00:00+00:00",
        endpoint: str = "an_endpoint",
        event_id: str | None = None,
        event_type: str = "orders.loaded",
        delivery_id: str | None = None,
        generation: str = "0",
        once: str = "run",
        written_at: str | None = None,
        **origin: object,
    ) -> int:
        """Store a delivery with its outcome, ``claimed`` for none, and return the id of its row."""
        number = next(self.numbers)
        info = DeliveryInfo(
            delivery_id=delivery_id or f"{number:08x}-0000-5000-8000-000000000000",
            event_id=event_id or f"event-{number}",
            event_type=event_type,
            endpoint=endpoint,
            url="https://example.com/hook",
            scheme="sentry",
            body_sha256="0" * 64,
            body_bytes=2,
        )
        place = {"dag_id": "a_dag", "run_id": "a_run", "task_id": "a_task", "map_index": -1, "slot": f"slot-{number}"}
        described = ClaimOrigin(**{"origin": "task", **place, **origin})
        key = make_claim_key("event", info.delivery_id) if once == "event" else make_claim_key(number)
        store = LedgerClaimStore(self.database, key, Claim, origin=described)
        run = TryContext(generation="" if once == "event" else generation, try_number=1)
        claim = make_claim(None, info=info, run=run, claimed_at=at)
        store.acquire(None, claim)
        if outcome != "claimed":
            store.save(record_claim(claim, make_record(claim, make_attempt(outcome, at))))
        (row,) = self.database.run("SELECT id FROM service_hook_deliveries WHERE claim_key = ?", (key,))
        self.database.run("UPDATE service_hook_deliveries SET updated_at = ? WHERE id = ?", (written_at or at, row[0]))
        return row[0]

    def add_payload(self, delivery_id: str, *, at: str) -> None:
        self.database.run(
            "INSERT INTO service_hook_payloads (delivery_id, body_sha256, stored_at, payload) VALUES (?, ?, ?, ?)",
            (delivery_id, "0" * 64, at, b"x"),
        )

    def count(self, table: str) -> int:
        return self.database.run(f"SELECT count(*) FROM service_hook_{table}")[0][0]


def make_attempt(outcome: str, at: str) -> Attempt:
    error = {"unknown": ErrorClass.TIMEOUT, "not_sent": ErrorClass.CONNECTION_REFUSED}.get(outcome)
    return Attempt(
        outcome=Outcome(outcome),
        requested_at=at,
        duration_ms=2.5,
        status_code=STATUSES.get(outcome),
        error_class=error,
        message="no answer" if error else None,
    )
