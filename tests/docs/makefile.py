# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The programs and the targets of the Makefile that the docs and the project files name."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent


def find_executable(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is not installed"
    return found


@functools.cache
def list_make_targets() -> frozenset[str]:
    """Return what ``make`` can be called with, after its variables are expanded."""
    database = subprocess.run(
        [find_executable("make"), "--print-data-base", "--no-builtin-rules", "--question", "help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", database, re.MULTILINE)
    return frozenset(phony.split())
