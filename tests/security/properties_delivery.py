# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Deliveries: responses are read within limits, and a claim that was changed by hand is refused."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from airflow_provider_hooks.delivery.claims import (
    CLAIMED,
    SETTLED,
    Claim,
    TryContext,
    make_claim,
    mark_delivered,
    merge_with_previous,
    next_action,
    record_claim,
    report_interrupted,
)
from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo, Record, parse_record, parse_stored
from airflow_provider_hooks.exceptions import RecordError
from airflow_provider_hooks.http.response import READ_BODY_BYTES, READ_HEADER_BYTES, ResponseReader
from airflow_provider_hooks.outcomes import Outcome
from tests.security.properties_data import PropertyTable, call_expecting, json_values, make_property, mutations_of

STORED_HEADERS = {"content-type", "content-length", "date", "location", "retry-after", "server", "x-request-id"}
FACTS = DeliveryInfo(
    delivery_id="5d8fbc09-b0a5-5c9c-8a8e-1f9f6f2c7a11",
    event_id="e1",
    event_type="event.created",
    endpoint="c",
    url="https://example.com/",
    scheme="sentry",
    body_sha256="0" * 64,
    body_bytes=10,
)
ANSWERED = Attempt(
    outcome=Outcome.REJECTED,
    requested_at="2026-01-01T00:00:00Z",
    duration_ms=1.5,
    status_code=500,
    response_headers={"server": "x"},
    response_body="no",
    message="m",
)
OPEN = Attempt(outcome=Outcome.UNKNOWN, requested_at="2026-01-01T00:00:00Z", duration_ms=1.5, message="m")
CLAIM = make_claim(None, info=FACTS, run=TryContext(generation="0", try_number=1), claimed_at="2026-01-01T00:00:00Z")
RECORDS = [
    Record(info=FACTS, generation="0", redelivery=False, attempt=answer).as_json() for answer in (ANSWERED, OPEN)
]
CLAIMS = [
    CLAIM.as_json(),
    *({**CLAIM.as_json(), "state": record["outcome"], "record": record} for record in RECORDS),
    *({**CLAIM.as_json(), "state": SETTLED, "record": record} for record in (*RECORDS, None)),
]

INVALID_CHANGES = ({"response_headers": None}, {"response_headers": ["server"]}, {"message": 7}, {"response_body": 7})
"""Invalid changes of a record, as by a user who edits it by hand."""

lines = st.one_of(
    st.sampled_from(
        [b"HTTP/1.1 200 OK\r\n", b"HTTP/2 204\r\n", b"HTTP/1.1 103 Early Hints\r\n", b"HTTP/0.9 99 x\r\n", b"\r\n",
         b"\n", b"HTTP/1.1 999\r\n", b"HTTP/1.1 0200 OK\r\n", b"Server: a\r\n", b"server: b\r\n", b"Location: /\r\n",
         b": x\r\n", b"Set-Cookie: s\r\n", b"Retry-After: 1e99\r\n", b" folded\r\n", b"\xff\xfe: \x00\r\n"]
    ),
    st.binary(max_size=40),
    st.builds(lambda name, size: name + b": " + b"x" * size + b"\r\n", st.sampled_from([b"Server", b"X"]),
              st.integers(0, READ_HEADER_BYTES + 100)),
)  # fmt: skip
parts = st.binary(max_size=30) | st.builds(
    lambda part, times: part * times, st.binary(min_size=1, max_size=4), st.integers(0, 60_000)
)


def read_claim(stored: object) -> Claim | None:
    return None if stored is None else parse_stored(stored, Claim, refusal="no")


def check_response(*, headers: list[bytes], body: list[bytes]) -> None:
    """What is read of a response is limited, and is the same for every split into parts."""
    reader, whole = ResponseReader(), ResponseReader()
    for part in (*headers, *body):
        reader.feed(part)
    whole.feed(b"".join((*headers, *body)))
    assert (reader.status, reader.headers, reader.body) == (whole.status, whole.headers, whole.body)
    if reader.status is None:
        assert not reader.headers
        assert not reader.body
        return
    assert sum(len(name) + len(value) for name, value in reader.headers.items()) <= READ_HEADER_BYTES
    assert set(reader.headers) <= STORED_HEADERS
    assert 200 <= reader.status <= 999
    assert len(reader.body) <= READ_BODY_BYTES


def check_claim(*, stored: object, generation: str, guarantee: str) -> None:
    """A stored value is a claim that every later step accepts, or it is refused."""
    claim, error = call_expecting(RecordError, read_claim, stored)
    if error is not None:
        assert str(error).isprintable()
        return
    if claim is None:
        assert stored is None
        return
    next_action(claim, generation=generation, policy=make_policy(guarantee=guarantee))
    assert read_claim(json.loads(json.dumps(claim.as_json()))) is not None
    second = make_claim(
        claim, info=FACTS, run=TryContext(generation=generation, try_number=2), claimed_at="2026-01-01T00:00:00Z"
    )
    assert second.state == CLAIMED
    merged = merge_with_previous(second, Attempt(outcome=Outcome.NOT_SENT, requested_at="", duration_ms=0.0))
    assert not second.may_have_arrived or merged.outcome is Outcome.UNKNOWN
    _check_reports(claim, generation=generation)


def _check_reports(claim: Claim, *, generation: str) -> None:
    try:
        record = report_interrupted(claim)
        settled, accepted = mark_delivered(claim, run=TryContext(generation=generation, try_number=2))
    except RecordError:
        return
    assert accepted.settled
    assert settled.state == Outcome.DELIVERED.value
    assert read_claim(settled.as_json()) == settled
    for one in (record, accepted):
        record_claim(claim, one)
        assert isinstance(one.summarize(), str)


def check_record(*, stored: object) -> None:
    """A record that is read can be summarized and stored again; any other value is refused."""
    try:
        record = parse_record(stored)
    except RecordError:
        return
    assert isinstance(record.summarize(), str)
    assert parse_record(record.as_json()) == record


PROPERTIES: PropertyTable = {
    "response_reader": make_property(
        check_response, headers=st.lists(lines, max_size=12), body=st.lists(parts, max_size=6)
    ),
    "claim": make_property(
        check_claim,
        examples=[
            {
                "stored": {**CLAIM.as_json(), "state": SETTLED, "record": RECORDS[1] | changes},
                "generation": "0",
                "guarantee": "at_most_once",
            }
            for changes in INVALID_CHANGES
        ],
        stored=mutations_of(*CLAIMS) | json_values,
        generation=st.sampled_from(["0", "1"]),
        guarantee=st.sampled_from(["at_most_once", "at_least_once"]),
    ),
    "record": make_property(
        check_record,
        examples=[{"stored": RECORDS[0] | changes} for changes in INVALID_CHANGES],
        stored=mutations_of(*RECORDS),
    ),
}
