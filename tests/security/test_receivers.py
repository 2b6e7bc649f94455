# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliveries to hostile receivers: the outcome is correct, within the timeout, with little memory and one request.

No part of the package is replaced: the claim, the signature, libcurl, the record and the log are real.
"""

from __future__ import annotations

import functools
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from airflow_provider_hooks.exceptions import DeliveryFailedError, DeliveryNotSentError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.signing import SCHEMES
from tests.airflow_context import StateStore
from tests.security.deliveries import CONN_ID, CONNECT_TIMEOUT, TIMEOUT, find_leaks, list_signatures
from tests.security.hostile import (
    BIG_LINE,
    BYTES_1000,
    CHUNK,
    CHUNKED,
    EMPTY,
    EXPIRED,
    GIGABYTES_10,
    HEADERS_150,
    MEGABYTE,
    TWO_LENGTHS,
    Receiver,
    black_hole,
    drip,
    endless,
    gzip_bomb,
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
)
from tests.servers import OK, raw_server, read_request
from tests.timing import PATIENT_SECONDS, SLACK_SECONDS

DELIVERED, REJECTED, NOT_SENT, UNKNOWN = "delivered", "rejected", "not_sent", "unknown"
RAISED = {
    DELIVERED: type(None),
    REJECTED: DeliveryFailedError,
    UNKNOWN: DeliveryFailedError,
    NOT_SENT: DeliveryNotSentError,
}
MAX_MEMORY_GROWTH = 20 * MEGABYTE


@dataclass(frozen=True)
class Case:
    """A receiver, and the expected outcome of a delivery to it."""

    name: str
    receiver: Receiver
    outcome: str
    error_class: str | None = None
    deadline: float = TIMEOUT

    @property
    def requests(self) -> int:
        return 0 if self.outcome == NOT_SENT or self.receiver is never_accepting else 1


CASES = [
    # no connection
    Case("refused", refusing, NOT_SENT, "connection_refused"),
    Case("black hole", black_hole, NOT_SENT, "timeout", CONNECT_TIMEOUT),
    Case("never accepting", never_accepting, UNKNOWN, "timeout"),
    # TLS
    Case("valid TLS", serving_tls(), DELIVERED),
    Case("expired TLS", serving_tls(**EXPIRED), NOT_SENT, "tls_error"),
    Case("TLS of another name", serving_tls("other.test"), NOT_SENT, "tls_error"),
    Case("TLS handshake hangs", hanging_in_the_handshake, NOT_SENT, "timeout", CONNECT_TIMEOUT),
    # no answer
    Case("no response", responding(stay_silent), UNKNOWN, "timeout"),
    Case("closed after the request", responding(b""), UNKNOWN, "connection_reset"),
    Case("reset after the request", responding(reset), UNKNOWN, "connection_reset"),
    # no complete headers
    Case("header one byte at a time", responding(drip(b"", OK[:-6] * 20)), UNKNOWN, "timeout"),
    Case("endless 1xx", responding(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")), UNKNOWN, "response_too_large"),
    Case("slow 1xx", responding(drip(b"", b"HTTP/1.1 102 Processing\r\n\r\n")), UNKNOWN, "timeout"),
    Case("header line of 70 kB", status(b"200 OK", BIG_LINE + EMPTY), UNKNOWN, "response_too_large"),
    Case("endless headers", responding(endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n")), UNKNOWN, "response_too_large"),
    Case("HTTP/0.9", responding(b"<html>hello</html>"), UNKNOWN, "invalid_response"),
    Case("not HTTP", responding(b"SSH-2.0-OpenSSH_9.6\r\n"), UNKNOWN, "invalid_response"),
    Case("status 0", status(b"0 X"), UNKNOWN, "invalid_response"),
    Case("status 000", status(b"000 X"), UNKNOWN, "invalid_response"),
    Case("status 99", status(b"99 X"), UNKNOWN, "invalid_response"),
    Case("status 099", status(b"099 X"), UNKNOWN, "invalid_response"),
    Case("status 2000", status(b"2000 X"), UNKNOWN, "invalid_response"),
    Case("two Content-Lengths", status(b"200 OK", TWO_LENGTHS), UNKNOWN, "invalid_response"),
    # an answer
    Case("103 then 200", responding(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK), DELIVERED),
    Case("150 headers", status(b"200 OK", HEADERS_150 + EMPTY), DELIVERED),
    Case("status 410", status(b"410 Gone"), REJECTED),
    Case("status 600", status(b"600 X"), REJECTED),
    Case("status 999", status(b"999 X"), REJECTED),
    Case("429 with an invalid Retry-After", status(b"429 X", b"Retry-After: 1e99\r\n" + EMPTY), REJECTED),
    *(
        Case(f"{code} to {address}", functools.partial(redirecting, code, address=address), REJECTED)
        for code in range(300, 309)
        for address in ("127.0.0.1", "127.0.0.2")
    ),
    # an endless body, or none
    Case("body one byte at a time", responding(drip(BYTES_1000, b"x")), DELIVERED, "timeout"),
    Case("body never comes", responding(send_and_hang(BYTES_1000)), DELIVERED, "timeout"),
    Case("endless chunked", responding(endless(CHUNKED, CHUNK)), DELIVERED, "response_too_large"),
    Case("endless one-byte chunks", responding(endless(CHUNKED, b"1\r\nx\r\n" * 999)), DELIVERED, "response_too_large"),
    Case("endless trailers", responding(endless(CHUNKED + b"0\r\n", b"A: b\r\n")), DELIVERED, "response_too_large"),
    Case("10 GB", responding(endless(GIGABYTES_10, b"x" * 65_536)), DELIVERED, "response_too_large"),
    Case("gzip bomb", serving_gzip_bomb(50), DELIVERED),
    Case("large gzip bomb", serving_gzip_bomb(200), DELIVERED, "response_too_large"),
    Case("truncated body", responding(BYTES_1000 + b"short"), DELIVERED, "connection_reset"),
    Case("truncated chunk", responding(CHUNKED + b"10\r\nshort"), DELIVERED, "connection_reset"),
    Case("invalid chunk", responding(CHUNKED + b"not a chunk\r\n"), DELIVERED, "invalid_response"),
]  # fmt: skip


def check_delivery(case: Case, sender, hostile) -> None:
    store = StateStore()
    with hostile as receiver:
        if case.error_class == "timeout":
            sender.set(connect_timeout=CONNECT_TIMEOUT)
            sender.connect(receiver.url, timeout=TIMEOUT)
        else:
            sender.connect(receiver.url)
        result = sender.deliver(store=store, measures_memory=True)
        if case.outcome != NOT_SENT:
            sender.deliver(store=store, try_number=2)
    assert result.outcome == (case.outcome, case.error_class), result.record
    assert type(result.error) is RAISED[case.outcome]
    sent = [request for request in receiver.requests if request.startswith(b"POST")]  # a TLS handshake is not a request
    assert len(sent) == case.requests, "one request, and none in the next try"
    assert receiver.connections <= 1
    assert result.seconds <= case.deadline + SLACK_SECONDS
    assert result.memory_growth < MAX_MEMORY_GROWTH
    assert find_leaks(result.output, requests=receiver.requests) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outcome_is_correct_in_time_after_at_most_one_request(case, sender):
    check_delivery(case, sender, case.receiver())


def test_receiver_with_a_self_signed_certificate_gets_no_request(sender, tmp_path):
    check_delivery(Case("self-signed", refusing, NOT_SENT, "tls_error"), sender, self_signed(tmp_path))


def test_gzip_body_is_stored_without_decompression(sender):
    with raw_server(gzip_bomb(50)) as receiver:
        sender.connect(receiver.url)
        assert sender.deliver().record["response_body"].startswith("\\x1f")


def test_retry_after_is_stored_and_not_waited_for(sender):
    with raw_server(b"HTTP/1.1 429 X\r\nRetry-After: 1e99\r\n" + EMPTY) as receiver:
        sender.connect(receiver.url)
        result = sender.deliver()
    assert result.record["response_headers"]["retry-after"] == "1e99"
    assert result.seconds < PATIENT_SECONDS


def test_request_is_not_repeated_if_a_reused_connection_is_closed(sender):
    def answer_once(connection) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + EMPTY)
        second = read_request(connection)
        if second:
            receiver.requests.append(second)

    with raw_server(answer_once) as receiver:
        sender.connect(receiver.url)
        hook = EndpointHook(CONN_ID)
        first, second = (sender.deliver(hook=hook) for _ in range(2))
    assert (first.outcome, second.outcome) == ((DELIVERED, None), (UNKNOWN, "reused_connection_lost"))
    assert len(receiver.requests) == 2, "libcurl alone would send the second one again"
    assert find_leaks(first.output + second.output, requests=receiver.requests) == []


SECRETS = {
    "signs": "s3cret+value/with=signs&<more>\"'",
    "non-ASCII": "пароль-für-tests",
    "whsec": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsk": "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
}
SIGNED = [
    (name, kind)
    for name, scheme in SCHEMES.items()
    for kind in SECRETS
    if scheme.signature_header
    and (scheme.key_format == "text" or kind == "whsec" or (kind == "whsk" and scheme.takes_ed25519))
]
ENCODINGS = {
    "plain": lambda raw: raw,
    "URL-encoded": lambda raw: quote(raw, safe="").encode(),
    "URL-encoded in lower case": lambda raw: quote(raw, safe="").lower().encode(),
    "base64": b64encode,
    "base64 for URLs": urlsafe_b64encode,
    "base64 within a longer text": lambda raw: b64encode(b"x" + raw + b"xy") + b64encode(b"xy" + raw + b"x"),
    "hexadecimal": lambda raw: raw.hex().encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("scheme", "kind"), SIGNED)
def test_echoed_secret_and_signature_are_masked(sender, scheme, kind, encoding):
    secret = SECRETS[kind]
    echoes = []

    def echo(connection) -> None:
        private = [secret, secret.removeprefix("whsec_").removeprefix("whsk_"), *list_signatures(receiver.requests[0])]
        echoes.append(b" ".join(ENCODINGS[encoding](value.encode()) for value in private))
        headers = b"Server: %b\r\nLocation: /%b\r\nX-Request-Id: %b\r\n" % (echoes[0], echoes[0], echoes[0])
        body = b"filler " * 2_800 + echoes[0] * 20  # also across the limit of what is stored
        connection.sendall(b"HTTP/1.1 400 X\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body))

    with raw_server(echo) as receiver:
        sender.connect(receiver.url, password=secret, scheme=scheme)
        result = sender.deliver()
    assert result.outcome == (REJECTED, None)
    assert "***" in result.record["response_headers"]["server"]
    assert "***" in result.record["response_body"]
    assert len(list_signatures(receiver.requests[0])) >= 2
    assert find_leaks(result.output, secret=secret, requests=receiver.requests) == []
