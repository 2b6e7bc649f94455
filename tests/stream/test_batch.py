# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What was provably not received is sent again: bounded, after a pause, and never what may have been received."""

from __future__ import annotations

import socket
import threading

import pytest

from airflow_provider_hooks.http.connect import Connector
from airflow_provider_hooks.stream import throttle
from airflow_provider_hooks.stream.throttle import MAX_BACKOFFS, RateLimiter
from tests.http.reusing_receiver import answer, check_once, serve
from tests.servers import find_closed_port
from tests.stream.sending import send


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_receiver_that_comes_back_gets_every_event_once(concurrency, monkeypatch):
    """Every connection is refused until the third pause; then the receiver is there."""
    paused = []
    back_off = RateLimiter.back_off

    def count_pauses(limiter, now):
        paused.append(now)
        return back_off(limiter, now)

    monkeypatch.setattr(RateLimiter, "back_off", count_pauses)
    with serve(answer) as kept:
        resolve = Connector._resolve
        closed = find_closed_port()

        def refused_at_first(connector):
            return [
                one if len(paused) >= 3 * concurrency else one._replace(place=(one.place[0], closed))
                for one in resolve(connector)
            ]

        monkeypatch.setattr(Connector, "_resolve", refused_at_first)
        sent = send(kept.url, 20, concurrency=concurrency, attempts=8, timeout=5.0)
    check_once(sent, kept, 20)
    assert sent.endings == {("delivered", None): 20}
    assert len(paused) >= 3


def test_a_receiver_that_stays_away_is_given_up_after_a_bounded_number_of_attempts(monkeypatch):
    attempts = []
    resolve = Connector._resolve
    monkeypatch.setattr(Connector, "_resolve", lambda connector: attempts.append(1) or resolve(connector))
    sent = send(f"http://127.0.0.1:{find_closed_port()}/hook", 3, concurrency=1, attempts=8)
    assert sent.endings == {("not_sent", "connection_refused"): 3}
    assert len(attempts) <= MAX_BACKOFFS + 3, "the pauses are of the outage, not of each event"


def test_the_breaker_counts_an_event_once_it_is_given_up():
    sent = send(f"http://127.0.0.1:{find_closed_port()}/hook", 50, concurrency=4, attempts=8, breaker=10)
    assert sent.stopped
    assert 10 <= len(sent.records) < 50
    positions = sorted(record["position"] for record in sent.records)
    assert positions == list(range(len(positions))), "what was begun has a record, and the rest is one piece"


def test_what_may_have_been_received_is_never_sent_again():
    def close_without_a_response(connection, _count):
        connection.shutdown(socket.SHUT_RDWR)

    with serve(close_without_a_response) as kept:
        sent = send(kept.url, 12, concurrency=3, attempts=8)
    check_once(sent, kept, 12)
    assert set(kept.bytes_of.values()) == {1}
    assert {outcome for outcome, _ in sent.endings} == {"unknown"}


def test_an_address_that_is_not_allowed_is_tried_once(monkeypatch):
    seen = threading.Event()
    monkeypatch.setattr(RateLimiter, "back_off", lambda *_: seen.set() or True)
    sent = send("http://127.0.0.1:9/hook", 2, attempts=8, policy=type(send.__kwdefaults__["policy"])())
    assert sent.endings == {("not_sent", "blocked_address"): 2}
    assert not seen.is_set()


def test_pauses_double_up_to_a_bound_are_shared_and_begin_again_after_a_response(monkeypatch):
    monkeypatch.setattr(throttle, "BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(throttle, "MAX_BACKOFF_SECONDS", 5.0)
    limiter, now, pauses = RateLimiter(rate_limit=None), 100.0, []
    for _ in range(MAX_BACKOFFS):
        assert limiter.back_off(now)
        assert limiter.back_off(now), "a second failure of the same round"
        pauses.append(round(limiter.delay(now), 6))
        assert limiter.acquire(now, 5) == 0
        now += limiter.delay(now)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert not limiter.back_off(now)
    limiter.note_response()
    assert limiter.back_off(now)
    assert limiter.delay(now) == pytest.approx(0.1)
