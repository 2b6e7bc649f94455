# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The files for contributors and code hosts parse, and run only what exists: targets, tools, versions."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest
import yaml

from tests.docs.makefile import list_make_targets

REPOSITORY = Path(__file__).parent.parent.parent
MAKEFILE = (REPOSITORY / "Makefile").read_text()
PROJECT = (REPOSITORY / "pyproject.toml").read_text()
COMPAT = re.search(r"^COMPAT := (.*)$", MAKEFILE, re.MULTILINE)[1].split()
COMPAT_TARGETS = {f"test-compat-{one}" for one in COMPAT}
YAML_FILES = [
    *sorted((REPOSITORY / ".github").rglob("*.yml")),
    REPOSITORY / ".pre-commit-config.yaml",
]
WORKFLOW = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text())
OTHER_COMMANDS = {"apt-get update", "git diff --exit-code"}
UNSUPPORTED = {("3.1", "3.14"), ("3.4", "3.10")}
"""Pairs of Airflow and Python that Airflow itself does not support."""


def list_matrix() -> list[dict[str, str]]:
    """Return the jobs of the tests, as the code host makes them."""
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    excluded = [(one["airflow"], one["python"]) for one in matrix["exclude"]]
    added = {one["airflow"]: one for one in matrix["include"]}
    pairs = product(matrix["airflow"], matrix["python"])
    return [{"python": python, **added[airflow]} for airflow, python in pairs if (airflow, python) not in excluded]


def list_commands() -> list[str]:
    commands = []
    for job in WORKFLOW["jobs"].values():
        for step in job["steps"]:
            for command in step.get("run", "").splitlines():
                jobs = list_matrix() if "matrix.target" in command else [{}]
                commands += [command.replace("${{ matrix.target }}", one.get("target", "")) for one in jobs]
    return commands


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_the_file_parses(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


class TestWorkflow:
    def test_every_command_is_a_target_of_the_makefile(self):
        commands = set(list_commands()) - OTHER_COMMANDS
        targets = {re.fullmatch(r"make ([\w.-]+) PYTHON=python", command)[1] for command in commands}
        assert targets <= list_make_targets()
        assert targets >= {"lint", "test", "docs", "test-pages", *COMPAT_TARGETS}

    def test_every_version_of_airflow_runs_on_every_python_that_both_support(self):
        found = defaultdict(set)
        for job in list_matrix():
            found[job["airflow"]].add(job["python"])
        declared = set(re.findall(r"Programming Language :: Python :: (3\.\d+)", PROJECT))
        expected = {
            airflow: {python for python in declared if (airflow, python) not in UNSUPPORTED}
            for airflow in (*COMPAT, "3.3")
        }
        assert found == expected

    def test_each_job_installs_the_airflow_that_it_names(self):
        assert "apache-airflow==3.3." in (REPOSITORY / "constraints.txt").read_text(), "make test tests this version"
        for job in list_matrix():
            airflow = job["airflow"]
            assert job["target"] == ("test" if airflow == "3.3" else f"test-compat-{airflow}")

    def test_permissions_are_read_only(self):
        assert WORKFLOW["permissions"] == {"contents": "read"}
        assert not [name for name, job in WORKFLOW["jobs"].items() if "permissions" in job]
        checkouts = [
            step for job in WORKFLOW["jobs"].values() for step in job["steps"] if "checkout" in step.get("uses", "")
        ]
        assert len(checkouts) == len(WORKFLOW["jobs"])
        assert all(step["with"] == {"persist-credentials": False} for step in checkouts)

    def test_every_action_is_pinned_to_a_version(self):
        used = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", one) for one in used)


class TestPreCommit:
    CONFIG = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())

    def test_hooks_are_local(self):
        assert [one["repo"] for one in self.CONFIG["repos"]] == ["local"]
        assert all(hook["language"] == "system" for hook in self.CONFIG["repos"][0]["hooks"])

    def test_every_tool_is_one_of_make_lint(self):
        recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1].replace("$(BIN)", ".venv/bin")
        for hook in self.CONFIG["repos"][0]["hooks"]:
            command = " ".join(part for part in hook["entry"].split() if not part.startswith("--"))
            assert f"@{command}" in recipe, command


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_a_template_of_issues_has_the_form_of_the_code_host(name):
    template = yaml.safe_load((REPOSITORY / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert {"name", "description", "body"} <= set(template)
    fields = [field for field in template["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_every_target_has_a_line_of_help():
    shown = set(re.findall(r'@echo "make ([a-z-]+)', MAKEFILE))
    assert shown == list_make_targets() - {"help", *COMPAT_TARGETS}
