# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import socket
import time

import pytest
import requests
import requests_mock
from servers import find_closed_port, raw_server

from airflow_provider_hooks.network import NetworkPolicy
from airflow_provider_hooks.registries import sentry, transport
from airflow_provider_hooks.registries.client import RegistryClient
from airflow_provider_hooks.registries.model import RegistryError
from airflow_provider_hooks.registries.platforms import PLATFORMS
from airflow_provider_hooks.registries.registry import Registry

TOKEN = "t0ken-of-ours"
LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1", "api.test"])
LIST = sentry.list_hooks("org", "project", cursor="1:2:0")
CREATE = sentry.create_hook("org", "project", url="https://example.com/", events=["event.alert"])


def client(base_url: str = "https://sentry.example/api/0", *, policy: NetworkPolicy = LOOPBACK, timeout: float = 2):
    registry = Registry(
        conn_id="c",
        platform=PLATFORMS["sentry"],
        base_url=base_url,
        token=TOKEN,
        organization="org",
        project="project",
        timeout=timeout,
    )
    return RegistryClient(registry, policy=policy, connect_timeout=1)


def fail(call=CREATE, **options) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        client(**options).send(call)
    assert TOKEN not in str(caught.value)
    assert str(caught.value).startswith("Sentry, ")
    return caught.value


def test_exactly_the_documented_request_is_sent():
    with raw_server(b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 2\r\n\r\n{}") as heard:
        opened = client(f"http://127.0.0.1:{heard.port}/api/0")
        answer = opened.send(CREATE)
        opened.send(LIST)
    head, _, body = heard.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /api/0/projects/org/project/hooks/ HTTP/1.1"
    assert f"Authorization: Bearer {TOKEN}" in lines
    assert "Content-Type: application/json" in lines
    assert body == b'{"url": "https://example.com/", "events": ["event.alert"]}'
    assert heard.requests[1].startswith(b"GET /api/0/projects/org/project/hooks/?cursor=1%3A2%3A0 HTTP/1.1")
    assert (answer.status_code, answer.headers["x-a"], answer.body) == (201, "b", b"{}")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 429, 500, 503])
def test_nothing_is_repeated_or_redirected(status):
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as other:
        moved = f"HTTP/1.1 {status} X\r\nLocation: {other.url}\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
        with raw_server(moved.encode()) as heard:
            opened = client(f"http://127.0.0.1:{heard.port}")
            assert opened.send(CREATE).status_code == status
            assert opened.send(LIST).status_code == status
    assert (len(heard.requests), other.connections) == (2, 0)


@pytest.mark.parametrize("call", [CREATE, LIST])
def test_an_answer_that_never_arrives_is_told_as_sent(call):
    with raw_server(b"") as heard:
        error = fail(call, base_url=f"http://127.0.0.1:{heard.port}")
    assert (error.sent, error.status_code, error.is_passing) == (True, None, True)
    assert "sent, but no complete answer arrived" in str(error)
    assert len(heard.requests) == 1


def test_a_chunked_answer_is_read_to_its_end():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n"
    with raw_server(chunked) as heard:
        assert client(f"http://127.0.0.1:{heard.port}").send(LIST).body == b"[1]"


def test_a_truncated_answer_is_told_as_sent():
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{") as heard:
        assert fail(base_url=f"http://127.0.0.1:{heard.port}").sent


def test_a_dripping_answer_ends_with_the_time_for_the_call():
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x" * 10)
            time.sleep(0.05)

    started = time.monotonic()
    with raw_server(drip) as heard:
        error = fail(base_url=f"http://127.0.0.1:{heard.port}", timeout=0.5)
    assert time.monotonic() - started < 1
    assert "within 0.5 s" in str(error)


def test_an_endless_answer_is_bounded():
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with raw_server(endless) as heard:
        assert "larger than" in str(fail(base_url=f"http://127.0.0.1:{heard.port}"))


def test_nobody_listening_is_told_as_not_sent():
    error = fail(base_url=f"http://127.0.0.1:{find_closed_port()}")
    assert (error.sent, error.is_passing) == (False, True)
    assert "not sent" in str(error)
    assert "refused" in str(error)


class TestAddresses:
    def test_a_token_does_not_go_to_an_address_that_is_not_allowed(self):
        with raw_server(b"") as heard:
            error = fail(base_url=f"http://127.0.0.1:{heard.port}", policy=NetworkPolicy())
        assert (error.sent, heard.connections) == (False, 0)

    def test_one_private_answer_of_the_resolver_refuses_all(self, monkeypatch):
        monkeypatch.setattr(transport, "resolve", lambda *_args, **_options: ["8.8.8.8", "10.0.0.1"])
        error = fail(base_url="https://sentry.example", policy=NetworkPolicy())
        assert "10.0.0.1 is not a public address" in str(error)
        assert error.sent is False

    def test_the_host_is_resolved_once_and_connected_to_where_it_was_judged(self, monkeypatch):
        asked = []
        monkeypatch.setattr(transport, "resolve", lambda *args, **_options: asked.append(args) or ["127.0.0.1"])
        with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]") as heard:
            assert client(f"http://api.test:{heard.port}").send(LIST).status_code == 200
        assert len(asked) == 1
        assert b"Host: api.test:" in heard.requests[0]

    def test_the_environment_is_not_looked_at(self, monkeypatch, tmp_path):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
        with raw_server(answer) as proxy, raw_server(answer) as heard:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            client(f"http://127.0.0.1:{heard.port}").send(LIST)
        assert proxy.connections == 0
        assert f"Bearer {TOKEN}".encode() in heard.requests[0]


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.SSLError(f"bad certificate {TOKEN}"),
        requests.exceptions.ChunkedEncodingError("broken"),
        requests.exceptions.ConnectionError(ConnectionResetError(104, "reset")),
    ],
)
def test_an_odd_failure_is_one_error_without_the_token(error):
    with requests_mock.Mocker() as mocked:
        mocked.post(requests_mock.ANY, exc=error)
        assert fail().sent is True
