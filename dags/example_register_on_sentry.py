# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Register a service hook on Sentry, through its documented API.

Needs a connection ``service_hook_registry_default`` (where hooks are managed, and the API token) and a connection
``service_hook_default`` (where events shall go). The secret that Sentry makes is written to an Airflow Variable, where
the endpoint's ``secret_variable`` finds it. Running the Dag again registers nothing twice.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.registration import RegisterServiceHookOperator

with DAG("example_register_on_sentry", schedule=None, tags=["service hooks"], doc_md=__doc__):
    RegisterServiceHookOperator(
        task_id="register",
        service_hook_conn_id="service_hook_default",
        events=["event.alert", "event.created"],
    )
