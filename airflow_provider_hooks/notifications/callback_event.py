# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a callback was called for, read from its context, which differs with the place that Airflow calls from.

- In the worker, when a task has finished: everything is there, and the task state store can hold a claim. On a retry it
  cannot: Airflow has assigned the task instance to the next try, and refuses the store to the one that failed.
- In the Dag processor, for callbacks of a Dag and for a task whose heartbeat was lost: there is no exception, and the
  context has a task state store that never answers, so it must not be used.
- For a deadline, in the triggerer or an executor: only the run, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from airflow.sdk import Context


class CallbackKind(str, Enum):
    """What happened."""

    FAILURE = "failure"
    RETRY = "retry"
    SUCCESS = "success"
    SKIPPED = "skipped"
    RUNNING = "running"
    """The task has not finished: ``on_execute_callback``, or a task that calls a notifier itself."""
    DAG_FAILURE = "dag_failure"
    DAG_SUCCESS = "dag_success"
    DEADLINE = "deadline"


_ENDS = {
    "failed": CallbackKind.FAILURE,
    "up_for_retry": CallbackKind.RETRY,
    "success": CallbackKind.SUCCESS,
    "skipped": CallbackKind.SKIPPED,
}
_CLAIMED = frozenset({CallbackKind.FAILURE, CallbackKind.SUCCESS, CallbackKind.SKIPPED})
_LEVELS = {
    CallbackKind.RETRY: "warning",
    CallbackKind.SUCCESS: "info",
    CallbackKind.SKIPPED: "info",
    CallbackKind.RUNNING: "info",
}
_TEXTS = {
    CallbackKind.FAILURE: "Task {task} failed",
    CallbackKind.RETRY: "Task {task} failed and is to be retried",
    CallbackKind.SUCCESS: "Task {task} succeeded",
    CallbackKind.SKIPPED: "Task {task} was skipped",
    CallbackKind.RUNNING: "Task {task} is running",
    CallbackKind.DAG_FAILURE: "Dag {dag} failed",
    CallbackKind.DAG_SUCCESS: "Dag {dag} succeeded",
    CallbackKind.DEADLINE: "Dag {dag} missed its deadline",
}


@dataclass(frozen=True, kw_only=True)
class CallbackEvent:
    """What a callback was called for, as far as its context has it."""

    kind: CallbackKind
    identity: tuple[object, ...]
    """The same whenever Airflow calls a callback for the same thing, from any place."""
    dag_id: str | None
    tags: Mapping[str, str]
    url: str | None
    culprit: str
    occurred_at: object
    exception: object
    """Usually an exception; text in some places; ``None`` if Airflow has none."""
    can_claim: bool
    """Whether the context's task state store can be used."""
    reason: str = ""
    """The reason that Airflow gives for the state of a run."""

    @property
    def level(self) -> str:
        """The level of the event."""
        return _LEVELS.get(self.kind, "info" if self.kind is CallbackKind.DAG_SUCCESS else "error")

    @property
    def text(self) -> str:
        """What happened, in a line, without the exception."""
        message = _TEXTS[self.kind].format(task=self.culprit, dag=self.dag_id)
        return f"{message}: {self.reason}" if self.reason else message


def callback_event_from_context(context: Context, *, base_url: str) -> CallbackEvent:
    """
    Read what a callback was called for from its context, in which anything may be missing.

    :param base_url: ``[api] base_url``, for the page of a run if there is no task
    """
    ti = context.get("ti")
    if ti is None or "reason" in context:  # the task instance of a Dag's callback is only the last one of the run
        return _from_run(context, base_url=base_url)
    kind = _find_kind(ti)
    tags = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "try_number": str(ti.try_number)}
    if ti.map_index is not None and ti.map_index >= 0:
        tags["map_index"] = str(ti.map_index)
    return CallbackEvent(
        kind=kind,
        identity=(*tags.values(), kind.value),
        dag_id=ti.dag_id,
        tags=tags,
        url=ti.log_url,
        culprit=f"{ti.dag_id}.{ti.task_id}",
        occurred_at=getattr(ti, "end_date", None),
        exception=context.get("exception"),
        can_claim=kind in _CLAIMED and _finished_here(ti) and context.get("task_state_store") is not None,
    )


def _find_kind(ti: object) -> CallbackKind:
    """Return what happened to a task; in the Dag processor by Airflow's own rule for retries."""
    if _finished_here(ti):
        return _ENDS[_state(ti)]
    if getattr(ti, "start_date", None) is not None:
        return CallbackKind.RUNNING
    retries = getattr(getattr(ti, "task", None), "retries", 0)
    return (
        CallbackKind.RETRY
        if retries and getattr(ti, "try_number", 0) <= getattr(ti, "max_tries", 0)
        else CallbackKind.FAILURE
    )


def _finished_here(ti: object) -> bool:
    """Return whether the task finished in this process: only there does Airflow set its state."""
    return _state(ti) in _ENDS


def _state(ti: object) -> str:
    state = getattr(ti, "state", None)
    return str(getattr(state, "value", state))


def _from_run(context: Context, *, base_url: str) -> CallbackEvent:
    run, deadline = _Fields(context.get("dag_run")), _Fields(context.get("deadline"))
    dag_id = run.find("dag_id", default=getattr(context.get("dag"), "dag_id", None))
    run_id = run.find("run_id", "dag_run_id", default=context.get("run_id"))
    kind, reason = _find_run_kind(context.get("reason"), deadline)
    tags = {name: str(value) for name, value in {"dag_id": dag_id, "run_id": run_id}.items() if value is not None}
    # A run that is cleared and fails again is another event; a run has several deadlines.
    identity = (dag_id, run_id, kind.value, run.find("clear_number", default=0), deadline.find("id"))
    page = f"{base_url.rstrip('/')}/dags/{quote(str(dag_id))}/runs/{quote(str(run_id))}"
    return CallbackEvent(
        kind=kind,
        identity=identity,
        dag_id=None if dag_id is None else str(dag_id),
        tags=tags,
        url=page if len(tags) > 1 else None,
        culprit=str(dag_id or ""),
        occurred_at=deadline.find("deadline_time", default=run.find("end_date")),
        exception=context.get("exception"),
        can_claim=False,
        reason=reason,
    )


def _find_run_kind(reason: object, deadline: _Fields) -> tuple[CallbackKind, str]:
    """Return what happened to a run, and the reason that Airflow gives."""
    needed_by = deadline.find("deadline_time")
    if needed_by is not None:
        return CallbackKind.DEADLINE, f"it was needed by {needed_by}"
    if reason == "success":
        return CallbackKind.DAG_SUCCESS, ""
    return CallbackKind.DAG_FAILURE, str(reason or "")


class _Fields:
    """The fields of an object or of its JSON: the run of a deadline is JSON."""

    def __init__(self, source: object) -> None:
        self._source = source

    def find(self, *names: str, default: object = None) -> object:
        """Return the first field that is there and not ``None``."""
        for name in names:
            source = self._source
            value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
            if value is not None:
                return value
        return default
