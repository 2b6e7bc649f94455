# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Access tokens: how they are requested, which responses are refused, and when they are renewed."""

from __future__ import annotations

import base64
import json
import math
import time
from dataclasses import dataclass
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import TokenError
from airflow_provider_hooks.http import NetworkPolicy, oauth2
from airflow_provider_hooks.http.connect import Limits
from airflow_provider_hooks.http.oauth2 import OAuth2Client, TokenSource, open_tokens, read_token
from airflow_provider_hooks.http.result import RequestResult
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.servers import find_closed_port
from tests.token_server import CLIENT_ID, CLIENT_SECRET, serve_tokens

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1"])
FIELDS = ["access_token", "token_type", "expires_in", "error", "error_description"]
LIMITS = Limits(timeout=20.0, connect_timeout=20.0)


@dataclass
class Clock:
    """The clock of the tokens."""

    offset: float = 0.0
    real: bool = True
    """Whether it advances with the real clock."""

    def monotonic(self) -> float:
        return self.offset + (time.monotonic() if self.real else 1_000.0)


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock of the tokens; that of the engine is unchanged."""
    clock = Clock()
    monkeypatch.setattr(oauth2, "time", clock)
    return clock


def make_client(url: str = "https://login.example.com/token?k=v", **options: str) -> OAuth2Client:
    return OAuth2Client(target=parse_url(url), client_id=CLIENT_ID, client_secret=CLIENT_SECRET, **options)


def open_source(url: str, masked: list[str] | None = None, *, policy=LOOPBACK, **options: str) -> TokenSource:
    mask = ([] if masked is None else masked).append
    return TokenSource(make_client(url, **options), policy=policy, limits=LIMITS, mask=mask)


def read(body: object, *, status: int | None = 200, error=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    result = RequestResult(
        request=None,
        outcome=Outcome.DELIVERED,
        status=status,
        peer=None,
        started_at=0,
        seconds=0,
        error=error,
        body=content,
    )
    return read_token(make_client(), result, requested_at=1_000.0)


class TestRequests:
    def test_secret_is_sent_as_basic_authentication_encoded_twice(self):
        """RFC 6749, section 2.3.1: form-encode both parts, then encode them as RFC 7617 defines."""
        head, _, body = make_client(scope="a b", audience="an-api").make_request().partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        both = base64.b64encode(f"{quote_plus(CLIENT_ID)}:{quote_plus(CLIENT_SECRET)}".encode()).decode()
        assert lines[0] == "POST /token?k=v HTTP/1.1"
        assert {f"Authorization: Basic {both}", "Host: login.example.com", f"Content-Length: {len(body)}"} <= set(lines)
        assert body == b"grant_type=client_credentials&scope=a+b&audience=an-api"

    def test_secret_is_sent_in_the_body_with_client_secret_post(self):
        request = make_client(method="client_secret_post").make_request()
        assert b"Authorization" not in request
        assert request.endswith(f"client_id={quote_plus(CLIENT_ID)}&client_secret={quote_plus(CLIENT_SECRET)}".encode())

    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    def test_token_server_accepts_both_methods(self, method):
        with serve_tokens() as server:
            assert open_source(server.token_url, method=method).get() in server.issued

    def test_repr_contains_no_secret(self):
        client = make_client()
        shown = repr((client, read({"access_token": "a-t0ken", "token_type": "bearer"})))
        assert [value for value in (*client.sensitive_values, "a-t0ken") if value in shown] == []


class TestResponses:
    @pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER"])
    def test_bearer_token_type_is_case_insensitive(self, kind):
        assert read({"access_token": "abc", "token_type": kind}).value == "abc"

    @pytest.mark.parametrize(
        ("expires_in", "renew_at", "expires_at"),
        [
            (2, 1_001.8, 1_002.0),
            (3600, 4_570.0, 4_600.0),
            ("300", 1_270.0, 1_300.0),
            (0.5, 1_000.45, 1_000.5),
            (None, math.inf, math.inf),
        ],
    )
    def test_token_is_renewed_before_it_expires(self, expires_in, renew_at, expires_at):
        token = read({"access_token": "abc", "token_type": "bearer", "expires_in": expires_in})
        assert (token.renew_at, token.expires_at) == (pytest.approx(renew_at), expires_at)

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"no JSON", "the response is not a JSON object"),
            (b"\xff", "the response is not a JSON object"),
            (b"[" * 60_000, "the response is not a JSON object"),
            ([], "the response is not a JSON object"),
            ({}, "the response has no access_token"),
            (
                {"access_token": "a b", "token_type": "bearer"},
                "the response has no access_token that a header can carry",
            ),
            ({"access_token": "a\r\nX: y", "token_type": "bearer"}, "the response has no access_token that a header"),
            ({"access_token": 7, "token_type": "bearer"}, "the response has no access_token"),
            ({"access_token": "abc"}, "the token_type of the response is not bearer"),
            ({"access_token": "abc", "token_type": "mac"}, "the token_type of the response is not bearer"),
            *(
                ({"access_token": "abc", "token_type": "bearer", "expires_in": wrong}, "the expires_in of the response")
                for wrong in (0, -1, True, "soon", [], "inf", "nan", 10**400)
            ),
        ],
    )
    def test_unusable_response_is_refused(self, body, problem):
        with pytest.raises(TokenError, match=r"no access token from https://login.example.com/token: ") as caught:
            read(body)
        assert problem in str(caught.value)
        assert caught.value.retryable

    def test_secret_in_an_error_response_is_masked(self):
        content = {"error": "invalid_client", "error_description": f"wrong secret: {CLIENT_SECRET}\x1b[31m"}
        with pytest.raises(TokenError) as caught:
            read(content, status=401)
        assert str(caught.value).endswith(": HTTP 401: invalid_client: wrong secret: ***\\x1b[31m")

    def test_truncated_response_is_refused(self):
        with pytest.raises(TokenError, match="HTTP 200: too large"):
            read({"access_token": "a", "token_type": "bearer"}, error=(ErrorClass.RESPONSE_TOO_LARGE, "too large"))

    @given(
        st.one_of(
            st.binary(max_size=200),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
                lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner),
                max_leaves=8,
            ),
        ),
        st.sampled_from([200, 201, 400, 401, 503]),
    )
    def test_any_response_gives_a_token_or_a_token_error(self, body, status):
        token, message = None, ""
        try:
            token = read(body, status=status)
        except TokenError as error:
            message = str(error)
        assert message.isprintable()
        if token is not None:
            assert token.value.isascii()
            assert token.value.isprintable()
            assert 1_000 < token.renew_at <= token.expires_at


class TestTokenSource:
    def test_a_token_is_fetched_once_masked_and_reused(self):
        masked: list[str] = []
        with serve_tokens() as server:
            source = open_source(server.token_url, masked)
            assert {source.get() for _ in range(5)} == set(server.issued)
        assert masked == list(server.issued)
        assert len(masked) == 1

    def test_token_is_renewed_when_a_tenth_of_its_lifetime_is_left(self, clock):
        with serve_tokens(lifetime=100) as server:
            source = open_source(server.token_url)
            first = source.get()
            clock.offset = 89
            assert source.get() == first
            clock.offset = 91
            assert source.get() != first

    def test_process_has_one_source_for_each_endpoint_and_its_credentials(self, monkeypatch):
        monkeypatch.setattr(oauth2, "_SOURCES", {})
        options = {"policy": LOOPBACK, "limits": LIMITS, "mask": print}
        client = make_client()
        source = open_tokens("c", client, **options)
        assert open_tokens("c", make_client(), **options) is source
        assert open_tokens("d", client, **options) is not source
        assert open_tokens("c", make_client(scope="more"), **options) is not source

    def test_failure_is_repeated_for_a_second_without_a_request(self, clock):
        clock.real = False
        with serve_tokens(broken=(503, b"")) as server:
            source = open_source(server.token_url)
            for clock.offset in (0, 0.5, 0.9):
                with pytest.raises(TokenError, match="HTTP 503"):
                    source.get()
            assert len(server.token_requests) == 1
            clock.offset, server.broken = 1.1, None
            assert source.get() in server.issued

    def test_token_is_used_until_it_expires_while_renewal_fails(self, clock):
        with serve_tokens(lifetime=100) as server:
            source = open_source(server.token_url)
            first = source.get()
            server.broken = (500, b"")
            clock.offset = 95
            assert source.get() == first
            assert len(server.token_requests) == 2
            clock.offset = 101
            with pytest.raises(TokenError):
                source.get()

    def test_network_policy_applies_to_the_token_server(self):
        with serve_tokens() as server:
            with pytest.raises(TokenError, match="plain HTTP") as caught:
                open_source(server.token_url, policy=NetworkPolicy()).get()
            assert (caught.value.error_class, server.token_requests) == (ErrorClass.BLOCKED_ADDRESS, [])

    def test_unreachable_server_is_a_retryable_error(self):
        with pytest.raises(TokenError, match="refused") as caught:
            open_source(f"http://127.0.0.1:{find_closed_port()}/token").get()
        assert (caught.value.error_class, caught.value.retryable) == (ErrorClass.TOKEN_ERROR, True)

    def test_large_response_is_not_read_to_the_end(self):
        with (
            serve_tokens(broken=(200, b" " * 200_000)) as server,
            pytest.raises(TokenError, match="HTTP 200: reading stopped at the bound"),
        ):
            open_source(server.token_url).get()


class TestRenewalAfter401:
    def test_the_refused_token_is_replaced(self):
        with serve_tokens() as server:
            source = open_source(server.token_url)
            first = source.get()
            assert source.renew(first) == source.get() != first
            assert len(server.issued) == 2

    def test_token_that_was_already_replaced_causes_no_request(self):
        with serve_tokens() as server:
            source = open_source(server.token_url)
            first = source.get()
            assert [source.renew(first) for _ in range(5)] == [source.get()] * 5
            assert len(server.issued) == 2

    def test_refused_new_token_is_not_replaced_until_a_token_was_accepted(self):
        with serve_tokens() as server:
            source = open_source(server.token_url)
            second = source.renew(source.get())
            assert source.renew(second) is None
            source.note_accepted()
            assert source.renew(second) not in {None, second}
            assert len(server.issued) == 3
