# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Which addresses are public: an own table, so that the result does not depend on Python's patch level.

IPv6 is public inside 2000::/3 less its special ranges only, and an IPv4 address carried inside an IPv6 one is checked
as the IPv4 address that it is.

Source: the IANA registries of special-purpose IPv4 and IPv6 addresses (RFC 6890 and its updates).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPAddress = IPv4Address | IPv6Address

_IPV4_SPECIAL = tuple(
    (IPv4Network(network), use)
    for network, use in (
        ("0.0.0.0/8", "this network (RFC 791)"),
        ("10.0.0.0/8", "private use (RFC 1918)"),
        ("100.64.0.0/10", "shared carrier space (RFC 6598), where some clouds have their metadata"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("168.63.129.16/32", "Azure's platform address"),
        ("169.254.0.0/16", "link local (RFC 3927), where clouds have their metadata"),
        ("172.16.0.0/12", "private use (RFC 1918)"),
        ("192.0.0.0/24", "protocol assignments (RFC 6890), where some clouds have their metadata"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.31.196.0/24", "AS112 (RFC 7535)"),
        ("192.52.193.0/24", "AMT (RFC 7450)"),
        ("192.88.99.0/24", "6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "private use (RFC 1918)"),
        ("192.175.48.0/24", "AS112 (RFC 7534)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved (RFC 1112) or broadcast"),
    )
)

_IPV6_PUBLIC = IPv6Network("2000::/3")
_IPV6_SPECIAL = tuple(
    (IPv6Network(network), use)
    for network, use in (
        ("2001::/23", "protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2620:4f:8000::/48", "AS112 (RFC 7534)"),
        ("3fff::/20", "documentation (RFC 9637)"),
    )
)

_TEREDO = IPv6Network("2001::/32")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_LAST_32_BITS = 0xFFFF_FFFF


def find_special_use(address: str | IPAddress) -> str | None:
    """
    Return why an address is not a public one, or ``None`` if it is.

    :param address: an IPv4 or IPv6 address; a zone id makes it special
    :raises ValueError: if it is not an address at all
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return next((use for network, use in _IPV4_SPECIAL if parsed in network), None)
    if parsed.scope_id is not None:
        return "bound to one link by its zone id"
    carried = _find_carried_ipv4(parsed)
    if carried is not None:
        inner = find_special_use(carried)
        return f"carries {carried}: {inner}" if inner else _classify_tunnel(parsed)
    if parsed not in _IPV6_PUBLIC:
        return "outside the public IPv6 space 2000::/3 (RFC 4291)"
    return next((use for network, use in _IPV6_SPECIAL if parsed in network), None)


def _find_carried_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & _LAST_32_BITS)
    if address in _SIX_TO_FOUR:
        return address.sixtofour
    if address in _TEREDO and address.teredo is not None:
        return address.teredo[1]
    return None


def _classify_tunnel(address: IPv6Address) -> str | None:
    """Distinguish the ways to carry a public IPv4 address: a mapped one is that address, a tunnel has a relay."""
    if address.ipv4_mapped is not None or address in _NAT64:
        return None
    return "a tunnel through a relay (6to4, RFC 7526, or Teredo, RFC 4380)"
