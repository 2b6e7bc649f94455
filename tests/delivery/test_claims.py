# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The table of claims: a delivery is attempted at most once in a run or manual clear."""

from __future__ import annotations

import itertools
import json
import time
import uuid

import pendulum
import pytest
from msgspec.structs import replace

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.delivery import claims as claims_module
from airflow_provider_hooks.delivery.claims import (
    CLAIMED,
    KEY_PREFIX,
    SETTLED,
    Claim,
    ClaimAction,
    TryContext,
    make_claim,
    next_action,
    record_claim,
)
from airflow_provider_hooks.delivery.policy import AT_MOST_ONCE, make_policy
from airflow_provider_hooks.delivery.record import (
    MAX_SUMMARY_CHARACTERS,
    Attempt,
    DeliveryInfo,
    Record,
    parse_record,
    parse_stored,
)
from airflow_provider_hooks.delivery.request import DeliveryIds
from airflow_provider_hooks.delivery.service import ClaimedDelivery, check_slot
from airflow_provider_hooks.exceptions import ClaimLostError, RecordError, SlotError
from airflow_provider_hooks.http.result import Phases
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

AT_LEAST_ONCE = make_policy(guarantee="at_least_once")
INFO = DeliveryInfo(
    delivery_id="d-1",
    event_id="e-1",
    event_type="event.created",
    endpoint="endpoint",
    url="https://example.com/hook",
    scheme="sentry",
    body_sha256="0" * 64,
    body_bytes=2,
)


class Store:
    """A state store that stores only JSON, as Airflow's does, and can be made to fail."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.fail_on_write = 0
        self.writes = 0

    def get(self, key: str) -> object:
        return json.loads(self.stored[key]) if key in self.stored else None

    def set(self, key: str, value: object, **_options: object) -> None:
        self.writes += 1
        if self.writes == self.fail_on_write:
            raise ConnectionError("the database is gone")
        self.stored[key] = json.dumps(value)


class FakeSender:
    """Counts attempts, and returns the given outcomes in their order."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.count = 0

    def __call__(self) -> Attempt:
        self.count += 1
        return Attempt(outcome=self.outcomes.pop(0), requested_at="2026-01-01T00:00:00+00:00", duration_ms=1.5)


def open_claims(store, slot=""):
    return TaskStateClaimStore(store, f"{KEY_PREFIX}:{slot}" if slot else KEY_PREFIX, Claim)


def deliver(store, sender, *, generation="2", try_number=1, info=INFO, slot="", policy=AT_MOST_ONCE):
    """Take the steps of a delivery as ``EndpointHook.deliver_once`` does."""
    run = TryContext(generation=generation, try_number=try_number, policy=policy)
    delivery = ClaimedDelivery(store=open_claims(store, slot), run=run)
    result = delivery.resolve()
    if result is None:
        delivery.claim(info)
        return delivery.settle(sender())
    if result.recorded_by_this_try:
        check_slot(result, info)
    return result


def make_delivery_id(*, endpoint: str, event_type: str, event_id: str, deployment: str = "d") -> str:
    return DeliveryIds(deployment=deployment, endpoint=endpoint, event_type=event_type).make(event_id)


def claim(state: str, generation: str):
    found = make_claim(
        None, info=INFO, run=TryContext(generation=generation, try_number=1), claimed_at="2026-01-01T00:00:00+00:00"
    )
    if state == CLAIMED:
        return found
    attempt = Attempt(outcome=Outcome(state), requested_at="", duration_ms=0)
    return record_claim(found, Record(info=INFO, generation=generation, redelivery=False, attempt=attempt))


SAME_GENERATION = {
    CLAIMED: (ClaimAction.REPORT_UNKNOWN, ClaimAction.SEND),
    "not_sent": (ClaimAction.SEND, ClaimAction.SEND),
    "delivered": (ClaimAction.RETURN_RECORDED, ClaimAction.RETURN_RECORDED),
    "rejected": (ClaimAction.RETURN_RECORDED, ClaimAction.RETURN_RECORDED),
    "unknown": (ClaimAction.RETURN_RECORDED, ClaimAction.SEND),
    SETTLED: (ClaimAction.MARK_DELIVERED, ClaimAction.MARK_DELIVERED),
}
"""The action for each state in the same generation: with ``at_most_once``, and with ``at_least_once``."""


