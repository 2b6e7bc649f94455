# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Streams whose events have several types, each named by a field of the event."""

from __future__ import annotations

import json

import pytest

from airflow_provider_hooks._runtime import telemetry
from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.delivery.request import DeliveryIds
from airflow_provider_hooks.events.format_base import FormatSettings
from airflow_provider_hooks.events.formats import find_format
from airflow_provider_hooks.events.reader import EventReader
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
from airflow_provider_hooks.signing import SCHEMES, verify
from airflow_provider_hooks.stream import encode
from airflow_provider_hooks.stream.encode import RequestEncoder
from tests.airflow_context import SECRET, make_context
from tests.servers import raw_server
from tests.stream.bulk_receiver import serve_receiver
from tests.stream.sending import make_endpoint

EVENTS = [
    {"id": f"e-{number}", "kind": f"orders.{['loaded', 'late'][number % 2]}", "number": number} for number in range(20)
]


@pytest.fixture
def deliver(tmp_path):
    def run(events=EVENTS, **options):
        options = {"type_field": "kind", "records_path": str(tmp_path / "records"), **options}
        task = DeliverEventStreamOperator(task_id="a_task", events=events, **options)
        return task.execute(make_context(max_tries=0, xcom_push=lambda **_: None))

    return run


def read_records(tmp_path):
    paths = sorted((tmp_path / "records").rglob("segment-*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["standard_webhooks", "cloudevents", "cloudevents_binary", "raw"])
def test_each_event_has_its_own_type_in_request_and_record(connect, deliver, tmp_path, name):
    with serve_receiver() as receiver:
        connect(receiver.url, scheme="github", format=name)
        result = deliver()
    assert result["delivered"] == 20
    types = {event["id"]: event["kind"] for event in EVENTS}
    for headers, body in receiver.requests:
        verify("github", headers=headers, body=body, secrets=[SECRET])
        content = json.loads(body)
        event_id = content.get("data", content)["id"]
        named = {headers["X-Service-Hook-Event"], headers["X-GitHub-Event"], headers.get("ce-type", types[event_id])}
        assert named == {content.get("type", types[event_id])} == {types[event_id]}
    records = read_records(tmp_path)
    assert {record["event_id"]: record["event_type"] for record in records} == types
    for record in records:
        ids = DeliveryIds(
            deployment="http://localhost:8080", endpoint="service_hook_default", event_type=record["event_type"]
        )
        assert record["delivery_id"] == ids.make(record["event_id"])


def test_events_that_fail_are_recorded_and_sent_again_with_their_types(connect, deliver, tmp_path):
    types = {event["id"]: event["kind"] for event in EVENTS}
    with raw_server(b"HTTP/1.1 400 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno") as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match="20 of 20 events were not delivered"):
            deliver(concurrency=2)
    records = read_records(tmp_path)
    assert {record["event_id"]: record["event_type"] for record in records} == types
    (folder,) = {path.parent for path in (tmp_path / "records").rglob("segment-*.jsonl")}
    with serve_receiver() as receiver:
        connect(receiver.url)
        deliver(undelivered_from=str(folder), resend_outcomes=["rejected"], records_path=str(tmp_path / "again"))
    sent = {headers["X-Service-Hook-Delivery"]: headers["X-Service-Hook-Event"] for headers, _ in receiver.requests}
    assert sent == {record["delivery_id"]: record["event_type"] for record in records}


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"id": "a"}, "has no kind to use as its type"),
        ({"id": "a", "kind": None}, "has no kind"),
        ({"id": "a", "kind": "orders loaded"}, "the kind of the event must be 1 to 128 letters"),
        ({"id": "a", "kind": 7}, "the kind of the event must be 1 to 128 letters"),
        ({"id": "a", "kind": "event.alert"}, "the kind of the event is event.alert, which has a documented payload"),
        ({"id": "a", "kind": "users.left"}, r"the endpoint takes only orders\.\*, not users\.left"),
    ],
)
def test_an_event_whose_type_cannot_be_used_is_invalid(connect, deliver, tmp_path, event, problem):
    events = [EVENTS[0], event]
    with serve_receiver() as receiver:
        connect(receiver.url, events="orders.*")
        with pytest.raises(AirflowFailException, match=problem):
            deliver(events)
        assert receiver.requests == []
        result = deliver(events, on_invalid="skip")
    assert (result["delivered"], result["invalid"]) == (1, 1)
    (invalid,) = (record for record in read_records(tmp_path) if record["outcome"] == "not_sent")
    assert invalid["error_class"] == "invalid_event"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"event_type": "orders.loaded"}, "type_field: cannot be combined with event_type; give one"),
        ({"type_field": "a\n"}, "type_field: must be a line of text"),
        ({"format": "sentry"}, "format: sentry has no events of the types that type_field names"),
    ],
)
def test_contradictory_arguments_are_refused(connect, deliver, options, problem):
    with serve_receiver() as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match=problem):
            deliver(**options)
    assert receiver.requests == []


def test_cache_of_types_is_bounded_and_each_request_has_the_right_type(monkeypatch):
    monkeypatch.setattr(encode, "MAX_TEMPLATES", 2)
    endpoint = make_endpoint("http://127.0.0.1:9")
    object.__setattr__(endpoint, "events", ("*",))
    reader = EventReader(
        None,
        format=find_format("raw", "a", settings=FormatSettings()),
        id_field="id",
        type_field="kind",
        defaults={"datetime": "2026-01-01T00:00:00Z", "source": "/"},
        max_payload_bytes=1_000,
    )
    encoder = RequestEncoder(endpoint, None, max_payload_bytes=1_000, reader=reader)
    for kind in ("a", "b", "a", "c", "b", "a"):
        request = encoder.encode({"id": "x", "kind": kind}, offset=0)
        assert f"X-Service-Hook-Event: {kind}\r\n".encode() in request.request
        assert request.event_type == kind
        again = encoder.sign_again(request)
        assert (again.request, again.event_type) == (request.request, kind)
        assert len(encoder._templates) <= 2
    assert SCHEMES["sentry"].signature_header.encode() in request.request


def test_metrics_of_a_stream_with_several_types_have_one_type_tag(connect, deliver, monkeypatch):
    counted = []
    monkeypatch.setattr(telemetry.stats, "incr", lambda *_args, tags, **_options: counted.append(tags["event_type"]))
    with serve_receiver() as receiver:
        connect(receiver.url)
        deliver()
    assert set(counted) == {"several"}
