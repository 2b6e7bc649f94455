# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import json

import pytest
from airflow.api_fastapi.core_api.datamodels.variables import VariableResponse

from airflow_provider_hooks.signing.variable import StoredHook, format_kept_hooks, parse_kept_hooks, parse_secrets

OLD = StoredHook(secret="old-secret", hook_id="h1", url="https://example.com/?t=k", created_at="2026-01-01T00:00:00Z")
NEW = StoredHook(secret="new-secret", hook_id="h2", registry="sentry", name="orders", rotation_key="d/t/r/-1/3")
PENDING = StoredHook(secret="asked-secret", url="https://example.com/", requested_at="2026-01-01T00:00:00+00:00")
UNSIGNED = StoredHook(hook_id="h3", name="unsigned")
RETIRING = StoredHook(secret="retiring", hook_id="h4", expires_at="2026-01-01T00:00:00+00:00")
ALL = (NEW, OLD, PENDING, UNSIGNED, RETIRING)


def test_what_was_written_is_read_back_in_its_order():
    assert parse_kept_hooks(format_kept_hooks(ALL)) == ALL


def test_only_what_the_platform_is_known_to_have_may_sign():
    assert parse_secrets(format_kept_hooks(ALL)) == ("new-secret", "old-secret", "retiring")
    assert (PENDING.is_pending, OLD.is_pending) == (True, False)
    assert (RETIRING.superseded, OLD.superseded) == (True, False)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [("", ()), ("  ", ()), (" plain \n", ("plain",)), ('["a", "b"]', ("a", "b")), ('{"secrets": []}', ())],
)
def test_secrets_that_a_person_typed_are_read(text, secrets):
    assert parse_secrets(text) == secrets


@pytest.mark.parametrize(
    "text",
    ["{}", "[", "[1]", '[""]', '{"secrets": 1}', '[{"secret": 1}]', '{"hidden": "x"}', "[{}]", '[{"url": "hidden"}]'],
)
def test_json_of_another_form_is_refused_without_being_quoted(text):
    with pytest.raises(ValueError, match="not a list of secrets") as caught:
        parse_secrets(text)
    assert "hidden" not in str(caught.value)


def test_a_kept_hook_shows_neither_secret_nor_url():
    assert "old-secret" not in repr(OLD)
    assert "t=k" not in repr(OLD)


@pytest.mark.parametrize("name", ["service_hook_secret_orders", "orders_hook"])
def test_airflows_ui_masks_all_of_it_whatever_the_variables_name(name):
    shown = VariableResponse(
        key=name, value=format_kept_hooks(ALL), description=None, is_encrypted=True, team_name=None
    )
    assert json.loads(shown.val) in ({"secrets": "***"}, "***") or "secret-" not in shown.val
    for private in ("old-secret", "new-secret", "asked-secret", "retiring", "t=k"):
        assert private not in shown.val
