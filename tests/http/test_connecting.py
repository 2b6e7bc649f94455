# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is connected to was judged: every address before, and the peer after."""

from __future__ import annotations

import gc
import socket
import time
import warnings

import pytest
from airflow_provider_hooks.http.connecting import connect_checked

from airflow_provider_hooks.exceptions import BlockedAddressError, ProxyError, ResolverError
from airflow_provider_hooks.http import NetworkPolicy, connecting, resolver
from airflow_provider_hooks.http.proxy import MAX_ANSWER_BYTES
from airflow_provider_hooks.http.urls import Target
from tests.security.hostile import answering, black_hole, drip, stay_silent
from tests.servers import OK, connect_proxy, find_closed_port, raw_server

PUBLIC = "3000::1"
"""Of a block of 2000::/3 that nobody was given; it is only ever named to a proxy of the test."""


@pytest.fixture(autouse=True)
def no_socket_is_left_open():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(one.message) for one in said if one.category is ResourceWarning] == []


@pytest.fixture
def resolved(monkeypatch):
    def set_addresses(*addresses):
        monkeypatch.setattr(resolver, "resolve", lambda *_arguments, **_options: list(addresses))

    return set_addresses


@pytest.fixture
def attempts(monkeypatch):
    """Note every address that is connected to; those that are not of loopback are refused by the test."""
    tried: list[str] = []
    really_connect = socket.create_connection

    def connect(address, **options):
        tried.append(address[0])
        if not address[0].startswith("127."):
            raise ConnectionRefusedError
        return really_connect(address, **options)

    monkeypatch.setattr(connecting.socket, "create_connection", connect)
    return tried


def connect(
    port: int, *, host: str = "hooks.test", timeout: float = 1.0, listed=("hooks.test",), proxy: str | None = None
):
    policy = NetworkPolicy(allowed_networks=listed, proxy=proxy)
    return connect_checked(Target(scheme="http", host=host, port=port), policy=policy, timeout=timeout)


def test_the_connection_and_its_address_are_returned(resolved, attempts):
    resolved("127.0.0.1")
    with raw_server(OK) as heard:
        sock, peer = connect(heard.port)
        with sock:
            assert (peer, sock.getpeername()) == ("127.0.0.1", ("127.0.0.1", heard.port))
    assert attempts == ["127.0.0.1"]


def test_an_address_that_refuses_is_followed_by_the_next(resolved, attempts):
    resolved("127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.4")
    with raw_server(OK) as heard:
        sock, peer = connect(heard.port)
        sock.close()
    assert peer == "127.0.0.1"
    assert attempts == ["127.0.0.2", "127.0.0.3", "127.0.0.1"]


def test_of_many_failures_the_last_is_told(resolved, attempts):
    resolved("127.0.0.1", "127.0.0.2")
    with pytest.raises(ConnectionRefusedError):
        connect(find_closed_port())
    assert len(attempts) == 2


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"], [PUBLIC, "x"], []],
)
def test_one_address_that_is_not_allowed_refuses_all_before_anything_is_connected_to(resolved, attempts, addresses):
    resolved(*addresses)
    with pytest.raises(BlockedAddressError):
        connect(443, listed=())
    assert attempts == []


def test_an_address_as_the_host_is_judged_without_the_resolver(attempts, monkeypatch):
    monkeypatch.setattr(resolver, "resolve", None)
    with pytest.raises(BlockedAddressError):
        connect(443, host="127.0.0.1", listed=())
    assert attempts == []


def test_a_peer_that_is_another_than_was_asked_for_is_left(resolved, monkeypatch):
    really_connect = socket.create_connection
    resolved(PUBLIC)
    with raw_server(OK) as heard:
        peer = ("127.0.0.1", heard.port)
        monkeypatch.setattr(
            connecting.socket, "create_connection", lambda *_arguments, **_options: really_connect(peer)
        )
        with pytest.raises(BlockedAddressError, match=r"127\.0\.0\.1 is not a public address"):
            connect(443, listed=())
    assert heard.requests == []


def test_a_host_that_cannot_be_resolved_is_told_apart(monkeypatch, attempts):
    def fail(*_arguments, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ResolverError):
        connect(443)
    assert attempts == []


