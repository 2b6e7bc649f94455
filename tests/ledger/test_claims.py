# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The claim store of the ledger, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading

import msgspec
import pytest

from airflow_provider_hooks.delivery.claims import (
    RESEND,
    SETTLED,
    Claim,
    ClaimOrigin,
    TaskSlots,
    TryContext,
    make_claim,
    make_record,
    pin_slots,
    record_claim,
    report_interrupted,
)
from airflow_provider_hooks.delivery.patience import OutageError
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo
from airflow_provider_hooks.delivery.service import ClaimedDelivery
from airflow_provider_hooks.exceptions import ClaimLostError, RecordError, SlotsError, StateStoreError
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.stream.claims import StreamClaim
from tests.ledger.deliveries import make_stream
from tests.ledgers import open_database

INFO = DeliveryInfo(
    delivery_id="d-1",
    event_id="e-1",
    event_type="orders.loaded",
    endpoint="endpoint",
    url="https://example.com/hook",
    scheme="sentry",
    body_sha256="0" * 64,
    body_bytes=2,
)
ORIGIN = ClaimOrigin(origin="task", dag_id="a_dag", run_id="a_run", task_id="a_task", map_index=-1)
TIME = "2026-01-01T00:00:00+00:00"
RUN = TryContext(generation="0", try_number=1)


def open_store(database, *parts, kind=Claim, patience=0.0):
    return LedgerClaimStore(database, make_claim_key(*parts or ("key",)), kind, origin=ORIGIN, patience=patience)


def claim(found=None, *, run=RUN):
    return make_claim(found, info=INFO, run=run, claimed_at=TIME)


def finish(claimed, outcome=Outcome.DELIVERED):
    attempt = Attempt(outcome=outcome, requested_at=TIME, duration_ms=1.5)
    return record_claim(claimed, make_record(claimed, attempt))


def count_attempts(database):
    return database.run("SELECT count(*) FROM service_hook_attempts")[0][0]


def test_a_claim_is_stored_and_found(database):
    store, stored = open_store(database), claim()
    assert store.load() is None
    store.acquire(None, stored)
    assert store.load() == stored
    store.save(finish(stored))
    assert store.load() == finish(stored)
    columns = "kind, origin, outcome, dag_id, run_id, task_id, map_index, delivery_id, event_id, event_type, endpoint"
    assert database.run(f"SELECT {columns} FROM service_hook_deliveries") == [
        ("event", "task", "delivered", "a_dag", "a_run", "a_task", -1, "d-1", "e-1", "orders.loaded", "endpoint")
    ]
    assert count_attempts(database) == 1


def test_concurrent_claims_store_exactly_one(database):
    first, second = claim(), claim()
    open_store(database).acquire(None, first)
    with pytest.raises(ClaimLostError):
        open_store(database).acquire(None, second)
    assert open_store(database).load() == first
    replaced = [claim(first), claim(first)]
    open_store(database).acquire(first, replaced[0])
    with pytest.raises(ClaimLostError):
        open_store(database).acquire(first, replaced[1])
    assert open_store(database).load() == replaced[0]


def test_a_claim_is_not_replaced_after_its_outcome_was_stored(database):
    stored = claim()
    open_store(database).acquire(None, stored)
    open_store(database).save(finish(stored))
    with pytest.raises(ClaimLostError):
        open_store(database).acquire(stored, claim(stored))


def test_a_late_write_fails_and_leaves_no_attempt(database):
    late, newer = claim(), claim()
    store = open_store(database)
    store.acquire(None, late)
    store.acquire(late, newer)
    with pytest.raises(ClaimLostError):
        store.save(finish(late))
    assert store.load() == newer
    assert count_attempts(database) == 0


