# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``@task.service_hook``: a function returns an event, or a list of them, and has it delivered once."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, cast

from airflow.sdk.bases.decorator import DecoratedOperator, determine_kwargs, task_decorator_factory
from airflow.sdk.definitions.context import context_merge

from airflow_provider_hooks.operators.delivery import DeliveringOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

    from airflow_provider_hooks.json_types import JsonObject

    Event = Mapping[str, object]


class ServiceHookDecoratedOperator(DecoratedOperator, DeliveringOperator):
    """
    Delivers what a function returns: an event, a list of them, or nothing.

    :param event_type: ``event.created`` or ``event.alert``
    :param triggering_rules: the names of the rules that made an alert, at least one
    :param tags: what an ``event.created`` is tagged with, in place of the event's own tags
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *DeliveringOperator.template_fields,
        "event_type",
        "triggering_rules",
        "tags",
    )
    custom_operator_name = "@task.service_hook"

    def __init__(
        self,
        *,
        event_type: str = "event.created",
        triggering_rules: Sequence[str] | None = None,
        tags: Mapping[str, str] | Sequence[Sequence[str]] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # a decorated task's own arguments, and every delivery's
        self.event_type = event_type
        self.triggering_rules = triggering_rules
        self.tags = tags
        self._returned: object = None

    def execute(self, context: Context) -> JsonObject | list[JsonObject] | None:
        """
        Call the function, deliver what it returns, and return the record, or the list of them.

        Of several events each is delivered, whatever becomes of the others. As long as one of them was not sent and may
        be, the task is left to Airflow's ``retries``, which send that one alone.

        :raises NonRetryableError: if an outcome is ``rejected`` or ``unknown``, or something cannot be used as it is
        :raises DeliveryNotSentError: if nothing was sent of an event; Airflow's own ``retries`` then apply
        :raises DeliveryUnknownError: if one may have arrived and shall be sent again; ``retries`` then apply
        """
        from airflow_provider_hooks.decorators.delivering import deliver_event, deliver_events

        self._returned = self._call(context)
        if self._returned is None:
            self.log.info("There is no event to deliver")
            return None
        if isinstance(self._returned, list | tuple):
            return deliver_events(self, self._returned, context=context)
        return deliver_event(self, cast("Event", self._returned), context=context)

    def _call(self, context: Context) -> object:
        context_merge(context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, context)
        returned = self.python_callable(*self.op_args, **kwargs)
        return asyncio.run(returned) if inspect.iscoroutine(returned) else returned

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        return {**super().list_arguments(), "triggering_rules": self.triggering_rules, "tags": self.tags}

    def list_events(self) -> Sequence[Event]:
        """Return the events that the function returned; none where it has not, or raised."""
        if self._returned is None:
            return []
        return self._returned if isinstance(self._returned, list | tuple) else [cast("Event", self._returned)]


def service_hook_task(python_callable: Callable[..., object] | None = None, **kwargs: object) -> TaskDecorator:
    """
    Deliver the event, or each event of the list, that the decorated function returns: ``@task.service_hook(...)``.

    :param python_callable: the function, where the decorator is written without arguments
    :param kwargs: the arguments of ``ServiceHookDecoratedOperator``, and those of every task
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,  # a record is one value, also where the function is annotated to return a mapping
        decorated_operator_class=ServiceHookDecoratedOperator,
        **kwargs,
    )
