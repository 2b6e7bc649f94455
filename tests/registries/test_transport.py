# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import gzip
import socket
import ssl
import time
import zlib

import pytest
import requests
import requests_mock
import trustme

from airflow_provider_hooks.exceptions import RegistryError
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.registries import transport
from airflow_provider_hooks.registries.model import HookSpec
from airflow_provider_hooks.registries.transport import RegistryTransport
from tests.registries.platform_data import TOKEN, make_api
from tests.servers import OK, find_closed_port, raw_server
from tests.timing import SLACK_SECONDS

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1", "api.test"])
API = make_api("sentry")
LIST = API.list_hooks("1:2:0")
CREATE = API.create(HookSpec(url="https://example.com/", events=("event.alert",)))
HOOKS = "/projects/the-interstellar-jurisdiction/pump-station/hooks/"


def client(base_url: str = "https://sentry.example/api/0", *, policy: NetworkPolicy = LOOPBACK, timeout: float = 2):
    return RegistryTransport(make_api("sentry", base_url=base_url, timeout=timeout), policy=policy, connect_timeout=1)


def read_raw(_call, response):
    """Return the response without parsing it."""
    return response


def send_and_fail(call=CREATE, **options) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        client(**options).send(call, read_raw)
    assert TOKEN not in str(caught.value)
    assert str(caught.value).startswith("Sentry, ")
    return caught.value


def test_exactly_the_documented_request_is_sent():
    with raw_server(b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 2\r\n\r\n{}") as receiver:
        opened = client(f"http://127.0.0.1:{receiver.port}/api/0")
        response = opened.send(CREATE, read_raw)
        opened.send(LIST, read_raw)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST /api/0{HOOKS} HTTP/1.1"
    assert f"Authorization: Bearer {TOKEN}" in lines
    assert "Content-Type: application/json" in lines
    assert "Accept-Encoding: identity" in lines
    assert body == b'{"url": "https://example.com/", "events": ["event.alert"]}'
    assert receiver.requests[1].startswith(f"GET /api/0{HOOKS}?cursor=1%3A2%3A0 HTTP/1.1".encode())
    assert (response.status_code, response.headers["x-a"], response.body) == (201, "b", b"{}")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 429, 500, 503])
def test_requests_are_neither_retried_nor_redirected(status):
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as other:
        moved = f"HTTP/1.1 {status} X\r\nLocation: {other.url}\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
        with raw_server(moved.encode()) as receiver:
            opened = client(f"http://127.0.0.1:{receiver.port}")
            assert opened.send(CREATE, read_raw).status_code == status
            assert opened.send(LIST, read_raw).status_code == status
    assert (len(receiver.requests), other.connections) == (2, 0)


@pytest.mark.parametrize("call", [CREATE, LIST])
def test_missing_response_is_reported_as_sent(call):
    with raw_server(b"") as receiver:
        error = send_and_fail(call, base_url=f"http://127.0.0.1:{receiver.port}")
    assert (error.sent, error.status_code, error.retryable) == (True, None, True)
    assert "sent, but no complete response arrived" in str(error)
    assert len(receiver.requests) == 1


def test_chunked_response_is_read_completely():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
    with raw_server(chunked) as receiver:
        assert client(f"http://127.0.0.1:{receiver.port}").send(LIST, read_raw).body == b"[1]"


def compress(text: bytes, coding: str) -> bytes:
    return gzip.compress(text, mtime=0) if "gzip" in coding else zlib.compress(text)


def compressed(coding: str, body: bytes, *, status: int = 200) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate"])
def test_compressed_response_is_read(coding):
    hook = b'[{"id": "0123", "url": "https://x.example/", "events": [], "status": "active", "dateCreated": ""}]'
    with raw_server(compressed(coding, compress(hook, coding.lower()))) as receiver:
        page = client(f"http://127.0.0.1:{receiver.port}").send(LIST, API.read_page)
    assert [one.hook_id for one in page.hooks] == ["0123"]


def test_compressed_error_response_is_read():
    refused = compressed("gzip", gzip.compress(b'{"detail": "no such scope"}', mtime=0), status=403)
    with raw_server(refused) as receiver, pytest.raises(RegistryError, match="HTTP 403: no such scope"):
        client(f"http://127.0.0.1:{receiver.port}").send(LIST, API.read_page)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (gzip.compress(b" " * 5_000_000, mtime=0), "larger than"),
        (b"not compressed", "compressed body is not valid"),
        (gzip.compress(b"[" + b" " * 999 + b"]", mtime=0)[:-4], "incomplete"),
    ],
)
def test_compressed_body_that_is_too_large_or_invalid_is_an_error(body, problem):
    with raw_server(compressed("gzip", body)) as receiver:
        assert problem in str(send_and_fail(base_url=f"http://127.0.0.1:{receiver.port}"))


