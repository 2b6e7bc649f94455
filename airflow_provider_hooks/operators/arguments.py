# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads arguments that a template may have rendered as text, and notes what is wrong with them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_hooks.text import quoted

if TYPE_CHECKING:
    from airflow_provider_hooks.errors import Problems
    from airflow_provider_hooks.registries.keeping import WhenUnknown

MAX_OVERLAP = timedelta(days=366)

_FLAGS = {"true": True, "false": False}


def read_flag(problems: Problems, name: str, value: object) -> bool:
    """Return a flag, also from its name in text, or note that it is none."""
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        problems.add(name, f"must be true or false, not {quoted(value)}")
    return bool(flag)


def read_when_unknown(problems: Problems, value: object) -> WhenUnknown:
    """Return what to do where a hook may be there, or note that it is neither choice."""
    if value not in ("fail", "create"):
        problems.add("when_unknown", f"must be fail or create, not {quoted(value)}")
    return "create" if value == "create" else "fail"


def read_name(problems: Problems, name: str, value: object) -> str:
    """Return a line of text that is not blank, or note that it is none."""
    if not (isinstance(value, str) and value.strip() and value.isprintable()):
        problems.add(name, f"must be a line of text, not {quoted(value)}")
    return value if isinstance(value, str) else ""


def read_events(problems: Problems, value: object) -> tuple[str, ...] | None:
    """Return events as the platforms take them, or note that they are no list."""
    if value is None:
        return None
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(value)
    problems.add("events", f"must be a list, not {quoted(value)}")
    return ()


def read_overlap(problems: Problems, value: object) -> timedelta:
    """Return how long two hooks stand side by side, or note that it is no such time."""
    if isinstance(value, timedelta) and timedelta(0) <= value <= MAX_OVERLAP:
        return value
    told = f"must be a timedelta of 0 to {MAX_OVERLAP.days} days, such as timedelta(hours=1)"
    problems.add("overlap", f"{told}, not {value if isinstance(value, timedelta) else quoted(value)}")
    return timedelta(0)


def choose(problems: Problems, **given: object) -> None:
    """Note where not exactly one of two arguments is given."""
    (first, one), (second, other) = given.items()
    if bool(one) == bool(other):
        problems.add(first, f"give {first} or {second}, and not both" if one else f"give {first} or {second}")
