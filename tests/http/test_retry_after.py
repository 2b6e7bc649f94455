# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.http.retry_after import describe_time, read_retry_at

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "moment"),
    [
        ({}, None),
        ({"x-ratelimit-reset": "1700000030"}, 1_700_000_030),
        ({"retry-after": "30"}, 1_700_000_030),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 1_700_000_030),
        ({"retry-after": "30", "x-ratelimit-reset": "1700000040"}, 1_700_000_040),
        ({"retry-after": "50", "x-ratelimit-reset": "1700000040"}, 1_700_000_050),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-reset": "1e9"}, None),
        ({"x-ratelimit-reset": "9" * 40}, None),
        ({"retry-after": "²"}, None),
    ],
)
def test_retry_time_is_read_from_the_documented_headers(headers, moment):
    assert read_retry_at(headers, received_at=NOW) == moment


@given(reset=st.text(), after=st.text())
def test_header_values_never_raise(reset, after):
    moment = read_retry_at({"x-ratelimit-reset": reset, "retry-after": after}, received_at=NOW)
    assert moment is None or describe_time(moment)


def test_time_is_described_rounded_up():
    assert describe_time(NOW + 0.1) == "2023-11-14T22:13:21Z"
    assert describe_time(1e30) == "a time that is not valid"
