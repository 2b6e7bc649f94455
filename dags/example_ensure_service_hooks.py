# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Ensure that the service hooks on several platforms match the declarations in this list.

Each declaration is one mapped task. It creates the hook if it is missing, updates it if it differs, and otherwise
leaves it unchanged. `hook_name` identifies the declaration, so a changed URL updates the hook and never adds another.

Requires the connections named below: the registries, and for Sentry the endpoint that events are delivered to.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.registration import EnsureServiceHookOperator

DECLARED = [
    {
        "service_hook_registry_conn_id": "service_hook_registry_default",
        "hook_name": "orders",
        "service_hook_conn_id": "service_hook_default",
        "events": ["event.alert", "event.created"],
    },
    {
        "service_hook_registry_conn_id": "akinon_registry",
        "hook_name": "builds",
        "url": "https://hooks.example.com/akinon",
        "events": ["deployment.build.created"],
    },
    {
        "service_hook_registry_conn_id": "zstack_registry",
        "hook_name": "alerts",
        "url": "https://hooks.example.com/zstack",
    },
    {
        "service_hook_registry_conn_id": "smartsheet_rm_registry",
        "hook_name": "projects",
        "url": "https://hooks.example.com/smartsheet",
        "events": ["project.created"],
    },
]

with DAG("example_ensure_service_hooks", schedule="@daily", catchup=False, tags=["service hooks"], doc_md=__doc__):
    EnsureServiceHookOperator.partial(
        task_id="ensure", retries=3, map_index_template="{{ task.service_hook_registry_conn_id }}: {{ task.hook_name }}"
    ).expand_kwargs(DECLARED)
