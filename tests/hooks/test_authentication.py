# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Authorization of deliveries by the fields of a connection: basic, bearer and OAuth 2.0."""

from __future__ import annotations

import json
import logging

import pytest
from airflow.sdk.log import redact

from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.exceptions import (
    BlockedAddressError,
    DeliveryFailedError,
    DeliveryNotSentError,
    TokenError,
)
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.http import oauth2
from airflow_provider_hooks.outcomes import Outcome
from tests.airflow_context import StateStore, make_context
from tests.events_data import ALERT
from tests.servers import OK, find_closed_port, raw_server
from tests.token_server import CLIENT_SECRET, serve_tokens


@pytest.fixture(autouse=True)
def clear_token_sources(monkeypatch):
    monkeypatch.setattr(oauth2, "_SOURCES", {})


def deliver(**options):
    return EndpointHook().deliver_now("event.alert", ALERT, **options).record.attempt


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"auth_type": "basic", "auth_username": "me", "auth_secret": "pässword"}, "Basic bWU6cMOkc3N3b3Jk"),
        ({"auth_type": "bearer", "auth_secret": "a-t0ken-of-ours"}, "Bearer a-t0ken-of-ours"),
    ],
)
def test_basic_and_bearer_credentials_are_sent_and_masked(connect, extra, expected):
    def echo(connection):
        connection.sendall(
            b"HTTP/1.1 400 X\r\nContent-Length: 60\r\n\r\n"
            + f"{expected} and {extra['auth_secret']}".ljust(60).encode()
        )

    with raw_server(echo) as receiver:
        connect(receiver.url, **extra)
        attempt = deliver()
        preview = EndpointHook().preview("event.alert", ALERT)
    assert f"Authorization: {expected}".encode() in receiver.requests[0].split(b"\r\n")
    assert [value for value in (expected, extra["auth_secret"]) if value in attempt.response_body] == []
    assert attempt.response_body.startswith("*** and")
    assert preview.headers["Authorization"] == "***"
    assert redact(f"before {extra['auth_secret']} and {expected.split()[1]} after") == "before *** and *** after"


def test_airflow_masks_only_the_fields_that_hold_secrets():
    values = {field.name: f"the-value-of-{field.name}" for field in SERVICE_HOOK.extra}
    shown = redact(values)
    masked = {name for name, value in values.items() if shown[name] != value}
    assert masked == {"secret_variable", "auth_secret", "secret_headers"}


