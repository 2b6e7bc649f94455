# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The links of a delivering task: to its event, and to the record of the delivery.

The worker requests them when the task has finished, whatever its state, and Airflow stores them as XComs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from airflow.sdk.bases.operatorlink import BaseOperatorLink

from airflow_provider_hooks._runtime.compat import has_task_state_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_hooks._runtime.airflow import TaskInstance

STORAGE_TAB = "task-state-store"
"""The last part of the address of a task instance's Storage tab."""


class _DeliveringTask(Protocol):
    """What a link needs from its operator."""

    @property
    def url(self) -> str | None: ...

    def list_events(self) -> Sequence[Mapping[str, object]]: ...


class EventLink(BaseOperatorLink):
    """Leads to the event's ``url``; empty if the task has several events, or none that can be used."""

    name = "Event"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the event's URL; an event that was refused may have none."""
        from airflow_provider_hooks.events import extract_fields
        from airflow_provider_hooks.events.schema import parse_url
        from airflow_provider_hooks.exceptions import ValidationError

        task = cast("_DeliveringTask", operator)
        events = task.list_events()
        if len(events) != 1:
            return ""
        try:
            return parse_url(task.url or extract_fields(events[0]).get("url") or _find_page(ti_key))
        except (ValidationError, ValueError):
            return ""


class DeliveryRecordLink(BaseOperatorLink):
    """Leads to the Storage tab of the task instance, which shows claim and record; before Airflow 3.3 to its log."""

    name = "Delivery record"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  (Airflow's order)
        """Return the address of the tab."""
        page = _find_page(ti_key)
        return f"{page}/{STORAGE_TAB}" if has_task_state_store() else page


def _find_page(ti_key: TaskInstanceKey) -> str:
    """Return the address of the task instance's page: that of its log without the number of the try."""
    from airflow_provider_hooks._runtime.airflow import find_log_url

    return find_log_url(cast("TaskInstance", ti_key)).partition("?")[0]
