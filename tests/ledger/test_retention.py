# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What a clean of the ledger deletes, and what it leaves, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_hooks.delivery.claims import (
    Claim,
    ClaimAction,
    ClaimOrigin,
    TaskSlots,
    next_action,
    pin_slots,
)
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.ledger.changes import store_state
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.ledger.history import find_delivery
from airflow_provider_hooks.ledger.retention import Cleaned, clean
from airflow_provider_hooks.stream.claims import StreamClaim
from tests.ledger.deliveries import Ledger, make_stream

NOW = datetime.now(timezone.utc)
LIMIT = NOW - timedelta(days=30)
OLD, RECENT = (NOW - timedelta(days=31)).isoformat(), (NOW - timedelta(days=29)).isoformat()
ID = "00000007-0000-5000-8000-000000000001"
TASK = ClaimOrigin(origin="task", endpoint="an_endpoint", dag_id="d", run_id="r", task_id="t", map_index=-1)


@pytest.fixture
def ledger(database) -> Ledger:
    return Ledger(database)


def run_clean(ledger: Ledger, **options: object) -> Cleaned:
    *_, done = clean(ledger.database, older_than=LIMIT, **options)
    return done


def test_older_deliveries_are_deleted_with_their_history(ledger):
    old, recent = ledger.add(at=OLD), ledger.add(at=RECENT)
    for row, time in ((old, OLD), (recent, RECENT)):
        ledger.add_payload(f"payload-{row}", at=time)
    assert run_clean(ledger) == Cleaned(deliveries=1, attempts=1, payloads=1)
    assert [row for (row,) in ledger.database.run("SELECT id FROM service_hook_deliveries")] == [recent]
    assert (ledger.count("attempts"), ledger.count("payloads")) == (1, 1)
    assert run_clean(ledger) == Cleaned()


@pytest.mark.parametrize("outcome", ["delivered", "rejected", "not_sent", "unknown"])
def test_finished_delivery_of_a_run_is_deleted_for_every_outcome(ledger, outcome):
    ledger.add(outcome, at=OLD)
    assert run_clean(ledger).deliveries == 1


def add_settled(ledger: Ledger) -> int:
    row = ledger.add("unknown", at=OLD)
    assert store_state(ledger.database, find_delivery(ledger.database, str(row)), state="settled")
    return row


def add_resend(ledger: Ledger) -> int:
    row = ledger.add("unknown", at=OLD)
    assert store_state(ledger.database, find_delivery(ledger.database, str(row)), state="resend")
    return row


PROTECTING = {
    "once_event": lambda ledger: ledger.add("delivered", at=OLD, once="event"),
    "open": lambda ledger: ledger.add("claimed", at=OLD),
    "settled": add_settled,
    "resend": add_resend,
}


@pytest.mark.parametrize("protection", PROTECTING)
def test_protecting_claim_stays_without_its_history(ledger, protection):
    row = PROTECTING[protection](ledger)
    ledger.database.run("UPDATE service_hook_deliveries SET updated_at = ?", (OLD,))
    claim = find_delivery(ledger.database, str(row)).claim
    has_record = protection != "open"
    ledger.add_payload(ID, at=OLD)
    assert run_clean(ledger) == Cleaned(attempts=int(has_record), payloads=1, protecting={protection: 1})
    assert find_delivery(ledger.database, str(row)).claim == claim
    assert (ledger.count("attempts"), ledger.count("payloads")) == (0, 0)
    assert run_clean(ledger).protecting == {protection: 1}
    assert run_clean(ledger, includes_protecting=True).deliveries == 1
    assert ledger.count("deliveries") == 0


def test_once_for_ever_event_is_not_sent_again_after_a_clean(ledger):
    ledger.add("delivered", at=OLD, once="event", delivery_id=ID)
    run_clean(ledger)
    found = LedgerClaimStore(ledger.database, make_claim_key("event", ID), Claim, origin=TASK).load()
    assert next_action(found, generation="") is ClaimAction.RETURN_RECORDED


