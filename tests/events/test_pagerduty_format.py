# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""PagerDuty events: every member is as documented, and the key is only in the request."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given, settings

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.events import build_event_alert, build_event_created
from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.events.format_base import FormatSettings
from airflow_provider_hooks.events.formats import encode_event
from airflow_provider_hooks.events.pagerduty_format import MAX_BODY_BYTES
from airflow_provider_hooks.exceptions import PayloadError, ValidationError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.operators.delivery import DeliverEventOperator, DeliverEventStreamOperator
from tests.airflow_context import StateStore, make_context
from tests.events_data import ALERT, CREATED
from tests.security.properties_data import json_values
from tests.servers import raw_server

KEY = "e93facc04764012d7bfb002500d5d1a6"
SETTINGS = FormatSettings(name="pagerduty", key=KEY)
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
ECHO = b'{"status":"success","you_sent":"%s"}' % KEY.encode()
relaxed = settings(max_examples=150, deadline=None, derandomize=True)


def make(data: object, *, event_type: str = "orders.late", source: str = "https://a.example/dags/orders") -> Event:
    return Event(type=event_type, id="e-1", occurred_at="2015-07-17T08:42:58.315Z", source=source, data=data)


def encode(event, *, event_type: str = "orders.late", size: int = 1_000_000) -> dict:
    encoded = encode_event(event_type, event, format_name=None, settings=SETTINGS, max_payload_bytes=size)
    return json.loads(encoded.body)


def test_trigger_event_matches_the_documented_example():
    """PagerDuty's page "Send an Alert Event": the members that an event has, with ``Z`` as the time zone."""
    source = "monitoringtool:cloudvendor:central-region-dc-01:852559987:cluster/api-stats-prod-003"
    data = {
        "message": "Example alert on host1.example.com",
        "level": "info",
        "url": "https://example.com/",
        "dedup_key": "samplekeyhere",
        "ping time": "1500ms",
        "load avg": 0.75,
    }
    assert encode(make(data, event_type="deploy", source=source)) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "samplekeyhere",
        "payload": {
            "summary": "Example alert on host1.example.com",
            "source": source,
            "severity": "info",
            "timestamp": "2015-07-17T08:42:58.315Z",
            "class": "deploy",
            "custom_details": {"ping time": "1500ms", "load avg": 0.75},
        },
        "links": [{"href": "https://example.com/", "text": "Open in Airflow"}],
    }


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_acknowledge_and_resolve_events_match_the_documented_examples(action):
    data = {"event_action": action, "dedup_key": "dedupkeyhere", "message": "m"}
    assert encode(make(data)) == {"routing_key": KEY, "dedup_key": "dedupkeyhere", "event_action": action}


def test_default_dedup_key_is_the_event_id():
    assert encode(make({"message": "m"}))["dedup_key"] == "e-1"
    assert encode(make({"event_action": "resolve"})) == {
        "routing_key": KEY,
        "dedup_key": "e-1",
        "event_action": "resolve",
    }


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("fatal", "critical"),
        ("error", "error"),
        ("warning", "warning"),
        ("info", "info"),
        ("debug", "info"),
        ("loud", "info"),
        (None, "info"),
    ],
)
def test_severity_is_derived_from_the_level(level, severity):
    assert encode(make({"level": level}))["payload"]["severity"] == severity


@pytest.mark.parametrize(("event_type", "payload"), [("event.alert", ALERT), ("event.created", CREATED)])
def test_documented_event_triggers_an_alert_with_its_message_and_url(event_type, payload):
    built = build_event_alert(payload) if event_type == "event.alert" else build_event_created(payload)
    body = encode({**built, "event_action": "resolve"}, event_type=event_type)
    assert (body["event_action"], body["dedup_key"]) == ("trigger", built["id"])
    assert body["payload"]["summary"] == built["message"]
    assert body["payload"]["custom_details"]["culprit"] == built["culprit"]
    assert body["links"][0]["href"] == built["url"]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"event_action": "close"}, "data.event_action"),
        ({"event_action": ["resolve"]}, "data.event_action"),
        ({"dedup_key": ""}, "data.dedup_key"),
        ({"dedup_key": "x" * 256}, "data.dedup_key"),
        ({"dedup_key": 7}, "data.dedup_key"),
    ],
)
def test_members_that_pagerduty_would_refuse_are_refused(data, name):
    with pytest.raises(ValidationError) as caught:
        encode(make(data))
    assert set(caught.value.problems) == {name}


def test_a_body_over_the_limit_of_pagerduty_is_refused():
    assert encode(make({"a": "x" * (MAX_BODY_BYTES - 1_000)}))
    with pytest.raises(PayloadError, match=f"over max_payload_bytes={MAX_BODY_BYTES}"):
        encode(make({"a": "x" * MAX_BODY_BYTES}))


