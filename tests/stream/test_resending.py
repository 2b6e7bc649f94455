# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Events that were provably not received are sent again: in the batch, by the next try, and never after a crash."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import BlockedAddressError, ConnectError
from airflow_provider_hooks.http.connect import Connector
from airflow_provider_hooks.http.policy import NetworkPolicy
from airflow_provider_hooks.outcomes import ErrorClass
from airflow_provider_hooks.stream import model, throttle
from airflow_provider_hooks.stream.encode import RequestEncoder
from airflow_provider_hooks.stream.summary import Progress
from airflow_provider_hooks.stream.throttle import MAX_BACKOFFS, RateLimiter
from tests.http.reusing_receiver import Kept, answer, check_once, serve
from tests.servers import find_free_port
from tests.stream.sending import make_encoder, make_endpoint, make_event, send
from tests.stream.stream_tries import BATCH, Store, Tries, check_truth, make_source

EVENTS = 17


@pytest.fixture
def tries(monkeypatch, tmp_path):
    return Tries(monkeypatch, tmp_path)


def answer_and_close(connection, _count):
    """Have each event need a connection of its own."""
    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    connection.close()


def refuse_half(number: int) -> bool:
    return number % 4 in {1, 2}


def refuse_all(_number: int) -> bool:
    return True


def list_unsent(claim: dict) -> list[int]:
    return [offset for offset, *_ in claim["unsent"]]


# Within a try


def test_a_receiver_that_refuses_connections_at_first_gets_every_event_once(tries, monkeypatch):
    """It begins to listen when the third pause begins, however long that takes."""
    kept = Kept(find_free_port(), "http")
    backed_off = []
    back_off = RateLimiter.back_off

    with contextlib.ExitStack() as stack:

        def listen_at_the_third(self, now):
            backed_off.append(now)
            if len(backed_off) == 3:
                kept.received = stack.enter_context(serve(answer, port=kept.port))
            return back_off(self, now)

        monkeypatch.setattr(RateLimiter, "back_off", listen_at_the_third)
        result = tries.deliver(kept, make_source(EVENTS), concurrency=1, max_attempts=1_000)
        check_truth(tries, kept.received, result, EVENTS)
    assert result.summary.outcomes == {"delivered": EVENTS, "rejected": 0, "not_sent": 0, "unknown": 0}
    assert len(backed_off) >= 3


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_connections_that_are_refused_now_and_then_leave_nothing_unsent(tries, concurrency):
    with serve(answer_and_close) as kept:
        result = tries.deliver(kept, make_source(EVENTS), concurrency=concurrency, refuses=refuse_half)
        check_truth(tries, kept, result, EVENTS)
    assert result.summary.outcomes["delivered"] == EVENTS
    assert (result.unsent, result.is_stopped) == (0, False)


def test_the_breaker_counts_an_event_only_when_its_attempts_are_used_up(tries):
    with serve(answer_and_close) as kept:
        result = tries.deliver(kept, make_source(EVENTS), concurrency=1, breaker=1, refuses=refuse_half)
    assert not result.is_stopped
    assert result.summary.outcomes["delivered"] == EVENTS


@pytest.mark.parametrize("attempts", [1, 3, 4])
def test_an_event_is_sent_so_often_at_most(tries, attempts):
    with serve(answer) as kept:
        result = tries.deliver(kept, make_source(2), concurrency=1, max_attempts=attempts, refuses=refuse_all)
    assert tries.engine.dialed == 2 * attempts
    assert (result.unsent, result.is_stopped, kept.arrivals) == (2, False, [])


@pytest.mark.parametrize("policy", [NetworkPolicy()])
def test_an_address_that_is_not_allowed_is_not_tried_again(monkeypatch, policy):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_arguments, **_options: ["10.0.0.1"])
    backed_off = []
    monkeypatch.setattr(RateLimiter, "back_off", lambda _self, now: backed_off.append(now) or True)
    sent = send("https://hooks.test/events", 3, policy=policy, attempts=8)
    assert sent.endings == {("not_sent", "blocked_address"): 3}
    assert backed_off == []