def test_a_resolver_that_hangs_is_left_when_time_is_up(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: time.sleep(1) or [])
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        connect(443, timeout=0.2)
    assert time.monotonic() - started < 0.5


def test_a_black_hole_is_left_when_time_is_up(resolved):
    resolved("127.0.0.1")
    with black_hole() as heard:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(heard.port, timeout=0.3)
    assert time.monotonic() - started < 0.5


def test_addresses_that_are_black_holes_are_left_in_the_time_of_one(resolved):
    with black_hole() as heard:
        resolved(*["127.0.0.1"] * 5)
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(heard.port, timeout=0.5)
        assert 0.4 < time.monotonic() - started < 0.7


def test_a_black_hole_leaves_time_for_the_address_after_it(resolved, monkeypatch):
    resolved("127.0.0.2", "127.0.0.1")
    really_connect = socket.create_connection

    def connect_later(address, timeout):
        if address[0] == "127.0.0.2":
            time.sleep(timeout)
            raise TimeoutError
        return really_connect(address, timeout=timeout)

    monkeypatch.setattr(connecting.socket, "create_connection", connect_later)
    with raw_server(OK) as heard:
        sock, peer = connect(heard.port, timeout=0.4)
        sock.close()
    assert peer == "127.0.0.1"


def test_what_is_left_of_the_time_is_the_timeout_of_the_connection(resolved):
    resolved("127.0.0.1")
    with raw_server(OK) as heard:
        sock, _ = connect(heard.port, timeout=2.0)
        with sock:
            assert 1.5 < sock.gettimeout() <= 2.0


# Through a proxy


def tunnel(proxy: str, *, timeout: float = 1.0):
    return connect(443, listed=(), proxy=proxy, timeout=timeout)


def test_a_tunnel_leads_to_the_address_and_takes_nothing_from_behind_it(resolved):
    resolved(PUBLIC)
    greeting = b"220 hello\r\n\r\n"
    with raw_server(OK) as heard, connect_proxy(heard.port, answer=b"HTTP/1.1 200 OK\r\n\r\n" + greeting) as proxy:
        sock, peer = tunnel(proxy.url)
        with sock:
            assert sock.recv(65_536) == greeting
            sock.sendall(b"POST / HTTP/1.1\r\n\r\n")
            assert sock.recv(65_536) == OK
    assert peer == PUBLIC
    assert proxy.asked == [f"CONNECT [{PUBLIC}]:443 HTTP/1.1\r\nHost: [{PUBLIC}]:443\r\n\r\n"]


NO_TUNNEL = {
    "refused": b"HTTP/1.1 403 No\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "not HTTP": b"SSH-2.0\r\n\r\n",
    "nothing": b"",
    "no end": b"HTTP/1.1 200 OK\r\n",
    "no status": b"\r\n\r\n",
    "too long": b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_ANSWER_BYTES + b"\r\n\r\n",
}


@pytest.mark.parametrize("answer", NO_TUNNEL.values(), ids=NO_TUNNEL)
def test_what_opens_no_tunnel_is_an_error_of_the_proxy(resolved, answer):
    resolved(PUBLIC)
    with answering(answer)() as heard, pytest.raises(ProxyError):
        tunnel(f"http://127.0.0.1:{heard.port}")


@pytest.mark.parametrize(
    "answer", [stay_silent, drip(b"", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 500)], ids=["silence", "a drip"]
)
def test_a_proxy_that_is_slow_is_left_when_time_is_up(resolved, answer):
    resolved(PUBLIC)
    with raw_server(answer) as heard:
        started = time.monotonic()
        with pytest.raises(OSError, match=r"time"):
            tunnel(f"http://127.0.0.1:{heard.port}", timeout=0.3)
    assert time.monotonic() - started < 0.7, "once for connecting, once for the answer"


def test_a_proxy_that_refuses_one_address_is_asked_for_the_next(resolved):
    resolved(PUBLIC, "3000::2")
    with connect_proxy(find_closed_port(), answer=b"HTTP/1.1 502 No\r\n\r\n") as proxy, pytest.raises(ProxyError):
        tunnel(proxy.url)
    assert [line.split()[1] for line in proxy.asked] == [f"[{PUBLIC}]:443", "[3000::2]:443"]
