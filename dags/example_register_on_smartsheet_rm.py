# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Register a webhook on Smartsheet Resource Management, through its documented API.

Requires a connection `smartsheet_rm_registry`. A webhook has one event type here; to manage several event types with
one declaration see `example_ensure_service_hooks`. Running the Dag again does not register a second webhook.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.registration import RegisterServiceHookOperator

with DAG("example_register_on_smartsheet_rm", schedule=None, tags=["service hooks"], doc_md=__doc__):
    RegisterServiceHookOperator(
        task_id="register",
        service_hook_registry_conn_id="smartsheet_rm_registry",
        url="https://hooks.example.com/smartsheet",
        events=["project.created"],
    )
