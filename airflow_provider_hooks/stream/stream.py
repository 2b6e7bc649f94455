# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A whole stream, at most once: claim a block, send it, settle it with the claim of the next.

The claim of a block is durable, and read back, before its first event is sent; by then every record of the block before
is durable too. So a crash leaves one block open at most. The next try keeps the records of it that were written,
reports the other events of it as ``unknown``, sends none of them, and goes on with the next block.
"""

from __future__ import annotations

import time
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import orjson

from airflow_provider_hooks.delivery.claims import KEY_PREFIX
from airflow_provider_hooks.exceptions import ClaimLostError, InvalidEventError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.batch import Batch
from airflow_provider_hooks.stream.claims import BatchSizer, Decision, State, StreamClaim, decide, read_stream_claim
from airflow_provider_hooks.stream.summary import Summary, read_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_hooks.http.engine import Engine
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.stream.encode import EncodedRequest, RequestEncoder
    from airflow_provider_hooks.stream.records import PartWriter, RecordEncoder, RecordFolder
    from airflow_provider_hooks.stream.sources import RawEvent, Source
    from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter


class StateStore(Protocol):
    """A durable store that outlives tries and crashes, of one task instance."""

    def get(self, key: str) -> object:
        """Return what is stored under a key, or ``None``."""

    def set(self, key: str, value: JsonObject) -> None:
        """Store a value; it is durable when this returns."""


LARGEST_BLOCK = 32_768
"""How many events a crash can leave open at most."""


@dataclass(frozen=True, kw_only=True)
class StreamContext:
    """Who asks for a stream."""

    generation: str
    try_number: int
    is_last_try: bool
    """Whether nobody goes on where this try stops, so that what is left is reported as not sent."""


@dataclass(frozen=True, kw_only=True)
class StreamDependencies:
    """What a stream is sent with."""

    source: Source
    preparer: RequestEncoder
    engine: Engine[EncodedRequest]
    pace: RateLimiter
    breaker: CircuitBreaker
    records: RecordFolder
    make_lines: Callable[[bool], RecordEncoder]
    """Makes the lines of this asking's records, given whether it is a redelivery."""
    report: Callable[[Summary, int], None]
    """Is told now and then what came of the events so far, and how far the source was read."""


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """What a stream came to."""

    summary: Summary
    records: str
    is_stopped: bool = False
    """Whether the breaker stopped it, and a later try goes on from there."""
    from_previous_try: bool = False
    """Whether an earlier try came to this, and this one sent nothing."""


def deliver_stream(
    make_tools: Callable[[str | None], StreamDependencies], *, store: StateStore, asking: StreamContext
) -> StreamResult:
    """
    Send every event that no earlier try of this asking has claimed, and return what came of all.

    What an earlier try brought to its end is told from the store alone, so it is not lost with a source that is gone.

    :param make_tools: called only if there may be something to send, with where the records are if an earlier try of
        this asking began them
    :param store: keeps the claim; it is durable when a call returns
    :raises SourceChangedError: if a part of other events was sent for this asking; nothing was sent
    :raises ClaimLostError: if another process sends the same stream; this one sends no more
    :raises RecordError: if the claim found cannot be read; nothing was sent
    """
    found = read_stream_claim(store.get(KEY_PREFIX))
    begun = found if found is not None and found.generation == asking.generation else None
    if begun is not None and begun.state == State.DONE.value:
        return StreamResult(summary=read_summary(begun.summary), records=begun.records, from_previous_try=True)
    tools = make_tools(begun.records if begun is not None else None)
    fingerprint = tools.source.fingerprint()
    decision = decide(found, generation=asking.generation, source=fingerprint)
    tools.records.make()
    if found is None or decision is Decision.BEGIN:
        claim = _make_first_claim(tools, asking, fingerprint, is_redelivery=found is not None)
        return _Stream(tools, claim, store=store, asking=asking).send()
    stream = _Stream(tools, found, store=store, asking=asking)
    if decision is Decision.REPORT_AND_GO_ON:
        stream.report_open_block()
    return stream.send()


def _make_first_claim(
    tools: StreamDependencies, asking: StreamContext, fingerprint: str, *, is_redelivery: bool
) -> StreamClaim:
    return StreamClaim(
        state=State.STOPPED.value,
        generation=asking.generation,
        try_number=asking.try_number,
        owner_token="",
        redelivery=is_redelivery,
        source=fingerprint,
        records=str(tools.records),
        block=0,
        start=tools.source.start_offset(),
        size=0,
    )


