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

with DAG(
    "show_deliveries",
    schedule="@once",
    is_paused_upon_creation=True,  # it begins when Airflow's API server answers
    default_args={"retries": 0},
    tags=["service hooks"],
    doc_md=__doc__,
):
    for name in ("delivered", "delivered_again"):
        DeliverEventOperator(
            task_id=name,
            service_hook_conn_id="warehouse",
            event_type="orders.loaded",
            event_id=f"orders-{name}",
            data={"orders": 12, "run": "{{ run_id }}"},
        )
    DeliverEventOperator(
        task_id="rejected",
        service_hook_conn_id="partner_failing",
        event_type="orders.loaded",
        event_id="orders-rejected",
        data={"orders": 12},
        on_failure_callback=ServiceHookNotifier(service_hook_conn_id="warehouse"),
    )
    DeliverEventOperator(
        task_id="not_sent",
        service_hook_conn_id="partner_offline",
        event_type="orders.checked",
        event_id="orders-not-sent",
        data={"orders": 12},
    )
    DeliverEventOperator(
        task_id="unknown",
        service_hook_conn_id="partner_silent",
        event_type="orders.checked",
        event_id="orders-unknown",
        data={"orders": 12},
    )
    DeliverEventOperator(
        task_id="being_sent",
        service_hook_conn_id="partner_slow",
        event_type="orders.checked",
        event_id="orders-being-sent",
        data={"orders": 12},
        execution_timeout=timedelta(hours=1),
    )
    DeliverEventStreamOperator(
        task_id="stream",
        service_hook_conn_id="warehouse",
        events=EVENTS,
        on_invalid="skip",
        records_path=os.environ.get("SHOWCASE_RECORDS", "file:///tmp/service-hook-records"),
    )
