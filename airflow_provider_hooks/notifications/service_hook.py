# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``ServiceHookNotifier``: what a callback or a deadline alert tells, delivered as an event.

The guarantee: one firing of a callback makes at most one request. Where the context's state store answers, a callback
that Airflow fires twice for the same end of a task makes one in all. Elsewhere the two have the same delivery id.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, cast

from airflow.sdk.bases.notifier import BaseNotifier

from airflow_provider_hooks.exceptions import ServiceHookError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.events import EventAlert, EventCreated
    from airflow_provider_hooks.notifications.callback_event import CallbackEvent


class NotificationError(ServiceHookError):
    """A callback's event was not delivered, or nobody knows whether it was."""


class ServiceHookNotifier(BaseNotifier):
    """
    Tell of what a callback was called for, by an event that is signed and delivered.

    It serves ``on_failure_callback``, ``on_retry_callback``, ``on_success_callback`` and ``on_skipped_callback`` of
    tasks, the callbacks of Dags, and deadline alerts, by ``SyncCallback`` or ``AsyncCallback``.

    :param service_hook_conn_id: a connection of type ``service_hook``
    :param event_type: ``event.alert``, or ``event.created``, which carries the exception with its stack
    :param event_id: the event's id; without one, an id made from the task instance, its try and what happened, the same
        whenever Airflow fires the callback for it
    :param project: the project's slug; without one, the Dag's id
    :param project_id: the project's id; without one, the project's slug
    :param project_name: the project's name; without one, the project's slug
    :param culprit: where it happened; without one, Dag and task
    :param message: what happened, in a line; without one, the exception's type and text, or what became of the task
    :param url: where a person can look; without one, the log of the try, or the page of the run
    :param level: ``fatal``, ``error``, ``warning``, ``info`` or ``debug``; without one, ``error`` for a failure or a
        deadline, ``warning`` for a retry, else ``info``
    :param triggering_rules: the names of the rules that made an alert; without them, one of the Dag and what happened,
        such as ``orders failure``
    :param tags: what an ``event.created`` is tagged with besides ``dag_id``, ``task_id``, ``run_id``, ``try_number``
        and ``map_index``
    """

    template_fields: Sequence[str] = (
        "service_hook_conn_id",
        "event_type",
        "event_id",
        "project",
        "project_id",
        "project_name",
        "culprit",
        "message",
        "url",
        "level",
        "triggering_rules",
        "tags",
    )

    def __init__(
        self,
        *,
        service_hook_conn_id: str = "service_hook_default",
        event_type: str = "event.alert",
        event_id: str | None = None,
        project: str | None = None,
        project_id: str | int | None = None,
        project_name: str | None = None,
        culprit: str | None = None,
        message: str | None = None,
        url: str | None = None,
        level: str | None = None,
        triggering_rules: Sequence[str] | None = None,
        tags: Mapping[str, str] | Sequence[Sequence[str]] | None = None,
        context: Context | None = None,
    ) -> None:
        super().__init__(context)
        self.service_hook_conn_id = service_hook_conn_id
        self.event_type = event_type
        self.event_id = event_id
        self.project = project
        self.project_id = project_id
        self.project_name = project_name
        self.culprit = culprit
        self.message = message
        self.url = url
        self.level = level
        self.triggering_rules = triggering_rules
        self.tags = tags

    def __call__(self, *args: Context) -> None:
        """
        Render the templates and tell, on a copy: Airflow renders in place, and may call one notifier several times.

        :raises ServiceHookError: as ``notify``
        """
        contexts = [cast("Context", {**context}) for context in args]
        super(ServiceHookNotifier, copy.copy(self)).__call__(*contexts)

    def notify(self, context: Context) -> None:
        """
        Deliver what the callback tells of.

        Airflow catches what this raises, logs it and goes on: the task keeps its state, the next callback is called.

        :raises NotificationError: if the outcome is any other than ``delivered``
        :raises ServiceHookError: if something cannot be used as it is; nothing was sent
        :raises AirflowNotFoundException: if there is no such connection; nothing was sent
        """
        from airflow.sdk import conf

        from airflow_provider_hooks.hooks.endpoint import EndpointHook
        from airflow_provider_hooks.notifications.callback_event import callback_event_from_context
        from airflow_provider_hooks.outcomes import Outcome

        occasion = callback_event_from_context(
            context, base_url=conf.get("api", "base_url", fallback="http://localhost:8080")
        )
        payload = self._build(occasion)
        hook = EndpointHook(self.service_hook_conn_id)
        if occasion.can_claim:
            slot = f"on_{occasion.kind.value}:{self.event_type}:{self.service_hook_conn_id}:{payload['id']}"
            delivery = hook.deliver_once(self.event_type, payload, context=context, slot=slot)
        else:
            delivery = hook.deliver_unclaimed(self.event_type, payload)
        if delivery.record.outcome is not Outcome.DELIVERED:
            raise NotificationError(delivery.record.summarize())

    async def async_notify(self, context: Context) -> None:
        """
        Deliver what the callback tells of, without holding up the other triggers.

        :raises ServiceHookError: as ``notify``
        """
        await asyncio.to_thread(self.notify, context)

    def _build(self, occasion: CallbackEvent) -> EventCreated | EventAlert:
        from airflow_provider_hooks.events.build import build_payload
        from airflow_provider_hooks.notifications.payload import describe_occasion, mask, merge_tags

        defaults = describe_occasion(occasion)
        names = ("event_id", "project", "project_id", "project_name", "url", "level", "triggering_rules")
        arguments = {
            **{name: getattr(self, name) for name in names},
            "culprit": mask(self.culprit),
            "message": mask(self.message),
            "tags": mask(merge_tags(defaults["tags"], self.tags)),
        }
        return build_payload(self.event_type, event=None, arguments=arguments, defaults=defaults)
