# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Connecting: every address is checked before the connection, and the peer after it."""

from __future__ import annotations

import contextlib
import errno
import gc
import socket
import ssl
import threading
import time
import warnings

import pytest

from airflow_provider_hooks.exceptions import BlockedAddressError, ConnectError, ProxyError, ResolverError
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import (
    STAGGER_SECONDS,
    Connector,
    Dial,
    Limits,
    Poller,
    connect_checked,
    interleave_families,
    open_connection,
    to_connect_error,
)
from airflow_provider_hooks.http.proxy import MAX_RESPONSE_BYTES
from airflow_provider_hooks.http.urls import Target
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.http.raw_request import open_engine, send_once, send_with
from tests.security.hostile import (
    black_hole,
    drip,
    hanging_in_the_handshake,
    issue,
    responding,
    stay_silent,
    write_authority,
)
from tests.servers import OK, connect_proxy, find_closed_port, raw_server
from tests.timing import SLACK_SECONDS

PUBLIC = "3000::1"
"""An address in an unassigned block of 2000::/3; only a proxy of the test gets it."""
PUBLIC_IPV4 = "1.1.1.1"
"""Only a proxy of the test gets this address."""
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def no_socket_is_left_open():
    with warnings.catch_warnings(record=True):
        gc.collect()  # sockets that other tests left open
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(one.message) for one in caught if one.category is ResourceWarning] == []


@pytest.fixture
def resolved(monkeypatch):
    def set_addresses(*addresses):
        monkeypatch.setattr(
            "airflow_provider_hooks.http.connect.resolve", lambda *_arguments, **_options: list(addresses)
        )

    return set_addresses


@pytest.fixture
def dialed_addresses(monkeypatch):
    """Record every address that is connected to; the test refuses those outside loopback."""
    addresses: list[str] = []

    class RecordingSocket(socket.socket):
        def connect_ex(self, address):
            addresses.append(address[0])
            return super().connect_ex(address) if address[0].startswith("127.") else errno.ECONNREFUSED

    monkeypatch.setattr(socket, "socket", RecordingSocket)
    return addresses


def connect(
    port: int, *, host: str = "hooks.test", timeout: float = 1.0, listed=("hooks.test",), proxy: str | None = None
):
    policy = NetworkPolicy(allowed_networks=listed, proxy=proxy)
    target = Target(scheme="http" if listed else "https", host=host, port=port)
    return connect_checked(target, policy=policy, timeout=timeout)


def test_the_connection_and_its_address_are_returned(resolved, dialed_addresses):
    resolved("127.0.0.1")
    with raw_server(OK) as receiver:
        sock, peer = connect(receiver.port)
        with sock:
            assert (peer, sock.getpeername()) == ("127.0.0.1", ("127.0.0.1", receiver.port))
    assert dialed_addresses == ["127.0.0.1"]


def test_next_address_is_tried_after_a_refused_connection(resolved, dialed_addresses):
    resolved("127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.4")
    with raw_server(OK) as receiver:
        sock, peer = connect(receiver.port)
        sock.close()
    assert peer == "127.0.0.1"
    assert dialed_addresses == ["127.0.0.2", "127.0.0.3", "127.0.0.1"]


def test_last_error_is_raised_if_every_address_refuses(resolved, dialed_addresses):
    resolved("127.0.0.1", "127.0.0.2")
    with pytest.raises(ConnectionRefusedError):
        connect(find_closed_port())
    assert len(dialed_addresses) == 2


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"], [PUBLIC, "x"], []],
)
def test_host_with_a_disallowed_address_is_refused_before_any_connection(resolved, dialed_addresses, addresses):
    resolved(*addresses)
    with pytest.raises(BlockedAddressError):
        connect(443, listed=())
    assert dialed_addresses == []


