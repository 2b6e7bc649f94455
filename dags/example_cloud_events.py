# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver a CloudEvent for each thing that a task finds, each once.

The task returns events with a type, an id and data. Each is a mapped task instance with its own claim. The receiver can
use any CloudEvents library. With `cloudevents_binary` the attributes are in headers, and the body is the data alone.
"""

from airflow.sdk import DAG, task

from airflow_provider_hooks.operators.delivery import DeliverEventOperator


@task
def find_changes():
    """Return an event for each change, with an id that is the same on every try and in every run."""
    changes = [("1001", "created"), ("1002", "late"), ("1001", "shipped")]
    return [
        {"type": f"com.example.order.{change}", "id": f"{order}-{change}", "data": {"order": order, "change": change}}
        for order, change in changes
    ]


with DAG("example_cloud_events", schedule=None, default_args={"retries": 3}, tags=["service hooks"], doc_md=__doc__):
    DeliverEventOperator.partial(
        task_id="deliver",
        format="cloudevents",
        map_index_template="{{ task.event['id'] }}",
    ).expand(event=find_changes())
