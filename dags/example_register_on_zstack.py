# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Register an alert webhook endpoint on ZStack, through its documented API.

Needs a connection ``zstack_registry``. ZStack shows the secret once and cannot list, so the Variable keeps the secret,
and remembers which endpoint it is. Running the Dag again asks for that endpoint and registers nothing twice.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.registration import RegisterServiceHookOperator

with DAG("example_register_on_zstack", schedule=None, tags=["service hooks"], doc_md=__doc__):
    RegisterServiceHookOperator(
        task_id="register",
        service_hook_registry_conn_id="zstack_registry",
        hook_name="Alerts to Airflow",
        url="https://hooks.example.com/zstack",
        secret_variable="service_hook_secret_zstack",
    )