def test_ip_address_as_host_is_checked_without_the_resolver(dialed_addresses, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", None)
    with pytest.raises(BlockedAddressError):
        connect(443, host="127.0.0.1", listed=())
    assert dialed_addresses == []


def test_peer_address_other_than_the_checked_one_is_refused(resolved, monkeypatch):
    resolved(PUBLIC)
    with raw_server(OK) as receiver:

        class RedirectedSocket(socket.socket):
            def __init__(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, *rest, **options):
                super().__init__(socket.AF_INET if family == socket.AF_INET6 else family, kind, *rest, **options)

            def connect_ex(self, address):
                return super().connect_ex(("127.0.0.1", receiver.port))

        monkeypatch.setattr(socket, "socket", RedirectedSocket)
        with pytest.raises(BlockedAddressError, match=r"127\.0\.0\.1 is not a public address"):
            connect(443, listed=())
    assert receiver.requests == []


def test_unresolvable_host_raises_resolver_error(monkeypatch, dialed_addresses):
    def fail(*_arguments, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ResolverError):
        connect(443)
    assert dialed_addresses == []


def test_hanging_resolver_times_out(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: answered.wait(20) and [])
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        connect(443, timeout=0.2)
    answered.set()
    assert time.monotonic() - started < 0.2 + SLACK_SECONDS


def test_unanswered_connection_times_out(resolved):
    resolved("127.0.0.1")
    with black_hole() as receiver:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(receiver.port, timeout=0.3)
    assert time.monotonic() - started < 0.3 + SLACK_SECONDS


def test_connect_timeout_covers_all_addresses_together(resolved):
    with black_hole() as receiver:
        resolved(*["127.0.0.1"] * 5)
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(receiver.port, timeout=0.5)
        assert 0.5 <= time.monotonic() - started < 2.4, "one timeout for all five addresses"


def test_next_address_is_tried_while_the_first_does_not_answer(resolved):
    """RFC 8305: an address that drops packets costs a quarter of a second, not the connect timeout."""
    with black_hole() as hole, raw_server(OK) as receiver:
        resolved("127.0.0.1", "127.0.0.2")
        really_connect = socket.socket.connect_ex

        class RoutedSocket(socket.socket):
            def connect_ex(self, address):
                port = hole.port if address[0] == "127.0.0.1" else receiver.port
                return really_connect(self, ("127.0.0.1", port))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "socket", RoutedSocket)
            started = time.monotonic()
            sock, _ = connect(receiver.port, timeout=30.0)
            seconds = time.monotonic() - started
        with sock:
            assert sock.getpeername()[1] == receiver.port
    assert STAGGER_SECONDS <= seconds < 10, "the first address would have taken all of 30 seconds"


def resolve_both_families(port: int):
    """Return a resolver for a host with an IPv6 and an IPv4 loopback address, the IPv6 one first."""
    return lambda *_arguments, **_options: [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
    ]


def test_unanswered_ipv6_address_does_not_delay_later_ipv4_connections(monkeypatch):
    """A firewall drops IPv6 to a host with both families: only the first connection waits for it."""
    with raw_server(CLOSING) as receiver, contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket(socket.AF_INET6))
        hole.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        hole.bind(("::1", receiver.port))
        hole.listen(0)  # a full backlog drops every further SYN
        for _ in range(8):
            filler = stack.enter_context(socket.socket(socket.AF_INET6))
            filler.setblocking(False)
            filler.connect_ex(("::1", receiver.port))
        monkeypatch.setattr(socket, "getaddrinfo", resolve_both_families(receiver.port))
        url = f"http://hooks.test:{receiver.port}/"
        policy, limits = NetworkPolicy(allowed_networks=["hooks.test"]), Limits(timeout=60, connect_timeout=60)
        dials = []
        begin = Dial._begin_attempts
        monkeypatch.setattr(Dial, "_begin_attempts", lambda dial, now: (dials.append(dial), begin(dial, now))[1])
        with open_engine(url, policy=policy, limits=limits) as engine:
            attempts = [send_with(engine, url) for _ in range(3)]
    assert {(one.outcome, one.peer_address) for one in attempts} == {(Outcome.DELIVERED, "127.0.0.1")}
    assert attempts[0].duration_ms >= STAGGER_SECONDS * 1000
    assert len(dials) == 2 + 1 + 1, "both addresses for the first connection, then only the one that answered"


def test_next_address_is_tried_at_once_after_a_refusal(monkeypatch, resolved, dialed_addresses):
    """The clock does not move, so no stagger delay is needed."""
    clock = FakeClock()
    monkeypatch.setattr("airflow_provider_hooks.http.connect.time", clock)
    resolved("::1", "127.0.0.1")
    with raw_server(OK) as receiver:
        sock, peer = connect(receiver.port, timeout=5.0)
        sock.close()
    assert (peer, dialed_addresses) == ("127.0.0.1", ["::1", "127.0.0.1"])


@pytest.mark.parametrize(
    ("addresses", "interleaved"),
    [
        ([], []),
        (["::1"], ["::1"]),
        (["::1", "::2", "10.0.0.1"], ["::1", "10.0.0.1", "::2"]),
        (["10.0.0.1", "10.0.0.2", "::1", "::2", "::3"], ["10.0.0.1", "::1", "10.0.0.2", "::2", "::3"]),
    ],
)
def test_address_families_are_interleaved(addresses, interleaved):
    assert interleave_families(addresses) == interleaved