@pytest.mark.parametrize("policy", [AT_MOST_ONCE, AT_LEAST_ONCE], ids=["at most once", "at least once"])
@pytest.mark.parametrize("state", list(SAME_GENERATION))
def test_each_state_has_the_action_of_the_table(state, policy):
    found = replace(claim(CLAIMED if state == SETTLED else state, "2"), state=state)
    assert next_action(found, generation="2", policy=policy) is SAME_GENERATION[state][policy is AT_LEAST_ONCE]
    newer = ClaimAction.MARK_DELIVERED if state == SETTLED else ClaimAction.SEND
    assert next_action(found, generation="4", policy=policy) is newer
    assert next_action(None, generation="2", policy=policy) is ClaimAction.SEND


@pytest.mark.parametrize(
    ("policy", "status", "is_sent"),
    [
        (AT_MOST_ONCE, 503, False),
        (make_policy(retry_statuses=[503]), 503, True),
        (make_policy(retry_statuses=[503]), 500, False),
        (AT_LEAST_ONCE, 503, True),
        (AT_LEAST_ONCE, 400, False),
        (AT_LEAST_ONCE, 410, False),
        (AT_LEAST_ONCE, "503", False),
        (AT_LEAST_ONCE, None, False),
    ],
)
def test_rejected_delivery_is_sent_again_for_the_statuses_of_the_policy(policy, status, is_sent):
    found = claim("rejected", "2")
    found = replace(found, record={**found.record, "status_code": status})
    expected = ClaimAction.SEND if is_sent else ClaimAction.RETURN_RECORDED
    assert next_action(found, generation="2", policy=policy) is expected


class TestResend:
    def test_unknown_delivery_is_sent_again_with_the_same_id_as_a_redelivery(self):
        store, sender = Store(), FakeSender(Outcome.UNKNOWN, Outcome.DELIVERED)
        first = deliver(store, sender, policy=AT_LEAST_ONCE)
        second = deliver(store, sender, try_number=2, policy=AT_LEAST_ONCE)
        assert [one.record.redelivery for one in (first, second)] == [False, True]
        assert first.record.info.delivery_id == second.record.info.delivery_id
        assert sender.count == 2

    def test_claim_left_open_by_a_crash_is_sent_again(self):
        store, sender = Store(), FakeSender(Outcome.DELIVERED)
        with pytest.raises(KeyboardInterrupt):
            deliver(store, lambda: (_ for _ in ()).throw(KeyboardInterrupt), policy=AT_LEAST_ONCE)
        assert deliver(store, sender, try_number=2, policy=AT_LEAST_ONCE).record.redelivery is True

    def test_unknown_delivery_stays_unknown_after_attempts_that_were_not_sent(self):
        store, sender = Store(), FakeSender(Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.NOT_SENT, Outcome.DELIVERED)
        outcomes = [
            deliver(store, sender, try_number=n, policy=AT_LEAST_ONCE).record.attempt.outcome for n in (1, 2, 3)
        ]
        assert outcomes == [Outcome.UNKNOWN] * 3
        assert deliver(store, sender, try_number=4).sent_by_this_try is False, (
            "``at_most_once`` does not send an unknown delivery again"
        )
        last = deliver(store, sender, try_number=5, policy=AT_LEAST_ONCE)
        assert (last.record.attempt.outcome, last.record.redelivery) == (Outcome.DELIVERED, True)

    def test_attempts_are_counted_within_a_generation(self):
        store, sender = Store(), FakeSender(*[Outcome.UNKNOWN] * 2, Outcome.NOT_SENT, Outcome.DELIVERED)
        records = [deliver(store, sender, try_number=n, policy=AT_LEAST_ONCE).record for n in (1, 2, 3)]
        assert [record.attempts for record in records] == [1, 2, 3]
        assert deliver(store, sender, generation="4", try_number=4, policy=AT_LEAST_ONCE).record.attempts == 1

    def test_delivery_is_unknown_after_unknown_rejected_and_not_sent_attempts(self):
        store, sender = Store(), FakeSender(Outcome.UNKNOWN, Outcome.REJECTED, Outcome.NOT_SENT)
        policy = make_policy(guarantee="at_least_once", retry_statuses=[503])
        outcomes = []
        for number in (1, 2, 3):
            outcomes.append(deliver(store, sender, try_number=number, policy=policy).record.attempt.outcome)
            if outcomes[-1] is Outcome.REJECTED:
                stored = store.get(KEY_PREFIX)
                store.set(KEY_PREFIX, {**stored, "record": {**stored["record"], "status_code": 503}})
        assert outcomes == [Outcome.UNKNOWN, Outcome.REJECTED, Outcome.UNKNOWN]


