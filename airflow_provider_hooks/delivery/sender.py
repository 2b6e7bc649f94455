# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One attempt: at most one HTTP request, within one deadline, to an address that was judged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pycurl

from airflow_provider_hooks.delivery.exchange import Exchange, write_header_lines
from airflow_provider_hooks.delivery.limits import ConnectError, locate, not_sent_result
from airflow_provider_hooks.delivery.transfer import Connections, open_transfer
from airflow_provider_hooks.http.policy import BlockedAddressError

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.limits import Limits
    from airflow_provider_hooks.delivery.record import Attempt
    from airflow_provider_hooks.delivery.request import Request
    from airflow_provider_hooks.http.policy import NetworkPolicy


def send_once(
    request: Request, *, policy: NetworkPolicy, limits: Limits, connections: Connections | None = None
) -> Attempt:
    """
    Send a request at most once and return what came of it. Nothing that a network or a peer does raises.

    Reading the answer stops at its bounds; an answer whose headers were complete counts, whatever its body did.

    :param connections: kept connections, of which one may be used; without them it is a new one, closed afterwards
    """
    started, requested_at = time.monotonic(), time.time()
    try:
        target = policy.check_url(request.url)
        addresses = locate(target, policy=policy, limits=limits)
        resolved = time.monotonic() - started
        proxy = policy.find_proxy(addresses[0], target=target)
        curl = open_transfer(
            request.url, target, addresses, limits=limits, proxy=proxy, spent=resolved, connections=connections
        )
        exchange = Exchange(curl, target, policy=policy, tunnel_end=addresses[0] if proxy else None)
        exchange.begin(request.body, write_header_lines(request.headers))
    except (BlockedAddressError, ConnectError, pycurl.error, OSError, RuntimeError, ValueError) as error:
        # A claim stands by now, so what keeps a transfer from beginning must come out as what it is: nothing sent.
        return not_sent_result(error, requested_at=requested_at, duration=time.monotonic() - started)
    failure: pycurl.error | None = None
    try:
        curl.perform()
    except pycurl.error as error:
        failure = error
    try:
        return exchange.read_attempt(
            failure,
            requested_at=requested_at,
            duration=time.monotonic() - started,
            resolved=resolved,
            private=request.private,
        )
    finally:
        if connections is None:
            curl.close()
