# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver at least once while a receiver is deploying, and deliver one event to several endpoints.

- `example_at_least_once`: while the receiver answers 503 or does not answer, the task is retried, for some 8 hours in
  all, at the time that a `Retry-After` names. Each request has the same delivery id, by which the receiver detects
  repetitions.
- `example_several_endpoints`: each endpoint has its own outcome and record. A retry sends only to those that are left.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.delivery import DeliverEventOperator

with DAG("example_at_least_once", schedule=None, tags=["service hooks"], doc_md=__doc__):
    DeliverEventOperator(
        task_id="deliver",
        event_type="orders.loaded",
        data={"orders": 12, "run": "{{ run_id }}"},
        guarantee="at_least_once",
    )

with DAG("example_several_endpoints", schedule=None, tags=["service hooks"], doc_md=__doc__):
    DeliverEventOperator(
        task_id="deliver",
        retries=3,
        service_hook_conn_id=["orders_warehouse", "orders_partner", "orders_audit"],
        event_type="orders.loaded",
        data={"orders": 12, "run": "{{ run_id }}"},
    )
