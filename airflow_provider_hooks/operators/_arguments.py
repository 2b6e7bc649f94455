# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The types of the keyword arguments that an operator passes to its base class (PEP 692).

A type checker then refuses a misspelt argument, which ``**kwargs: object`` accepts. At run time Airflow refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from airflow_provider_hooks.events.types import EventFields

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, MutableMapping, Sequence

    from airflow.sdk import DAG, Context, TaskGroup
    from airflow.sdk.definitions._internal.abstractoperator import TaskStateChangeCallback
    from airflow.sdk.definitions.retry_policy import RetryPolicy
    from airflow.sdk.types import WeightRuleParam

    from airflow_provider_hooks.delivery.claims import OnUnknown


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


class DeliveryArguments(EventFields, BaseOperatorArguments, total=False):
    """The arguments that every delivering operator and ``@task.service_hook`` share."""

    service_hook_conn_id: str
    on_unknown: OnUnknown
