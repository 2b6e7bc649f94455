# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Tries of streams whose events are claimed in a ledger. A test can kill a try at any statement, or run code there."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from airflow_provider_hooks.delivery.claims import Claim, ClaimOrigin, TryContext
from airflow_provider_hooks.delivery.policy import DeliveryPolicy
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.ledger.database import Database
from airflow_provider_hooks.ledger.event_claims import LedgerEventClaims
from airflow_provider_hooks.stream import batch
from airflow_provider_hooks.stream.claims import StreamClaim
from airflow_provider_hooks.stream.event_claims import EventClaims, EventDescription
from airflow_provider_hooks.stream.model import StreamContext
from tests.http.reusing_receiver import ReusingReceiver
from tests.ledgers import open_database
from tests.stream.sending import make_encoder, make_endpoint, make_event
from tests.stream.stream_tries import Tries

CHUNK = 2
"""How many events are claimed at once; a batch has several such chunks."""
DESCRIPTION = EventDescription(
    endpoint="hostile", url="http://127.0.0.1/hook", scheme="sentry", event_type="event.created"
)


_connect = Database._connect


def _connect_quickly(self):
    """Connect without waiting for the disk: the tests kill processes, and no machine loses power."""
    connection = _connect(self)
    if self.target.dialect == "sqlite":
        connection.execute("PRAGMA synchronous = OFF")
    return connection


class EventTries(Tries):
    """
    A stream of one run, which a test can try any number of times.

    :param connection: the Airflow connection of the ledger
    :param name: the name of the run; several runs can deliver the same events
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, connection: dict[str, object], name: str = "a"
    ) -> None:
        super().__init__(monkeypatch, folder / name)
        self.connection, self.name = connection, name
        self.wait_seconds = 0.0
        self.resends: frozenset[str] = frozenset()
        monkeypatch.setattr(Database, "_connect", _connect_quickly)
        monkeypatch.setattr(Database, "_execute", self._watch(Database._execute, "Database.execute"))
        monkeypatch.setattr(batch, "FLUSH_SECONDS", 0.0)  # so that records can be durable before outcomes
        monkeypatch.setattr(batch, "CHUNK_EVENTS", CHUNK)
        monkeypatch.setattr(batch, "TURNS", 1)

    @contextlib.contextmanager
    def open_claims(
        self, _store: object, run: StreamContext, policy: DeliveryPolicy
    ) -> Iterator[tuple[LedgerClaimStore[StreamClaim], EventClaims]]:
        """Open both in the ledger. When the try ends, also by being killed, an open transaction is rolled back."""
        database = open_database(self.connection)
        key = make_claim_key("run", self.name)
        origin = ClaimOrigin(origin="task", dag_id="dag", run_id=self.name, task_id="task", map_index=-1)
        shared = TryContext(generation="", try_number=run.try_number, policy=policy, wait_seconds=self.wait_seconds)
        events = EventClaims(
            LedgerEventClaims(database, key, origin=origin),
            stream=f"{self.name}-{run.generation}",
            description=DESCRIPTION,
            run=shared,
            resends=self.resends,
        )
        try:
            yield LedgerClaimStore(database, key, StreamClaim, origin=origin), events
        finally:
            if database._connection is not None:
                database._connection.close()

    def deliver_to_end(self, receiver: ReusingReceiver, source, **options):
        """Make tries, as Airflow does, until the stream is done."""
        while True:
            result = self.deliver(receiver, source, **options)
            if read_stream_state(self.connection, self.name) == "done":
                return result


class InsertedCall:
    """Used in place of a ``Killer``: calls a function at one of the watched calls, and continues."""

    def __init__(self, at: int, do: Callable[[], object]) -> None:
        self.at, self.do, self.count, self.is_dead = at, do, 0, False

    def note_call(self, _name: str) -> None:
        self.count += 1
        if self.count - 1 == self.at:
            self.do()


def find_delivery_id(number: int) -> str:
    encoder = make_encoder(make_endpoint("http://127.0.0.1/hook"))
    return encoder.encode(make_event(number), offset=number).delivery_id


def read_stream_state(connection: dict[str, object], name: str) -> str:
    with contextlib.closing(open_database(connection)) as database:
        sql = "SELECT state FROM service_hook_deliveries WHERE claim_key = ?"
        rows = database.run(sql, (make_claim_key("run", name),))
    return rows[0][0] if rows else "nothing"


def read_states(connection: dict[str, object]) -> dict[int, str]:
    """Return the state of each event's claim by the number of the event; row and claim must agree."""
    with contextlib.closing(open_database(connection)) as database:
        rows = database.run(
            "SELECT event_id, state, owner_token, claim FROM service_hook_deliveries WHERE kind = 'event'"
        )
    for _, state, token, text in rows:
        claim = msgspec.json.decode(text, type=Claim)
        assert (claim.state, claim.owner_token) == (state, token)
    return {int(event_id.removeprefix("event-")): state for event_id, state, *_ in rows}


def write_states(connection: dict[str, object], numbers, state: str) -> None:
    """Overwrite the state of claims, as a user does."""
    with contextlib.closing(open_database(connection)) as database:
        for number in numbers:
            key = make_claim_key("event", find_delivery_id(number))
            ((text,),) = database.run("SELECT claim FROM service_hook_deliveries WHERE claim_key = ?", (key,))
            claim = msgspec.structs.replace(msgspec.json.decode(text, type=Claim), state=state)
            sql = "UPDATE service_hook_deliveries SET state = ?, claim = ? WHERE claim_key = ?"
            database.run(sql, (state, msgspec.json.encode(claim).decode(), key))


def check_events(tries: EventTries, receiver: ReusingReceiver, count: int, *, invalid: int = 0) -> dict[int, dict]:
    """Check that each event has one correct record that agrees with its claim; return the records by offset."""
    records = tries.read_records()
    assert Counter(record["offset"] for record in records) == dict.fromkeys(range(count), 1)
    by_offset = {record["offset"]: record for record in records}
    states = read_states(tries.connection)
    assert "claimed" not in states.values(), "the next try records the outcome of every open claim"
    for offset, record in by_offset.items():
        if record.get("error_class") == "invalid_event":
            assert offset not in states
            continue
        assert states.get(offset, "not_sent") == record["outcome"]
        if record["outcome"] in {"delivered", "rejected"}:
            assert offset in receiver.request_counts
        elif record["outcome"] == "not_sent":
            assert offset not in receiver.request_counts
    assert sum(record.get("error_class") == "invalid_event" for record in records) == invalid
    return by_offset


def check_sent_once(receiver: ReusingReceiver) -> None:
    assert set(receiver.request_counts.values()) <= {1}, "an event was sent twice"
