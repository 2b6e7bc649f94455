# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The public API: each public module exports the names that the docs list, and each name has an example."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import airflow_provider_hooks
from airflow_provider_hooks.exceptions import ServiceHookError

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "python-api.md").read_text()
SECTIONS = re.findall(r"^## `([a-z_.]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
DOCUMENTED = {module: re.findall(r"^\| `(\w+)` \| .+ \|$", text, re.MULTILINE) for module, text in SECTIONS}

EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARAMETER = re.compile(r"^:param (\w+): \S", re.MULTILINE)

LAZY = """
import sys
import airflow_provider_hooks
loaded = [name for name in sys.modules if name.startswith("airflow")]
print(loaded == ["airflow_provider_hooks"])
"""


@pytest.mark.parametrize("module", DOCUMENTED)
def test_each_public_module_exports_the_names_in_the_docs(module):
    exported = import_module(module).__all__
    assert len(DOCUMENTED[module]) == len(set(DOCUMENTED[module]))
    assert set(exported) == set(DOCUMENTED[module])


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in DOCUMENTED.items() for name in names])
def test_every_documented_name_can_be_imported(module, name):
    assert getattr(import_module(module), name) is not None


@pytest.mark.parametrize("name", sorted(set(airflow_provider_hooks.__all__) - {"__version__"}))
def test_each_name_of_the_package_is_the_object_of_its_module(name):
    modules = [module for module, names in DOCUMENTED.items() if name in names and module != "airflow_provider_hooks"]
    value = getattr(airflow_provider_hooks, name)
    assert all(getattr(import_module(module), name) is value for module in modules)


def test_importing_the_package_imports_none_of_its_modules():
    process = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "True"


def test_dir_lists_the_public_names_and_unknown_names_raise_an_error():
    assert set(airflow_provider_hooks.__all__) <= set(dir(airflow_provider_hooks))
    with pytest.raises(AttributeError, match="no_such_name"):
        airflow_provider_hooks.no_such_name  # noqa: B018  (reading it is the test)


def list_described() -> dict[str, object]:
    """Return the public classes and functions; of the exceptions only the base class."""
    values = {name: getattr(import_module(module), name) for module, names in DOCUMENTED.items() for name in names}
    return {
        name: value
        for name, value in values.items()
        if inspect.isfunction(value)
        or (isinstance(value, type) and (value is ServiceHookError or not issubclass(value, BaseException)))
    }


DESCRIBED = list_described()
FUNCTIONS = [name for name, value in DESCRIBED.items() if inspect.isfunction(value)]


@pytest.mark.parametrize("name", DESCRIBED)
def test_every_public_class_and_function_has_an_example_that_runs(name):
    examples = EXAMPLE.findall(inspect.getdoc(DESCRIBED[name]))
    assert len(examples) == 1, "one example, as a block of Python"
    exec(compile(examples[0], f"<example of {name}>", "exec"), {"__name__": "example"})  # noqa: S102


@pytest.mark.parametrize("name", DESCRIBED)
def test_example_of_each_name_uses_that_name(name):
    assert name in EXAMPLE.findall(inspect.getdoc(DESCRIBED[name]))[0] or name == "service_hook_task"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_of_a_public_function_is_described(name):
    described = PARAMETER.findall(inspect.getdoc(DESCRIBED[name]))
    assert described == list(inspect.signature(DESCRIBED[name]).parameters)
