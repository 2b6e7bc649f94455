# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Forward a verified inbound webhook to an endpoint, once, even if the webhook is received several times.

`airflow-provider-inbound-webhooks` verifies requests to `/webhooks/orders` and updates the asset `orders/event.alert`.
The first Dag is scheduled on that asset. It triggers a run of the second Dag for each event, with a run id made from
the event id in the body, which the signature covers. Run ids are unique, so a repeated webhook is one run.

Requires the extra `inbound`, `[inbound_webhooks] webhook_names = orders`, and a connection `webhook_orders`: see
`docs/reference/triggered-runs.md`. Keep the first Dag unpaused: a webhook for which all Dags are paused is not stored.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_hooks.events import events_from_assets
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator


@task
def list_events(triggering_asset_events):
    """Return the conf of a run for each event that was received."""
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
        logical_date=None,  # runs differ by their id only
        skip_when_already_exists=True,
        map_index_template="{{ task.trigger_run_id }}",
    ).expand(conf=list_events())  # expand_kwargs would render the received text as templates

with DAG(
    "example_inbound_delivery",
    schedule=None,
    params={"event": Param(type="object", title="The event that was received")},
    tags=["service hooks"],
    doc_md=__doc__,
) as dag:
    # Airflow 3.1 needs a default here. An event without fields is refused before anything is sent.
    DeliverEventAlertOperator(task_id="deliver", retries=3, event=dag.param("event", {}))
