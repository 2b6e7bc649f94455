# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import pytest
from airflow.models.connection import Connection
from airflow.sdk.log import redact

from airflow_provider_hooks.exceptions import RegistryError, ValidationError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.registries.model import HookChanges, HookSpec
from airflow_provider_hooks.sandbox import serve_sandbox
from airflow_provider_hooks.signing.keys import derive_key
from tests.events_data import ALERT
from tests.servers import OK, find_closed_port, raw_server
from tests.signing.test_keys import PEM, WHSK

EVENTS = ("event.alert", "event.created")


@pytest.fixture
def registry(connected, variables) -> RegistryHook:
    return RegistryHook("service_hook_registry_default")


def test_a_hook_is_listed_fetched_updated_and_deleted(registry, connected):
    created, is_created = registry.register_hook(HookSpec(url="https://example.com/a", events=EVENTS))
    assert is_created
    assert registry.list_hooks() == [replace(created, secret=None)], "a list has no secrets"
    assert registry.fetch_hook(created.hook_id) == created
    changed = registry.update_hook(created.hook_id, HookChanges(url="https://example.com/b", is_active=False))
    assert (changed.url, changed.status, changed.secret) == ("https://example.com/b", "disabled", created.secret)
    assert registry.delete_hooks([created.hook_id]) == ([created.hook_id], [])
    assert registry.delete_hooks([created.hook_id]) == ([], [created.hook_id])
    with pytest.raises(RegistryError, match="HTTP 404"):
        registry.fetch_hook(created.hook_id)


def test_every_page_of_a_list_is_read(allow_loopback, monkeypatch, variables):
    with serve_sandbox(page_size=2) as sandbox:
        for conn_id, connection in sandbox.describe_connections().items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        for number in range(5):
            sandbox.state.sentry.add_hook(
                ("sandbox", "pump-station"), url=f"https://example.com/{number}", events=EVENTS
            )
        registry = RegistryHook("service_hook_registry_default")
        assert [hook.url[-1] for hook in registry.list_hooks()] == ["4", "3", "2", "1", "0"]
        assert registry.register_hook(HookSpec(url="https://example.com/0", events=EVENTS))[1] is False


class TestTestConnection:
    def test_a_registry_is_tested_by_listing_its_hooks(self, registry, connected):
        assert registry.test_connection() == (True, "Sentry lists 0 service hook(s).")
        connected.state.sentry.token = "another-token"
        is_ok, result = registry.test_connection()
        assert not is_ok
        assert "HTTP 401" in result

    def test_an_endpoint_is_tested_by_a_connection_without_a_request(self, connected, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX", "a-secret-of-ours")
        is_ok, result = EndpointHook("service_hook_default").test_connection()
        assert (is_ok, result.startswith("Connected to 127.0.0.1")) == (True, True)
        assert connected.state.list_deliveries() == []

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"host": f"http://127.0.0.1:{find_closed_port()}/"}, "refused|connect"),
            ({"host": "http://10.0.0.1/"}, "plain HTTP to 10.0.0.1"),
            ({"host": "https://10.0.0.1/"}, "not a public address"),
            ({"conn_type": "http"}, "must be service_hook"),
            ({"extra": {"secret_variable": "not_there"}}, "register the hook first"),
        ],
    )
    def test_an_invalid_endpoint_returns_the_reason(self, connected, monkeypatch, changes, problem):
        monkeypatch.setenv("AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX", "a-secret-of-ours")
        connection = {**connected.describe_connections()["service_hook_default"], **changes}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
        is_ok, message = EndpointHook("service_hook_default").test_connection()
        assert not is_ok
        assert re.search(problem, message)


@pytest.mark.parametrize("hook", [RegistryHook("service_hook_default"), EndpointHook("service_hook_registry_default")])
def test_a_connection_of_the_other_type_is_refused_by_name(connected, hook):
    with pytest.raises(ValidationError, match="conn_type: must be"):
        hook.get_conn()
    assert hook.test_connection()[0] is False


