# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The claims of the events of a stream, on SQLite and on PostgreSQL, and how single deliveries find them."""

from __future__ import annotations

import threading

import msgspec
import pytest

from airflow_provider_hooks.delivery.claims import RESEND, SETTLED, Claim, ClaimOrigin, TryContext
from airflow_provider_hooks.delivery.patience import OutageError
from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.delivery.record import Attempt
from airflow_provider_hooks.delivery.service import ClaimedDelivery
from airflow_provider_hooks.exceptions import ClaimLostError, StateStoreError
from airflow_provider_hooks.http.result import RequestResult
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.ledger.event_claims import LedgerEventClaims
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.claims import StreamClaim
from airflow_provider_hooks.stream.encode import EncodedRequest
from airflow_provider_hooks.stream.event_claims import EventClaims, EventDescription, KnownEvent, OwnedEvent
from tests.ledger.deliveries import make_stream
from tests.ledgers import open_database

DESCRIPTION = EventDescription(
    endpoint="endpoint", url="https://example.com/hook", scheme="sentry", event_type="orders.loaded"
)
SHARED = TryContext(generation="", try_number=1, wait_seconds=0.2)
TIME = "2026-01-01T00:00:00+00:00"
OWNED = OwnedEvent(redelivery=False, may_have_arrived=False)
FOUND = ("state", "outcome", "kind", "origin", "dag_id", "run_id", "event_id", "event_type", "endpoint", "status_code")


def make_request(number, *, redelivery=False):
    return EncodedRequest(
        event_id=f"e-{number}",
        delivery_id=f"d-{number}",
        request=b"",
        body_sha256="0" * 64,
        body_bytes=2,
        offset=number if isinstance(number, int) else 0,
        redelivery=redelivery,
    )


def make_result(number, outcome=Outcome.DELIVERED, *, status=None, error=None, body=b""):
    return RequestResult(
        request=make_request(number),
        outcome=outcome,
        status=status,
        peer="127.0.0.1",
        started_at=1_800_000_000.0,
        seconds=0.001,
        error=error,
        body=body,
    )


TIMEOUT = (ErrorClass.TIMEOUT, "no response")


class Stream:
    """A try of a stream, which has claimed a batch."""

    def __init__(self, database, name="a", *, token=None, run=SHARED, resends=frozenset(), batch=0, patience=0.0):
        self.database, self.key = database, make_claim_key("stream", name)
        origin = ClaimOrigin(origin="task", dag_id=f"dag-{name}", run_id="a_run", task_id="a_task", map_index=-1)
        self.own = LedgerClaimStore(database, self.key, StreamClaim, origin=origin)
        self.token = token or f"token-of-{name}"
        store = LedgerEventClaims(database, self.key, origin=origin, patience=patience)
        self.events = EventClaims(store, stream=name, description=DESCRIPTION, run=run, resends=resends)
        self.own.acquire(self.own.load(), make_stream_claim(self.token, batch))
        self.events.begin_batch(batch, stream_token=self.token)

    def claim(self, *numbers):
        return self.events.claim([make_request(number) for number in numbers])

    def finish(self, *numbers, outcome=Outcome.DELIVERED, **result):
        for number in numbers:
            self.events.note(make_result(number, outcome, **result), attempts=1)
        self.events.settle()

    def send(self, *numbers, outcome=Outcome.DELIVERED, **result):
        decisions = self.claim(*numbers)
        self.finish(*numbers, outcome=outcome, **result)
        return decisions


def make_stream_claim(token, batch=0):
    return msgspec.structs.replace(make_stream("claimed"), owner_token=token, batch=batch)


def open_single(database, number, *, run=SHARED):
    key = make_claim_key("event", f"d-{number}")
    origin = ClaimOrigin(origin="callback", slot="a")
    return ClaimedDelivery(store=LedgerClaimStore(database, key, Claim, origin=origin), run=run)


def deliver_single(database, number, outcome=Outcome.DELIVERED, *, run=SHARED):
    """Deliver as a task does; return the outcome, and whether it was sent."""
    delivery = open_single(database, number, run=run)
    result = delivery.resolve() or delivery.claim(DESCRIPTION.describe(make_request(number)))
    if result is None:
        result = delivery.settle(Attempt(outcome=outcome, requested_at=TIME, duration_ms=1.0))
    return result.record.attempt.outcome, result.sent_by_this_try


