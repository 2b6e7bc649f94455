# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver an event for each update of an asset: the extra of the asset event is the event.

One Dag loads orders and describes them in the extra of its asset event. The other Dag is scheduled on that asset.
Airflow can start one run for several asset events, so each one is a separate mapped task instance with its own claim. A
run that was triggered manually has no asset events and delivers nothing.
"""

from airflow.sdk import DAG, Asset, task

from airflow_provider_hooks.events import events_from_assets
from airflow_provider_hooks.operators.delivery import DeliverEventCreatedOperator

ORDERS = Asset("example_orders")


@task(outlets=[ORDERS])
def load_orders(*, outlet_events, run_id):
    """Load orders and describe them in the extra; an `id` in the extra would be used as the event's id."""
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