class _Stream:
    """The state of one try: the claim as it stands, and what came of the events before it."""

    def __init__(
        self, tools: StreamDependencies, claim: StreamClaim, *, store: StateStore, asking: StreamContext
    ) -> None:
        self._tools, self._store, self._asking = tools, store, asking
        self._earlier_try = claim.try_number
        self._claim = replace(claim, owner_token=uuid.uuid4().hex, try_number=asking.try_number)
        self._summary = read_summary(claim.summary)
        self._lines = tools.make_lines(claim.redelivery)

    def report_open_block(self) -> None:
        """Take over a block that an earlier try left open, write the records of it, and go to the next."""
        records, claim = self._tools.records, self._claim
        message = f"try {self._earlier_try} claimed this event and never told how it went"
        untold, position = (Outcome.UNKNOWN, ErrorClass.INTERRUPTED, message), claim.start
        with closing(self._open_part()) as part:
            self._take_block(claim.size)
            told = records.read_lines(claim.block)
            for event, end in islice(self._tools.source.read(claim.start), claim.size):
                line = told.get(position)
                if line is None:
                    self._note(part, event, position, told=untold)
                else:
                    self._keep(part, line)
                position = end
        records.remove(first_block=claim.block, try_number=claim.try_number, keeps_own=True)
        self._go_to_next_block(position)

    def send(self) -> StreamResult:
        """Claim and send one block after the other."""
        tools, sizer = self._tools, BatchSizer(largest=LARGEST_BLOCK)
        tools.records.remove(first_block=self._claim.block, try_number=self._claim.try_number)
        events = tools.source.read(self._claim.start)
        while True:
            began = time.monotonic()
            with closing(self._open_part()) as part:
                self._take_block(sizer.size)
                claimed = time.monotonic()
                end = self._open_block(part).send(
                    islice(events, self._claim.size), start=self._claim.start, engine=tools.engine
                )
                sent = time.monotonic()
            self._summary.seconds += sent - claimed
            self._summary.pauses = tools.pace.pauses
            sizer.learn(sent=end.count, seconds=sent - claimed, claim_seconds=claimed - began + time.monotonic() - sent)
            is_whole = end.count == self._claim.size
            self._go_to_next_block(end.position)
            if end.stopped:
                return self._stop()
            if not is_whole:
                return self._finish()

    def _open_part(self) -> PartWriter:
        """Open the part of a block, before it is claimed: whoever follows a claim finds the part, and removes it."""
        return self._tools.records.create(self._claim.block, try_number=self._claim.try_number)

    def _take_block(self, size: int) -> None:
        """Claim a block, and return only if no other process can have claimed it; see ``delivery.ledger``."""
        self._claim = replace(self._claim, state=State.CLAIMED.value, size=size)
        self._write()
        kept = read_stream_claim(self._store.get(KEY_PREFIX))
        if kept is None or (kept.owner_token, kept.block) != (self._claim.owner_token, self._claim.block):
            raise ClaimLostError("another process sends this stream; this one sends no more")

    def _open_block(self, part: PartWriter) -> Batch:
        tools = self._tools
        return Batch(
            preparer=tools.preparer,
            pace=tools.pace,
            breaker=tools.breaker,
            lines=self._lines,
            summary=self._summary,
            part=part,
            report=tools.report,
        )

    def _go_to_next_block(self, position: int) -> None:
        claim = self._claim
        self._claim = replace(claim, block=claim.block + 1, start=position, size=0, summary=self._summary.as_json())

    def _stop(self) -> StreamResult:
        """Leave the rest to the next try, or report it as not sent if there is none."""
        if not self._asking.is_last_try:
            self._claim = replace(self._claim, state=State.STOPPED.value)
            self._write()
            return StreamResult(summary=self._summary, records=self._claim.records, is_stopped=True)
        told = (Outcome.NOT_SENT, ErrorClass.STOPPED, "the stream was stopped: too many failures in a row")
        position = self._claim.start
        with closing(self._open_part()) as part:
            for event, end in self._tools.source.read(position):
                self._note(part, event, position, told=told)
                position = end
        self._go_to_next_block(position)
        return self._finish()

    def _finish(self) -> StreamResult:
        self._claim = replace(self._claim, state=State.DONE.value)
        self._write()
        return StreamResult(summary=self._summary, records=self._claim.records)

    def _note(
        self,
        part: PartWriter,
        event: RawEvent,
        position: int,
        *,
        told: tuple[Outcome, ErrorClass, str],
    ) -> None:
        """Write the record of an event that this try does not send; one that cannot be sent says so."""
        try:
            prepared = self._tools.preparer.prepare(event, position=position)
        except InvalidEventError as error:
            self._summary.add_invalid()
            part.write(self._lines.encode_invalid(position, str(error)))
        else:
            self._summary.add(told[0].value)
            part.write(self._lines.encode_unattempted(prepared, *told))

    def _keep(self, part: PartWriter, line: bytes) -> None:
        """Keep a record that an earlier try wrote before it ended."""
        told = orjson.loads(line)
        if told.get("error_class") == ErrorClass.INVALID_EVENT.value:
            self._summary.add_invalid()
        else:
            self._summary.add(told["outcome"], told.get("duration_ms") if told.get("status_code") else None)
        part.write(line)

    def _write(self) -> None:
        self._store.set(KEY_PREFIX, self._claim.as_json())


def find_invalid(tools: StreamDependencies, *, at_most: int) -> Iterator[tuple[int, str]]:
    """Read all events, and give where those begin that cannot be delivered as they are, and why, up to so many."""
    position, found = tools.source.start_offset(), 0
    for event, end in tools.source.read(position):
        try:
            tools.preparer.check(event)
        except InvalidEventError as error:
            yield position, str(error)
            found += 1
            if found == at_most:
                return
        position = end
