# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The base classes of the operators that deliver: endpoint, delivery policy, request preview, fields of the event."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from airflow.sdk import BaseOperator

from airflow_provider_hooks._runtime.compat import RetryPolicy, has_retry_policy
from airflow_provider_hooks.operators.links import DeliveryRecordLink, EventLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import MappedOperator
    from jinja2 import Environment
    from typing_extensions import Unpack

    from airflow_provider_hooks._runtime.compat import RetryDecision
    from airflow_provider_hooks.delivery.policy import DeliveryPolicy, Guarantee, Once
    from airflow_provider_hooks.events.builders import EventDraft
    from airflow_provider_hooks.events.event import OwnEventDraft
    from airflow_provider_hooks.events.types import Level
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.operators._arguments import BaseOperatorArguments, EndpointArguments

_DAY = 86_400
"""Airflow's own limit of a pause in seconds."""
_MAX_PREVIEW_CHARACTERS = 4_000
_MAX_LABEL_CHARACTERS = 250
"""How long the label of a mapped task instance can be in Airflow's database."""


class DeliveryRetryPolicy(RetryPolicy):
    """
    When Airflow retries a task that delivers.

    :param has_schedule: whether the pauses are ours, because the Dag sets none; otherwise only a longer ``Retry-After``
        changes the pause of the Dag
    """

    def __init__(self, *, has_schedule: bool) -> None:
        self.has_schedule = has_schedule

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Return after which pause Airflow retries the task, if it has a retry left."""
        from airflow_provider_hooks._runtime.compat import RetryDecision
        from airflow_provider_hooks.delivery.policy import find_retry_delay
        from airflow_provider_hooks.exceptions import DeliveryError

        retry_after = exception.retry_after if isinstance(exception, DeliveryError) else None
        task = context["task"] if context else None
        if self.has_schedule:
            tries = try_number - max_tries + (task.retries or 0 if task else max_tries)  # of this run or clear
            pause = find_retry_delay(tries, retry_after=retry_after, random=random.random())  # noqa: S311  (no secret)
        elif retry_after is None or task is None:
            return RetryDecision.default()
        else:
            shortest, longest = _find_own_pause(task, try_number)
            if retry_after <= shortest:
                return RetryDecision.default()
            pause = max(retry_after, longest)
        reason = "the receiver requests this pause" if retry_after is not None else None
        return RetryDecision.retry(dt.timedelta(seconds=pause), reason)


def _find_own_pause(task: BaseOperator | MappedOperator, try_number: int) -> tuple[float, float]:
    """Return how long Airflow pauses at least and at most by the arguments of the Dag, in seconds."""
    delay, factor = task.retry_delay.total_seconds(), float(task.retry_exponential_backoff or 0)
    if not factor:
        return delay, delay
    longest = task.max_retry_delay
    limit = longest.total_seconds() if isinstance(longest, dt.timedelta) else float(longest or _DAY)
    growing = delay * max(factor, 1.0) ** min(try_number - 1, 60)
    return min(growing, limit), min(2 * growing, limit)  # Airflow adds up to the same again


def add_retries(arguments: BaseOperatorArguments, *, guarantee: object) -> BaseOperatorArguments:
    """
    Return the arguments of an operator with when it is retried: by the Dag's arguments, or else by the guarantee.

    ``at_least_once`` needs retries: if the Dag sets none, there are as many as ``RETRY_DELAYS`` has pauses. Airflow
    before 3.3 has no retry policy: the pauses there are those of the Dag's own arguments.
    """
    given = {**(arguments.get("default_args") or {}), **arguments}  # Airflow merges the default arguments of the Dag
    if given.get("retry_policy") is not None:
        return arguments
    has_schedule = guarantee == "at_least_once" and not {"retry_delay", "retry_exponential_backoff"} & given.keys()
    added: BaseOperatorArguments = {}
    if has_retry_policy():
        added["retry_policy"] = DeliveryRetryPolicy(has_schedule=has_schedule)
    if guarantee == "at_least_once" and "retries" not in given:
        from airflow_provider_hooks.delivery.policy import RETRY_DELAYS

        added["retries"] = len(RETRY_DELAYS)
    return {**arguments, **added}


class EndpointOperator(BaseOperator):
    """
    The base of every operator that delivers: where to, in which format, and what is sent again.

    :param service_hook_conn_id: a connection of type ``service_hook``, or a list of them: the event goes to each that
        takes its type, with its own outcome and record
    :param format: how the event becomes a request, such as ``cloudevents``; by default the endpoint's, or that of the
        event type
    :param guarantee: ``at_most_once`` sends an event again only if it was provably not received; ``at_least_once``
        also if it may have been received, and after the statuses of ``retry_statuses``
    :param retry_statuses: which rejected deliveries are sent again by Airflow's own ``retries``; by default none for
        ``at_most_once``, and 408, 425, 429, 500, 502, 503 and 504 for ``at_least_once``
    :param once: ``run`` delivers the event once per run or manual clear; ``event``, which needs the ledger, delivers an
        event id to an endpoint once for ever, whichever Dag, run or process delivers it
    """

    template_fields: Sequence[str] = (
        "service_hook_conn_id",
        "format",
        "guarantee",
        "retry_statuses",
        "once",
        "request_preview",
    )
    ui_color = "#d7e8f7"

    event_type: str | None
    """The event type that a subclass delivers; ``None`` if the event has it."""
    request_preview: str | None = None
    """The request that the rendered fields make, for the UI, which shows it with them."""

    def __init__(
        self,
        *,
        task_id: str,
        service_hook_conn_id: str | Sequence[str] = "service_hook_default",
        format: str | None = None,  # noqa: A002  (what users call it)
        guarantee: Guarantee = "at_most_once",
        retry_statuses: Sequence[int] | None = None,
        once: Once = "run",
        **kwargs: Unpack[BaseOperatorArguments],
    ) -> None:
        super().__init__(task_id=task_id, **add_retries(kwargs, guarantee=guarantee))
        self.service_hook_conn_id = service_hook_conn_id
        self.format = format
        self.guarantee = guarantee
        self.retry_statuses = retry_statuses
        self.once = once

    def read_policy(self) -> DeliveryPolicy:
        """
        Return the delivery policy.

        :raises NonRetryableError: naming each argument that cannot be used
        """
        from airflow_provider_hooks.delivery.policy import make_policy
        from airflow_provider_hooks.exceptions import ValidationError

        try:
            return make_policy(guarantee=self.guarantee, retry_statuses=self.retry_statuses, once=self.once)
        except ValidationError as error:
            from airflow_provider_hooks.exceptions import NonRetryableError

            raise NonRetryableError(str(error)) from None

    def deliver(self, draft: EventDraft | OwnEventDraft, context: Context) -> JsonObject | list[JsonObject]:
        """
        Deliver an event to the endpoint, or to each of several, and return its record, or a list of records.

        :raises NonRetryableError: if the outcome is ``rejected`` or ``unknown``, or an input cannot be used, which a
            retry must not or cannot change
        :raises RetryableError: if Airflow's own ``retries`` send it again
        """
        policy, format_name = self.read_policy(), self.format or None
        self._label_map_index(context)
        if isinstance(self.service_hook_conn_id, str):
            from airflow_provider_hooks.hooks.endpoint import EndpointHook

            hook = EndpointHook(self.service_hook_conn_id)
            return hook.deliver(draft.event_type, draft, context=context, policy=policy, format=format_name)
        from airflow_provider_hooks.hooks.deliveries import SlottedEvent, deliver_events

        return deliver_events(
            draft.event_type,
            [SlottedEvent("", draft)],
            conn_ids=self.service_hook_conn_id,
            context=context,
            policy=policy,
            format=format_name,
        )

    def find_event_id(self) -> object:
        """Return the id of the event, if the task has one event and its id is given."""
        return None

    def _label_map_index(self, context: Context) -> None:
        """Have the UI name a mapped task instance by its endpoint and event, unless the Dag sets a template."""
        index = context["ti"].map_index
        if index is None or index < 0 or context.get("map_index_template") is not None:
            return
        endpoints = self.service_hook_conn_id
        names = endpoints if isinstance(endpoints, str) else ", ".join(map(str, endpoints or ()))
        label = f"{names} {self.find_event_id() or f'#{index}'}"[:_MAX_LABEL_CHARACTERS]
        labelled = cast("dict[str, object]", context)
        labelled["service_hook_label"], labelled["map_index_template"] = label, "{{ service_hook_label }}"


class SingleEventOperator(EndpointOperator):
    """The base of the operators that deliver one event, which is known before the task is executed."""

    event: Mapping[str, object] | None
    event_id: str | None

    def execute(self, context: Context) -> JsonObject | list[JsonObject]:
        """
        Deliver the event and return its record, or the records of several endpoints.

        :raises NonRetryableError: if the outcome is ``rejected`` or ``unknown``, or an input cannot be used, which a
            retry must not or cannot change
        :raises DeliveryNotSentError: if nothing was sent; Airflow's own ``retries`` then apply
        :raises DeliveryUnknownError: if it may have been received and must be sent again; ``retries`` then apply
        :raises DeliveryRejectedError: if it was rejected and must be sent again; ``retries`` then apply
        """
        return self.deliver(self.make_draft(context), context)

    def make_draft(self, context: Context) -> EventDraft | OwnEventDraft:
        """Return the event of the task, which is built and checked when it is delivered."""
        raise NotImplementedError

    def find_event_id(self) -> object:
        """Return the id of the event, if it is given; the event is not checked yet."""
        return self.event_id or (self.event.get("id") if isinstance(self.event, Mapping) else None)

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Render the fields, and describe the request that they make. Nothing is sent, and nothing claimed."""
        self.request_preview = None  # it holds data of the event, which must not be rendered
        super().render_template_fields(context, jinja_env)
        try:
            self.request_preview = self._describe_request(context)
        except Exception as error:  # noqa: BLE001  (what is wrong fails the task when it is executed)
            self.log.debug("There is no preview of the request: %s", type(error).__name__)

    def _describe_request(self, context: Context) -> str | None:
        draft = self.make_draft(context)
        conn_ids = self.service_hook_conn_id
        conn_id = conn_ids if isinstance(conn_ids, str) else next(iter(conn_ids), None)
        if conn_id is None:
            return None
        from airflow_provider_hooks.hooks.endpoint import EndpointHook

        preview = EndpointHook(conn_id).preview(draft.event_type, draft, format=self.format or None)
        return preview.as_message(shows_signature=False).decode()[:_MAX_PREVIEW_CHARACTERS]


