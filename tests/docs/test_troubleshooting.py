# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The troubleshooting page has advice for everything that a record can say, and quotes errors that exist."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from airflow_provider_hooks.delivery.claims import CLAIMED
from airflow_provider_hooks.ledger import advice
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
PARTS = ("**Cause:**", "**Check:**", "**Fix:**")
"""What the advice for an error class has."""


def read_section(heading: str, level: str) -> str:
    """Return the text under a heading, to the next one of its level or above."""
    found = re.findall(
        rf"^{level} {re.escape(heading)}\n(.*?)(?=^#{{2,{len(level)}}} |\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
    assert len(found) == 1, f"{len(found)} headings '{level} {heading}'"
    return str(found[0])


@pytest.mark.parametrize("error_class", ErrorClass, ids=lambda one: one.value)
def test_every_error_class_has_its_cause_check_and_fix(error_class):
    section = read_section("Error classes", "##")
    assert f"### `{error_class.value}`\n" in section
    text = read_section(f"`{error_class.value}`", "###")
    assert [text.count(part) for part in PARTS] == [1, 1, 1]


@pytest.mark.parametrize("outcome", [*(one.value for one in Outcome), CLAIMED])
def test_every_outcome_has_its_advice(outcome):
    assert f"### `{outcome}`\n" in read_section("Outcomes", "##")
    assert read_section(f"`{outcome}`", "###").strip()


def test_no_error_class_is_explained_that_does_not_exist():
    named = re.findall(r"^### `(\w+)`$", read_section("Error classes", "##"), re.MULTILINE)
    assert set(named) == {one.value for one in ErrorClass}


def test_every_status_has_a_row_for_which_the_pages_have_advice():
    rows = re.findall(r"^\| ([0-9][^|]*) \|", read_section("Statuses of rejected deliveries", "##"), re.MULTILINE)
    listed = {int(status) for row in rows for status in re.findall(r"\b[0-9]{3}\b", row)}
    assert {int(status) for status in advice._BY_STATUS} <= listed
    assert {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.PERMANENT_REDIRECT} <= listed


QUOTED = (
    "Nothing was sent: none of these endpoints takes",
    "Nothing was sent by this try: an earlier one already sent this event",
    "is disabled: nothing was sent",
    "is not a public address",
    "is not a field of",
    "is not used by this type",
    "needs a secret",
    "does not exist: register the hook first",
    "this endpoint takes only",
    "this try returned other events than the first one",
    "another process claimed this delivery at the same moment",
    "the claim in the task's state store cannot be read",
    "Airflow before 3.3 has no task state store",
    "airflow service-hooks ledger migrate",
    "has tables of version",
    "this package knows version",
    "'event' needs the ledger",
    "The pages of service hooks are not available",
    "a clear of its task also sends",
    "event_from_exception needs sentry-sdk",
    "The stream was stopped:",
    "events were not delivered, or may not have been",
    "the events changed since an earlier try sent a part of them",
    "is registered for this URL, but its secret is not stored",
    "which may be the declared one but differs and is not stored",
    "is stored for another declaration",
    "other runs have held",
    "comes from the environment or a secrets backend",
)
"""Parts of errors and log lines that the page quotes."""


@pytest.fixture(scope="module")
def source() -> str:
    """The package as one text, in which the parts of a string over several lines are joined."""
    package = REPOSITORY / "airflow_provider_hooks"
    text = "\n".join(path.read_text() for path in sorted(package.rglob("*.py")))
    return re.sub(r"\"\s*\n\s*f?\"", "", text)


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_quoted_errors_exist(quoted, source):
    assert quoted in " ".join(PAGE.split()), "the page quotes it"
    assert quoted in source, "the package says it"
