# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Register a service hook on Sentry, through its documented API.

Requires a connection `service_hook_registry_default` (Sentry's API and its token) and a connection
`service_hook_default` (the endpoint that receives the events). The secret that Sentry creates is written to the Airflow
Variable that the endpoint's `secret_variable` names. Running the Dag again does not register a second hook.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.registration import RegisterServiceHookOperator

with DAG("example_register_on_sentry", schedule=None, tags=["service hooks"], doc_md=__doc__):
    RegisterServiceHookOperator(
        task_id="register",
        service_hook_conn_id="service_hook_default",
        events=["event.alert", "event.created"],
    )
