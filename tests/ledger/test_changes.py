# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Changes of claims by users, on SQLite and on PostgreSQL, and what a clear of a task sends again."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.delivery.claims import Claim, ClaimAction, make_record, next_action, record_claim
from airflow_provider_hooks.exceptions import ClaimLostError
from airflow_provider_hooks.ledger.changes import list_sent_along, store_state
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.ledger.history import find_delivery, list_of_task_instance
from airflow_provider_hooks.stream.claims import StreamClaim
from tests.ledger.deliveries import Ledger, make_attempt, make_stream
from tests.ledger.test_retention import TASK

ID = "00000007-0000-5000-8000-000000000001"
AT = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def ledger(database) -> Ledger:
    return Ledger(database)


def load(ledger: Ledger) -> Claim:
    return LedgerClaimStore(ledger.database, make_claim_key("event", ID), Claim, origin=TASK).load()


@pytest.mark.parametrize("outcome", ["delivered", "rejected", "unknown", "claimed"])
def test_claim_marked_resend_is_sent_by_the_next_try(ledger, outcome):
    row = ledger.add(outcome, once="event", delivery_id=ID)
    assert next_action(load(ledger), generation="") is not ClaimAction.SEND
    details = find_delivery(ledger.database, str(row))
    assert store_state(ledger.database, details, state="resend")
    assert next_action(load(ledger), generation="") is ClaimAction.SEND
    changed = find_delivery(ledger.database, str(row))
    assert (changed.delivery.state, changed.delivery.outcome) == ("resend", outcome), (
        "the delivery is still listed with its outcome"
    )
    assert store_state(ledger.database, details, state=outcome, found="resend")
    assert find_delivery(ledger.database, str(row)).claim == details.claim


@pytest.mark.parametrize("change", ["owner_token = 'another'", "state = 'delivered'"])
def test_claim_changed_meanwhile_is_left_unchanged(ledger, change):
    row = ledger.add("unknown")
    details = find_delivery(ledger.database, str(row))
    ledger.database.run(f"UPDATE service_hook_deliveries SET {change}")
    before = find_delivery(ledger.database, str(row))
    assert not store_state(ledger.database, details, state="settled")
    assert find_delivery(ledger.database, str(row)) == before


def test_sending_process_does_not_overwrite_a_state_set_by_a_user(ledger):
    row = ledger.add("claimed", once="event", delivery_id=ID)
    sending = load(ledger)
    store_state(ledger.database, find_delivery(ledger.database, str(row)), state="settled")
    finished = record_claim(sending, make_record(sending, make_attempt("rejected", AT)))
    with pytest.raises(ClaimLostError):
        LedgerClaimStore(ledger.database, make_claim_key("event", ID), Claim, origin=TASK).save(finished)
    assert load(ledger).state == "settled"


@pytest.mark.parametrize(
    ("outcome", "once", "is_sent"),
    [
        ("delivered", "run", True),
        ("rejected", "run", True),
        ("unknown", "run", True),
        ("claimed", "run", True),
        ("not_sent", "run", False),
        ("delivered", "event", False),
        ("unknown", "event", False),
    ],
)
def test_clear_sends_other_deliveries_of_the_same_run_again(ledger, outcome, once, is_sent):
    rows = [ledger.add("unknown"), ledger.add(outcome, once=once)]
    chosen = find_delivery(ledger.database, str(rows[0])).delivery
    along = list_sent_along([chosen], list_of_task_instance(ledger.database, chosen))
    assert [one.id for one in along] == rows[1:] * is_sent


@pytest.mark.parametrize(("once", "is_sent"), [("run", True), ("event", False)])
def test_clear_sends_a_stream_again_unless_its_events_are_once_for_ever(ledger, once, is_sent):
    row = ledger.add("unknown", once=once, task_id=TASK.task_id, dag_id=TASK.dag_id, run_id=TASK.run_id)
    LedgerClaimStore(ledger.database, "s", StreamClaim, origin=TASK).acquire(None, make_stream("done"))
    chosen = find_delivery(ledger.database, str(row)).delivery
    along = list_sent_along([chosen], list_of_task_instance(ledger.database, chosen))
    assert [one.kind for one in along] == ["stream"] * is_sent
