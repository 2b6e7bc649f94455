# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The fast path from a line to a body: it accepts nothing that the builders refuse, and returns the same bytes."""

from __future__ import annotations

import copy
import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.events import build_event_alert, build_event_created, serialize
from airflow_provider_hooks.events.serialization import PayloadReader
from airflow_provider_hooks.exceptions import InvalidEventError, ValidationError
from tests.events_data import ALERT, CREATED, FIELDS
from tests.security.properties_data import json_values, mutations_of, nest

LIMIT = 1_048_576
BUILDERS = {"event.created": build_event_created, "event.alert": build_event_alert}
DOCUMENTED = {"event.created": CREATED, "event.alert": ALERT}
READERS = {event_type: PayloadReader(event_type, max_payload_bytes=LIMIT) for event_type in BUILDERS}


def read(event_type: str, event: object):
    """Return the event's id and body, or ``None`` if it is refused; any other exception fails the test."""
    try:
        return tuple(READERS[event_type].read(event)[:2])
    except InvalidEventError:
        return None


def build(event_type: str, line: bytes):
    """Return the event's id and body as the builders make them, or ``None`` if they refuse the line."""
    try:
        payload = BUILDERS[event_type](orjson.loads(line))
        return payload["id"], serialize(payload, max_payload_bytes=LIMIT)
    except (orjson.JSONDecodeError, ValidationError):
        return None


def check(event_type: str, line: bytes) -> None:
    assert read(event_type, line) == build(event_type, line), line


def encode(value: object) -> bytes:
    """Write JSON with extensions: NaN, lone surrogates as escapes, integers of any length."""
    return json.dumps(value).encode()


def replace_value(event_type: str, path: tuple, value: object) -> bytes:
    event = copy.deepcopy(DOCUMENTED[event_type])
    holder = event
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return encode(event)


TEXTS = [
    "",
    " ",
    "\u00a0",
    "\u2003",
    "\u200b",
    "\ufeff",
    "\x1c",
    "\x85",
    "\ud800",
    "\udc00\ud800",
    "\x00",
    "\x7f",
    "é",
    "\U0001f600",
    '"',
    "\\",
    "/",
    "\u2028",
    "\t\r\n",
    "\b\f",
    "x" * 300,
    "x\x00",
    None,
    1,
    1.5,
    True,
    [],
    {},
    ["x"],
]
"""Values for fields that are documented as text."""
DATETIMES = [
    "2026-13-21T10:00:00.000Z", "2026-02-30T10:00:00.000Z", "2026-02-29T10:00:00.000Z", "2024-02-29T10:00:00.000Z",
    "2026-01-01T24:00:00.000Z", "2026-01-01T23:59:60.000Z", "2026-01-01T23:60:00.000Z", "0000-01-01T10:00:00.000Z",
    "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "1582-10-10T10:00:00.000Z", "2026-01-01t10:00:00.000z",
    "2026-01-01 10:00:00.000Z", "2026-01-01T10:00:00,000Z", "2026-01-01T10:00:00.000z", "2026-01-01T10:00:00.00ZZ",
    "2026-01-01T10:00:00.+01Z", "2026-01-01T10:00:00.-01Z", "2026-01-01T10:00:00. 00Z", "2026-01-01T10:00:00.0 0Z",
    "2026-W01-1T10:00:00.000Z", "2026-001T10:00:00.00000Z", "20260101T100000.0000000Z", "2026-01-01T10:00+01:0000",
    "2026-01-01T10:00:00.000+", "2026-01-01T10:00:00+0000", "2026-01-01T10:00:00.0000", "+026-01-01T10:00:00.000Z",
    "٢٠٢٦-01-01T10:00:00.000Z", "2026-01-01T１０:00:00.000Z", "2026-01-01T10:00:00.٠٠٠Z", "2026-01-01T10:00:00.000Ｚ",
    "2026-01-01T10:00:00.000Z ", " 2026-01-01T10:00:00.000Z", "2026-01-01T10:00:00.000\n", "2026-01-01T10:00:00Z",
    "2026-1--01T10:00:00.000Z", "2026-01-01T10:00:00.0\u0000Z", "2026-01-01T10:00:00.___Z",
    "2026-01-01T1_:00:00.000Z", "", "now", "x" * 24, "2026-01-01", 0, 1.7e9, None, True, [], "\ud800" * 24,
]  # fmt: skip
TIMESTAMPS = [
    *(0, -0.0, 0.0, -1, -0.001, 0.001, 0.0005, 1e-7, 5e-324, 1.0005, 1704067200, 1704067200.123, 1704067200.1234),
    *(1704067200.0004999, 253402300799, 253402300799.999, 253402300799.9999, 253402300800, 253402300800.001, 1e12),
    *(1e16, 1e308, 10**18, 10**40, 2**63, -(2**63), float("nan"), float("inf"), float("-inf"), "1704067200", "", None),
    *(True, False, [], {}, "2026-01-01T10:00:00.000Z"),
]  # fmt: skip
URLS = [
    "https://example.com/", "http://example.com/", "https://example.com", "HTTPS://EXAMPLE.COM/",
    "https://Example.com/", "https://example.com:0/", "https://example.com:99999/", "https://example.com:999999/",
    "https://example.com:/", "//x/", "https://./", "https://-/", "https://a..b/", "https:///x", "https://",
    "ftp://example.com/", "javascript:alert(1)", "https://u:p@example.com/", "https://example.com/@",
    "https://example.com/\\", "https://example.com/ ", " https://x/", "https://example.com/\n",
    "https://example.com/\x00", "https://example.com/\u00a0", "https://example.com/é", "x", "https://example.com/#f",
    "https://example.com?q=1", "https://[::1]/", "https://[::1", "https://[x]/", "https://é/", "https://１.com/",
    "https://example.com/%zz", "https://example.com/'\"<>", "https://example.com/" + "x" * 2_028,
    "https://example.com/" + "x" * 2_029, "https://example.com/[]", "https://example.com/a?b=c&d=%20+,;:@!$()*~_-.",
    "", "http://example.com/\u2028", "https://example.com/\ud800", "https://example.com/\t", None, 1, ["https://x/"],
]  # fmt: skip
TEXT_PATHS = [("id",), ("project",), ("project_id",), ("project_name",), ("culprit",), ("message",), ("level",)]
CREATED_PATHS = [
    *(("logger",), ("event", "event_id"), ("event", "message"), ("event", "level"), ("event", "platform")),
    ("event", "exception", "values", 0, "type"),
    ("event", "exception", "values", 0, "value"),
    ("event", "tags", 0, 0),
    ("event", "tags", 1, 1),
]  # fmt: skip
PARTS = [
    None, [], {}, "x", 0, [None], [[]], [["a"]], [["a", "b"]], [["a", "b", "c"]], [["a", 1]], {"a": "b"},
    [{"a": "b"}], {"values": []}, {"values": None}, {"values": [{}]}, {"values": [{"type": "T", "value": "v"}]},
    {"frames": []}, {"frames": None}, {"frames": [{}]}, {"frames": [{"vars": {"a": 1}, "lineno": 1}]},
    {"frames": [None]}, {"frames": {}}, {"values": [{"type": None, "value": None, "stacktrace": None}]},
    {"frames": [], "more": 1},
]  # fmt: skip
PART_PATHS = [
    ("event",),
    ("event", "tags"),
    ("event", "exception"),
    ("event", "exception", "values"),
    ("event", "exception", "values", 0),
    ("event", "exception", "values", 0, "stacktrace"),
]


