# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads arguments that a template may have rendered as text, and notes what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_hooks.text import quoted

if TYPE_CHECKING:
    from airflow_provider_hooks.errors import Problems
    from airflow_provider_hooks.registries.keeping import WhenUnknown

_FLAGS = {"true": True, "false": False}


def read_flag(problems: Problems, name: str, value: object) -> bool:
    """Return a flag, also from its name in text, or note that it is none."""
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        problems.add(name, f"must be true or false, not {quoted(value)}")
    return bool(flag)


def read_when_unknown(problems: Problems, value: object) -> WhenUnknown:
    """Return what to do where a hook may be there, or note that it is neither choice."""
    if value not in {"fail", "create"}:
        problems.add("when_unknown", f"must be fail or create, not {quoted(value)}")
    return "create" if value == "create" else "fail"


def read_name(problems: Problems, name: str, value: object) -> str:
    """Return a line of text that is not blank, or note that it is none."""
    if not (isinstance(value, str) and value.strip() and value.isprintable()):
        problems.add(name, f"must be a line of text, not {quoted(value)}")
    return value if isinstance(value, str) else ""