def test_long_summary_is_shortened_to_the_limit():
    assert encode(make({"message": "m" * 1_024}))["payload"]["summary"] == "m" * 1_024
    assert encode(make({"message": "m" * 2_000}))["payload"]["summary"] == "m" * 1_023 + "…"


@relaxed
@given(json_values)
def test_event_of_any_data_is_within_the_documented_limits(data):
    try:
        body = encode(make(data, source=""))
    except ValidationError:
        return
    payload = body["payload"]
    assert 0 < len(payload["summary"]) <= 1_024
    assert payload["source"]
    assert isinstance(payload["custom_details"], dict)


# The key


def read(**fields):
    options = {"conn_id": "c", "host": "https://events.pagerduty.com/v2/enqueue", "password": KEY, **fields}
    options["extra"] = {"scheme": "none", "format": "pagerduty", **options.get("extra", {})}
    return read_endpoint(
        ConnectionFields(**options), default_timeout=1, read_variable={"v": f'["{KEY}"]', "empty": ""}.get
    )


@pytest.mark.parametrize("fields", [{}, {"password": None, "extra": {"secret_variable": "v"}}])
def test_key_is_read_from_the_password_or_the_variable(fields):
    endpoint = read(**fields)
    assert endpoint.format_settings == SETTINGS
    assert KEY not in f"{endpoint!r}{endpoint.format_settings!r}"


@pytest.mark.parametrize(
    ("fields", "name", "problem"),
    [
        ({"password": None}, "password (key in the body)", "is empty; the format pagerduty needs its key here"),
        ({"password": "short"}, "password (key in the body)", "under 16 characters"),
        ({"password": f" {KEY}"}, "password (key in the body)", "blanks"),
        ({"extra": {"scheme": None}}, "extra.scheme", "must be none with the format pagerduty"),
        ({"extra": {"scheme": "github"}}, "extra.scheme", "must be none with the format pagerduty"),
        ({"extra": {"secret_variable": "v"}}, "password", "secret_variable is set too"),
        ({"extra": {"format": "raw"}}, "password", "signs nothing"),
        (
            {"password": None, "extra": {"secret_variable": "empty"}},
            "the Variable 'empty' (extra.secret_variable)",
            "no",
        ),
    ],
)
def test_invalid_key_is_refused_with_instructions(fields, name, problem):
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    assert problem in caught.value.problems[name]
    assert KEY not in str(caught.value)


def test_format_can_only_be_set_in_a_connection():
    with pytest.raises(ValidationError, match="format: pagerduty must be set in the connection, which holds its key"):
        encode_event("orders.late", make({}), format_name="pagerduty", max_payload_bytes=10_000)


def deliver(connect, url, store, **options):
    connect(url, password=KEY, scheme="none", format="pagerduty")
    options = {"task_id": "t", "event_type": "orders.late", "data": {"message": "m", "level": "error"}, **options}
    return DeliverEventOperator(**options).execute(make_context(store))


@pytest.mark.parametrize("status", [b"202 Accepted", b"400 Bad Request"])
def test_key_is_only_in_the_request(connect, caplog, status):
    caplog.set_level(logging.DEBUG)
    store = StateStore()
    answer = b"HTTP/1.1 %s\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, KEY.encode(), len(ECHO), ECHO)
    shown = []
    with raw_server(answer) as receiver:
        try:
            shown.append(json.dumps(deliver(connect, receiver.url, store)))
        except AirflowFailException as error:
            shown.append(str(error))
        preview = EndpointHook().preview("orders.late", make({"message": "m", "note": f"{KEY} and more"}))
    assert KEY.encode() in receiver.requests[0]
    shown += [json.dumps(store.stored), caplog.text, json.dumps(preview.as_json()), preview.as_message().decode()]
    shown.append(f"{preview!r}")
    assert [text for text in shown if KEY in text] == []
    assert json.loads(preview.as_json()["body"])["routing_key"] == "***"


def test_the_key_is_not_in_the_records_of_a_stream(connect, tmp_path):
    with raw_server(ACCEPTED % (len(ECHO), ECHO)) as receiver:
        connect(receiver.url, password=KEY, scheme="none", format="pagerduty")
        task = DeliverEventStreamOperator(
            task_id="t",
            events=[{"id": "a", "message": "m"}, {"id": "b", "event_action": "resolve", "dedup_key": "a"}],
            event_type="orders.late",
            records_path=str(tmp_path),
            concurrency=1,
        )
        result = task.execute(make_context())
    assert result["delivered"] == 2
    assert [json.loads(one.partition(b"\r\n\r\n")[2])["event_action"] for one in receiver.requests] == [
        "trigger",
        "resolve",
    ]
    records = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    assert "you_sent" in records
    assert KEY not in records + json.dumps(result)