def test_the_credentials_in_headers_are_registered_with_airflows_masker(connected, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX", "a-secret-of-ours")
    connection = connected.describe_connections()["service_hook_default"]
    headers = {"Authorization": "Bearer a-token-of-ours", "X-Team": "a-team-of-ours"}
    connection["extra"] = {**connection["extra"], "secret_headers": headers}
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
    assert EndpointHook("service_hook_default").get_conn().headers == headers
    for private in ("Bearer a-token-of-ours", "a-token-of-ours"):
        assert redact(f"before {private} after") == "before *** after"
    assert redact("before a-team-of-ours after") == "before a-team-of-ours after", "may be a word of a payload"
    assert redact(connection["extra"])["secret_headers"] == dict.fromkeys(headers, "***")


def test_secrets_are_registered_with_airflows_masker(connected, registry, monkeypatch):
    hook, _ = registry.register_hook(HookSpec(url="https://example.com/a", events=EVENTS))
    monkeypatch.setenv("AIRFLOW_VAR_SERVICE_HOOK_SECRET_SANDBOX", json.dumps(["newer-secret-x", "older-secret-y"]))
    EndpointHook("service_hook_default").get_conn()
    for private in (hook.secret, connected.state.sentry.token, "newer-secret-x", "older-secret-y"):
        assert redact(f"before {private} after") == "before *** after"


@pytest.mark.parametrize("secret", [PEM, WHSK], ids=["PEM", "whsk"])
def test_each_form_of_an_ed25519_key_is_registered_with_airflows_masker(connected, monkeypatch, secret):
    connection = connected.describe_connections()["service_hook_default"]
    connection |= {"password": secret, "extra": {"scheme": "http_message_signatures"}}
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
    EndpointHook("service_hook_default").get_conn()
    key = derive_key(secret, "text", takes_ed25519=True)
    encoded = PEM.splitlines()[1] if secret == PEM else WHSK[5:]
    for private in (encoded, key.hex(), base64.urlsafe_b64encode(key).decode().rstrip("=")):
        assert redact(f"before {private} after") == "before *** after"


@pytest.mark.parametrize("path", ["/a/../b/./%2e%2e//c;d", "/a?x=%2F..", "/%C3%A9//"])
def test_the_path_is_sent_unchanged(connect, path):
    """No client normalises it: some receivers sign or route by its exact form."""
    with raw_server(OK) as receiver:
        connect(f"http://127.0.0.1:{receiver.port}{path}")
        EndpointHook().deliver_now("event.alert", ALERT)
    assert receiver.requests[0].startswith(f"POST {path} HTTP/1.1\r\n".encode())


def test_a_connection_that_is_stored_as_a_uri_has_the_same_endpoint(monkeypatch, allow_loopback):
    """Airflow itself passes connections as URIs, for the Test button and in environment variables."""
    connection = Connection(
        conn_id="service_hook_default",
        conn_type="service_hook",
        host="https://hooks.example.com:8443/a b?token=x%2Fy&z=1".replace(" ", "%20"),
        password="p@ss/w:rd%25?#=+",
        extra=json.dumps({"scheme": "github", "secret_headers": {"X-Team": "data & more"}, "timeout": 7.5}),
    )
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", connection.get_uri())
    endpoint = EndpointHook().get_conn()
    assert (endpoint.target.authority, endpoint.target.request_target) == (
        "hooks.example.com:8443",
        "/a%20b?token=x%2Fy&z=1",
    )
    assert (endpoint.secrets, endpoint.scheme.name, endpoint.timeout) == (("p@ss/w:rd%25?#=+",), "github", 7.5)
    assert dict(endpoint.headers) == {"X-Team": "data & more"}


def test_headers_that_are_not_secret_are_sent_and_shown_in_the_preview(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url, headers={"X-Team": "data"}, secret_headers={"X-Api-Key": "a-key-of-ours"})
        EndpointHook().deliver_now("event.alert", ALERT)
        preview = EndpointHook().preview("event.alert", ALERT)
    assert {b"X-Team: data", b"X-Api-Key: a-key-of-ours"} <= set(receiver.requests[0].split(b"\r\n"))
    assert (preview.headers["X-Team"], preview.headers["X-Api-Key"]) == ("data", "***")
