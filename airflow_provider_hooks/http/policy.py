# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The network policy: deny by default, with the exact exceptions of the administrator. There is no off switch.

Which addresses are public: a table of this package, so that the result does not depend on Python's patch level.

IPv6 is public inside 2000::/3 less its special ranges only, and an IPv4 address carried inside an IPv6 one is checked
as the IPv4 address that it is.

Source: the IANA registries of special-purpose IPv4 and IPv6 addresses (RFC 6890 and its updates).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import BlockedAddressError, ValidationError
from airflow_provider_hooks.http.proxy import Proxy, read_proxy
from airflow_provider_hooks.http.urls import Target, parse_url
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""What the interface identifier of an ISATAP address begins with (RFC 5214, section 6.1)."""

_SECTION = "(section service_hooks of airflow.cfg)"
_SETTING = f"allowed_networks {_SECTION}"
_HOST_NAME = re.compile(r"(?=.*[a-z])[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
_SHORTEST = {4: 8, 6: 16}
"""The shortest prefix of an exception: a wider one would be an off switch in disguise."""
_WIDEST = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))
"""Wider ones that hold no public address at all."""
_HTTPS_PORT = 443
_MAX_PORT = 65_535


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One entry of ``allowed_networks``: a host name or a network, on one port or on any."""

    place: str | IPv4Network | IPv6Network
    port: int | None

    def covers_host(self, host: str, port: int) -> bool:
        return self.place == host and self.port in {None, port}

    def covers_address(self, address: IPAddress, port: int | None) -> bool:
        if isinstance(self.place, str) or address.version != self.place.version:
            return False
        return address in self.place and (self.port is None or port is None or self.port == port)


class NetworkPolicy:
    """
    Decides on a URL, on each address that its host resolves to, and on the address really connected to.

    Without exceptions: HTTPS only, to public addresses only, on port 443 and the ports listed.

    :param allowed_networks: host names (``hooks.internal``), addresses and networks (``10.1.0.0/16``), each with an
        optional port (``127.0.0.1:8099``, ``[::1]:8099``); to these plain HTTP and any port, or that port, are allowed
    :param allowed_ports: further ports on which HTTPS to public addresses is allowed
    :param proxy: ``http://host:port`` through which all goes that is not listed in ``allowed_networks``
    :raises ValidationError: naming each entry that is none of these
    """

    def __init__(
        self,
        *,
        allowed_networks: Iterable[str] = (),
        allowed_ports: Iterable[int] = (),
        proxy: str | None = None,
    ) -> None:
        problems: dict[str, str] = {}
        texts = [text.strip() for text in allowed_networks if text.strip()]
        self._entries = tuple(_read_entries(texts, problems))
        self._ports = frozenset((_HTTPS_PORT, *allowed_ports))
        if not all(1 <= port <= _MAX_PORT for port in self._ports):
            problems["allowed_ports"] = f"a port must be 1 to {_MAX_PORT}"
        self.proxy: Proxy | None = None
        try:
            self.proxy = read_proxy(proxy) if proxy else None
        except ValueError as error:
            problems["proxy"] = str(error)
        if problems:
            raise ValidationError("section service_hooks of airflow.cfg", problems)

    def check_url(self, url: str) -> Target:
        """
        Return where a URL leads if the policy can allow to send there, before its host is resolved.

        :raises BlockedAddressError: saying why not, and what the administrator can do
        """
        try:
            target = parse_url(url)
        except ValueError as error:
            raise BlockedAddressError(str(error)) from None
        self.check_target(target)
        return target

    def check_target(self, target: Target) -> None:
        """
        Return if the policy can allow to send to a target, before its host is resolved.

        :raises BlockedAddressError: saying why not, and what the administrator can do
        """
        if self._is_listed(target):
            return
        if target.scheme != "https":
            # Plain HTTP is usual only inside, where https:// would not do either.
            raise BlockedAddressError(
                f"plain HTTP to {target.authority} is not allowed: list it in {_SETTING} if it is meant; "
                "otherwise use https://"
            )
        if target.is_address:
            self.check_address(target.host, target=target)
        if target.port not in self._ports:
            if target.host == "localhost" or target.host.endswith(".localhost"):
                raise BlockedAddressError(
                    f"{target.host} is not a public address: if it is meant, list it in {_SETTING}"
                )
            raise BlockedAddressError(
                f"port {target.port} of {target.host} is not allowed: list it in allowed_ports {_SECTION}"
            )

    def check_address(self, address: str, *, target: Target | None = None) -> None:
        """
        Return if an address may be sent to.

        :param address: an IPv4 or IPv6 address, as resolved or as connected to
        :param target: where the URL leads; a listed host name may resolve to any address
        :raises BlockedAddressError: if it may not, or is not an address
        """
        try:
            parsed = ip_address(address)
        except ValueError:
            raise BlockedAddressError(f"{safe_repr(address)} is not an IP address") from None
        port = target.port if target else None
        if self._lists(parsed, port=port, target=target):
            return
        special_use = find_special_use(parsed)
        if special_use is not None:
            raise BlockedAddressError(
                f"{escape(str(parsed), limit=60)} is not a public address ({special_use}): "
                f"if it is meant, list it in {_SETTING}"
            )

    def find_proxy(self, address: str, *, target: Target) -> Proxy | None:
        """Return the proxy to reach an address through, or ``None`` where it is connected to directly."""
        return None if self._lists(ip_address(address), port=target.port, target=target) else self.proxy

    def check_addresses(self, addresses: Sequence[str], *, target: Target) -> None:
        """
        Return if **every** address that a host resolved to may be sent to.

        :raises BlockedAddressError: if any may not, or there is none
        """
        if not addresses:
            raise BlockedAddressError(f"{target.host} resolved to no address")
        for address in addresses:
            self.check_address(address, target=target)

    def _lists(self, address: IPAddress, *, port: int | None, target: Target | None) -> bool:
        """Return whether an address is an exception, by itself or by the host name that led to it."""
        if target is not None and any(entry.covers_host(target.host, target.port) for entry in self._entries):
            return True
        return any(entry.covers_address(_unwrap(address), port) for entry in self._entries)

    def _is_listed(self, target: Target) -> bool:
        if target.is_address:
            return self._lists(ip_address(target.host), port=target.port, target=target)
        return any(entry.covers_host(target.host, target.port) for entry in self._entries)


