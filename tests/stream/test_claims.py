# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Claims of streams: the action of a try that finds one, the format of stored claims, and the size of batches."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.exceptions import RecordError
from airflow_provider_hooks.stream.claims import (
    BatchSizer,
    SourceChangedError,
    StreamAction,
    StreamClaim,
    UnsentEvent,
    next_stream_action,
)
from tests.airflow_context import StateStore
from tests.security.properties_data import json_values, mutations_of

relaxed = settings(max_examples=100, deadline=None, derandomize=True)
CLAIM = {
    "state": "claimed",
    "generation": "3",
    "try_number": 1,
    "owner_token": "n",
    "redelivery": False,
    "source": "v1",
    "records": "/records",
    "batch": 2,
    "start": 512,
    "size": 256,
    "unsent": [[3, 1, "not_sent"], [500, 2, "unknown"]],
    "unrecorded": {"delivered": [7, 9]},
    "summary": {"outcomes": {"delivered": 512}},
}
OPTIONAL = {"summary", "unrecorded", "unsent"}
STATES = ("claimed", "resending", "stopped", "done")
BEGIN, REPORT = StreamAction.BEGIN, StreamAction.REPORT_AND_RESUME
RESUME, RETURN = StreamAction.RESUME, StreamAction.RETURN_RECORDED


class AnyStore(StateStore):
    """A task state store that always returns a given value."""

    def __init__(self, stored: object) -> None:
        super().__init__()
        self._stored = stored

    def get(self, key, default=None):
        return self._stored


def read_stream_claim(stored: object) -> StreamClaim | None:
    return TaskStateClaimStore(AnyStore(stored), "key", StreamClaim).load()


def to_json(claim: StreamClaim) -> object:
    return json.loads(msgspec.json.encode(claim))


@pytest.mark.parametrize(
    ("state", "generation", "source", "action"),
    [
        *((state, "3", "v1", action) for state, action in zip(STATES, (REPORT, REPORT, RESUME, RETURN), strict=True)),
        ("done", "3", "v2", RETURN),
        *((state, "3", "v2", SourceChangedError) for state in STATES[:3]),
        *((state, "4", source, BEGIN) for state in STATES for source in ("v1", "v2")),
    ],
)
def test_next_action_depends_on_state_generation_and_source(state, generation, source, action):
    found = read_stream_claim({**CLAIM, "state": state})
    if action is SourceChangedError:
        with pytest.raises(SourceChangedError, match="restore them"):
            next_stream_action(found, generation=generation, source=source)
    else:
        assert next_stream_action(found, generation=generation, source=source) is action


def test_stream_without_a_claim_begins():
    assert read_stream_claim(None) is None
    assert next_stream_action(None, generation="3", source="v1") is BEGIN


def test_stored_claim_survives_a_round_trip():
    claim = StreamClaim(
        **{**CLAIM, "unsent": (UnsentEvent(3), UnsentEvent(500, 2, "unknown")), "unrecorded": {"delivered": (7, 9)}}
    )
    assert to_json(claim) == CLAIM
    assert read_stream_claim(to_json(claim)) == claim


@pytest.mark.parametrize("name", CLAIM)
def test_claim_with_a_missing_field_or_a_wrong_type_is_refused(name):
    without = {key: value for key, value in CLAIM.items() if key != name}
    wrong = [{**CLAIM, name: value} for value in (None, [], 1.5, -1, object()) if value != CLAIM[name]]
    for stored in [item for item in wrong if item[name] != [] or name != "unsent"] + [without] * (name not in OPTIONAL):
        with pytest.raises(RecordError, match="nothing is sent"):
            read_stream_claim(stored)


@pytest.mark.parametrize(
    "stored", [{}, [], "", 0, False, "claimed", {**CLAIM, "more": 1}, {**CLAIM, "batch": True}, {1: 2}]
)
def test_value_that_is_not_a_claim_is_refused(stored):
    with pytest.raises(RecordError):
        read_stream_claim(stored)


@relaxed
@given(stored=mutations_of(CLAIM) | json_values)
def test_any_stored_value_is_a_valid_claim_or_is_refused(stored):
    try:
        claim = read_stream_claim(stored)
    except RecordError:
        return
    if claim is not None:
        assert {**to_json(claim), "unsent": []} == {"summary": {}, "unrecorded": {}, **stored, "unsent": []}
        assert read_stream_claim(to_json(claim)) == claim
        assert claim.state in STATES
        assert (
            min(claim.batch, claim.start, claim.size, claim.try_number, *(event.offset for event in claim.unsent)) >= 0
        )
        next_stream_action(claim, generation="other", source="")


@pytest.mark.parametrize(
    ("outcomes", "previous"),
    [
        (["not_sent", "not_sent"], "not_sent"),
        (["rejected", "not_sent"], "rejected"),
        (["unknown", "rejected", "not_sent"], "unknown"),
        (["not_sent", "unknown"], "unknown"),
    ],
)
def test_most_significant_outcome_of_several_attempts_is_stored(outcomes, previous):
    event = UnsentEvent(7, 0)
    for outcome in outcomes:
        event = event.attempted(outcome)
    assert event == UnsentEvent(7, len(outcomes), previous)


observed_batch = st.tuples(st.integers(0, 40_000), st.floats(0, 100), st.floats(0, 100))


@relaxed
@given(
    largest=st.integers(1, 40_000),
    concurrency=st.integers(1, 4_096),
    rate_limit=st.none() | st.floats(0.001, 1e6),
    batches=st.lists(observed_batch, max_size=20),
)
def test_batch_size_is_bounded_and_grows_at_most_eightfold(largest, concurrency, rate_limit, batches):
    sizer = BatchSizer(largest=largest, concurrency=concurrency, rate_limit=rate_limit)
    for sent, seconds, claim_seconds in batches:
        before = sizer.size
        sizer.observe(sent=sent, seconds=seconds, claim_seconds=claim_seconds)
        assert 1 <= sizer.size <= before * 8
        assert sizer.size <= largest or sizer.size == before


def test_batch_size_limits_the_share_of_time_spent_on_claims():
    sizer, rate, cost = BatchSizer(largest=32_768), 10_000.0, 0.02
    for _ in range(10):
        sizer.observe(sent=sizer.size, seconds=sizer.size / rate, claim_seconds=cost)
    assert cost / (sizer.size / rate) == pytest.approx(sizer.share, rel=0.01)


@pytest.mark.parametrize("claim_seconds", [0.0, 0.0001, 0.02])
@pytest.mark.parametrize("latency", [0.001, 0.05, 2.0])
def test_batch_for_a_slow_receiver_is_several_times_the_concurrency(latency, claim_seconds):
    sizer = BatchSizer(largest=32_768, concurrency=64)
    for _ in range(10):
        sizer.observe(sent=sizer.size, seconds=latency * max(1.0, sizer.size / 64), claim_seconds=claim_seconds)
    assert sizer.size >= 4 * 64


@pytest.mark.parametrize(("rate_limit", "size"), [(0.1, 1), (10.0, 10), (200.0, 200), (1_000.0, 256)])
def test_batch_has_at_most_one_second_of_events_at_a_low_rate_limit(rate_limit, size):
    sizer = BatchSizer(largest=32_768, concurrency=64, rate_limit=rate_limit)
    for _ in range(10):
        sizer.observe(sent=sizer.size, seconds=sizer.size / rate_limit, claim_seconds=0.0001)
    assert sizer.size == size
