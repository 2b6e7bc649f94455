# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The docs say what the code says: their tables are made from it, and what they show runs."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
GENERATE = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))
PAGES = GENERATE["PAGES"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_as_the_code_says(page):
    assert GENERATE["fill"](page.read_text()) == page.read_text(), "run 'make docs'"


def test_every_table_is_shown_somewhere():
    shown = {name for page in PAGES for name in re.findall(r"<!-- table: ([a-z_]+) -->", page.read_text())}
    assert shown == set(GENERATE["TABLES"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_test_that_is_said_to_hold_a_promise_is_there(page):
    for path in re.findall(r"`(tests/[a-z_/]+\.py)`", page.read_text()):
        assert (REPOSITORY / path).is_file(), f"{page.name} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_shown_as_python_is_python(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        ast.parse(code)


def test_the_dag_of_the_readme_has_ten_lines_at_most_and_parses(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "readme_dag.py").write_text(code)
    namespace = runpy.run_path(str(tmp_path / "readme_dag.py"))
    assert [task.task_id for task in namespace["alert"].dag.tasks] == ["register", "alert"]
