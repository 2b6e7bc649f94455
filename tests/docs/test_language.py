# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The prose is plain technical English, and the check of it finds what it must, and only that."""

from __future__ import annotations

import pytest

from tests.docs.language import (
    ALLOWED,
    LEFT_OUT,
    PATTERNS,
    PATTERNS_IN_GUIDES,
    PLACES,
    REPOSITORY,
    find_phrases,
    is_checked,
    is_for_users,
    list_files,
    main,
    read_text,
)


@pytest.mark.parametrize("place", PLACES)
def test_the_text_is_plain_english(place):
    assert list_files(place), "the place exists"
    assert find_phrases(place) == []


def test_every_allowed_line_is_still_there():
    lines = {line.strip() for place in PLACES for path in list_files(place) for line in read_text(path).splitlines()}
    assert set(ALLOWED) <= lines


def test_every_file_that_is_left_out_is_still_there():
    assert all((REPOSITORY / name).is_file() for name in LEFT_OUT)


@pytest.mark.parametrize(
    "phrase",
    ["is told", "a\n    person", "Whoever", "an_event_of_its_own told", "TOLD_BEFORE", "for who prefers", "some hour"],
)
def test_a_phrase_is_found_in_any_case_over_lines_and_in_names(phrase):
    assert any(pattern.search(phrase) for pattern in PATTERNS)


@pytest.mark.parametrize(
    "text", ["the rest of it", "REST API", "it kept a copy", "marshall", "threshold", "for whole runs", "some hours"]
)
def test_ordinary_words_are_not_phrases(text):
    assert not any(pattern.search(text) for pattern in (*PATTERNS, *PATTERNS_IN_GUIDES))


def test_pages_for_users_have_stricter_words_in_their_text_than_in_code(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.language.REPOSITORY", tmp_path)
    (tmp_path / "page.md").write_text("`settled` is a state.\n\n```text\nsettled\n```\n\nIt is settled.\n")
    (tmp_path / "CHANGELOG.md").write_text("It is settled.\n")
    assert find_phrases("page.md") == ["page.md:7: 'settled', write: mark as received, marked as received"]
    assert find_phrases("CHANGELOG.md") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("README.md", True),
        ("docs/guides/index.md", True),
        ("docs/contributing/design.md", False),
        ("CONTRIBUTING.md", False),
        ("airflow_provider_hooks/settings.py", False),
    ],
)
def test_which_pages_are_for_users(name, expected):
    assert is_for_users(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Makefile", True),
        ("docs/index.md", True),
        (".github/workflows/ci.yml", True),
        ("docs/images/x.svg", False),
        ("tests/http/test_tls.py", True),
        ("tests/data/vectors.txt", False),
        ("docs.md", False),
    ],
)
def test_which_of_the_named_files_are_checked(name, expected):
    assert is_checked(name) is expected


def test_the_command_prints_what_it_finds_and_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tests.docs.language.REPOSITORY", tmp_path)
    (tmp_path / "README.md").write_text("It is\ntold.\n")
    assert main(["README.md", "docs/images/x.svg"]) == 1
    assert "README.md:2: 'told'" in capsys.readouterr().out
    (tmp_path / "README.md").write_text("It is reported.\n")
    assert main(["README.md"]) == 0
    assert capsys.readouterr().out == ""
