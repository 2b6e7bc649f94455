# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a task delivers: one event or several, to one endpoint or several.

Each event has its own claim, outcome and record at each endpoint. Each is delivered, whatever the outcome of the
others, and one error names those that were not. A retry sends only what is unfinished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_hooks._runtime.compat import AirflowNotFoundException
from airflow_provider_hooks._runtime.failures import (
    NonRetryableError,
    RetryableError,
    make_delivery_failure,
    make_failure,
)
from airflow_provider_hooks.exceptions import (
    DeliveryError,
    EndpointDisabledError,
    EventNotTakenError,
    ServiceHookError,
    ValidationError,
)
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_hooks.delivery.policy import DeliveryPolicy
    from airflow_provider_hooks.hooks.endpoint import Draft
    from airflow_provider_hooks.json_types import JsonObject

MAX_ENDPOINTS = 100
_MAX_LISTED = 10
"""How many of the deliveries that failed the task its error names; the log names each."""


class SlottedEvent(NamedTuple):
    """One of the events of a task."""

    slot: str
    """Distinguishes it from the others; the same on every try."""
    draft: Draft


def deliver_events(
    event_type: str,
    events: Sequence[SlottedEvent],
    *,
    conn_ids: str | Sequence[str],
    context: Context,
    policy: DeliveryPolicy,
    format: str | None,  # noqa: A002
) -> list[JsonObject]:
    """
    Deliver each event to each endpoint that takes its type, whatever the outcome of the others.

    :returns: the records, for each event those of the endpoints in their order
    :raises NonRetryableError: if deliveries failed, and a retry would change none of them
    :raises RetryableError: if a retry may deliver one of them; it sends only what is unfinished
    """
    try:
        names = _check_conn_ids(conn_ids)
    except ValidationError as error:
        raise NonRetryableError(str(error)) from None
    hooks = [EndpointHook(name) for name in names]
    is_list = not isinstance(conn_ids, str)
    results = [
        _deliver_to(hook, event_type, event, is_one_of_several=is_list, context=context, policy=policy, format=format)
        for event in events
        for hook in hooks
    ]
    failures = [result for result in results if isinstance(result, RetryableError | NonRetryableError)]
    records = [result for result in results if isinstance(result, dict)]
    disabled = [result for result in results if isinstance(result, EndpointDisabledError)]
    for failure in failures:
        hooks[0].log.error("%s", failure)
    if failures:
        raise _summarize(failures, delivered=len(records))
    if disabled and len(disabled) == len(results):
        raise make_failure(disabled[0])
    if results and not records:
        hooks[0].log.warning("Nothing was sent: none of these endpoints takes %s and is enabled", event_type)
    return records


def _deliver_to(
    hook: EndpointHook,
    event_type: str,
    event: SlottedEvent,
    *,
    is_one_of_several: bool,
    context: Context,
    policy: DeliveryPolicy,
    format: str | None,  # noqa: A002
) -> JsonObject | Exception | None:
    """
    Return the record of a delivery, or its failure, or that the endpoint is disabled.

    :returns: ``None`` if the endpoint is one of several, and does not take the type
    """
    slot = event.slot
    if is_one_of_several:
        # A connection id cannot have this sign, so that no other pair has the same slot.
        slot = f"{hook.service_hook_conn_id}>{slot}".removesuffix(">")
    try:
        result = hook.deliver_once(event_type, event.draft, context=context, slot=slot, policy=policy, format=format)
    except EndpointDisabledError as error:
        hook.log.info("Not sent: %s", error)
        return error
    except (ServiceHookError, AirflowNotFoundException) as error:
        if is_one_of_several and isinstance(error, EventNotTakenError):
            hook.log.info("Not sent: %s", error)
            return None
        return make_failure(error)
    if result.record.attempt.outcome is not Outcome.DELIVERED:
        return make_delivery_failure(result, context, policy=policy)
    return result.record.as_json()


def _check_conn_ids(conn_ids: object) -> list[str]:
    """
    Return the ids of a task's connections.

    :raises ValidationError: if they are not a list of different ids
    """
    names = [conn_ids] if isinstance(conn_ids, str) else conn_ids
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name for name in names):
        problem = f"must be a connection id or a list of them, not {safe_repr(conn_ids)}"
    elif not 1 <= len(names) <= MAX_ENDPOINTS:
        problem = f"must have 1 to {MAX_ENDPOINTS} connection ids, not {len(names)}"
    elif len(set(names)) != len(names):
        problem = f"names a connection twice: {', '.join(sorted({name for name in names if names.count(name) > 1}))}"
    else:
        return list(names)
    raise ValidationError("endpoints", {"service_hook_conn_id": problem})


def _summarize(failures: Sequence[RetryableError | NonRetryableError], *, delivered: int) -> ServiceHookError:
    """Return one error for all deliveries that failed, of the type of the first that is retried, if there is one."""
    failed = sorted(failures, key=lambda failure: not isinstance(failure, RetryableError))
    first, count = failed[0], len(failed) + delivered
    message = "\n".join([f"{len(failed)} of {count} deliveries failed", *map(str, failed[:_MAX_LISTED])])
    if isinstance(first, DeliveryError):
        pauses = [error.retry_after for error in failed if isinstance(error, DeliveryError) and error.retry_after]
        retry_after = max(pauses, default=None)
        return type(first)(message, outcome=first.outcome, record=first.record, retry_after=retry_after)
    return type(first)(message)
