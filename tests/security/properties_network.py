# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The address policy: no text, address or setting bypasses it, and it raises only its own errors."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import idna
import urllib3
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import BlockedAddressError, ValidationError
from airflow_provider_hooks.http import NetworkPolicy, Target
from airflow_provider_hooks.http.policy import find_special_use
from airflow_provider_hooks.http.urls import strip_sensitive_parts
from tests.security.properties_data import (
    PropertyTable,
    call_expecting,
    hostile_texts,
    is_safe_line,
    json_values,
    make_property,
    texts,
)

STRICT = NetworkPolicy()
PRIVATE = "Zq7-private-9Xw"

MORE_SPECIAL_4 = tuple(
    map(IPv4Network, ["168.63.129.16/32", "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
                      "192.175.48.0/24"])
)  # fmt: skip
"""Networks that ``ipaddress`` calls global, at least in some patch releases of Python, and that the policy blocks."""
MORE_SPECIAL_6 = tuple(map(IPv6Network, ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"]))
CARRIERS = {
    "mapped": lambda inner: (0xFFFF << 32) | inner,
    "nat64": lambda inner: (0x64FF9B << 96) | inner,
    "6to4": lambda inner: (0x2002 << 112) | (inner << 80) | 1,
    "teredo": lambda inner: (0x20010000 << 96) | (inner ^ 0xFFFFFFFF),
}
"""The IPv6 addresses that contain an IPv4 address."""

FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９。")

ipv4_integers = st.integers(0, 2**32 - 1) | st.sampled_from(
    [int(IPv4Address(one)) + step for one in (
        "0.0.0.0", "8.8.8.8", "10.0.0.0", "100.64.0.0", "100.100.100.200", "127.0.0.1", "168.63.129.16",
        "169.254.169.254", "172.16.0.0", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.0", "198.18.0.0",
        "224.0.0.0", "240.0.0.0") for step in (0, 1, 65_536)]
)  # fmt: skip
ipv6_integers = st.one_of(
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**125 - 1).map(lambda tail: 2**125 + tail),
    st.sampled_from([0, 1, 0xFC00 << 112, 0xFE80 << 112, 0xFEC0 << 112, 0xFF02 << 112, 0x3FFF << 112, 0x5F00 << 112]),
    st.sampled_from(
        [int(end) for network in MORE_SPECIAL_6 for end in (network[0] - 1, network[0], network[-1], network[-1] + 1)]
    ),
    st.builds(lambda name, inner: CARRIERS[name](inner), st.sampled_from(sorted(CARRIERS)), ipv4_integers),
)

literals = st.one_of(
    ipv4_integers.map(lambda number: str(IPv4Address(number))),
    ipv4_integers.map(str),
    ipv4_integers.map(hex),
    ipv4_integers.map(lambda number: ".".join(f"0{part:o}" for part in number.to_bytes(4, "big"))),
    ipv4_integers.map(lambda number: f"{number >> 24}.{number & 0xFFFFFF}"),
    ipv4_integers.map(lambda number: "".join(f"%{ord(one):02x}" for one in str(IPv4Address(number)))),
    ipv4_integers.map(lambda number: str(IPv4Address(number)).translate(FULL_WIDTH)),
    ipv4_integers.map(lambda number: f"[::ffff:{IPv4Address(number)}]"),
    ipv6_integers.map(lambda number: f"[{IPv6Address(number)}]"),
    ipv6_integers.map(lambda number: f"[{IPv6Address(number).exploded}]"),
    ipv6_integers.map(lambda number: f"[{IPv6Address(number)}%25eth0]"),
)  # fmt: skip
names = st.sampled_from(
    ["example.com", "EXAMPLE.com", "example.com.", "localhost", "a..b", "-a.com", "a-.com", "xn--exmple-cua.com",
     "a_b.c", "exämple.com", "a" * 64 + ".com",
     "0x7f.1", "127.1", "0", "1.2.3.4.5", "1.2.3.4x", "[::1", "::1]", "[v1.a]", "[]", ""]
)  # fmt: skip
GOOD_URL = ("https", "://", "", "example.com", "", "/")
URL_PARTS = (
    st.sampled_from(["https", "HTTPS", "http", "ftp", "file", " https", "ht\ntps", ""]),
    st.sampled_from(["://", ":/", ":///", ":\\\\", "//", ":", ""]),
    st.sampled_from(["user@", "u:p@", "127.0.0.1\\@", "@", "a%40b@", "127.0.0.1#@", "127.0.0.1/@"]),
    names | literals | literals | texts,
    st.sampled_from([":443", ":", ":0", ":0443", ":99999", ":-1", ":22", ":４４３", ":443:80", ": 443"]),
    st.sampled_from(["", "/a?b=c@d", "?x", "#f", "\\@127.0.0.1", "/\r\nX: y", "/\x00", ";@x", "/%00"]) | texts,
)


@st.composite
def _urls(draw: st.DrawFn) -> str:
    """Draw a URL of which at most 3 parts are invalid: with more, the first would hide the others."""
    bad = draw(st.sets(st.integers(0, len(GOOD_URL) - 1), max_size=3))
    return "".join(draw(URL_PARTS[place]) if place in bad else part for place, part in enumerate(GOOD_URL))


urls = _urls()
network_texts = st.one_of(
    texts,
    names,
    literals,
    st.builds("{}/{}".format, literals, st.integers(-1, 130)),
    st.builds("{}:{}".format, names | literals, st.integers(-1, 70_000)),
    st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "::/0", "fc00::/7", "[fe80::1%eth0]:80", "10.0.0.0/255.0.0.0", "٣"]),
)


