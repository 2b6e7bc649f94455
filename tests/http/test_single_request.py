# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One attempt against real sockets: how many requests arrived, and whether the outcome is correct."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import socket
import ssl
import struct
import threading
import time
from base64 import b64encode
from urllib.parse import quote

import pytest
import trustme

from airflow_provider_hooks.exceptions import BlockedAddressError, ConnectError, ResolverError
from airflow_provider_hooks.http import NetworkPolicy, reuse
from airflow_provider_hooks.http import engine as engine_module
from airflow_provider_hooks.http.connect import Limits
from airflow_provider_hooks.http.response import STORED_BODY_BYTES
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.http.raw_request import BODY, open_engine, send_once, send_with
from tests.security.hostile import gzip_bomb
from tests.servers import OK, find_closed_port, raw_server, read_request
from tests.timing import SLACK_SECONDS

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1", "receiver.test"])
SECRET = "s3cret+value/with=signs"


def send(url: str, *, policy: NetworkPolicy = LOOPBACK, timeout: float = 5.0, ca_file: str | None = None):
    return send_once(
        url,
        policy=policy,
        limits=Limits(timeout=timeout, connect_timeout=2.0, ca_file=ca_file),
        headers={"Content-Type": "application/json", "X-Signature": "0" * 64},
        sensitive=(SECRET, "0" * 64),
    )


def check_connection(url: str, *, policy: NetworkPolicy = LOOPBACK, limits: Limits) -> str:
    with open_engine(url, policy=policy, limits=limits) as engine:
        return engine.check_connection()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drip(connection: socket.socket) -> None:
    for byte in OK * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless(head: bytes, part: bytes):
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(part)

    return answer