class TestSettled:
    def settle(self, store):
        store.set(KEY_PREFIX, {**store.get(KEY_PREFIX), "state": SETTLED})

    @pytest.mark.parametrize("generation", ["2", "4"])
    @pytest.mark.parametrize("crashed", [True, False])
    def test_settled_delivery_is_reported_as_delivered_without_an_attempt(self, generation, crashed):
        store, sender = Store(), FakeSender(Outcome.UNKNOWN)
        if crashed:
            with pytest.raises(KeyboardInterrupt):
                deliver(store, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        else:
            deliver(store, sender)
        self.settle(store)
        accepted = deliver(store, sender, generation=generation, try_number=2)
        assert (accepted.sent_by_this_try, accepted.record.attempt.outcome, accepted.record.settled) == (
            False,
            Outcome.DELIVERED,
            True,
        )
        assert accepted.record.generation == generation
        assert accepted.record.attempt.message == "a user marked it as received"
        again = deliver(store, sender, generation=generation, try_number=3)
        assert again.record == accepted.record, "later tries return the same record"

    @pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.NOT_SENT, Outcome.DELIVERED])
    def test_delivery_with_a_known_outcome_cannot_be_settled(self, outcome):
        store, sender = Store(), FakeSender(outcome)
        deliver(store, sender)
        self.settle(store)
        with pytest.raises(RecordError, match=f"the delivery was {outcome.value}"):
            deliver(store, sender, generation="4")

    def test_later_clear_sends_a_settled_delivery_again(self):
        store, sender = Store(), FakeSender(Outcome.UNKNOWN, Outcome.DELIVERED)
        deliver(store, sender)
        self.settle(store)
        deliver(store, sender, generation="4")
        later = deliver(store, sender, generation="6")
        assert (later.sent_by_this_try, later.record.redelivery, later.record.settled) == (True, True, False)


class TestOrphans:
    """A store that refuses no try, as a ledger: an orphan finds the claim of the try after a clear."""

    @pytest.mark.parametrize("policy", [AT_MOST_ONCE, AT_LEAST_ONCE], ids=["at most once", "at least once"])
    def test_an_orphan_of_an_earlier_generation_sends_nothing_and_leaves_the_claim(self, policy):
        store, sender = Store(), FakeSender(Outcome.DELIVERED)
        deliver(store, sender, generation="4", try_number=3)
        stored = store.get(KEY_PREFIX)
        with pytest.raises(ClaimLostError, match="try 3 has claimed this delivery after a clear"):
            deliver(store, sender, generation="2", try_number=2, policy=policy)
        assert (store.get(KEY_PREFIX), sender.count) == (stored, 1)

    def test_a_settled_delivery_belongs_to_the_try_that_reported_it(self):
        store, sender = Store(), FakeSender(Outcome.UNKNOWN)
        deliver(store, sender)
        store.set(KEY_PREFIX, {**store.get(KEY_PREFIX), "state": SETTLED})
        deliver(store, sender, generation="4", try_number=3)
        with pytest.raises(ClaimLostError):
            deliver(store, sender, generation="2", try_number=2)

    def test_a_later_try_of_the_same_generation_does_not_make_an_orphan(self):
        store, sender = Store(), FakeSender(Outcome.DELIVERED)
        deliver(store, sender, try_number=2)
        assert deliver(store, sender, try_number=1).sent_by_this_try is False


class TestSlots:
    OTHER = replace(INFO, event_id="e-2", delivery_id="d-2")

    @pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.REJECTED, Outcome.UNKNOWN])
    def test_second_event_of_a_try_in_the_same_slot_is_refused(self, outcome):
        store, sender = Store(), FakeSender(outcome)
        deliver(store, sender)
        with pytest.raises(SlotError, match="give each delivery its own slot"):
            deliver(store, sender, info=self.OTHER)
        assert sender.count == 1

    def test_another_process_with_the_same_try_number_gets_the_record(self, monkeypatch):
        """Airflow can run a try again in a restarted container; an event without an id then has another one."""
        store, sender = Store(), FakeSender(Outcome.DELIVERED)
        first = deliver(store, sender)
        monkeypatch.setattr(claims_module, "_PROCESS", "another")
        assert deliver(store, sender, info=self.OTHER).record == first.record
        assert sender.count == 1

    def test_same_event_again_in_one_try_returns_the_same_record(self):
        store, sender = Store(), FakeSender(Outcome.DELIVERED)
        assert deliver(store, sender).record == deliver(store, sender).record
        assert sender.count == 1


