# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A Python exception as an event, with its stack frames, by ``sentry-sdk``'s own serialiser."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_hooks.errors import ServiceHookError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

_MAX_VALUE_CHARACTERS = 1_024


class MissingExtraError(ServiceHookError, ImportError):
    """Something was asked for that an optional extra of this package brings."""


def event_from_exception(
    exception: BaseException,
    *,
    event_id: str | None = None,
    occurred_at: dt.datetime | None = None,
    level: str = "error",
    tags: Mapping[str, str] | None = None,
    include_local_variables: bool = False,
) -> dict[str, object]:
    """
    Return an event, in the form that ``sentry-sdk`` makes, from an exception that was raised.

    It is plain JSON data, so a task can return it and a delivery operator can take it as ``event``.

    :param event_id: the event's id; a new one if ``None``
    :param occurred_at: when it was raised, with a zone; now if ``None``
    :param include_local_variables: send the variables of every frame too; off, because they often hold secrets
    :raises MissingExtraError: if ``sentry-sdk`` is not installed

    Source: Sentry, "Event payloads", exception interface.
    """
    try:
        from sentry_sdk.utils import event_from_exception as read_exception  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise MissingExtraError(
            "event_from_exception needs sentry-sdk: pip install 'airflow-provider-hooks[sentry]'"
        ) from None
    options = {
        "include_local_variables": include_local_variables,
        "include_source_context": True,
        "max_value_length": _MAX_VALUE_CHARACTERS,
    }
    event, _ = read_exception(exception, client_options=options)
    moment = occurred_at or pendulum.now("UTC")
    return {
        "event_id": event_id or uuid.uuid4().hex,
        "timestamp": moment.astimezone(pendulum.UTC).isoformat(),
        "platform": "python",
        "level": level,
        "tags": dict(tags or {}),
        "exception": event["exception"],
    }
