# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The headers that a connection adds to its deliveries: an allowlist, and ours always win.

A header that somebody typed must not become a second header, another host or a forged signature, so everything that
is not plainly a name and a value is refused. Source: RFC 9110, section 5 (names and values of fields).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from airflow_provider_hooks.sanitize import is_header_name, safe_repr
from airflow_provider_hooks.signing.schemes import SCHEMES

if TYPE_CHECKING:
    from airflow_provider_hooks.exceptions import ValidationErrors

DELIVERY_HEADER = "X-Service-Hook-Delivery"
"""Carries the delivery id, which is the same whenever the same event goes to the same endpoint again."""
EVENT_HEADER = "X-Service-Hook-Event"
"""Carries the event type."""
FIELD = "secret_headers"
"""The field of a connection that holds them. Airflow masks the values of a field whose name holds "secret"."""

MAX_HEADERS = 32
MAX_VALUE_CHARACTERS = 4_096

_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_RESERVED = frozenset(
    {
        *("content-encoding", "content-length", "content-type", "expect", "host", "transfer-encoding", "user-agent"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "accept-encoding", "range", "http2-settings"),
    }
)
_RESERVED_PREFIXES = ("x-service-hook", "x-servicehook", "proxy-")


def read_headers(value: object, *, allowed: Iterable[str], problems: ValidationErrors) -> dict[str, str]:
    """
    Return the headers that a connection adds; note each that it must not.

    :param value: a JSON object of names and values, or its text; nothing, or blank text, is no header
    :param allowed: the names that the deployment adds to ``Authorization`` and ``X-…``, in any case
    """
    named = _read_pairs(value)
    if named is None:
        problems.add(f"extra.{FIELD}", 'must be a JSON object of names and values, such as {"X-Team": "data"}')
        return {}
    if len(named) > MAX_HEADERS:
        problems.add(f"extra.{FIELD}", f"has {len(named)} headers; there can be {MAX_HEADERS}")
        return {}
    listed = {name.lower() for name in allowed}
    headers: dict[str, str] = {}
    for name, text in named:
        place = f"extra.{FIELD} {safe_repr(name)}"
        problem = _find_name_problem(name, listed) or _find_value_problem(text)
        if name.lower() in {one.lower() for one in headers}:
            problem = "is there more than once; names differ in more than their case"
        if problem is not None:
            problems.add(place, problem)
        else:
            headers[name] = str(text)
    return headers


def merge_headers(added: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return all headers of a request: where both have one, in whatever case, ours."""
    names = {name.lower() for name in ours}
    return {**{name: value for name, value in added.items() if name.lower() not in names}, **ours}


def sensitive_header_values(headers: Mapping[str, str]) -> Iterable[str]:
    """Return each value, and each without the word before it, such as ``Bearer``: a receiver may show either."""
    for value in headers.values():
        yield value
        yield from value.split(" ")[1:]


def _read_pairs(value: object) -> list[tuple[str, object]] | None:
    """Return the pairs in their order, repeated names kept, or ``None`` if there are no pairs in it."""
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


def _find_name_problem(name: str, listed: set[str]) -> str | None:
    lower = name.lower()
    if not is_header_name(name):
        return "is not the name of a header"
    if lower in _RESERVED or lower.startswith(_RESERVED_PREFIXES) or _is_of_a_scheme(lower):
        return "is set by the provider or the connection itself and cannot be given"
    if lower != "authorization" and not lower.startswith("x-") and lower not in listed:
        return "is not allowed: use Authorization or X-…, or list it in allowed_headers (section service_hooks)"
    return None


def _is_of_a_scheme(lower: str) -> bool:
    return any(lower == header.lower() for scheme in SCHEMES.values() for header in scheme.header_names)


def _find_value_problem(value: object) -> str | None:
    """Return what is wrong with a value, in words that do not quote it."""
    if not isinstance(value, str):
        return "must have text as its value"
    if len(value) > MAX_VALUE_CHARACTERS:
        return f"has a value longer than {MAX_VALUE_CHARACTERS} characters"
    if not _VALUE.fullmatch(value):
        return "has a value that is empty, has blanks at an end, or is not printable ASCII"
    return None
