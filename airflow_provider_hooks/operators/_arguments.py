# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The type of the arguments that every Airflow operator has. For type checkers: nothing imports it at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, MutableMapping
    from datetime import datetime, timedelta

    from airflow.sdk import DAG, Context, TaskGroup
    from airflow.sdk.definitions.retry_policy import RetryPolicy
    from airflow.sdk.types import WeightRuleParam
    from typing_extensions import Required


class OperatorArguments(TypedDict, total=False):
    """
    The arguments of every Airflow operator.

    As the type of ``**kwargs`` (PEP 692) it makes a type checker reject a misspelt argument, which ``Any``
    would accept.
    Source: ``BaseOperator.__init__`` of Airflow 3.3.
    """

    task_id: Required[str]
    owner: str
    email: str | list[str] | tuple[str, ...] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: float
    max_retry_delay: timedelta | float | None
    retry_policy: RetryPolicy | None
    start_date: datetime | None
    end_date: datetime | None
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
    execution_timeout: timedelta | None
    on_execute_callback: Callable[[Context], None] | Collection[Callable[[Context], None]] | None
    on_failure_callback: Callable[[Context], None] | list[Callable[[Context], None]] | None
    on_success_callback: Callable[[Context], None] | Collection[Callable[[Context], None]] | None
    on_retry_callback: Callable[[Context], None] | list[Callable[[Context], None]] | None
    on_skipped_callback: Callable[[Context], None] | Collection[Callable[[Context], None]] | None
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
