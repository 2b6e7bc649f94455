# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.sanitize import escape, quote_setting, safe_repr


@given(st.text(st.characters(categories=None)))
def test_escaped_text_is_printable(text):
    assert escape(text).isprintable()


def test_escaped_text_is_truncated_after_200_characters():
    assert escape("x" * 300) == "x" * 200 + "…"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nb", "'a\\nb'"),
        (1.5, "1.5"),
        (None, "None"),
        (10**5000, "a huge integer"),
        ([1], "a list"),
        (b"x", "a bytes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_is_quoted_in_a_short_form(value, shown):
    assert safe_repr(value) == shown


@pytest.mark.parametrize(
    "secret",
    ["whsec_short", "whsk_short", "-----BEGIN PRIVATE KEY-----", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
)
def test_setting_that_may_be_a_secret_is_not_quoted(secret):
    assert quote_setting(f"x {secret}") == "the given text"
    assert quote_setting("hmac") == "'hmac'"
