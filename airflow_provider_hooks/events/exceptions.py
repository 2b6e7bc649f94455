# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A Python exception as an event, with its stack frames, by ``sentry-sdk``'s own serialiser."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_hooks.events.schema import parse_event_id, parse_level, parse_tags, parse_time
from airflow_provider_hooks.exceptions import MissingExtraError, ValidationErrors
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.events.types import Level

_MAX_VALUE_CHARACTERS = 1_024


def event_from_exception(
    exception: BaseException,
    *,
    event_id: str | None = None,
    occurred_at: dt.datetime | None = None,
    level: Level = "error",
    tags: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """
    Return an event, in the form that ``sentry-sdk`` makes, from an exception that was raised.

    It is plain JSON data, so a task can return it and a delivery operator can take it as ``event``. The variables of
    the frames are not in it, because they often hold secrets.

    :param event_id: the event's id; a new one if ``None``
    :param occurred_at: when it was raised, with a zone; now if ``None``
    :raises ValidationError: naming each argument that cannot be used
    :raises MissingExtraError: if ``sentry-sdk`` is not installed

    Source: Sentry, "Event payloads", exception interface.
    """
    try:
        from sentry_sdk.utils import event_from_exception as read_exception  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise MissingExtraError(
            "event_from_exception needs sentry-sdk: pip install 'airflow-provider-hooks[sentry]'"
        ) from None
    moment = occurred_at or pendulum.now("UTC")
    chosen_id = event_id or uuid.uuid4().hex
    _check(exception, {"event_id": chosen_id, "occurred_at": moment, "level": level, "tags": tags or {}})
    options = {
        "include_local_variables": False,
        "include_source_context": True,
        "max_value_length": _MAX_VALUE_CHARACTERS,
    }
    event, _ = read_exception(exception, client_options=options)
    return {
        "event_id": chosen_id,
        "timestamp": moment.astimezone(pendulum.UTC).isoformat(),
        "platform": "python",
        "level": level,
        "tags": dict(tags or {}),
        "exception": _make_plain(event["exception"]),
    }


def _check(exception: object, given: Mapping[str, object]) -> None:
    problems = ValidationErrors("event_from_exception")
    if not isinstance(exception, BaseException):
        problems.add("exception", f"must be an exception that was raised, not {safe_repr(exception)}")
    parsers: dict[str, Callable[[object], object]] = {
        "event_id": parse_event_id,
        "occurred_at": parse_time,
        "level": parse_level,
        "tags": parse_tags,
    }
    for name, parse in parsers.items():
        try:
            parse(given[name])
        except ValueError as error:
            problems.add(name, str(error))
    problems.raise_if_any()


def _make_plain(value: object) -> object:
    """Take text out of the notes that ``sentry-sdk`` wraps around what it has shortened."""
    if isinstance(value, dict):
        return {name: _make_plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_make_plain(child) for child in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return _make_plain(getattr(value, "value", None))
