# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What an event says where its author says nothing: taken from the run, and the same on every try."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

_EVENT_NAMESPACE = uuid.UUID("0d1f5c6e-1b0c-5d0e-9d67-5f6c3b6a4f02")


def describe_task_instance(context: Context, *, project: object = None) -> dict[str, object]:
    """
    Return the fields that the run itself gives an event.

    :param project: the project's slug, where the author named one; else the Dag's id
    """
    ti, dag_run = context["ti"], context["dag_run"]
    key = f"{ti.dag_id}\n{ti.task_id}\n{ti.run_id}\n{ti.map_index}"
    name = project or ti.dag_id
    return {
        "id": uuid.uuid5(_EVENT_NAMESPACE, key).hex,
        "project": name,
        "project_id": name,
        "project_name": name,
        "culprit": f"{ti.dag_id}.{ti.task_id}",
        "url": ti.log_url.partition("?")[0],  # without the number of the try
        "datetime": dag_run.data_interval_end or dag_run.run_after,
    }