class TestOAuth2:
    def test_one_token_is_used_for_all_deliveries_of_a_process(self, connect):
        with serve_tokens() as server:
            connect(server.url, **server.extra)
            assert [deliver().outcome for _ in range(3)] == [Outcome.DELIVERED] * 3
        assert len(server.issued) == 1

    def test_a_refused_token_is_renewed_and_the_event_sent_once_more(self, connect, caplog):
        with serve_tokens() as server:
            connect(server.url, **server.extra)
            deliver()
            server.issued.clear()  # the server revokes the token
            with caplog.at_level(logging.INFO):
                assert deliver().outcome is Outcome.DELIVERED
        assert server.statuses == [204, 401, 204]
        first, second = (headers["X-Service-Hook-Delivery"] for _, headers, _ in server.received[1:])
        assert first == second

    def test_each_refused_token_is_renewed_if_the_one_before_was_accepted(self, connect):
        with serve_tokens(expires_in=None) as server:
            connect(server.url, **server.extra)
            for _ in range(3):
                assert deliver().outcome is Outcome.DELIVERED
                server.issued.clear()
        assert server.statuses == [204, 401, 204, 401, 204]

    def test_a_second_401_is_final_and_no_more_tokens_are_requested(self, connect):
        with serve_tokens(refuses=True) as server:
            connect(server.url, **server.extra)
            attempts = [deliver() for _ in range(3)]
        assert {(one.outcome, one.status_code) for one in attempts} == {(Outcome.REJECTED, 401)}
        assert server.statuses == [401] * 4, "the first event is sent twice, the others once"
        assert len(server.issued) == 2

    def test_a_401_is_rejected_with_the_reason_if_no_new_token_is_issued(self, connect):
        with serve_tokens() as server:
            connect(server.url, **server.extra)
            deliver()
            server.issued.clear()
            server.broken = (503, b"")
            attempt = deliver()
        assert (attempt.outcome, attempt.status_code, attempt.error_class.value) == (
            Outcome.REJECTED,
            401,
            "token_error",
        )
        assert attempt.message == f"no access token from {server.token_url}: HTTP 503"
        assert server.statuses == [204, 401]

    @pytest.mark.parametrize(
        "broken", [(500, b""), (200, b"{}"), (401, b'{"error": "invalid_client"}')], ids=["500", "no token", "refused"]
    )
    def test_a_delivery_without_a_token_is_not_sent_and_airflow_retries(self, connect, broken):
        store = StateStore()
        with serve_tokens(broken=broken) as server:
            connect(server.url, **server.extra)
            with pytest.raises(DeliveryNotSentError) as caught:
                EndpointHook().deliver("event.alert", ALERT, context=make_context(store))
            server.broken = None
            oauth2._SOURCES.clear()  # as in the process of the next try
            EndpointHook().deliver("event.alert", ALERT, context=make_context(store, try_number=2))
        assert caught.value.record["error_class"] == "token_error"
        assert CLIENT_SECRET not in str(caught.value)
        assert server.statuses == [204]

    def test_a_rejected_delivery_fails_without_a_retry(self, connect):
        with serve_tokens(refuses=True) as server:
            connect(server.url, **server.extra)
            with pytest.raises(DeliveryFailedError):
                EndpointHook().deliver("event.alert", ALERT, context=make_context())

    def test_tokens_are_masked_in_logs_and_in_responses(self, connect):
        with serve_tokens(echoes=True) as server:
            connect(server.url, **server.extra)
            attempt = deliver()
        (token,) = server.issued
        assert attempt.outcome is Outcome.REJECTED
        assert json.loads(attempt.response_body)["Authorization"] == "Bearer ***"
        assert redact(f"before {token} after") == "before *** after"
        assert redact(f"before {CLIENT_SECRET} after") == "before *** after"

    def test_a_preview_requests_no_token_and_shows_none(self, connect):
        with serve_tokens() as server:
            connect(server.url, **server.extra)
            preview = EndpointHook().preview("event.alert", ALERT)
        assert preview.headers["Authorization"] == "Bearer ***"
        assert server.token_requests == []

    def test_the_connection_test_requests_a_token(self, connect):
        with serve_tokens() as server:
            connect(server.url, **server.extra)
            assert EndpointHook().test_connection()[0] is True
            oauth2._SOURCES.clear()
            connect(server.url, **{**server.extra, "auth_secret": "another-secret"})
            is_ok, message = EndpointHook().test_connection()
        assert not is_ok
        assert message == f"no access token from {server.token_url}: HTTP 401: invalid_client: no such client"
        assert server.received == []

    def test_the_network_policy_refuses_a_token_endpoint_before_the_claim(self, connect):
        with raw_server(OK) as receiver:
            store = StateStore()
            connect(receiver.url, **{**make_oauth2_extra(), "auth_url": "https://10.0.0.1/token"})
            with pytest.raises(
                BlockedAddressError, match=r"'service_hook_default': auth_url: 10.0.0.1 is not a public"
            ):
                deliver()
            with pytest.raises(TokenError):
                EndpointHook().connect()
        assert (receiver.requests, store.stored) == ([], {})


def make_oauth2_extra() -> dict[str, str]:
    return {"auth_type": "oauth2", "auth_username": "an-id", "auth_secret": "a-secret-of-ours"}


def test_an_event_is_not_sent_if_the_token_endpoint_is_unreachable(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url, **make_oauth2_extra(), auth_url=f"http://127.0.0.1:{find_closed_port()}/token")
        attempt = deliver()
    assert (attempt.outcome, attempt.error_class.value, receiver.requests) == (Outcome.NOT_SENT, "token_error", [])
