# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Names and prose are plain technical English: no phrase that a reader would have to decode.

``python -m tests.docs.language`` checks every file, and with arguments only those; ``make lint`` and pre-commit run it.
Each pattern names what to write in its place. A line that uses one of the words in its ordinary technical sense is
listed in ``ALLOWED``, with the reason.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent

PLACES = (
    ".github",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "airflow_provider_hooks",
    "benchmarks",
    "dags",
    "docs",
    "mkdocs.yml",
    "pyproject.toml",
    "tests",
)
"""The folders and files that are checked: prose, docstrings, comments, and the texts of logs, errors and forms."""
LEFT_OUT = {"tests/docs/language.py", "tests/docs/test_language.py"}
"""They quote the phrases."""

FORBIDDEN = {
    r"(un|re)?told|tells?": "reported, logged, returned, distinguished",
    r"(an|the|one|each|every|other|two|new) askings?|asking of": "run or manual clear",
    r"(asks?|asked|asking) for": "requested, requires",
    r"(is|are|was|were|be) kept": "is stored, saved",
    r"(came|comes?) to (an|the|no|nothing|its|same)": "finished with, resulted in",
    r"end(ed|s) as": "finished with",
    r"a person|persons|people": "user, administrator, Dag author",
    r"(no|some|any)body|whoever|whom|(for|by) who": "no user, a user, any user",
    r"shall|ought": "must, will",
    r"anew": "again",
    r"besides?": "next to, in addition to, other than",
    r"as (it is|they are|it was)": "unchanged, exactly",
    r"of (its|their|our|your|my) own|of ours|an own": "its own, separate",
    r"judg(e|ed|es|ing|ement)": "checked, classified",
    r"rests|to rest|(that|hook) rest": "is inactive",
    r"hears?|heard": "receives, is notified",
    r"behind one's back|strangers?'?": "implicitly; an external sender",
    r"becomes? of": "happens to",
    r"some (second|minute|hour|day)": "about a second, a minute, an hour",
    r"in vain|lest": "without success; so that not",
    r"there(of|in|with)|where(of|in|with)|here(by|with)": "of it, in which",
}
"""Regular expressions, each as whole words in any case, and what to write instead."""
FORBIDDEN_IN_GUIDES = {
    r"settle(d|s)?|settling": "mark as received, marked as received",
    r"generations?": "run or manual clear",
}
"""The same for the pages of users, in text that is not code: words that only the code uses."""

ALLOWED: dict[str, str] = {
    'UNPRIVILEGED = ("postgres", "nobody")': "the name of a user of Unix",
}
"""Lines, without the blanks at their ends, that use a word in its ordinary technical sense, each with its reason."""

_SUFFIXES = {".dot", ".js", ".md", ".py", ".toml", ".yaml", ".yml"}
_GENERATED = re.compile(r"<!-- table: .*?<!-- end -->", re.DOTALL)
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_CONTRIBUTORS = re.compile(r"docs/contributing/|CONTRIBUTING\.md|CHANGELOG\.md|\.github/")


def _compile(phrases: dict[str, str]) -> dict[re.Pattern[str], str]:
    return {
        re.compile(rf"(?<![a-z])(?:{phrase})(?![a-z])".replace(" ", r"\s+"), re.IGNORECASE): better
        for phrase, better in phrases.items()
    }


PATTERNS, PATTERNS_IN_GUIDES = _compile(FORBIDDEN), _compile(FORBIDDEN_IN_GUIDES)


def _blank(found: re.Match[str]) -> str:
    """Return only the line breaks, so that the numbers of lines stay."""
    return "\n" * found[0].count("\n")


def list_files(place: str) -> list[Path]:
    """Return the files of a folder whose text is checked, or the file itself."""
    path = REPOSITORY / place
    found = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix in _SUFFIXES)
    return [one for one in found if str(one.relative_to(REPOSITORY)) not in LEFT_OUT]


def read_text(path: Path) -> str:
    """Return a file's text; the generated tables of a page are left out, since their source is the package."""
    text = path.read_text()
    return _GENERATED.sub(_blank, text) if path.suffix == ".md" else text


def is_for_users(name: str) -> bool:
    """Return whether a file, named from the repository's folder, is a page for users."""
    return name.endswith(".md") and not _CONTRIBUTORS.match(name)


def find_phrases(place: str) -> list[str]:
    """Return the forbidden phrases of a folder or a file, each with its place and what to write instead."""
    found = []
    for path in list_files(place):
        name, text = str(path.relative_to(REPOSITORY)), read_text(path)
        checks = [(text, PATTERNS)]
        if is_for_users(name):
            checks.append((_CODE.sub(_blank, text), PATTERNS_IN_GUIDES))
        lines = text.splitlines()
        for checked, patterns in checks:
            for pattern, better in patterns.items():
                for match in pattern.finditer(checked):
                    number = checked.count("\n", 0, match.start())
                    if lines[number].strip() not in ALLOWED:
                        phrase = " ".join(match[0].split())
                        found.append(f"{name}:{number + 1}: '{phrase}', write: {better}")
    return found


def is_checked(name: str) -> bool:
    """Return whether a file is in one of the places, and of a kind that is checked."""
    path = Path(name)
    within = any(name == place or name.startswith(f"{place}/") for place in PLACES)
    return within and (path.suffix in _SUFFIXES or name in PLACES)


def main(names: list[str]) -> int:
    """Print the phrases of these files, or of all places; the exit status is 1 if there are any."""
    places = [name for name in names if is_checked(name)] if names else PLACES
    phrases = [phrase for place in places for phrase in find_phrases(place)]
    if phrases:
        print(*phrases, f"{len(phrases)} phrases", sep="\n")
    return 1 if phrases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