def test_an_address_that_is_not_allowed_is_recorded_by_the_first_try(tries):
    tries.refusal = BlockedAddressError("10.0.0.1 is not allowed")
    with serve(answer) as kept:
        result = tries.deliver(kept, make_source(3), concurrency=1, refuses=refuse_all)
        check_truth(tries, kept, result, 3)
    assert {record["error_class"] for record in tries.read_records()} == {"blocked_address"}
    assert (result.unsent, tries.engine.dialed) == (0, 3)


def test_a_plain_response_begins_the_pauses_from_the_shortest_again(tries, monkeypatch):
    responses = []
    monkeypatch.setattr(RateLimiter, "note_response", lambda _self: responses.append(1))
    with serve(answer) as kept:
        tries.deliver(kept, make_source(EVENTS))
    assert len(responses) == EVENTS


def test_each_attempt_is_signed_at_its_own_time(monkeypatch):
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    encoder = make_encoder(make_endpoint("http://127.0.0.1/", scheme="standard_webhooks", secret=secret))
    first = encoder.encode(make_event(1), offset=7)
    assert encoder.sign_again(first) == first
    now[0] += 40
    again = encoder.sign_again(first)
    assert again._replace(request=b"") == first._replace(request=b"")
    assert again == encoder.encode(make_event(1), offset=7) != first


def test_an_event_that_is_sent_again_is_signed_again(tries, monkeypatch):
    signed = []
    sign_again = RequestEncoder.sign_again
    monkeypatch.setattr(RequestEncoder, "sign_again", lambda self, one: signed.append(one) or sign_again(self, one))
    with serve(answer_and_close) as kept:
        tries.deliver(kept, make_source(4), concurrency=1, refuses=lambda number: number in {0, 2, 3})
    assert len(signed) == 3


# By the next try


def test_the_next_try_sends_exactly_what_was_not_received(tries):
    source = make_source(EVENTS)
    with serve(answer_and_close) as kept:
        first = tries.deliver(kept, source, concurrency=1, max_attempts=2, refuses=refuse_half)
        left = list_unsent(tries.store.claim)
        assert 0 < first.unsent == len(left) < EVENTS
        assert (tries.store.claim["state"], first.is_stopped) == ("stopped", False)
        assert sorted(kept.bytes_of) == sorted(set(range(EVENTS)) - set(left))
        assert sorted(record["offset"] for record in tries.read_records()) == sorted(kept.bytes_of)
        sent = len(kept.arrivals)
        second = tries.deliver(kept, source)
        assert len(kept.arrivals) - sent == len(left)
        check_truth(tries, kept, second, EVENTS)
    assert second.summary.outcomes["delivered"] == EVENTS


def test_a_dead_receiver_stops_the_stream_and_the_next_tries_send_the_rest(tries):
    source = make_source(EVENTS, invalid_every=6)
    with serve(answer) as kept:
        for _ in range(3):
            stopped = tries.deliver(kept, source, breaker=2, max_attempts=2, refuses=refuse_all)
            assert stopped.is_stopped
            assert stopped.summary.outcomes["not_sent"] == stopped.summary.invalid
            assert len(tries.read_records()) == stopped.summary.total
        assert kept.arrivals == []
        done = tries.deliver(kept, source)
        check_truth(tries, kept, done, EVENTS, invalid=2)
    assert done.summary.outcomes["delivered"] == EVENTS - 2


def test_the_last_try_records_why_an_event_was_not_sent(tries):
    source = make_source(EVENTS)
    with serve(answer) as kept:
        tries.deliver(kept, source, max_attempts=2, refuses=refuse_all)
        result = tries.deliver(kept, source, max_attempts=2, refuses=refuse_all, is_last=True)
        check_truth(tries, kept, result, EVENTS)
    assert {record["error_class"] for record in tries.read_records()} == {"connection_refused"}
    assert (result.unsent, result.is_stopped) == (0, False)


def test_the_last_try_reports_what_earlier_ones_left_when_it_is_stopped(tries):
    source = make_source(EVENTS)
    with serve(answer) as kept:
        tries.deliver(kept, source, max_attempts=1, refuses=refuse_all)
        result = tries.deliver(kept, source, max_attempts=1, breaker=2, refuses=refuse_all, is_last=True)
        check_truth(tries, kept, result, EVENTS)
    reasons = Counter(record["error_class"] for record in tries.read_records())
    assert reasons["connection_refused"] >= 2
    assert sum(reasons.values()) == EVENTS == reasons["connection_refused"] + reasons["stopped"]


