# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What a user does with deliveries: send them again by a clear of their tasks, or mark them as received."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_hooks.admin.task_instances import clear_task_instance, explain_not_cleared, explain_running
from airflow_provider_hooks.delivery.claims import CLAIMED, RESEND, SETTLED
from airflow_provider_hooks.exceptions import ClaimLostError
from airflow_provider_hooks.ledger.changes import explain_not_resent, explain_not_settled, list_sent_along

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_hooks.admin.stored import StoredDeliveries
    from airflow_provider_hooks.ledger.history import Delivery, DeliveryDetails

_CHANGED = "another process or user changed the claim of this delivery meanwhile, so it is left unchanged; look again"


class Clear(NamedTuple):
    """The clear of one task instance."""

    chosen: tuple[DeliveryDetails, ...]
    along: tuple[Delivery, ...]
    """The others that it sends again."""


class ClearPlan(NamedTuple):
    """What has to be cleared so that deliveries are sent again. Nothing is changed yet."""

    clears: tuple[Clear, ...]
    refused: dict[int, str]
    """Why a delivery cannot be sent again, by the number of its row."""


def plan_clears(stored: StoredDeliveries, chosen: Sequence[DeliveryDetails]) -> ClearPlan:
    """
    Return which task instances must be cleared.

    :raises ServiceHookError: if a database fails
    """
    refused: dict[int, str] = {}
    groups: dict[tuple[object, ...], list[DeliveryDetails]] = {}
    for details in chosen:
        one = details.delivery
        reason = explain_not_resent(details)
        if reason is None:
            groups.setdefault((one.dag_id, one.run_id, one.task_id, one.map_index), []).append(details)
        else:
            refused[one.id] = reason
    clears = []
    for group in groups.values():
        first = group[0].delivery
        reason = explain_not_cleared(first)
        if reason is None:
            along = list_sent_along([one.delivery for one in group], stored.list_of_task_instance(first))
            clears.append(Clear(tuple(group), tuple(along)))
        else:
            refused |= dict.fromkeys((one.delivery.id for one in group), reason)
    return ClearPlan(tuple(clears), refused)


def clear(stored: StoredDeliveries, chosen: Sequence[DeliveryDetails]) -> None:
    """
    Mark the claims of a task instance, so that it sends them again whatever they say, and clear it.

    :raises ServiceHookError: if it could not be cleared; the claims are as before
    """
    marked: list[DeliveryDetails] = []
    is_cleared = False
    try:
        for details in chosen:
            if details.delivery.state != RESEND:
                write_state(stored, details, RESEND)
                marked.append(details)
        clear_task_instance(chosen[0].delivery)
        is_cleared = True
    finally:
        if not is_cleared:
            for details in marked:
                stored.store_state(details, state=details.delivery.state, found=RESEND)


def explain_not_marked(details: DeliveryDetails) -> str | None:
    """
    Return why a delivery cannot be marked as received, and what to do instead; ``None`` if it can be.

    :raises ServiceHookError: if a database fails
    """
    return explain_not_settled(details) or explain_sending(details)


def mark_received(stored: StoredDeliveries, details: DeliveryDetails) -> bool:
    """
    Mark a delivery as received, and return whether it was not marked before.

    :raises ClaimLostError: if another process or user changed its claim meanwhile; it is left unchanged
    """
    if details.delivery.state == SETTLED:
        return False
    write_state(stored, details, SETTLED)
    return True


def write_state(stored: StoredDeliveries, details: DeliveryDetails, state: str) -> None:
    """
    Write a state over the claim of a delivery.

    :raises ClaimLostError: if another process or user changed it meanwhile; it is left unchanged
    """
    if not stored.store_state(details, state=state):
        raise ClaimLostError(f"{details.delivery.id}: {_CHANGED}")


def explain_sending(details: DeliveryDetails) -> str | None:
    """
    Return why an open claim cannot be replaced: its task may be sending.

    :raises ServiceHookError: if a database fails
    """
    one = details.delivery
    return explain_running(one) if one.state == CLAIMED and one.origin == "task" else None
