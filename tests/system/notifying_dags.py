# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Dags with callbacks, for ``test_notifications.py``; the project of each event is the id of its Dag."""

import os
import signal
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, task

# All supported versions have deadlines in this module; airflow.sdk has them since 3.2.
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback

from airflow_provider_hooks._runtime.compat import (
    AirflowRuntimeError,
    AirflowSkipException,
    has_threads_in_triggers,
    mask_secret,
    read_sdk_version,
)
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

SOON = {"retries": 2, "retry_delay": timedelta(seconds=1)}
KNOWN_SECRET = "-".join(["s3cret", "that", "airflow", "knows"])  # so that this file does not contain it
NOTIFIED_SECRET = "-".join(["a", "secret", "of", "the", "notified", "endpoint"])
EXECUTOR_CONN_ID = "notified_by_an_executor"
"""A connection from the environment: a callback that an executor runs cannot read those of the database."""
LATE = DeadlineReference.FIXED_DATETIME(datetime(2026, 1, 1, tzinfo=timezone.utc))
FATAL = {"level": "fatal", "service_hook_conn_id": EXECUTOR_CONN_ID}
LATE_MESSAGE = {"message": "{{ dag_run.dag_id }} is late"}
DEADLINE_CALLBACKS = [(SyncCallback, FATAL)] if read_sdk_version() >= (1, 3) else []
"""The scheduler of Airflow 3.2.2 runs no such callback: it logs that the callback has no ``dag_run_id``."""
DEADLINE_CALLBACKS += [(AsyncCallback, LATE_MESSAGE)] if has_threads_in_triggers() else []
ALERT = ServiceHookNotifier(message="{{ ti.task_id }}: {{ exception }}", triggering_rules=["Rule of {{ dag.dag_id }}"])
CREATED = ServiceHookNotifier(event_type="event.created", tags={"team": "{{ dag.dag_id }}"})


def new_dag(dag_id, **options):
    return DAG(dag_id, schedule=None, is_paused_upon_creation=False, **options)


def call_twice(context):
    """Call a notifier twice, as Airflow does if the result of the first call was lost."""
    for _ in range(2):
        ALERT(context)


def notify_undefined_endpoint(context):
    ServiceHookNotifier(service_hook_conn_id="undefined_endpoint")(context)


@task(**SOON)
def fail():
    mask_secret(KNOWN_SECRET)
    local_variable = "a-local-variable-of-the-task"
    raise ValueError(f"no orders, {KNOWN_SECRET} {len(local_variable)}")


@task
def succeed():
    """Do nothing."""


@task
def skip():
    raise AirflowSkipException


@task
def lose_heartbeat():
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def report_task_state_store(context):
    """Deliver whether the task state store accepts a write, and so a claim."""
    try:
        context["task_state_store"].set("key", 1)
        message = "stored"
    except (AirflowRuntimeError, KeyError):  # Airflow before 3.3 has none
        message = "refused"
    ServiceHookNotifier(project="store", event_id=f"try-{context['ti'].try_number}", message=message)(context)


with new_dag("final_failure"):
    fail.override(on_failure_callback=[notify_undefined_endpoint, ServiceHookNotifier(), CREATED])()

with new_dag("every_try"):
    callbacks = [ALERT, report_task_state_store]
    fail.override(on_failure_callback=callbacks, on_retry_callback=callbacks)()

with new_dag("called_twice"):
    fail.override(on_failure_callback=call_twice)()
    succeed.override(on_success_callback=call_twice)()
    skip.override(on_skipped_callback=call_twice)()

with new_dag("dag_failure", on_failure_callback=[ServiceHookNotifier(), CREATED]):
    fail()

with new_dag("success_callbacks", on_success_callback=ServiceHookNotifier()):
    succeed.override(on_success_callback=ServiceHookNotifier())()

with new_dag("mapped", default_args={"on_failure_callback": ALERT}):
    fail.override(task_id="fail_mapped", retries=0).partial().expand_kwargs([{}, {}])

with new_dag("lost_heartbeat"):
    lose_heartbeat.override(on_failure_callback=[ServiceHookNotifier(), CREATED])()

with new_dag(
    "missed_deadline",
    deadline=[
        DeadlineAlert(reference=LATE, interval=timedelta(hours=number), callback=callback(ServiceHookNotifier, options))
        for number, (callback, options) in enumerate(DEADLINE_CALLBACKS)
    ],
):
    succeed()

with new_dag("linked"):
    DeliverEventAlertOperator(task_id="elsewhere", message="x", url="https://example.com/x", triggering_rules=["r"])
    DeliverEventAlertOperator(task_id="hostile", message="x", url="javascript:alert(1)", triggering_rules=["r"])

    @task.service_hook(event_type="event.alert", triggering_rules=["Orders"], level="{{ 'info' }}")
    def deliver_one(message):
        return {"message": message, "url": "https://example.com/one"}

    @task.service_hook(**SOON)
    def deliver_several():
        """Return an invalid event between two valid ones."""
        events = [{"id": f"order-{number}", "message": f"Order {number}"} for number in (1, 2, 3)]
        return [events[0], {**events[1], "level": "loud"}, events[2]]

    @task.service_hook
    def deliver_each(order):
        return {"message": f"Order {order}", "url": f"https://example.com/{order}"}

    deliver_one("{{ dag.dag_id }}")
    deliver_several()
    deliver_each.expand(order=[1, 2])
    DeliverEventAlertOperator.partial(task_id="each", message="x", triggering_rules=["r"]).expand(
        url=["https://example.com/a", "https://example.com/b"]
    )