def read_rows(database, *columns):
    return database.run(
        f"SELECT {', '.join(columns or FOUND)} FROM service_hook_deliveries WHERE kind = 'event' ORDER BY delivery_id"
    )


def read_states(database):
    return [state for (state,) in read_rows(database, "state")]


def count_attempts(database):
    return database.run("SELECT count(*) FROM service_hook_attempts")[0][0]


def write_state(database, number, state):
    """Change the state of a claim, as the command and the page do for a user."""
    key = make_claim_key("event", f"d-{number}")
    ((text,),) = database.run("SELECT claim FROM service_hook_deliveries WHERE claim_key = ?", (key,))
    claim = msgspec.structs.replace(msgspec.json.decode(text, type=Claim), state=state)
    database.run(
        "UPDATE service_hook_deliveries SET state = ?, claim = ? WHERE claim_key = ?",
        (state, msgspec.json.encode(claim).decode(), key),
    )


# Rows


def test_events_are_claimed_and_settled_like_single_deliveries(database):
    stream = Stream(database)
    assert stream.claim(1, 2, 3) == [OWNED] * 3
    common = ("event", "task", "dag-a", "a_run")
    claimed = [("claimed", "claimed", *common, f"e-{n}", "orders.loaded", "endpoint", None) for n in (1, 2, 3)]
    assert read_rows(database) == claimed
    stream.events.note(make_result(1, status=204), attempts=1)
    stream.events.note(make_result(2, Outcome.REJECTED, status=500, body=b"no\x00\xff"), attempts=1)
    stream.events.note(make_result(3, Outcome.UNKNOWN, error=TIMEOUT), attempts=1)
    stream.events.settle()
    assert [(row[0], row[1], row[-1]) for row in read_rows(database)] == [
        ("delivered", "delivered", 204),
        ("rejected", "rejected", 500),
        ("unknown", "unknown", None),
    ]
    for number, outcome in enumerate((Outcome.DELIVERED, Outcome.REJECTED, Outcome.UNKNOWN), start=1):
        assert deliver_single(database, number) == (outcome, False)


def test_rows_of_events_and_single_deliveries_have_the_same_fields(database):
    origin = ClaimOrigin(origin="task", dag_id="dag-a", run_id="a_run", task_id="a_task", map_index=-1)
    store = LedgerClaimStore(database, make_claim_key("event", "d-single"), Claim, origin=origin)
    delivery = ClaimedDelivery(store=store, run=SHARED)
    assert delivery.resolve() is None
    delivery.claim(DESCRIPTION.describe(make_request("single")))
    names = [name for name, *_ in describe_columns(database) if name not in {"id", "claim_key"}]
    different = {"claim", "owner_token", "claimed_at", "updated_at", "delivery_id", "event_id"}
    stream = Stream(database)
    for is_settled in (False, True):
        if is_settled:
            delivery.settle(Attempt(outcome=Outcome.DELIVERED, requested_at=TIME, duration_ms=1.0, status_code=204))
            stream.finish("stream", status=204)
        else:
            stream.claim("stream")
        rows = [dict(zip(names, row, strict=True)) for row in read_rows(database, *names)]
        assert len(rows) == 2
        assert {name for name in names if rows[0][name] != rows[1][name]} <= different
        for row in rows:
            claim = msgspec.json.decode(row["claim"], type=Claim)
            assert (claim.state, claim.owner_token) == (row["state"], row["owner_token"])


def describe_columns(database):
    if database.target.dialect == "sqlite":
        return [row[1:2] for row in database.run("PRAGMA table_info(service_hook_deliveries)")]
    return database.run(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = 'service_hook_deliveries' AND table_schema = current_schema()"
    )


