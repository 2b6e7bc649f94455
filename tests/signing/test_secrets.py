# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import base64
import json

import pytest

from airflow_provider_hooks.signing import sign
from airflow_provider_hooks.signing.secrets import parse_secrets


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("", ()),
        ("  ", ()),
        (" plain \n", ("plain",)),
        ('["a", "b"]', ("a", "b")),
        ('{"secrets": []}', ()),
        ('{"secrets": ["a", {"secret": "b"}]}', ("a", "b")),
    ],
)
def test_secrets_that_a_user_typed_are_read(text, secrets):
    assert parse_secrets(text) == secrets


def test_a_hook_whose_creation_is_uncertain_does_not_sign():
    items = [
        {"secret": "of-a-hook", "hook_id": "h1"},
        {"secret": "pending", "requested_at": "2026-01-01T00:00:00+00:00"},
        {"hook_id": "h2"},
        {"secret": "of-another", "hook_id": "h3", "requested_at": "2026-01-01T00:00:00+00:00"},
    ]
    assert parse_secrets(json.dumps({"secrets": items})) == ("of-a-hook", "of-another")


@pytest.mark.parametrize(
    "text",
    ["{}", "[", "[1]", '[""]', '{"secrets": 1}', '[{"secret": 1}]', '{"hidden": "x"}', "[{}]", '[{"url": "hidden"}]'],
)
def test_malformed_json_is_refused_without_being_quoted(text):
    with pytest.raises(ValueError, match="not a list of secrets") as caught:
        parse_secrets(text)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("size", [24, 25, 26])
def test_whsec_secret_without_padding_makes_the_same_signature(size):
    padded = "whsec_" + base64.b64encode(bytes(range(size))).decode()
    signed = [
        sign("standard_webhooks", body=b"{}", secrets=[secret], delivery_id="d", timestamp=1)
        for secret in (padded, padded.rstrip("="))
    ]
    assert signed[0] == signed[1]
