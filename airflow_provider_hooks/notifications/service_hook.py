# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``ServiceHookNotifier``: delivers an event for a callback or a deadline alert.

The guarantee: by default one call of a callback sends at most one request. With the ledger, a callback that Airflow
calls twice for the same thing sends one request in all. Without it, this holds where the context's task state store can
be used, for the end of a task; otherwise both requests have the same delivery id.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from airflow.sdk.bases.notifier import BaseNotifier

from airflow_provider_hooks._runtime import compat
from airflow_provider_hooks.events.types import check_field_names
from airflow_provider_hooks.exceptions import EndpointDisabledError, NotificationError, ServiceHookError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider_hooks.delivery.policy import Guarantee, Once
    from airflow_provider_hooks.events.event import Event
    from airflow_provider_hooks.events.types import EventFields, Payload, Rules, Tags
    from airflow_provider_hooks.notifications.callback_event import CallbackEvent


__all__ = ["ServiceHookNotifier"]


class ServiceHookNotifier(BaseNotifier):
    """
    Deliver a signed event for what a callback was called for.

    It can be the ``on_failure_callback``, ``on_retry_callback``, ``on_success_callback`` or ``on_skipped_callback`` of
    a task, a callback of a Dag, or a deadline alert, by ``SyncCallback`` or ``AsyncCallback``.

    Example:

    ```python
    from airflow.sdk import DAG

    from airflow_provider_hooks import ServiceHookNotifier

    with DAG(
        "orders",
        schedule="@daily",
        default_args={"on_failure_callback": ServiceHookNotifier(service_hook_conn_id="on_call")},
    ):
        ...
    ```

    :param service_hook_conn_id: a connection of type ``service_hook``
    :param event_type: ``event.alert``; ``event.created``, which carries the exception with its stack; or the user's own
        type, such as ``dag.failed``, whose data has message, level, culprit, url, project and tags
    :param format: how the event becomes a request, such as ``cloudevents``; by default the endpoint's, or that of the
        event type
    :param event_id: the event's id; by default an id made from the task instance, its try and what happened, the same
        whenever Airflow calls the callback for it
    :param project: the project's slug; by default the Dag's id
    :param project_id: the project's id; by default the project's slug
    :param project_name: the project's name; by default the project's slug
    :param culprit: where it happened; by default Dag and task
    :param message: what happened, in a line; by default the exception's type and text, or the state of the task
    :param url: the page that shows what happened; by default the log of the try, or the page of the run
    :param level: ``fatal``, ``error``, ``warning``, ``info`` or ``debug``; by default ``error`` for a failure or a
        deadline, ``warning`` for a retry, else ``info``
    :param guarantee: ``at_most_once`` makes one attempt; ``at_least_once`` up to four, some seconds apart, if the event
        was not or may not have been received, and after the statuses of ``retry_statuses``
    :param retry_statuses: which rejected deliveries are sent again; by default none for ``at_most_once``, and 408, 425,
        429, 500, 502, 503 and 504 for ``at_least_once``
    :param once: ``run`` delivers an event for each thing that a callback is called for; ``event``, which needs the
        ledger, delivers an event id to the endpoint once for ever, such as an ``event_id`` with the date of the run
    :param triggering_rules: a list of the names of the rules that made an alert; by default one of the Dag and what
        happened, such as ``orders failure``; a string is refused
    :param tags: the tags of an ``event.created``, added to ``dag_id``, ``task_id``, ``run_id``, ``try_number`` and
        ``map_index``
    """

    template_fields: Sequence[str] = (
        "service_hook_conn_id",
        "event_type",
        "format",
        "guarantee",
        "retry_statuses",
        "once",
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
        format: str | None = None,  # noqa: A002  (what users call it)
        guarantee: Guarantee = "at_most_once",
        retry_statuses: Sequence[int] | None = None,
        once: Once = "run",
        event_id: str | None = None,
        triggering_rules: Rules | None = None,
        tags: Tags | None = None,
        context: Context | None = None,
        **fields: Unpack[EventFields],
    ) -> None:
        check_field_names("ServiceHookNotifier", fields)
        super().__init__(context)
        self.service_hook_conn_id = service_hook_conn_id
        self.event_type = event_type
        self.format = format
        self.guarantee = guarantee
        self.retry_statuses = retry_statuses
        self.once = once
        self.event_id = event_id
        self.project = fields.get("project")
        self.project_id = fields.get("project_id")
        self.project_name = fields.get("project_name")
        self.culprit = fields.get("culprit")
        self.message = fields.get("message")
        self.url = fields.get("url")
        self.level = fields.get("level")
        self.triggering_rules = triggering_rules
        self.tags = tags

    def __call__(self, *args: Context) -> None:
        """
        Render the templates and deliver, on a copy: Airflow renders in place, and may call one notifier several times.

        :raises ServiceHookError: as ``notify``
        """
        contexts = [cast("Context", {**context}) for context in args]
        super(ServiceHookNotifier, copy.copy(self)).__call__(*contexts)

    def notify(self, context: Context) -> None:
        """
        Deliver the event of the callback.

        Airflow catches and logs what this raises: the state of the task is unchanged, and the next callback is called.
        With an endpoint that is disabled it logs that, and returns.

        :raises NotificationError: if the outcome is not ``delivered``
        :raises ServiceHookError: if an input cannot be used; nothing was sent
        :raises AirflowNotFoundException: if there is no such connection; nothing was sent
        """
        from airflow_provider_hooks.delivery.policy import make_policy
        from airflow_provider_hooks.events.event import Event
        from airflow_provider_hooks.hooks.endpoint import EndpointHook
        from airflow_provider_hooks.notifications.callback_event import callback_event_from_context
        from airflow_provider_hooks.outcomes import Outcome

        callback = callback_event_from_context(context)
        hook = EndpointHook(self.service_hook_conn_id)
        # Before texts are masked, so that they are the same however often Airflow calls this for one thing.
        hook.mask_secrets()
        payload = self._build(callback)
        event_id = payload.id if isinstance(payload, Event) else payload["id"]
        try:
            delivery = hook.deliver_now(
                self.event_type,
                payload,
                context=context if callback.can_claim else None,
                origin=callback.describe_origin(
                    slot=f"on_{callback.kind.value}:{self.event_type}:{self.service_hook_conn_id}:{event_id}"
                ),
                policy=make_policy(guarantee=self.guarantee, retry_statuses=self.retry_statuses, once=self.once),
                format=self.format or None,
            )
        except EndpointDisabledError as disabled:
            self.log.info("%s", disabled)
            return
        if delivery.record.attempt.outcome is not Outcome.DELIVERED:
            record = delivery.record
            message = "\n".join([record.summarize(), *record.list_details()])
            raise NotificationError(message, outcome=record.attempt.outcome, record=record.as_json())

    async def async_notify(self, context: Context) -> None:
        """
        Deliver the event of the callback without blocking the other triggers.

        :raises ServiceHookError: as ``notify``; on Airflow 3.1 always, before anything is sent
        """
        if not compat.has_threads_in_triggers():
            raise ServiceHookError("Airflow 3.1 cannot deliver from the triggerer; nothing was sent")
        await asyncio.to_thread(self.notify, context)

    def _build(self, callback: CallbackEvent) -> Payload | Event:
        from airflow_provider_hooks.events.builders import EventDraft
        from airflow_provider_hooks.events.types import EVENT_TYPES
        from airflow_provider_hooks.notifications.callback_event import describe_callback, mask, merge_tags

        defaults = describe_callback(callback)
        names = ("event_id", "project", "project_id", "project_name", "url", "level", "triggering_rules")
        arguments = {
            **{name: getattr(self, name) for name in names},
            "culprit": mask(self.culprit),
            "message": mask(self.message),
            "tags": mask(merge_tags(defaults["tags"], self.tags)),
        }
        if self.event_type not in EVENT_TYPES:
            return self._build_own(callback, arguments, defaults)
        draft = EventDraft(event_type=self.event_type, event=None, arguments=arguments, defaults=defaults)
        return draft.build()

    def _build_own(
        self, callback: CallbackEvent, arguments: Mapping[str, object], defaults: Mapping[str, object]
    ) -> Event:
        """Build an event of the user's own type, whose data is what a callback knows."""
        from airflow_provider_hooks._runtime.airflow import read_base_url
        from airflow_provider_hooks.events.event import OwnEventDraft

        fields = {**defaults, **{name: value for name, value in arguments.items() if value is not None}}
        names = ("message", "level", "culprit", "url", "project", "tags")
        data = {name: fields[name] for name in names if name in fields}
        source = f"{read_base_url()}/dags/{quote(callback.dag_id or '')}"
        return OwnEventDraft(
            event_type=self.event_type,
            data={"kind": callback.kind.value, **data},
            event_id=self.event_id,
            defaults={"id": defaults.get("id"), "datetime": defaults["datetime"], "source": source},
        ).build()
