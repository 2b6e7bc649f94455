# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Events that were provably not received are sent again by the same try or the next one, but never after a crash."""

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
from tests.http.reusing_receiver import ReusingReceiver, answer, check_sent_once, serve
from tests.servers import find_free_port
from tests.stream.sending import make_encoder, make_endpoint, make_event, send
from tests.stream.stream_tries import BATCH, Store, Tries, check_records, make_source

EVENTS = 17


@pytest.fixture
def tries(monkeypatch, tmp_path):
    return Tries(monkeypatch, tmp_path)


def answer_and_close(connection, _count):
    """Make each event need a new connection."""
    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    connection.close()


def refuse_half(number: int) -> bool:
    return number % 4 in {1, 2}


def refuse_all(_number: int) -> bool:
    return True


def list_unsent(claim: dict) -> list[int]:
    return [offset for offset, *_ in claim["unsent"]]


# Within a try


def test_receiver_that_refuses_connections_at_first_gets_every_event_once(tries, monkeypatch):
    """The receiver starts to listen when the third pause begins."""
    receiver = ReusingReceiver(find_free_port(), "http")
    backed_off = []
    back_off = RateLimiter.back_off

    with contextlib.ExitStack() as stack:

        def listen_at_the_third_pause(self, now):
            backed_off.append(now)
            if len(backed_off) == 3:
                receiver.running = stack.enter_context(serve(answer, port=receiver.port))
            return back_off(self, now)

        monkeypatch.setattr(RateLimiter, "back_off", listen_at_the_third_pause)
        result = tries.deliver(receiver, make_source(EVENTS), concurrency=1, max_attempts=1_000)
        check_records(tries, receiver.running, result, EVENTS)
    assert result.summary.outcomes == {"delivered": EVENTS, "rejected": 0, "not_sent": 0, "unknown": 0}
    assert len(backed_off) >= 3


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_occasionally_refused_connections_leave_no_event_unsent(tries, concurrency):
    with serve(answer_and_close) as receiver:
        result = tries.deliver(receiver, make_source(EVENTS), concurrency=concurrency, refuses=refuse_half)
        check_records(tries, receiver, result, EVENTS)
    assert result.summary.outcomes["delivered"] == EVENTS
    assert (result.unsent, result.is_stopped) == (0, False)


def test_circuit_breaker_counts_an_event_only_after_its_last_attempt(tries):
    with serve(answer_and_close) as receiver:
        result = tries.deliver(receiver, make_source(EVENTS), concurrency=1, breaker=1, refuses=refuse_half)
    assert not result.is_stopped
    assert result.summary.outcomes["delivered"] == EVENTS


@pytest.mark.parametrize("attempts", [1, 3, 4])
def test_event_is_attempted_at_most_max_attempts_times(tries, attempts):
    with serve(answer) as receiver:
        result = tries.deliver(receiver, make_source(2), concurrency=1, max_attempts=attempts, refuses=refuse_all)
    assert tries.engine.dialed == 2 * attempts
    assert (result.unsent, result.is_stopped, receiver.arrivals) == (2, False, [])


@pytest.mark.parametrize("policy", [NetworkPolicy()])
def test_blocked_address_is_not_tried_again(monkeypatch, policy):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_arguments, **_options: ["10.0.0.1"])
    backed_off = []
    monkeypatch.setattr(RateLimiter, "back_off", lambda _self, now: backed_off.append(now) or True)
    sent = send("https://hooks.test/events", 3, policy=policy, attempts=8)
    assert sent.outcomes == {("not_sent", "blocked_address"): 3}
    assert backed_off == []


def test_blocked_address_is_recorded_by_the_first_try(tries):
    tries.refusal = BlockedAddressError("10.0.0.1 is not allowed")
    with serve(answer) as receiver:
        result = tries.deliver(receiver, make_source(3), concurrency=1, refuses=refuse_all)
        check_records(tries, receiver, result, 3)
    assert {record["error_class"] for record in tries.read_records()} == {"blocked_address"}
    assert (result.unsent, tries.engine.dialed) == (0, 3)


