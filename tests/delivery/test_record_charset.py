# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The charset of a response's body, which a receiver chooses."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.delivery.record import _find_charset, decode_body
from tests.growth import assert_grows_linearly


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("", "é".encode(), "é"),
        ("text/plain; charset=latin-1", b"\xe9", "é"),
        ('text/html;charset="ISO-8859-1"; x=y', b"\xe9", "é"),
        ("text/html; CHARSET = 'utf-16'", "é".encode("utf-16"), "é"),
        ("text/plain; charset=no-such", "é".encode(), "é"),
        ("text/plain; charset=base64", "é".encode(), "é"),
        ("text/plain; charset=", "é".encode(), "é"),
        ("text/plain; charset=utf-8", b"\xff", "�"),
    ],
)
def test_a_body_is_decoded_by_its_charset_or_as_utf_8(content_type, body, text):
    assert decode_body(body, {"content-type": content_type}) == text


@pytest.mark.parametrize("make", [lambda n: 'a1="' + ";" * n, lambda n: "; charset" * n, lambda n: ";" + " " * n + "c"])
def test_time_grows_linearly_with_the_content_type(make):
    def decode(size):
        headers = {"content-type": make(size)}
        for _ in range(50):
            _find_charset.cache_clear()
            decode_body(b"", headers)

    assert_grows_linearly(decode, start=10_000)
