# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The claim of a delivery, and what a try does with the claim that it finds: one small table, without I/O.

A *generation* is one run, or one manual clear of the task. Airflow leaves ``max_tries`` of a task instance unchanged
through retries, crashes and restarts, and moves it on when a user clears the task, so its value serves as an opaque
label of the generation.
"""

from __future__ import annotations

import uuid
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

import msgspec

from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo, Record, parse_record
from airflow_provider_hooks.exceptions import RecordError, ValidationError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

KEY_PREFIX = "service_hook_delivery"
"""What the key of a claim begins with, and all of it without a slot; users see it in the task's Storage tab."""
CLAIMED = "claimed"
SETTLED = "settled"
"""What a user writes over the state of a claim to say that the event was received."""

OnUnknown = Literal["fail", "resend"]
"""What to do where an attempt may have been received: fail and leave it to the user, or send the event again."""
_ClaimType = TypeVar("_ClaimType")


def check_on_unknown(value: object) -> None:
    """
    Return if this is one of the two choices.

    :raises ValidationError: if it is not
    """
    if value not in get_args(OnUnknown):
        message = f"must be {' or '.join(get_args(OnUnknown))}, not {safe_repr(value)}"
        raise ValidationError("delivery", {"on_unknown": message})


class ClaimStore(Protocol[_ClaimType]):
    """Where one claim is stored, durably, so that it outlives tries and crashes."""

    def load(self) -> _ClaimType | None:
        """
        Return the claim that an earlier try or generation left, if any.

        :raises RecordError: if what is stored cannot be read as a claim
        """

    def acquire(self, expected: _ClaimType | None, new: _ClaimType) -> None:
        """
        Store a claim in place of the expected one, and return only if no other process can hold the same claim.

        :raises ClaimLostError: if another process holds it
        """

    def save(self, claim: _ClaimType) -> None:
        """Store a later state of a claim that this process holds; it is durable when this returns."""


class ClaimAction(str, Enum):
    """What to do with a delivery, given the claim that was found."""

    SEND = "send"
    """Claim it and send it."""
    RETURN_RECORDED = "return_recorded"
    """It already finished; return the recorded outcome."""
    MARK_DELIVERED = "mark_delivered"
    """A user settled it as received."""
    REPORT_UNKNOWN = "report_unknown"
    """An earlier try claimed it and did not record an outcome."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The durable marker that a delivery is being sent, and later its record."""

    state: Literal["claimed", "settled", "delivered", "rejected", "not_sent", "unknown"]
    generation: str
    try_number: int
    claimed_at: str
    """ISO 8601, UTC."""
    redelivery: bool
    """Whether the event may have been sent before."""
    owner_token: str
    """Identifies the process that wrote the claim, where two write at the same moment."""
    info: DeliveryInfo
    """What is being sent."""
    record: dict[str, Any] | None = None  # any JSON object
    """The delivery record, once the state is an outcome."""
    may_have_arrived: bool = False
    """Whether an earlier attempt of the same generation may have been received."""

    def as_json(self) -> JsonObject:
        """Return the claim as it is stored."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


_SAME_GENERATION = {
    CLAIMED: ClaimAction.REPORT_UNKNOWN,
    Outcome.NOT_SENT.value: ClaimAction.SEND,
    Outcome.DELIVERED.value: ClaimAction.RETURN_RECORDED,
    Outcome.REJECTED.value: ClaimAction.RETURN_RECORDED,
    Outcome.UNKNOWN.value: ClaimAction.RETURN_RECORDED,
    SETTLED: ClaimAction.MARK_DELIVERED,
}
_MAY_HAVE_ARRIVED = frozenset({CLAIMED, Outcome.UNKNOWN.value})


def next_action(found: Claim | None, *, generation: str, on_unknown: OnUnknown = "fail") -> ClaimAction:
    """
    Return what a try of ``generation`` does when it finds a claim, or none.

    :param on_unknown: ``resend`` gives up "at most once" for "at least once", where an attempt may have been received
    """
    if found is None:
        return ClaimAction.SEND
    if found.generation != generation and found.state != SETTLED:
        return ClaimAction.SEND
    if on_unknown == "resend" and found.state in _MAY_HAVE_ARRIVED:
        return ClaimAction.SEND
    return _SAME_GENERATION[found.state]


def make_claim(found: Claim | None, *, info: DeliveryInfo, generation: str, try_number: int, claimed_at: str) -> Claim:
    """Return a new claim in place of the one found."""
    sent_before = found is not None and found.state != Outcome.NOT_SENT.value
    same = found is not None and found.generation == generation
    return Claim(
        state="claimed",
        generation=generation,
        try_number=try_number,
        claimed_at=claimed_at,
        redelivery=sent_before or (found is not None and found.redelivery),
        owner_token=uuid.uuid4().hex,
        may_have_arrived=same and found is not None and found.state in _MAY_HAVE_ARRIVED,
        info=info,
    )


def merge_with_previous(claim: Claim, attempt: Attempt) -> Attempt:
    """Turn ``not_sent`` into ``unknown`` if an earlier attempt of the generation may have been received."""
    if attempt.outcome is not Outcome.NOT_SENT or not claim.may_have_arrived:
        return attempt
    message = f"an earlier attempt may have been received; this one was not sent: {attempt.message or 'no connection'}"
    return msgspec.structs.replace(attempt, outcome=Outcome.UNKNOWN, message=message)


def record_claim(claim: Claim, record: Record) -> Claim:
    """Return the claim with the record of its delivery."""
    return msgspec.structs.replace(claim, state=record.outcome.value, record=record.as_json())


def report_interrupted(claim: Claim) -> Record:
    """Return the record of a claim that an earlier try left without an outcome."""
    attempt = Attempt(
        outcome=Outcome.UNKNOWN,
        requested_at=claim.claimed_at,
        duration_ms=0.0,
        error_class=ErrorClass.INTERRUPTED,
        message=f"try {claim.try_number} claimed this delivery and ended without recording an outcome",
    )
    return Record(info=claim.info, generation=claim.generation, redelivery=claim.redelivery, attempt=attempt)


def mark_delivered(claim: Claim, *, generation: str) -> tuple[Claim, Record]:
    """
    Return a settled claim with its final state, and its record.

    :raises RecordError: if the record cannot be read, or its outcome needs no settling
    """
    before = parse_record(claim.record) if claim.record else report_interrupted(claim)
    if before.outcome is not Outcome.UNKNOWN:
        raise RecordError(
            f"the delivery was {before.outcome.value}, which cannot be settled; write that as the state of the claim"
        )
    attempt = msgspec.structs.replace(
        before.attempt, outcome=Outcome.DELIVERED, error_class=None, message="a user settled it as received"
    )
    record = msgspec.structs.replace(before, attempt=attempt, generation=generation, settled=True)
    return msgspec.structs.replace(record_claim(claim, record), generation=generation), record


def find_recorded(claim: Claim) -> Record:
    """
    Return the record of a claim that has an outcome.

    :raises RecordError: if there is none, or it cannot be read
    """
    return parse_record(claim.record or {})