def test_each_response_is_reported_to_the_rate_limiter(tries, monkeypatch):
    responses = []
    monkeypatch.setattr(RateLimiter, "note_response", lambda _self: responses.append(1))
    with serve(answer) as receiver:
        tries.deliver(receiver, make_source(EVENTS))
    assert len(responses) == EVENTS


def test_signing_again_uses_the_current_time(monkeypatch):
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


def test_event_that_is_sent_again_is_signed_again(tries, monkeypatch):
    signed = []
    sign_again = RequestEncoder.sign_again
    monkeypatch.setattr(
        RequestEncoder, "sign_again", lambda self, request: signed.append(request) or sign_again(self, request)
    )
    with serve(answer_and_close) as receiver:
        tries.deliver(receiver, make_source(4), concurrency=1, refuses=lambda number: number in {0, 2, 3})
    assert len(signed) == 3


# By the next try


def test_next_try_sends_exactly_the_events_that_were_not_received(tries):
    source = make_source(EVENTS)
    with serve(answer_and_close) as receiver:
        first = tries.deliver(receiver, source, concurrency=1, max_attempts=2, refuses=refuse_half)
        left = list_unsent(tries.store.claim)
        assert 0 < first.unsent == len(left) < EVENTS
        assert (tries.store.claim["state"], first.is_stopped) == ("stopped", False)
        assert sorted(receiver.request_counts) == sorted(set(range(EVENTS)) - set(left))
        assert sorted(record["offset"] for record in tries.read_records()) == sorted(receiver.request_counts)
        sent = len(receiver.arrivals)
        second = tries.deliver(receiver, source)
        assert len(receiver.arrivals) - sent == len(left)
        check_records(tries, receiver, second, EVENTS)
    assert second.summary.outcomes["delivered"] == EVENTS


def test_unreachable_receiver_stops_the_stream_and_a_later_try_sends_the_events(tries):
    source = make_source(EVENTS, invalid_every=6)
    with serve(answer) as receiver:
        for _ in range(3):
            stopped = tries.deliver(receiver, source, breaker=2, max_attempts=2, refuses=refuse_all)
            assert stopped.is_stopped
            assert stopped.summary.outcomes["not_sent"] == stopped.summary.invalid
            assert len(tries.read_records()) == stopped.summary.total
        assert receiver.arrivals == []
        done = tries.deliver(receiver, source)
        check_records(tries, receiver, done, EVENTS, invalid=2)
    assert done.summary.outcomes["delivered"] == EVENTS - 2


def test_last_try_records_why_an_event_was_not_sent(tries):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(receiver, source, max_attempts=2, refuses=refuse_all)
        result = tries.deliver(receiver, source, max_attempts=2, refuses=refuse_all, is_last=True)
        check_records(tries, receiver, result, EVENTS)
    assert {record["error_class"] for record in tries.read_records()} == {"connection_refused"}
    assert (result.unsent, result.is_stopped) == (0, False)


def test_stopped_last_try_records_the_events_that_earlier_tries_left_unsent(tries):
    source = make_source(EVENTS)
    with serve(answer) as receiver:
        tries.deliver(receiver, source, max_attempts=1, refuses=refuse_all)
        result = tries.deliver(receiver, source, max_attempts=1, breaker=2, refuses=refuse_all, is_last=True)
        check_records(tries, receiver, result, EVENTS)
    reasons = Counter(record["error_class"] for record in tries.read_records())
    assert reasons["connection_refused"] >= 2
    assert sum(reasons.values()) == EVENTS == reasons["connection_refused"] + reasons["stopped"]


