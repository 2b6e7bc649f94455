# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The stored payload and its request: the body and the headers are shown, without secrets."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from tests.airflow_context import SECRET
from tests.hooks.test_ledger import OK, deliver
from tests.servers import raw_server

TOKEN = "a-token-of-the-connection-0123456789"


@pytest.fixture
def delivered(ledger, connect, monkeypatch):
    """Deliver an event whose payload is stored, and return the connection's settings."""
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__STORE_PAYLOADS", "True")
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAYLOAD_KEYS", Fernet.generate_key().decode())
    with raw_server(OK) as receiver:
        connect(
            receiver.url, scheme="standard_webhooks", secret_headers={"X-Api-Key": TOKEN}, headers={"X-Team": "data"}
        )
        deliver()
    return receiver


def test_body_and_headers_are_shown_with_secrets_and_signature_masked(log_in, delivered):
    answer = log_in("an_admin").get("/api/deliveries/1")
    shown = answer.json()
    assert '"orders":12' in shown["payload"]["text"]
    assert shown["payload"]["content_type"] == "application/json"
    headers = shown["request"]["headers"]
    assert (headers["X-Api-Key"], headers["webhook-signature"], headers["X-Team"]) == ("***", "***", "data")
    assert headers["X-Service-Hook-Delivery"] == shown["delivery"]["delivery_id"]
    for private in (SECRET, TOKEN, "v1,"):
        assert private not in answer.text


def test_a_user_who_may_not_read_xcoms_sees_no_payload(log_in, delivered, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.ui.access.Access.may_read_payload", lambda *_: False)
    shown = log_in("a_viewer").get("/api/deliveries/1").json()
    assert (shown["payload"]["is_stored"], shown["payload"]["text"], shown["request"]["headers"]) == (True, None, None)
    assert "may not read" in shown["payload"]["note"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PAYLOAD_KEYS": "", "STORE_PAYLOADS": ""}, "set [service_hooks]"),
        ({"PAYLOAD_KEYS": Fernet.generate_key().decode()}, "cannot be decrypted"),
    ],
)
def test_missing_key_is_reported_with_the_setting(log_in, delivered, monkeypatch, change, words):
    for name, value in change.items():
        monkeypatch.setenv(f"AIRFLOW__SERVICE_HOOKS__{name}", value)
    shown = log_in("an_admin").get("/api/deliveries/1").json()
    assert shown["payload"]["text"] is None
    assert words in shown["payload"]["note"]
    assert "payload_keys" in shown["payload"]["note"]


@pytest.mark.parametrize("connection", ["", "no connection", '{"conn_type": "http", "host": "x"}'])
def test_missing_or_invalid_connection_hides_only_the_headers(log_in, delivered, monkeypatch, connection):
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", connection)
    shown = log_in("an_admin").get("/api/deliveries/1")
    assert shown.status_code == 200, shown.text
    assert '"orders":12' in shown.json()["payload"]["text"]
    assert shown.json()["request"]["note"].startswith("The headers cannot be shown")
