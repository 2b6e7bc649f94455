# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A delivery of every outcome, for ``make ui``: delivered, rejected, not sent, unknown, one that is being sent, a stream.

The connections lead to the sandbox, whose receiver gives the response that the end of their path names.
"""

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators.delivery import DeliverEventOperator, DeliverEventStreamOperator

PROJECT = {"project": "orders", "project_id": "42", "project_name": "Orders", "url": "https://example.com/orders"}
EVENTS = [
    {"id": f"order-{number}", "message": f"Order {number} was loaded", "datetime": "2026-01-01T00:00:00Z", **PROJECT}
    for number in range(500)
]
for event in EVENTS[::100]:
    del event["message"]  # an event without a message is invalid, so it is not sent

DELIVERIES = {
    "delivered": ("warehouse", "orders.loaded"),
    "delivered_again": ("warehouse", "orders.loaded"),
    "rejected": ("partner_failing", "orders.loaded"),
    "not_sent": ("partner_offline", "orders.checked"),
    "unknown": ("partner_silent", "orders.checked"),
    "being_sent": ("partner_slow", "orders.checked"),
}
"""The endpoint and the event type of each task."""
ALERTS = {"rejected": ServiceHookNotifier(service_hook_conn_id="warehouse")}
"""What is delivered if a task fails."""

with DAG(
    "show_deliveries",
    schedule="@once",
    is_paused_upon_creation=True,  # it begins when Airflow's API server answers
    default_args={"retries": 0},
    tags=["service hooks"],
    doc_md=__doc__,
):
    for name, (endpoint, event_type) in DELIVERIES.items():
        DeliverEventOperator(
            task_id=name,
            service_hook_conn_id=endpoint,
            event_type=event_type,
            event_id=f"orders-{name.replace('_', '-')}",
            data={"orders": 12, "run": "{{ run_id }}"},
            on_failure_callback=ALERTS.get(name),
            execution_timeout=timedelta(hours=1),
        )
    DeliverEventStreamOperator(
        task_id="stream",
        service_hook_conn_id="warehouse",
        events=EVENTS,
        on_invalid="skip",
        records_path=os.environ.get("SHOWCASE_RECORDS", "file:///tmp/service-hook-records"),
    )
