# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Requests through a proxy, and the address checks that still apply.

The proxy is a real one on loopback. It connects every tunnel to a receiver of the test, so that a public address can be
requested without any traffic to it; the address is in an unassigned block of 2000::/3.
"""

from __future__ import annotations

import ssl

import pytest
import trustme

from airflow_provider_hooks.exceptions import ConnectError, RegistryError, ValidationError
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import Limits
from airflow_provider_hooks.http.proxy import check_connect_response, read_proxy
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.registries.transport import RegistryTransport
from tests.http.raw_request import open_engine, send_once
from tests.registries.platform_data import make_api
from tests.servers import OK, connect_proxy, find_closed_port, raw_server

PUBLIC = "3000::1"
URL = "https://hooks.test/events"


@pytest.fixture
def limits(tmp_path, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_args, **_options: [PUBLIC])
    return Limits(timeout=3, connect_timeout=2, ca_file=str(tmp_path / "ca.pem"))


@pytest.fixture
def receiver(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.test").configure_cert(context)
    with raw_server(OK, tls=context) as receiver:
        yield receiver


def send(policy, limits, *, url=URL):
    return send_once(url, policy=policy, limits=limits, headers={"X-A": "b"}, body=b"{}")


def check_connection(policy, limits):
    with open_engine(URL, policy=policy, limits=limits) as engine:
        return engine.check_connection()


def test_delivery_uses_a_tunnel_to_the_checked_address(receiver, limits):
    with connect_proxy(receiver.port) as proxy:
        attempt = send(NetworkPolicy(proxy=proxy.url), limits)
    assert (attempt.outcome, attempt.status_code, attempt.peer_address) == (Outcome.DELIVERED, 200, PUBLIC)
    assert attempt.response_headers == {"content-length": "2"}, (
        "the headers of the proxy are not in the receiver's response"
    )
    (connect_request,) = proxy.requests
    assert connect_request.startswith(f"CONNECT [{PUBLIC}]:443 HTTP/1.1\r\n")
    assert "hooks.test" not in connect_request
    (request,) = receiver.requests
    assert request.startswith(b"POST /events HTTP/1.1\r\nHost: hooks.test\r\n")


def test_next_address_is_requested_from_a_proxy_that_refuses_one(receiver, limits, monkeypatch):
    """Nothing was sent yet, so the next address is tried: a proxy may have no IPv6."""
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_args, **_options: [PUBLIC, "8.8.8.8"])
    with connect_proxy(receiver.port, refuses="[") as proxy:
        attempt = send(NetworkPolicy(proxy=proxy.url), limits)
    assert (attempt.outcome, attempt.peer_address) == (Outcome.DELIVERED, "8.8.8.8")
    assert [line.split()[1] for line in proxy.requests] == [f"[{PUBLIC}]:443", "8.8.8.8:443"]


def test_proxy_credentials_are_sent_to_the_proxy_only(receiver, limits):
    with connect_proxy(receiver.port) as proxy:
        url = proxy.url.replace("//", "//me:p%40ss@")
        assert send(NetworkPolicy(proxy=url), limits).outcome is Outcome.DELIVERED
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in proxy.requests[0]
    assert b"roxy" not in receiver.requests[0]


@pytest.mark.parametrize("addresses", [["10.0.0.1"], [PUBLIC, "10.0.0.1"]])
def test_disallowed_address_is_not_requested_from_the_proxy(limits, monkeypatch, addresses):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_args, **_options: addresses)
    with connect_proxy(find_closed_port()) as proxy:
        attempt = send(NetworkPolicy(proxy=proxy.url), limits)
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.BLOCKED_ADDRESS)
    assert proxy.requests == []


def test_listed_host_is_connected_without_the_proxy(limits, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_args, **_options: ["127.0.0.1"])
    with raw_server(OK) as receiver, connect_proxy(receiver.port) as proxy:
        for listed, host in (("127.0.0.1", "127.0.0.1"), ("hooks.test", "hooks.test")):
            policy = NetworkPolicy(allowed_networks=[listed], proxy=proxy.url)
            assert send(policy, limits, url=f"http://{host}:{receiver.port}/").outcome is Outcome.DELIVERED
    assert (proxy.requests, len(receiver.requests)) == ([], 2)


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ErrorClass.PROXY_ERROR),
        (b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n", ErrorClass.PROXY_ERROR),
        (b"SSH-2.0-x\r\n\r\n", None),
    ],
)
def test_proxy_that_refuses_the_tunnel_is_reported_as_not_sent(receiver, limits, answer, error_class):
    with connect_proxy(receiver.port, answer=answer) as proxy:
        policy = NetworkPolicy(proxy=proxy.url)
        attempt = send(policy, limits)
        with pytest.raises(ConnectError):
            check_connection(policy, limits)
        with pytest.raises(RegistryError) as caught:
            list_hooks(policy, limits)
    assert attempt.outcome is Outcome.NOT_SENT
    assert error_class in {None, attempt.error_class}
    assert caught.value.sent is False
    assert receiver.requests == []


def list_hooks(policy, limits):
    api = make_api("sentry", base_url="https://hooks.test/api/0", timeout=3)
    client = RegistryTransport(api, policy=policy, connect_timeout=2, ca_file=limits.ca_file)
    return client.send(api.list_hooks(None), lambda _request, response: response)


def test_registry_is_called_through_the_proxy(receiver, limits):
    with connect_proxy(receiver.port) as proxy:
        assert list_hooks(NetworkPolicy(proxy=proxy.url), limits).body == b"ok"
    assert proxy.requests[0].startswith(f"CONNECT [{PUBLIC}]:443 HTTP/1.1\r\n")
    assert b"Host: hooks.test\r\n" in receiver.requests[0]


def test_connection_check_uses_the_proxy_and_sends_no_request(receiver, limits):
    with connect_proxy(receiver.port) as proxy:
        assert check_connection(NetworkPolicy(proxy=proxy.url), limits) == PUBLIC
    assert (len(proxy.requests), receiver.requests) == (1, [])


def test_unreachable_proxy_is_reported_as_not_sent(limits):
    policy = NetworkPolicy(proxy=f"http://127.0.0.1:{find_closed_port()}")
    attempt = send(policy, limits)
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.CONNECTION_REFUSED)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "proxy.internal:3128",
            "https://proxy.internal:3128",
            "http://proxy.internal",
            "http://:3128",
            "socks5://a:1",
        ),
        *("http://a:1/path", "http://a:1?q", "http://a:1#f", "http://a:99999", "http://a b:1", "http://u%0d:p@a:1"),
        "http://[::1:1",
    ],
)
def test_invalid_proxy_url_is_refused_without_quoting_it(text):
    with pytest.raises(ValidationError, match="proxy: ") as caught:
        NetworkPolicy(proxy=text)
    assert text not in str(caught.value)


def test_repr_contains_no_proxy_password():
    assert "hunter2" not in repr(read_proxy("http://me:hunter2@proxy.internal:3128"))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1", b"HTTP/1.1 abc", b"HTTP/1.1 \xb2\xb2", b"\xff\xff 200"])
def test_connect_response_that_is_not_http_is_an_error(answer):
    with pytest.raises(OSError, match="response is not HTTP"):
        check_connect_response(answer)
