# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a try does with what an earlier one left of a stream: one small table, with no I/O.

A stream is claimed block by block. One note tells all of it: every block before this one is settled, this one is being
sent, and nothing after it has been begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import RecordError, SourceChangedError

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject


class State(str, Enum):
    """How far a stream is."""

    CLAIMED = "claimed"
    """Its block is being sent."""
    STOPPED = "stopped"
    """Nothing of its block was begun."""
    DONE = "done"
    """There is nothing left to send."""


class Decision(str, Enum):
    """What to do with a stream, given what was found of it."""

    BEGIN = "begin"
    """Send it from its first event on."""
    REPORT_AND_GO_ON = "report_and_go_on"
    """An earlier try left its block open: report that as unknown, and send what comes after it."""
    GO_ON = "go_on"
    """Send from its block on."""
    KEEP = "keep"
    """It came to its end before; that stands."""


@dataclass(frozen=True, kw_only=True)
class StreamClaim:
    """The note of how far a stream is."""

    state: str
    generation: str
    try_number: int
    owner_token: str
    """Tells whose note this is, where two processes write at the same moment."""
    redelivery: bool
    """Whether its events may have been sent before, in an earlier generation."""
    source: str
    """The fingerprint of the events."""
    records: str
    """Where the records are."""
    block: int
    start: int
    """Where the block begins."""
    size: int
    """How many events the block has at most."""
    summary: JsonObject = field(default_factory=dict)
    """What came of the blocks before."""

    def as_json(self) -> JsonObject:
        """Return the note as it is kept."""
        return dict(vars(self))


def decide(found: StreamClaim | None, *, generation: str, source: str) -> Decision:
    """
    Decide what a try of ``generation`` does.

    :raises SourceChangedError: if a part of other events was sent for this asking
    """
    if found is None or found.generation != generation:
        return Decision.BEGIN
    if found.state == State.DONE:
        return Decision.KEEP
    if found.source != source:
        told = "the events changed since an earlier try sent a part of them; put them back, or clear the task"
        raise SourceChangedError(f"{told} to send all of the new ones")
    return Decision.REPORT_AND_GO_ON if found.state == State.CLAIMED else Decision.GO_ON


def read_stream_claim(kept: object) -> StreamClaim | None:
    """
    Read a note back from what was kept; ``None`` where nothing was.

    :raises RecordError: if it has another form, in which case nothing may be sent
    """
    refusal = (
        "the claim kept in the task's state store is not one of a stream, so nothing is sent; put the whole claim "
        "back, or delete it in the task's Storage tab to have all events sent anew"
    )
    if kept is None:
        return None
    try:
        if not isinstance(kept, Mapping):
            raise TypeError  # noqa: TRY301  (one form, one error)
        claim = StreamClaim(**kept)
        if not _is_right(claim):
            raise ValueError  # noqa: TRY301
    except (TypeError, ValueError):
        raise RecordError(refusal) from None
    return claim


def _is_right(claim: StreamClaim) -> bool:
    return claim.state in set(State) and _has_its_types(claim)


def _has_its_types(claim: StreamClaim) -> bool:
    texts = (claim.state, claim.generation, claim.owner_token, claim.source, claim.records)
    numbers = (claim.try_number, claim.block, claim.start, claim.size)
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(number) is int and number >= 0 for number in numbers)
        and isinstance(claim.redelivery, bool)
        and isinstance(claim.summary, Mapping)
    )


@dataclass(kw_only=True)
class BatchSizer:
    """
    Chooses how many events are claimed at once, so that the claims cost a small part of the time.

    :param largest: events that a crash may leave open at most
    """

    largest: int
    share: float = 0.03
    """The part of the time that claims may take; the rest up to 5 % is what a growing stream needs to get there."""
    size: int = 256

    def learn(self, *, sent: int, seconds: float, claim_seconds: float) -> None:
        """
        Take note of a block: how many events it had, how long it took to send them, and what claiming it cost.

        :param claim_seconds: all the time in which nothing was sent for the sake of the claim
        """
        if sent and seconds > 0:
            wanted = claim_seconds / self.share * sent / seconds
            self.size = int(min(max(wanted, 1), self.size * 8, self.largest))
