# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver on what a verified inbound hook said, once, however often the hook comes.

``airflow-provider-inbound-webhooks`` verifies what is posted to ``/webhooks/orders`` and updates the asset
``orders/event.alert``. The Dag that is scheduled on it starts a run of the other for each event, named by the id in the
body, which the signature covers. There cannot be two runs of one name, so a hook that is repeated is one run.

Needs the extra ``inbound``, ``[inbound_webhooks] webhook_names = orders``, and a connection ``webhook_orders``: see
``docs/triggered-runs.md``. Keep the first Dag unpaused: a hook that only paused Dags wait for is not kept.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_hooks.events import events_from_assets
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator


@task
def list_events(triggering_asset_events):
    """Return what to start a run with for each event that came in."""
    return [{"event": event} for event in events_from_assets(triggering_asset_events)]


with DAG(
    "example_inbound_hook",
    schedule=Asset("orders/event.alert"),
    default_args={"retries": 3},
    tags=["service hooks"],
    doc_md=__doc__,
):
    TriggerDagRunOperator.partial(
        task_id="deliver_once",
        trigger_dag_id="example_inbound_delivery",
        trigger_run_id="inbound-{{ task.conf['event']['id'] }}",
        logical_date=None,  # what tells runs apart is their id alone
        skip_when_already_exists=True,
        map_index_template="{{ task.trigger_run_id }}",
    ).expand(conf=list_events())  # and not expand_kwargs, which would render what strangers wrote as templates

with DAG(
    "example_inbound_delivery",
    schedule=None,
    params={"event": Param(type="object", title="The event that came in")},
    tags=["service hooks"],
    doc_md=__doc__,
) as dag:
    DeliverEventAlertOperator(task_id="deliver", retries=3, event=dag.param("event"))
