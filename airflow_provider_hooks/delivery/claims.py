# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The claims of deliveries: what is stored, and what a try does with the claim that it finds. No I/O.

``next_action`` is one small table. ``delivery.service`` takes the steps around it, and the claim stores of ``_runtime``
and ``ledger`` store what is made here. The limits are described in ``docs/concepts/guarantee.md``.

A *generation* is one run, or one manual clear of the task. Airflow leaves ``max_tries`` of a task instance unchanged
through retries, crashes and restarts, and moves it on when a user clears the task, so its value serves as an opaque
label of the generation. A claim that several runs share has one generation for ever.
"""

from __future__ import annotations

import os
import uuid
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Protocol, TypeVar

import msgspec

from airflow_provider_hooks.delivery.policy import AT_MOST_ONCE, MAY_HAVE_ARRIVED, DeliveryPolicy
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo, Record, parse_record
from airflow_provider_hooks.exceptions import RecordError, SlotsError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_hooks.json_types import JsonObject

KEY_PREFIX = "service_hook_delivery"
"""What the key of a claim begins with, and all of it without a slot; users see it in the task's Storage tab."""
SLOTS_KEY = "service_hook_slots"
"""The key of the slots of a task that delivers a list."""
LOST_CLAIM = (
    "The clear deleted the claims of this task. Its events may have been sent before and are marked as redeliveries. "
    "Since Airflow 3.4 a clear keeps the claims only with keep_task_state"
)
"""What is logged where a clear may have deleted a claim."""
CLAIMED = "claimed"
SETTLED = "settled"
"""What a user writes over the state of a claim to say that the event was received."""
RESEND = "resend"
"""What a user writes over the state of a claim to have the event sent again."""

