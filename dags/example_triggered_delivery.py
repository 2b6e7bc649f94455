# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver an alert on demand: the params give the trigger dialog a typed form, and are checked before anything is sent.

Trigger it in the UI, or with ``airflow dags trigger example_triggered_delivery --conf '{"message": "..."}'``.
"""

from airflow.sdk import DAG, Param

from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

with DAG(
    "example_triggered_delivery",
    schedule=None,
    tags=["service hooks"],
    doc_md=__doc__,
    params={
        "message": Param("Orders are late", type="string", minLength=1, maxLength=200, title="What happened"),
        "level": Param("warning", enum=["fatal", "error", "warning", "info", "debug"], title="How bad it is"),
        "url": Param("https://status.example.com/", type="string", format="uri", title="Where to look"),
        "rules": Param(["Raised by hand"], type="array", items={"type": "string"}, minItems=1, title="Rules"),
    },
) as dag:
    DeliverEventAlertOperator(
        task_id="deliver_alert",
        retries=3,
        project="orders",
        message="{{ params.message }}",
        level="{{ params.level }}",
        url="{{ params.url }}",
        triggering_rules=dag.param("rules"),
    )
