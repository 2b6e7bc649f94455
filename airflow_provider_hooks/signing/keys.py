# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""From a secret as users store it to the bytes that key an HMAC. No message here ever quotes a secret."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

KeyFormat = Literal["text", "whsec"]
"""``text``: the key is the secret's UTF-8 bytes. ``whsec``: it is the base64 after an optional ``whsec_``."""

KEY_FORMATS: tuple[KeyFormat, ...] = ("text", "whsec")
"""The values of a connection's ``key_format``."""

WHSEC_PREFIX = "whsec_"
WHSEC_MIN_BYTES, WHSEC_MAX_BYTES = 24, 64
"""The lengths that Standard Webhooks allows for a secret."""


def find_secret_problem(secret: object, key_format: KeyFormat) -> str | None:
    """Return what is wrong with a secret, in words that do not quote it, or ``None``."""
    if not isinstance(secret, str):
        return "is not text"
    if not secret:
        return "is empty"
    if secret != secret.strip() or not secret.isprintable():
        return "has blanks at an end or control characters"
    if secret == WHSEC_PREFIX:
        return "is the prefix 'whsec_' alone"
    if key_format == "whsec":
        return _find_whsec_problem(secret)
    return None


def derive_key(secret: str, key_format: KeyFormat) -> bytes:
    """Return the HMAC key of a secret in which ``find_secret_problem`` finds no problem."""
    return _decode_whsec(secret) if key_format == "whsec" else secret.encode()


def _decode_whsec(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(WHSEC_PREFIX), validate=True)


def _find_whsec_problem(secret: str) -> str | None:
    try:
        size = len(_decode_whsec(secret))
    except (binascii.Error, ValueError):
        return "is not base64 after 'whsec_'"
    if not WHSEC_MIN_BYTES <= size <= WHSEC_MAX_BYTES:
        return f"decodes to {size} bytes; Standard Webhooks allows {WHSEC_MIN_BYTES} to {WHSEC_MAX_BYTES}"
    return None
