# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``event.alert``, as Sentry documents it for service hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.events.schema import SharedFields, read_event, take_shared
from airflow_provider_hooks.events.types import EVENT_ALERT

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping, Sequence


class EventAlert(SharedFields):
    """The payload of ``event.alert``, with every documented field and no other."""

    triggering_rules: list[str]


def build_event_alert(
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
    triggering_rules: Sequence[str] | None = None,
) -> EventAlert:
    """
    Build the payload of ``event.alert`` from arguments, a mapping, or both; an argument wins over the mapping.

    ``culprit`` may be left out and is then empty, ``level`` is then ``error``. Everything else is required.

    :param source: a payload of either event as documented, fields by name, or an event that ``sentry-sdk`` made
    :param triggering_rules: the names of the rules that made the alert, at least one
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
        "triggering_rules": triggering_rules,
    }
    read = read_event(EVENT_ALERT, source, given)
    return {**take_shared(read), "triggering_rules": cast("list[str]", read["triggering_rules"])}
