# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver an event once, even if several runs produce it.

A claim belongs to one run. Across runs, the uniqueness of run ids prevents a second delivery: the run that delivers has
a run id made from the event id. When the event occurs again, the trigger task is skipped because that run exists. A
scheduled Dag has the same property by its data interval: there is one run for each.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param

from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

PARAMS = {
    "event_id": Param("order-1001-late", type="string", pattern="^[A-Za-z0-9_-]{1,64}$", title="Event id"),
    "message": Param("Order 1001 is late", type="string", minLength=1, title="What happened"),
}

with DAG("example_trigger_once", schedule=None, params=PARAMS, tags=["service hooks"], doc_md=__doc__):
    TriggerDagRunOperator(
        task_id="deliver_once",
        trigger_dag_id="example_once_per_event",
        trigger_run_id="event-{{ params.event_id }}",
        conf={"event_id": "{{ params.event_id }}", "message": "{{ params.message }}"},
        skip_when_already_exists=True,
    )

with DAG("example_once_per_event", schedule=None, params=PARAMS, tags=["service hooks"], doc_md=__doc__):
    DeliverEventAlertOperator(
        task_id="deliver",
        retries=3,
        event_id="{{ params.event_id }}",
        message="{{ params.message }}",
        triggering_rules=["Orders arrive in time"],
    )
