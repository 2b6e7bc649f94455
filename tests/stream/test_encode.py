# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The requests of a stream: refused lines and access tokens."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from airflow_provider_hooks.exceptions import InvalidEventError
from airflow_provider_hooks.stream.encode import RequestEncoder
from airflow_provider_hooks.stream.sources import OversizedLine
from tests.stream.sending import make_encoder, make_endpoint, make_event


def test_oversized_line_is_refused_with_the_limit():
    encoder = make_encoder(make_endpoint("http://127.0.0.1:9"))
    for call in (encoder.read_event_id, lambda event: encoder.encode(event, offset=0)):
        with pytest.raises(InvalidEventError, match="longer than 16777216 bytes"):
            call(OversizedLine())


class Tokens:
    """Returns a different token for each call."""

    def __init__(self) -> None:
        self.number = 0

    def get(self) -> str:
        self.number += 1
        return f"t0ken-number-{self.number}"


def test_request_is_prepared_with_a_new_token_and_its_own_token_stays_masked():
    endpoint = replace(make_endpoint("http://127.0.0.1:9"), headers={})
    encoder = RequestEncoder(endpoint, "event.created", max_payload_bytes=2**20, tokens=Tokens())
    event = msgspec.json.encode(make_event(1))
    requests = [encoder.prepare(encoder.encode(event, offset=0)) for _ in range(4)]
    for number, request in enumerate(requests, 1):
        assert f"\r\nAuthorization: Bearer t0ken-number-{number}\r\n".encode() in request.request
        assert f"t0ken-number-{number}" in encoder.sensitive_values(request)
        assert "t0ken" not in repr(request)
    again = encoder.prepare(requests[0])
    assert again.request.count(b"Authorization: Bearer t0ken-number-5\r\n") == 1
    assert b"t0ken-number-1" not in again.request