def list_changes():
    """Yield every change of the tables: the event's type, the path, the value."""
    for event_type in BUILDERS:
        yield from ((event_type, path, value) for path in TEXT_PATHS for value in TEXTS)
        yield from ((event_type, ("url",), value) for value in URLS)
    yield from (("event.created", path, value) for path in CREATED_PATHS for value in TEXTS)
    yield from (("event.created", ("datetime",), value) for value in DATETIMES)
    yield from (("event.created", ("event", "timestamp"), value) for value in TIMESTAMPS)
    yield from (("event.created", path, value) for path in PART_PATHS for value in PARTS)
    rules = [[], [""], [" "], ["\u00a0"], ["a", " "], ["a", "b"], ["\ud800"], [None], "a", None, {}, [[]]]
    yield from (("event.alert", ("triggering_rules",), value) for value in rules)


def check_all(changes) -> None:
    failed = []
    for event_type, path, value in changes:
        line = replace_value(event_type, path, value)
        fast, built = read(event_type, line), build(event_type, line)
        if fast != built:
            failed.append((event_type, path, value, fast, built))
    assert failed == []


@pytest.mark.parametrize("event_type", BUILDERS)
def test_documented_payload_is_sent_unchanged(event_type):
    body = orjson.dumps(DOCUMENTED[event_type])
    for line in (body, b" " + body + b" \r", encode(DOCUMENTED[event_type]), json.dumps(CREATED, indent=2).encode()):
        check(event_type, line)
    assert read(event_type, body) == ("abc123def456", body)


def test_values_are_refused_and_changed_like_by_the_builders():
    check_all(list_changes())


def test_documented_payload_is_read_without_the_builders(monkeypatch):
    def fail(*_arguments):
        raise AssertionError("the fast path was not used")

    monkeypatch.setattr(PayloadReader, "_build", fail)
    for event_type, event in DOCUMENTED.items():
        assert read(event_type, encode(event)) == (event["id"], orjson.dumps(event))


@pytest.mark.parametrize("event_type", BUILDERS)
def test_missing_and_additional_keys_are_handled_like_by_the_builders(event_type):
    for name in DOCUMENTED[event_type]:
        check(event_type, encode({key: value for key, value in DOCUMENTED[event_type].items() if key != name}))
    for name in ("", "extra", "Id", "event_id", "\ud800", "triggering_rules", "logger", "tags", "timestamp"):
        for value in (None, "x", 1.5, ["x"], {"a": 1}):
            check(event_type, encode({**DOCUMENTED[event_type], name: value}))
    assert read(event_type, encode({**DOCUMENTED[event_type], "extra": 1})) is None
    for inner in ("", "extra", "logger"):
        check("event.created", replace_value("event.created", ("event", inner), "x"))
        check("event.created", replace_value("event.created", ("event", "exception", inner), "x"))
        check("event.created", replace_value("event.created", ("event", "exception", "values", 0, inner), "x"))


