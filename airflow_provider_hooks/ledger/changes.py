# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a user may write over the claim of a delivery: that the event was received, or that it must be sent again.

Both replace exactly the claim that the user looked at, by its owner token and state. A process that is still sending
then stores no outcome, because it no longer holds the claim.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_hooks.delivery.claims import CLAIMED, SETTLED, Claim
from airflow_provider_hooks.delivery.record import format_time, parse_stored
from airflow_provider_hooks.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_hooks.ledger.database import Database
    from airflow_provider_hooks.ledger.history import Delivery, DeliveryDetails

_SENT_BEFORE = frozenset({CLAIMED, Outcome.DELIVERED.value, Outcome.REJECTED.value, Outcome.UNKNOWN.value})
"""The states after which the receiver may have the event, and a manual clear sends it again."""


def explain_not_settled(details: DeliveryDetails) -> str | None:
    """Return why a delivery cannot be marked as delivered, and what to do instead; ``None`` if it can be."""
    one = details.delivery
    if one.kind == "stream":
        return "is a stream, whose events have an outcome each; mark its task as success in Airflow"
    if one.state == SETTLED or one.outcome in (CLAIMED, Outcome.UNKNOWN.value):
        return None
    if one.outcome == Outcome.DELIVERED.value:
        return "was delivered, so there is nothing to mark"
    if one.outcome == Outcome.NOT_SENT.value:
        return "was not sent, so the receiver does not have the event; resend it"
    return (
        f"was rejected (HTTP {one.status_code}); resend it, or mark its task as success in Airflow if the receiver has "
        "the event nevertheless"
    )


def has_command_only(details: DeliveryDetails) -> bool:
    """Return whether a delivery is sent again by the command alone: it has a stored payload and no task."""
    return details.payload_stored_at is not None and details.delivery.origin != "task"


def explain_not_resent(details: DeliveryDetails) -> str | None:
    """Return why a clear of its task cannot send a delivery again; ``None`` if it can."""
    one = details.delivery
    if one.kind == "stream":
        return (
            "is a stream: clear its task to send all events again, or run a stream over the same source with "
            "undelivered_from to send those that were not delivered"
        )
    if has_command_only(details):
        return f"comes from a {one.origin}, which has no task to clear: deliveries resend sends its stored payload"
    if one.origin != "task":
        return (
            f"comes from a {one.origin}, and its payload is not stored: deliver the event again, and set "
            "[service_hooks] store_payloads so that later ones can be sent again from here"
        )
    return None


def replace_state(details: DeliveryDetails, state: str) -> Claim:
    """
    Return the claim of a delivery with another state.

    :raises RecordError: if what is stored is not a claim of an event
    """
    claim = parse_stored(details.claim, Claim, refusal="the claim in the ledger cannot be read, so it is not changed")
    return parse_stored({**claim.as_json(), "state": state}, Claim, refusal=f"the state cannot be {state}")


def store_state(database: Database, details: DeliveryDetails, *, state: str, found: str | None = None) -> bool:
    """
    Write a state over the claim that was read, and return whether it was still there.

    :param state: ``settled`` or ``resend``, or the state before, to undo that
    :param found: the state that is there, if it is not the one that was read
    :raises RecordError: if what is stored is not a claim of an event
    :raises OutageError: if the database does not answer
    """
    claim, one = replace_state(details, state), details.delivery
    outcome = Outcome.DELIVERED.value if state == SETTLED else one.outcome
    return bool(
        database.run(
            "UPDATE service_hook_deliveries SET state = ?, claim = ?, updated_at = ?, outcome = ? "
            "WHERE id = ? AND owner_token = ? AND state = ? RETURNING id",
            (
                *(state, msgspec.json.encode(claim).decode(), format_time(time.time()), outcome),
                *(one.id, details.owner_token, found or one.state),
            ),
        )
    )


def list_sent_along(chosen: Collection[Delivery], of_task: Sequence[Delivery]) -> list[Delivery]:
    """
    Return which deliveries of a task instance a clear of it sends again, other than the chosen ones.

    :param chosen: those of the task instance that are sent again on purpose
    :param of_task: all deliveries of the task instance
    """
    ids = {one.id for one in chosen}
    has_stream_once = any(one.once == "event" for one in chosen)  # a stream sends an event with such a claim once
    return [
        one
        for one in of_task
        if one.id not in ids
        and one.once != "event"
        and (not has_stream_once if one.kind == "stream" else one.state in _SENT_BEFORE)
    ]
