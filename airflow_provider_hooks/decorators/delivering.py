# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Delivers what a decorated function returned: one event as the operators do, several each in a slot of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hooks._runtime.airflow import open_state_store
from airflow_provider_hooks._runtime.failures import DeliveryNotSentError, DeliveryUnknownError, raise_fail_fast
from airflow_provider_hooks.delivery.batch import hold_to_slots, name_slots
from airflow_provider_hooks.events import read_fields
from airflow_provider_hooks.events.build import EventDraft
from airflow_provider_hooks.events.defaults import describe_task_instance
from airflow_provider_hooks.events.validators import read_event_id
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.hooks.endpoint import EndpointHook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.decorators.service_hook import ServiceHookDecoratedOperator
    from airflow_provider_hooks.json_types import JsonObject

    Event = Mapping[str, object]

_MAX_TOLD = 10
"""How many of the events that failed the task's error names; the log names each."""


def deliver_event(operator: ServiceHookDecoratedOperator, event: Event, *, context: Context) -> JsonObject:
    """
    Deliver the one event of a task and return the record of it.

    :raises AirflowException: as ``EndpointHook.deliver``
    """
    hook = EndpointHook(operator.service_hook_conn_id)
    return _deliver(hook, operator, event, context=context, slot="", place=())


def deliver_events(
    operator: ServiceHookDecoratedOperator, events: Sequence[Event], *, context: Context
) -> list[JsonObject]:
    """
    Deliver each of several events, whatever becomes of the others, and return their records.

    :raises DeliveryNotSentError: if one was not sent; the ``retries`` that then apply send that one alone
    :raises DeliveryUnknownError: if one may have arrived and shall be sent again; so too
    :raises AirflowFailException: if the events cannot be told apart, or one failed otherwise
    """
    slots = _hold_to_slots(events, context=context)
    hook = EndpointHook(operator.service_hook_conn_id)
    records: list[JsonObject] = []
    final: list[AirflowFailException] = []
    passing: list[DeliveryNotSentError | DeliveryUnknownError] = []
    for number, (event, slot) in enumerate(zip(events, slots, strict=True)):
        try:
            records.append(_deliver(hook, operator, event, context=context, slot=slot, place=(number,)))
        except AirflowFailException as error:
            operator.log.error("Event %s: %s", slot, error)  # noqa: TRY400  (its traceback says nothing more)
            final.append(error)
        except (DeliveryNotSentError, DeliveryUnknownError) as error:
            operator.log.error("Event %s: %s", slot, error)  # noqa: TRY400
            passing.append(error)
    if final or passing:
        failed = [*passing, *final]
        told = "; ".join(map(str, failed[:_MAX_TOLD]))
        raise type(failed[0])(f"{len(failed)} of {len(slots)} events were not delivered: {told}")
    return records


def _hold_to_slots(events: Sequence[Event], *, context: Context) -> tuple[str, ...]:
    try:
        slots = name_slots([_find_id(event) for event in events])
        hold_to_slots(open_state_store(context), slots, generation=str(context["ti"].max_tries))
    except ServiceHookError as error:
        raise_fail_fast(error)
    return slots


def _find_id(event: Event) -> str | None:
    """Return the id that an event has, if it can be used; what cannot is told when the event is built."""
    try:
        return read_event_id(read_fields(event).get("id"))
    except (ValidationError, ValueError):
        return None


def _deliver(
    hook: EndpointHook,
    operator: ServiceHookDecoratedOperator,
    event: Event,
    *,
    context: Context,
    slot: str,
    place: tuple[object, ...],
) -> JsonObject:
    draft = EventDraft(
        event_type=operator.event_type,
        event=event,
        arguments=operator.list_arguments(),
        defaults=describe_task_instance(context, place=place),
    )
    return hook.deliver(operator.event_type, draft, context=context, slot=slot, on_unknown=operator.on_unknown)
