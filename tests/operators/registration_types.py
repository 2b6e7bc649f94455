# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Wrong arguments of the registration operators, which a type checker must reject. mypy checks this file; nothing runs it.

mypy reports an ignore that is not needed, so each ``type: ignore`` states that its line is an error.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_hooks.operators.registration import (
    DeleteServiceHookOperator,
    EnsureServiceHookOperator,
    ListServiceHooksOperator,
    RegisterServiceHookOperator,
    RotateServiceHookSecretOperator,
    UpdateServiceHookOperator,
)

URL = "https://example.com/"

RegisterServiceHookOperator(task_id="t", url=URL, events=["event.alert"], retries=2, on_uncertain_create="create")
RegisterServiceHookOperator(task_id="t", url=URL, on_uncertain_create="resend")  # type: ignore[arg-type]
RegisterServiceHookOperator(task_id="t", url=URL, on_unknown="fail")  # type: ignore[call-arg]
RegisterServiceHookOperator(task_id="t", url=URL, retrys=2)  # type: ignore[call-arg]
RegisterServiceHookOperator(task_id="t", url=URL, events="event.alert")  # type: ignore[arg-type]
RegisterServiceHookOperator(url=URL)  # type: ignore[call-arg]
RegisterServiceHookOperator("t")  # type: ignore[call-arg]

EnsureServiceHookOperator(task_id="t", hook_name="orders", service_hook_conn_id="orders", is_active=False)
EnsureServiceHookOperator(task_id="t", hook_name="orders", url=URL, is_activ=False)  # type: ignore[call-arg]
EnsureServiceHookOperator(task_id="t", hook_name="o", on_uncertain_create="retry")  # type: ignore[arg-type]
EnsureServiceHookOperator(task_id="t", url=URL)  # type: ignore[call-arg]

UpdateServiceHookOperator(task_id="t", hook_id="7", new_name="stock", pool="registries")
UpdateServiceHookOperator(task_id="t", hook_id="7", name="stock")  # type: ignore[call-arg]

DeleteServiceHookOperator(task_id="t", hook_name="orders", execution_timeout=timedelta(minutes=5))
DeleteServiceHookOperator(task_id="t", hook_nam="orders")  # type: ignore[call-arg]

ListServiceHooksOperator(task_id="t", service_hook_registry_conn_id="sentry")
ListServiceHooksOperator(task_id="t", registry_conn_id="sentry")  # type: ignore[call-arg]

RotateServiceHookSecretOperator(task_id="t", hook_name="orders", overlap=timedelta(days=1))
RotateServiceHookSecretOperator(task_id="t", hook_name="orders", overlap=3600)  # type: ignore[arg-type]
