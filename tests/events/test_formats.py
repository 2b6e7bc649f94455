# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Every format with events of every type."""

from __future__ import annotations

import datetime as dt
import json
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks import entry_points
from airflow_provider_hooks.events import build_event_alert, build_event_created
from airflow_provider_hooks.events.event import Event, OwnEventDraft
from airflow_provider_hooks.events.formats import FORMATS, Format, Message, encode_event, find_format
from airflow_provider_hooks.events.reader import EventReader
from airflow_provider_hooks.events.types import check_event_type
from airflow_provider_hooks.exceptions import InvalidEventError, PayloadError, ValidationError
from tests.events_data import ALERT, CREATED

relaxed = settings(max_examples=100, deadline=None, derandomize=True)
EVENT = Event(
    type="orders.loaded",
    id="order-7",
    occurred_at="2026-01-01T12:00:00.000Z",
    source="https://airflow.example.com/dags/orders",
    data={"orders": 12, "names": ["é"]},
)
DEFAULTS = {
    "id": "made",
    "datetime": dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc),
    "source": "https://a.example/",
}
OTHERS = ("standard_webhooks", "cloudevents", "cloudevents_binary", "raw")


def encode(event, name: str | None = None, *, event_type: str | None = None, size: int = 10_000):
    event_type = event_type or event.type
    return encode_event(event_type, event, format_name=name, max_payload_bytes=size)


def draft(**options) -> OwnEventDraft:
    return OwnEventDraft(**{"event_type": "orders.loaded", "data": {"orders": 12}, "defaults": DEFAULTS, **options})


def test_default_format_of_own_events_is_standard_webhooks():
    encoded = encode(EVENT)
    assert json.loads(encoded.body) == {
        "type": "orders.loaded",
        "timestamp": "2026-01-01T12:00:00.000Z",
        "data": {"orders": 12, "names": ["é"]},
    }
    assert (encoded.id, encoded.content_type, dict(encoded.headers)) == ("order-7", "application/json", {})


def test_a_cloud_event_has_its_attributes_next_to_the_data():
    encoded = encode(EVENT, "cloudevents")
    assert encoded.content_type == "application/cloudevents+json"
    assert json.loads(encoded.body) == {
        "specversion": "1.0",
        "id": "order-7",
        "source": "https://airflow.example.com/dags/orders",
        "type": "orders.loaded",
        "time": "2026-01-01T12:00:00.000Z",
        "datacontenttype": "application/json",
        "data": {"orders": 12, "names": ["é"]},
    }


def test_a_binary_cloud_event_has_its_attributes_in_headers():
    encoded = encode(EVENT, "cloudevents_binary")
    assert json.loads(encoded.body) == EVENT.data
    assert dict(encoded.headers) == {
        "ce-specversion": "1.0",
        "ce-id": "order-7",
        "ce-source": "https://airflow.example.com/dags/orders",
        "ce-type": "orders.loaded",
        "ce-time": "2026-01-01T12:00:00.000Z",
    }
    assert set(encoded.headers) == set(encoded.header_names)


@relaxed
@given(st.text(max_size=50))
def test_headers_of_a_cloud_event_are_printable_ascii_for_any_source(source):
    event = Event(type="a", id="b", occurred_at=None, source=source, data=None)
    for text in encode(event, "cloudevents_binary").headers.values():
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text


def test_raw_is_exactly_the_data():
    assert encode(EVENT, "raw").body == '{"orders":12,"names":["é"]}'.encode()
    assert encode(Event(type="a", id="b", occurred_at=None, source="", data=None), "raw").body == b"null"


@pytest.mark.parametrize(("event_type", "payload"), [("event.created", CREATED), ("event.alert", ALERT)])
def test_documented_payload_is_the_default_body_and_the_data_of_other_formats(event_type, payload):
    built = build_event_created(payload) if event_type == "event.created" else build_event_alert(payload)
    assert encode(built, event_type=event_type).body == json.dumps(built, separators=(",", ":")).encode()
    for name in ("standard_webhooks", "cloudevents"):
        body = json.loads(encode(built, name, event_type=event_type).body)
        assert (body["type"], body["data"]) == (event_type, built)
        assert body.get("timestamp") or body["time"]


def test_sentry_format_refuses_own_events():
    with pytest.raises(ValidationError, match=r"format: sentry has only event.created and event.alert"):
        encode(EVENT, "sentry")


def test_unknown_format_is_refused_with_the_available_ones():
    with pytest.raises(ValidationError, match=r"format: must be one of sentry, standard_webhooks, .*, not 'soap'"):
        encode(EVENT, "soap")


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("data", [float("nan"), {1: 2}, object(), ["\ud800"], 2**70])
def test_data_that_json_cannot_represent_is_refused(name, data):
    with pytest.raises(PayloadError):
        encode(Event(type="a", id="b", occurred_at=None, source="", data=data), name)


@pytest.mark.parametrize("name", OTHERS)
def test_a_body_over_the_limit_is_refused(name):
    with pytest.raises(PayloadError, match="max_payload_bytes=100"):
        encode(Event(type="a", id="b", occurred_at=None, source="", data=["x" * 200]), name, size=100)


