# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Takes our secrets out of text that a peer sent back, in every form that it may have echoed them."""

from __future__ import annotations

import base64
import html
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_hooks.sanitize import SHOWN_CHARACTERS, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MASK = "***"
_MIN_CHARACTERS = 4
"""Shorter values would mask half of any text."""
_RUN_CHARACTER = "[A-Za-z0-9+/=_-]"
"""What base64 and hex consist of, and most secrets and signatures; no form changes it but for its case."""
_RUN = re.compile(f"{_RUN_CHARACTER}+")
_STRAY_CHARACTERS = 2
_TURKISH = str.maketrans(dict.fromkeys("\u0130\u0131", "i"))
_BASE64_BYTES = 3
"""So many bytes become four characters, so a value within a longer text can be encoded in as many ways."""


def redact(text: str, private: Iterable[str]) -> str:
    """
    Return ``text`` with each private value masked: plain, URL-, base64-, hex-, JSON- or HTML-encoded, in any case.

    Base64 is found within a longer text that was encoded as a whole, such as all of a request.
    Redact before cutting a text, so that no value survives with its end cut off.
    """
    values = set(find_occurrences(text, private))
    forms = {form for value in values for form in _list_forms(value) if len(form) >= _MIN_CHARACTERS}
    patterns = {form: re.escape(form) for form in forms} | {value: _match_url_encoded(value) for value in values}
    if not patterns:
        return text
    longest_first = sorted(patterns, key=len, reverse=True)
    return re.sub("|".join(patterns[form] for form in longest_first), MASK, text, flags=re.IGNORECASE)


def find_occurrences(text: str, private: Iterable[str]) -> tuple[str, ...]:
    """
    Return the private values that a text may hold in some form: a quick look, since nearly every text holds none.

    It finds whatever ``redact`` would mask, and now and then a value that is not there after all.
    """
    # No form of a value is shorter than it is.
    fitting = [value for value in private if _MIN_CHARACTERS <= len(value) <= len(text)]
    if not fitting:
        return ()
    raw = _lower(text)
    decoded = _fold(_lower(_decode(text))) if "%" in text else ""
    return tuple(value for value in fitting if "%" in value or _may_hold(raw, decoded, value))


def _may_hold(raw: str, decoded: str, value: str) -> bool:
    """Return whether a text may hold a value, given its small letters, and what they decode to."""
    # A stray % before the value takes its first characters for its own.
    if decoded and _fold(_lower(value[_STRAY_CHARACTERS:])) in decoded:
        return True
    # Every form contains the runs of the value, or is itself one that is no shorter.
    run = len(value) if _RUN.fullmatch(value) else max(map(len, _RUN.findall(value)), default=0)
    if not _match_run(run).search(raw):
        return False
    folded = _fold(raw)
    return any(form in folded for form in _fold_forms(value))


@lru_cache(maxsize=256)
def _match_run(characters: int) -> re.Pattern[str]:
    return re.compile(f"(?<!{_RUN_CHARACTER}){_RUN_CHARACTER}{{{characters}}}")  # from where a run begins: linear


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(text)


@lru_cache(maxsize=256)
def _fold_forms(value: str) -> tuple[str, ...]:
    forms = {value, *_list_forms(value)}
    return tuple({_fold(_lower(form)) for form in forms if len(form) >= _MIN_CHARACTERS})


def _lower(text: str) -> str:
    """Return a text with small letters, and a Turkish i as ``i``, as where ``redact`` ignores the case."""
    return text.casefold() if text.isascii() else text.translate(_TURKISH).casefold()


def _fold(text: str) -> str:
    """Make no difference between a space and the ``+`` that may stand for one."""
    return text.replace("+", " ")


def redact_and_truncate(text: str, sensitive: Iterable[str], *, limit: int = SHOWN_CHARACTERS) -> str:
    """Mask what is sensitive before anything is cut, and bound what escaping made of it, in bytes."""
    masked = redact(text, sensitive)
    if len(masked) <= limit and masked.isascii() and masked.isprintable():
        return masked
    return escape(masked, limit=limit).encode()[:limit].decode(errors="ignore")


def _encode_inside(raw: bytes, before: int, encode: Callable[[bytes], bytes]) -> str:
    """Return the base64 characters that a value alone decides where so many bytes of a longer text stand before it."""
    encoded = encode(b"\0" * before + raw).decode("ascii").rstrip("=")
    shared_at_start = -(-before * 8 // 6)
    shared_at_end = (before + len(raw)) * 8 % 6 != 0
    return encoded[shared_at_start : len(encoded) - shared_at_end]


def _match_url_encoded(value: str) -> str:
    """Return a pattern of a value any characters of which may be percent-encoded: encoders differ in which they are."""
    return "".join(map(_match_character, value))


def _match_character(character: str) -> str:
    encoded = "".join(f"%{byte:02x}" for byte in character.encode(errors="surrogatepass"))
    forms = [re.escape(character), encoded, *([re.escape("+")] if character == " " else [])]
    return f"(?:{'|'.join(forms)})"


def _list_forms(value: str) -> Iterable[str]:
    raw = value.encode(errors="surrogatepass")
    yield raw.decode("latin-1")
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield html.escape(value)
    yield raw.hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode("ascii")
        yield encode(raw).decode("ascii").rstrip("=")
        for before in range(_BASE64_BYTES):
            yield _encode_inside(raw, before, encode)