@pytest.mark.parametrize("event_type", BUILDERS)
@pytest.mark.parametrize("values", [('"a b"', '"x"'), ('"x"', '"a b"'), ("1", '"x"'), ('"x"', "null"), ('"x"', '"y"')])
def test_duplicate_key_is_read_like_by_the_builders(event_type, values):
    event = {name: value for name, value in DOCUMENTED[event_type].items() if name not in {"id", "event"}}
    rest = encode(event)[1:]
    twice = ",".join(f'"id": {value}' for value in values).encode()
    inner = (
        b'"event": ' + encode({**CREATED["event"], "event_id": "x"}) + b"," if event_type == "event.created" else b""
    )
    for line in (b"{" + inner + twice + b"," + rest, b"{" + inner + rest[:-1] + b"," + twice + b"}"):
        check(event_type, line)


LINES = [
    b"", b" ", b"{", b"}", b"null", b"0", b'""', b"[]", b"{}", b"[" * 5_000, b"[" * 200_000, b'{"a":' * 2_000,
    b"\xff", b"\xef\xbb\xbf{}", b"NaN", b"{'id': 1}", b'{"id": "\xff"}', b'{"id": "\\ud800"}', b"\x00", b"\x1f\x8b",
    encode(CREATED)[:-1], encode(CREATED) + b"x", encode(CREATED) + encode(CREATED),
    encode(CREATED).decode().encode("utf-16"), b"1e999", b'{"id": 1e999}', b"9" * 5_000,
    b'{"id": ' + b"9" * 5_000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("event_type", BUILDERS)
def test_invalid_event_is_refused_with_invalid_event_error(event_type):
    for line in LINES:
        assert read(event_type, line) is None
    for event in (
        {},
        {"id": 10**5_000},
        {"id": object()},
        {1: 2},
        nest(3),
        "text",
        7,
        None,
        [CREATED],
    ):
        assert read(event_type, event) is None


@pytest.mark.parametrize(("event_type", "event"), DOCUMENTED.items())
def test_payload_over_the_limit_is_refused(event_type, event):
    size = len(orjson.dumps(event))
    for one in (encode(event), event):
        assert PayloadReader(event_type, max_payload_bytes=size).read(one)[1] == orjson.dumps(event)
        with pytest.raises(InvalidEventError, match="max_payload_bytes"):
            PayloadReader(event_type, max_payload_bytes=size - 1).read(one)


def test_fields_by_name_and_mappings_are_read_like_by_the_builders():
    fields = {**FIELDS, "datetime": "2026-01-01T12:00:00+02:00", "tags": {"a": "b"}}
    body = serialize(build_event_created(fields))
    assert read("event.created", encode(fields)) == read("event.created", fields) == ("abc123def456", body)
    alert = {**FIELDS, "triggering_rules": ("r",)}
    assert read("event.alert", alert) == ("abc123def456", serialize(build_event_alert(alert)))


values = st.sampled_from([*TEXTS, *DATETIMES, *TIMESTAMPS, *URLS, *PARTS]) | json_values
places = st.sampled_from(
    [
        *(("event.alert", path) for path in [*TEXT_PATHS, ("url",), ("triggering_rules",)]),
        *(("event.created", path) for path in [*TEXT_PATHS, *CREATED_PATHS, *PART_PATHS, ("url",), ("datetime",)]),
        *(("event.created", ("event", "timestamp")),) * 3,
    ]
)
relaxed = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@relaxed
@given(place=places, value=values)
def test_any_value_in_any_field_is_read_like_by_the_builders(place, value):
    check(place[0], replace_value(*place, value))


@relaxed
@given(event=mutations_of(CREATED, ALERT), event_type=st.sampled_from(sorted(BUILDERS)))
def test_mutated_payload_is_read_like_by_the_builders(event, event_type):
    check(event_type, encode(event))


cut_lines = st.builds(lambda cut, more: encode(CREATED)[:cut] + more, st.integers(0, 700), st.binary(max_size=5))


@relaxed
@given(line=st.binary(max_size=40) | cut_lines)
def test_any_bytes_are_read_like_by_the_builders(line):
    for event_type in BUILDERS:
        check(event_type, line)


moments = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9+Z: -]{3}Z", fullmatch=True
)


@relaxed
@given(text=moments, timestamp=st.floats() | st.integers(-10, 300_000_000_000).map(lambda n: n / 1000) | st.integers())
def test_any_time_of_the_documented_length_is_read_like_by_the_builders(text, timestamp):
    event = {**CREATED, "datetime": text, "event": {**CREATED["event"], "timestamp": timestamp}}
    check("event.created", encode(event))
