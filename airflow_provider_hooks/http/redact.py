# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
r"""
Takes our secrets out of text that a peer sent back, in every form that it may have echoed them.

Languages escape differently: PHP writes ``\/``, .NET ``\u002B``, Go ``&#43;``, a proxy ``%252B``. So the text is
decoded, up to four times, with the place of each character in the original, and each layer is searched for the
secrets without regard to case. A backslash may be text, so a text with backslashes is decoded in both ways. The work is
linear in the length of the text.
"""

from __future__ import annotations

import base64
import html
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_provider_hooks.sanitize import SHOWN_CHARACTERS, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MASK = "***"
MESSAGE_CHARACTERS = 500
"""How long the message of an error can be: it has the advice at its end."""
_MIN_CHARACTERS = 4
"""Shorter values would mask half of any text."""
_PART_CHARACTERS = 12
"""How much of a value's start or end is masked where the rest was cut off."""
_MARGIN_CHARACTERS = 256
"""How much is searched after the place where a text is cut."""
_MAX_LAYERS = 4
"""How often a text is decoded: percent-encoding twice within JSON, for example."""
_FOLDED = str.maketrans({"\u0130": "i", "\u0131": "i", "\u017f": "s", "+": " "})
"""The case of other languages, one character for one; ``+`` may stand for a space."""
_BASE64_BYTES = 3
"""So many bytes become four characters, so a value within a longer text can be encoded in as many ways."""
_URL_ESCAPES = (
    r"(?P<percent>(?:%[0-9a-f]{2})+)|(?P<entity>&(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});)"
    r"|(?P<bytes>[\udc80-\udcff]{2,})|(?P<halves>[\ud800-\udbff][\udc00-\udfff])"
)
"""Those of URLs and HTML; ``bytes`` and ``halves`` are parts of a character that were decoded apart."""
_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL
_ESCAPE = re.compile(
    rf"{_URL_ESCAPES}|(?P<utf16>(?:[\\%]u[0-9a-f]{{4}})+)|\\x(?P<hex>[0-9a-f]{{2}})|\\(?P<plain>.)", _FLAGS
)
_URL_ESCAPE = re.compile(rf"{_URL_ESCAPES}|(?P<utf16>(?:%u[0-9a-f]{{4}})+)|(?P<hex>(?!))|(?P<plain>(?!))", _FLAGS)
"""The escapes of a text in which backslashes are text."""
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def redact(text: str, private: Iterable[str]) -> str:
    """
    Return ``text`` with each private value masked: plain, in base64 or hex, escaped for URLs, JSON or HTML.

    A part of at least 12 characters from the start or the end of a value is masked too: a peer may have cut it.
    Base64 is found within a longer text that was encoded as a whole, such as all of a request. Redact before cutting a
    text, or use ``redact_and_truncate``.
    """
    return _mask(text, _find_spans(text, private))


def redact_and_truncate(text: str, private: Iterable[str], *, limit: int = SHOWN_CHARACTERS) -> str:
    """
    Return the start of ``text`` with each private value masked, escaped, and bounded in bytes.

    :param limit: the number of characters, and of bytes in UTF-8
    """
    searched = text[: limit + _MARGIN_CHARACTERS]
    spans = _find_spans(searched, private, is_cut=len(searched) < len(text))
    masked = _mask(searched[:limit], spans)
    if len(text) <= limit and len(masked) <= limit and masked.isascii() and masked.isprintable():
        return masked
    mark = "…" if len(text) > limit and len(masked) <= limit else ""
    return (escape(masked, limit=limit) + mark).encode()[:limit].decode(errors="ignore")


def _mask(text: str, spans: list[tuple[int, int]]) -> str:
    """Return a text with a mask in place of each span; spans that overlap or touch have one."""
    parts: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start > done or not parts:
            if start >= len(text):
                break
            parts += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]]) if parts else text


def _find_spans(text: str, private: Iterable[str], *, is_cut: bool = False) -> list[tuple[int, int]]:
    """Return where a text holds private values, in any order."""
    forms = [form for value in private if len(value) >= _MIN_CHARACTERS for form in _list_forms(value)]
    if not forms or len(text) < _MIN_CHARACTERS:
        return []
    spans: list[tuple[int, int]] = []
    for layer, places in _list_layers(text):
        folded = _fold(layer)
        held = [form for form, start, end in forms if is_cut or start in folded or end in folded]
        backward = folded[::-1] if held else ""
        found = {span for form in held for span in _find_form(folded, backward, form, is_cut=is_cut)}
        spans += [(places[start], places[end]) for start, end in found] if places else list(found)
    return spans


