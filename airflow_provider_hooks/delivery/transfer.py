# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One libcurl transfer, set up so that nothing happens that was not asked for. Delivering and probing share it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import certifi
import pycurl

from airflow_provider_hooks.delivery.limits import ERRNO_CLASSES
from airflow_provider_hooks.delivery.record import ErrorClass
from airflow_provider_hooks.http.proxy import format_authority
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.limits import Limits
    from airflow_provider_hooks.http.proxy import Proxy
    from airflow_provider_hooks.http.urls import Target


_OF_PARENTS: list[pycurl.Curl] = []
"""Handles that a process was forked with, kept so that nothing closes them."""


class Connections:
    """
    Connections that are kept alive from one transfer to the next; every thread and every process has its own.

    A connection may be dead by the time it is used again; that libcurl then sends nothing twice is the sender's task.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def take(self) -> pycurl.Curl:
        """Return the handle that holds this thread's connections, without the settings of the transfer before."""
        curl: pycurl.Curl | None = getattr(self._local, "curl", None)
        if curl is not None and self._local.pid != os.getpid():
            # The parent uses these connections: closing them here would end its TLS.
            _OF_PARENTS.append(curl)
            curl = None
        if curl is None:
            curl = self._local.curl = pycurl.Curl()
            self._local.pid = os.getpid()
        curl.reset()
        return curl

    def close(self) -> None:
        """Close every connection of this thread; those of others close with them."""
        curl: pycurl.Curl | None = getattr(self._local, "curl", None)
        if curl is not None:
            del self._local.curl
            curl.close()


def open_transfer(
    url: str,
    target: Target,
    addresses: list[str],
    *,
    limits: Limits,
    proxy: Proxy | None = None,
    spent: float = 0.0,
    connections: Connections | None = None,
) -> pycurl.Curl:
    """
    Set up a transfer to exactly these addresses: no redirect, netrc or decompression, no proxy but the deployment's.

    :param proxy: asked for a tunnel to the first of the addresses
    :param spent: seconds of the limits that are gone already
    :param connections: kept connections, of which one may be used; without them it is a new one, closed afterwards
    :raises pycurl.error: if libcurl refuses a setting; nothing was sent
    """
    curl = pycurl.Curl() if connections is None else connections.take()
    if connections is None:
        curl.setopt(pycurl.FRESH_CONNECT, 1)
        curl.setopt(pycurl.FORBID_REUSE, 1)
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.SSL_VERIFYPEER, 1)
    curl.setopt(pycurl.SSL_VERIFYHOST, 2)
    curl.setopt(pycurl.CAINFO, os.fsencode(limits.ca_file or certifi.where()))
    curl.setopt(pycurl.TIMEOUT_MS, max(1, int((limits.timeout - spent) * 1000)))
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int((min(limits.connect_timeout, limits.timeout) - spent) * 1000)))
    if proxy is not None:
        _go_through(curl, proxy, target, addresses[0])
        return curl
    curl.setopt(pycurl.PROXY, "")
    if not target.is_address:
        pinned = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
        curl.setopt(pycurl.RESOLVE, [f"{target.host}:{target.port}:{pinned}"])
    return curl


_SUPPRESS_CONNECT_HEADERS = 265
"""libcurl's CURLOPT_SUPPRESS_CONNECT_HEADERS, for which pycurl has no name: a proxy's answer is not the receiver's."""


def _go_through(curl: pycurl.Curl, proxy: Proxy, target: Target, address: str) -> None:
    """Have a proxy open a tunnel to an address: TLS and all of the request are between us and the receiver."""
    curl.setopt(pycurl.PROXY, f"http://{format_authority(proxy.host, proxy.port)}")
    curl.setopt(pycurl.NOPROXY, "")
    curl.setopt(pycurl.HTTPPROXYTUNNEL, 1)
    curl.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
    curl.setopt(pycurl.CONNECT_TO, [f"::{format_authority(address, target.port)}"])
    if proxy.user is not None:
        curl.setopt(pycurl.PROXYAUTH, pycurl.HTTPAUTH_BASIC)
        curl.setopt(pycurl.PROXYUSERNAME, proxy.user.encode())
        curl.setopt(pycurl.PROXYPASSWORD, proxy.password.encode())


_TLS_CODES = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_USE_SSL_FAILED,
    }
)
_E_TOO_LARGE = 100
"""libcurl's CURLE_TOO_LARGE, for which pycurl has no name."""
_E_PROXY = 97
"""libcurl's CURLE_PROXY, which pycurl may have no name for."""
_SUCCESSFUL = 2
"""The first digit of a status that opens a tunnel."""
_RESET_CODES = frozenset({pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR, pycurl.E_GOT_NOTHING, pycurl.E_PARTIAL_FILE})


def classify(curl: pycurl.Curl, error: pycurl.error) -> tuple[ErrorClass, str]:
    """Return the class and the words of the error that a transfer ended with."""
    code, words = (*error.args, "")[:2]
    refused = curl.getinfo(pycurl.HTTP_CONNECTCODE)
    if refused and refused // 100 != _SUCCESSFUL:
        return ErrorClass.PROXY_ERROR, f"the proxy refused to connect, with status {refused}"
    if code == pycurl.E_RECV_ERROR and "chunk" in str(words):
        return ErrorClass.INVALID_RESPONSE, escape(str(words))  # libcurl has one code for both
    known = {
        _E_TOO_LARGE: ErrorClass.RESPONSE_TOO_LARGE,
        pycurl.E_OPERATION_TIMEDOUT: ErrorClass.TIMEOUT,
        pycurl.E_COULDNT_RESOLVE_HOST: ErrorClass.DNS_ERROR,
        pycurl.E_COULDNT_RESOLVE_PROXY: ErrorClass.PROXY_ERROR,
        _E_PROXY: ErrorClass.PROXY_ERROR,
        pycurl.E_COULDNT_CONNECT: ERRNO_CLASSES.get(curl.getinfo(pycurl.OS_ERRNO), ErrorClass.CONNECTION_FAILED),
        **dict.fromkeys(_TLS_CODES, ErrorClass.TLS_ERROR),
        **dict.fromkeys(_RESET_CODES, ErrorClass.CONNECTION_RESET),
    }
    return known.get(code, ErrorClass.INVALID_RESPONSE), escape(str(words))
