# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Send a Slack message when a task has failed for good.

The connection `slack_alerts` has Slack's webhook URL, the format `slack` and the scheme `none`:

    airflow connections add slack_alerts --conn-type service_hook --conn-host "$SLACK_WEBHOOK_URL"
        --conn-extra '{"format": "slack", "scheme": "none"}'

The message has the text of the exception, the task and the run, and links to the log. The URL, which is a secret, is
masked in records and logs. With `teams`, `discord` or `pagerduty` as the format, nothing in this file changes.
"""

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier

INBOX = Path(os.environ.get("ORDERS_INBOX", "/tmp/orders-inbox"))  # noqa: S108  # nosec

with DAG(
    "example_slack_alert",
    schedule=None,
    tags=["service hooks"],
    doc_md=__doc__,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=1),
        "on_failure_callback": ServiceHookNotifier(
            service_hook_conn_id="slack_alerts", triggering_rules=["Orders are loaded"]
        ),
    },
):

    @task
    def load_orders():
        """Read the file of orders; the task fails if the file does not exist."""
        return (INBOX / "orders.csv").read_text().splitlines()

    load_orders()