def test_number_of_events_left_to_the_next_try_is_bounded(tries):
    source = make_source(60)
    with serve(answer) as receiver:
        first = tries.deliver(receiver, source, concurrency=2, max_attempts=1, max_unsent=10, refuses=refuse_all)
        assert first.is_stopped
        assert 10 <= first.unsent <= 10 + 2 * 2
        again = tries.deliver(receiver, source, concurrency=2, max_attempts=1, max_unsent=10, refuses=refuse_all)
        assert again.unsent == first.unsent, "no further events are started"
        done = tries.deliver(receiver, source)
        check_records(tries, receiver, done, 60)


def test_pauses_of_earlier_tries_stay_in_the_summary(tries):
    def be_busy(connection, _count):
        connection.sendall(b"HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")

    with serve(be_busy) as receiver:
        first = tries.deliver(receiver, make_source(EVENTS), concurrency=1, breaker=2)
        assert first.summary.pauses > 0
    with serve(answer) as receiver:
        assert tries.deliver(receiver, make_source(EVENTS)).summary.pauses == first.summary.pauses


def test_a_receiver_that_requests_too_many_pauses_stops_the_stream(tries, monkeypatch):
    monkeypatch.setattr(throttle, "MAX_PAUSED_SECONDS", -1.0)
    with serve(answer) as receiver:
        stopped = tries.deliver(receiver, make_source(EVENTS), concurrency=1)
        assert (stopped.stopped_by, tries.store.claim["state"]) == (
            "the receiver was busy or unreachable for too long in total",
            "stopped",
        )
        assert 0 < len(receiver.request_counts) < EVENTS
        monkeypatch.setattr(throttle, "MAX_PAUSED_SECONDS", 3_600.0)
        check_records(tries, receiver, tries.deliver(receiver, make_source(EVENTS)), EVENTS)


def test_progress_starts_at_the_position_of_the_try(tries, monkeypatch):
    started = []
    monkeypatch.setattr(Progress, "start", lambda _self, total, offset: started.append((total, offset)))
    monkeypatch.setattr(Progress, "report", lambda *_: None)
    with serve(answer_and_close) as receiver:
        first = tries.deliver(
            receiver, make_source(EVENTS), concurrency=1, breaker=1, max_attempts=1, refuses=refuse_half
        )
        claim = tries.store.claim
        tries.deliver(receiver, make_source(EVENTS))
    assert first.is_stopped
    assert 0 < first.summary.total < EVENTS
    assert started[-1] == (first.summary.total, claim["start"])


# Killed


def finish(tries: Tries, receiver: ReusingReceiver, source, *, is_same_try: bool):
    """Make tries, as Airflow does, until the stream is done."""
    while True:
        result = tries.deliver(receiver, source, is_same_try=is_same_try)
        if tries.store.claim["state"] == "done":
            return result