def test_no_more_events_are_left_to_the_next_try_than_the_claim_may_list(tries):
    source = make_source(60)
    with serve(answer) as kept:
        first = tries.deliver(kept, source, concurrency=2, max_attempts=1, max_unsent=10, refuses=refuse_all)
        assert first.is_stopped
        assert 10 <= first.unsent <= 10 + 2 * 2
        again = tries.deliver(kept, source, concurrency=2, max_attempts=1, max_unsent=10, refuses=refuse_all)
        assert again.unsent == first.unsent, "no further events are begun"
        done = tries.deliver(kept, source)
        check_truth(tries, kept, done, 60)


def test_pauses_of_earlier_tries_stay_in_the_summary(tries):
    def be_busy(connection, _count):
        connection.sendall(b"HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")

    with serve(be_busy) as kept:
        first = tries.deliver(kept, make_source(EVENTS), concurrency=1, breaker=2)
        assert first.summary.pauses > 0
    with serve(answer) as kept:
        assert tries.deliver(kept, make_source(EVENTS)).summary.pauses == first.summary.pauses


def test_a_receiver_that_requests_too_many_pauses_stops_the_stream(tries, monkeypatch):
    monkeypatch.setattr(throttle, "MAX_PAUSED_SECONDS", -1.0)
    with serve(answer) as kept:
        stopped = tries.deliver(kept, make_source(EVENTS), concurrency=1)
        assert (stopped.stopped_by, tries.store.claim["state"]) == (
            "the receiver was busy or away for too long in all",
            "stopped",
        )
        assert 0 < len(kept.bytes_of) < EVENTS
        monkeypatch.setattr(throttle, "MAX_PAUSED_SECONDS", 3_600.0)
        check_truth(tries, kept, tries.deliver(kept, make_source(EVENTS)), EVENTS)


def test_progress_begins_where_the_try_begins(tries, monkeypatch):
    begun = []
    monkeypatch.setattr(Progress, "start", lambda _self, total, offset: begun.append((total, offset)))
    monkeypatch.setattr(Progress, "report", lambda *_: None)
    with serve(answer_and_close) as kept:
        first = tries.deliver(kept, make_source(EVENTS), concurrency=1, breaker=1, max_attempts=1, refuses=refuse_half)
        claim = tries.store.claim
        tries.deliver(kept, make_source(EVENTS))
    assert first.is_stopped
    assert 0 < first.summary.total < EVENTS
    assert begun[-1] == (first.summary.total, claim["start"])


# Killed


def finish(tries: Tries, kept: Kept, source, *, is_same_try: bool):
    """Make tries as Airflow does, until one leaves nothing to the next."""
    while True:
        result = tries.deliver(kept, source, is_same_try=is_same_try)
        if tries.store.claim["state"] == "done":
            return result


