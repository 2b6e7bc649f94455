# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``@task.service_hook``: a function returns an event, or a list of events, and each is delivered once.

Each of several events has its own claim, in a slot that must be the same on every try: the event's id if it has one,
else its position in the list. An id that differs from try to try would give a try slots without a claim, and send again
what was sent. So the slots of the first try of a run or manual clear are stored before anything is sent, and a later
try that returns other events sends nothing.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.operators._arguments import DeliveryArguments
from airflow_provider_hooks.operators._base import DeliveringOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator
    from typing_extensions import Unpack

    from airflow_provider_hooks.events.builders import EventDraft
    from airflow_provider_hooks.events.event import OwnEventDraft
    from airflow_provider_hooks.events.types import Rules, Tags
    from airflow_provider_hooks.json_types import JsonObject

    Event = Mapping[str, object]

__all__ = ["ServiceHookDecoratedOperator", "service_hook_task"]


class DecoratedArguments(DeliveryArguments, total=False):
    """The arguments of ``@task.service_hook`` that its operator passes to its base classes."""

    op_args: Collection[object] | None
    op_kwargs: Mapping[str, object] | None
    kwargs_to_upstream: dict[str, object] | None


class TaskArguments(DeliveryArguments, total=False):
    """The arguments of ``@task.service_hook`` that it does not spell."""

    task_id: str