def test_only_failed_attempts_are_in_the_history(database):
    stream = Stream(database)
    stream.claim(1, 2, 3, 4)
    stream.events.note(make_result(1, status=204), attempts=1)
    stream.events.note(make_result(2, Outcome.REJECTED, status=500), attempts=1)
    stream.events.note(make_result(3, Outcome.NOT_SENT, error=TIMEOUT), attempts=1)
    stream.events.settle()  # the stream was stopped before the last one
    query = "SELECT d.delivery_id, a.try_number, a.record FROM service_hook_attempts a JOIN service_hook_deliveries d"
    rows = database.run(f"{query} ON d.id = a.delivery ORDER BY d.delivery_id")
    assert [(row[0], row[1], msgspec.json.decode(row[2])["outcome"]) for row in rows] == [
        ("d-2", 1, "rejected"),
        ("d-3", 1, "not_sent"),
    ]
    assert read_states(database) == ["delivered", "rejected", "not_sent", "not_sent"]


@pytest.mark.parametrize("text", ["a\x00b", "\\u0000", '\\ " é \u2028', "?%s{}"])
def test_any_text_of_a_receiver_is_stored(database, text):
    stream = Stream(database)
    stream.claim(1)
    error = (ErrorClass.INVALID_RESPONSE, "m")
    stream.events.note(make_result(1, Outcome.UNKNOWN, error=error), attempts=1)
    attempt, attempts = stream.events._attempts["d-1"]
    stream.events._attempts["d-1"] = (msgspec.structs.replace(attempt, message=text), attempts)
    stream.events.settle()
    ((claim,),) = read_rows(database, "claim")
    ((record,),) = database.run("SELECT record FROM service_hook_attempts")
    assert msgspec.json.decode(claim, type=Claim).record["message"] == text
    assert msgspec.json.decode(record)["message"] == text


# Existing claims


@pytest.mark.parametrize(
    ("outcome", "is_sent"),
    [
        (Outcome.DELIVERED, False),
        (Outcome.REJECTED, False),
        (Outcome.UNKNOWN, False),
        (Outcome.NOT_SENT, True),
    ],
)
@pytest.mark.parametrize("by_stream", [False, True])
def test_event_sent_by_another_run_is_not_sent_again(database, outcome, is_sent, by_stream):
    if by_stream:
        Stream(database, "other").send(1, outcome=outcome)
        place = "task 'a_task' of Dag 'dag-other', run 'a_run'"
    else:
        deliver_single(database, 1, outcome)
        place = "a callback"
    known, fresh = Stream(database).claim(1, 2)
    assert fresh == OWNED
    if is_sent:
        assert known == OWNED
        assert read_rows(database, "state", "dag_id")[0] == ("claimed", "dag-a")
    else:
        assert (known.outcome, known.is_sent_before) == (outcome, True)
        assert place in known.message


@pytest.mark.parametrize(
    ("policy", "outcome", "status", "is_sent"),
    [
        ({"guarantee": "at_least_once"}, Outcome.UNKNOWN, None, True),
        ({"guarantee": "at_least_once"}, Outcome.REJECTED, 503, True),
        ({"guarantee": "at_least_once"}, Outcome.REJECTED, 400, False),
        ({"retry_statuses": [500]}, Outcome.REJECTED, 500, True),
        ({"retry_statuses": [500]}, Outcome.UNKNOWN, None, False),
        ({"guarantee": "at_least_once"}, Outcome.DELIVERED, 204, False),
    ],
)
def test_policy_decides_which_events_are_sent_again(database, policy, outcome, status, is_sent):
    Stream(database, "other").send(1, outcome=outcome, status=status)
    run = msgspec.structs.replace(SHARED, policy=make_policy(**policy, once="event"))
    (decision,) = Stream(database, run=run).claim(1)
    assert isinstance(decision, OwnedEvent) == is_sent
    if is_sent:
        assert decision.redelivery
        assert decision.may_have_arrived == (outcome is Outcome.UNKNOWN)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.UNKNOWN])
@pytest.mark.parametrize("is_own", [False, True])
def test_resends_send_failed_events_of_other_runs_again(database, outcome, is_own):
    resends = frozenset({"rejected", "unknown"})
    Stream(database, "a" if is_own else "other", resends=resends).send(1, outcome=outcome)
    stream = Stream(database, token="next", batch=1, resends=resends)
    (decision,) = stream.claim(1)
    if is_own:
        assert isinstance(decision, KnownEvent), "a stream sends no event twice in a run"
        return
    assert decision == OwnedEvent(redelivery=True, may_have_arrived=False)
    stream.finish(1, outcome=Outcome.NOT_SENT, error=TIMEOUT)
    assert read_states(database) == ["not_sent"], "the event can still be sent again"


