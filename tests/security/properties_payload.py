# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Payloads: any value becomes JSON that is equal to it, or an error that names the field."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid

from hypothesis import strategies as st

from airflow_provider_hooks.events import build_event_alert, build_event_created, serialize
from airflow_provider_hooks.exceptions import PayloadError, ValidationError
from tests.security.properties_data import (
    PropertyTable,
    call_expecting,
    json_values,
    make_property,
    mutations_of,
    nest,
    scalars,
    texts,
)

BUILDERS = {"created": build_event_created, "alert": build_event_alert}
LOCAL = "Zq7-local-9Xw"
"""The value of a local variable in a stack frame, which is never sent."""
PAYLOAD = {
    "id": "abc123def456",
    "project": "my-project",
    "project_id": "1",
    "project_name": "My Project",
    "culprit": "app.views.index in get",
    "message": "It broke",
    "url": "https://sentry.example.com/issues/12345/",
    "level": "error",
    "logger": "",
    "datetime": "2024-01-01T12:00:00.000Z",
    "event": {
        "event_id": "abc123def456",
        "platform": "python",
        "timestamp": 1704067200.0,
        "tags": [["environment", "production"]],
        "exception": {"values": [{"type": "TypeError", "value": "x", "stacktrace": {"frames": [{"lineno": 1}]}}]},
    },
}
ALERT = {name: value for name, value in PAYLOAD.items() if name not in {"logger", "datetime", "event"}} | {
    "triggering_rules": ["Rule"]
}
SENTRY_EVENT = {
    "event_id": "abc123def456",
    "logentry": {"formatted": "It broke", "message": "It %s"},
    "timestamp": "2024-01-01T12:00:00Z",
    "environment": "production",
    "tags": {"a": "b"},
    "exception": {
        "values": [
            {
                "type": "TypeError",
                "value": "x",
                "stacktrace": {"frames": [{"module": "m", "function": "f", "in_app": True, "vars": {"a": LOCAL}}]},
            }
        ]
    },
    **{name: PAYLOAD[name] for name in ("project", "project_id", "project_name", "url", "level")},
}
UNSIGNED_EVENT = {name: value for name, value in SENTRY_EVENT.items() if name != "logentry"}


class Color(enum.Enum):
    """Members with values that JSON can represent, and with values that it cannot."""

    TEXT = "red"
    LIST = [1, 2]
    NOT_A_NUMBER = float("nan")
    BYTES = b"red"


def make_cycle(value: object) -> object:
    """Return a list that contains a value and itself."""
    cycle: list[object] = [value]
    cycle.append(cycle)
    return cycle


objects = st.one_of(
    st.sampled_from(list(Color)),
    st.uuids(),
    st.datetimes(),
    st.decimals(),
    st.binary(max_size=8),
    st.sampled_from([254, 255, 300, 100_000]).map(nest),
    st.just(10).map(lambda ten: ten**5_000),
    st.frozensets(st.integers(), max_size=2),
    st.builds(object),
)
values = st.recursive(
    scalars | objects,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts | scalars | st.sampled_from(Color), inner, max_size=4),
        inner.map(make_cycle),
    ),
    max_leaves=12,
)
"""Values that a Dag author may pass by mistake, in addition to JSON."""

plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=20),
        st.uuids(),
        st.sampled_from([Color.TEXT, Color.LIST]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=8), inner, max_size=4),
    ),
    max_leaves=15,
)
"""Values that ``serialize`` must accept."""
plain_events = st.dictionaries(st.text(max_size=8), plain, max_size=4)
unusual_values = st.sampled_from([float("nan"), float("inf"), [float("-inf")], {"a": "\ud800"}]) | objects | values


def as_received(value: object) -> object:
    """Return a value as a receiver must parse it."""
    if isinstance(value, enum.Enum):
        return as_received(value.value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict):
        return {name: as_received(child) for name, child in value.items()}
    return [as_received(child) for child in value] if isinstance(value, list | tuple) else value


def is_equal(read: object, expected: object) -> bool:
    """Compare values and types: 1, 1.0 and True are equal in Python, but not for every receiver."""
    if type(read) is not type(expected):
        return False
    if isinstance(expected, dict):
        return list(read) == list(expected) and all(is_equal(read[name], expected[name]) for name in expected)
    if isinstance(expected, list):
        return len(read) == len(expected) and all(map(is_equal, read, expected))
    return read == expected


def check_serialize(*, event: object, limit: int) -> None:
    body, error = call_expecting(PayloadError, serialize, event, max_payload_bytes=limit)
    if error is not None:
        assert str(error).isprintable()
        assert len(str(error)) < 5_000
        return
    assert len(body) <= limit
    assert is_equal(json.loads(body), as_received(event))


def check_plain_payload(*, event: dict[str, object]) -> None:
    """A value that JSON can represent is never refused, and is equal when it is parsed."""
    assert is_equal(json.loads(serialize(event)), as_received(event))


def check_builder(*, name: str, source: object) -> None:
    """A source becomes a payload that can be sent, or every invalid field is named."""
    event, error = call_expecting(ValidationError, BUILDERS[name], source)
    if error is not None:
        assert str(error).isprintable()
        return
    try:
        body = serialize(event)
    except PayloadError:
        return
    assert is_equal(json.loads(body), as_received(event))
    assert LOCAL.encode() not in body


moments = st.one_of(
    st.datetimes(timezones=st.sampled_from([dt.timezone.utc, None, dt.timezone(dt.timedelta(hours=14))])),
    st.floats(),
    st.integers(),
    st.from_regex(r"[0-9]{1,4}[-/:W.0-9TZ+PD ]{0,24}", fullmatch=True),
    st.decimals(),
)
sources = mutations_of(PAYLOAD, ALERT, SENTRY_EVENT, UNSIGNED_EVENT)


@st.composite
def _with_objects(draw: st.DrawFn) -> dict[str, object]:
    """Draw a source with a value that is not JSON in a field that a builder reads."""
    source = dict(draw(st.sampled_from([PAYLOAD, ALERT, SENTRY_EVENT, UNSIGNED_EVENT, UNSIGNED_EVENT])))
    drawn = draw(objects | moments | values)
    place = draw(st.sampled_from([*source, "message", "timestamp", "tags", "exception", "of exception", "of frame"]))
    if place == "of exception":
        source["exception"] = {"values": [{"type": "E", "value": drawn}]}
    elif place == "of frame":
        frame = {"module": drawn, "function": "f"}
        source["exception"] = {"values": [{"type": "E", "value": "x", "stacktrace": {"frames": [frame]}}]}
    else:
        source[place] = drawn
    return source


PROPERTIES: PropertyTable = {
    "serialize_anything": make_property(
        check_serialize,
        event=st.builds(
            lambda event, name, value: {**event, name: value}, plain_events, st.text(max_size=5), unusual_values
        )
        | values,
        limit=st.sampled_from([1_048_576, 1_048_576, 100, 2, 0]) | st.integers(0, 300),
    ),
    "serialize_plain": make_property(check_plain_payload, event=plain_events),
    "builder_json": make_property(check_builder, name=st.sampled_from(sorted(BUILDERS)), source=sources | json_values),
    "builder_objects": make_property(
        check_builder,
        examples=[
            {"name": "created", "source": UNSIGNED_EVENT | {"exception": {"values": [{"type": "E", "value": value}]}}}
            for value in (10**5_000, nest(100_000))
        ],
        name=st.sampled_from(sorted(BUILDERS)),
        source=_with_objects(),
    ),
}
