# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Calls of the public API for a type checker. Nothing runs this file.

Each ``type: ignore`` is an error that strict mypy must report: with ``warn_unused_ignores`` an ignore without an error
is an error itself. ``tests/typing/test_public_api.py`` and ``make lint`` check this file.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import airflow_provider_hooks as hooks
from airflow_provider_hooks.decorators.service_hook import service_hook_task
from airflow_provider_hooks.events import build_event_alert, build_event_created, event_from_exception
from airflow_provider_hooks.exceptions import DeliveryNotSentError, ServiceHookError
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators.delivery import (
    DeliverEventAlertOperator,
    DeliverEventCreatedOperator,
    DeliverEventOperator,
    DeliverEventStreamOperator,
)
from airflow_provider_hooks.signing import SCHEMES, Signer, sign, verify

if TYPE_CHECKING:
    from airflow.sdk import Context

RULES = ["A rule"]


def operators_accept_their_own_and_airflows_arguments() -> None:
    DeliverEventAlertOperator(
        task_id="a_task",
        service_hook_conn_id=["orders", "partner"],
        retry_statuses=[429, 503],
        event={"message": "x"},
        event_id="an-id",
        project="shop",
        project_id=7,
        project_name="Shop",
        culprit="orders.load",
        message="It broke",
        url="https://example.com/",
        level="warning",
        triggering_rules=("A rule", "Another one"),
        guarantee="at_least_once",
        retries=3,
        retry_delay=dt.timedelta(minutes=1),
        trigger_rule="one_failed",
        pool="a_pool",
        execution_timeout=dt.timedelta(hours=1),
        on_failure_callback=None,
        doc_md="text",
    )
    DeliverEventCreatedOperator(
        task_id="a_task",
        event_logger="root",
        occurred_at=dt.datetime.now(dt.timezone.utc),
        tags={"environment": "production"},
        retries=0,
    )
    DeliverEventOperator(task_id="a_task", event_type="orders.loaded", data={"orders": [12]}, format="cloudevents")
    DeliverEventOperator(task_id="a_task", event={"type": "orders.loaded", "id": "7", "data": None})
    DeliverEventStreamOperator(task_id="a_task", events="a", records_path="b", type_field="kind", id_field="order")
    DeliverEventCreatedOperator(task_id="a_task", tags=[("environment", "production"), ["release", "1"]])


def operators_reject_wrong_names_and_values() -> None:
    DeliverEventOperator(task_id="a_task", event_type=7)  # type: ignore[arg-type]
    DeliverEventOperator(task_id="a_task", event="orders.loaded")  # type: ignore[arg-type]
    DeliverEventStreamOperator(task_id="a_task", events="a", records_path="b", type_field=7)  # type: ignore[arg-type]
    DeliverEventAlertOperator(task_id="a_task", mesage="x")  # type: ignore[call-arg]
    DeliverEventAlertOperator(task_id="a_task", level=7)  # type: ignore[arg-type]
    DeliverEventAlertOperator(task_id="a_task", level="critical")  # type: ignore[arg-type]
    DeliverEventAlertOperator(task_id="a_task", guarantee="exactly_once")  # type: ignore[arg-type]
    DeliverEventAlertOperator(task_id="a_task", retry_statuses="503")  # type: ignore[arg-type]
    DeliverEventAlertOperator(task_id="a_task", service_hook_conn_id=7)  # type: ignore[arg-type]
    DeliverEventAlertOperator(task_id="a_task", triggering_rules="A rule")  # type: ignore[arg-type]
    DeliverEventAlertOperator(task_id="a_task", tags={})  # type: ignore[call-arg]
    DeliverEventAlertOperator(task_id="a_task", retries="3")  # type: ignore[arg-type]
    DeliverEventAlertOperator(message="no task_id")  # type: ignore[call-arg]
    DeliverEventCreatedOperator(task_id="a_task", triggering_rules=RULES)  # type: ignore[call-arg]
    DeliverEventCreatedOperator(task_id="a_task", tags="environment")  # type: ignore[arg-type]
    DeliverEventCreatedOperator(task_id="a_task", event_type="event.alert")  # type: ignore[call-arg]