def is_special(address: IPv4Address | IPv6Address) -> bool:
    """Classify an address by the standard library, apart from version differences: an independent oracle."""
    flags = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")
    extra = MORE_SPECIAL_4 if isinstance(address, IPv4Address) else MORE_SPECIAL_6
    listed = any(address in network for network in extra)
    return not address.is_global or listed or any(getattr(address, flag) for flag in flags)


def is_parsed_as_ipv4(host: str) -> bool:
    """Return whether C libraries parse a host as an IPv4 address in any of their forms; no lookup is made."""
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


def find_translated(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address inside a mapped or NAT64 address, read from its bits."""
    prefix, inner = int(address) >> 32, int(address) & 0xFFFFFFFF
    return IPv4Address(inner) if prefix in {0xFFFF, 0x64FF9B << 64} else None


def check_url_policy(*, url: str) -> None:
    target, error = call_expecting(BlockedAddressError, STRICT.check_url, url)
    if error is not None:
        assert is_safe_line(str(error), limit=600)
        return
    assert isinstance(target, Target)
    assert (target.scheme, target.port) == ("https", 443)
    one, other = urllib3.util.parse_url(url), urlsplit(url)
    assert one.port in {None, 443}
    assert other.port in {None, 443}
    assert one.auth is other.username is None
    for host in (one.host, other.hostname):
        assert host is not None
        assert _read_host(host.strip("[]")) == _read_host(target.host)
    assert target.is_address or not is_parsed_as_ipv4(target.host)
    if target.is_address:
        address = ip_address(target.host)
        inner = find_translated(address) if isinstance(address, IPv6Address) else None
        assert not is_special(inner or address)


def _read_host(host: str) -> object:
    try:
        return ip_address(host)
    except ValueError:
        return host.lower() if host.isascii() else idna.encode(host.lower()).decode()


def check_ipv4(*, number: int) -> None:
    address = IPv4Address(number)
    assert (find_special_use(address) is not None) == is_special(address)


def check_ipv6(*, number: int) -> None:
    address = IPv6Address(number)
    inner = find_translated(address)
    special = find_special_use(address)
    if inner is not None:
        assert (special is not None) == is_special(inner)
    elif is_special(address) or address not in IPv6Network("2000::/3"):
        assert special is not None
    else:
        assert special is None


def check_carried(*, number: int, carrier: str) -> None:
    inner = IPv4Address(number)
    address = IPv6Address(CARRIERS[carrier](number))
    refused = find_special_use(address) is not None
    assert refused == (is_special(inner) or carrier in {"6to4", "teredo"})


def check_address_text(*, address: str) -> None:
    _, error = call_expecting(BlockedAddressError, STRICT.check_address, address)
    if error is not None:
        assert is_safe_line(str(error), limit=600)
    else:
        parsed = ip_address(address)
        assert not is_special(find_translated(parsed) or parsed if parsed.version == 6 else parsed)


def check_policy_settings(*, networks: list[str], ports: list[int], url: str) -> None:
    policy, error = call_expecting(ValidationError, NetworkPolicy, allowed_networks=networks, allowed_ports=ports)
    if error is not None:
        assert str(error).isprintable()
        return
    for checked in (url, "https://example.com/", "http://[::1]/"):
        _, error = call_expecting(BlockedAddressError, policy.check_url, checked)
        if error is not None:
            assert is_safe_line(str(error), limit=600)


def check_no_off_switch(*, networks: list[str]) -> None:
    """No single entry allows two private addresses far apart, of IPv4 or of IPv6."""
    try:
        policy = NetworkPolicy(allowed_networks=networks)
    except ValidationError:
        return
    for pair in (("10.0.0.1", "192.168.0.1"), ("::1", "fd00::1")):
        allowed = 0
        for address in pair:
            try:
                policy.check_address(address)
            except BlockedAddressError:
                continue
            allowed += 1
        assert allowed < 2


def check_stripped_url(*, scheme: str, host: str, path: str, place: str) -> None:
    url = {
        "userinfo": f"{scheme}://user:{PRIVATE}@{host}{path}",
        "query": f"{scheme}://{host}{path}?token={PRIVATE}",
        "fragment": f"{scheme}://{host}{path}#{PRIVATE}",
    }[place]
    assert PRIVATE not in strip_sensitive_parts(url)


_plain = st.text(alphabet="abc019.-_:[]%@é", max_size=12)

PROPERTIES: PropertyTable = {
    "url_any_text": make_property(check_url_policy, url=st.text() | hostile_texts),
    "url_hostile_parts": make_property(check_url_policy, url=urls),
    "address_ipv4": make_property(check_ipv4, number=ipv4_integers),
    "address_ipv6": make_property(check_ipv6, number=ipv6_integers),
    "address_carried": make_property(check_carried, number=ipv4_integers, carrier=st.sampled_from(sorted(CARRIERS))),
    "address_text": make_property(
        check_address_text,
        examples=[{"address": "fe80::1%\r\n\x1b[31m"}, {"address": "fe80::1%" + "x" * 10_000}],
        address=literals.map(lambda text: text.strip("[]"))
        | texts
        | texts.map("fe80::1%{}".format)
        | json_values.filter(lambda value: isinstance(value, str)),
    ),
    "policy_settings": make_property(
        check_policy_settings,
        networks=st.lists(network_texts, max_size=4),
        ports=st.lists(st.integers(-1, 70_000), max_size=3),
        url=urls,
    ),
    "policy_no_off_switch": make_property(check_no_off_switch, networks=st.lists(network_texts, max_size=1)),
    "url_stripped": make_property(
        check_stripped_url,
        scheme=st.sampled_from(["https", "http", "HTTPS"]),
        host=_plain,
        path=st.just("") | _plain.map("/{}".format),
        place=st.sampled_from(["userinfo", "query", "fragment"]),
    ),
}
