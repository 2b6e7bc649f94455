# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that build an event, sign it and deliver it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.delivery.claims import WhenUnknown
    from airflow_provider_hooks.events import EventAlert, EventCreated
    from airflow_provider_hooks.json_types import JsonObject


_ARGUMENTS = {"event_id": "id", "event_logger": "logger", "occurred_at": "datetime"}
"""The arguments that cannot have their field's documented name, because operators have that name already."""


class _DeliverEventOperator(BaseOperator):
    """
    What both operators share: their common arguments, their defaults from the run, and what an outcome means.

    :param service_hook_conn_id: a connection of type ``service_hook``
    :param event: where the fields come from: an event of ``sentry-sdk`` (such as ``event_from_exception`` gives), a
        documented payload, or fields by name; an argument below wins over it
    :param event_id: the event's id; without one, an id made from the task instance, the same on every try
    :param project: the project's slug; without one, the Dag's id
    :param project_id: the project's id; without one, the project's slug
    :param project_name: the project's name; without one, the project's slug
    :param culprit: where it happened; without one, Dag and task
    :param message: what happened, in a line
    :param url: where a person can look; without one, the log of the task instance
    :param level: ``fatal``, ``error``, ``warning``, ``info`` or ``debug``
    :param when_unknown: where an attempt may have arrived, ``fail`` and leave it to a person (at most once), or
        ``resend`` it with the same delivery id by Airflow's own ``retries`` (at least once)
    """

    template_fields: Sequence[str] = (
        "service_hook_conn_id",
        "event",
        "event_id",
        "project",
        "project_id",
        "project_name",
        "culprit",
        "message",
        "url",
        "level",
        "when_unknown",
    )
    template_fields_renderers = {"event": "json"}  # noqa: RUF012  (as BaseOperator declares it)
    ui_color = "#d7e8f7"

    def __init__(
        self,
        *,
        service_hook_conn_id: str = "service_hook_default",
        event: Mapping[str, object] | None = None,
        event_id: str | None = None,
        project: str | None = None,
        project_id: str | int | None = None,
        project_name: str | None = None,
        culprit: str | None = None,
        message: str | None = None,
        url: str | None = None,
        level: str | None = None,
        when_unknown: WhenUnknown = "fail",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # BaseOperator's own arguments
        self.service_hook_conn_id = service_hook_conn_id
        self.event = event
        self.event_id = event_id
        self.project = project
        self.project_id = project_id
        self.project_name = project_name
        self.culprit = culprit
        self.message = message
        self.url = url
        self.level = level
        self.when_unknown = when_unknown

    event_type: str
    """The event that a subclass delivers."""

    def build_payload(self, fields: Mapping[str, object]) -> EventCreated | EventAlert:
        """
        Build the payload from the fields of the event.

        :raises InvalidFieldsError: naming each field that is missing or wrong
        """
        raise NotImplementedError

    def execute(self, context: Context) -> JsonObject:
        """
        Deliver the event once and return the record of it.

        :raises AirflowFailException: if the outcome is ``rejected`` or ``unknown``, or something cannot be used as it
            is, all of which a retry must not or cannot change
        :raises DeliveryNotSentError: if nothing was sent; Airflow's own ``retries`` then apply
        :raises DeliveryUnknownError: if it may have arrived and shall be sent again; ``retries`` then apply
        """
        from airflow_provider_hooks.hooks.endpoint import EndpointHook

        def build() -> EventCreated | EventAlert:
            return self._build(context)

        return EndpointHook(self.service_hook_conn_id).deliver(
            self.event_type, build, context=context, when_unknown=self.when_unknown
        )

    def _build(self, context: Context) -> EventCreated | EventAlert:
        """Build the payload; what is wrong with an argument is told under the argument's own name."""
        from airflow_provider_hooks.errors import InvalidFieldsError

        try:
            return self.build_payload(self._collect_fields(context))
        except InvalidFieldsError as error:
            names = {field: argument for argument, field in _ARGUMENTS.items() if getattr(self, argument, None)}
            told = {names.get(field, field): problem for field, problem in error.problems.items()}
            raise InvalidFieldsError(error.subject, told) from None

    def _collect_fields(self, context: Context) -> dict[str, object]:
        """Put together the run's defaults, the event and the arguments; the later wins."""
        from airflow_provider_hooks.events import read_fields
        from airflow_provider_hooks.operators.defaults import describe_task_instance

        given = {name: value for name, value in self._list_arguments().items() if value is not None}
        told = {**read_fields(self.event or {}), **given}
        return {**describe_task_instance(context, project=told.get("project")), **told}

    def _list_arguments(self) -> dict[str, object]:
        names = ("project", "project_id", "project_name", "culprit", "message", "url", "level")
        return {"id": self.event_id, **{name: getattr(self, name) for name in names}}


class DeliverEventCreatedOperator(_DeliverEventOperator):
    """
    Deliver an ``event.created``, signed, at most once for each time that a person asks for it.

    Its other arguments are those of every delivery: see ``docs/operators.md``.

    :param event_logger: the name of the logger that saw it; may be empty
    :param occurred_at: when it happened, with a zone; without one, the end of the run's data interval
    :param tags: what it is tagged with, such as ``{"environment": "production"}``
    """

    event_type = "event.created"
    template_fields: Sequence[str] = (*_DeliverEventOperator.template_fields, "event_logger", "occurred_at", "tags")

    def __init__(
        self,
        *,
        event_logger: str | None = None,
        occurred_at: dt.datetime | str | None = None,
        tags: Mapping[str, str] | Sequence[Sequence[str]] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # what every delivery takes
        self.event_logger = event_logger
        self.occurred_at = occurred_at
        self.tags = tags

    def build_payload(self, fields: Mapping[str, object]) -> EventCreated:
        """
        Build the payload of ``event.created``.

        :raises InvalidFieldsError: naming each field that is missing or wrong
        """
        from airflow_provider_hooks.events import build_event_created

        return build_event_created(fields, logger=self.event_logger, datetime=self.occurred_at, tags=self.tags)


class DeliverEventAlertOperator(_DeliverEventOperator):
    """
    Deliver an ``event.alert``, signed, at most once for each time that a person asks for it.

    Its other arguments are those of every delivery: see ``docs/operators.md``.

    :param triggering_rules: the names of the rules that made the alert, at least one
    """

    event_type = "event.alert"
    template_fields: Sequence[str] = (*_DeliverEventOperator.template_fields, "triggering_rules")

    def __init__(self, *, triggering_rules: Sequence[str] | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # what every delivery takes
        self.triggering_rules = triggering_rules

    def build_payload(self, fields: Mapping[str, object]) -> EventAlert:
        """
        Build the payload of ``event.alert``.

        :raises InvalidFieldsError: naming each field that is missing or wrong
        """
        from airflow_provider_hooks.events import build_event_alert

        return build_event_alert(fields, triggering_rules=self.triggering_rules)