@pytest.mark.parametrize(
    ("stored", "replaced_by_owner", "replaced_by_observer"),
    [
        ("claimed", True, True),
        ("interrupted", True, False),
        ("unknown", True, False),
        ("delivered", False, False),
        (SETTLED, False, False),
        (RESEND, False, False),
    ],
)
def test_owner_and_observer_can_replace_claims_by_state(database, stored, replaced_by_owner, replaced_by_observer):
    mine = claim()
    interrupted = record_claim(mine, report_interrupted(mine))
    states = {
        "claimed": mine,
        "interrupted": interrupted,
        "unknown": finish(mine, Outcome.UNKNOWN),
        "delivered": finish(mine),
        SETTLED: msgspec.structs.replace(interrupted, state=SETTLED),
        RESEND: msgspec.structs.replace(interrupted, state=RESEND),
    }
    for written, is_written in ((finish(mine), replaced_by_owner), (interrupted, replaced_by_observer)):
        database.run("DELETE FROM service_hook_deliveries")
        store = open_store(database)
        store.acquire(None, states[stored])
        if is_written:
            store.save(written)
            assert store.load() == written
        else:
            with pytest.raises(ClaimLostError):
                store.save(written)
            assert store.load() == states[stored]


def test_stream_acquires_each_batch_from_the_previous_one(database):
    store = open_store(database, kind=StreamClaim)
    batch = make_stream("claimed")
    following = msgspec.structs.replace(batch, batch=1, owner_token="two")
    taken_over = msgspec.structs.replace(batch, try_number=2, owner_token="three")
    store.acquire(None, batch)
    store.acquire(batch, following)
    with pytest.raises(ClaimLostError):
        open_store(database, kind=StreamClaim).acquire(batch, taken_over)
    done = msgspec.structs.replace(following, state="done", summary={"outcomes": {"delivered": 9, "unknown": 1}})
    store.save(done)
    assert store.load() == done
    assert database.run("SELECT kind, outcome FROM service_hook_deliveries") == [("stream", "unknown")]


def test_slots_are_pinned(database):
    pin_slots(open_store(database, kind=TaskSlots), TaskSlots(generation="0", slots=("a",)))
    pin_slots(open_store(database, kind=TaskSlots), TaskSlots(generation="0", slots=("a",)))
    with pytest.raises(SlotsError):
        pin_slots(open_store(database, kind=TaskSlots), TaskSlots(generation="0", slots=("b",)))
    pin_slots(open_store(database, kind=TaskSlots), TaskSlots(generation="1", slots=("b",)))


class Faulty:
    """A database that loses requests or responses."""

    def __init__(self, database, *, has_effect, count=1):
        self.database, self.has_effect, self.left, self.target = database, has_effect, count, database.target
        self.is_write_lost = False

    def run(self, sql, parameters=()):
        if sql.startswith("SELECT") or not self.left:
            return self.database.run(sql, parameters)
        self.left -= 1
        if self.has_effect:
            self.database.run(sql, parameters)
        raise OutageError("the connection was lost")