class DeliveringOperator(EndpointOperator):
    """
    The base of every operator that delivers documented payloads: the fields of the event, and the links.

    :param project: the project's slug; by default the Dag's id
    :param project_id: the project's id; by default the project's slug
    :param project_name: the project's name; by default the project's slug
    :param culprit: where it happened; by default Dag and task
    :param message: what happened, in a line
    :param url: the page that shows what happened; by default the log of the task instance
    :param level: ``fatal``, ``error``, ``warning``, ``info`` or ``debug``
    """

    template_fields: Sequence[str] = (
        *EndpointOperator.template_fields,
        "project",
        "project_id",
        "project_name",
        "culprit",
        "message",
        "url",
        "level",
    )
    operator_extra_links = (EventLink(), DeliveryRecordLink())

    def __init__(
        self,
        *,
        task_id: str,
        project: str | None = None,
        project_id: str | int | None = None,
        project_name: str | None = None,
        culprit: str | None = None,
        message: str | None = None,
        url: str | None = None,
        level: Level | None = None,
        **kwargs: Unpack[EndpointArguments],
    ) -> None:
        super().__init__(task_id=task_id, **kwargs)
        self.project = project
        self.project_id = project_id
        self.project_name = project_name
        self.culprit = culprit
        self.message = message
        self.url = url
        self.level = level

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        names = ("project", "project_id", "project_name", "culprit", "message", "url", "level")
        return {name: getattr(self, name) for name in names}

    def list_events(self) -> Sequence[Mapping[str, object]]:
        """Return the known events of the task, for the link to its event."""
        raise NotImplementedError
