# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Events of the user's own type, sent by the operators to a real receiver."""

from __future__ import annotations

import json

import pytest

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.operators.delivery import DeliverEventOperator, DeliverEventStreamOperator
from airflow_provider_hooks.signing import verify
from tests.airflow_context import SECRET, StateStore, make_context
from tests.servers import OK, raw_server
from tests.stream.bulk_receiver import serve_receiver


def deliver(store: StateStore | None = None, **options):
    options = {"task_id": "t", "event_type": "orders.loaded", "data": {"orders": 12}, **options}
    return DeliverEventOperator(**options).execute(make_context(store))


def parse_request(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:]), body


def test_an_own_event_is_signed_and_delivered_once(connect):
    store = StateStore()
    with raw_server(OK) as receiver:
        connect(receiver.url, scheme="standard_webhooks")
        record = deliver(store)
        assert deliver(store) == record
    (request,) = receiver.requests
    headers, body = parse_request(request)
    verify("standard_webhooks", headers=headers, body=body, secrets=[SECRET])
    assert (headers["X-Service-Hook-Event"], headers["Content-Type"]) == ("orders.loaded", "application/json")
    assert json.loads(body) == {
        "type": "orders.loaded",
        "timestamp": "2026-01-01T12:00:00.000Z",
        "data": {"orders": 12},
    }
    assert (record["event_type"], record["outcome"]) == ("orders.loaded", "delivered")


def test_the_delivery_id_is_in_the_header_that_the_connection_names(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url, id_header="Idempotency-Key")
        record = deliver()
    headers, _ = parse_request(receiver.requests[0])
    assert headers["Idempotency-Key"] == headers["X-Service-Hook-Delivery"] == record["delivery_id"]


def test_the_format_comes_from_the_operator_or_else_from_the_endpoint(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url, format="cloudevents_binary")
        deliver()
        deliver(format="raw")
        deliver(format="")
    first, second, third = (parse_request(request) for request in receiver.requests)
    assert first[0]["ce-type"] == third[0]["ce-type"] == "orders.loaded"
    assert first[0]["ce-source"] == "http://localhost:8080/dags/a_dag/tasks/a_task"
    assert "ce-type" not in second[0]
    assert first[1] == second[1] == b'{"orders":12}'


@pytest.mark.parametrize(
    ("event_filter", "is_sent"),
    [("orders.*", True), ("event.alert, orders.loaded", True), ("*", True), ("event.*", False)],
)
def test_an_endpoint_takes_only_events_that_match_its_filter(connect, event_filter, is_sent):
    with raw_server(OK) as receiver:
        connect(receiver.url, events=event_filter)
        if is_sent:
            deliver()
        else:
            with pytest.raises(
                AirflowFailException, match=r"events: this endpoint takes only event.\*, not orders.loaded"
            ):
                deliver()
    assert len(receiver.requests) == is_sent


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"event_type": "orders loaded"}, "event_type: must be 1 to 128"),
        ({"event_type": "event.alert"}, "event_type: event.alert has a documented payload"),
        ({"format": "soap"}, "format: must be one of"),
        ({"format": "sentry"}, "format: sentry has only"),
        ({"data": {"x": float("nan")}}, "data.x: is nan"),
        (
            {"data": {"orders": "many"}, "schema": {"properties": {"orders": {"type": "integer"}}}},
            "data.orders: 'many'",
        ),
        ({"event_id": "a b"}, "event_id: must be"),
    ],
)
def test_invalid_arguments_are_refused_before_the_claim(connect, options, problem):
    store = StateStore()
    with raw_server(OK) as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match=problem):
            deliver(store, **options)
    assert (receiver.requests, store.stored) == ([], {})


def test_headers_of_the_connection_do_not_override_those_of_the_format(connect, monkeypatch):
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_HEADERS", "ce-type")
    with raw_server(OK) as receiver:
        connect(receiver.url, secret_headers={"CE-Type": "forged"}, format="cloudevents_binary")
        deliver()
    assert receiver.requests[0].lower().count(b"ce-type") == 1
    assert b"forged" not in receiver.requests[0]


@pytest.mark.parametrize("name", ["standard_webhooks", "cloudevents", "cloudevents_binary", "raw"])
def test_a_stream_of_own_events_delivers_each_event_once_in_every_format(connect, tmp_path, name):
    path = tmp_path / "orders.jsonl"
    path.write_text("".join(json.dumps({"order": f"order-{number}"}) + "\n" for number in range(20)))
    with serve_receiver() as receiver:
        connect(receiver.url, scheme="standard_webhooks")
        returned = DeliverEventStreamOperator(
            task_id="t",
            events=str(path),
            event_type="orders.loaded",
            id_field="order",
            format=name,
            records_path=str(tmp_path / "records"),
        ).execute(make_context())
    assert returned["delivered"] == returned["total"] == 20
    bodies = [json.loads(body) for _, body in receiver.requests]
    assert sorted(body.get("data", body)["order"] for body in bodies) == sorted(f"order-{n}" for n in range(20))
    for headers, body in receiver.requests:
        verify("standard_webhooks", headers=headers, body=body, secrets=[SECRET])
        assert headers["X-Service-Hook-Event"] == "orders.loaded"
        assert ("ce-id" in headers) is (name == "cloudevents_binary")
