# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What authorizes a delivery, by the fields of a connection; and endpoints that are disabled."""

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
def no_tokens_of_other_tests(monkeypatch):
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
def test_a_constant_authorization_is_sent_and_masked(connect, extra, expected):
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
    assert redact(f"said {extra['auth_secret']} and {expected.split()[1]} aloud") == "said *** and *** aloud"


def test_airflow_itself_masks_the_fields_that_hold_secrets_and_no_others():
    values = {field.name: f"the-value-of-{field.name}" for field in SERVICE_HOOK.extra}
    shown = redact(values)
    masked = {name for name, value in values.items() if shown[name] != value}
    assert masked == {"secret_variable", "auth_secret", "secret_headers"}


class TestOAuth2:
    def test_one_token_serves_all_deliveries_of_a_process(self, connect):
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

    def test_it_is_renewed_each_time_if_the_receiver_accepted_the_one_before(self, connect):
        with serve_tokens(expires_in=None) as server:
            connect(server.url, **server.extra)
            for _ in range(3):
                assert deliver().outcome is Outcome.DELIVERED
                server.issued.clear()
        assert server.statuses == [204, 401, 204, 401, 204]

    def test_a_second_401_is_final_and_costs_no_more_tokens(self, connect):
        with serve_tokens(refuses=True) as server:
            connect(server.url, **server.extra)
            attempts = [deliver() for _ in range(3)]
        assert {(one.outcome, one.status_code) for one in attempts} == {(Outcome.REJECTED, 401)}
        assert server.statuses == [401] * 4, "the first event twice, the others once"
        assert len(server.issued) == 2

    def test_a_401_without_another_token_is_rejected_with_the_reason(self, connect):
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
    def test_without_a_token_nothing_is_sent_and_airflow_retries(self, connect, broken):
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

    def test_the_tokens_are_masked_in_logs_and_in_what_a_receiver_returns(self, connect):
        with serve_tokens(echoes=True) as server:
            connect(server.url, **server.extra)
            attempt = deliver()
        (token,) = server.issued
        assert attempt.outcome is Outcome.REJECTED
        assert json.loads(attempt.response_body)["Authorization"] == "Bearer ***"
        assert redact(f"said {token} aloud") == "said *** aloud"
        assert redact(f"said {CLIENT_SECRET} aloud") == "said *** aloud"

    def test_a_preview_gets_no_token_and_shows_none(self, connect):
        with serve_tokens() as server:
            connect(server.url, **server.extra)
            preview = EndpointHook().preview("event.alert", ALERT)
        assert preview.headers["Authorization"] == "Bearer ***"
        assert server.token_requests == []

    def test_the_test_of_a_connection_gets_a_token(self, connect):
        with serve_tokens() as server:
            connect(server.url, **server.extra)
            assert EndpointHook().test_connection()[0] is True
            oauth2._SOURCES.clear()
            connect(server.url, **{**server.extra, "auth_secret": "another-secret"})
            good, said = EndpointHook().test_connection()
        assert not good
        assert said == f"no access token from {server.token_url}: HTTP 401: invalid_client: no such client"
        assert server.received == []

    def test_the_token_endpoint_is_subject_to_the_network_policy_before_anything_is_claimed(self, connect):
        with raw_server(OK) as receiver:
            store = StateStore()
            connect(receiver.url, **{**serve_extra(), "auth_url": "https://10.0.0.1/token"})
            with pytest.raises(
                BlockedAddressError, match=r"'service_hook_default': auth_url: 10.0.0.1 is not a public"
            ):
                deliver()
            with pytest.raises(TokenError):
                EndpointHook().connect()
        assert (receiver.requests, store.kept) == ([], {})


def serve_extra() -> dict[str, str]:
    return {"auth_type": "oauth2", "auth_username": "an-id", "auth_secret": "a-secret-of-ours"}


def test_a_token_endpoint_that_is_away_is_not_sent(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url, **serve_extra(), auth_url=f"http://127.0.0.1:{find_closed_port()}/token")
        attempt = deliver()
    assert (attempt.outcome, attempt.error_class.value, receiver.requests) == (Outcome.NOT_SENT, "token_error", [])
