# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that build an event, sign it and deliver it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

from airflow_provider_hooks.operators.links import DeliveryRecordLink, EventLink

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider_hooks.delivery.claims import OnUnknown
    from airflow_provider_hooks.events.types import EventType, Level, Rules, Tags
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.operators._arguments import BaseOperatorArguments, DeliveryArguments


__all__ = ["DeliverEventAlertOperator", "DeliverEventCreatedOperator"]


class DeliveringOperator(BaseOperator):
    """
    The base of every operator that delivers events: the endpoint, the fields of the event, and the links.

    :param service_hook_conn_id: a connection of type ``service_hook``
    :param project: the project's slug; by default the Dag's id
    :param project_id: the project's id; by default the project's slug
    :param project_name: the project's name; by default the project's slug
    :param culprit: where it happened; by default Dag and task
    :param message: what happened, in a line
    :param url: the page that shows what happened; by default the log of the task instance
    :param level: ``fatal``, ``error``, ``warning``, ``info`` or ``debug``
    :param on_unknown: if the event may have been received: ``fail`` the task without a retry (at most once), or
        ``resend`` the event with the same delivery id by Airflow's own ``retries`` (at least once)
    """

    template_fields: Sequence[str] = (
        "service_hook_conn_id",
        "project",
        "project_id",
        "project_name",
        "culprit",
        "message",
        "url",
        "level",
        "on_unknown",
    )
    ui_color = "#d7e8f7"
    operator_extra_links = (EventLink(), DeliveryRecordLink())

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_conn_id: str = "service_hook_default",
        project: str | None = None,
        project_id: str | int | None = None,
        project_name: str | None = None,
        culprit: str | None = None,
        message: str | None = None,
        url: str | None = None,
        level: Level | None = None,
        on_unknown: OnUnknown = "fail",
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(task_id=task_id, **kwargs)
        self.service_hook_conn_id = service_hook_conn_id
        self.project = project
        self.project_id = project_id
        self.project_name = project_name
        self.culprit = culprit
        self.message = message
        self.url = url
        self.level = level
        self.on_unknown = on_unknown

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        names = ("project", "project_id", "project_name", "culprit", "message", "url", "level")
        return {name: getattr(self, name) for name in names}

    def list_events(self) -> Sequence[Mapping[str, object]]:
        """Return the known events of the task, for the link to its event."""
        raise NotImplementedError


class _DeliverEventOperator(DeliveringOperator):
    """
    The base of the operators that deliver one event.

    :param event: the fields of the event: an event of ``sentry-sdk`` (such as ``event_from_exception`` returns), a
        documented payload, or fields by name; the other arguments win over it
    :param event_id: the event's id; by default an id made from the task instance, the same on every try
    """

    template_fields: Sequence[str] = (*DeliveringOperator.template_fields, "event", "event_id")
    template_fields_renderers = {"event": "json"}  # noqa: RUF012  (as BaseOperator declares it)

    def __init__(
        self,
        *,
        task_id: str,
        event: Mapping[str, object] | None = None,
        event_id: str | None = None,
        **kwargs: Unpack[DeliveryArguments],
    ) -> None:
        super().__init__(task_id=task_id, **kwargs)
        self.event = event
        self.event_id = event_id

    event_type: EventType
    """The event type that a subclass delivers."""

    def execute(self, context: Context) -> JsonObject:
        """
        Deliver the event once and return its record.

        :raises NonRetryableError: if the outcome is ``rejected`` or ``unknown``, or an input cannot be used, which a
            retry must not or cannot change
        :raises DeliveryNotSentError: if nothing was sent; Airflow's own ``retries`` then apply
        :raises DeliveryUnknownError: if it may have been received and must be sent again; ``retries`` then apply
        """
        from airflow_provider_hooks.events.builders import EventDraft
        from airflow_provider_hooks.events.defaults import describe_task_instance
        from airflow_provider_hooks.hooks.endpoint import EndpointHook

        draft = EventDraft(
            event_type=self.event_type,
            event=self.event,
            arguments=self.list_arguments(),
            defaults=describe_task_instance(context),
        )
        hook = EndpointHook(self.service_hook_conn_id)
        return hook.deliver(self.event_type, draft, context=context, on_unknown=self.on_unknown)

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        return {**super().list_arguments(), "event_id": self.event_id}

    def list_events(self) -> Sequence[Mapping[str, object]]:
        """Return the one event of the task; it is empty if the arguments are the whole event."""
        return [self.event or {}]


class DeliverEventCreatedOperator(_DeliverEventOperator):
    """
    Deliver an ``event.created``, signed, at most once per run or manual clear.

    The other arguments are those of every delivery (``docs/operators.md``) and of every operator.

    :param event_logger: the name of the logger that logged it; may be empty
    :param occurred_at: when it happened, with a zone; by default the end of the run's data interval
    :param tags: the tags of the event, such as ``{"environment": "production"}``
    """

    event_type = "event.created"
    template_fields: Sequence[str] = (*_DeliverEventOperator.template_fields, "event_logger", "occurred_at", "tags")

    def __init__(
        self,
        *,
        task_id: str,
        event: Mapping[str, object] | None = None,
        event_id: str | None = None,
        event_logger: str | None = None,
        occurred_at: dt.datetime | str | None = None,
        tags: Tags | None = None,
        **kwargs: Unpack[DeliveryArguments],
    ) -> None:
        super().__init__(task_id=task_id, event=event, event_id=event_id, **kwargs)
        self.event_logger = event_logger
        self.occurred_at = occurred_at
        self.tags = tags

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        own = {"event_logger": self.event_logger, "occurred_at": self.occurred_at, "tags": self.tags}
        return {**super().list_arguments(), **own}


class DeliverEventAlertOperator(_DeliverEventOperator):
    """
    Deliver an ``event.alert``, signed, at most once per run or manual clear.

    The other arguments are those of every delivery (``docs/operators.md``) and of every operator.

    :param triggering_rules: a list of the names of the rules that made the alert, at least one; a string is refused
    """

    event_type = "event.alert"
    template_fields: Sequence[str] = (*_DeliverEventOperator.template_fields, "triggering_rules")

    def __init__(
        self,
        *,
        task_id: str,
        event: Mapping[str, object] | None = None,
        event_id: str | None = None,
        triggering_rules: Rules | None = None,
        **kwargs: Unpack[DeliveryArguments],
    ) -> None:
        super().__init__(task_id=task_id, event=event, event_id=event_id, **kwargs)
        self.triggering_rules = triggering_rules

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        return {**super().list_arguments(), "triggering_rules": self.triggering_rules}
