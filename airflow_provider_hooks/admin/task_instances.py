# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The task instances of deliveries in Airflow's metadata database: whether one can be cleared, and its clear."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from airflow_provider_hooks.ledger.history import Delivery

_FINISHED = frozenset({"success", "failed", "upstream_failed", "skipped", "removed", "up_for_retry"})
"""The states of a task instance in which no process of it delivers."""


@contextmanager
def database_errors() -> Iterator[None]:
    """Report an error of Airflow's database without its SQL statement, whose parameters are secrets."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = escape(str(getattr(error, "orig", None) or type(error).__name__))
        raise ServiceHookError(f"Airflow's database cannot be used: {reason}") from None


def explain_not_cleared(delivery: Delivery) -> str | None:
    """
    Return why the task instance of a delivery cannot be cleared now; ``None`` if it can be.

    :raises ServiceHookError: if the database fails
    """
    states = _list_states(delivery)
    if not states:
        return "its task instance no longer exists: deliver the event again in another run"
    if len(states) > 1:
        return "its task has several instances with this index; clear the right one in Airflow"
    return _describe_running(states[0])


def explain_running(delivery: Delivery) -> str | None:
    """
    Return why the task instance of a delivery may be sending it now; ``None`` if it has finished or is gone.

    :raises ServiceHookError: if the database fails
    """
    return next(filter(None, map(_describe_running, _list_states(delivery))), None)


def _list_states(delivery: Delivery) -> list[str | None]:
    with database_errors(), create_session() as session:
        return [one.state for one in _find_task_instances(session, delivery)]


def _describe_running(state: str | None) -> str | None:
    if state in _FINISHED:
        return None
    return f"its task instance is {state or 'about to run'}; wait until it has finished"


def clear_task_instance(delivery: Delivery) -> None:
    """
    Clear the task instance of a delivery, and nothing downstream, as ``airflow tasks clear`` does.

    The server-side function leaves the task state store unchanged, in Airflow 3.4 too.

    :raises ServiceHookError: if the task instance has changed, or the database fails; nothing was cleared
    """
    with database_errors(), create_session() as session:
        found = [one for one in _find_task_instances(session, delivery, locks=True) if one.state in _FINISHED]
        if len(found) != 1:
            raise ServiceHookError(f"{delivery.source}: the task instance changed meanwhile, so it was not cleared")
        clear_task_instances(found, session)


def _find_task_instances(session: Session, delivery: Delivery, *, locks: bool = False) -> list[TaskInstance]:
    query = select(TaskInstance).where(
        TaskInstance.dag_id == delivery.dag_id,
        TaskInstance.run_id == delivery.run_id,
        TaskInstance.task_id == delivery.task_id,
        TaskInstance.map_index == delivery.map_index,
    )
    return list(session.scalars(query.with_for_update(of=TaskInstance) if locks else query))
