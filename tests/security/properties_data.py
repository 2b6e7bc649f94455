# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Strategies of the properties: hostile text and JSON, and documents with random changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

Arguments = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Property:
    """A statement that must hold for all input that a strategy generates."""

    strategy: st.SearchStrategy[Arguments]
    """Draws the arguments of ``check``."""
    check: Callable[..., None]
    """Raises an exception if the property does not hold."""
    examples: Sequence[Arguments] = ()
    """Input that failed before, or that is generated too rarely: checked first."""


def make_property(
    check: Callable[..., None], *, examples: Sequence[Arguments] = (), **arguments: st.SearchStrategy[object]
) -> Property:
    """Return the property that ``check`` raises nothing for all generated arguments."""
    return Property(strategy=st.fixed_dictionaries(arguments), check=check, examples=examples)


LONGEST_DIGITS = 4_300
"""The most digits of an integer that Python's JSON reader accepts; the integer plus 1 cannot be converted to text."""

hostile_texts = st.sampled_from(
    ["", " ", "\x00", "\r\nX-Evil: 1", "\x1b[31m", "\u202e", "\ud800", "\u2028", "١٢٣", "１２７", "nan", "1e999", "-1",
     "null", "{", "[", '{"secrets": 1}', "%00", "{0}", "%s", "\ufeff", "İ", "ß", "\U000e0001"]
) | st.sampled_from([("9", 4_301), ("a", 3_000), ("[", 5_000)]).map(lambda part: part[0] * part[1])  # fmt: skip
texts = st.text(max_size=30) | st.text(alphabet="aA0 .:,-_\n\r\x00%@/\\é\ud800", max_size=30) | hostile_texts
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, 2**64, -(2**63) - 1]),
    st.sampled_from([1, -1]).map(lambda sign: sign * int("9" * LONGEST_DIGITS)),
    st.floats(),
    texts,
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
"""Everything that ``json.loads`` can return, which is more than JSON: NaN and lone surrogates too."""


def mutations_of(*documents: object) -> st.SearchStrategy[object]:
    """Draw documents, unchanged or with some of their parts replaced or missing."""
    return st.sampled_from(documents).flatmap(_mutate)


@st.composite
def _mutate(draw: st.DrawFn, document: object) -> object:
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_list_places(changed))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        if draw(st.integers(0, 3)):
            container[key] = draw(scalars | json_values)
        else:
            del container[key]
    return changed


def _list_places(value: object) -> Iterator[tuple[object, object]]:
    """Yield every place in a document that can be changed: its container, and the key or index."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _list_places(value[key])


def call_expecting(
    expected: type[Exception], call: Callable[..., object], *arguments: object, **named: object
) -> tuple[object, Exception | None]:
    """Return the result of a call, or the expected error; any other error is a finding."""
    try:
        return call(*arguments, **named), None
    except expected as error:
        return None, error


def nest(levels: int) -> object:
    """Return a list nested to this depth, such as deeper than a recursive reader supports."""
    value: object = "x"
    for _ in range(levels):
        value = [value]
    return value


def is_safe_line(text: str, *, limit: int) -> bool:
    """Return whether a message is printable, on one line and at most this long."""
    return text.isprintable() and len(text) <= limit


def is_absent_from(private: str, *shown: object) -> bool:
    """Return whether no text and no ``repr`` of the shown values contains a private value."""
    return not any(private in str(one) or private in repr(one) for one in shown)


PropertyTable = Mapping[str, Property]
