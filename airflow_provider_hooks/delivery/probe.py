# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Checks that an endpoint can be reached: policy, DNS, connecting and TLS, without sending a byte of a request."""

from __future__ import annotations

import pycurl

from airflow_provider_hooks.delivery.limits import ConnectError, Limits, locate
from airflow_provider_hooks.delivery.record import ErrorClass
from airflow_provider_hooks.delivery.transfer import classify, open_transfer
from airflow_provider_hooks.http.policy import BlockedAddressError, NetworkPolicy


def probe(url: str, *, policy: NetworkPolicy, limits: Limits) -> str:
    """
    Connect to where a URL leads and return the peer's address. No request is sent.

    :raises ConnectError: saying why it cannot be reached
    """
    try:
        target = policy.check_url(url)
    except BlockedAddressError as error:
        raise ConnectError(ErrorClass.BLOCKED_ADDRESS, str(error)) from None
    addresses = locate(target, policy=policy, limits=limits)
    proxy = policy.find_proxy(addresses[0], target=target)
    curl = open_transfer(url, target, addresses, limits=limits, proxy=proxy)
    try:
        curl.setopt(pycurl.CONNECT_ONLY, 1)
        curl.perform()
        peer = addresses[0] if proxy else str(curl.getinfo(pycurl.PRIMARY_IP))
        policy.check_address(peer, target=target)
    except pycurl.error as error:
        raise ConnectError(*classify(curl, error)) from None
    except BlockedAddressError as error:
        raise ConnectError(ErrorClass.BLOCKED_ADDRESS, str(error)) from None
    finally:
        curl.close()
    return peer
