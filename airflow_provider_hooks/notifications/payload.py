# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The fields of the event of a callback.

The methods of an exception may raise, and its text may hold secrets of the task. Neither stops the callback, and what
Airflow masks in its logs is masked in the event too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import pendulum
from airflow.sdk.log import redact  # type: ignore[attr-defined]  # it has no other public place

from airflow_provider_hooks.events import event_from_exception, extract_fields
from airflow_provider_hooks.events.builders import make_event_id
from airflow_provider_hooks.events.schema import parse_tags, parse_time
from airflow_provider_hooks.exceptions import MissingExtraError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from airflow_provider_hooks.notifications.callback_event import CallbackEvent

_MAX_EXCEPTIONS = 10
_MAX_FRAMES = 50
"""How many exceptions of a chain, and how many frames of each stack, are sent: those nearest to where it was raised."""
_MAX_CHARACTERS = 1_024
"""How much of an exception's own text is sent."""

_log = logging.getLogger(__name__)


def describe_callback(callback: CallbackEvent) -> dict[str, object]:
    """Return the fields that a callback gives an event, for both event types."""
    from_exception = _extract_exception_fields(callback.exception)
    dag = callback.dag_id
    fields: dict[str, object] = {
        "id": make_event_id(*callback.identity) if dag else None,
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
        return {"message": str(mask(_to_text(exception)))[:_MAX_CHARACTERS]}
    try:
        event = event_from_exception(exception)
    except MissingExtraError as error:
        _log.warning("The event of an exception has no stack: %s", error)
        event = _make_bare_event(exception)
    except Exception:  # noqa: BLE001  (an exception's own methods may raise anything)
        _log.warning("An exception of type %s cannot be read: its event has no stack", type(exception).__name__)
        event = _make_bare_event(exception)
    event["exception"] = _shorten(
        cast("dict[str, object]", mask(event["exception"]))
    )  # before it is cut, which could leave a part of a secret
    fields = extract_fields(event)
    return {"message": fields.get("message"), "exception": fields["exception"]}


def _make_bare_event(exception: BaseException) -> dict[str, object]:
    value = {"type": type(exception).__name__, "value": _to_text(exception), "stacktrace": {"frames": []}}
    return {"event_id": "", "exception": {"values": [value]}}


def _to_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (its own methods may raise anything)
        return ""


def _shorten(exception: dict[str, object]) -> dict[str, object]:
    values = cast("list[dict[str, object]]", exception["values"])[-_MAX_EXCEPTIONS:]
    for value in values:
        value |= {name: str(value.get(name) or "")[:_MAX_CHARACTERS] for name in ("type", "value")}
        stacktrace = value.get("stacktrace")
        if isinstance(stacktrace, dict) and isinstance(stacktrace.get("frames"), list):
            stacktrace["frames"] = stacktrace["frames"][-_MAX_FRAMES:]
    return {**exception, "values": values}
