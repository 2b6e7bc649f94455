# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import collections
import datetime as dt
import decimal
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.events import build_event_created, serialize
from airflow_provider_hooks.events.serialization import MAX_DEPTH
from airflow_provider_hooks.exceptions import PayloadError
from tests.events_data import CREATED


def nest(levels: int) -> object:
    value: object = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_documented_payload_becomes_compact_utf8_json_in_order():
    body = serialize(build_event_created(CREATED, message="größer"))
    assert json.loads(body) == {**CREATED, "message": "größer", "event": {**CREATED["event"], "message": "größer"}}
    assert body.startswith(b'{"id":"abc123def456","project":')
    assert "größer".encode() in body


def cycle() -> dict[str, object]:
    value: dict[str, object] = {}
    value["again"] = [value]
    return value


class Text(str):
    """A subclass of str."""


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        (float("nan"), "a.b", "nan"),
        (float("inf"), "a.b", "inf"),
        ([1, {"c": float("-inf")}], "a.b[1].c", "-inf"),
        ("\ud800", "a.b", "surrogate"),
        ({"\udfff": 1}, "a.b", "key"),
        ({1: 2}, "a.b", "key"),
        (dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), "a.b", "datetime"),
        (decimal.Decimal(1), "a.b", "Decimal"),
        (b"bytes", "a.b", "bytes"),
        ({1, 2}, "a.b", "set"),
        (Text("x"), "a.b", "Text"),
        (10**5000, "a.b", "64 bits"),
        (-(2**63) - 1, "a.b", "64 bits"),
        (cycle(), "a.b.again[0]", "contains itself"),
        (nest(100_000), "a.b[0]", "deep"),
        (collections.OrderedDict(x=1), "a.b", "OrderedDict"),
        ({10**5000: 1}, "a.b", "key"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_that_json_cannot_represent_is_refused_with_its_field(value, path, problem):
    with pytest.raises(PayloadError) as caught:
        serialize({"a": {"b": value}})
    (field, found_problem), *_ = caught.value.problems.items()
    assert field.startswith(path)
    assert problem in found_problem
    assert len(str(caught.value)) < 2_000


def test_all_invalid_fields_are_named():
    with pytest.raises(PayloadError) as caught:
        serialize({"a": float("nan"), "b": None, "c": [{}, b""]})
    assert set(caught.value.problems) == {"a", "c[1]"}


def test_null_is_sent_unchanged():
    assert serialize({"a": None, "b": "null"}) == b'{"a":null,"b":"null"}'


def test_maximum_depth_is_the_depth_that_can_be_encoded():
    assert serialize({"a": nest(MAX_DEPTH - 1), "b": None})
    with pytest.raises(PayloadError, match="deep"):
        serialize({"a": nest(MAX_DEPTH), "b": None})
    with pytest.raises(PayloadError, match="deep"):
        serialize({"a": nest(MAX_DEPTH + 1)})


def test_payload_over_the_limit_is_refused_with_its_largest_field():
    body = serialize({"small": "x", "large": "y" * 100})
    assert serialize({"small": "x", "large": "y" * 100}, max_payload_bytes=len(body)) == body
    with pytest.raises(PayloadError, match=f"large: the payload has {len(body)} bytes"):
        serialize({"small": "x", "large": "y" * 100}, max_payload_bytes=len(body) - 1)


def test_search_for_invalid_values_takes_bounded_time():
    value: object = "x"
    for _ in range(40):
        value = [value, value]
    started = time.thread_time()
    with pytest.raises(PayloadError):
        serialize({"a": object(), "b": value})
    assert time.thread_time() - started < 10


def test_empty_payload_over_the_limit_is_refused():
    with pytest.raises(PayloadError, match="over max_payload_bytes=1"):
        serialize({}, max_payload_bytes=1)


@pytest.mark.parametrize("event", [[], "x", None, 7])
def test_event_that_is_not_a_dict_is_refused(event):
    with pytest.raises(PayloadError, match="must be a dict"):
        serialize(event)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(st.characters())),
    lambda children: st.one_of(st.lists(children), st.dictionaries(st.text(st.characters()), children)),
    max_leaves=20,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), json_values))
def test_payload_is_serialized_without_loss_or_refused(event):
    try:
        body = serialize(event)
    except PayloadError:
        return
    assert json.loads(body) == event
