# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.http import find_special_use

SPECIAL_USE = """
127.0.0.1 10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 100.100.100.200 192.0.0.8 192.0.0.192
192.88.99.1 198.18.0.1 192.0.2.1 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 0.0.0.0 224.0.0.1
168.63.129.16 ::1 :: ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1::1
2001:0:7f00:1:: 2001:db8::1 3fff::1 5f00::1 fec0::1 fe80::1 fc00::1 fd00:ec2::254 ff02::1 100::1
::ffff:0:127.0.0.1 fe80::1%eth0 2606:4700::1%1 2001:0:808:808:: 2002:808:808::1 ::ffff:169.254.169.254
172.31.255.255 100.127.255.255 198.19.255.255 3fff:fff::1
2001:470:1f0b::5efe:127.0.0.1 2a00:1450::5efe:10.0.0.1 2a00:1450::200:5efe:169.254.169.254 2a00:1450::5efe:8.8.8.8
""".split()  # noqa: SIM905  (read as a block)
PUBLIC = """
8.8.8.8 2606:4700::1111 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 198.17.255.255 198.20.0.1
11.0.0.1 9.255.255.255 223.255.255.255 168.63.129.15 168.63.129.17 ::ffff:8.8.8.8 64:ff9b::808:808 2001:200::1
3ffe::1 192.0.1.1 169.253.255.255 169.255.0.1 2400::1 3fff:1000::1
""".split()  # noqa: SIM905  (read as a block)


@pytest.mark.parametrize("address", SPECIAL_USE)
def test_special_use_of_an_address_is_returned(address):
    assert find_special_use(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_next_to_a_special_block_has_no_special_use(address):
    assert find_special_use(address) is None


@pytest.mark.parametrize("text", ["", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "::g", "١.١.١.١", "1.2.3.4.5"])
def test_invalid_address_raises_value_error(text):
    with pytest.raises(ValueError, match="does not appear to be"):
        find_special_use(text)


@given(st.ip_addresses(v=4))
def test_ipv4_address_embedded_in_ipv6_is_public_only_if_it_is_itself(address):
    for carrier in (
        f"::ffff:{address}",
        str(ipaddress.IPv6Address(int(ipaddress.ip_address("64:ff9b::")) | int(address))),
    ):
        assert bool(find_special_use(carrier)) == bool(find_special_use(address))


@given(st.ip_addresses(v=6))
def test_only_global_unicast_and_embedded_public_ipv4_are_public(address):
    if find_special_use(address) is None and address not in ipaddress.ip_network("2000::/3"):
        assert address.ipv4_mapped or address in ipaddress.ip_network("64:ff9b::/96")
