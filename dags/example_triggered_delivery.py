# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver an alert on demand: the params are a typed form in the trigger dialog, and are checked before there is a run.

Trigger it in the UI, or with ``airflow dags trigger example_triggered_delivery --conf '{"message": "..."}'``. Whatever
passes the form is validated once more by the operator, before anything is claimed or sent.
"""

from airflow.sdk import DAG, Param

from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator

PARAMS = {
    "message": Param(
        "Orders are late",
        type="string",
        minLength=1,
        maxLength=200,
        pattern=r"\S",  # spaces alone say nothing
        title="What happened",
        description="In a line, as a person shall read it.",
    ),
    "level": Param(
        "warning",
        type="string",
        enum=["fatal", "error", "warning", "info", "debug"],
        title="How bad it is",
        description="A fatal one wakes somebody up.",
    ),
    "url": Param(
        "https://status.example.com/",
        type="string",
        format="uri",
        pattern=r"^https?://[^\s/]\S*$",  # Airflow checks a format only where a library for it is installed
        maxLength=2048,
        title="Where to look",
        description="A page that a person can open.",
    ),
    "rules": Param(
        ["Raised by hand"],
        type="array",
        items={"type": "string", "pattern": r"\S"},
        minItems=1,
        title="Rules",
        description="The names of the rules that made the alert, one a line.",
    ),
    "event_id": Param(
        None,
        type=["null", "string"],
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        title="The event's id",
        description="The receiver knows an event by it. Empty: one of this run's own.",
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
        # A template gives text; these two are a list, and text or nothing.
        triggering_rules=dag.param("rules"),
        event_id=dag.param("event_id"),
    )
