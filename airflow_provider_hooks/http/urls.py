# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A URL read strictly, so that no two readers can disagree about its host.

What browsers and HTTP libraries repair in silence (backslashes, numeric hosts, blanks, userinfo) is refused instead:
every such repair has been a way around an address check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote_plus, urlsplit

MAX_URL_CHARACTERS = 2_048
_ALLOWED = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_SCHEME_AND_HOST = re.compile(r"[A-Za-z]{1,10}://(?P<host>[^/?#:@\[\]\\\s]{1,253})")
BASIC_AUTHENTICATION = "for Basic authentication set auth_type, auth_username and auth_secret"
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_DEFAULT_PORTS = {"https": 443, "http": 80}
_MAX_HOST_CHARACTERS = 253
_MAX_PORT = 65_535
_TOKEN_CHARACTERS = 8
"""The shortest part of a secret path that is masked where a receiver returns it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a URL leads: its scheme, host and port, as every reader must see them, and what is requested there."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without brackets."""
    port: int
    path: str = field(default="/", repr=False)
    """What is sent: dot segments and percent-encoding are left unchanged."""
    query: str = field(default="", repr=False)
    """May hold a token, so it is not shown."""
    path_is_secret: bool = field(default=False, repr=False)
    """Whether the path is a token too, as that of chat receivers is."""

    is_address: bool = field(init=False, repr=False)
    """Whether the host is an IP address rather than a name."""
    request_target: str = field(init=False, repr=False)
    """What stands in the request line (RFC 9112, section 3.2.1)."""
    authority: str = field(init=False, repr=False)
    """The value of ``Host``: without the default port of the scheme."""
    display_url: str = field(init=False, repr=False)
    """The URL without its query, for records and messages."""
    sensitive_parts: tuple[str, ...] = field(init=False, repr=False)
    """The parts of the query that may hold a token."""

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
        object.__setattr__(self, "is_address", is_address(self.host))
        object.__setattr__(self, "request_target", f"{self.path}?{self.query}" if self.query else self.path)
        object.__setattr__(self, "authority", authority)
        shown_path = "/***" if self.path_is_secret else self.path
        object.__setattr__(self, "display_url", f"{self.scheme}://{authority}{shown_path}")
        in_path = (self.path, *_list_long_segments(self.path)) if self.path_is_secret else ()
        object.__setattr__(self, "sensitive_parts", (*in_path, *_list_sensitive_parts(self.query)))


def parse_url(url: str) -> Target:
    """
    Return where an absolute http(s) URL leads.

    :raises ValueError: saying what is wrong with it; the message does not quote the URL, which may hold a token
    """
    if not isinstance(url, str) or not url:
        raise ValueError("the URL is empty")
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"the URL is longer than {MAX_URL_CHARACTERS} characters")
    url = _encode_host(url)
    if not _ALLOWED.fullmatch(url):
        raise ValueError("the URL has characters that must be percent-encoded (blanks, backslashes, non-ASCII)")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the URL is malformed") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("the URL must start with https://")
    if "@" in parts.netloc:
        raise ValueError(f"the URL must not hold a user name or a password; {BASIC_AUTHENTICATION}")
    if "#" in url:
        raise ValueError("the URL must not have a fragment (#...)")
    host, port = _split_authority(parts.netloc, default_port=_DEFAULT_PORTS[scheme])
    return Target(scheme=scheme, host=host, port=port, path=parts.path or "/", query=parts.query)


def _encode_host(url: str) -> str:
    """
    Return a URL with an international host name in its ASCII form (IDNA 2008, RFC 5891).

    :raises ValueError: if the host is not such a name
    """
    found = _SCHEME_AND_HOST.match(url)
    if found is None or found["host"].isascii():
        return url
    import idna  # noqa: PLC0415  (its tables are large, and nearly no URL needs them)

    try:
        host = idna.encode(found["host"].lower(), strict=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError(
            "the URL's host is not a valid international host name; write it in punycode (xn--…)"
        ) from None
    return f"{url[: found.start('host')]}{host}{url[found.end('host') :]}"


def sensitive_url_parts(url: str) -> tuple[str, ...]:
    """Return the parts of a URL that may hold a token."""
    return _list_sensitive_parts(urlsplit(url).query)


def _list_sensitive_parts(query: str) -> tuple[str, ...]:
    """Return what of a URL's query may be a token: all of it, each value, and each name without a value."""
    pairs = (part.partition("=") for part in re.split("[&;]", query))
    tokens = [value or name for name, _, value in pairs if name or value]
    return tuple(dict.fromkeys((query, *tokens, *map(unquote_plus, tokens)))) if query else ()


def _list_long_segments(path: str) -> list[str]:
    """Return the segments of a path that are long enough to be a token."""
    return [segment for segment in path.split("/") if len(segment) >= _TOKEN_CHARACTERS]


def strip_sensitive_parts(url: str) -> str:
    """Return a URL without userinfo, query and fragment, for records and messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(malformed URL)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _split_authority(authority: str, *, default_port: int) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise ValueError("the URL has no valid host, or a port that is not a number")
    port = int(found["port"]) if found["port"] else default_port
    if not 1 <= port <= _MAX_PORT:
        raise ValueError(f"the URL's port must be 1 to {_MAX_PORT}")
    return _read_host(found["host"]), port


def _read_host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError("the URL's host is not a valid IPv6 address") from None
    name = host.lower()
    if name.endswith("."):
        raise ValueError("the URL's host must be written without a final full stop")
    labels = name.split(".")
    if len(name) > _MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the URL's host is not a valid host name")
    if _NUMERIC_LABEL.fullmatch(labels[-1]) and not is_address(name):
        raise ValueError("the URL's host is a number that is not a plain IPv4 address")
    return name


def is_address(host: str) -> bool:
    """Return whether a host is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
