# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver an event whenever an asset is updated: the extra of the asset event is the event.

One Dag loads orders and says so in the extra of its asset. The other is scheduled on that asset. Airflow may start one
run for several asset events, so each is a task instance of its own, with a claim of its own; a run that was triggered
by hand has none and delivers nothing.
"""

from airflow.sdk import DAG, Asset, task

from airflow_provider_hooks.events import events_from_assets
from airflow_provider_hooks.operators.delivery import DeliverEventCreatedOperator

ORDERS = Asset("example_orders")


@task(outlets=[ORDERS])
def load_orders(*, outlet_events, run_id):
    """Load, and leave what is to be told. An id of its own is the same however often the asset is updated with it."""
    outlet_events[ORDERS].extra = {"message": f"12 orders were loaded by {run_id}", "level": "info"}


@task
def list_events(triggering_asset_events):
    """Return an event for each asset event, with an id that is the same on every try."""
    return events_from_assets(triggering_asset_events)


with DAG("example_load_orders", schedule=None, tags=["service hooks"], doc_md=__doc__):
    load_orders()

with DAG(
    "example_asset_delivery",
    schedule=ORDERS,
    default_args={"retries": 3},
    tags=["service hooks"],
    doc_md=__doc__,
):
    DeliverEventCreatedOperator.partial(
        task_id="deliver", project="orders", map_index_template="{{ task.event['id'] }}"
    ).expand(event=list_events())
