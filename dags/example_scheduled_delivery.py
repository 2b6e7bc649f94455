# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Check every hour the orders of the previous hour, and deliver an event if something is wrong.

The exception that the check raised becomes an event with its stack. It is delivered as an `event.created` and as an
`event.alert`, each signed and sent once: a retry or a crash never sends it again.
"""

import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_hooks.events import event_from_exception
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator, DeliverEventCreatedOperator

INBOX = Path(os.environ.get("ORDERS_INBOX", "/tmp/orders-inbox"))  # noqa: S108  # nosec


@task.short_circuit
def check_orders(data_interval_end):
    """Read the file of the previous hour; return the event to deliver, or ``None``, which skips the deliveries."""
    # Airflow's "@hourly" gives an interval that begins and ends at the same full hour; the previous hour is complete.
    hour = data_interval_end.subtract(hours=1)
    path = INBOX / f"{hour:%Y-%m-%dT%H}.csv"
    try:
        if not path.read_text().strip():
            raise ValueError(f"{path.name} has no orders")
    except (OSError, ValueError) as error:
        # The id contains the hour, so a repeated run for that hour delivers the same event.
        return event_from_exception(error, event_id=f"orders-{hour:%Y%m%d%H}", occurred_at=data_interval_end)
    return None


with DAG(
    "example_scheduled_delivery",
    schedule="@hourly",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3},
    tags=["service hooks"],
    doc_md=__doc__,
):
    event = check_orders()
    DeliverEventCreatedOperator(task_id="deliver_created", event=event, project="orders")
    DeliverEventAlertOperator(
        task_id="deliver_alert", event=event, project="orders", triggering_rules=["Orders arrive every hour"]
    )