@pytest.mark.parametrize("is_same_try", [False, True])
@pytest.mark.parametrize("is_begun", [False, True], ids=["first try", "next try"])
def test_wherever_a_try_that_sends_again_is_killed_nothing_is_sent_twice(tries, tmp_path, is_begun, is_same_try):
    source, refusing = make_source(EVENTS), {"concurrency": 1, "max_attempts": 2, "refuses": refuse_half}

    def begin(name: str) -> None:
        tries.folder, tries.store, tries.number = tmp_path / name, Store(), 0
        if is_begun:
            tries.deliver(kept, source, **refusing)
            assert len(tries.store.claim["unsent"]) > BATCH // 2

    with serve(answer_and_close) as kept:
        begin("points")
        tries.deliver(kept, source, **refusing)
        points = len(tries.killer.names)
    states = set()
    for at in [*range(0, points, 7 if is_same_try else 3), 10**6]:  # and one that is not killed
        with serve(answer_and_close) as kept:
            begin(f"{at}")
            left = set(list_unsent(tries.store.claim)) if is_begun else set()
            tries.deliver(kept, source, kill_at=at, **refusing)
            found = tries.store.claim if tries.store.kept else {"state": "nothing", "unsent": []}
            states.add(found["state"])
            result = finish(tries, kept, source, is_same_try=is_same_try)
            check_truth(tries, kept, result, EVENTS)
        unknown = {record["offset"] for record in tries.read_records() if record["outcome"] == "unknown"}
        if found["state"] == "resending":
            assert unknown <= left, "only the events of the claimed batch"
        elif found["state"] == "claimed":
            assert len(unknown) <= BATCH
            assert not unknown & set(list_unsent(found)), "they were not claimed again"
        else:
            assert unknown == set()
    assert states >= ({"resending", "claimed", "stopped"} if is_begun else {"nothing", "claimed", "stopped"})


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kills=st.lists(st.integers(0, 250), min_size=2, max_size=5),
    refused=st.sets(st.integers(0, 11), max_size=8),
    concurrency=st.integers(1, 4),
)
def test_however_often_tries_that_send_again_are_killed_the_records_are_true(
    tries, tmp_path_factory, kills, refused, concurrency
):
    tries.folder, tries.store, tries.number = tmp_path_factory.mktemp("records"), Store(), 0
    source = make_source(EVENTS, invalid_every=6)
    refusing = {"concurrency": concurrency, "max_attempts": 2, "refuses": lambda number: number % 12 in refused}
    with serve(answer_and_close) as kept:
        for at in kills:
            tries.deliver(kept, source, kill_at=at, breaker=5, **refusing)
            if tries.store.kept and tries.store.claim["state"] == "done":
                break
        result = finish(tries, kept, source, is_same_try=False)
        check_truth(tries, kept, result, EVENTS, invalid=EVENTS // 6)


def test_the_defaults_are_those_that_the_documentation_states():
    assert (model.MAX_ATTEMPTS, model.MAX_UNSENT_EVENTS) == (8, 1_000)


def test_a_receiver_that_is_never_there_is_given_up_after_the_pauses_of_one_outage(monkeypatch):
    dialed = []
    resolve = Connector._resolve
    monkeypatch.setattr(Connector, "_resolve", lambda connector: dialed.append(1) or resolve(connector))
    sent = send(f"http://127.0.0.1:{find_free_port()}/hook", 3, concurrency=1, attempts=8)
    assert sent.endings == {("not_sent", "connection_refused"): 3}
    assert sent.summary.outcomes["not_sent"] == 3
    assert len(dialed) <= MAX_BACKOFFS + 3, "the pauses are of the outage, not of each event"


def test_what_may_have_been_received_is_never_sent_again():
    def close_without_a_response(connection, _count):
        connection.shutdown(socket.SHUT_RDWR)

    with serve(close_without_a_response) as kept:
        sent = send(kept.url, 12, concurrency=3, attempts=8)
    check_once(sent, kept, 12)
    assert set(kept.bytes_of.values()) == {1}
    assert {outcome for outcome, _ in sent.endings} == {"unknown"}


def test_a_certificate_that_is_refused_is_left_to_the_next_try(tries, monkeypatch):
    monkeypatch.setattr(RateLimiter, "back_off", lambda *_: pytest.fail("it does not pass by waiting"))
    refused = ConnectError(ErrorClass.TLS_ERROR, "certificate verify failed")
    with serve(answer) as kept:
        tries.refusal = refused
        first = tries.deliver(kept, make_source(3), concurrency=1, refuses=refuse_all)
        assert (first.unsent, tries.engine.dialed) == (3, 3)
        done = tries.deliver(kept, make_source(3))
        check_truth(tries, kept, done, 3)


def test_a_response_begins_the_pauses_from_the_shortest_again(tries, monkeypatch):
    pauses = []
    back_off = RateLimiter.back_off
    monkeypatch.setattr(
        RateLimiter, "back_off", lambda self, now: (back_off(self, now), pauses.append(self._backoffs))[0]
    )
    with serve(answer_and_close) as kept:
        tries.deliver(kept, make_source(EVENTS), concurrency=1, refuses=lambda number: number % 3 == 0)
    assert len(pauses) > MAX_BACKOFFS
    assert set(pauses) == {1}
