# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Checks of arguments that a template may have rendered as text.

Each ``read_`` function returns a valid value, and adds a problem if the given value is not valid.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from airflow_provider_hooks.exceptions import ValidationErrors
    from airflow_provider_hooks.registries.reconcile import OnUncertainCreate
    from airflow_provider_hooks.stream.sources import Shard

_MAX_RATE = 1e9
MAX_OVERLAP = timedelta(days=366)

_RESENDABLE = ("not_sent", "rejected", "unknown")
_FLAGS = {"true": True, "false": False}


def read_flag(problems: ValidationErrors, name: str, value: object) -> bool:
    """Return a boolean, also from the text ``true`` or ``false``."""
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        problems.add(name, f"must be true or false, not {safe_repr(value)}")
    return bool(flag)


def read_on_uncertain_create(problems: ValidationErrors, value: object) -> OnUncertainCreate:
    """Return what to do if a hook may have been created already."""
    if value not in ("fail", "create"):
        problems.add("on_uncertain_create", f"must be fail or create, not {safe_repr(value)}")
    return "create" if value == "create" else "fail"


def read_name(problems: ValidationErrors, name: str, value: object) -> str:
    """Return a line of text that is not blank."""
    if not (isinstance(value, str) and value.strip() and value.isprintable()):
        problems.add(name, f"must be a line of text, not {safe_repr(value)}")
    return value if isinstance(value, str) else ""


def read_events(problems: ValidationErrors, value: object) -> tuple[str, ...] | None:
    """Return events as a tuple; ``None`` if none are given."""
    if value is None:
        return None
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(value)
    problems.add("events", f"must be a list, not {safe_repr(value)}")
    return ()


def read_overlap(problems: ValidationErrors, value: object) -> timedelta:
    """Return how long the old hook of a rotation exists next to the new one."""
    if isinstance(value, timedelta) and timedelta(0) <= value <= MAX_OVERLAP:
        return value
    rule = f"must be a timedelta of 0 to {MAX_OVERLAP.days} days, such as timedelta(hours=1)"
    problems.add("overlap", f"{rule}, not {value if isinstance(value, timedelta) else safe_repr(value)}")
    return timedelta(0)


def read_count(problems: ValidationErrors, name: str, value: object, *, largest: int = 10**9) -> int | None:
    """Return a whole number from 1 on, also from its digits in text; ``None`` if none is given."""
    if value is None:
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= largest):
        problems.add(name, f"must be a whole number from 1 to {largest}, not {safe_repr(value)}")
        return None
    return int(text)


def read_rate(problems: ValidationErrors, name: str, value: object) -> float | None:
    """Return a number above 0, also from text; ``None`` if none is given."""
    if value is None:
        return None
    try:
        rate = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        rate = 0.0
    if not 0 < rate <= _MAX_RATE:
        problems.add(name, f"must be a number of events per second above 0, not {safe_repr(value)}")
        return None
    return rate


def read_shard(problems: ValidationErrors, value: object) -> Shard:
    """Return a shard from its pair of numbers, or add a problem; ``None`` is the whole source."""
    from airflow_provider_hooks.stream.sources import FULL, Shard

    if value is None:
        return FULL
    pair = list(value) if isinstance(value, list | tuple) else []
    if len(pair) == 2 and all(type(number) is int for number in pair) and 0 <= pair[0] < pair[1]:  # noqa: PLR2004
        return Shard(index=pair[0], count=pair[1])
    problems.add("shard", f"must be (i, n) with i from 0 to n - 1, not {pair or safe_repr(value)}")
    return FULL


def read_outcomes(problems: ValidationErrors, name: str, value: object) -> frozenset[str]:
    """Return the outcomes of events that are sent again, or add a problem."""
    outcomes = list(value) if isinstance(value, list | tuple | set | frozenset) else []
    if not outcomes or not all(isinstance(outcome, str) and outcome in _RESENDABLE for outcome in outcomes):
        problems.add(name, f"must be a list of {', '.join(_RESENDABLE)}, not {safe_repr(value)}")
    return frozenset(outcome for outcome in outcomes if isinstance(outcome, str))


def choose(problems: ValidationErrors, **given: object) -> None:
    """Add a problem unless exactly one of two arguments is given."""
    (first, one), (second, other) = given.items()
    if bool(one) == bool(other):
        problems.add(first, f"give {first} or {second}, and not both" if one else f"give {first} or {second}")
