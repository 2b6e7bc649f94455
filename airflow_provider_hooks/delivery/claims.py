# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a try does with the claim it finds: one small table, with no I/O.

A *generation* is one asking of a person: a run, or a later manual clear of the task. Airflow keeps ``max_tries`` of a
task instance unchanged through retries, crashes and restarts, and moves it on when a person clears the task, so its
value serves as an opaque label of the generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, cast

from airflow_provider_hooks.delivery.record import (
    Attempt,
    DeliveryFacts,
    ErrorClass,
    Outcome,
    Record,
    RecordError,
    read_facts,
)

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

CLAIMED = "claimed"


class Decision(str, Enum):
    """What to do with a delivery, given the claim that was found."""

    SEND = "send"
    """Claim it and send it."""
    KEEP = "keep"
    """It came to an outcome before; that outcome stands."""
    REPORT_UNKNOWN = "report_unknown"
    """An earlier try claimed it and never told how it ended."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The note that a delivery is being sent, and later what came of it."""

    state: str
    """``claimed``, or the value of an outcome."""
    generation: str
    try_number: int
    claimed_at: str
    """ISO 8601, UTC."""
    redelivery: bool
    """Whether an earlier generation may have sent this before."""
    facts: JsonObject
    """What is being sent: the fields of ``DeliveryFacts``."""
    record: JsonObject | None = None
    """What came of it, once the state is an outcome."""

    def as_json(self) -> JsonObject:
        """Return the claim as it is kept."""
        return dict(vars(self))


_SAME_GENERATION = {
    CLAIMED: Decision.REPORT_UNKNOWN,
    Outcome.NOT_SENT.value: Decision.SEND,
    Outcome.DELIVERED.value: Decision.KEEP,
    Outcome.REJECTED.value: Decision.KEEP,
    Outcome.UNKNOWN.value: Decision.KEEP,
}


def decide(found: Claim | None, *, generation: str) -> Decision:
    """Decide what a try of ``generation`` does when it finds a claim, or none."""
    if found is None or found.generation != generation:
        return Decision.SEND
    return _SAME_GENERATION[found.state]


def make_claim(
    found: Claim | None, *, facts: DeliveryFacts, generation: str, try_number: int, claimed_at: str
) -> Claim:
    """Make a new claim in place of the one found."""
    earlier = found is not None and found.generation != generation and found.state != Outcome.NOT_SENT.value
    return Claim(
        state=CLAIMED,
        generation=generation,
        try_number=try_number,
        claimed_at=claimed_at,
        redelivery=earlier or (found is not None and found.redelivery),
        facts=dict(vars(facts)),
    )


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
        facts=read_facts(claim.facts), generation=claim.generation, redelivery=claim.redelivery, attempt=attempt
    )


def read_claim(kept: object) -> Claim | None:
    """
    Read a claim back from what was kept; ``None`` where nothing was.

    :raises RecordError: if it has another form, in which case nothing may be sent
    """
    if kept is None:
        return None
    try:
        if not isinstance(kept, Mapping):
            raise TypeError  # noqa: TRY301  (one form, one error)
        claim = Claim(**cast("Mapping[str, str]", kept))  # type: ignore[arg-type]
        if claim.state not in _SAME_GENERATION or not isinstance(claim.facts, Mapping):
            raise ValueError(claim.state)  # noqa: TRY301
    except (TypeError, ValueError):
        raise RecordError("the claim kept in the task's state store has another form; nothing is sent") from None
    return claim
