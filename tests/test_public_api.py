# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The public API: what each public module exports is what the docs list, and it can be imported."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import airflow_provider_hooks

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "python-api.md").read_text()
SECTIONS = re.findall(r"^## `([a-z_.]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
DOCUMENTED = {module: re.findall(r"^\| `(\w+)` \| .+ \|$", text, re.MULTILINE) for module, text in SECTIONS}

LAZY = """
import sys
import airflow_provider_hooks
loaded = [name for name in sys.modules if name.startswith("airflow")]
print(loaded == ["airflow_provider_hooks"])
"""


@pytest.mark.parametrize("module", DOCUMENTED)
def test_what_a_public_module_exports_is_what_the_docs_list(module):
    exported = import_module(module).__all__
    assert len(DOCUMENTED[module]) == len(set(DOCUMENTED[module]))
    assert set(exported) == set(DOCUMENTED[module])


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in DOCUMENTED.items() for name in names])
def test_every_documented_name_can_be_imported(module, name):
    assert getattr(import_module(module), name) is not None


@pytest.mark.parametrize("name", sorted(set(airflow_provider_hooks.__all__) - {"__version__"}))
def test_a_name_of_the_package_is_that_of_its_module(name):
    homes = [module for module, names in DOCUMENTED.items() if name in names and module != "airflow_provider_hooks"]
    value = getattr(airflow_provider_hooks, name)
    assert all(getattr(import_module(home), name) is value for home in homes)


def test_importing_the_package_imports_nothing_else_of_it():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_dir_lists_the_public_names_and_an_unknown_one_is_an_attribute_error():
    assert set(airflow_provider_hooks.__all__) <= set(dir(airflow_provider_hooks))
    with pytest.raises(AttributeError, match="no_such_name"):
        airflow_provider_hooks.no_such_name  # noqa: B018  (reading it is the test)
