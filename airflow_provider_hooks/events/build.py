# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Makes a payload of what a run says by itself, an event, and the arguments of an operator, decorator or notifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hooks.events import build_event_alert, build_event_created, read_fields
from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.events import EventAlert, EventCreated

    Payload = EventCreated | EventAlert

_ARGUMENTS = {"event_id": "id", "event_logger": "logger", "occurred_at": "datetime"}
"""The arguments that cannot have their field's documented name, because operators have that name already."""
_BUILDERS: dict[str, Callable[..., Payload]] = {EVENT_CREATED: build_event_created, EVENT_ALERT: build_event_alert}
_CREATED_ONLY = ("logger", "datetime", "tags")
_ALERT_ONLY = ("triggering_rules",)


def build_payload(
    event_type: str,
    *,
    event: Mapping[str, object] | None,
    arguments: Mapping[str, object],
    defaults: Mapping[str, object],
) -> Payload:
    """
    Build the payload of an event; an argument wins over the event, which wins over the defaults.

    A field that only the other event has is passed over.

    :param event: an event of ``sentry-sdk``, a documented payload, or fields by name
    :param arguments: by the names that operators give them; ``None`` counts as not given
    :param defaults: fields by name; the project's slug also stands for its id and its name
    :raises ValidationError: naming each field that is missing or wrong, under the argument's own name
    """
    if event_type not in _BUILDERS:
        problem = f"must be {' or '.join(_BUILDERS)}, not {safe_repr(event_type)}"
        raise ValidationError("delivery", {"event_type": problem})
    passed_over = _ALERT_ONLY if event_type == EVENT_CREATED else _CREATED_ONLY
    given = {_ARGUMENTS.get(name, name): value for name, value in arguments.items() if value is not None}
    given = {name: value for name, value in given.items() if name not in passed_over}
    try:
        told = read_fields(event or {})
        project = given.get("project") or told.get("project") or defaults.get("project")
        own = {"project": project, "project_id": project, "project_name": project}
        return _BUILDERS[event_type]({**defaults, **own, **told}, **given)
    except ValidationError as error:
        names = {field: argument for argument, field in _ARGUMENTS.items() if arguments.get(argument)}
        problems = {names.get(field, field): problem for field, problem in error.problems.items()}
        raise ValidationError(error.subject, problems) from None


@dataclass(frozen=True, kw_only=True)
class EventDraft:
    """The arguments of ``build_payload``, for an event that is built only if it is to be sent."""

    event_type: str
    event: Mapping[str, object] | None
    arguments: Mapping[str, object]
    defaults: Mapping[str, object]

    def build(self) -> Payload:
        """
        Build the payload.

        :raises ValidationError: naming each field that is missing or wrong
        """
        return build_payload(self.event_type, event=self.event, arguments=self.arguments, defaults=self.defaults)