@pytest.mark.parametrize("has_effect", [True, False])
def test_claim_is_stored_once_if_the_database_response_is_lost(database, has_effect, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.delivery.patience.time.sleep", lambda _seconds: None)
    stored = claim()
    open_store(Faulty(database, has_effect=has_effect), patience=60).acquire(None, stored)
    assert open_store(database).load() == stored
    with pytest.raises(StateStoreError, match="the ledger"):
        open_store(Faulty(database, has_effect=False, count=9)).acquire(stored, claim(stored))


class Late(Faulty):
    """A database that reports an error for a write, and executes it right before the next one."""

    def run(self, sql, parameters=()):
        if sql.startswith("SELECT"):
            return self.database.run(sql, parameters)
        if self.left:
            self.left -= 1
            self.pending = (sql, parameters)
            raise OutageError("the connection was lost")
        self.database.run(*self.pending)
        return self.database.run(sql, parameters)


@pytest.mark.parametrize("replaces", [False, True])
def test_claim_stored_late_is_not_mistaken_for_another_process(database, replaces, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.delivery.patience.time.sleep", lambda _seconds: None)
    found = claim() if replaces else None
    if found is not None:
        open_store(database).acquire(None, found)
    stored = claim(found)
    open_store(Late(database, has_effect=True), patience=60).acquire(found, stored)
    assert open_store(database).load() == stored


def test_malformed_claim_is_an_error(database):
    open_store(database).acquire(None, claim())
    for text in ("no JSON", "{}", "[]"):
        database.run("UPDATE service_hook_deliveries SET claim = ?", (text,))
        with pytest.raises(RecordError, match="the ledger"):
            open_store(database).load()


def race(database_of, rounds, *, wait_seconds):
    """Have two threads deliver the same events, each with its own connection; return who sent, and the results."""
    sent, results = [], []
    barrier = threading.Barrier(2)

    def deliver(number):
        own = database_of()
        for round_number in range(rounds):
            run = TryContext(generation="", try_number=1, wait_seconds=wait_seconds)
            delivery = ClaimedDelivery(store=open_store(own, round_number), run=run)
            barrier.wait()
            result = delivery.resolve()
            if result is None:
                try:
                    result = delivery.claim(INFO)
                except ClaimLostError:
                    continue
            if result is None:
                sent.append(round_number)
                result = delivery.settle(Attempt(outcome=Outcome.DELIVERED, requested_at=TIME, duration_ms=1.0))
            results.append(result.record.attempt.outcome)
        own.close()

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sent, results


@pytest.mark.parametrize("wait_seconds", [0.0, 30.0])
def test_exactly_one_of_two_concurrent_deliveries_sends(database, ledger_connection, wait_seconds):
    sent, results = race(lambda: open_database(ledger_connection), 50, wait_seconds=wait_seconds)
    assert sorted(sent) == list(range(50))
    if wait_seconds:  # the other one waits for the outcome, and reports it
        assert results == [Outcome.DELIVERED] * 100


def begin(database, *, wait_seconds=0.0, generation=""):
    run = TryContext(generation=generation, try_number=1, wait_seconds=wait_seconds)
    return ClaimedDelivery(store=open_store(database), run=run)


def attempt(outcome):
    return Attempt(outcome=outcome, requested_at=TIME, duration_ms=1.0)


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.REJECTED, Outcome.UNKNOWN])
def test_late_outcome_replaces_the_unknown_outcome_of_a_waiting_delivery(database, outcome):
    slow, waiting = begin(database, wait_seconds=0.1), begin(database, wait_seconds=0.1)
    assert slow.resolve() is None
    assert slow.claim(INFO) is None
    reported = waiting.resolve()
    assert (reported.record.attempt.outcome, reported.sent_by_this_try) == (Outcome.UNKNOWN, False)
    assert slow.settle(attempt(outcome)).record.attempt.outcome is outcome
    assert begin(database, wait_seconds=0.1).resolve().record.attempt.outcome is outcome


def test_waiting_delivery_sends_if_the_first_was_not_sent(database):
    first, second = begin(database, wait_seconds=9), begin(database, wait_seconds=9)
    assert first.resolve() is None
    assert second.resolve() is None
    assert first.claim(INFO) is None
    first.settle(attempt(Outcome.NOT_SENT))
    assert second.claim(INFO) is None  # the claim was replaced by one that may be sent
    assert not second.is_redelivery
    assert second.settle(attempt(Outcome.DELIVERED)).sent_by_this_try


def test_outcome_of_a_replaced_claim_is_reported_and_not_stored(database):
    first, second = begin(database, generation="0"), begin(database, generation="1")
    assert first.resolve() is None
    assert first.claim(INFO) is None
    assert second.resolve() is None
    assert second.claim(INFO) is None
    with pytest.raises(ClaimLostError, match=r"delivered: .* could not be recorded: another process"):
        first.settle(attempt(Outcome.DELIVERED))
    second.settle(attempt(Outcome.DELIVERED))
    assert count_attempts(database) == 1


def test_claim_marked_resend_is_sent_again(database):
    first = begin(database)
    assert first.resolve() is None
    assert first.claim(INFO) is None
    first.settle(attempt(Outcome.UNKNOWN))
    database.run(
        'UPDATE service_hook_deliveries SET state = ?, claim = replace(claim, \'"unknown","gen\', ?)',
        (RESEND, f'"{RESEND}","gen'),
    )
    again = begin(database)
    assert again.resolve() is None
    assert again.claim(INFO) is None
    assert again.is_redelivery
    assert again.settle(attempt(Outcome.NOT_SENT)).record.attempt.outcome is Outcome.NOT_SENT
