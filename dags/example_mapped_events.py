# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver several events of one run, each once, with dynamic task mapping.

Each event has its own task instance and therefore its own claim. One that fails does not affect the others. It is
retried alone, and clearing its task instance sends it again alone.
"""

from airflow.sdk import DAG, task

from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator


@task
def find_late_orders():
    """Return an event for each late order, with an id that is the same on every try and in every run."""
    late = {"1001": 3, "1002": 1, "1003": 12}
    return [
        {"id": f"late-order-{order}", "message": f"Order {order} is {days} days late"} for order, days in late.items()
    ]


with DAG("example_mapped_events", schedule=None, default_args={"retries": 3}, tags=["service hooks"], doc_md=__doc__):
    DeliverEventAlertOperator.partial(
        task_id="deliver",
        project="orders",
        triggering_rules=["Orders arrive in time"],
        map_index_template="{{ task.event['id'] }}",
    ).expand(event=find_late_orders())