def test_state_set_by_a_user_decides(database):
    Stream(database, "other").send(1, 2, outcome=Outcome.UNKNOWN, error=TIMEOUT)
    write_state(database, 1, SETTLED)
    write_state(database, 2, RESEND)
    settled, resend = Stream(database).send(1, 2)
    assert (settled.outcome, settled.message) == (Outcome.DELIVERED, "a user marked it as received")
    assert resend == OwnedEvent(redelivery=True, may_have_arrived=False)
    assert read_states(database) == ["delivered", "delivered"]
    assert deliver_single(database, 2) == (Outcome.DELIVERED, False)


def test_first_of_several_events_with_one_id_is_sent(database):
    stream = Stream(database)
    assert stream.send(1, 1, 2) == [OWNED, None, OWNED]
    stream.events.wait()
    (second,) = stream.claim(1)
    assert (second.outcome, second.is_sent_before) == (Outcome.DELIVERED, True)
    assert "same id" in second.message


def test_event_with_an_unreadable_claim_is_not_sent(database):
    deliver_single(database, 1)
    database.run("UPDATE service_hook_deliveries SET claim = 'no JSON' WHERE kind = 'event'")
    known, other = Stream(database).claim(1, 2)
    assert (known.outcome, known.is_sent_before, other) == (Outcome.UNKNOWN, False, OWNED)
    assert "restore or delete" in known.message


# Concurrent processes


def test_stream_waits_once_for_an_event_of_another_process(database):
    other, stream = Stream(database, "other"), Stream(database)
    other.claim(1)
    assert stream.send(1, 2) == [None, OWNED]
    other.finish(1)
    stream.events.wait()
    (known,) = stream.claim(1)
    assert (known.outcome, known.is_sent_before) == (Outcome.DELIVERED, True)


def test_event_of_an_unfinished_process_is_unknown_until_it_finishes(database):
    other, stream = Stream(database, "other"), Stream(database)
    other.claim(1)
    assert stream.claim(1) == [None]
    stream.events.wait()
    (known,) = stream.claim(1)
    assert (known.outcome, known.error_class) == (Outcome.UNKNOWN, "interrupted")
    assert read_states(database) == ["unknown"]
    other.finish(1)
    assert read_states(database) == ["delivered"], "the sending process replaces the unknown outcome"


def test_at_least_once_sends_the_event_of_an_unfinished_process_again(database):
    run = msgspec.structs.replace(SHARED, policy=make_policy(guarantee="at_least_once", once="event"))
    other, stream = Stream(database, "other"), Stream(database, run=run)
    other.claim(1)
    assert stream.claim(1) == [None], "the stream waits for it first"
    stream.events.wait()
    assert stream.claim(1) == [OwnedEvent(redelivery=True, may_have_arrived=True)]
    other.finish(1)
    assert read_rows(database, "state", "dag_id") == [("claimed", "dag-a")], "a late write changes nothing"
    stream.finish(1, outcome=Outcome.NOT_SENT, error=TIMEOUT)
    assert read_states(database) == ["unknown"], "the earlier attempt may have been received"


def test_a_single_delivery_waits_for_a_stream(database, ledger_connection):
    stream, own = Stream(database), open_database(ledger_connection)
    stream.claim(1)
    results = []
    run = msgspec.structs.replace(SHARED, wait_seconds=30.0)
    thread = threading.Thread(target=lambda: results.append(deliver_single(own, 1, run=run)))
    thread.start()
    stream.finish(1)
    thread.join()
    own.close()
    assert results == [(Outcome.DELIVERED, False)]


