# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest

from airflow_provider_hooks.signing.variable import (
    KeptSecret,
    format_kept_secrets,
    parse_kept_secrets,
    parse_secrets,
    put_first,
)

OLD = KeptSecret(secret="old-secret", hook_id="h1", url="https://example.com/", created_at="2026-01-01T00:00:00Z")
NEW = KeptSecret(secret="new-secret", hook_id="h2")


def test_what_was_written_is_read_back_newest_first():
    text = format_kept_secrets(put_first((OLD,), NEW))
    assert parse_kept_secrets(text) == (NEW, OLD)
    assert parse_secrets(text) == ("new-secret", "old-secret")


def test_the_same_hook_is_kept_once():
    again = KeptSecret(secret="rotated", hook_id="h1")
    assert put_first((NEW, OLD), again) == (again, NEW)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [("", ()), ("  ", ()), (" plain \n", ("plain",)), ('["a", "b"]', ("a", "b")), ('{"secrets": []}', ())],
)
def test_secrets_that_a_person_typed_are_read(text, secrets):
    assert parse_secrets(text) == secrets


@pytest.mark.parametrize("text", ["{}", "[", "[1]", '{"secrets": 1}', '[{"secret": 1}]', '{"hidden": "x"}', "[{}]"])
def test_json_of_another_form_is_refused_without_being_quoted(text):
    with pytest.raises(ValueError, match="not a list of secrets") as caught:
        parse_secrets(text)
    assert "hidden" not in str(caught.value)


def test_a_kept_secret_does_not_show_it():
    assert "old-secret" not in repr(OLD)
