# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Streams to endpoints that need access tokens."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_hooks._runtime.airflow import read_deployment
from airflow_provider_hooks.delivery.request import DeliveryIds
from airflow_provider_hooks.exceptions import DeliveryFailedError, DeliveryNotSentError
from airflow_provider_hooks.http import oauth2
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
from airflow_provider_hooks.stream import throttle
from tests.airflow_context import StateStore, make_context
from tests.stream.test_operator import make_event
from tests.token_server import CLIENT_SECRET, serve_tokens


@pytest.fixture(autouse=True)
def empty_token_cache(monkeypatch):
    monkeypatch.setattr(oauth2, "_SOURCES", {})


@pytest.fixture
def deliver(tmp_path):
    def run(count, *, context=None, **options):
        operator = DeliverEventStreamOperator(
            task_id="a_task",
            events=[make_event(number) for number in range(count)],
            records_path=str(tmp_path / "records"),
            **options,
        )
        return operator.execute(context or make_stream_context(max_tries=0))

    return run


def make_stream_context(store: StateStore | None = None, **options: int):
    return make_context(store, xcom_push=lambda **_options: None, **options)


def read_records(tmp_path) -> tuple[list[dict], str]:
    text = "".join(part.read_text() for part in sorted((tmp_path / "records").rglob("segment-*.jsonl")))
    return [json.loads(line) for line in text.splitlines()], text


def count_deliveries(server) -> Counter[tuple[str, int]]:
    return Counter((headers["X-Service-Hook-Delivery"], status) for _, headers, status in server.received)


def test_access_token_is_renewed_before_it_expires_during_a_stream(connect, deliver):
    with serve_tokens(lifetime=1.0, expires_in=0.5) as server:  # a margin for slow machines
        connect(server.url, **server.extra)
        assert deliver(300, rate_limit=150, concurrency=8)["delivered"] == 300
    assert Counter(server.statuses) == {204: 300}
    assert len(server.issued) >= 4


def test_event_delayed_by_the_rate_limit_is_sent_with_the_current_token(connect, deliver):
    """Eight requests are prepared at once, and the last is sent after the first token has expired."""
    with serve_tokens(lifetime=1.0, expires_in=0.5) as server:
        connect(server.url, **server.extra)
        assert deliver(8, rate_limit=4, concurrency=8)["delivered"] == 8
    assert server.statuses == [204] * 8


def test_401_renews_a_token_without_expiry_and_each_event_is_resent_once(connect, deliver, tmp_path):
    with serve_tokens(lifetime=1.0, expires_in=None) as server:
        connect(server.url, **server.extra)
        assert deliver(300, rate_limit=120, concurrency=8)["delivered"] == 300
    counts = count_deliveries(server)
    assert sum(status == 204 for _, status in counts) == 300
    assert set(counts.values()) == {1}, "no delivery is accepted, or refused, twice"
    assert 0 < server.statuses.count(401) <= 8 * len(server.issued)


def test_receiver_that_refuses_every_token_gets_one_event_twice_and_two_tokens(connect, deliver, tmp_path):
    with serve_tokens(refuses=True) as server:
        connect(server.url, **server.extra)
        with pytest.raises(DeliveryFailedError):
            deliver(50, concurrency=1)
    assert len(server.issued) == 2
    assert len(server.received) == 51
    records, _ = read_records(tmp_path)
    assert Counter((one["outcome"], one["status_code"]) for one in records) == {("rejected", 401): 50}


def test_event_that_is_refused_with_each_token_is_sent_twice(connect, deliver):
    """The receiver accepts the other events with the same tokens, so the token is renewed each time."""
    ids = DeliveryIds(deployment=read_deployment(), endpoint="service_hook_default", event_type="event.created")
    with serve_tokens() as server:
        server.refused_delivery = ids.make("event-3")
        connect(server.url, **server.extra)
        with pytest.raises(DeliveryFailedError):
            deliver(100, concurrency=8)
    assert {name: number for name, number in count_deliveries(server).items() if name[1] == 401} == {
        (server.refused_delivery, 401): 2
    }
    assert server.statuses.count(204) == 99
    assert len(server.issued) == 2


def test_time_to_fetch_a_token_is_not_part_of_the_request_timeout(connect, deliver):
    with serve_tokens(delay=1.0, receiving_delay=0.9) as server:
        connect(server.url, timeout=1.6, **server.extra)
        assert deliver(1)["delivered"] == 1


def test_failing_token_endpoint_prevents_sending_and_a_retry_sends_all_events(connect, deliver, tmp_path, monkeypatch):
    monkeypatch.setattr(throttle, "MAX_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(oauth2, "FAILURE_SECONDS", 0.01)
    store = StateStore()
    with serve_tokens(broken=(500, CLIENT_SECRET.encode())) as server:
        connect(server.url, **server.extra)
        with pytest.raises(DeliveryNotSentError) as caught:
            deliver(20, context=make_stream_context(store, max_tries=3))
        assert server.received == []
        server.broken = None
        summary = deliver(20, context=make_stream_context(store, try_number=2, max_tries=3))
    assert summary["delivered"] == 20
    assert server.statuses == [204] * 20
    assert CLIENT_SECRET not in str(caught.value)


def test_stream_continues_after_a_short_failure_of_the_token_endpoint(connect, deliver, monkeypatch):
    monkeypatch.setattr(oauth2, "FAILURE_SECONDS", 0.01)
    with serve_tokens(broken=(503, b""), breaks=2) as server:
        connect(server.url, **server.extra)
        assert deliver(20)["delivered"] == 20
    assert server.statuses == [204] * 20


def test_records_contain_no_token_that_the_receiver_echoes(connect, deliver, tmp_path):
    with serve_tokens(echoes=True, lifetime=0.3) as server:
        connect(server.url, **server.extra)
        with pytest.raises(DeliveryFailedError):
            deliver(60, rate_limit=100)
    records, text = read_records(tmp_path)
    assert len(records) == 60
    assert len(server.issued) > 1
    assert [token for token in server.issued if token in text] == []
    assert "Bearer ***" in text