_PROCESS = uuid.uuid4().hex[:8]
"""Differs from that of a process with the same number in a container that was restarted."""
_ClaimType = TypeVar("_ClaimType")


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
        :raises StateStoreError: if the store did not answer, so that the claim may be stored
        """

    def save(self, claim: _ClaimType) -> None:
        """
        Store a later state of a claim that this process holds, or of one that it found; it is durable afterwards.

        :raises ClaimLostError: if another process has claimed the delivery since; the task state store cannot detect it
        :raises StateStoreError: if the store did not answer, so that the state may be stored
        """


class ProcessClaimStore(Generic[_ClaimType]):
    """Stores a claim in this process only, where Airflow has no place for it: each call of a command is a delivery."""

    def __init__(self) -> None:
        self._claim: _ClaimType | None = None

    def load(self) -> _ClaimType | None:
        """Return the claim of the attempt before, if there was one."""
        return self._claim

    def acquire(self, expected: _ClaimType | None, new: _ClaimType) -> None:  # noqa: ARG002  (no other process has it)
        """Store a claim."""
        self._claim = new

    def save(self, claim: _ClaimType) -> None:
        """Store a later state of the claim."""
        self._claim = claim


class ClaimAction(str, Enum):
    """What to do with a delivery, given the claim that was found."""

    SEND = "send"
    """Claim it and send it."""
    RETURN_RECORDED = "return_recorded"
    """It already finished; return the recorded outcome."""
    MARK_DELIVERED = "mark_delivered"
    """A user marked it as received."""
    REPORT_UNKNOWN = "report_unknown"
    """An earlier try claimed it and did not record an outcome."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The durable marker that a delivery is being sent, and later its record."""

    state: Literal["claimed", "settled", "resend", "delivered", "rejected", "not_sent", "unknown"]
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
    attempts: Annotated[int, msgspec.Meta(ge=1)] = 1
    """How many attempts the generation has made, with this one."""

    def as_json(self) -> JsonObject:
        """Return the claim in the form in which it is stored."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    def list_replaced(self) -> tuple[str, ...]:
        """
        Return the states of the stored claim that this later state of it may replace.

        An observer that reports ``unknown`` replaces only an open claim. The process that made the attempt may also
        replace that report: it knows better. Neither replaces what a user wrote.
        """
        record = self.record or {}
        if record.get("settled"):
            return (SETTLED,)
        if record.get("error_class") == ErrorClass.INTERRUPTED.value:
            return (CLAIMED,)
        return (CLAIMED, Outcome.UNKNOWN.value)


_SAME_GENERATION = {
    CLAIMED: ClaimAction.REPORT_UNKNOWN,
    Outcome.NOT_SENT.value: ClaimAction.SEND,
    Outcome.DELIVERED.value: ClaimAction.RETURN_RECORDED,
    Outcome.REJECTED.value: ClaimAction.RETURN_RECORDED,
    Outcome.UNKNOWN.value: ClaimAction.RETURN_RECORDED,
    SETTLED: ClaimAction.MARK_DELIVERED,
}
_MAY_HAVE_ARRIVED = frozenset({CLAIMED, Outcome.UNKNOWN.value})


def next_action(found: Claim | None, *, generation: str, policy: DeliveryPolicy = AT_MOST_ONCE) -> ClaimAction:
    """Return what a try of ``generation`` does when it finds a claim, or none."""
    if found is None or found.state == RESEND:
        return ClaimAction.SEND
    if found.generation != generation and found.state != SETTLED:
        return ClaimAction.SEND
    if found.state in _MAY_HAVE_ARRIVED and policy.resends_unknown:
        return ClaimAction.SEND
    if found.state == Outcome.REJECTED.value and policy.sends_again(Outcome.REJECTED, _find_status(found)):
        return ClaimAction.SEND
    return _SAME_GENERATION[found.state]


def _find_status(claim: Claim) -> int | None:
    """Return the status of a rejected delivery; a user may have edited the record."""
    status = (claim.record or {}).get("status_code")
    return status if isinstance(status, int) else None


def make_claim(found: Claim | None, *, info: DeliveryInfo, run: TryContext, claimed_at: str) -> Claim:
    """Return a new claim in place of the one found."""
    sent_before = found is not None and (found.redelivery or found.state != Outcome.NOT_SENT.value)
    same = found is not None and found.generation == run.generation and found.state != RESEND
    return Claim(
        state="claimed",
        generation=run.generation,
        try_number=run.try_number,
        claimed_at=claimed_at,
        redelivery=sent_before or (found is None and run.claim_may_be_lost),
        owner_token=f"{_own_prefix()}{uuid.uuid4().hex}",
        may_have_arrived=same and found is not None and (found.may_have_arrived or found.state in _MAY_HAVE_ARRIVED),
        attempts=found.attempts + 1 if same and found is not None else 1,
        info=info,
    )


def _own_prefix() -> str:
    """Return what the owner tokens of this process begin with."""
    return f"{_PROCESS}.{os.getpid()}."


def is_own_claim(claim: Claim, *, try_number: int) -> bool:
    """Return whether this very process wrote the claim, in this try."""
    return claim.try_number == try_number and claim.owner_token.startswith(_own_prefix())


class _Numbered(Protocol):
    """The claim of an event or a stream."""

    @property
    def generation(self) -> str: ...

    @property
    def try_number(self) -> int: ...


def is_superseded(found: _Numbered, *, generation: str, try_number: int) -> bool:
    """
    Return whether a try of a later generation has stored a claim, so that this one is an orphan and must not send.

    Airflow numbers the tries of a task instance through all clears, and its state store refuses an orphan. A ledger
    does not: the orphan would take the claim for one from before its own generation.
    """
    return found.generation != generation and found.try_number > try_number


def merge_with_previous(claim: Claim, attempt: Attempt) -> Attempt:
    """Turn ``not_sent`` into ``unknown`` if an earlier attempt of the generation may have been received."""
    if attempt.outcome is not Outcome.NOT_SENT or not claim.may_have_arrived:
        return attempt
    message = f"{MAY_HAVE_ARRIVED}: {attempt.message or 'no connection'}"
    return msgspec.structs.replace(attempt, outcome=Outcome.UNKNOWN, message=message)


def record_claim(claim: Claim, record: Record) -> Claim:
    """Return the claim with the record of its delivery."""
    return msgspec.structs.replace(claim, state=record.attempt.outcome.value, record=record.as_json())


def report_interrupted(claim: Claim) -> Record:
    """Return the record of a claim that an earlier try left without an outcome."""
    attempt = Attempt(
        outcome=Outcome.UNKNOWN,
        requested_at=claim.claimed_at,
        duration_ms=0.0,
        error_class=ErrorClass.INTERRUPTED,
        message=f"try {claim.try_number} claimed this delivery and ended without recording an outcome; see its log",
    )
    return make_record(claim, attempt)


def make_record(claim: Claim, attempt: Attempt) -> Record:
    """Return the record of an attempt of a claimed delivery."""
    return Record(
        info=claim.info,
        generation=claim.generation,
        redelivery=claim.redelivery,
        attempts=claim.attempts,
        attempt=merge_with_previous(claim, attempt),
    )


def mark_delivered(claim: Claim, *, run: TryContext) -> tuple[Claim, Record]:
    """
    Return a settled claim with its final state as that of this try, and its record.

    :raises RecordError: if the record cannot be read, or its outcome needs no settling
    """
    before = parse_record(claim.record) if claim.record else report_interrupted(claim)
    outcome = before.attempt.outcome
    if outcome is not Outcome.UNKNOWN:
        raise RecordError(
            f"the delivery was {outcome.value}, which cannot be settled; write that as the state of the claim"
        )
    attempt = msgspec.structs.replace(
        before.attempt, outcome=Outcome.DELIVERED, error_class=None, message="a user marked it as received"
    )
    record = msgspec.structs.replace(before, attempt=attempt, generation=run.generation, settled=True)
    taken_over = msgspec.structs.replace(claim, generation=run.generation, try_number=run.try_number)
    return record_claim(taken_over, record), record


def find_recorded(claim: Claim) -> Record:
    """
    Return the record of a claim that has an outcome.

    :raises RecordError: if there is none, or it cannot be read
    """
    return parse_record(claim.record or {})


class TryContext(msgspec.Struct, frozen=True, kw_only=True):
    """Which try of which generation delivers."""

    generation: str
    try_number: int
    policy: DeliveryPolicy = AT_MOST_ONCE
    claim_may_be_lost: bool = False
    """Whether a clear may have deleted the claim of an earlier run."""
    wait_seconds: float = 0.0
    """
    How long an open claim may belong to another process that is sending: other runs share the claim. With 0 the claim
    belongs to this task alone, and an open one is that of an earlier try.
    """


class ClaimOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a delivery comes from."""

    origin: Literal["task", "callback", "command"]
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int = 1
    slot: str = ""
    """Distinguishes several deliveries of one task."""
    endpoint: str | None = None
    """Of a stream; the claim of an event has its endpoint and type."""
    event_type: str | None = None
    """Of a stream whose events have one type."""


