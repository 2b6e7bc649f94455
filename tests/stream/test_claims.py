# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What a try does with what an earlier one left, whatever that is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import RecordError
from airflow_provider_hooks.stream.claims import (
    BatchSizer,
    Decision,
    SourceChangedError,
    State,
    StreamClaim,
    decide,
    read_stream_claim,
)
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
    "block": 2,
    "start": 512,
    "size": 256,
    "summary": {"outcomes": {"delivered": 512}},
}
BEGIN, REPORT, GO_ON, KEEP = Decision.BEGIN, Decision.REPORT_AND_GO_ON, Decision.GO_ON, Decision.KEEP


@pytest.mark.parametrize(
    ("state", "generation", "source", "decision"),
    [
        *(
            (state, "3", "v1", decision)
            for state, decision in (("claimed", REPORT), ("stopped", GO_ON), ("done", KEEP))
        ),
        ("done", "3", "v2", KEEP),
        ("claimed", "3", "v2", SourceChangedError),
        ("stopped", "3", "v2", SourceChangedError),
        *((state.value, "4", source, BEGIN) for state in State for source in ("v1", "v2")),
    ],
)
def test_what_was_found_decides(state, generation, source, decision):
    found = read_stream_claim({**CLAIM, "state": state})
    if decision is SourceChangedError:
        with pytest.raises(SourceChangedError, match="put them back"):
            decide(found, generation=generation, source=source)
    else:
        assert decide(found, generation=generation, source=source) is decision


def test_nothing_found_begins():
    assert read_stream_claim(None) is None
    assert decide(None, generation="3", source="v1") is BEGIN


def test_a_claim_that_was_kept_is_read_back_as_it_was():
    claim = StreamClaim(**CLAIM)
    assert read_stream_claim(json.loads(json.dumps(claim.as_json()))) == claim


@pytest.mark.parametrize("name", CLAIM)
def test_a_claim_without_a_field_or_with_another_type_is_refused(name):
    without = {key: value for key, value in CLAIM.items() if key != name}
    others = [{**CLAIM, name: value} for value in (None, [], 1.5, -1, object()) if value != CLAIM[name]]
    for kept in others if name == "summary" else [without, *others]:
        with pytest.raises(RecordError, match="nothing is sent"):
            read_stream_claim(kept)


@pytest.mark.parametrize(
    "kept", [{}, [], "", 0, False, "claimed", {**CLAIM, "more": 1}, {**CLAIM, "block": True}, {1: 2}]
)
def test_what_is_no_claim_is_refused(kept):
    with pytest.raises(RecordError):
        read_stream_claim(kept)


@relaxed
@given(kept=mutations_of(CLAIM) | json_values)
def test_anything_kept_is_a_claim_of_its_types_or_refused(kept):
    try:
        claim = read_stream_claim(kept)
    except RecordError:
        return
    assert claim is None or claim.as_json() == {"summary": {}, **kept}
    if claim is not None:
        assert claim.state in {"claimed", "stopped", "done"}
        assert min(claim.block, claim.start, claim.size, claim.try_number) >= 0
        decide(claim, generation="other", source="")


blocks = st.tuples(st.integers(0, 40_000), st.floats(0, 100), st.floats(0, 100))


@relaxed
@given(largest=st.integers(1, 40_000), blocks=st.lists(blocks, max_size=20))
def test_a_block_is_never_empty_never_too_large_and_grows_by_steps(largest, blocks):
    sizer = BatchSizer(largest=largest)
    for sent, seconds, claim_seconds in blocks:
        before = sizer.size
        sizer.learn(sent=sent, seconds=seconds, claim_seconds=claim_seconds)
        assert 1 <= sizer.size <= before * 8
        assert sizer.size <= largest or sizer.size == before


def test_claims_take_the_share_of_the_time_that_they_may():
    sizer, rate, cost = BatchSizer(largest=32_768), 10_000.0, 0.02
    for _ in range(10):
        sizer.learn(sent=sizer.size, seconds=sizer.size / rate, claim_seconds=cost)
    assert cost / (sizer.size / rate) == pytest.approx(sizer.share, rel=0.01)