class ServiceHookDecoratedOperator(DecoratedOperator, DeliveringOperator):
    """
    Delivers what a function returns: an event, a list of events, or nothing.

    In a Dag write ``@task.service_hook``; import this class for its type, or for a decorator of your package.

    Example:

    ```python
    from airflow_provider_hooks.decorators.service_hook import ServiceHookDecoratedOperator

    operator = ServiceHookDecoratedOperator(
        task_id="notify",
        event_type="orders.loaded",
        python_callable=lambda: {"id": "orders-7", "rows": 1204},
        op_args=(),
        op_kwargs={},
    )
    ```

    :param event_type: ``event.created``, ``event.alert``, or the user's own type, such as ``orders.loaded``: what the
        function returns is then the data, and its ``id`` the event's id, if it has one
    :param triggering_rules: a list of the names of the rules that made an alert, at least one; a string is refused
    :param tags: the tags of an ``event.created``, in place of the event's own tags
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *DeliveringOperator.template_fields,
        "event_type",
        "triggering_rules",
        "tags",
    )
    custom_operator_name = "@task.service_hook"
    event_type: str

    def __init__(
        self,
        *,
        python_callable: Callable[..., object],
        task_id: str,
        event_type: str = "event.created",
        triggering_rules: Rules | None = None,
        tags: Tags | None = None,
        **kwargs: Unpack[DecoratedArguments],
    ) -> None:
        super().__init__(python_callable=python_callable, task_id=task_id, **kwargs)
        self.event_type = event_type
        self.triggering_rules = triggering_rules
        self.tags = tags
        self._returned: object = None

    def execute(self, context: Context) -> JsonObject | list[JsonObject] | None:
        """
        Call the function, deliver what it returns, and return the record, or the list of records.

        Each of several events is delivered, whatever the outcome of the others. While one of them was not sent and may
        be sent later, the task is left to Airflow's ``retries``, which send only that one.

        :raises NonRetryableError: if an outcome is ``rejected`` or ``unknown``, or an input cannot be used
        :raises DeliveryNotSentError: if an event was not sent; Airflow's own ``retries`` then apply
        :raises DeliveryUnknownError: if one may have been received and must be sent again; ``retries`` then apply
        :raises DeliveryRejectedError: if one was rejected and must be sent again; ``retries`` then apply
        """
        self._returned = self._call(context)
        if self._returned is None:
            self.log.info("There is no event to deliver")
            return None
        if isinstance(self._returned, Iterable) and not isinstance(self._returned, Mapping | str | bytes):
            self._returned = list(self._returned)  # also what mapped tasks returned, or a generator yields
            return self._deliver_all(self._returned, context)
        return self.deliver(self._make_draft(cast("Event", self._returned), context), context)

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        return {**super().list_arguments(), "triggering_rules": self.triggering_rules, "tags": self.tags}

    def list_events(self) -> Sequence[Event]:
        """Return the events that the function returned; none if it has not returned, or raised."""
        if self._returned is None:
            return []
        return self._returned if isinstance(self._returned, list | tuple) else [cast("Event", self._returned)]

    def _call(self, context: Context) -> object:
        from airflow_provider_hooks._runtime.compat import context_merge, determine_kwargs

        context_merge(context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, context)
        returned = self.python_callable(*self.op_args, **kwargs)
        return asyncio.run(returned) if inspect.iscoroutine(returned) else returned

    def _make_draft(
        self, event: Event, context: Context, *, place: tuple[object, ...] = ()
    ) -> EventDraft | OwnEventDraft:
        from airflow_provider_hooks._runtime.airflow import describe_own_event, describe_task_instance
        from airflow_provider_hooks.events.builders import EventDraft
        from airflow_provider_hooks.events.event import OwnEventDraft
        from airflow_provider_hooks.events.types import EVENT_TYPES

        arguments = self.list_arguments()
        if self.event_type in EVENT_TYPES:
            defaults = describe_task_instance(context, place=place)
            return EventDraft(event_type=self.event_type, event=event, arguments=arguments, defaults=defaults)
        return OwnEventDraft(
            event_type=self.event_type,
            data=event,
            event_id=_find_id(event),
            ignored=tuple(name for name, value in arguments.items() if value is not None),
            defaults=describe_own_event(context, place=place),
        )

    def _deliver_all(self, events: Sequence[Event], context: Context) -> list[JsonObject]:
        """Deliver each of several events, whatever the outcome of the others, and return their records."""
        from airflow_provider_hooks.hooks.deliveries import SlottedEvent, deliver_events

        slots = _find_slots(events, context)
        slotted = [
            SlottedEvent(slot, self._make_draft(event, context, place=(number,)))
            for number, (event, slot) in enumerate(zip(events, slots, strict=True))
        ]
        return deliver_events(
            self.event_type,
            slotted,
            conn_ids=self.service_hook_conn_id,
            context=context,
            policy=self.read_policy(),
            format=self.format or None,
        )


def service_hook_task(
    python_callable: Callable[..., object] | None = None,
    *,
    event_type: str = "event.created",
    triggering_rules: Rules | None = None,
    tags: Tags | None = None,
    **kwargs: Unpack[TaskArguments],
) -> TaskDecorator:
    """
    Deliver the event, or each event of the list, that the decorated function returns: ``@task.service_hook(...)``.

    In a Dag the decorator is ``task.service_hook`` of ``airflow.sdk``.

    Example:

    ```python
    from airflow.sdk import DAG, task

    with DAG("orders", schedule="@daily"):

        @task.service_hook(service_hook_conn_id="orders_warehouse", event_type="orders.loaded")
        def notify():
            return {"id": "orders-7", "rows": 1204}

        notify()
    ```

    :param python_callable: the function, if the decorator is written without arguments
    :param event_type: ``event.created``, ``event.alert``, or the user's own type, such as ``orders.loaded``: what the
        function returns is then the data, and its ``id`` the event's id, if it has one
    :param triggering_rules: a list of the names of the rules that made an alert, at least one
    :param tags: the tags of an ``event.created``, in place of the event's own tags
    :param kwargs: the arguments that every delivery shares, and those of every operator; ``task_id`` is by default the
        name of the function
    """
    kwargs.setdefault("multiple_outputs", False)  # a record is one value, also of a function that returns a mapping
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=ServiceHookDecoratedOperator,
        event_type=event_type,
        triggering_rules=triggering_rules,
        tags=tags,
        **kwargs,
    )


def _find_slots(events: Sequence[Event], context: Context) -> tuple[str, ...]:
    from airflow_provider_hooks._runtime.airflow import read_settings
    from airflow_provider_hooks._runtime.failures import NonRetryableError
    from airflow_provider_hooks._runtime.ledger import open_task_claim
    from airflow_provider_hooks.delivery.claims import SLOTS_KEY, TaskSlots, name_slots, pin_slots

    try:
        slots = name_slots([_find_id(event) for event in events])
        store = open_task_claim(context, SLOTS_KEY, TaskSlots, settings=read_settings())
        pin_slots(store, TaskSlots(generation=str(context["ti"].max_tries), slots=slots))
    except ServiceHookError as error:
        raise NonRetryableError(str(error)) from None
    return slots


def _find_id(event: Event) -> str | None:
    """Return the id of an event, if it can be used; one that cannot is reported when the event is built."""
    from airflow_provider_hooks.events import extract_fields
    from airflow_provider_hooks.events.schema import parse_event_id

    try:
        return parse_event_id(extract_fields(event).get("id"))
    except (ValidationError, ValueError):
        return None