@pytest.mark.parametrize("origin", ["command", "callback"])
def test_delivery_of_a_command_or_callback_is_deleted_unless_once_for_ever(ledger, origin):
    ledger.add(at=OLD, origin=origin, generation="")
    remaining = ledger.add(at=OLD, origin=origin, once="event")
    assert run_clean(ledger).deliveries == 1
    assert [row for (row,) in ledger.database.run("SELECT id FROM service_hook_deliveries")] == [remaining]


@pytest.mark.parametrize("state", ["claimed", "resending", "stopped", "done"])
def test_a_stream_stays_until_it_is_done(ledger, state):
    LedgerClaimStore(ledger.database, "a", StreamClaim, origin=TASK).acquire(None, make_stream(state))
    ledger.database.run("UPDATE service_hook_deliveries SET claimed_at = ?, updated_at = ?", (OLD, OLD))
    expected = Cleaned(deliveries=1) if state == "done" else Cleaned(protecting={"unfinished_stream": 1})
    assert run_clean(ledger) == expected


def test_the_slots_of_a_task_are_deleted_and_not_counted(ledger):
    pin_slots(LedgerClaimStore(ledger.database, "a", TaskSlots, origin=TASK), TaskSlots(generation="0", slots=("a",)))
    ledger.database.run("UPDATE service_hook_deliveries SET claimed_at = ?, updated_at = ?", (OLD, OLD))
    assert run_clean(ledger) == Cleaned()
    assert ledger.count("deliveries") == 0


def test_old_claim_with_a_recent_update_stays(ledger):
    ledger.add(at=OLD, written_at=RECENT)
    assert run_clean(ledger) == Cleaned()
    assert (ledger.count("deliveries"), ledger.count("attempts")) == (1, 1)


def test_claim_updated_during_the_clean_stays(ledger):
    rows = [ledger.add(at=OLD) for _ in range(2)]
    delete = ledger.database.run

    def write_first(sql, parameters=()):
        if sql.startswith("DELETE FROM service_hook_deliveries"):
            delete("UPDATE service_hook_deliveries SET updated_at = ? WHERE id = ?", (RECENT, rows[0]))
        return delete(sql, parameters)

    ledger.database.run = write_first
    assert run_clean(ledger).deliveries == 1
    assert [row for (row,) in delete("SELECT id FROM service_hook_deliveries")] == rows[:1]


def test_batches_delete_everything_and_report_progress(ledger):
    for number in range(5):
        ledger.add(at=OLD, once="event" if number == 1 else "run")
        ledger.add_payload(f"payload-{number}", at=OLD)
    progress = list(clean(ledger.database, older_than=LIMIT, batch_size=2))
    assert [one.deliveries for one in progress][:3] == [1, 3, 4]
    assert progress[-1] == Cleaned(deliveries=4, attempts=5, payloads=5, protecting={"once_event": 1})


def test_a_dry_run_counts_what_a_clean_deletes_and_deletes_nothing(ledger):
    for protect in PROTECTING.values():
        protect(ledger)
    ledger.database.run("UPDATE service_hook_deliveries SET updated_at = ?", (OLD,))
    for time in (OLD, OLD, RECENT):
        ledger.add(at=time)
        ledger.add_payload(f"payload-{next(ledger.numbers)}", at=time)
    before = [ledger.count(table) for table in ("deliveries", "attempts", "payloads")]
    counted = run_clean(ledger, is_dry_run=True, batch_size=3)
    assert [ledger.count(table) for table in ("deliveries", "attempts", "payloads")] == before
    assert counted == run_clean(ledger)
    assert (counted.deliveries, counted.payloads, sum(counted.protecting.values())) == (2, 2, 4)


@pytest.mark.parametrize(
    ("older_than", "options", "problem"),
    [
        (NOW - timedelta(days=6), {}, "older_than: must be 7 days ago or earlier"),
        (NOW + timedelta(days=1), {}, "older_than"),
        (LIMIT, {"batch_size": 0}, "batch_size: must be 1 to 10000, not 0"),
        (LIMIT, {"batch_size": 10_001}, "batch_size"),
    ],
)
def test_invalid_arguments_are_refused_before_any_deletion(ledger, older_than, options, problem):
    ledger.add(at=OLD)
    with pytest.raises(ValidationError, match=problem):
        clean(ledger.database, older_than=older_than, **options)
    assert ledger.count("deliveries") == 1
