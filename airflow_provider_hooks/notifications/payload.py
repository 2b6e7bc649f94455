# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The fields of an event that tells of an occasion.

An exception may do anything when it is looked at, and may hold what the task knew. It is read so that a callback still
tells of it, and what Airflow masks in its logs is masked in the event too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import pendulum
from airflow.sdk.log import redact  # type: ignore[attr-defined]  # it has no other public place

from airflow_provider_hooks.events import event_from_exception, extract_fields
from airflow_provider_hooks.events.defaults import make_event_id
from airflow_provider_hooks.events.schema import parse_tags, parse_time
from airflow_provider_hooks.exceptions import MissingExtraError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from airflow_provider_hooks.notifications.callback_event import CallbackEvent

_MAX_EXCEPTIONS = 10
_MAX_FRAMES = 50
"""How much of a chain of exceptions, and of each stack, an event tells: what lies nearest to where it was raised."""
_MAX_CHARACTERS = 1_024
"""How much of an exception's own text."""

_log = logging.getLogger(__name__)


def describe_occasion(occasion: CallbackEvent) -> dict[str, object]:
    """Return the fields that an occasion gives an event, for both event types."""
    told = _describe_exception(occasion.exception)
    dag = occasion.dag_id
    fields: dict[str, object] = {
        "id": make_event_id(*occasion.identity) if dag else None,
        "project": dag,
        "culprit": occasion.culprit,
        "message": told.get("message") or occasion.text,
        "url": occasion.url,
        "level": occasion.level,
        "datetime": _find_moment(occasion.occurred_at),
        "tags": dict(occasion.tags),
        "exception": told.get("exception"),
        "triggering_rules": [f"{dag} {occasion.kind.value}"] if dag else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _find_moment(occurred_at: object) -> dt.datetime:
    """Return when it happened; now, where the context does not say."""
    try:
        return parse_time(occurred_at)
    except ValueError:
        return pendulum.now("UTC")


def mask(value: object) -> object:
    """Return JSON with what Airflow masks in its logs masked in every text of it, and each text fit to be sent."""
    if isinstance(value, str):
        return str(redact(value)).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: mask(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [mask(child) for child in value]
    return value


def merge_tags(own: object, given: object) -> object:
    """Return the occasion's tags with those that the author adds; what are no tags is left to who names the problem."""
    if given is None:
        return own
    try:
        return {**cast("Mapping[str, str]", own), **dict(parse_tags(given))}
    except ValueError:
        return given


def _describe_exception(exception: object) -> dict[str, object]:
    """Return message and exception, as far as there is one and it can be read."""
    if exception is None:
        return {}
    if not isinstance(exception, BaseException):
        return {"message": str(mask(_read_text(exception)))[:_MAX_CHARACTERS]}
    try:
        event = event_from_exception(exception)
    except MissingExtraError as error:
        _log.warning("An exception is told without its stack: %s", error)
        event = _make_bare_event(exception)
    except Exception:  # noqa: BLE001  (whatever an exception's own methods raise)
        _log.warning("An exception of type %s cannot be read, and is told without its stack", type(exception).__name__)
        event = _make_bare_event(exception)
    event["exception"] = _shorten(cast("dict[str, object]", mask(event["exception"])))  # a cut may spare half a secret
    fields = extract_fields(event)
    return {"message": fields.get("message"), "exception": fields["exception"]}


def _make_bare_event(exception: BaseException) -> dict[str, object]:
    value = {"type": type(exception).__name__, "value": _read_text(exception), "stacktrace": {"frames": []}}
    return {"event_id": "", "exception": {"values": [value]}}


def _read_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (whatever its own methods raise)
        return ""


def _shorten(exception: dict[str, object]) -> dict[str, object]:
    values = cast("list[dict[str, object]]", exception["values"])[-_MAX_EXCEPTIONS:]
    for value in values:
        value |= {name: str(value.get(name) or "")[:_MAX_CHARACTERS] for name in ("type", "value")}
        stacktrace = value.get("stacktrace")
        if isinstance(stacktrace, dict) and isinstance(stacktrace.get("frames"), list):
            stacktrace["frames"] = stacktrace["frames"][-_MAX_FRAMES:]
    return {**exception, "values": values}