def test_last_connected_address_is_tried_first(resolved, dialed_addresses):
    resolved("127.0.0.2", "127.0.0.1")
    with raw_server(OK) as receiver:
        target = Target(scheme="http", host="hooks.test", port=receiver.port)
        connector = Connector(
            target,
            policy=NetworkPolicy(allowed_networks=["hooks.test"]),
            limits=Limits(timeout=2, connect_timeout=2),
        )
        for _ in range(3):
            open_connection(connector).sock.close()
        connector.close()
    assert dialed_addresses == ["127.0.0.2", "127.0.0.1", "127.0.0.1", "127.0.0.1"]


def test_slow_dns_is_reported_as_a_timeout_that_names_the_host(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: answered.wait(20) and [])
    with pytest.raises(TimeoutError, match=r"hooks\.test was not resolved within 0\.2 s"):
        connect(443, timeout=0.2)
    policy, limits = NetworkPolicy(allowed_networks=["hooks.test"]), Limits(timeout=9, connect_timeout=0.2)
    attempt = send_once("http://hooks.test/", policy=policy, limits=limits)
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.TIMEOUT)
    assert attempt.message == "hooks.test was not resolved within 0.2 s"
    answered.set()


@pytest.mark.parametrize(
    ("serve", "scheme", "message"),
    [
        (black_hole, "http", "no connection within 0.2 s"),
        (hanging_in_the_handshake, "https", "TLS with 127.0.0.1 was not set up within 0.2 s"),
    ],
)
def test_timeout_message_names_the_slow_step(serve, scheme, message):
    with serve() as receiver:
        attempt = send_once(
            f"{scheme}://127.0.0.1:{receiver.port}/",
            policy=NetworkPolicy(allowed_networks=["127.0.0.1"]),
            limits=Limits(timeout=9, connect_timeout=0.2),
        )
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.TIMEOUT)
    assert attempt.message == message


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (BlockedAddressError("x"), ErrorClass.BLOCKED_ADDRESS),
        (ResolverError("x"), ErrorClass.DNS_ERROR),
        (ProxyError("x"), ErrorClass.PROXY_ERROR),
        (TimeoutError("x"), ErrorClass.TIMEOUT),
        (OSError(errno.ETIMEDOUT, "x"), ErrorClass.TIMEOUT),
        (OSError(errno.ECONNREFUSED, "x"), ErrorClass.CONNECTION_REFUSED),
        (OSError(errno.EHOSTUNREACH, "x"), ErrorClass.NETWORK_UNREACHABLE),
        (OSError(errno.ENETUNREACH, "x"), ErrorClass.NETWORK_UNREACHABLE),
        (OSError(errno.EADDRNOTAVAIL, "x"), ErrorClass.NETWORK_UNREACHABLE),
        (OSError(errno.ECONNRESET, "x"), ErrorClass.CONNECTION_RESET),
        (OSError(errno.EMFILE, "x"), ErrorClass.CONNECTION_FAILED),
        (ssl.SSLError("x"), ErrorClass.TLS_ERROR),
        (ssl.SSLCertVerificationError("x"), ErrorClass.TLS_ERROR),
        (ssl.SSLEOFError("x"), ErrorClass.CONNECTION_RESET),
        (RuntimeError("can't start new thread"), ErrorClass.SETUP_FAILED),
        (ConnectError(ErrorClass.PROXY_ERROR, "x"), ErrorClass.PROXY_ERROR),
    ],
    ids=repr,
)
def test_connect_error_has_the_error_class_of_its_cause(error, error_class):
    found = to_connect_error(error)
    assert (found.error_class, str(found)) == (error_class, str(error))


def test_time_of_dns_counts_towards_the_connect_timeout(monkeypatch):
    """One deadline covers DNS, connecting and TLS."""
    clock = FakeClock()
    monkeypatch.setattr("airflow_provider_hooks.http.connect.time", clock)
    monkeypatch.setattr(
        "airflow_provider_hooks.http.connect.resolve", lambda *_arguments: clock.advance(0.9) or ["127.0.0.1"]
    )
    with black_hole() as receiver:
        connector = Connector(
            Target(scheme="http", host="hooks.test", port=receiver.port),
            policy=NetworkPolicy(allowed_networks=["hooks.test"]),
            limits=Limits(timeout=9, connect_timeout=1),
        )
        poller = Poller()
        dial = Dial(connector, poller, clock.monotonic())
        while connector.find_candidates(clock.monotonic(), since=0.0) is None:
            pass
        assert dial.check_time(clock.monotonic()) is None
        assert dial.find_delay(clock.monotonic()) == pytest.approx(0.1)
        clock.advance(0.1)
        assert isinstance(dial.check_time(clock.monotonic()), TimeoutError)
        poller.close()
        connector.close()


