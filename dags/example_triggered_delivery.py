# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver an alert on demand: the params are a typed form in the trigger dialog, checked before the run is created.

Trigger it in the UI, or with `airflow dags trigger example_triggered_delivery --conf '{"message": "..."}'`. The
operator validates the values again, before anything is claimed or sent.
"""

from airflow.sdk import DAG, Param

from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

PARAMS = {
    "message": Param(
        "Orders are late",
        type="string",
        minLength=1,
        maxLength=200,
        pattern=r"\S",  # not only spaces
        title="What happened",
        description="One line that describes it.",
    ),
    "level": Param(
        "warning",
        type="string",
        enum=["fatal", "error", "warning", "info", "debug"],
        title="Level",
        description="The severity of the alert.",
    ),
    "url": Param(
        "https://status.example.com/",
        type="string",
        format="uri",
        pattern=r"^https?://[^\s/]\S*$",  # Airflow checks a format only where a library for it is installed
        maxLength=2048,
        title="URL",
        description="A page with details.",
    ),
    "rules": Param(
        ["Triggered manually"],
        type="array",
        items={"type": "string", "pattern": r"\S"},
        minItems=1,
        title="Rules",
        description="The names of the rules that triggered the alert, one on each line.",
    ),
    "event_id": Param(
        None,
        type=["null", "string"],
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        title="Event id",
        description="The id that identifies the event at the receiver. Empty: made from this run.",
        section="More",
    ),
}

with DAG("example_triggered_delivery", schedule=None, params=PARAMS, tags=["service hooks"], doc_md=__doc__) as dag:
    DeliverEventAlertOperator(
        task_id="deliver_alert",
        retries=3,
        project="orders",
        message="{{ params.message }}",
        level="{{ params.level }}",
        url="{{ params.url }}",
        # A template gives text; these two values are a list, and text or null. Airflow 3.1 needs their defaults again.
        triggering_rules=dag.param("rules", ["Triggered manually"]),
        event_id=dag.param("event_id", None),
    )
