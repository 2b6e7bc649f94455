# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver your own event types: a Standard Webhook with a JSON Schema, and a CloudEvent.

The data is any JSON. If it violates the schema, the task fails before anything is sent.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.delivery import DeliverEventOperator

SCHEMA = {
    "type": "object",
    "properties": {"orders": {"type": "integer", "minimum": 0}, "run": {"type": "string"}},
    "required": ["orders"],
}

with DAG("example_own_events", schedule=None, default_args={"retries": 3}, tags=["service hooks"], doc_md=__doc__):
    DeliverEventOperator(
        task_id="standard_webhook",
        event_type="orders.loaded",
        data={"orders": 12, "run": "{{ run_id }}"},
        schema=SCHEMA,
    )
    DeliverEventOperator(
        task_id="cloud_event",
        event_type="orders.checked",
        data={"orders": 12},
        format="cloudevents",
    )
