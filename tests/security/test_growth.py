# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Every regular expression of the package takes time that grows at most linearly with its input."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from pathlib import Path

import pytest

import airflow_provider_hooks

UNITS = (*'aA0 \t/;:=,.-_<>&"\\', "%41", "a.", "a:", ";charset")
ENDS = ("", "\x00", "\n")
SIZES = (1_000, 8_000)
"""Characters. A pattern with quadratic time takes about 64 times as long for the second size."""
MOST_SECONDS = 0.05
"""For the larger size: a linear pattern takes about a millisecond, a quadratic one hundreds of milliseconds."""
BOUNDED = {
    "airflow_provider_hooks.delivery.record._CHARSET": 256,
    "airflow_provider_hooks.sandbox.sentry_api._URL": 512,
}
"""Patterns whose input the package limits to this number of characters."""


def list_patterns() -> dict[str, re.Pattern]:
    found = {}
    for module in pkgutil.walk_packages(airflow_provider_hooks.__path__, "airflow_provider_hooks."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            for pattern in value if isinstance(value, list | tuple) else [value]:
                if isinstance(pattern, re.Pattern):
                    found.setdefault(pattern, f"{module.name}.{name}")
    return {name: pattern for pattern, name in found.items()}


PATTERNS = list_patterns()


def test_patterns_of_the_package_are_found():
    assert len(PATTERNS) > 30


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_takes_linear_time(name):
    pattern = PATTERNS[name]
    methods = [getattr(pattern, method) for method in list_methods(name)]
    for unit in UNITS:
        for end in ENDS:
            for size in SIZES:
                text = (unit * size)[: min(size, BOUNDED.get(name, size))] + end
                subject = text if isinstance(pattern.pattern, str) else text.encode()
                for method in methods:
                    best = min(_measure(method, subject) for _ in range(2))
                    assert best < MOST_SECONDS, (unit, end, size, method.__name__)


def list_methods(name: str) -> set[str]:
    """Return the methods of a pattern that its module calls; for a pattern of other modules, both kinds."""
    module, _, attribute = name.rpartition(".")
    used = set(re.findall(rf"\b{attribute}\.(\w+)\(", Path(importlib.import_module(module).__file__).read_text()))
    if not used:
        return {"search", "fullmatch"}
    return {method if method in {"fullmatch", "match"} else "search" for method in used}


def _measure(method, text) -> float:
    started = time.process_time()
    method(text)
    return time.process_time() - started
