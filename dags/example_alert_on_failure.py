# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver events when a task fails, when a run misses its deadline, and for what a function finds.

A failure is delivered as two events: an alert with the exception's type and message, and an `event.created` with the
whole stack. Both are signed and sent once, after the last retry. Set the notifiers in a Dag's `default_args` to cover
every task, or as `on_retry_callback` to get an event for each try that fails.
"""

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier

try:
    from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback
except ImportError:  # before Airflow 3.2 no executor runs the callback of a deadline
    DEADLINE = None
else:
    DEADLINE = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=1),
        callback=SyncCallback(ServiceHookNotifier, {"triggering_rules": ["Orders are loaded within the hour"]}),
    )

INBOX = Path(os.environ.get("ORDERS_INBOX", "/tmp/orders-inbox"))  # noqa: S108  # nosec

with DAG(
    "example_alert_on_failure",
    schedule=None,
    tags=["service hooks"],
    doc_md=__doc__,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
        "on_failure_callback": [
            ServiceHookNotifier(triggering_rules=["Orders are loaded"]),
            ServiceHookNotifier(event_type="event.created", tags={"team": "orders"}),
        ],
    },
    deadline=DEADLINE,
):

    @task
    def load_orders():
        """Read the file of orders; the task fails if the file does not exist."""
        return (INBOX / "orders.csv").read_text().splitlines()

    @task.service_hook(event_type="event.alert", triggering_rules=["Orders arrive in time"], trigger_rule="all_done")
    def find_late_orders():
        """Return an event for each late order, with an id that is the same on every try; each is delivered once."""
        late = {"1001": 3, "1002": 1}
        return [
            {"id": f"late-order-{order}", "message": f"Order {order} is {days} days late"}
            for order, days in late.items()
        ]

    load_orders() >> find_late_orders()
