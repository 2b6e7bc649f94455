# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Names and prose are plain technical English: no phrase that a reader would have to decode.

Each pattern names what to write in its place. A line that uses one of the words in its ordinary technical sense is
listed in ``ALLOWED``, with the reason.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent

CLEAN = ("airflow_provider_hooks", "benchmarks", "dags", "docs", "Makefile", "README.md", "CHANGELOG.md")
"""The folders and files that are checked."""

FORBIDDEN = {
    r"(un|re)?told|tells?": "reported, logged, returned, distinguished",
    r"(an|the|one|each|every|other|two|new) askings?|asking of": "run or manual clear",
    r"(asks?|asked|asking) for": "requested, requires",
    r"(is|are|was|were|be) kept": "is stored, saved",
    r"(came|comes?) to (an|the|no|nothing|its|same)": "finished with, resulted in",
    r"end(ed|s) as": "finished with",
    r"a person|persons|people": "user, administrator, Dag author",
    r"(no|some|any)body|whoever|whom": "no user, a user, any user",
    r"shall": "must, will",
    r"anew": "again",
    r"besides?": "next to, in addition to, other than",
    r"as (it is|they are|it was)": "unchanged, exactly",
    r"of (its|their|our|your|my) own|of ours": "its own, separate",
    r"judg(e|ed|es|ing|ement)": "checked, classified",
    r"rests|to rest|(that|hook) rest": "is inactive",
    r"hears?|heard": "receives, is notified",
    r"behind one's back|strangers?'?": "implicitly; an external sender",
}
"""Regular expressions, each as whole words in any case, and what to write instead."""

ALLOWED: dict[str, str] = {}
"""Lines, without the blanks at their ends, that use a word in its ordinary technical sense, each with its reason."""

_PATTERNS = {
    re.compile(rf"(?<![a-z])(?:{phrases})(?![a-z])".replace(" ", r"\s+"), re.IGNORECASE): better
    for phrases, better in FORBIDDEN.items()
}
_SUFFIXES = {".py", ".md"}
_GENERATED = re.compile(r"<!-- table: .*?<!-- end -->", re.DOTALL)


def list_files(place: str) -> list[Path]:
    path = REPOSITORY / place
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix in _SUFFIXES)


def read_text(path: Path) -> str:
    """Return a file's text; the generated tables of a page are left out, since their source is the package."""
    text = path.read_text()
    return _GENERATED.sub(lambda found: "\n" * found[0].count("\n"), text) if path.suffix == ".md" else text


def find_phrases(place: str) -> list[str]:
    found = []
    for path in list_files(place):
        text = read_text(path)
        lines = text.splitlines()
        for pattern, better in _PATTERNS.items():
            for match in pattern.finditer(text):
                number = text.count("\n", 0, match.start())
                if lines[number].strip() not in ALLOWED:
                    phrase = " ".join(match[0].split())
                    found.append(f"{path.relative_to(REPOSITORY)}:{number + 1}: '{phrase}', write: {better}")
    return found


@pytest.mark.parametrize("place", CLEAN)
def test_the_text_is_plain_english(place):
    assert list_files(place), "the place exists"
    assert find_phrases(place) == []


def test_every_allowed_line_is_still_there():
    lines = {line.strip() for place in CLEAN for path in list_files(place) for line in read_text(path).splitlines()}
    assert set(ALLOWED) <= lines


@pytest.mark.parametrize("phrase", ["is told", "a\n    person", "Whoever", "an_event_of_its_own told", "TOLD_BEFORE"])
def test_a_phrase_is_found_in_any_case_over_lines_and_in_names(phrase):
    assert any(pattern.search(phrase) for pattern in _PATTERNS)


@pytest.mark.parametrize("text", ["the rest of it", "REST API", "it kept a copy", "marshall", "threshold"])
def test_ordinary_words_are_not_phrases(text):
    assert not any(pattern.search(text) for pattern in _PATTERNS)


if __name__ == "__main__":
    phrases = [phrase for place in sys.argv[1:] or CLEAN for phrase in find_phrases(place)]
    print(*phrases, f"{len(phrases)} phrases", sep="\n")  # noqa: T201