def unfinished(head: bytes):
    """Send the head of a response, and nothing more until the client closes the connection."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        connection.recv(1)

    return answer


def test_request_has_exactly_these_bytes_and_its_response_is_stored():
    stored_headers = b"Content-Type: text/plain\r\nRetry-After: 5\r\nContent-Length: 2\r\n"
    with raw_server(b"HTTP/1.1 201 Created\r\nSet-Cookie: a=b\r\n" + stored_headers + b"\r\nok") as receiver:
        attempt = send(receiver.url + "?token=x")
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook?token=x HTTP/1.1"
    names = [line.partition(":")[0] for line in lines[1:]]
    assert sorted(names) == ["Content-Length", "Content-Type", "Host", "X-Signature"]
    assert (attempt.outcome, attempt.status_code, attempt.response_body) == (Outcome.DELIVERED, 201, "ok")
    assert attempt.response_headers == {"content-type": "text/plain", "retry-after": "5", "content-length": "2"}
    assert attempt.peer_address == "127.0.0.1"
    assert attempt.phases.connect is not None
    assert attempt.phases.first_byte is not None
    assert attempt.requested_at < (attempt.responded_at or "")
    assert (attempt.error_class, attempt.message) == (None, None)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_2xx_is_delivered(status):
    with raw_server(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status) as receiver:
        assert send(receiver.url).outcome is Outcome.DELIVERED
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 404, 410, 429, 500, 503, 600, 999]
)
def test_any_other_status_is_rejected_and_no_redirect_is_followed(status):
    with raw_server(OK) as other:
        location = f"HTTP/1.1 {status} X\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server(location) as receiver:
            attempt = send(receiver.url)
    assert (attempt.outcome, attempt.status_code) == (Outcome.REJECTED, status)
    assert (len(receiver.requests), other.connections) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (b"", ErrorClass.CONNECTION_RESET),
        (reset, ErrorClass.CONNECTION_RESET),
        (lambda _connection: time.sleep(3), ErrorClass.TIMEOUT),
        (drip, ErrorClass.TIMEOUT),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ErrorClass.CONNECTION_RESET),
        (b"hello, this is not HTTP\r\n", ErrorClass.INVALID_RESPONSE),
        (b"HTTP/1.1 000 X\r\n\r\n", ErrorClass.INVALID_RESPONSE),
        (b"HTTP/1.1 99 X\r\n\r\n", ErrorClass.INVALID_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", ErrorClass.RESPONSE_TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 12_000 + b"\r\n", ErrorClass.RESPONSE_TOO_LARGE),
        (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), ErrorClass.RESPONSE_TOO_LARGE),
    ],
    ids=lambda case: getattr(case, "value", None) or (case[:30] if isinstance(case, bytes) else case.__name__),
)
def test_incomplete_response_is_unknown_and_the_request_is_sent_once(answer, error_class):
    started = time.monotonic()
    with raw_server(answer) as receiver:
        attempt = send(receiver.url, timeout=1.0)
    assert time.monotonic() - started < 1.0 + SLACK_SECONDS
    assert (attempt.outcome, attempt.error_class) == (Outcome.UNKNOWN, error_class)
    assert (len(receiver.requests), attempt.status_code, attempt.response_body) == (1, None, None)


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"x" * 65_536),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    ],
)
def test_endless_response_is_read_up_to_the_limit(answer):
    with raw_server(answer) as receiver:
        attempt = send(receiver.url)
    assert (attempt.outcome, attempt.error_class) == (Outcome.DELIVERED, ErrorClass.RESPONSE_TOO_LARGE)
    assert len(attempt.response_body or "") == STORED_BODY_BYTES


def test_complete_headers_decide_the_outcome_for_any_body():
    with raw_server(b"HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\nshort") as receiver:
        attempt = send(receiver.url)
    assert (attempt.outcome, attempt.status_code) == (Outcome.REJECTED, 500)
    assert (attempt.error_class, attempt.response_body) == (ErrorClass.CONNECTION_RESET, "short")
    with raw_server(unfinished(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")) as receiver:
        assert send(receiver.url, timeout=0.5).outcome is Outcome.DELIVERED


def test_interim_response_is_not_the_final_response():
    early = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
    with raw_server(early + b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n") as receiver:
        attempt = send(receiver.url)
    assert (attempt.status_code, attempt.response_headers) == (500, {"content-length": "0"})


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 500 Error\r\nHTTP/1.1 200 OK: y", 500),
        (b"HTTP/1.1 200 OK\r\nHTTP/1.1 500 Error: y", 200),
        (b"HTTP/1.1 200\tOK", 200),
        (b"HTTP/1.0 404", 404),
    ],
)
def test_status_is_read_from_the_first_line_only(head, status):
    with raw_server(head + b"\r\nContent-Length: 0\r\n\r\n") as receiver:
        assert send(receiver.url).status_code == status


def test_missing_ca_file_is_reported_as_not_sent():
    with raw_server(OK) as receiver:
        attempt = send(receiver.url.replace("http", "https"), ca_file="/does/not/exist/ä.pem")
        assert attempt.outcome is Outcome.NOT_SENT
        assert "ä.pem" in (attempt.message or "")
    assert receiver.requests == []


def test_secret_across_the_limit_of_the_stored_body_is_masked():
    content = b"x" * (STORED_BODY_BYTES - 10) + SECRET.encode() + b"\0" * 100
    with raw_server(b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n" % len(content) + content) as receiver:
        body = send(receiver.url).response_body or ""
    assert STORED_BODY_BYTES - 10 <= len(body) <= STORED_BODY_BYTES
    assert SECRET[:4] not in body


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("windows-1254", "Sipariş bulunamadı"),
        ('"ISO-8859-9"', "Sipariş bulunamadı"),
        ("utf-8", "Sipariş bulunamadı"),
        ("hex", "Sipari\\u015f"),
        ("no-such-charset", "Order"),
    ],
)
def test_response_is_decoded_with_its_charset(charset, text):
    text = text.encode().decode("unicode_escape") if "\\" in text else text
    codec = charset.strip('"') if charset not in {"hex", "no-such-charset"} else "utf-8"
    content = text.encode(codec)
    head = f"HTTP/1.1 422 X\r\nContent-Type: text/plain; charset={charset}\r\nContent-Length: {len(content)}\r\n\r\n"
    with raw_server(head.encode() + content) as receiver:
        assert send(receiver.url).response_body == text


def test_compressed_response_is_not_decompressed():
    with raw_server(gzip_bomb(50)) as receiver:
        attempt = send(receiver.url)
    assert attempt.outcome is Outcome.DELIVERED
    assert len(attempt.response_body or "") <= STORED_BODY_BYTES


def test_response_is_escaped_and_its_secrets_are_masked():
    content = f"{SECRET} {quote(SECRET, safe='')} {b64encode(SECRET.encode()).decode()} {'0' * 64}\r\n\x1b[31m".encode()
    head = b"HTTP/1.1 400 X\r\nServer: " + SECRET.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(content)
    with raw_server(head + content) as receiver:
        attempt = send(receiver.url)
    assert attempt.response_body == "*** *** *** ***\\r\\n\\x1b[31m"
    assert attempt.response_headers["server"] == "***"


def test_refused_connection_is_reported_as_not_sent():
    attempt = send(f"http://127.0.0.1:{find_closed_port()}/")
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.CONNECTION_REFUSED)
    assert (attempt.peer_address, attempt.status_code, attempt.responded_at) == (None, None, None)


def test_unresolvable_host_is_reported_as_not_sent(monkeypatch):
    def fail(*_args, **_options):
        raise ResolverError("receiver.test could not be resolved: nope")

    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", fail)
    attempt = send("http://receiver.test/")
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.DNS_ERROR)


class TestAddresses:
    def test_blocked_address_is_not_connected(self):
        with raw_server(OK) as receiver:
            attempt = send(receiver.url, policy=NetworkPolicy())
        assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.BLOCKED_ADDRESS)
        assert receiver.connections == 0

    def test_private_address_among_public_ones_refuses_the_host(self, monkeypatch):
        monkeypatch.setattr(
            "airflow_provider_hooks.http.connect.resolve", lambda *_args, **_options: ["8.8.8.8", "127.0.0.1"]
        )
        attempt = send("https://example.com/", policy=NetworkPolicy())
        assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.BLOCKED_ADDRESS)

    def test_host_is_resolved_once_and_the_checked_address_is_connected(self, monkeypatch):
        lookups = []
        monkeypatch.setattr(
            "airflow_provider_hooks.http.connect.resolve",
            lambda *args, **_options: lookups.append(args) or ["127.0.0.1"],
        )
        with raw_server(OK) as receiver:
            attempt = send(f"http://receiver.test:{receiver.port}/")
        assert attempt.outcome is Outcome.DELIVERED
        assert len(lookups) == 1
        assert b"Host: receiver.test:" in receiver.requests[0]

    def test_peer_address_is_checked_again_before_sending(self, monkeypatch):
        policy = NetworkPolicy(allowed_networks=["127.0.0.1"])
        checked = []

        def refuse_second_check(address, *, target=None):
            checked.append(address)
            if len(checked) > 1:
                raise BlockedAddressError("changed")

        monkeypatch.setattr(policy, "check_address", refuse_second_check)
        with raw_server(OK) as receiver:
            attempt = send(receiver.url, policy=policy)
        assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.BLOCKED_ADDRESS)
        assert receiver.requests == []

    def test_proxy_variables_and_netrc_are_ignored(self, monkeypatch, tmp_path):
        with raw_server(OK) as proxy, raw_server(OK) as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2")
            monkeypatch.setenv("HOME", str(tmp_path))
            assert send(receiver.url).outcome is Outcome.DELIVERED
        assert proxy.connections == 0
        assert b"authorization" not in receiver.requests[0].lower()


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        return authority

    def context(self, authority, name="127.0.0.1", **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, **options).configure_cert(context)
        return context

    def test_receiver_with_a_trusted_certificate_gets_the_request(self, authority, tmp_path):
        with raw_server(OK, tls=self.context(authority)) as receiver:
            attempt = send(receiver.url, ca_file=str(tmp_path / "ca.pem"))
        assert attempt.outcome is Outcome.DELIVERED
        assert attempt.phases.tls

    def test_untrusted_certificate_is_reported_as_not_sent(self, authority):
        with raw_server(OK, tls=self.context(authority)) as receiver:
            attempt = send(receiver.url)
        assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.TLS_ERROR)
        assert receiver.requests == []

    @pytest.mark.parametrize("case", ["name", "expired"])
    def test_invalid_certificate_is_reported_as_not_sent(self, authority, tmp_path, case):
        options = {"not_after": dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)} if case == "expired" else {}
        name = "other.test" if case == "name" else "127.0.0.1"
        with raw_server(OK, tls=self.context(authority, name, **options)) as receiver:
            attempt = send(receiver.url, ca_file=str(tmp_path / "ca.pem"))
        assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.TLS_ERROR)
        assert receiver.requests == []

    def test_hanging_handshake_times_out(self):
        with raw_server(lambda _connection: time.sleep(60)) as receiver:
            started = time.monotonic()
            attempt = send(receiver.url.replace("http", "https"), timeout=1.0)
        assert time.monotonic() - started < 1.0 + SLACK_SECONDS
        assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.TIMEOUT)

    def test_connection_check_verifies_the_certificate_and_sends_no_request(self, authority, tmp_path):
        limits = Limits(timeout=2, connect_timeout=2, ca_file=str(tmp_path / "ca.pem"))
        with raw_server(OK, tls=self.context(authority)) as receiver:
            assert check_connection(receiver.url, limits=limits) == "127.0.0.1"
            with pytest.raises(ConnectError) as caught:
                check_connection(receiver.url, limits=Limits(timeout=2, connect_timeout=2))
        assert caught.value.error_class is ErrorClass.TLS_ERROR
        assert (receiver.connections, receiver.requests) == (2, [])


@pytest.mark.parametrize(
    ("url", "policy", "error_class"),
    [
        ("http://127.0.0.1:{port}/", LOOPBACK, ErrorClass.CONNECTION_REFUSED),
        ("http://127.0.0.1:{port}/", NetworkPolicy(), ErrorClass.BLOCKED_ADDRESS),
    ],
)
def test_connection_check_reports_why_it_cannot_connect(url, policy, error_class):
    with pytest.raises(ConnectError) as caught:
        check_connection(
            url.format(port=find_closed_port()), policy=policy, limits=Limits(timeout=1, connect_timeout=1)
        )
    assert caught.value.error_class is error_class


class TestReusedConnections:
    """The receiver ends reused connections: each event is sent in one request."""

    LIMITS = Limits(timeout=5, connect_timeout=1)

    @staticmethod
    @contextlib.contextmanager
    def receiver(end):
        """Answer the first request of each connection; read the second, and end the connection."""
        requests: list[bytes] = []
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # the test is over
                first = read_request(connection)
                requests.append(first)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                second = read_request(connection)
                if second:
                    requests.append(second)
                end(connection)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/", requests
        finally:
            listener.close()

    @staticmethod
    def close(connection):
        connection.close()

    @staticmethod
    def reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def deliver(self, engine, url, number):
        return send_with(engine, url, headers={"X-Number": str(number)})

    @pytest.mark.parametrize("end", [close, reset], ids=["closed", "reset"])
    def test_deliveries_on_lost_reused_connections_are_unknown_after_one_request_each(self, end, monkeypatch):
        monkeypatch.setattr(reuse, "FIRST_PERIOD_SECONDS", 1e-9)
        with (
            self.receiver(end.__func__) as (url, requests),
            open_engine(url, policy=LOOPBACK, limits=self.LIMITS) as engine,
        ):
            attempts = [self.deliver(engine, url, number) for number in range(2_000)]
        assert [attempt.outcome for attempt in attempts[::2]] == [Outcome.DELIVERED] * 1_000, "on new connections"
        assert [attempt.outcome for attempt in attempts[1::2]] == [Outcome.UNKNOWN] * 1_000, "on reused ones"
        assert {attempt.error_class for attempt in attempts[1::2]} == {ErrorClass.REUSED_CONNECTION_LOST}
        numbers = [int(re.search(rb"X-Number: ([0-9]+)", request)[1]) for request in requests if request]
        assert sorted(numbers) == list(range(2_000)), "exactly one request for each delivery"

    def test_new_connections_are_used_once_after_a_lost_one(self, monkeypatch):
        monkeypatch.setattr(reuse, "FIRST_PERIOD_SECONDS", 3_600.0)
        with (
            self.receiver(self.close) as (url, _),
            open_engine(url, policy=LOOPBACK, limits=self.LIMITS) as engine,
        ):
            outcomes = [self.deliver(engine, url, number).outcome for number in range(6)]
            assert engine.opened == 5
        assert outcomes == [Outcome.DELIVERED, Outcome.UNKNOWN, *[Outcome.DELIVERED] * 4]

    def test_connection_closed_before_the_request_is_replaced(self, monkeypatch):
        """The FIN arrives between the check of the connection and the request, and acknowledges no byte of it."""
        closed = threading.Event()

        def answer(connection):
            connection.sendall(OK)
            closed.wait(5)
            connection.close()

        def close_late(sock):
            info = read_info(sock)
            if receiver.requests and not closed.is_set():
                closed.set()
                while read_info(sock)[0] == info[0]:
                    pass
            return info

        read_info = engine_module.read_tcp_info
        monkeypatch.setattr(engine_module, "read_tcp_info", close_late)
        with raw_server(answer) as receiver, open_engine(receiver.url, policy=LOOPBACK, limits=self.LIMITS) as engine:
            attempts = [self.deliver(engine, receiver.url, number) for number in range(2)]
            assert engine.opened == 2
        assert [attempt.outcome for attempt in attempts] == [Outcome.DELIVERED] * 2
        assert [len(re.findall(rb"X-Number: 1", request)) for request in receiver.requests] == [0, 1]

    def test_reused_connection_sends_nothing_of_the_previous_delivery(self):
        def answer_requests(connection):
            for _ in range(2):
                receiver.requests.append(read_request(connection))
                connection.sendall(OK)

        with (
            raw_server(lambda connection: (connection.sendall(OK), answer_requests(connection))) as receiver,
            open_engine(receiver.url, policy=LOOPBACK, limits=self.LIMITS) as engine,
        ):
            self.deliver(engine, receiver.url, 1)
            assert send_with(engine, receiver.url, body=b"other").status_code == 200
        assert receiver.connections == 1
        assert b"X-Number" not in receiver.requests[1]
        assert receiver.requests[1].endswith(b"other")

    def test_forked_process_opens_its_own_connections_and_leaves_those_of_its_parent(self):
        def answer_requests(connection):
            connection.sendall(OK)
            while request := read_request(connection):
                receiver.requests.append(request)
                connection.sendall(OK)

        with (
            raw_server(answer_requests) as receiver,
            open_engine(receiver.url, policy=LOOPBACK, limits=self.LIMITS) as engine,
        ):
            self.deliver(engine, receiver.url, 1)
            child = os.fork()
            if not child:
                attempt = self.deliver(engine, receiver.url, 2)
                os._exit(0 if attempt.outcome is Outcome.DELIVERED else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert self.deliver(engine, receiver.url, 3).outcome is Outcome.DELIVERED
            assert engine.opened == 1, "the parent's connection still works"
        assert receiver.connections == 2
