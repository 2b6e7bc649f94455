# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Keep a set of service hooks on several platforms as they are declared in this list.

Each item is one task: it creates the hook if it is missing, updates it if it differs, and else leaves it alone. A URL
that changes here moves the hook; there is never a second one. ``hook_name`` is what a declaration is known by.

Needs the connections named below: registries, and for Sentry the endpoint that events are delivered to.
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

with DAG("example_keep_service_hooks", schedule="@daily", catchup=False, tags=["service hooks"], doc_md=__doc__):
    EnsureServiceHookOperator.partial(
        task_id="ensure", retries=3, map_index_template="{{ task.service_hook_registry_conn_id }}: {{ task.hook_name }}"
    ).expand_kwargs(DECLARED)