def the_decorator_rejects_wrong_names_and_values() -> None:
    service_hook_task(task_id="a_task", event_type="event.alert", triggering_rules=RULES, level="info", retries=2)
    service_hook_task(mesage="x")  # type: ignore[call-arg]
    service_hook_task(event_type="orders.loaded", format="cloudevents")
    service_hook_task(event_type=7)  # type: ignore[arg-type]
    service_hook_task(triggering_rules="A rule")  # type: ignore[arg-type]
    service_hook_task(guarantee="exactly_once")  # type: ignore[arg-type]
    service_hook_task(level=7)  # type: ignore[arg-type]


def the_notifier_rejects_wrong_names_and_values() -> None:
    ServiceHookNotifier(service_hook_conn_id="orders", event_type="event.created", tags={"a": "b"}, level="error")
    ServiceHookNotifier(project="shop", message="It broke", triggering_rules=RULES)
    ServiceHookNotifier(mesage="x")  # type: ignore[call-arg]
    ServiceHookNotifier(event_type="dag.failed", format="raw")
    ServiceHookNotifier(event_type=7)  # type: ignore[arg-type]
    ServiceHookNotifier(level=7)  # type: ignore[arg-type]
    ServiceHookNotifier(triggering_rules="A rule")  # type: ignore[arg-type]
    ServiceHookNotifier(retries=3)  # type: ignore[call-arg]


def the_builders_reject_wrong_names_and_values() -> None:
    build_event_alert({"message": "x"}, id="an-id", project="shop", level="error", triggering_rules=RULES)
    build_event_created(message="x", datetime=1.5, tags=[["a", "b"]], exception={"values": []})
    build_event_alert(mesage="x")  # type: ignore[call-arg]
    build_event_alert(level="critical")  # type: ignore[arg-type]
    build_event_alert(triggering_rules="A rule")  # type: ignore[arg-type]
    build_event_alert(logger="root")  # type: ignore[call-arg]
    build_event_created(triggering_rules=RULES)  # type: ignore[call-arg]
    event_from_exception(ValueError(), level="critical")  # type: ignore[arg-type]


def exceptions_have_typed_attributes(error: ServiceHookError) -> bool:
    if isinstance(error, DeliveryNotSentError):
        record = error.record or {}
        return error.outcome is not None and bool(record)
    return error.retryable


def the_exports_of_the_package_are_typed() -> None:
    hooks.DeliverEventAlertOperator(task_id="a_task", level="info")
    hooks.DeliverEventAlertOperator(task_id="a_task", level=7)  # type: ignore[arg-type]
    hooks.ServiceHookNotifier(mesage="x")  # type: ignore[call-arg]
    hooks.verify("zstack", headers={}, body=7, secrets=[])  # type: ignore[arg-type]


def the_signing_functions_reject_wrong_types(scheme: Signer) -> None:
    headers = sign("zstack", body=b"x", secrets=["a secret"], delivery_id="d", timestamp=1)
    verify(SCHEMES["zstack"], headers=headers, body=b"x", secrets=["a secret"])
    verify(scheme, headers=headers, body="x", secrets=["a secret"])  # type: ignore[arg-type]
    custom = SCHEMES["hmac"].with_options({"header": "X-Signature"})
    sign(custom, body=b"x", secrets=["a secret"], delivery_id="d", timestamp=1, url="https://h.example/")
    verify(custom, headers=headers, body=b"x", secrets=["a secret"], method="POST", url="https://h.example/")
    verify(custom, headers=headers, body=b"x", secrets=["a secret"], url=7)  # type: ignore[arg-type]


def the_result_of_execute_is_typed(context: Context) -> None:
    record = DeliverEventAlertOperator(task_id="a_task", message="x", triggering_rules=RULES).execute(context)
    for one in record if isinstance(record, list) else [record]:
        print(one["outcome"])  # noqa: T201
    print(record.outcome)  # type: ignore[union-attr]  # noqa: T201
