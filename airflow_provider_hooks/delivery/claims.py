# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a try does with the claim it finds: one small table, with no I/O.

A *generation* is one asking of a person: a run, or a later manual clear of the task. Airflow keeps ``max_tries`` of a
task instance unchanged through retries, crashes and restarts, and moves it on when a person clears the task, so its
value serves as an opaque label of the generation.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from airflow_provider_hooks.delivery.record import (
    Attempt,
    DeliveryInfo,
    ErrorClass,
    Outcome,
    Record,
    RecordError,
    parse_delivery_info,
    read_record,
)
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_hooks.json_types import JsonObject

Kept = TypeVar("Kept")

CLAIMED = "claimed"
SETTLED = "settled"
"""What a person writes over the state of a claim to say that the event did arrive."""

WhenUnknown = Literal["fail", "resend"]
"""What to do where an attempt may have arrived: leave it to a person, or send it again."""


def check_when_unknown(value: object) -> None:
    """
    Return if this is one of the two choices.

    :raises ValidationError: if it is not
    """
    if value not in get_args(WhenUnknown):
        told = f"must be {' or '.join(get_args(WhenUnknown))}, not {safe_repr(value)}"
        raise ValidationError("delivery", {"on_unknown": told})


class Decision(str, Enum):
    """What to do with a delivery, given the claim that was found."""

    SEND = "send"
    """Claim it and send it."""
    KEEP = "keep"
    """It came to an outcome before; that outcome stands."""
    ACCEPT = "accept"
    """A person settled that it arrived."""
    REPORT_UNKNOWN = "report_unknown"
    """An earlier try claimed it and never told how it ended."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The note that a delivery is being sent, and later what came of it."""

    state: str
    """``claimed``, ``settled``, or the value of an outcome."""
    generation: str
    try_number: int
    claimed_at: str
    """ISO 8601, UTC."""
    redelivery: bool
    """Whether it may have been sent before."""
    owner_token: str
    """Tells whose claim this is, where two processes claim at the same moment."""
    info: JsonObject
    """What is being sent: the fields of ``DeliveryInfo``."""
    record: JsonObject | None = None
    """What came of it, once the state is an outcome."""
    may_have_arrived: bool = False
    """Whether an earlier attempt of the same asking may have arrived, which a later one that was not sent keeps."""

    def as_json(self) -> JsonObject:
        """Return the claim as it is kept."""
        return dict(vars(self))


_SAME_GENERATION = {
    CLAIMED: Decision.REPORT_UNKNOWN,
    Outcome.NOT_SENT.value: Decision.SEND,
    Outcome.DELIVERED.value: Decision.KEEP,
    Outcome.REJECTED.value: Decision.KEEP,
    Outcome.UNKNOWN.value: Decision.KEEP,
    SETTLED: Decision.ACCEPT,
}
_MAY_HAVE_ARRIVED = frozenset({CLAIMED, Outcome.UNKNOWN.value})


def decide(found: Claim | None, *, generation: str, on_unknown: WhenUnknown = "fail") -> Decision:
    """
    Decide what a try of ``generation`` does when it finds a claim, or none.

    :param on_unknown: ``resend`` gives up "at most once" for "at least once", where an attempt may have arrived
    """
    if found is None:
        return Decision.SEND
    if found.generation != generation and found.state != SETTLED:
        return Decision.SEND
    if on_unknown == "resend" and found.state in _MAY_HAVE_ARRIVED:
        return Decision.SEND
    return _SAME_GENERATION[found.state]


def make_claim(found: Claim | None, *, info: DeliveryInfo, generation: str, try_number: int, claimed_at: str) -> Claim:
    """Make a new claim in place of the one found."""
    earlier = found is not None and found.state != Outcome.NOT_SENT.value
    same = found is not None and found.generation == generation
    return Claim(
        state=CLAIMED,
        generation=generation,
        try_number=try_number,
        claimed_at=claimed_at,
        redelivery=earlier or (found is not None and found.redelivery),
        owner_token=uuid.uuid4().hex,
        may_have_arrived=same and found is not None and found.state in _MAY_HAVE_ARRIVED,
        info=dict(vars(info)),
    )


