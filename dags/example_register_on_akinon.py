# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Register a webhook on Akinon AppMaker, through its documented API.

Requires a connection `akinon_registry` and a Variable `akinon_header_secret`. Akinon signs nothing: the receiver
authenticates a delivery by the secret header, which is rendered when the task runs and never shown.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.registration import RegisterServiceHookOperator

with DAG("example_register_on_akinon", schedule=None, tags=["service hooks"], doc_md=__doc__):
    RegisterServiceHookOperator(
        task_id="register",
        service_hook_registry_conn_id="akinon_registry",
        hook_name="Builds to Airflow",
        url="https://hooks.example.com/akinon",
        events=["deployment.build.created"],
        headers={"X-Hook-Secret": "{{ var.value.akinon_header_secret }}"},
    )
