# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The docs match the code: their tables are current, their links and tests exist, and their examples run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from airflow_provider_hooks.registries.base import PlatformApi
from airflow_provider_hooks.sandbox.state import APIS
from airflow_provider_hooks.signing import SCHEMES, Scheme

REPOSITORY = Path(__file__).parent.parent.parent
GENERATE = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))
PAGES = GENERATE["PAGES"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_generated_tables_are_current(page):
    assert GENERATE["fill"](page.read_text()) == page.read_text(), "run 'make docs'"


def test_every_table_is_used():
    shown = {name for page in PAGES for name in re.findall(r"<!-- table: ([a-z_]+) -->", page.read_text())}
    assert shown == set(GENERATE["TABLES"])


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({"fields": {"url"}}, "not selectable: all are sent"),
        ({"fields": {"events"}}, "any name"),
        ({"fields": {"events"}, "example_events": ("a.b", "c")}, "any name, such as `a.b`, `c`"),
        ({"fields": {"events"}, "known_events": ("a.b", "c")}, "`a.b`, `c`"),
    ],
)
def test_the_events_of_a_platform_are_those_of_its_class(attributes, shown):
    assert GENERATE["_describe_events"](type("Api", (PlatformApi,), attributes)) == shown


@pytest.mark.parametrize("name", APIS)
def test_a_platform_has_its_rows_in_the_tables_that_are_written_by_hand(name):
    docs = REPOSITORY / "docs"
    assert f"| `/{name}{APIS[name].base_path}` |" in (docs / "reference" / "sandbox.md").read_text()
    assert f"| `{name}` |" in (docs / "guides" / "register-and-rotate-hooks.md").read_text()


def test_the_schemes_without_a_signed_time_are_listed():
    page = (REPOSITORY / "docs" / "concepts" / "security.md").read_text()
    (sentence,) = re.findall(r"^- \*\*(.*) do not sign a time\.\*\*", page, re.MULTILINE)
    rows = {name: one for name, one in SCHEMES.items() if type(one) is Scheme and one.signature_header}
    without = {name for name, one in rows.items() if "{timestamp}" not in one.signed_content}
    assert set(re.findall(r"`(\w+)`", sentence)) == without


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_existing_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_existing_headings(page):
    for path, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        target = page.parent / path if path else page
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{page.name} links to {path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_test_that_is_named_exists(page):
    for path in re.findall(r"`(tests/[a-z_/]+\.py)`", page.read_text()):
        assert (REPOSITORY / path).is_file(), f"{page.name} names {path}"


def test_every_module_that_the_design_names_exists():
    design = (REPOSITORY / "docs" / "contributing" / "design.md").read_text()
    named = set(re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", design))
    assert len(named) > 40
    package = REPOSITORY / "airflow_provider_hooks"
    # A table of a section names the modules of its folder without it.
    places = [REPOSITORY, package, package / "http"]
    assert {path for path in named if not any((place / path).exists() for place in places)} == set()


def test_the_dag_of_the_readme_has_ten_lines_at_most_and_parses(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "readme_dag.py").write_text(code)
    namespace = runpy.run_path(str(tmp_path / "readme_dag.py"))
    assert [task.task_id for task in namespace["alert"].dag.tasks] == ["register", "alert"]


def test_every_diagram_is_drawn_and_shown():
    names = [path.stem for path in (REPOSITORY / "docs" / "diagrams").glob("*.dot")]
    shown = "".join(page.read_text() for page in PAGES)
    assert names
    for name in names:
        assert (REPOSITORY / "docs" / "images" / f"{name}.svg").is_file(), "run 'make screenshots'"
        assert f"images/{name}.svg)" in shown


def test_the_readme_has_under_120_lines():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) < 120