class TaskSlots(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The slots of a task that delivers a list, as its first try in a generation stored them."""

    generation: str
    slots: tuple[str, ...]


def name_slots(event_ids: Sequence[str | None]) -> tuple[str, ...]:
    """
    Return a slot for each event of a list: its id, or ``position.N`` if it has none.

    :raises SlotsError: if two events have the same id
    """
    given = [event_id for event_id in event_ids if event_id is not None]
    twice = sorted({event_id for event_id in given if given.count(event_id) > 1})
    if twice:
        raise SlotsError(f"two events of one task have the same id, so nothing was sent: {_join(twice)}")
    return tuple(event_id or f"position.{number}" for number, event_id in enumerate(event_ids))


def pin_slots(store: ClaimStore[TaskSlots], current: TaskSlots) -> None:
    """
    Store the slots of the first try of a generation, and refuse a later try with other slots.

    :raises SlotsError: if an earlier try of this generation had others; nothing may be sent
    :raises ClaimLostError: if another process stored slots at the same moment
    :raises RecordError: if what is stored cannot be read
    """
    found = store.load()
    if found is None or found.generation != current.generation:
        store.acquire(found, current)
    elif found != current:
        raise SlotsError(
            "this try returned other events than the first one, so nothing was sent: give each event an id that is the "
            f"same on every try. Now: {_join(current.slots)}; at first: {_join(found.slots)}. Clear the task to have "
            "these sent"
        )


def _join(names: Sequence[str]) -> str:
    return escape(", ".join(names)) or "none"