def test_manual_clear_reports_a_delivery_that_was_left_open():
    store, sender = Store(), FakeSender(Outcome.DELIVERED, Outcome.DELIVERED)
    with pytest.raises(KeyboardInterrupt):
        deliver(store, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    cleared = deliver(store, sender, generation="4")
    assert cleared.unresolved_previous is not None
    assert (cleared.unresolved_previous.attempt.outcome, cleared.record.redelivery) == (Outcome.UNKNOWN, True)
    assert deliver(store, sender, generation="6").unresolved_previous is None


class TestTwoProcesses:
    def test_claim_overwritten_by_another_process_sends_nothing(self):
        store, sender = Store(), FakeSender(Outcome.DELIVERED)
        other = claim(CLAIMED, "2").as_json()

        class Overwritten(Store):
            def get(self, key):
                return other if self.writes else None

        with pytest.raises(ClaimLostError, match="this one sent nothing"):
            deliver(Overwritten(), sender)
        assert sender.count == 0
        assert store.stored == {}

    def test_a_store_that_refuses_to_read_the_claim_back_sends_nothing(self):
        sender = FakeSender(Outcome.DELIVERED)

        class Refusing(Store):
            def get(self, key):
                if self.writes:
                    raise LookupError("no such task instance")

        with pytest.raises(LookupError):
            deliver(Refusing(), sender)
        assert sender.count == 0


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.REJECTED, Outcome.UNKNOWN])
def test_recorded_outcome_is_returned_by_later_tries(outcome):
    store, sender = Store(), FakeSender(outcome)
    first = deliver(store, sender)
    second = deliver(store, sender, try_number=2)
    assert sender.count == 1
    assert (first.sent_by_this_try, second.sent_by_this_try) == (True, False)
    assert second.record == first.record


def test_not_sent_delivery_is_attempted_again():
    store, sender = Store(), FakeSender(Outcome.NOT_SENT, Outcome.NOT_SENT, Outcome.DELIVERED)
    outcomes = [deliver(store, sender, try_number=number).record.attempt.outcome for number in (1, 2, 3, 4)]
    assert outcomes == [Outcome.NOT_SENT, Outcome.NOT_SENT, Outcome.DELIVERED, Outcome.DELIVERED]
    assert sender.count == 3


def test_the_claim_is_durable_before_the_attempt_begins():
    store = Store()

    def attempt() -> Attempt:
        assert store.get(KEY_PREFIX)["state"] == CLAIMED
        return FakeSender(Outcome.DELIVERED)()

    deliver(store, attempt)


@pytest.mark.parametrize("state", [CLAIMED, "delivered", "rejected", "unknown"])
def test_outcome_of_an_earlier_try_is_resolved_without_the_endpoint(state):
    store = Store()
    store.set(KEY_PREFIX, claim(state, "2").as_json())

    run = TryContext(generation="2", try_number=2)
    delivery = ClaimedDelivery(store=open_claims(store), run=run).resolve()
    assert delivery.record.attempt.outcome.value == ("unknown" if state == CLAIMED else state)
    assert store.get(KEY_PREFIX)["state"] == delivery.record.attempt.outcome.value


def test_resolving_without_an_earlier_try_stores_no_claim():
    store = Store()
    delivery = ClaimedDelivery(store=open_claims(store), run=TryContext(generation="2", try_number=1))
    assert delivery.resolve() is None
    assert store.stored == {}


def test_claim_that_cannot_be_stored_sends_nothing():
    store, sender = Store(), FakeSender(Outcome.DELIVERED)
    store.fail_on_write = 1
    with pytest.raises(ConnectionError):
        deliver(store, sender)
    assert sender.count == 0


