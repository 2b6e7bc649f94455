# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The differences between versions of Airflow that matter to tests.

``needs_task_state_store`` marks the tests of the task state store itself; before Airflow 3.3 the claims of other tests
are in a ledger.
"""

from __future__ import annotations

import pytest

from airflow_provider_hooks._runtime.compat import has_retry_policy, has_task_state_store, read_sdk_version

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # before 3.2
    from airflow.exceptions import TaskDeferred

__all__ = [
    "BACKOFF",
    "EXTRA_REFUSED",
    "INBOUND_SETTINGS",
    "IS_3_1",
    "NO_CLAIM_STORE",
    "TaskDeferred",
    "needs_deadlines",
    "needs_form_fields",
    "needs_pages",
    "needs_retry_policy",
    "needs_task_state_store",
    "needs_variable_list",
]

IS_3_1 = read_sdk_version() < (1, 2)
EXTRA_REFUSED = "isn't defined" if IS_3_1 else "extra: must be a JSON object"
"""Text of the error for an extra that is not an object; Airflow 3.1 itself refuses such a connection."""
BACKOFF = True if IS_3_1 else 2.0
"""A ``retry_exponential_backoff`` with the factor 2."""
NO_CLAIM_STORE = "no task_state_store" if has_task_state_store() else r"set \[service_hooks\] ledger_conn_id"
"""Text of the error for a context without a task state store."""
INBOUND_SETTINGS = (
    {"AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS": "airflow_inbound_webhooks.db.WebhooksDBManager"} if IS_3_1 else {}
)
"""The setting with which ``airflow db migrate`` creates the table of inbound webhooks; later versions need none."""
needs_deadlines = pytest.mark.skipif(IS_3_1, reason="Airflow 3.1 cannot deliver from the triggerer")
needs_form_fields = pytest.mark.skipif(IS_3_1, reason="Airflow 3.1 ignores the fields of a connection form")
needs_pages = pytest.mark.skipif(IS_3_1, reason="Airflow 3.1 shows no pages of plugins")
needs_retry_policy = pytest.mark.skipif(not has_retry_policy(), reason="Airflow before 3.3 has no retry policies")
needs_variable_list = pytest.mark.skipif(
    not has_task_state_store(), reason="Airflow before 3.3 cannot list Variables in a task, so no task changes hooks"
)
needs_task_state_store = pytest.mark.skipif(
    not has_task_state_store(), reason="Airflow before 3.3 has no task state store"
)
