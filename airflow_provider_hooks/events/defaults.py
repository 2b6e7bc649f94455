# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The default fields of an event: taken from the run, and the same on every try."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

_EVENT_NAMESPACE = uuid.UUID("0d1f5c6e-1b0c-5d0e-9d67-5f6c3b6a4f02")


def make_event_id(*parts: object) -> str:
    """Return an event's id made from what identifies it: the same for the same parts."""
    return uuid.uuid5(_EVENT_NAMESPACE, "\n".join(map(str, parts))).hex


def describe_task_instance(context: Context, *, place: tuple[object, ...] = ()) -> dict[str, object]:
    """
    Return the default fields of an event of a task instance.

    :param place: distinguishes several events of one task
    """
    ti, dag_run = context["ti"], context["dag_run"]
    return {
        "id": make_event_id(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, *place),
        "project": ti.dag_id,
        "culprit": f"{ti.dag_id}.{ti.task_id}",
        "url": ti.log_url.partition("?")[0],  # without the number of the try
        "datetime": dag_run.data_interval_end or dag_run.run_after,
    }
