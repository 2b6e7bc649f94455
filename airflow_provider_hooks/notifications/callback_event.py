# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a callback was called for, and the fields of its event.

The context of a callback differs with the place that Airflow calls from:

- In the worker, when a task has finished: everything is there, and the task state store can hold a claim. On a retry it
  cannot: Airflow has assigned the task instance to the next try, and refuses the store to the one that failed.
- In the Dag processor, for callbacks of a Dag and for a task whose heartbeat was lost: there is no exception, and the
  context has a task state store that never answers, so it must not be used.
- For a deadline, in the triggerer or an executor: only the run, as JSON.

The methods of an exception may raise, and its text may hold secrets of the task. Neither stops the callback, and what
Airflow masks in its logs is masked in the event too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import pendulum

from airflow_provider_hooks._runtime.airflow import find_log_url, read_base_url, read_deployment
from airflow_provider_hooks._runtime.compat import redact
from airflow_provider_hooks.delivery.claims import ClaimOrigin
from airflow_provider_hooks.events import extract_fields
from airflow_provider_hooks.events.builders import make_event_id
from airflow_provider_hooks.events.exceptions import MAX_TEXT_CHARACTERS, cut_texts, read_exception
from airflow_provider_hooks.events.schema import parse_tags, parse_time
from airflow_provider_hooks.exceptions import MissingExtraError

if TYPE_CHECKING:
    import datetime as dt

    from airflow.sdk import Context


_log = logging.getLogger(__name__)


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
    CallbackKind.RETRY: "Task {task} failed and will be retried",
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

    def describe_origin(self, *, slot: str) -> ClaimOrigin:
        """
        Return where the delivery comes from.

        :param slot: what the callback was called for
        """
        map_index = self.tags.get("map_index")
        return ClaimOrigin(
            origin="callback",
            dag_id=self.dag_id,
            run_id=self.tags.get("run_id"),
            task_id=self.tags.get("task_id"),
            map_index=None if map_index is None else int(map_index),
            try_number=int(self.tags.get("try_number", 1)),
            slot=slot,
        )

    @property
    def level(self) -> str:
        """The level of the event."""
        return _LEVELS.get(self.kind, "info" if self.kind is CallbackKind.DAG_SUCCESS else "error")

    @property
    def text(self) -> str:
        """What happened, in a line, without the exception."""
        message = _TEXTS[self.kind].format(task=self.culprit, dag=self.dag_id)
        return f"{message}: {self.reason}" if self.reason else message


def callback_event_from_context(context: Context) -> CallbackEvent:
    """Read what a callback was called for from its context, in which anything may be missing."""
    ti = context.get("ti")
    if ti is None or "reason" in context:  # the task instance of a Dag's callback is only the last one of the run
        return _from_run(context)
    kind = _find_kind(ti)
    tags = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "try_number": str(ti.try_number)}
    if ti.map_index is not None and ti.map_index >= 0:
        tags["map_index"] = str(ti.map_index)
    return CallbackEvent(
        kind=kind,
        identity=(*tags.values(), kind.value),
        dag_id=ti.dag_id,
        tags=tags,
        url=find_log_url(ti),
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


def _from_run(context: Context) -> CallbackEvent:
    run, deadline = _Fields(context.get("dag_run")), _Fields(context.get("deadline"))
    dag_id = run.find("dag_id", default=getattr(context.get("dag"), "dag_id", None))
    run_id = run.find("run_id", "dag_run_id", default=context.get("run_id"))
    kind, reason = _find_run_kind(context.get("reason"), deadline)
    tags = {name: str(value) for name, value in {"dag_id": dag_id, "run_id": run_id}.items() if value is not None}
    # A run that is cleared and fails again is another event; a run has several deadlines.
    identity = (dag_id, run_id, kind.value, run.find("clear_number", default=0), deadline.find("id"))
    page = f"{read_base_url()}/dags/{quote(str(dag_id))}/runs/{quote(str(run_id))}"
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
        return CallbackKind.DEADLINE, f"it was due at {needed_by}"
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


def describe_callback(callback: CallbackEvent) -> dict[str, object]:
    """Return the fields that a callback gives an event, for both event types."""
    from_exception = _extract_exception_fields(callback.exception)
    dag = callback.dag_id
    fields: dict[str, object] = {
        "id": make_event_id(read_deployment(), *callback.identity) if dag else None,
        "project": dag,
        "culprit": callback.culprit,
        "message": from_exception.get("message") or callback.text,
        "url": callback.url,
        "level": callback.level,
        "datetime": _find_moment(callback.occurred_at),
        "tags": dict(callback.tags),
        "exception": from_exception.get("exception"),
        "triggering_rules": [f"{dag} {callback.kind.value}"] if dag else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _find_moment(occurred_at: object) -> dt.datetime:
    """Return when it happened; now, if the context has no time."""
    try:
        return parse_time(occurred_at)
    except ValueError:
        return pendulum.now("UTC")


def mask(value: object) -> object:
    """Return JSON in which every text is valid UTF-8, and is masked where Airflow masks it in its logs."""
    if isinstance(value, str):
        return str(redact(value)).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: mask(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [mask(child) for child in value]
    return value


def merge_tags(own: object, given: object) -> object:
    """Return the tags of the callback and the author; invalid ones are returned for the builder to refuse."""
    if given is None:
        return own
    try:
        return {**cast("Mapping[str, str]", own), **dict(parse_tags(given))}
    except ValueError:
        return given


def _extract_exception_fields(exception: object) -> dict[str, object]:
    """Return the message and the exception, if there is one and it can be read."""
    if exception is None:
        return {}
    if not isinstance(exception, BaseException):
        return {"message": str(mask(_to_text(exception)))[:MAX_TEXT_CHARACTERS]}
    try:
        described = read_exception(exception)
    except MissingExtraError as error:
        _log.warning("The event of an exception has no stack: %s", error)
        described = _describe_without_stack(exception)
    except Exception:  # noqa: BLE001  (an exception's own methods may raise anything)
        _log.warning("An exception of type %s cannot be read: its event has no stack", type(exception).__name__)
        described = _describe_without_stack(exception)
    described = cut_texts(cast("dict[str, object]", mask(described)))
    return {"message": extract_fields({"event_id": "", "exception": described}).get("message"), "exception": described}


def _describe_without_stack(exception: BaseException) -> dict[str, object]:
    value = {"type": type(exception).__name__, "value": _to_text(exception), "stacktrace": {"frames": []}}
    return {"values": [value]}


def _to_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (its own methods may raise anything)
        return ""