# Drafts


def test_a_draft_uses_its_defaults():
    event = draft().build()
    assert (event.id, event.occurred_at, event.source) == ("made", "2026-01-01T12:00:00.000Z", "https://a.example/")
    given = draft(event_id="order-7", occurred_at="2026-02-03T04:05:06+01:00").build()
    assert (given.id, given.occurred_at) == ("order-7", "2026-02-03T03:05:06.000Z")


@pytest.mark.parametrize("event_type", ["", "orders loaded", "ö", "x" * 129, "a/b", "a\n", None, 7])
def test_invalid_event_type_is_refused(event_type):
    with pytest.raises(ValueError, match="must be 1 to 128 letters"):
        check_event_type(event_type)
    with pytest.raises(ValidationError, match=r"event_type: must be 1 to 128"):
        draft(event_type=event_type).build()


@pytest.mark.parametrize("event_type", ["orders.loaded", "a", "A-b_c.9", "x" * 128])
def test_event_type_can_have_letters_digits_and_punctuation(event_type):
    assert draft(event_type=event_type).build().type == event_type


def test_all_invalid_arguments_are_named_in_one_error():
    with pytest.raises(ValidationError) as caught:
        draft(event_type="event.alert", event_id="a b", occurred_at="soon").build()
    assert set(caught.value.problems) == {"event_type", "event_id", "occurred_at"}
    assert "use its own operator" in caught.value.problems["event_type"]


SCHEMA = {
    "type": "object",
    "properties": {"orders": {"type": "integer", "minimum": 1}, "lines": {"items": {"required": ["sku"]}}},
    "required": ["orders"],
}


def test_data_that_matches_its_schema_is_built():
    assert draft(data={"orders": 1, "lines": [{"sku": "a"}]}, schema=SCHEMA).build().data["orders"] == 1


def test_each_violation_of_the_schema_is_named_with_its_path():
    with pytest.raises(ValidationError) as caught:
        draft(data={"orders": 0, "lines": [{"sku": "a"}, {}]}, schema=SCHEMA).build()
    assert caught.value.problems == {
        "data.orders": "0 is less than the minimum of 1",
        "data.lines[1]": "'sku' is a required property",
    }


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "thing"}, "is not a JSON Schema"),
        ({"$ref": "http://169.254.169.254/latest"}, "has a reference that is not in it"),
        ("text", "must be a JSON Schema as a mapping"),
    ],
)
def test_invalid_schema_is_refused_and_references_are_not_fetched(schema, problem):
    with pytest.raises(ValidationError, match=f"schema: {problem}"):
        draft(schema=schema).build()


# Streams


def make_reader(event_type: str = "orders.loaded", name: str | None = None, **options) -> EventReader:
    options = {"id_field": "id", "defaults": DEFAULTS, "max_payload_bytes": 1_000, **options}
    return EventReader(event_type, format=find_format(name, event_type), **options)


@pytest.mark.parametrize("line", [b'{"id":"order-7","orders":12}', {"id": "order-7", "orders": 12}])
def test_any_json_object_with_an_id_is_an_event(line):
    event_id, body, headers = make_reader().read(line)
    assert (event_id, dict(headers)) == ("order-7", {})
    assert json.loads(body)["data"] == {"id": "order-7", "orders": 12}


def test_id_field_can_be_set():
    assert make_reader(id_field="order").read(b'{"order":"7"}')[0] == "7"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[]", "must be a JSON object"),
        (b"{", "is not JSON"),
        (b"{}", "has no id"),
        (b'{"id":"a b"}', "the id of the event must be"),
        (b'{"id":"a","x":"%s"}' % (b"x" * 1_000), "max_payload_bytes"),
        ({"id": "a", "x": object()}, "x"),
    ],
)
def test_invalid_line_is_refused(line, problem):
    with pytest.raises(InvalidEventError, match=problem):
        make_reader().read(line)


def test_documented_event_in_another_format_is_built_and_wrapped():
    reader = make_reader("event.created", "cloudevents", max_payload_bytes=10_000)
    event_id, body, _ = reader.read(json.dumps(CREATED).encode())
    assert (event_id, json.loads(body)["data"]) == (CREATED["id"], build_event_created(CREATED))


# Formats of other packages


class TextFormat(Format):
    name = "text"
    description = "One line of text"
    content_type = "text/plain"

    def encode(self, event, *, max_payload_bytes=0):
        return Message(f"{event.type}: {event.data}".encode())


def test_another_package_adds_a_format(monkeypatch):
    found = [EntryPoint("text", f"{__name__}:TextFormat", "group"), EntryPoint("bad", f"{__name__}:DEFAULTS", "group")]
    monkeypatch.setattr(entry_points.metadata, "entry_points", lambda group: found)
    monkeypatch.setattr(FORMATS, "_all", None)
    encoded = encode(EVENT, "text")
    monkeypatch.undo()
    FORMATS._all = None
    assert (encoded.content_type, encoded.body) == (
        "text/plain",
        b"orders.loaded: {'orders': 12, 'names': ['\xc3\xa9']}",
    )
