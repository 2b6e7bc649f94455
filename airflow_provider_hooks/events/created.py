# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``event.created``, as Sentry documents it for service hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, cast

from airflow_provider_hooks.events import validators
from airflow_provider_hooks.events.schema import SharedFields, read_event, take_shared
from airflow_provider_hooks.events.types import EVENT_CREATED

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Mapping, Sequence


class InnerEvent(TypedDict):
    """The event inside ``event.created``."""

    event_id: str
    message: str
    level: str
    platform: str
    timestamp: float
    tags: list[list[str]]
    exception: dict[str, object]


class EventCreated(SharedFields):
    """The payload of ``event.created``, with every documented field and no other."""

    logger: str
    datetime: str
    event: InnerEvent


def build_event_created(
    source: Mapping[str, object] | None = None,
    *,
    id: str | uuid.UUID | None = None,  # noqa: A002  (the documented name)
    project: str | None = None,
    project_id: str | int | None = None,
    project_name: str | None = None,
    culprit: str | None = None,
    message: str | None = None,
    url: str | None = None,
    level: str | None = None,
    logger: str | None = None,
    datetime: dt.datetime | str | float | None = None,
    timestamp: dt.datetime | str | float | None = None,
    platform: str | None = None,
    tags: Mapping[str, str] | Sequence[Sequence[str]] | None = None,
    exception: Mapping[str, object] | None = None,
) -> EventCreated:
    """
    Build the payload of ``event.created`` from arguments, a mapping, or both; an argument wins over the mapping.

    ``culprit`` and ``logger`` may be left out and are then empty, ``level`` is then ``error``, ``platform``
    ``python``; without ``tags`` and ``exception`` their lists are empty. One of ``datetime`` and ``timestamp`` gives
    both. Everything else is required.

    :param source: a payload as documented, fields by name, or an event that ``sentry-sdk`` made
    :param datetime: when it happened: a ``datetime`` with a zone, ISO 8601 text, or unix seconds
    :raises ValidationError: naming each field that is missing, wrong or not documented

    Source: Sentry, "Service hooks", webhook payload structure.
    """
    given: dict[str, object] = {
        "id": id,
        "project": project,
        "project_id": project_id,
        "project_name": project_name,
        "culprit": culprit,
        "message": message,
        "url": url,
        "level": level,
        "logger": logger,
        "datetime": datetime,
        "timestamp": timestamp,
        "platform": platform,
        "tags": tags,
        "exception": exception,
    }
    read = read_event(EVENT_CREATED, source, given)
    return {
        **take_shared(read),
        "logger": cast("str", read["logger"]),
        "datetime": validators.write_datetime(cast("dt.datetime", read["datetime"])),
        "event": cast(
            "InnerEvent",
            {
                "event_id": read["id"],
                "message": read["message"],
                "level": read["level"],
                "platform": read["platform"],
                "timestamp": cast("dt.datetime", read["timestamp"]).timestamp(),
                "tags": read["tags"],
                "exception": read["exception"],
            },
        ),
    }