def test_truncated_response_is_reported_as_sent():
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{") as receiver:
        assert send_and_fail(base_url=f"http://127.0.0.1:{receiver.port}").sent


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 302 X\r\nLocation: /x\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_slow_response_ends_at_the_timeout_of_the_call(head, part):
    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(600):
            connection.sendall(part)
            time.sleep(0.05)

    started = time.monotonic()
    with raw_server(drip) as receiver:
        error = send_and_fail(base_url=f"http://127.0.0.1:{receiver.port}", timeout=0.5)
    assert time.monotonic() - started < 0.5 + SLACK_SECONDS
    assert "within 0.5 s" in str(error)


def test_endless_response_is_an_error_at_the_size_limit():
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with raw_server(endless) as receiver:
        assert "larger than" in str(send_and_fail(base_url=f"http://127.0.0.1:{receiver.port}"))


@pytest.mark.parametrize("location", [b"\xff", b"http://[bad/", b"http://169.254.169.254/"])
def test_location_of_a_redirect_is_not_parsed(location):
    with raw_server(b"HTTP/1.1 302 X\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n") as receiver:
        assert client(f"http://127.0.0.1:{receiver.port}").send(CREATE, read_raw).status_code == 302
        assert client(f"http://127.0.0.1:{receiver.port}").send(LIST, read_raw).status_code == 302


def test_token_echoed_by_the_server_is_masked_in_the_error():
    content = b'{"detail": "bad token %s, url https://example.com/?k=pr1vate"}' % TOKEN.encode()
    call = API.create(HookSpec(url="https://example.com/?k=pr1vate", events=("event.alert",)))
    with (
        raw_server(b"HTTP/1.1 401 X\r\nContent-Length: %d\r\n\r\n" % len(content) + content) as receiver,
        pytest.raises(RegistryError, match=r"HTTP 401: bad token \*\*\*") as caught,
    ):
        client(f"http://127.0.0.1:{receiver.port}").send(call, API.read_hook)
    assert "pr1vate" not in str(caught.value)
    assert (caught.value.status_code, caught.value.retryable) == (401, False)


def test_untrusted_certificate_is_reported_as_not_sent():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with raw_server(b"", tls=context) as receiver:
        error = send_and_fail(base_url=f"https://127.0.0.1:{receiver.port}")
    assert (error.sent, receiver.requests) == (False, [])
    assert "certificate verify failed" in str(error)


def test_tls_to_a_plaintext_port_is_reported_as_not_sent():
    with raw_server(b"HTTP/1.1 400 X\r\n\r\n") as receiver:
        error = send_and_fail(base_url=f"https://127.0.0.1:{receiver.port}")
    assert error.sent is False
    assert "Connection(" not in str(error), "the text of the library is not quoted"


def test_refused_connection_is_reported_as_not_sent():
    error = send_and_fail(base_url=f"http://127.0.0.1:{find_closed_port()}")
    assert (error.sent, error.retryable) == (False, True)
    assert "not sent" in str(error)
    assert "refused" in str(error)


class TestAddresses:
    def test_token_is_not_sent_to_a_disallowed_address(self):
        with raw_server(b"") as receiver:
            error = send_and_fail(base_url=f"http://127.0.0.1:{receiver.port}", policy=NetworkPolicy())
        assert (error.sent, error.retryable, receiver.connections) == (False, False, 0)

    def test_private_address_among_several_refuses_the_host(self, monkeypatch):
        monkeypatch.setattr(
            "airflow_provider_hooks.http.connect.resolve", lambda *_args, **_options: ["8.8.8.8", "10.0.0.1"]
        )
        error = send_and_fail(base_url="https://sentry.example", policy=NetworkPolicy())
        assert "10.0.0.1 is not a public address" in str(error)
        assert error.sent is False

    def test_host_is_resolved_once_and_the_checked_address_is_connected(self, monkeypatch):
        resolved = []
        monkeypatch.setattr(
            "airflow_provider_hooks.http.connect.resolve",
            lambda *args, **_options: resolved.append(args) or ["127.0.0.1"],
        )
        with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]") as receiver:
            assert client(f"http://api.test:{receiver.port}").send(LIST, read_raw).status_code == 200
        assert len(resolved) == 1
        assert b"Host: api.test:" in receiver.requests[0]

    def test_proxies_and_netrc_of_the_environment_are_ignored(self, monkeypatch, tmp_path):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
        with raw_server(response) as proxy, raw_server(response) as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            client(f"http://127.0.0.1:{receiver.port}").send(LIST, read_raw)
        assert proxy.connections == 0
        assert f"Bearer {TOKEN}".encode() in receiver.requests[0]


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.SSLError(f"bad certificate {TOKEN}"),
        requests.exceptions.ChunkedEncodingError("broken"),
        requests.exceptions.ConnectionError(ConnectionResetError(104, "reset")),
    ],
)
def test_exceptions_of_requests_are_registry_errors_without_the_token(error):
    with requests_mock.Mocker() as mocked:
        mocked.post(requests_mock.ANY, exc=error)
        assert send_and_fail().sent is True


def test_remaining_connect_timeout_does_not_limit_the_request():
    with raw_server(OK) as receiver:

        def connect(_target):
            sock = socket.create_connection(("127.0.0.1", receiver.port))
            sock.settimeout(0.001)
            return sock

        pool = transport._make_pool_classes(connect)["http"]("127.0.0.1", receiver.port, timeout=5)
        connection = pool._new_conn()
        connection.connect()
        assert connection.sock.gettimeout() == 5
        connection.close()


def test_tls_keys_are_not_written_to_sslkeylogfile(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with raw_server(OK, tls=context) as receiver:
        api = make_api("sentry", base_url=f"https://127.0.0.1:{receiver.port}", timeout=5)
        trusting = RegistryTransport(api, policy=LOOPBACK, connect_timeout=5, ca_file=str(tmp_path / "ca.pem"))
        assert trusting.send(LIST, read_raw).status_code == 200
    assert not (tmp_path / "keys").exists()
