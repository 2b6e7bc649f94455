# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The claim of a stream, and what a try does with the claim that it finds: one small table, without I/O.

One claim describes the whole stream: every batch before the claimed one is finished and recorded, the claimed batch is
being sent, and no batch after it has begun. The claim also lists the events of finished batches that have no record yet
because they are sent again, as a separate batch: what was provably not received, and what the policy names. If the
records could not be written, it lists
the outcomes of the events without one; the next try writes their records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, get_args

import msgspec

from airflow_provider_hooks.exceptions import SourceChangedError

Natural = Annotated[int, msgspec.Meta(ge=0)]
RecordedOutcome = Literal["delivered", "rejected", "not_sent", "unknown"]
"""The value of an ``Outcome``."""


class StreamAction(str, Enum):
    """What to do with a stream, given the claim that was found."""

    BEGIN = "begin"
    """Send it from its first event."""
    REPORT_AND_RESUME = "report_and_resume"
    """
    An earlier try did not finish the claimed batch: record the events without a record as unknown, or send them again
    if the policy is ``at_least_once``; then send what follows.
    """
    RESUME = "resume"
    """Nothing of the next batch has begun: send it and what follows."""
    RETURN_RECORDED = "return_recorded"
    """The stream is done; return its recorded summary."""


FailedOutcome = Literal["not_sent", "rejected", "unknown"]
_RANKS: tuple[FailedOutcome, ...] = get_args(FailedOutcome)
"""Of several attempts, the outcome that comes last here counts."""


class UnsentEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event that was attempted and has no record yet: the next try sends it again. A JSON array in the claim."""

    offset: Natural
    attempts: Annotated[int, msgspec.Meta(ge=0)] = 1
    """How many attempts the run or manual clear has made; 0 if it was read, and not sent yet."""
    previous: FailedOutcome = "not_sent"
    """The outcome of the earlier attempts: ``unknown`` if one may have been received, ``rejected`` if one was."""

    def attempted(self, outcome: FailedOutcome) -> UnsentEvent:
        """Return what is known after one more attempt with this outcome."""
        previous = max(self.previous, outcome, key=_RANKS.index)
        return UnsentEvent(self.offset, self.attempts + 1, previous)


class StreamClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The durable marker of how far a stream is."""

    state: Literal["claimed", "resending", "stopped", "done"]
    """
    ``claimed``: ``size`` events from ``start`` are being sent. ``resending``: the ``unsent`` events are being sent.
    ``stopped``: no batch is being sent. ``done``: every event has a record.
    """
    generation: str
    try_number: Natural
    owner_token: str
    """Identifies the process that wrote the claim, where two write at the same moment."""
    redelivery: bool
    """Whether the events may have been sent before, by an earlier generation."""
    source: str
    """The fingerprint of the events."""
    records: str
    """The folder of the records."""
    batch: Natural
    """The number of the batch."""
    start: Natural
    """The offset from which no event has been read by a finished batch."""
    size: Natural
    """How many events the batch has at most."""
    unsent: tuple[UnsentEvent, ...] = ()
    """The events before ``start`` that have no record and are sent again, by ascending offset."""
    unrecorded: dict[RecordedOutcome, tuple[Natural, ...]] = {}
    """
    The offsets of events of the batch before, by outcome, whose record could not be written; the summary counts them.
    """
    summary: dict[str, Any] = {}  # what ``Summary.as_json`` returns
    """The summary of the finished batches."""

    def count_unrecorded(self) -> int:
        """Return how many events have an outcome and no record."""
        return sum(len(offsets) for offsets in self.unrecorded.values())


def next_stream_action(found: StreamClaim | None, *, generation: str, source: str) -> StreamAction:
    """
    Return what a try of ``generation`` does when it finds a claim, or none.

    :param source: the fingerprint of the events
    :raises SourceChangedError: if other events were sent in part for this generation
    """
    if found is None or found.generation != generation:
        return StreamAction.BEGIN
    if found.state == "done":
        return StreamAction.RETURN_RECORDED
    if found.source != source:
        message = "the events changed since an earlier try sent a part of them; restore them, or clear the task"
        raise SourceChangedError(f"{message} to send all of the new ones")
    return StreamAction.RESUME if found.state == "stopped" else StreamAction.REPORT_AND_RESUME


MAX_BATCH_EVENTS = 32_768
"""How many events a crash can leave ``unknown`` at most."""
TURNS = 4
"""How many requests each connection has in the smallest batch."""


@dataclass(kw_only=True)
class BatchSizer:
    """
    Chooses how many events are claimed at once, so that the claims take a small part of the time.

    At the end of each batch fewer requests are under way. So with ``concurrency`` requests at once a batch has several
    times as many events, however slow the receiver is; with a rate limit, not more than it allows in a second.

    :param largest: how many events a crash may leave unknown at most
    :param concurrency: how many requests are under way at once
    :param rate_limit: events per second, or ``None``
    """

    largest: int = MAX_BATCH_EVENTS
    concurrency: int = 1
    rate_limit: float | None = None
    share: float = 0.03
    """The part of the time that claims may take; a growing batch needs the rest up to 5 %."""
    size: int = 256

    def observe(self, *, sent: int, seconds: float, claim_seconds: float) -> None:
        """
        Adapt the size to a finished batch.

        :param sent: how many events it had
        :param seconds: how long sending them took
        :param claim_seconds: how long nothing was sent because of the claim
        """
        if sent and seconds > 0:
            wanted = claim_seconds / self.share * sent / seconds
            smallest = min(TURNS * self.concurrency, math.inf if self.rate_limit is None else self.rate_limit)
            self.size = int(min(max(wanted, smallest, 1), self.size * 8, self.largest))