@pytest.mark.parametrize("crash", ["in the attempt", "at the record"])
def test_crash_after_the_claim_is_reported_as_unknown_and_not_sent_again(crash):
    store, sender = Store(), FakeSender(Outcome.DELIVERED)
    if crash == "at the record":
        store.fail_on_write = 2
        with pytest.raises(ConnectionError):
            deliver(store, sender)
        sent = 1
    else:
        with pytest.raises(KeyboardInterrupt):
            deliver(store, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        sent = 0
    for number in (2, 3):
        found = deliver(store, sender, try_number=number)
        assert (found.sent_by_this_try, found.record.attempt.outcome) == (False, Outcome.UNKNOWN)
        assert found.record.attempt.error_class is ErrorClass.INTERRUPTED
        assert "try 1" in (found.record.attempt.message or "")
    assert sender.count == sent


def test_open_claim_of_the_same_try_is_reported_as_unknown():
    store, sender = Store(), FakeSender(Outcome.DELIVERED)
    with pytest.raises(KeyboardInterrupt):
        deliver(store, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    found = deliver(store, sender)
    assert (found.sent_by_this_try, found.record.attempt.outcome, sender.count) == (False, Outcome.UNKNOWN, 0)


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.REJECTED, Outcome.UNKNOWN, None])
def test_clock_change_does_not_cause_another_attempt(monkeypatch, hours, outcome):
    store, sender = Store(), FakeSender(*[outcome] * bool(outcome))
    if outcome is None:
        with pytest.raises(KeyboardInterrupt):
            deliver(store, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    else:
        deliver(store, sender)
    now = pendulum.now("UTC").add(hours=hours)
    monkeypatch.setattr(pendulum, "now", lambda _zone=None: now)
    monkeypatch.setattr(time, "time", now.timestamp)
    assert deliver(store, sender, try_number=2).sent_by_this_try is False
    assert sender.count == bool(outcome)


def test_interrupted_try_is_reported_with_its_event():
    store = Store()
    with pytest.raises(KeyboardInterrupt):
        deliver(store, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    other = replace(INFO, event_id="another", delivery_id="d-2")
    assert deliver(store, FakeSender(), try_number=2, info=other).record.info == INFO


def test_new_generation_sends_again_as_a_redelivery():
    store, sender = Store(), FakeSender(Outcome.DELIVERED, Outcome.NOT_SENT, Outcome.DELIVERED)
    marks = [
        deliver(store, sender, generation=generation, try_number=number).record.redelivery
        for number, generation in enumerate(["2", "4", "4", "4"], start=1)
    ]
    assert marks == [False, True, True, True]
    assert sender.count == 3


def test_not_sent_in_a_new_generation_is_independent_of_the_one_before():
    for before in (Outcome.UNKNOWN, Outcome.DELIVERED, Outcome.REJECTED):
        store, sender = Store(), FakeSender(before, Outcome.NOT_SENT)
        deliver(store, sender, generation="2")
        assert deliver(store, sender, generation="4").record.attempt.outcome is Outcome.NOT_SENT


def test_new_generation_after_not_sent_is_not_a_redelivery():
    store, sender = Store(), FakeSender(Outcome.NOT_SENT, Outcome.DELIVERED)
    deliver(store, sender, generation="2")
    assert deliver(store, sender, generation="4").record.redelivery is False


def test_slots_of_one_task_are_independent():
    store, sender = Store(), FakeSender(Outcome.DELIVERED, Outcome.DELIVERED)
    assert deliver(store, sender, slot="a").sent_by_this_try
    assert deliver(store, sender, slot="b").sent_by_this_try
    assert set(store.stored) == {f"{KEY_PREFIX}:a", f"{KEY_PREFIX}:b"}


@pytest.mark.parametrize(
    "stored",
    [
        "text",
        7,
        [],
        {},
        {"state": "claimed"},
        {**claim(CLAIMED, "2").as_json(), "state": "x"},
        {**claim(CLAIMED, "2").as_json(), "info": None},
        {**claim("unknown", "2").as_json(), "generation": 2},
        {**claim("unknown", "2").as_json(), "record": "x"},
        {**claim("unknown", "2").as_json(), "try_number": "1"},
        {**claim("unknown", "2").as_json(), "owner_token": None},
        {**claim("unknown", "2").as_json(), "redelivery": "no"},
        {**claim("unknown", "2").as_json(), "try_number": True},
        {**claim("unknown", "2").as_json(), "more": 1},
        {"state": SETTLED},
    ],
)
def test_unreadable_claim_sends_nothing(stored):
    store, sender = Store(), FakeSender(Outcome.DELIVERED)
    store.stored[KEY_PREFIX] = json.dumps(stored)
    with pytest.raises(RecordError):
        deliver(store, sender)
    assert sender.count == 0


def test_claims_and_records_are_restored_from_json():
    for state, generation in itertools.product([CLAIMED, "delivered", "unknown"], ["0", "7"]):
        found = claim(state, generation)
        assert parse_stored(json.loads(json.dumps(found.as_json())), Claim, refusal="no") == found
    attempt = Attempt(
        outcome=Outcome.REJECTED,
        requested_at="a",
        duration_ms=2.5,
        responded_at="b",
        peer_address="127.0.0.1",
        phases=Phases(dns=0.1, connect=0.2, first_byte=3.0),
        status_code=500,
        response_headers={"retry-after": "5"},
        response_body="no",
        error_class=ErrorClass.TIMEOUT,
        message="slow",
    )
    record = Record(info=INFO, generation="2", redelivery=True, attempt=attempt)
    assert parse_record(json.loads(json.dumps(record.as_json()))) == record


@pytest.mark.parametrize("name", ["outcome", "delivery_id", "phases", "generation", "error_class"])
def test_record_with_a_missing_or_invalid_field_is_an_error(name):
    record = claim("delivered", "2").record
    for broken in ({k: v for k, v in record.items() if k != name}, {**record, "outcome": "x"}):
        with pytest.raises(RecordError):
            parse_record(broken)


def test_record_has_exactly_the_documented_fields():
    assert set(claim("delivered", "2").record) == {
        "delivery_id", "event_id", "event_type", "endpoint", "generation", "redelivery", "attempts", "settled", "url",
        "peer_address", "scheme", "body_sha256", "body_bytes", "requested_at", "responded_at", "duration_ms",
        "phases", "outcome", "status_code", "response_headers", "response_body", "error_class", "message",
    }  # fmt: skip


def test_delivery_id_is_stable_and_unique_for_each_event_and_endpoint():
    ids = {
        make_delivery_id(endpoint=endpoint, event_type=event_type, event_id=event_id, deployment=deployment)
        for endpoint, event_type, event_id, deployment in itertools.product(
            ["a", "ab"], ["event.created", "event.alert"], ["1", "b1"], ["staging", "production"]
        )
    }
    assert len(ids) == 16
    namespace = uuid.UUID("5d8fbc09-b0a5-5c9c-8a8e-1f9f6f2c7a11")
    for event_id in ("1", "ü\u2028", 'a"b'):
        expected = uuid.uuid5(namespace, json.dumps(["d", "a", "event.created", event_id]))
        assert make_delivery_id(endpoint="a", event_type="event.created", event_id=event_id) == str(expected)
    assert make_delivery_id(endpoint="a", event_type="event.created", event_id="1") == (
        make_delivery_id(endpoint="a", event_type="event.created", event_id="1")
    )


@pytest.mark.parametrize("endpoint", ["endpoint", "e" * 250, "\x1b[31m" * 40])
@pytest.mark.parametrize("error_class", [None, *ErrorClass])
def test_a_summary_is_one_short_line_with_the_outcome_and_the_delivery_id(endpoint, error_class):
    delivery_id = str(uuid.uuid4())
    info = replace(INFO, endpoint=endpoint, delivery_id=delivery_id)
    attempt = Attempt(
        outcome=Outcome.REJECTED, requested_at="", duration_ms=0, status_code=500, error_class=error_class
    )
    summary = Record(info=info, generation="2", redelivery=False, attempt=attempt).summarize()
    assert len(summary) <= MAX_SUMMARY_CHARACTERS
    assert summary.isprintable()
    assert summary.startswith("rejected (HTTP 500")
    assert ": event.created to e" in summary or endpoint != "endpoint"
    assert summary.endswith(f", delivery {delivery_id}")


def test_details_are_listed_one_per_line():
    attempt = Attempt(
        outcome=Outcome.REJECTED, requested_at="", duration_ms=0, status_code=500, response_body="no\nway", message="m"
    )
    record = Record(info=INFO, generation="2", redelivery=False, attempt=attempt)
    assert record.list_details() == ["Event: e-1", "Error: m", "Response: no\\nway"]


def test_details_of_an_edited_claim_are_escaped_and_truncated():
    info = replace(INFO, event_id="\x1b[31m" + "e" * 5_000)
    attempt = Attempt(outcome=Outcome.UNKNOWN, requested_at="", duration_ms=0, message="a\nb\x07" + "m" * 5_000)
    event, error = Record(info=info, generation="2", redelivery=False, attempt=attempt).list_details()
    assert event.startswith(r"Event: \x1b[31me")
    assert error.startswith(r"Error: a\nb\x07m")
    assert all(line.isprintable() and len(line) < 600 for line in (event, error))
