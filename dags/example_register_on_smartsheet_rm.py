# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Register a webhook on Smartsheet Resource Management, through its documented API.

Needs a connection ``smartsheet_rm_registry``. A webhook has one event type here; to have several kept by one
declaration see ``example_keep_service_hooks``. Running the Dag again registers nothing twice.
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
