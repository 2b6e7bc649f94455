# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The engine against hostile receivers: a correct outcome, in time, after at most one request for each event.

Only the folder of the records is replaced; every receiver is a real one on loopback.
"""

from __future__ import annotations

import functools
from base64 import b64encode
from dataclasses import dataclass

import pytest

from airflow_provider_hooks.exceptions import ResolverError
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.signing import SCHEMES
from tests.security.deliveries import find_leaks, list_signatures
from tests.security.hostile import (
    BIG_LINE,
    BYTES_1000,
    CHUNK,
    CHUNKED,
    EMPTY,
    EXPIRED,
    GIGABYTES_10,
    HEADERS_150,
    TWO_LENGTHS,
    Receiver,
    black_hole,
    drip,
    endless,
    hanging_in_the_handshake,
    never_accepting,
    redirecting,
    refusing,
    reset,
    responding,
    self_signed,
    send_and_hang,
    serving_gzip_bomb,
    serving_tls,
    status,
    stay_silent,
    write_authority,
)
from tests.servers import OK, connect_proxy, find_closed_port, raw_server
from tests.stream.sending import CONNECT_TIMEOUT, HEADER, SECRET, TIMEOUT, TOKEN, send
from tests.timing import SLACK_SECONDS

DELIVERED, REJECTED, NOT_SENT, UNKNOWN = "delivered", "rejected", "not_sent", "unknown"
EVENTS = 3
TRAILERS = b"A: b\r\n" * 99


@dataclass(frozen=True)
class Case:
    """A receiver, and the expected outcome of each event sent to it."""

    name: str
    receiver: Receiver
    outcome: str
    error_class: str | None = None
    deadline: float = TIMEOUT

    @property
    def timeouts(self) -> dict[str, float]:
        """Short timeouts for a receiver that makes a request time out."""
        short = {"timeout": TIMEOUT, "connect_timeout": CONNECT_TIMEOUT}
        return short if self.error_class == "timeout" else {}


HEAD = b"HTTP/1.1 200 OK\r\n"

CASES = [
    # no connection
    Case("refused", refusing, NOT_SENT, "connection_refused"),
    Case("black hole", black_hole, NOT_SENT, "timeout", CONNECT_TIMEOUT),
    Case("never accepting", never_accepting, UNKNOWN, "timeout"),
    # TLS
    Case("valid TLS", serving_tls(), DELIVERED),
    Case("expired certificate", serving_tls(**EXPIRED), NOT_SENT, "tls_error"),
    Case("certificate for another name", serving_tls("other.test"), NOT_SENT, "tls_error"),
    Case("TLS handshake hangs", hanging_in_the_handshake, NOT_SENT, "timeout", CONNECT_TIMEOUT),
    # no response
    Case("silence", responding(stay_silent), UNKNOWN, "timeout"),
    Case("closed after the request", responding(b""), UNKNOWN, "connection_reset"),
    Case("reset after the request", responding(reset), UNKNOWN, "connection_reset"),
    # no complete headers
    Case("header one byte at a time", responding(drip(HEAD, b"A: b\r\n")), UNKNOWN, "timeout"),
    Case("endless 1xx", responding(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99)), UNKNOWN, "response_too_large"),
    Case("a slow 1xx", responding(drip(b"", b"HTTP/1.1 102 Processing\r\n\r\n")), UNKNOWN, "timeout"),
    Case("endless header line", status(b"200 OK", BIG_LINE[:-2] * 2), UNKNOWN, "response_too_large"),
    Case("endless headers", responding(endless(HEAD, b"A: b\r\n" * 99)), UNKNOWN, "response_too_large"),
    Case("HTTP/0.9", responding(b"<html>hello</html>"), UNKNOWN, "invalid_response"),
    Case("not HTTP", responding(b"SSH-2.0-OpenSSH_9.6\r\n"), UNKNOWN, "invalid_response"),
    *(
        Case(f"status {code.decode()}", status(code + b" X"), UNKNOWN, "invalid_response")
        for code in (b"0", b"000", b"99", b"099", b"2000")
    ),
    Case("two Content-Lengths", status(b"200 OK", TWO_LENGTHS), UNKNOWN, "invalid_response"),
    Case("101", status(b"101 X", b"Upgrade: x\r\nConnection: upgrade\r\n\r\n"), UNKNOWN, "invalid_response"),
    # a response
    Case("103 then 200", responding(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK), DELIVERED),
    Case("150 headers", status(b"200 OK", HEADERS_150 + EMPTY), DELIVERED),
    Case("HTTP/1.0", responding(b"HTTP/1.0 200 OK\r\n\r\nto the end"), DELIVERED),
    Case("status 410", status(b"410 Gone"), REJECTED),
    Case("status 600", status(b"600 X"), REJECTED),
    Case("status 999", status(b"999 X"), REJECTED),
    *(
        Case(f"{code}", functools.partial(redirecting, code, address="127.0.0.2"), REJECTED)
        for code in (301, 302, 307, 308)
    ),
    # an endless or incomplete body
    Case("body one byte at a time", responding(drip(BYTES_1000, b"x")), DELIVERED, "timeout"),
    Case("body never arrives", responding(send_and_hang(BYTES_1000)), DELIVERED, "timeout"),
    Case("endless chunked", responding(endless(CHUNKED, CHUNK)), DELIVERED, "response_too_large"),
    Case("endless one-byte chunks", responding(endless(CHUNKED, b"1\r\nx\r\n" * 999)), DELIVERED, "response_too_large"),
    Case("endless trailers", responding(endless(CHUNKED + b"0\r\n", TRAILERS)), DELIVERED, "response_too_large"),
    Case("endless trailer", responding(endless(CHUNKED + b"0\r\nA: ", b"x" * 99)), DELIVERED, "response_too_large"),
    Case("10 GB", responding(endless(GIGABYTES_10, b"x" * 65_536)), DELIVERED, "response_too_large"),
    Case("gzip bomb", serving_gzip_bomb(50), DELIVERED),
    Case("truncated body", responding(BYTES_1000 + b"short"), DELIVERED, "connection_reset"),
    Case("truncated chunk", responding(CHUNKED + b"10\r\nshort"), DELIVERED, "connection_reset"),
    Case("invalid chunk", responding(CHUNKED + b"not a chunk\r\n"), DELIVERED, "invalid_response"),
]  # fmt: skip


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory):
    return write_authority(tmp_path_factory.mktemp("authority") / "ca.pem")


def find_sensitive_values(sent, requests) -> list[str]:
    """Return the secrets, signatures, tokens and headers that the records contain."""
    return [*find_leaks(sent.output, requests=requests), *(one for one in (TOKEN, HEADER) if one in sent.output)]


def check_case(case: Case, hostile, ca_file: str) -> None:
    with hostile as receiver:
        sent = send(receiver.url, EVENTS, ca_file=ca_file, **case.timeouts)
        requests = [request for request in receiver.requests if request.startswith(b"POST")]  # without TLS handshakes
    assert sent.outcomes == {(case.outcome, case.error_class): EVENTS}, sent.output
    assert sorted(sent.list_ids(case.outcome)) == [f"event-{number}" for number in range(EVENTS)]
    wanted = 0 if case.outcome == NOT_SENT or case.receiver is never_accepting else 1
    for number in range(EVENTS):
        assert len([one for one in requests if b'"message":"message %d ' % number in one]) == wanted
    assert len(requests) == wanted * EVENTS
    assert sent.seconds <= case.deadline + SLACK_SECONDS
    assert find_sensitive_values(sent, receiver.requests) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outcome_is_correct_in_time_and_after_at_most_one_request(case, ca_file):
    check_case(case, case.receiver(), ca_file)


def test_self_signed_certificate_is_reported_as_not_sent(tmp_path, ca_file):
    check_case(Case("self-signed", refusing, NOT_SENT, "tls_error"), self_signed(tmp_path), ca_file)


@pytest.mark.parametrize("encode", [lambda raw: raw, b64encode, lambda raw: raw.hex().encode()])
@pytest.mark.parametrize("scheme", [name for name, scheme in SCHEMES.items() if scheme.signature_header])
def test_sensitive_values_in_a_response_are_masked(scheme, encode):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" if SCHEMES[scheme].key_format == "whsec" else SECRET

    def echo(connection) -> None:
        sensitive = [secret, TOKEN, HEADER, *list_signatures(receiver.requests[-1])]
        echoed = b" ".join(encode(value.encode()) for value in sensitive)
        headers = b"Server: %b\r\nLocation: /%b\r\nX-Request-Id: %b\r\n" % (echoed, echoed, echoed)
        body = b"filler " * 2_800 + echoed * 20  # also across the limit of the stored body
        connection.sendall(b"HTTP/1.1 400 X\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body))

    with raw_server(echo) as receiver:
        sent = send(receiver.url, concurrency=1, scheme=scheme, secret=secret)
    assert sent.outcomes == {(REJECTED, None): 1}
    assert "***" in sent.records[0]["response_headers"]["server"]
    assert "***" in sent.records[0]["response_body"]
    assert find_leaks(sent.output, secret=secret, requests=receiver.requests) == []
    assert not any(find_leaks(sent.output, secret=value) for value in (TOKEN, HEADER))


# Requests that must not be sent


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["3000::1", "10.0.0.1"], []])
def test_disallowed_address_is_reported_as_not_sent(monkeypatch, addresses):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_arguments, **_options: addresses)
    sent = send("https://hooks.test/events", EVENTS, policy=NetworkPolicy())
    assert sent.outcomes == {(NOT_SENT, "blocked_address"): EVENTS}


def test_unresolvable_host_is_reported_as_not_sent(monkeypatch):
    def fail(*_arguments, **_options):
        raise ResolverError("hooks.test could not be resolved")

    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", fail)
    sent = send("https://hooks.test/events", EVENTS, policy=NetworkPolicy())
    assert sent.outcomes == {(NOT_SENT, "dns_error"): EVENTS}


# Through the deployment's proxy


@pytest.fixture
def resolved(monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_arguments, **_options: ["3000::1"])


def test_events_are_sent_through_the_proxy_to_the_checked_address(resolved, ca_file):
    with serving_tls("hooks.test")() as receiver, connect_proxy(receiver.port) as proxy:
        policy = NetworkPolicy(proxy=proxy.url.replace("//", "//me:hunter2@"))
        sent = send("https://hooks.test/events", EVENTS, policy=policy, ca_file=ca_file)
    assert sent.outcomes == {(DELIVERED, None): EVENTS}
    assert {record["peer_address"] for record in sent.records} == {"3000::1"}
    assert len(receiver.requests) == EVENTS
    assert all(request.startswith("CONNECT [3000::1]:443 HTTP/1.1\r\n") for request in proxy.requests)
    assert b"roxy" not in b"".join(receiver.requests)
    assert "hunter2" not in sent.output


@pytest.mark.parametrize(
    ("answer", "error_class"), [(b"HTTP/1.1 407 Who?\r\n\r\n", "proxy_error"), (b"SSH-2.0-x\r\n\r\n", "proxy_error")]
)
def test_proxy_that_refuses_the_tunnel_is_reported_as_not_sent(resolved, answer, error_class):
    with connect_proxy(find_closed_port(), answer=answer) as proxy:
        sent = send("https://hooks.test/events", EVENTS, policy=NetworkPolicy(proxy=proxy.url))
    assert sent.outcomes == {(NOT_SENT, error_class): EVENTS}


@pytest.mark.parametrize(
    "slow", [stay_silent, drip(b"", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 500)], ids=["silent", "one byte at a time"]
)
def test_slow_proxy_is_limited_by_the_connect_timeout(resolved, slow):
    with raw_server(slow) as receiver:
        policy = NetworkPolicy(proxy=f"http://127.0.0.1:{receiver.port}")
        sent = send("https://hooks.test/events", EVENTS, policy=policy, connect_timeout=CONNECT_TIMEOUT)
    assert sum(count for (outcome, _), count in sent.outcomes.items() if outcome == NOT_SENT) == EVENTS
    assert sent.seconds <= CONNECT_TIMEOUT + SLACK_SECONDS


def test_listed_address_is_connected_without_the_proxy():
    with raw_server(OK) as receiver:
        policy = NetworkPolicy(allowed_networks=["127.0.0.1"], proxy=f"http://127.0.0.1:{find_closed_port()}")
        assert send(receiver.url, EVENTS, policy=policy).outcomes == {(DELIVERED, None): EVENTS}
