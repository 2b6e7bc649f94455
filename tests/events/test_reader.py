# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Lines of a stream in formats that copy the data: the fast path makes the same event as the slow path, or none."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.events.format_base import Format, Message
from airflow_provider_hooks.events.formats import FORMATS
from airflow_provider_hooks.events.reader import EventReader
from airflow_provider_hooks.exceptions import InvalidEventError
from tests.security.properties_data import json_values

COPYING = [name for name, row in FORMATS.items() if row.copies_data]
relaxed = settings(max_examples=300, deadline=None, derandomize=True)


def make_reader(name="standard_webhooks", *, id_field="id", type_field=None, size=100_000, **options):
    row = FORMATS[name] if isinstance(name, str) else name
    defaults = {"datetime": "2026-01-01T00:00:00Z", "source": "https://example.com/"}
    return EventReader(
        None if type_field else "orders.loaded",
        format=row,
        id_field=id_field,
        type_field=type_field,
        defaults=defaults,
        max_payload_bytes=size,
        **options,
    )


def read_slowly(reader: EventReader, line: bytes):
    """Read a line as a mapping, for which there is no fast path."""
    return reader.read_typed(orjson.loads(line))


def find_data(name: str, body: bytes) -> object:
    content = json.loads(body)
    return content if name in {"raw", "cloudevents_binary"} else content["data"]


def test_formats_that_do_not_read_the_data_copy_it():
    assert COPYING == ["standard_webhooks", "cloudevents", "cloudevents_binary", "raw"]


@pytest.mark.parametrize("name", COPYING)
@relaxed
@given(data=st.dictionaries(st.text(max_size=5), json_values, max_size=5), event_id=st.from_regex(r"[a-z0-9-]{1,9}"))
def test_line_and_its_mapping_make_the_same_event(name, data, event_id):
    try:
        line = orjson.dumps({**data, "id": event_id})
    except orjson.JSONEncodeError:
        return
    reader = make_reader(name)
    try:
        event_type, found, body, headers = read_slowly(reader, line)
    except InvalidEventError:
        with pytest.raises(InvalidEventError):
            reader.read_typed(line)
        return
    copied = reader.read_typed(line)
    assert (copied[0], copied[1], copied[3]) == (event_type, found, headers)
    assert json.loads(copied[2]) == json.loads(body)


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


@relaxed
@given(
    parts=st.lists(
        st.sampled_from(
            [
                *(
                    b'{"id":"a",',
                    b'"x":',
                    b"1",
                    b'"',
                    b"}",
                    b"{",
                    b"[",
                    b"]",
                    b",",
                    b":",
                    b"null",
                    b"NaN",
                    b"1e5",
                    b"-0",
                ),
                *(b"01", b".5", b"\\u0041", b"\\ud800", b"\\q", b"\xff", b"\xc3\xbc", b"\x00", b"\t", b" ", b"true"),
                *(b"Infinity", b"/*x*/", b"'a'", b"1e999", b"123456789012345678901234567890", b'"y":2}', b'"id":7'),
            ]
        ),
        max_size=10,
    )
)
def test_accepted_line_is_sent_as_strict_json(parts):
    line = b"".join(parts)
    reader = make_reader()
    try:
        _, event_id, body, _ = reader.read_typed(line)
    except InvalidEventError:
        return
    content = json.loads(body.decode(), parse_constant=refuse_constant)
    assert content["data"] == json.loads(line)
    assert event_id == str(content["data"]["id"])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"a":1}', "has no id"),
        (b'{"id":null}', "has no id"),
        (b'{"id":"a b"}', "the id of the event must be"),
        (b'{"id":"a","x":"\xff"}', "not JSON"),
        (b'{"id":"a","x":NaN}', "not JSON"),
        (b'{"id":"a"} x', "not JSON"),
        (b'{"id":"a","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "not JSON|nested|cannot be read"),
        (b'{"id":"a","x":"' + b"y" * 200_000 + b'"}', "over max_payload_bytes=100000"),
    ],
)
def test_invalid_line_is_refused_with_its_problem(line, problem):
    with pytest.raises(InvalidEventError, match=problem):
        make_reader().read_typed(line)


def test_numbers_are_sent_with_all_their_digits():
    line = b'  {"id": "a", "amount": 123456789012345678901234567890, "price": 0.10}\r'
    _, _, body, _ = make_reader("raw").read_typed(line)
    assert body == b'{"id": "a", "amount": 123456789012345678901234567890, "price": 0.10}'


@pytest.mark.parametrize("name", ['or"der', "back\\slash", "\x00", "ü", ""])
def test_id_field_can_have_any_name(name):
    line = json.dumps({name: "order-7"}).encode()
    assert make_reader(id_field=name).read_typed(line)[1] == "order-7"


@pytest.mark.parametrize(("id_field", "event_id"), [("id", "a"), ("kind", "late")])
def test_type_field_is_read(id_field, event_id):
    event_type, found, body, _ = make_reader(type_field="kind", id_field=id_field).read_typed(
        b'{"id":"a","kind":"late"}'
    )
    assert (event_type, found, json.loads(body)["type"]) == ("late", event_id, "late")


def test_format_that_reads_the_data_gets_the_parsed_object():
    class ReadingFormat(Format):
        name = "reading"
        title = description = "reads"

        def encode(self, event, *, max_payload_bytes=1_000):
            return Message(event.data["id"].encode())

    assert make_reader(ReadingFormat()).read_typed(b'{"id":"a"}')[2] == b"a"