def _unwrap(address: IPAddress) -> IPAddress:
    """Return the IPv4 address inside a mapped one: both name the same peer."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _read_entries(texts: Sequence[str], problems: dict[str, str]) -> Iterable[_Entry]:
    for text in texts:
        try:
            yield _read_entry(text)
        except ValueError:
            problems[f"allowed_networks {safe_repr(text)}"] = (
                "must be a host name, an address or a network, with an optional :port; a network has no bits set "
                "outside its mask and is no wider than /8 (IPv4) or /16 (IPv6); entries are separated by commas"
            )


def _read_entry(text: str) -> _Entry:
    place, port = text.lower(), None
    if text.startswith("["):
        place, bracket, rest = place[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(text)
        port = _read_port(rest[1:]) if rest else None
    elif text.count(":") == 1:
        place, _, digits = place.partition(":")
        port = _read_port(digits)
    try:
        network = ip_network(place)
    except ValueError:
        if not _HOST_NAME.fullmatch(place) or "/" in place:
            raise
        return _Entry(place=place, port=port)
    if not any(_is_within(network, widest) for widest in _WIDEST) and network.prefixlen < _SHORTEST[network.version]:
        raise ValueError(text)
    return _Entry(place=network, port=port)


def _is_within(network: IPv4Network | IPv6Network, other: IPv6Network) -> bool:
    return isinstance(network, IPv6Network) and network.subnet_of(other)


def _read_port(digits: str) -> int:
    if not digits.isascii() or not digits.isdigit() or not 1 <= int(digits) <= _MAX_PORT:
        raise ValueError(digits)
    return int(digits)


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
    if (int(address) >> 32) & _LAST_32_BITS in _ISATAP:
        return IPv4Address(int(address) & _LAST_32_BITS)
    return None


def _classify_tunnel(address: IPv6Address) -> str | None:
    """Distinguish the ways to carry a public IPv4 address: a mapped one is that address, a tunnel has a relay."""
    if address.ipv4_mapped is not None or address in _NAT64:
        return None
    return "a tunnel (6to4, RFC 7526; Teredo, RFC 4380; or ISATAP, RFC 5214)"
