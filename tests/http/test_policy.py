# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import BlockedAddressError, ValidationError
from airflow_provider_hooks.http import NetworkPolicy, Target, parse_url
from airflow_provider_hooks.http.urls import strip_sensitive_parts

STRICT = NetworkPolicy()
LISTING = NetworkPolicy(
    allowed_networks=["hooks.internal", "10.1.0.0/16", "127.0.0.1:8099", "[::1]:8099", "box.internal:9000", " "],
    allowed_ports=[8443],
)

MALFORMED = [
    "", " ", "https://", "https:///host", "//host/", "host/path", "example.com", "file:///etc/passwd",
    "gopher://example.com/", "ftp://example.com/", "https://user@example.com/", "https://user:pw@example.com/",
    "https://exa mple.com/", "https://example.com/\t", "https://example.com/\r\nX: y", "https://example.com/\x00",
    "http://127.0.0.1\\@example.com/", "https://127.0.0.1\\@example.com/", "https://%31%32%37.0.0.1/",
    "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://0/",
    "https://１２７.0.0.1/", "https://example.com:0/", "https://example.com:/", "https://example.com:99999/",
    "https://example.com:-1/", "https://example.com:port/", f"https://example.com/{'x' * 65_537}",
    f"https://{'a' * 64}.com/", "https://example.com./", "https://[::1", "https://::1/", "https://[fe80::1%25eth0]/",
    "https://[1.2.3.4]/", "https://example.com/#part", "https://-x.com/", "https://x-.com/", "https://a..b/",
    "https://ex\uff41mple.com/", "https://1.2.3.4.5/", "https://example.0x/", f"https://{'a.' * 130}com/",
]  # fmt: skip


@pytest.mark.parametrize("url", [*MALFORMED, None, 7, b"https://example.com/"])
@pytest.mark.parametrize("policy", [STRICT, LISTING])
def test_malformed_or_ambiguous_url_is_refused_without_quoting_it(policy, url):
    with pytest.raises(BlockedAddressError) as caught:
        policy.check_url(url)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (
            "https://example.com/hook?a=b",
            Target(scheme="https", host="example.com", port=443, path="/hook", query="a=b"),
        ),
        (
            "https://example.com/a/../b/./%2e%2e//c;d",
            Target(scheme="https", host="example.com", port=443, path="/a/../b/./%2e%2e//c;d"),
        ),
        ("HTTPS://EXAMPLE.com", Target(scheme="https", host="example.com", port=443)),
        ("https://8.8.8.8/", Target(scheme="https", host="8.8.8.8", port=443)),
        ("https://[2606:4700::1111]:443/", Target(scheme="https", host="2606:4700::1111", port=443)),
        ("https://xn--exmple-cua.com/", Target(scheme="https", host="xn--exmple-cua.com", port=443)),
        ("https://Exämple.com/", Target(scheme="https", host="xn--exmple-cua.com", port=443)),
        (
            "https://sipariş.example/a?b=c",
            Target(scheme="https", host="xn--sipari-1jb.example", port=443, path="/a", query="b=c"),
        ),
    ],
)
def test_public_https_url_is_returned_as_its_target(url, target):
    assert STRICT.check_url(url) == target


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/", "plain HTTP to example.com"),
        ("https://example.com:8443/", "port 8443"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:6379/", "port 6379"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("http://hooks.internal/", "plain HTTP"),
        ("http://10.1.2.3/", "plain HTTP"),
    ],
)
def test_default_policy_refuses_all_but_public_https_on_port_443(url, message):
    with pytest.raises(BlockedAddressError, match=message) as caught:
        STRICT.check_url(url)
    assert "section service_hooks of airflow.cfg" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.internal/", "https://HOOKS.internal:9999/", "http://10.1.255.255:8080/", "http://127.0.0.1:8099/",
        "http://[::1]:8099/", "http://[::ffff:10.1.0.1]/", "https://box.internal:9000/", "https://example.com:8443/",
    ],
)  # fmt: skip
def test_listed_hosts_and_ports_are_allowed(url):
    assert LISTING.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8098/", "http://127.0.0.2:8099/", "http://10.2.0.1/", "http://sub.hooks.internal/",
        "http://box.internal:9001/", "http://[::1]:80/", "http://example.com:8443/",
    ],
)  # fmt: skip
def test_unlisted_hosts_and_ports_are_refused(url):
    with pytest.raises(BlockedAddressError):
        LISTING.check_url(url)


def test_every_resolved_address_is_checked():
    target = STRICT.check_url("https://example.com/")
    STRICT.check_addresses(["8.8.8.8", "2606:4700::1111"], target=target)
    for addresses in (["8.8.8.8", "10.0.0.1"], ["::1", "8.8.8.8"], ["not an address"], []):
        with pytest.raises(BlockedAddressError):
            STRICT.check_addresses(addresses, target=target)


def test_only_a_listed_host_may_resolve_to_a_private_address():
    LISTING.check_address("192.168.1.1", target=parse_url("http://hooks.internal/"))
    with pytest.raises(BlockedAddressError):
        LISTING.check_address("192.168.1.1", target=parse_url("https://box.internal:9001/"))
    with pytest.raises(BlockedAddressError):
        LISTING.check_address("192.168.1.1")


def test_port_of_a_listed_address_is_checked():
    LISTING.check_address("127.0.0.1", target=parse_url("http://x.internal:8099/"))
    with pytest.raises(BlockedAddressError):
        LISTING.check_address("127.0.0.1", target=parse_url("http://x.internal:8098/"))


@pytest.mark.parametrize(
    "entry",
    [
        "10.1.0.1/16",
        "10.0.0.0/33",
        "*",
        "*.internal",
        "http://x",
        "x:0",
        "x:99999",
        "[::1",
        "[::1]x",
        "a b",
        "0",
        ":80",
        "0.0.0.0/0",
        "::/0",
        "2000::/3",
    ],
)
def test_invalid_entry_is_named_in_the_error(entry):
    with pytest.raises(ValidationError) as caught:
        NetworkPolicy(allowed_networks=["hooks.internal", entry])
    assert entry in str(caught.value)


@pytest.mark.parametrize("entry", ["10.0.0.0/8", "fc00::/7", "fe80::/10", "2001:db8::/32", "8.8.8.0/24"])
def test_the_network_of_one_site_can_be_listed(entry):
    NetworkPolicy(allowed_networks=[entry])


def test_port_out_of_range_is_refused():
    with pytest.raises(ValidationError, match="allowed_ports"):
        NetworkPolicy(allowed_ports=[0])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@example.com:8443/a/b?token=x#y", "https://example.com:8443/a/b"),
        ("https://[::1", "(malformed URL)"),
    ],
)
def test_url_is_shown_without_its_sensitive_parts(url, shown):
    assert strip_sensitive_parts(url) == shown


@given(st.text())
def test_any_text_is_allowed_or_raises_blocked_address_error(text):
    for url in (text, f"https://{text}", f"https://example.com{text}"):
        try:
            target = STRICT.check_url(url)
        except BlockedAddressError:
            continue
        assert target.port == 443


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://localhost:8099/", "list it in allowed_networks"),
        ("https://localhost:8443/", "list it in allowed_networks"),
        ("https://example.com:8443/", "list it in allowed_ports"),
        ("https://ex\uff41mple.com/", "write it in punycode (xn--"),
        ("https://user:pass@example.com/", "set auth_type, auth_username and auth_secret"),
    ],
)
def test_refused_url_has_advice(url, advice):
    with pytest.raises(BlockedAddressError, match=re.escape(advice)):
        STRICT.check_url(url)
