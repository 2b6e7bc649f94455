# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Takes our secrets and signatures out of text that a receiver sent back, in every form it may echo them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"


def redact(text: str, private: Iterable[str]) -> str:
    """Return ``text`` with each private value masked: as it is, URL-encoded and base64-encoded."""
    forms = {form for value in private if value for form in _list_forms(value)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _list_forms(value: str) -> Iterable[str]:
    raw = value.encode(errors="surrogatepass")
    yield value
    yield quote(value, safe="", errors="surrogatepass")
    yield quote_plus(value, errors="surrogatepass")
    for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        yield encoded.decode("ascii")
        yield encoded.decode("ascii").rstrip("=")