def _list_layers(text: str) -> Iterator[tuple[str, list[int] | None]]:
    """Yield a text, then what each level of escapes leaves of it, and where each character begins in the original."""
    yield text, None
    for escapes in (_ESCAPE, _URL_ESCAPE) if "\\" in text else (_ESCAPE,):
        layer, places = text, None
        for _ in range(_MAX_LAYERS):
            if not escapes.search(layer):
                break
            layer, places = _decode(layer, places, escapes)
            yield layer, places


def _find_form(text: str, backward: str, form: str, *, is_cut: bool) -> Iterator[tuple[int, int]]:
    """
    Yield where a folded text holds a form, or a long part of its start or end.

    :param backward: the text from its end to its start
    """
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)
    if len(form) > _PART_CHARACTERS:
        yield from _find_starts(text, form)
        for start, end in _find_starts(backward, form[::-1]):
            yield len(text) - end, len(text) - start
    if is_cut:
        for characters in range(min(len(form), _PART_CHARACTERS), _MIN_CHARACTERS - 1, -1):
            if text.endswith(form[:characters]):
                yield len(text) - characters, len(text)
                break


def _find_starts(text: str, form: str) -> Iterator[tuple[int, int]]:
    part = form[:_PART_CHARACTERS]
    start = text.find(part)
    while start >= 0:
        end = start + len(part)
        while end < len(text) and end - start < len(form) and text[end] == form[end - start]:
            end += 1
        yield start, end
        start = text.find(part, end)


def _fold(text: str) -> str:
    """Return a text in which case, and ``+`` and space, do not differ; no character changes its place."""
    return (text.replace("+", " ") if text.isascii() else text.translate(_FOLDED)).lower()


def _decode(text: str, places: list[int] | None, escapes: re.Pattern[str]) -> tuple[str, list[int]]:
    """
    Return a text without one level of escapes, and where each of its characters begins in the original.

    :param places: where each character of ``text`` begins, and the end; ``None`` if it is the original
    """
    origin = places or list(range(len(text) + 1))
    parts: list[str] = []
    begins: list[int] = []
    done = 0
    for escaped in escapes.finditer(text):
        start, end = escaped.span()
        parts.append(text[done:start])
        begins += origin[done:start]
        for character, length in _unescape(escaped):
            parts.append(character)
            begins += [origin[start]] * len(character)
            start += length
        done = end
    parts.append(text[done:])
    begins += origin[done:]
    return "".join(parts), begins


def _unescape(escaped: re.Match[str]) -> Iterator[tuple[str, int]]:
    """Yield the characters of an escape, and how long each is there."""
    text = escaped[0]
    if escaped["percent"] or escaped["bytes"]:
        width = 3 if escaped["percent"] else 1
        raw = bytes.fromhex(text.replace("%", "")) if escaped["percent"] else text.encode(errors="surrogateescape")
        for character in raw.decode(errors="surrogateescape"):
            yield character, width * len(character.encode(errors="surrogateescape"))
    elif escaped["utf16"]:
        units = b"".join(int(text[at + 2 : at + 6], 16).to_bytes(2, "big") for at in range(0, len(text), 6))
        for character in units.decode("utf-16-be", errors="surrogatepass"):
            yield character, 6 * (2 if ord(character) > 0xFFFF else 1)  # noqa: PLR2004  (the last one of one unit)
    elif escaped["halves"]:
        yield text.encode("utf-16-be", errors="surrogatepass").decode("utf-16-be"), len(text)
    elif escaped["hex"]:
        yield chr(int(escaped["hex"], 16)), len(text)
    elif escaped["plain"]:
        yield _CONTROLS.get(escaped["plain"], escaped["plain"]), len(text)
    else:
        yield html.unescape(text), len(text)


@lru_cache(maxsize=256)
def _list_forms(value: str) -> tuple[tuple[str, str, str], ...]:
    """Return the folded forms of a value that decoding does not make plain, each with its start and its end."""
    raw = value.encode(errors="surrogatepass")
    # Without its backslashes: where one before the value is text, those within it are decoded once too often.
    forms = {value, value.replace("\\", ""), raw.decode("latin-1"), raw.hex()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        alone = encode(raw).decode("ascii")
        inside = (_encode_inside(raw, before, encode) for before in range(_BASE64_BYTES))
        forms.update((alone, alone.rstrip("="), *inside))
    folded = {_fold(form) for form in forms if len(form) >= _MIN_CHARACTERS}
    return tuple((form, form[:_PART_CHARACTERS], form[-_PART_CHARACTERS:]) for form in folded)


def _encode_inside(raw: bytes, before: int, encode: Callable[[bytes], bytes]) -> str:
    """Return the base64 characters that a value alone decides where so many bytes of a longer text stand before it."""
    encoded = encode(b"\0" * before + raw).decode("ascii").rstrip("=")
    shared_at_start = -(-before * 8 // 6)
    shared_at_end = (before + len(raw)) * 8 % 6 != 0
    return encoded[shared_at_start : len(encoded) - shared_at_end]
