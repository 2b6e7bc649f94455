# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver an event once, however many runs hear of it.

A claim belongs to one run. Across runs, Airflow's own uniqueness does it: the run that delivers is named by the event's
id, and there cannot be two runs of one name. Whoever hears of the event again triggers nothing, and says so by a
skipped task. A scheduled Dag has the same by its data interval: one run for each.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param

from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

PARAMS = {
    "event_id": Param("order-1001-late", type="string", pattern="^[A-Za-z0-9_-]{1,64}$", title="The event's id"),
    "message": Param("Order 1001 is late", type="string", minLength=1, title="What happened"),
}

with DAG("example_hear_of_event", schedule=None, params=PARAMS, tags=["service hooks"], doc_md=__doc__):
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
