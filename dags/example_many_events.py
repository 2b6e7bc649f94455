# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver several events of one run, each once, by dynamic task mapping.

Every event has a task instance of its own, and with it a claim of its own: one that fails does not harm the others, is
retried alone, and is sent again alone when a person clears it.
"""

from airflow.sdk import DAG, task

from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator


@task
def find_late_orders():
    """Return what is late, each with an id that is the same whenever it is found again."""
    late = {"1001": 3, "1002": 1, "1003": 12}
    return [
        {"id": f"late-order-{order}", "message": f"Order {order} is {days} days late"} for order, days in late.items()
    ]


with DAG("example_many_events", schedule=None, default_args={"retries": 3}, tags=["service hooks"], doc_md=__doc__):
    DeliverEventAlertOperator.partial(
        task_id="deliver",
        project="orders",
        triggering_rules=["Orders arrive in time"],
        map_index_template="{{ task.event['id'] }}",
    ).expand(event=find_late_orders())