def test_concurrent_streams_and_deliveries_send_each_event_once(database, ledger_connection):
    rounds, count = 8, 40
    sent, barrier = [], threading.Barrier(3)

    def send_stream(name, numbers):
        own = open_database(ledger_connection)
        run = msgspec.structs.replace(SHARED, wait_seconds=30.0)
        for turn in range(rounds):
            stream = Stream(own, f"{name}-{turn}", run=run, patience=60.0)
            barrier.wait()
            left = [f"{turn}-{number}" for number in numbers]
            while left:
                decisions = stream.claim(*left)
                owned = [number for number, one in zip(left, decisions, strict=True) if isinstance(one, OwnedEvent)]
                sent.extend(owned)
                stream.finish(*owned)
                stream.events.wait()
                assert {one.outcome for one in decisions if isinstance(one, KnownEvent)} <= {Outcome.DELIVERED}
                left = [number for number, one in zip(left, decisions, strict=True) if one is None]
        own.close()

    def send_singles():
        own = open_database(ledger_connection)
        run = msgspec.structs.replace(SHARED, wait_seconds=30.0)
        for turn in range(rounds):
            barrier.wait()
            for number in range(0, count, 7):
                outcome, is_sent = deliver_single(own, f"{turn}-{number}", run=run)
                assert outcome is Outcome.DELIVERED
                sent.extend([f"{turn}-{number}"] * is_sent)
        own.close()

    orders = [("up", range(count)), ("down", range(count - 1, -1, -1))]
    threads = [threading.Thread(target=send_stream, args=order) for order in orders]
    threads.append(threading.Thread(target=send_singles))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == sorted(f"{turn}-{number}" for turn in range(rounds) for number in range(count))
    assert set(read_states(database)) == {"delivered"}


# Tries of one stream


def test_open_claims_of_a_killed_try_stay_unknown(database):
    killed = Stream(database)
    killed.claim(1, 2)
    following = Stream(database, token="next")
    left, _, fresh = following.claim(1, 2, 3)
    assert (left.outcome, left.error_class, left.is_sent_before) == (Outcome.UNKNOWN, "interrupted", False)
    assert fresh == OWNED, "an event without a claim was not sent"
    following.finish(3)
    killed.finish(1, 2)
    assert read_states(database) == ["unknown", "unknown", "delivered"], "a late write changes nothing"
    assert deliver_single(database, 1) == (Outcome.UNKNOWN, False)


def test_at_least_once_sends_open_claims_of_a_killed_try_again(database):
    run = msgspec.structs.replace(SHARED, policy=make_policy(guarantee="at_least_once", once="event"))
    Stream(database, run=run).claim(1)
    assert Stream(database, run=run, token="next").claim(1) == [OwnedEvent(redelivery=True, may_have_arrived=True)]


def test_records_settle_open_claims_of_a_killed_try(database):
    Stream(database).claim(1, 2, 3)
    following = Stream(database, token="next")
    lines = [
        {"offset": 1, "delivery_id": "d-1", "outcome": "delivered", "status_code": 204, "duration_ms": 1.5},
        {"offset": 2, "delivery_id": "d-2", "outcome": "rejected", "status_code": 500, "response_body": "no"},
        {"offset": 9, "outcome": "not_sent", "error_class": "invalid_event", "message": "no id"},
    ]
    following.events.settle_recorded(map(msgspec.json.encode, lines))
    assert read_rows(database, "state", "status_code") == [("delivered", 204), ("rejected", 500), ("claimed", None)]
    following.events.settle_recorded(map(msgspec.json.encode, lines))
    assert count_attempts(database) == 1
    assert deliver_single(database, 2) == (Outcome.REJECTED, False)


def test_records_of_events_sent_by_others_change_no_claim(database):
    other = Stream(database, "other")
    other.claim(1)
    line = {"offset": 1, "delivery_id": "d-1", "outcome": "unknown", "error_class": "interrupted", "sent_before": True}
    Stream(database).events.settle_recorded([msgspec.json.encode(line)])
    assert read_states(database) == ["claimed"]


def test_outcome_without_a_record_is_found_in_the_ledger(database):
    Stream(database).send(1)
    (known,) = Stream(database, token="next").claim(1)
    assert (known.outcome, known.is_sent_before) == (Outcome.DELIVERED, False)
    (duplicate,) = Stream(database, token="another", batch=1).claim(1)
    assert duplicate.is_sent_before