@pytest.mark.parametrize("is_same_try", [False, True])
@pytest.mark.parametrize("has_earlier_try", [False, True], ids=["first try", "next try"])
def test_try_killed_while_it_resends_unsent_events_sends_no_duplicate(tries, tmp_path, has_earlier_try, is_same_try):
    source, refusing = make_source(EVENTS), {"concurrency": 1, "max_attempts": 2, "refuses": refuse_half}

    def begin(name: str) -> None:
        tries.folder, tries.store, tries.number = tmp_path / name, Store(), 0
        if has_earlier_try:
            tries.deliver(receiver, source, **refusing)
            assert len(tries.store.claim["unsent"]) > BATCH // 2

    with serve(answer_and_close) as receiver:
        begin("calls")
        tries.deliver(receiver, source, **refusing)
        calls = len(tries.killer.names)
    states = set()
    for at in [*range(0, calls, 7 if is_same_try else 3), 10**6]:  # the last try is not killed
        with serve(answer_and_close) as receiver:
            begin(f"{at}")
            left = set(list_unsent(tries.store.claim)) if has_earlier_try else set()
            tries.deliver(receiver, source, kill_at=at, **refusing)
            found = tries.store.claim if tries.store.stored else {"state": "nothing", "unsent": []}
            states.add(found["state"])
            result = finish(tries, receiver, source, is_same_try=is_same_try)
            check_records(tries, receiver, result, EVENTS)
        unknown = {record["offset"] for record in tries.read_records() if record["outcome"] == "unknown"}
        if found["state"] == "resending":
            assert unknown <= left, "only events of the claimed batch"
        elif found["state"] == "claimed":
            assert len(unknown) <= BATCH
            assert not unknown & set(list_unsent(found)), "they were not claimed again"
        else:
            assert unknown == set()
    assert states >= ({"resending", "claimed", "stopped"} if has_earlier_try else {"nothing", "claimed", "stopped"})


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kills=st.lists(st.integers(0, 250), min_size=2, max_size=5),
    refused=st.sets(st.integers(0, 11), max_size=8),
    concurrency=st.integers(1, 4),
)
def test_records_are_correct_when_several_tries_that_resend_are_killed(
    tries, tmp_path_factory, kills, refused, concurrency
):
    tries.folder, tries.store, tries.number = tmp_path_factory.mktemp("records"), Store(), 0
    source = make_source(EVENTS, invalid_every=6)
    refusing = {"concurrency": concurrency, "max_attempts": 2, "refuses": lambda number: number % 12 in refused}
    with serve(answer_and_close) as receiver:
        for at in kills:
            tries.deliver(receiver, source, kill_at=at, breaker=5, **refusing)
            if tries.store.stored and tries.store.claim["state"] == "done":
                break
        result = finish(tries, receiver, source, is_same_try=False)
        check_records(tries, receiver, result, EVENTS, invalid=EVENTS // 6)


def test_defaults_match_the_documentation():
    assert (model.MAX_ATTEMPTS, model.MAX_UNSENT_EVENTS) == (8, 1_000)


def test_unreachable_receiver_is_given_up_after_the_pauses_of_one_outage(monkeypatch):
    dialed = []
    resolve = Connector._resolve
    monkeypatch.setattr(Connector, "_resolve", lambda connector: dialed.append(1) or resolve(connector))
    sent = send(f"http://127.0.0.1:{find_free_port()}/hook", 3, concurrency=1, attempts=8)
    assert sent.outcomes == {("not_sent", "connection_refused"): 3}
    assert sent.summary.outcomes["not_sent"] == 3
    assert len(dialed) <= MAX_BACKOFFS + 3, "the number of pauses is limited for the outage, not for each event"


def test_event_that_may_have_been_received_is_never_sent_again():
    def close_without_a_response(connection, _count):
        connection.shutdown(socket.SHUT_RDWR)

    with serve(close_without_a_response) as receiver:
        sent = send(receiver.url, 12, concurrency=3, attempts=8)
    check_sent_once(sent, receiver, 12)
    assert set(receiver.request_counts.values()) == {1}
    assert {outcome for outcome, _ in sent.outcomes} == {"unknown"}


def test_event_of_a_refused_certificate_is_left_to_the_next_try(tries, monkeypatch):
    monkeypatch.setattr(RateLimiter, "back_off", lambda *_: pytest.fail("a TLS error does not pass by waiting"))
    refused = ConnectError(ErrorClass.TLS_ERROR, "certificate verify failed")
    with serve(answer) as receiver:
        tries.refusal = refused
        first = tries.deliver(receiver, make_source(3), concurrency=1, refuses=refuse_all)
        assert (first.unsent, tries.engine.dialed) == (3, 3)
        done = tries.deliver(receiver, make_source(3))
        check_records(tries, receiver, done, 3)


def test_response_resets_the_pauses_to_the_shortest(tries, monkeypatch):
    pauses = []
    back_off = RateLimiter.back_off
    monkeypatch.setattr(
        RateLimiter, "back_off", lambda self, now: (back_off(self, now), pauses.append(self._backoffs))[0]
    )
    with serve(answer_and_close) as receiver:
        tries.deliver(receiver, make_source(EVENTS), concurrency=1, refuses=lambda number: number % 3 == 0)
    assert len(pauses) > MAX_BACKOFFS
    assert set(pauses) == {1}
