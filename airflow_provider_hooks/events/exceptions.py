# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A Python exception as an event, with its stack frames, by ``sentry-sdk``'s own serialiser."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, cast

import pendulum

from airflow_provider_hooks.events.schema import parse_event_id, parse_level, parse_tags, parse_time
from airflow_provider_hooks.exceptions import MissingExtraError, ValidationErrors
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.events.types import Level

MAX_EXCEPTIONS, MAX_FRAMES = 10, 50
"""How many exceptions of a chain, and how many frames of each stack, are sent: those nearest to where it was raised."""
MAX_TEXT_CHARACTERS = 1_024


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
    the frames are not in it, because they often hold secrets. A long chain is cut to its last 10 exceptions, each with
    the innermost 50 frames and 1,024 characters of its text.

    Example:

    ```python
    from airflow_provider_hooks.events import event_from_exception

    try:
        {}["price"]
    except KeyError as error:
        event = event_from_exception(error, level="warning", tags={"order": "7"})
    assert event["exception"]["values"][0]["type"] == "KeyError"
    ```

    :param exception: an exception that was raised, so that it has a stack
    :param event_id: the event's id; a new one if ``None``
    :param occurred_at: when it was raised, with a zone; now if ``None``
    :param level: ``fatal``, ``error``, ``warning``, ``info`` or ``debug``
    :param tags: tags by name
    :raises ValidationError: naming each argument that cannot be used
    :raises MissingExtraError: if ``sentry-sdk`` is not installed

    Source: Sentry, "Event payloads", exception interface.
    """
    moment = occurred_at or pendulum.now("UTC")
    chosen_id = event_id or uuid.uuid4().hex
    _check(exception, {"event_id": chosen_id, "occurred_at": moment, "level": level, "tags": tags or {}})
    return {
        "event_id": chosen_id,
        "timestamp": moment.astimezone(pendulum.UTC).isoformat(),
        "platform": "python",
        "level": level,
        "tags": dict(tags or {}),
        "exception": cut_texts(read_exception(exception)),
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


def read_exception(exception: BaseException) -> dict[str, object]:
    """
    Return an exception as ``sentry-sdk`` describes it, in plain JSON, with bounded lists and the whole texts.

    :raises MissingExtraError: if ``sentry-sdk`` is not installed
    """
    try:
        from sentry_sdk.utils import event_from_exception as read  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise MissingExtraError(
            "event_from_exception needs sentry-sdk: pip install 'airflow-provider-hooks[sentry]'"
        ) from None
    options = {
        "include_local_variables": False,
        "include_source_context": True,
        "max_value_length": MAX_TEXT_CHARACTERS,
    }
    event, _ = read(exception, client_options=options)
    described = cast("dict[str, object]", _make_plain(event["exception"]))
    values = cast("list[dict[str, object]]", described["values"])[-MAX_EXCEPTIONS:]
    for value in values:
        stacktrace = value.get("stacktrace")
        if isinstance(stacktrace, dict) and isinstance(stacktrace.get("frames"), list):
            stacktrace["frames"] = stacktrace["frames"][-MAX_FRAMES:]
    return {**described, "values": values}


def cut_texts(exception: dict[str, object]) -> dict[str, object]:
    """Cut the texts of the exceptions themselves; mask secrets in them before, which a cut could hide."""
    for value in cast("list[dict[str, object]]", exception["values"]):
        value |= {name: str(value.get(name) or "")[:MAX_TEXT_CHARACTERS] for name in ("type", "value")}
    return exception


def _make_plain(value: object) -> object:
    """Return plain JSON: ``sentry-sdk`` wraps each text that it shortened in an object with a note."""
    if isinstance(value, dict):
        return {name: _make_plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_make_plain(child) for child in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # the name of a file may be undecodable
    if value is None or isinstance(value, int | float):
        return value
    return _make_plain(getattr(value, "value", None))