def test_try_that_lost_the_stream_claims_no_event(database):
    late = Stream(database)
    late.claim(1)
    Stream(database, token="next")
    with pytest.raises(ClaimLostError, match="another process"):
        late.claim(2)
    with pytest.raises(ClaimLostError, match="another process"):
        late.events.settle_recorded([b'{"offset": 1, "delivery_id": "d-1", "outcome": "delivered"}'])
    assert read_states(database) == ["claimed"]


# Outages


class Faulty:
    """A database that loses the connection at the given statement, or the response to it."""

    def __init__(self, database, *, at, has_effect, times=1):
        self.database, self.at, self.has_effect, self.times = database, at, has_effect, times
        self.target, self.count = database.target, 0

    def run(self, sql, parameters=()):
        with self.transaction() as run:
            return run(sql, parameters)

    def transaction(self):
        self.count += 1
        is_lost = self.at <= self.count < self.at + self.times
        return self._lose() if is_lost else self.database.transaction()

    def _lose(self):
        database, has_effect = self.database, self.has_effect

        class Lost:
            def __enter__(self):
                self.transaction = database.transaction()
                return self.transaction.__enter__()

            def __exit__(self, kind, error, trace):
                lost = OutageError("the connection was lost")
                if kind is None and has_effect:
                    self.transaction.__exit__(None, None, None)
                elif kind is None:
                    self.transaction.__exit__(OutageError, lost, None)
                raise lost

        return Lost()


def replace_database(stream, database, *, patience):
    store = stream.events._store
    store._database = database
    store._patience = type(store._patience)("the ledger", patience)


@pytest.mark.parametrize("has_effect", [True, False])
@pytest.mark.parametrize("at", range(1, 5))
def test_lost_database_response_changes_no_decision(database, has_effect, at, monkeypatch):
    """The statements store new claims, replace claims, and store the outcomes."""
    monkeypatch.setattr("airflow_provider_hooks.delivery.patience.time.sleep", lambda _seconds: None)
    Stream(database, "other").send(2, 3, outcome=Outcome.NOT_SENT, error=TIMEOUT)
    write_state(database, 3, RESEND)
    killed = Stream(database)
    killed.claim(4)
    stream = Stream(database, token="next")
    replace_database(stream, Faulty(database, at=at, has_effect=has_effect), patience=60.0)
    fresh, unsent, resend, left = stream.claim(1, 2, 3, 4)
    assert (fresh, unsent, resend) == (OWNED, OWNED, OwnedEvent(redelivery=True, may_have_arrived=False))
    assert left.outcome is Outcome.UNKNOWN
    stream.finish(1, 2, 3)
    assert read_states(database) == ["delivered", "delivered", "delivered", "unknown"]


@pytest.mark.parametrize("has_effect", [True, False])
@pytest.mark.parametrize("at", [1, 2])
def test_claims_that_may_be_stored_are_withdrawn(database, has_effect, at):
    """Statement 1 stores new claims and statement 2 replaces claims. The open claim stays open or becomes unknown."""
    Stream(database, "other").send(2, outcome=Outcome.NOT_SENT, error=TIMEOUT)
    Stream(database).claim(3)
    stream = Stream(database, token="next")
    replace_database(stream, Faulty(database, at=at, has_effect=has_effect), patience=0.0)
    with pytest.raises(StateStoreError):
        stream.claim(1, 2, 3)
    states = dict(read_rows(database, "delivery_id", "state"))
    assert states.pop("d-3") == ("unknown" if at == 2 and has_effect else "claimed")
    assert set(states.values()) == {"not_sent"}
    following = Stream(database, token="third")
    assert [isinstance(one, OwnedEvent) for one in following.claim(1, 2, 3)] == [True, True, False]


def test_withdrawal_changes_no_outcome(database):
    """An event of the stream whose id occurs twice may have been received already."""
    stream = Stream(database)
    stream.send(1, outcome=Outcome.UNKNOWN, error=TIMEOUT)
    replace_database(stream, Faulty(database, at=1, has_effect=True), patience=0.0)
    with pytest.raises(StateStoreError):
        stream.claim(1, 2)
    assert read_states(database) == ["unknown", "not_sent"]
