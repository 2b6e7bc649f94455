# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Register an alert webhook endpoint on ZStack, through its documented API.

Requires a connection `zstack_registry`. ZStack returns the secret once and has no list, so the Variable stores both the
secret and the id of the webhook endpoint. Running the Dag again looks that id up and does not register a second one.
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
