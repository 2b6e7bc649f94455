# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
No request is sent to an address or a URL that the deployment does not allow, in any notation or DNS answer.

These tests connect only to loopback: a socket class below the package records and refuses other connections.
"""

from __future__ import annotations

import json
import socket
import time
from ipaddress import IPv6Address, ip_address, ip_network

import pytest

from airflow_provider_hooks.exceptions import (
    BlockedAddressError,
    DeliveryFailedError,
    DeliveryNotSentError,
    NonRetryableError,
    ValidationError,
)
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.http import NetworkPolicy, find_special_use
from tests.airflow_context import StateStore
from tests.security.deliveries import CONN_ID, CONNECT_TIMEOUT, refuse_connections
from tests.security.hostile import issue
from tests.servers import OK, raw_server
from tests.timing import SLACK_SECONDS

NAME = "receiver.test"
NEVER = """
127.0.0.1 10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 100.100.100.200 192.0.0.8 192.0.0.192 192.88.99.1
198.18.0.1 192.0.2.1 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 0.0.0.0 224.0.0.1 168.63.129.16 ::1 ::
::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1::1 2001:0:7f00:1:: 2001:db8::1 3fff::1
5f00::1 fec0::1 fe80::1 fc00::1 fd00:ec2::254 ff02::1 100::1 ::ffff:0:127.0.0.1
""".split()  # noqa: SIM905  (read as a block)
ALWAYS = ["8.8.8.8", "2606:4700::1111", "100.63.255.255", "100.128.0.1"]


def make_url(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


@pytest.fixture
def strict(sender, monkeypatch):
    """The sender of a deployment without ``allowed_networks``."""
    monkeypatch.delenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS")
    return sender


@pytest.fixture
def connects(monkeypatch):
    """The addresses that libcurl tried to connect to; every connection is refused."""
    return refuse_connections(monkeypatch)


@pytest.fixture
def resolver(monkeypatch):
    """Return a function that sets the answers of the system's resolver and returns the names that are looked up."""

    def replace_resolver(*answers: list[str] | Exception) -> list[str]:
        lookups: list[str] = []

        def look_up(host: str, port: int, **_options: object) -> list[tuple]:
            lookups.append(host)
            answer = answers[min(len(lookups), len(answers)) - 1]
            if isinstance(answer, Exception):
                raise answer
            return [
                (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in answer
            ]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return lookups

    return replace_resolver


def deliver_refused(sender) -> str:
    """Deliver, assert that it is refused before the claim, and return the error message."""
    store = StateStore()
    result = sender.deliver(store=store)
    assert type(result.error) is NonRetryableError
    assert store.stored == {}
    return str(result.error)


class TestAddresses:
    @pytest.mark.parametrize("address", NEVER)
    def test_special_address_in_a_url_is_refused_before_the_claim(self, strict, connects, resolver, address):
        lookups = resolver(["8.8.8.8"])
        strict.connect(make_url(address))
        assert "is not a public address" in deliver_refused(strict)
        assert (lookups, connects) == ([], [])

    @pytest.mark.parametrize("others", [[], ["8.8.8.8"], ["8.8.8.8", "2606:4700::1111"]], ids=len)
    @pytest.mark.parametrize("address", NEVER)
    def test_special_address_among_dns_answers_blocks_the_delivery(self, strict, connects, resolver, address, others):
        for answer in ([address, *others], [*others, address]):
            lookups = resolver(answer)
            strict.connect(f"https://{NAME}/")
            result = strict.deliver()
            assert result.outcome == ("not_sent", "blocked_address")
            assert type(result.error) is DeliveryFailedError, "a retry would fail again"
            assert (lookups, connects) == ([NAME], [])

    @pytest.mark.parametrize("address", ALWAYS)
    def test_public_address_is_allowed(self, address):
        policy = NetworkPolicy()
        policy.check_address(address)
        assert ip_address(policy.check_url(make_url(address)).host) == ip_address(address)

    @pytest.mark.parametrize("address", NEVER)
    def test_listed_address_allows_no_other_address(self, sender, connects, address):
        """If ``127.0.0.1`` is listed, only that address and its IPv4-mapped IPv6 form are allowed."""
        same = address in {"127.0.0.1", "::ffff:127.0.0.1"}
        sender.connect(make_url(address))
        if not same:
            deliver_refused(sender)
        else:
            assert sender.deliver().record["outcome"] == "not_sent", "only the socket class refused it"
        assert len(connects) == int(same)


# IANA's registries of special-purpose addresses, independent of those of the package, and ranges that contain IPv4.
SPECIAL_4 = [ip_network(text) for text in """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
203.0.113.0/24 224.0.0.0/3
""".split()]  # noqa: SIM905  # fmt: skip
SPECIAL_6 = [ip_network(text) for text in """
::/3 2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 4000::/2 8000::/1
""".split()]  # noqa: SIM905  # fmt: skip


def list_edges(networks) -> list:
    """Return the first and the last address of every network, and their neighbours outside."""
    edges = {
        int(edge) + step
        for network in networks
        for edge, step in [
            (network.network_address, -1),
            (network.network_address, 0),
            (network.broadcast_address, 0),
            (network.broadcast_address, 1),
        ]
    }
    make = type(networks[0].network_address)
    return [make(edge) for edge in sorted(edges) if 0 <= edge < 2 ** networks[0].max_prefixlen]


@pytest.mark.parametrize("address", list_edges(SPECIAL_4), ids=str)
def test_special_ipv4_ranges_have_exact_bounds_also_inside_ipv6(address):
    special = any(address in network for network in SPECIAL_4)
    mapped, translated = (IPv6Address(base | int(address)) for base in (0xFFFF << 32, 0x64FF9B << 96))
    for form in (address, str(address), mapped, translated):
        assert bool(find_special_use(form)) is special
    tunnels = (0x2002 << 112 | int(address) << 80, 0x20010000 << 96 | int(address) ^ 0xFFFFFFFF)
    assert all(find_special_use(IPv6Address(tunnel)) for tunnel in tunnels)


@pytest.mark.parametrize("address", list_edges(SPECIAL_6), ids=str)
def test_special_ipv6_ranges_have_exact_bounds(address):
    assert bool(find_special_use(address)) is any(address in network for network in SPECIAL_6)


FIELD = "host (URL)"
MALFORMED = {
    "empty": "", "spaces": "   ", "space": "https://exam ple.com/", "tab": "https://exam\tple.com/",
    "CR": "https://example.com/\rx", "LF": "https://example.com/\nx", "CRLF": "https://example.com/\r\nHost: x",
    "NUL": "https://example.com\x00.test/", "no scheme": "example.com/hook", "no scheme but a port": "example.com:443",
    "//host": "//example.com/", "no host": "http:///example.com", "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL", "ftp": "ftp://example.com/", "user": "https://tok3n@example.com/",
    "userinfo": "https://user:tok3n@example.com/", "backslash": "http://127.0.0.1\\@example.com/",
    "percent": "http://%31%32%37.0.0.1/", "decimal": "http://2130706433/", "hexadecimal": "http://0x7f000001/",
    "octal": "http://0177.0.0.1/", "short": "http://127.1/", "zero": "http://0/", "full width": "http://１２７.0.0.1/",
    "full-width stop": "https://127。0。0。1/", "port 0": "https://example.com:0/", "empty port": "https://example.com:/",
    "port 99999": "https://example.com:99999/", "port -1": "https://example.com:-1/",
    "full-width port": "https://example.com:４43/", "65,537 characters": "https://example.com/" + "x" * 65_517,
    "long label": f"https://{'a' * 64}.com/", "final full stop": "https://example.com./",
    "loopback with a final full stop": "http://127.0.0.1./", "half a bracket": "https://[::1/",
    "bracket alone": "https://[::1", "zone": "https://[fe80::1%25eth0]/", "raw zone": "https://[fe80::1%eth0]/",
    "numeric zone": "https://[fe80::1%251]/", "fragment": "https://example.com/#tok3n", "empty fragment": "https://e.com/#",
}  # fmt: skip
NOT_ALLOWED = {
    "port 22": ("https://example.com:22/", "port 22 of example.com is not allowed"),
    "port 6379": ("https://example.com:6379/", "port 6379 of example.com is not allowed"),
    "port 22 of an address": ("https://8.8.8.8:22/", "port 22 of 8.8.8.8 is not allowed"),
    "plain HTTP": ("http://example.com/", "plain HTTP to example.com is not allowed"),
}


class TestUrls:
    @pytest.mark.parametrize("url", MALFORMED.values(), ids=MALFORMED)
    def test_malformed_or_ambiguous_url_is_one_error_that_names_the_field(self, sender, connects, resolver, url):
        lookups = resolver(["127.0.0.1"])
        with pytest.raises(BlockedAddressError):
            NetworkPolicy(allowed_networks=["127.0.0.1", "example.com"]).check_url(url)
        sender.connect(url)
        with pytest.raises(ValidationError) as caught:
            EndpointHook(CONN_ID).get_conn()
        assert list(caught.value.problems) == [FIELD]
        message = deliver_refused(sender)
        assert message == str(caught.value)
        assert message.startswith(f"connection '{CONN_ID}': {FIELD}: the URL")
        assert len(message) < 200
        assert "tok3n" not in message
        assert (lookups, connects) == ([], [])

    @pytest.mark.parametrize(("url", "words"), NOT_ALLOWED.values(), ids=NOT_ALLOWED)
    def test_error_for_a_url_that_is_not_allowed_names_connection_and_remedy(
        self, sender, connects, resolver, url, words
    ):
        lookups = resolver(["127.0.0.1"])
        sender.connect(url)
        message = deliver_refused(sender)
        assert message.startswith(f"connection '{CONN_ID}': {words}")
        assert "section service_hooks of airflow.cfg" in message
        assert (lookups, connects) == ([], [])


class TestResolver:
    def test_dns_rebinding_has_no_effect_because_a_delivery_makes_one_lookup(self, sender, resolver):
        """DNS rebinding: a second lookup would return another address, but each delivery resolves the name once."""
        with raw_server(OK, tls=issue(NAME)) as receiver, socket.create_server(("127.0.0.2", receiver.port)) as other:
            lookups = resolver(["127.0.0.1"], ["127.0.0.2"])
            sender.set(allowed_ports=receiver.port)
            sender.connect(f"https://{NAME}:{receiver.port}/")
            result = sender.deliver()
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.accept()
        assert result.outcome == ("delivered", None)
        assert result.record["peer_address"] == "127.0.0.1"
        assert (lookups, len(receiver.requests)) == ([NAME], 1)

    def test_name_that_resolves_to_a_blocked_address_later_is_blocked(self, sender, resolver):
        with raw_server(OK, tls=issue(NAME)) as receiver:
            lookups = resolver(["127.0.0.1"], ["127.0.0.2"])
            sender.set(allowed_ports=receiver.port)
            sender.connect(f"https://{NAME}:{receiver.port}/")
            hook = EndpointHook(CONN_ID)
            outcomes = [sender.deliver(hook=hook).outcome for _ in range(2)]
        assert outcomes == [("delivered", None), ("not_sent", "blocked_address")]
        assert (len(lookups), len(receiver.requests)) == (2, 1)

    @pytest.mark.parametrize(
        ("answer", "error_class"),
        [
            (socket.gaierror(-2, "Name or service not known"), "dns_error"),
            (socket.gaierror(-3, "Temporary failure in name resolution"), "dns_error"),
            (UnicodeError("label empty or too long"), "dns_error"),
            (OSError("the resolver does not respond"), "dns_error"),
        ],
        ids=repr,
    )
    def test_dns_error_is_not_sent_and_retryable(self, strict, connects, resolver, answer, error_class):
        lookups = resolver(answer)
        strict.connect(f"https://{NAME}/")
        result = strict.deliver()
        assert result.outcome == ("not_sent", error_class)
        assert type(result.error) is DeliveryNotSentError
        assert (lookups, connects) == ([NAME], [])

    @pytest.mark.parametrize("answer", [[], ["not an address"], ["fe80::1%eth0"], ["8.8.8.8", "x"]], ids=json.dumps)
    def test_dns_answer_that_is_not_a_public_address_is_blocked(self, strict, connects, resolver, answer):
        resolver(answer)
        strict.connect(f"https://{NAME}/")
        assert strict.deliver().outcome == ("not_sent", "blocked_address")
        assert connects == []

    def test_dns_lookup_times_out_after_the_connect_timeout(self, strict, connects, monkeypatch):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: time.sleep(30) or [])
        strict.set(connect_timeout=CONNECT_TIMEOUT)
        strict.connect(f"https://{NAME}/")
        result = strict.deliver()
        assert result.outcome == ("not_sent", "timeout")
        assert result.seconds < CONNECT_TIMEOUT + SLACK_SECONDS
        assert connects == []
