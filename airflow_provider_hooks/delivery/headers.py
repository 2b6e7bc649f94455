# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The headers that a connection adds to its deliveries, or names for the delivery id and the signature.

A header that a user typed must not become a second header, another host or a forged signature, so everything that is
not plainly a name and a value is refused. Source: RFC 9110, section 5.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_hooks.delivery.connection import HEADERS_FIELD, PLAIN_HEADERS_FIELD
from airflow_provider_hooks.sanitize import is_header_name, safe_repr
from airflow_provider_hooks.signing.schemes import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_hooks.exceptions import ValidationErrors

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""What a connection can name as ``id_header`` without a setting (IETF draft of the HTTP API working group)."""
MAX_HEADERS = 32
MAX_VALUE_CHARACTERS = 4_096

_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_RESERVED = frozenset(
    {
        *("content-encoding", "content-length", "content-type", "expect", "host", "transfer-encoding", "user-agent"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "accept-encoding", "range", "http2-settings"),
    }
)
_CREDENTIAL_WORDS = ("auth", "token", "secret", "password", "key", "cookie", "session", "signature", "credential")
"""A header whose name has one of these holds a credential."""
_SIGNATURE_WORDS = ("signature", "hmac", "timestamp", "webhook")
"""A header whose name has one of these can be one of a scheme that a connection describes."""
_CREDENTIAL_HEADERS = frozenset({"authorization", "cookie"})
_RESERVED_PREFIXES = ("x-service-hook", "x-servicehook", "proxy-")


def is_credential(header: str) -> bool:
    """Return whether a header holds a credential, by its name."""
    return any(word in header.lower() for word in _CREDENTIAL_WORDS)


def list_sensitive_parts(value: str) -> list[str]:
    """Return a header's value, what follows its first word, and what Basic authentication encodes (RFC 7617)."""
    scheme, _, rest = value.partition(" ")
    parts = [value, *value.split(" ")[1:]]
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            decoded = base64.b64decode(rest.strip(), validate=True).decode()
            parts += [decoded, decoded.partition(":")[2]]
    return [part for part in parts if part]


def find_signature_header_problem(name: str, listed: set[str]) -> str | None:
    """Return why a scheme that a connection describes cannot use a header, or ``None``."""
    if _is_of_a_scheme(as_received(name)):
        return None
    is_usual = any(word in name.lower() for word in _SIGNATURE_WORDS)
    return _find_name_problem(name, {*listed, name.lower()} if is_usual else listed)


def read_plain_headers(
    value: object, secret: Mapping[str, str], allowed: Iterable[str], problems: ValidationErrors
) -> dict[str, str]:
    """Return the headers whose values are not secrets; note each that holds credentials, or is a secret one too."""
    headers = read_headers(value, allowed=allowed, problems=problems, field=PLAIN_HEADERS_FIELD)
    others = set(map(as_received, secret))
    for name in headers:
        place = f"extra.{PLAIN_HEADERS_FIELD} {safe_repr(name)}"
        if as_received(name) in _CREDENTIAL_HEADERS:
            problems.add(place, f"holds credentials: use {HEADERS_FIELD}, or auth_type")
        elif as_received(name) in others:
            problems.add(place, f"is in {HEADERS_FIELD} too; name it in one of them")
    return headers


def read_headers(
    value: object, *, allowed: Iterable[str], problems: ValidationErrors, field: str = HEADERS_FIELD
) -> dict[str, str]:
    """
    Return the headers that a connection adds; note each that it must not.

    :param value: a JSON object of names and values, or its text; nothing, or blank text, is not a header
    :param allowed: the names that the deployment adds to ``Authorization`` and ``X-…``, in any case
    :param field: the field of the connection
    """
    named = read_pairs(value)
    if named is None:
        problems.add(f"extra.{field}", 'must be a JSON object of names and values, such as {"X-Team": "data"}')
        return {}
    if len(named) > MAX_HEADERS:
        problems.add(f"extra.{field}", f"has {len(named)} headers; there can be {MAX_HEADERS}")
        return {}
    listed = {name.lower() for name in allowed}
    headers: dict[str, str] = {}
    for name, text in named:
        place = f"extra.{field} {safe_repr(name)}"
        problem = _find_name_problem(name, listed) or _find_value_problem(text)
        if as_received(name) in map(as_received, headers):
            problem = "is there more than once; names differ in more than their case, '-' and '_'"
        if problem is not None:
            problems.add(place, problem)
        else:
            headers[name] = str(text)
    return headers


def read_pairs(value: object) -> list[tuple[str, object]] | None:
    """Return the pairs in their order, repeated names included, or ``None`` if there are no pairs in it."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [(str(name), text) for name, text in value.items()]
    if not isinstance(value, str):
        return None
    if not value.strip():
        return []
    try:
        pairs = json.loads(value, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    return list(pairs) if isinstance(pairs, _Pairs) else None


class _Pairs(list[tuple[str, object]]):
    """What a JSON object holds, before repeated names are dropped."""


def _find_name_problem(name: str, listed: set[str], *, common: str = "Authorization") -> str | None:
    lower = name.lower()
    received = as_received(name)
    if not is_header_name(name):
        return "is not the name of a header"
    if received in _RESERVED or received.startswith(_RESERVED_PREFIXES) or _is_of_a_scheme(received):
        return "is set by the provider or the connection itself and cannot be given"
    if lower != common.lower() and not lower.startswith("x-") and lower not in listed:
        return f"is not allowed: use {common} or X-…, or list it in allowed_headers (section service_hooks)"
    return None


def find_id_header_problem(name: str, named: Mapping[str, Iterable[str]], allowed: Iterable[str]) -> str | None:
    """
    Return why a header cannot carry the delivery id, or ``None``.

    :param named: the headers that each field of the connection adds
    """
    for place, headers in named.items():
        if as_received(name) in map(as_received, headers):
            return f"is in {place} too; name it in one of them"
    return _find_name_problem(name, {other.lower() for other in allowed}, common=IDEMPOTENCY_HEADER)


def _is_of_a_scheme(received: str) -> bool:
    return any(received == as_received(header) for scheme in SCHEMES.values() for header in scheme.header_names)


def as_received(name: str) -> str:
    """Return the name of a header as WSGI and CGI servers see it: case, ``-`` and ``_`` make no difference."""
    return name.lower().replace("_", "-")


def _find_value_problem(value: object) -> str | None:
    """Return what is wrong with a value, in words that do not quote it."""
    if not isinstance(value, str):
        return "must have text as its value"
    if len(value) > MAX_VALUE_CHARACTERS:
        return f"has a value longer than {MAX_VALUE_CHARACTERS} characters"
    if not _VALUE.fullmatch(value):
        return "has a value that is empty, has blanks at an end, or is not printable ASCII"
    return None
