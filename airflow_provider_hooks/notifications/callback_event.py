# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a callback tells of, read from its context, which is another one in each place that Airflow calls from.

- In the worker, when a task has ended: everything is there, and the state store keeps a claim. On a retry it does not:
  by then Airflow has made the task instance over to the next try, and refuses the store to the one that failed.
- In the Dag processor, for callbacks of a Dag and for a task whose heartbeat was lost: there is no exception, and the
  context offers a state store that nobody answers for, so that asking it would wait for ever.
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


class Kind(str, Enum):
    """What has happened."""

    FAILURE = "failure"
    RETRY = "retry"
    SUCCESS = "success"
    SKIPPED = "skipped"
    RUNNING = "running"
    """The task has not ended: ``on_execute_callback``, or a task that calls a notifier itself."""
    DAG_FAILURE = "dag_failure"
    DAG_SUCCESS = "dag_success"
    DEADLINE = "deadline"


_ENDS = {"failed": Kind.FAILURE, "up_for_retry": Kind.RETRY, "success": Kind.SUCCESS, "skipped": Kind.SKIPPED}
_CLAIMED = frozenset({Kind.FAILURE, Kind.SUCCESS, Kind.SKIPPED})
_LEVELS = {Kind.RETRY: "warning", Kind.SUCCESS: "info", Kind.SKIPPED: "info", Kind.RUNNING: "info"}
_TEXTS = {
    Kind.FAILURE: "Task {task} failed",
    Kind.RETRY: "Task {task} failed and is to be retried",
    Kind.SUCCESS: "Task {task} succeeded",
    Kind.SKIPPED: "Task {task} was skipped",
    Kind.RUNNING: "Task {task} is running",
    Kind.DAG_FAILURE: "Dag {dag} failed",
    Kind.DAG_SUCCESS: "Dag {dag} succeeded",
    Kind.DEADLINE: "Dag {dag} missed its deadline",
}


@dataclass(frozen=True, kw_only=True)
class CallbackEvent:
    """What a callback tells of, as far as its context says."""

    kind: Kind
    identity: tuple[object, ...]
    """The same whenever Airflow calls for the same occasion, from wherever it does."""
    dag_id: str | None
    tags: Mapping[str, str]
    url: str | None
    culprit: str
    occurred_at: object
    exception: object
    """Mostly an exception; text in some places; ``None`` where Airflow has none."""
    can_claim: bool
    """Whether the context's state store answers."""
    reason: str = ""
    """What Airflow says of a run besides."""

    @property
    def level(self) -> str:
        """How bad it is."""
        return _LEVELS.get(self.kind, "info" if self.kind is Kind.DAG_SUCCESS else "error")

    @property
    def text(self) -> str:
        """Say what happened in a line, without the exception."""
        said = _TEXTS[self.kind].format(task=self.culprit, dag=self.dag_id)
        return f"{said}: {self.reason}" if self.reason else said


def callback_event_from_context(context: Context, *, base_url: str) -> CallbackEvent:
    """
    Read what a callback tells of from its context, which may have anything or nothing in it.

    :param base_url: ``[api] base_url``, for the page of a run where there is no task
    """
    ti = context.get("ti")
    if ti is None or "reason" in context:  # the task instance of a Dag's callback is only the last one of the run
        return _read_run(context, base_url=base_url)
    kind = _read_kind(ti)
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
        can_claim=kind in _CLAIMED and _has_ended_here(ti) and context.get("task_state_store") is not None,
    )


def _read_kind(ti: object) -> Kind:
    """Tell what became of a task; where the Dag processor calls, by Airflow's own rule for retries."""
    if _has_ended_here(ti):
        return _ENDS[_read_state(ti)]
    if getattr(ti, "start_date", None) is not None:
        return Kind.RUNNING
    retries = getattr(getattr(ti, "task", None), "retries", 0)
    return Kind.RETRY if retries and getattr(ti, "try_number", 0) <= getattr(ti, "max_tries", 0) else Kind.FAILURE


def _has_ended_here(ti: object) -> bool:
    """Tell whether the task ended in this process: only there does Airflow set its state."""
    return _read_state(ti) in _ENDS


def _read_state(ti: object) -> str:
    state = getattr(ti, "state", None)
    return str(getattr(state, "value", state))


def _read_run(context: Context, *, base_url: str) -> CallbackEvent:
    run, deadline = _Fields(context.get("dag_run")), _Fields(context.get("deadline"))
    dag_id = run.find("dag_id", default=getattr(context.get("dag"), "dag_id", None))
    run_id = run.find("run_id", "dag_run_id", default=context.get("run_id"))
    kind, reason = _read_run_kind(context.get("reason"), deadline)
    tags = {name: str(value) for name, value in {"dag_id": dag_id, "run_id": run_id}.items() if value is not None}
    # A run that is cleared and fails again is another occasion; a run has several deadlines.
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


def _read_run_kind(reason: object, deadline: _Fields) -> tuple[Kind, str]:
    """Tell what became of a run, and what Airflow says of it."""
    needed_by = deadline.find("deadline_time")
    if needed_by is not None:
        return Kind.DEADLINE, f"it was needed by {needed_by}"
    if reason == "success":
        return Kind.DAG_SUCCESS, ""
    return Kind.DAG_FAILURE, str(reason or "")


class _Fields:
    """Reads an object or its JSON: a deadline's run is the latter."""

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