def merge_with_previous(claim: Claim, attempt: Attempt) -> Attempt:
    """Return an attempt as it counts for the whole asking: not sent, after one that may have arrived, is unknown."""
    if attempt.outcome is not Outcome.NOT_SENT or not claim.may_have_arrived:
        return attempt
    message = f"an earlier attempt may have arrived; this one was not sent: {attempt.message or 'no connection'}"
    return replace(attempt, outcome=Outcome.UNKNOWN, message=message)


def settle_claim(claim: Claim, record: Record) -> Claim:
    """Return the claim with what came of it."""
    return replace(claim, state=record.outcome.value, record=record.as_json())


def report_interrupted(claim: Claim) -> Record:
    """
    Return the record of a claim that an earlier try left open.

    :raises RecordError: if what the claim says of the delivery cannot be read
    """
    attempt = Attempt(
        outcome=Outcome.UNKNOWN,
        requested_at=claim.claimed_at,
        duration_ms=0.0,
        error_class=ErrorClass.INTERRUPTED,
        message=f"try {claim.try_number} claimed this delivery and ended without telling how it went",
    )
    return Record(
        info=parse_delivery_info(claim.info), generation=claim.generation, redelivery=claim.redelivery, attempt=attempt
    )


def accept_settled(claim: Claim, *, generation: str) -> tuple[Claim, Record]:
    """
    Take a person's word that the event did arrive, once: return the claim as it stands then, and the record of it.

    :raises RecordError: if what the claim says of the delivery cannot be read, or was known without a person
    """
    before = read_record(claim.record) if claim.record else report_interrupted(claim)
    if before.outcome is not Outcome.UNKNOWN:
        raise RecordError(
            f"the delivery was {before.outcome.value}, which nobody can settle; put that back as the claim's state"
        )
    attempt = replace(
        before.attempt, outcome=Outcome.DELIVERED, error_class=None, message="a person settled that it arrived"
    )
    record = replace(before, attempt=attempt, generation=generation, settled=True)
    return replace(settle_claim(claim, record), generation=generation), record


def read_claim(kept: object) -> Claim | None:
    """
    Read a claim back from what was kept; ``None`` where nothing was.

    :raises RecordError: if it has another form, in which case nothing may be sent
    """
    refusal = (
        "the claim kept in the task's state store has another form, so nothing is sent; put the whole claim back, "
        "or delete it in the task's Storage tab to have the event sent anew"
    )
    return read_kept(kept, Claim, is_right=_is_right, refusal=refusal)


def read_kept(kept: object, kind: type[Kept], *, is_right: Callable[[Kept], bool], refusal: str) -> Kept | None:
    """
    Read what was kept back into its own form; ``None`` where nothing was.

    :param is_right: tells whether every field can be worked with
    :raises RecordError: with the refusal, if it has another form
    """
    if kept is None:
        return None
    try:
        if not isinstance(kept, Mapping):
            raise TypeError  # noqa: TRY301  (one form, one error)
        read = kind(**kept)
        if not is_right(read):
            raise ValueError  # noqa: TRY301
    except (TypeError, ValueError):
        raise RecordError(refusal) from None
    return read


def _is_right(claim: Claim) -> bool:
    return claim.state in _SAME_GENERATION and _has_its_types(claim)


def _has_its_types(claim: Claim) -> bool:
    """Tell whether every field is of its type: a generation that is a number would compare as another one."""
    texts = (claim.state, claim.generation, claim.claimed_at, claim.owner_token)
    flags = (claim.redelivery, claim.may_have_arrived)
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(flag, bool) for flag in flags)
        and type(claim.try_number) is int
        and isinstance(claim.info, Mapping)
        and isinstance(claim.record, Mapping | None)
    )
