# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Makes text from outside safe to show in a log, a terminal or an error."""

from __future__ import annotations

import re

SHOWN_CHARACTERS = 200
"""How many characters of a text from outside an error or a log line shows."""
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
"""The name of a header (RFC 9110, section 5.6.2)."""
_LIKE_A_SECRET = re.compile(r"whsec_|whsk_|-----BEGIN|[A-Za-z0-9+/=]{20}")
"""What tokens and keys have, and the names of schemes, Variables and platforms do not."""
MAX_HEADER_NAME_CHARACTERS = 100
"""The longest name of a header that a connection adds to deliveries."""


def is_header_name(text: str) -> bool:
    """Return whether a text can be the name of a header that is added to deliveries."""
    return len(text) <= MAX_HEADER_NAME_CHARACTERS and HEADER_NAME.fullmatch(text) is not None


def escape(text: str, *, limit: int = SHOWN_CHARACTERS) -> str:
    r"""
    Return ``text`` on one line, with every character that a terminal could act on escaped, and bounded.

    :param limit: the number of characters shown; a longer text ends in an ellipsis

    >>> escape("ok\r\n\x1b[31mred")
    'ok\\r\\n\\x1b[31mred'
    """
    head = text[:limit]
    shown = head if head.isprintable() else "".join(map(_escape_character, head))
    return f"{shown}…" if len(text) > limit else shown


def safe_repr(value: object) -> str:
    """Return a short printable form of any value, for the error that refuses it."""
    if isinstance(value, str):
        return f"'{escape(value, limit=60)}'"
    if isinstance(value, bool | int | float) or value is None:
        return escape(str(value) if not isinstance(value, int) or abs(value) < 10**18 else "a huge integer")
    return f"a {type(value).__name__}"


def quote_setting(text: str) -> str:
    """Return the text of a setting for the error that refuses it, unless it may be a secret in the wrong field."""
    return "the given text" if _LIKE_A_SECRET.search(text) else safe_repr(text)


def _escape_character(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
