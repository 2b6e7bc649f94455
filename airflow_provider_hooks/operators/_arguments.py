# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The types of operators' arguments, and checks of arguments that a template may have rendered as text.

The types are those of the keyword arguments that an operator passes to its base class (PEP 692). A type checker then
refuses a misspelt argument, which ``**kwargs: object`` accepts. At run time Airflow refuses it.

Each ``read_`` function returns a valid value, and adds a problem if the given value is not valid.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, TypedDict

from airflow_provider_hooks.events.types import EventFields
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, MutableMapping, Sequence

    from airflow.sdk import DAG, Context, TaskGroup
    from airflow.sdk.definitions._internal.abstractoperator import TaskStateChangeCallback
    from airflow.sdk.types import WeightRuleParam

    from airflow_provider_hooks._runtime.compat import RetryPolicy
    from airflow_provider_hooks.delivery.policy import Guarantee, Once
    from airflow_provider_hooks.exceptions import ValidationErrors
    from airflow_provider_hooks.registries.reconcile import OnUncertainCreate
    from airflow_provider_hooks.stream.sources import Shard


_MAX_RATE = 1e9
MAX_OVERLAP = dt.timedelta(days=366)

_RESENDABLE = ("not_sent", "rejected", "unknown")
_FLAGS = {"true": True, "false": False}


class BaseOperatorArguments(TypedDict, total=False):
    """The arguments of Airflow's ``BaseOperator``, without ``task_id``; a test compares them with it."""

    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: dt.timedelta | float
    retry_exponential_backoff: float
    max_retry_delay: dt.timedelta | float | None
    retry_policy: RetryPolicy | None
    start_date: dt.datetime | None
    end_date: dt.datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: MutableMapping[str, object] | None
    default_args: dict[str, object] | None
    priority_weight: int
    weight_rule: WeightRuleParam
    queue: str
    pool: str | None
    pool_slots: int
    sla: dt.timedelta | None
    execution_timeout: dt.timedelta | None
    on_execute_callback: TaskStateChangeCallback | Collection[TaskStateChangeCallback] | None
    on_failure_callback: TaskStateChangeCallback | list[TaskStateChangeCallback] | None
    on_success_callback: TaskStateChangeCallback | Collection[TaskStateChangeCallback] | None
    on_retry_callback: TaskStateChangeCallback | list[TaskStateChangeCallback] | None
    on_skipped_callback: TaskStateChangeCallback | Collection[TaskStateChangeCallback] | None
    pre_execute: Callable[[Context], None] | None
    post_execute: Callable[[Context, object], None] | None
    trigger_rule: str
    resources: dict[str, object] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, object] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: object
    outlets: object
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class EndpointArguments(BaseOperatorArguments, total=False):
    """The arguments of ``EndpointOperator``."""

    service_hook_conn_id: str | Sequence[str]
    format: str | None
    guarantee: Guarantee
    retry_statuses: Sequence[int] | None
    once: Once


class DeliveryArguments(EventFields, EndpointArguments, total=False):
    """The arguments that every operator of documented payloads and ``@task.service_hook`` share."""


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


def read_overlap(problems: ValidationErrors, value: object) -> dt.timedelta:
    """Return how long the old hook of a rotation exists next to the new one."""
    if isinstance(value, dt.timedelta) and dt.timedelta(0) <= value <= MAX_OVERLAP:
        return value
    rule = f"must be a timedelta of 0 to {MAX_OVERLAP.days} days, such as timedelta(hours=1)"
    problems.add("overlap", f"{rule}, not {value if isinstance(value, dt.timedelta) else safe_repr(value)}")
    return dt.timedelta(0)


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