class FakeClock:
    """A clock that only a test advances."""

    def __init__(self) -> None:
        self._now = 100.0

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


def test_socket_timeout_is_the_time_left_after_connecting(resolved):
    resolved("127.0.0.1")
    with raw_server(OK) as receiver:
        sock, _ = connect(receiver.port, timeout=2.0)
        with sock:
            assert 1.5 < sock.gettimeout() <= 2.0


# Through a proxy


def tunnel(proxy: str, *, timeout: float = 1.0):
    return connect(443, listed=(), proxy=proxy, timeout=timeout)


def test_tunnel_to_an_address_leaves_bytes_after_the_proxy_response_unread(resolved):
    resolved(PUBLIC)
    greeting = b"220 hello\r\n\r\n"
    with (
        raw_server(OK) as receiver,
        connect_proxy(receiver.port, answer=b"HTTP/1.1 200 OK\r\n\r\n" + greeting) as proxy,
    ):
        sock, peer = tunnel(proxy.url)
        with sock:
            assert sock.recv(65_536) == greeting
            sock.sendall(b"POST / HTTP/1.1\r\n\r\n")
            assert sock.recv(65_536) == OK
    assert peer == PUBLIC
    assert proxy.requests == [f"CONNECT [{PUBLIC}]:443 HTTP/1.1\r\nHost: [{PUBLIC}]:443\r\n\r\n"]


INVALID_CONNECT_RESPONSES = {
    "refused": b"HTTP/1.1 403 No\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "not HTTP": b"SSH-2.0\r\n\r\n",
    "empty": b"",
    "incomplete": b"HTTP/1.1 200 OK\r\n",
    "no status": b"\r\n\r\n",
    "too long": b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_RESPONSE_BYTES + b"\r\n\r\n",
}


@pytest.mark.parametrize("answer", INVALID_CONNECT_RESPONSES.values(), ids=INVALID_CONNECT_RESPONSES)
def test_invalid_connect_response_raises_proxy_error(resolved, answer):
    resolved(PUBLIC)
    with responding(answer)() as receiver, pytest.raises(ProxyError):
        tunnel(f"http://127.0.0.1:{receiver.port}")


@pytest.mark.parametrize(
    "answer", [stay_silent, drip(b"", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 500)], ids=["silent", "one byte at a time"]
)
def test_slow_proxy_times_out(resolved, answer):
    resolved(PUBLIC)
    with raw_server(answer) as receiver:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            tunnel(f"http://127.0.0.1:{receiver.port}", timeout=1.0)
    assert time.monotonic() - started < 1.9, "one timeout for the connection and the response together"


def test_proxy_without_ipv6_opens_the_tunnel_to_the_ipv4_address(resolved, tmp_path):
    """Later tunnels try the address that worked first."""
    resolved(PUBLIC, PUBLIC_IPV4)
    url, ca_file = "https://hooks.test/", write_authority(tmp_path / "ca.pem")
    with raw_server(CLOSING, tls=issue("hooks.test")) as receiver, connect_proxy(receiver.port, refuses="[") as proxy:
        policy = NetworkPolicy(proxy=proxy.url)
        limits = Limits(timeout=20, connect_timeout=20, ca_file=ca_file)
        with open_engine(url, policy=policy, limits=limits) as engine:
            attempts = [send_with(engine, url) for _ in range(2)]
    assert {(one.outcome, one.peer_address) for one in attempts} == {(Outcome.DELIVERED, PUBLIC_IPV4)}
    assert [line.split()[1] for line in proxy.requests] == [f"[{PUBLIC}]:443", *[f"{PUBLIC_IPV4}:443"] * 2]
    assert len(receiver.requests) == 2


def test_next_address_is_requested_from_a_proxy_that_refuses_one(resolved):
    resolved(PUBLIC, "3000::2")
    with connect_proxy(find_closed_port(), answer=b"HTTP/1.1 502 No\r\n\r\n") as proxy, pytest.raises(ProxyError):
        tunnel(proxy.url)
    assert [line.split()[1] for line in proxy.requests] == [f"[{PUBLIC}]:443", "[3000::2]:443"]
