# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.sanitize import escape, quote_setting, safe_repr


@given(st.text(st.characters(categories=None)))
def test_nothing_that_a_terminal_could_act_on_is_left(text):
    assert escape(text).isprintable()


def test_it_is_bounded():
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
def test_what_somebody_typed_is_quoted_shortly(value, shown):
    assert safe_repr(value) == shown


@pytest.mark.parametrize(
    "secret",
    ["whsec_short", "whsk_short", "-----BEGIN PRIVATE KEY-----", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
)
def test_a_setting_that_may_be_a_secret_is_not_quoted(secret):
    assert quote_setting(f"x {secret}") == "the given text"
    assert quote_setting("hmac") == "'hmac'"
