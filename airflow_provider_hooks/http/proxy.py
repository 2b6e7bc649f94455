# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The proxy that a deployment may name for what leaves its network.

The request is for a tunnel to an **address** that was resolved and checked here (``CONNECT 93.184.216.34:443``), never
for a name, so the policy holds as it does without one, as long as the proxy connects to that address.
Source: RFC 9110, section 9.3.6 (CONNECT).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from airflow_provider_hooks.exceptions import ProxyError
from airflow_provider_hooks.http.urls import parse_url

MAX_RESPONSE_BYTES = 16_384
"""How much of a proxy's response is read at most."""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """Where the proxy is, and who we are to it."""

    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def credentials(self) -> str | None:
        """The value of ``Proxy-Authorization``, where there is a user."""
        if self.user is None:
            return None
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


def read_proxy(text: str) -> Proxy:
    """
    Read ``http://[user:password@]host:port``.

    :raises ValueError: saying what is wrong, without quoting it
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is malformed") from None
    if parts.scheme != "http" or port is None or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("must be http://host:port, with user:password@ before the host if the proxy requires it")
    authority = parts.netloc.rpartition("@")[2]
    try:
        target = parse_url(f"http://{authority}/")
    except ValueError as error:
        raise ValueError(str(error).replace("the URL", "it")) from None
    user = None if parts.username is None else unquote(parts.username)
    password = unquote(parts.password or "")
    if not (f"{user or ''}{password}".isprintable() and ":" not in (user or "")):
        raise ValueError("has a user or password with control characters, or a user with a colon")
    return Proxy(host=target.host, port=target.port, user=user, password=password)


def format_authority(address: str, port: int) -> str:
    """Return ``address:port``, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def make_connect_request(proxy: Proxy, *, address: str, port: int) -> bytes:
    """Make the request for a tunnel to an address."""
    authority = format_authority(address, port)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.credentials is not None:
        lines.append(f"Proxy-Authorization: {proxy.credentials}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def check_connect_response(answer: bytes) -> None:
    """
    Return if an answer's head says that the tunnel is open.

    :raises ProxyError: if it does not
    """
    words = answer.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():  # noqa: PLR2004
        raise ProxyError("the proxy's response is not HTTP")
    if not words[1].startswith(b"2"):
        raise ProxyError(f"the proxy refused to connect, with status {words[1].decode('ascii')[:3]}")
