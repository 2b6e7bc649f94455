# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Dags that tell of what becomes of them, for ``test_notifications.py``; every event has its Dag as its project."""

import os
import signal
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, task

# All versions have deadlines here, and all since 3.2 in airflow.sdk too.
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
KNOWN_SECRET = "-".join(["s3cret", "that", "airflow", "knows"])  # so that it is not in the text of this file
NOTIFIED_SECRET = "-".join(["a", "secret", "of", "the", "notified", "endpoint"])
EXECUTOR_CONN_ID = "notified_by_an_executor"
"""A connection from the environment: Airflow refuses a callback that an executor runs those of the database."""
LATE = DeadlineReference.FIXED_DATETIME(datetime(2026, 1, 1, tzinfo=timezone.utc))
FATAL = {"level": "fatal", "service_hook_conn_id": EXECUTOR_CONN_ID}
LATE_MESSAGE = {"message": "{{ dag_run.dag_id }} is late"}
DEADLINE_CALLBACKS = [(SyncCallback, FATAL)] if read_sdk_version() >= (1, 3) else []
"""The scheduler of Airflow 3.2.2 runs none: it logs that the callback has no ``dag_run_id``."""
DEADLINE_CALLBACKS += [(AsyncCallback, LATE_MESSAGE)] if has_threads_in_triggers() else []
ALERT = ServiceHookNotifier(message="{{ ti.task_id }}: {{ exception }}", triggering_rules=["Rule of {{ dag.dag_id }}"])
CREATED = ServiceHookNotifier(event_type="event.created", tags={"team": "{{ dag.dag_id }}"})


def new_dag(dag_id, **options):
    return DAG(dag_id, schedule=None, is_paused_upon_creation=False, **options)


def call_twice(context):
    """As Airflow does where it lost track of the first time."""
    for _ in range(2):
        ALERT(context)


def tell_nobody(context):
    ServiceHookNotifier(service_hook_conn_id="nobody")(context)


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


def tell_of_store(context):
    """Tell whether the state store answers, which decides whether a claim can be kept."""
    try:
        context["task_state_store"].set("mine", 1)
        said = "kept"
    except (AirflowRuntimeError, KeyError):  # Airflow before 3.3 has none
        said = "refused"
    ServiceHookNotifier(project="store", event_id=f"try-{context['ti'].try_number}", message=said)(context)


with new_dag("at_the_end"):
    fail.override(on_failure_callback=[tell_nobody, ServiceHookNotifier(), CREATED])()

with new_dag("every_try"):
    callbacks = [ALERT, tell_of_store]
    fail.override(on_failure_callback=callbacks, on_retry_callback=callbacks)()

with new_dag("called_twice"):
    fail.override(on_failure_callback=call_twice)()
    succeed.override(on_success_callback=call_twice)()
    skip.override(on_skipped_callback=call_twice)()

with new_dag("of_the_dag", on_failure_callback=[ServiceHookNotifier(), CREATED]):
    fail()

with new_dag("of_success", on_success_callback=ServiceHookNotifier()):
    succeed.override(on_success_callback=ServiceHookNotifier())()

with new_dag("mapped", default_args={"on_failure_callback": ALERT}):
    fail.override(task_id="fail_mapped", retries=0).partial().expand_kwargs([{}, {}])

with new_dag("lost"):
    lose_heartbeat.override(on_failure_callback=[ServiceHookNotifier(), CREATED])()

with new_dag(
    "too_late",
    deadline=[
        DeadlineAlert(reference=LATE, interval=timedelta(hours=number), callback=kind(ServiceHookNotifier, options))
        for number, (kind, options) in enumerate(DEADLINE_CALLBACKS)
    ],
):
    succeed()

with new_dag("linked"):
    DeliverEventAlertOperator(task_id="elsewhere", message="x", url="https://example.com/x", triggering_rules=["r"])
    DeliverEventAlertOperator(task_id="hostile", message="x", url="javascript:alert(1)", triggering_rules=["r"])

    @task.service_hook(event_type="event.alert", triggering_rules=["Orders"], level="{{ 'info' }}")
    def tell_of_one(message):
        return {"message": message, "url": "https://example.com/one"}

    @task.service_hook(**SOON)
    def tell_of_several():
        """Return an event that is wrong between two that are not."""
        events = [{"id": f"order-{number}", "message": f"Order {number}"} for number in (1, 2, 3)]
        return [events[0], {**events[1], "level": "loud"}, events[2]]

    @task.service_hook
    def tell_of_each(order):
        return {"message": f"Order {order}", "url": f"https://example.com/{order}"}

    tell_of_one("{{ dag.dag_id }}")
    tell_of_several()
    tell_of_each.expand(order=[1, 2])
    DeliverEventAlertOperator.partial(task_id="each", message="x", triggering_rules=["r"]).expand(
        url=["https://example.com/a", "https://example.com/b"]
    )
