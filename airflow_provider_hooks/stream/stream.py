# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Delivers a stream of events, each at most once: claim a batch, send it, record it, then claim the next.

The claim of a batch is durable before its first event is sent, and by then every record of the batch before is durable
too. So a crash leaves at most one batch without all of its records. The next try copies the records of that batch that
were written, records its other events as ``unknown``, sends none of them, and resumes with the next batch.

An event that was provably not received is sent again: in the same batch, after a pause of the whole stream; and by the
next try, if it is still not sent after ``MAX_ATTEMPTS``. Until its outcome is final it has no record, and it is listed
in the claim. The next try sends all of these events first, as a batch with a claim like any other.

The ``DeliveryPolicy`` of the user can send more events again, in the same way: those that may have been received, those
of an interrupted batch, and those that were rejected with certain statuses. They are marked as redeliveries.

With ``once="event"`` each event of a claimed batch is claimed too, chunk by chunk (``stream.event_claims``): a chunk is
claimed, sent and settled before the next one is claimed. What another run sent is recorded and not sent. If an earlier
try did not finish a batch, these claims say which events of it may have been sent; the others are sent.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import msgspec
import orjson

from airflow_provider_hooks.delivery.claims import is_superseded
from airflow_provider_hooks.delivery.policy import AT_MOST_ONCE, MAY_HAVE_ARRIVED, find_retry_after
from airflow_provider_hooks.exceptions import ClaimLostError, InvalidEventError, StateStoreError
from airflow_provider_hooks.http.connect import to_milliseconds
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.claims import (
    TURNS,
    BatchSizer,
    StreamAction,
    StreamClaim,
    UnsentEvent,
    next_stream_action,
)
from airflow_provider_hooks.stream.encode import EncodedRequest
from airflow_provider_hooks.stream.event_claims import CHUNK_BYTES, CHUNK_EVENTS, OwnedEvent
from airflow_provider_hooks.stream.records import RecordEncoder, RecordFolderError
from airflow_provider_hooks.stream.sources import select_events
from airflow_provider_hooks.stream.summary import Summary, parse_summary
from airflow_provider_hooks.stream.throttle import BUSY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from airflow_provider_hooks.delivery.claims import ClaimStore
    from airflow_provider_hooks.delivery.policy import DeliveryPolicy
    from airflow_provider_hooks.http.engine import Engine
    from airflow_provider_hooks.http.oauth2 import TokenSource
    from airflow_provider_hooks.http.result import RequestResult
    from airflow_provider_hooks.stream.claims import FailedOutcome
    from airflow_provider_hooks.stream.encode import RequestEncoder
    from airflow_provider_hooks.stream.event_claims import Decision, EventClaims, KnownEvent
    from airflow_provider_hooks.stream.records import RecordFolder, SegmentWriter
    from airflow_provider_hooks.stream.sources import RawEvent, Shard, Source, SourceEvent
    from airflow_provider_hooks.stream.summary import Progress
    from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter

MAX_ATTEMPTS = 8
"""How often a try sends an event that is not received."""
MAX_UNSENT_EVENTS = 1_000
"""With so many events left to the next try, nothing more is begun, so that the claim stays small."""
FLUSH_SECONDS = 1.0
"""How often records are handed to the file system while a batch is being sent."""
_FINAL = frozenset({ErrorClass.BLOCKED_ADDRESS, ErrorClass.SETUP_FAILED})
"""Errors that another attempt does not change: the outcome is final."""
_PASSING = frozenset(
    {
        ErrorClass.CONNECTION_FAILED,
        ErrorClass.CONNECTION_REFUSED,
        ErrorClass.CONNECTION_RESET,
        ErrorClass.DNS_ERROR,
        ErrorClass.NETWORK_UNREACHABLE,
        ErrorClass.PROXY_ERROR,
        ErrorClass.REUSED_CONNECTION_LOST,
        ErrorClass.TIMEOUT,
        ErrorClass.TOKEN_ERROR,
    }
)
"""Errors of a receiver that is restarting: the event is sent again after a pause. Others are left to the next try."""
_NOTHING: Mapping[str, Collection[int]] = MappingProxyType({})
_DELIVERED = Outcome.DELIVERED.value


class _ChunkEvent(NamedTuple):
    """An event that was read to be claimed."""

    request: EncodedRequest | InvalidEventError
    offset: int
    end: int
    """The offset to resume from after it."""


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a stream is read, checked and sent."""

    policy: DeliveryPolicy
    concurrency: int
    rate_limit: float | None
    stop_after_failures: int | None
    skips_invalid: bool
    shard: Shard
    format: str | None = None
    """In place of the endpoint's."""
    id_field: str = "id"
    """The field of an event of the user's own type that is its id."""
    type_field: str | None = None
    """The field of an event that is its type, in place of one type for all."""
    undelivered_from: str | None = None
    resend_outcomes: frozenset[str] = frozenset({Outcome.NOT_SENT.value})


@dataclass(frozen=True, kw_only=True)
class StreamContext:
    """The try that sends a stream."""

    generation: str
    """The run or manual clear."""
    try_number: int
    is_last_try: bool
    """Whether no later try sends what this one does not."""
    claim_may_be_lost: bool = False
    """Whether a clear may have deleted the claim of an earlier run."""


@dataclass(frozen=True, kw_only=True)
class StreamDependencies:
    """What a stream reads from, sends with, and writes to."""

    source: Source
    encoder: RequestEncoder
    engine: Engine[EncodedRequest]
    rate_limiter: RateLimiter
    breaker: CircuitBreaker
    records: RecordFolder
    record_fields: Mapping[str, object]
    """The fields that every record has."""
    progress: Progress
    sizer: BatchSizer
    policy: DeliveryPolicy = AT_MOST_ONCE
    redelivered: Collection[int] = frozenset()
    """The offsets of the events that an earlier run may have delivered."""
    max_attempts: int = MAX_ATTEMPTS
    max_unsent: int = MAX_UNSENT_EVENTS
    event_claims: EventClaims | None = None
    """The claims of the single events, where an event id goes to the endpoint once for ever."""


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """The result of a try."""

    summary: Summary
    records: str
    """The folder of the records."""
    stopped_by: str | None = None
    """What stopped it before the end, if anything did; a later try resumes there."""
    failure: Exception | None = None
    """What the source or the folder of the records raised, which stopped it."""
    without_record: int = 0
    """How many of the events in the summary have no record: it could not be written, or is gone."""
    unsent: int = 0
    """How many of the events that were read are left to a later try."""
    from_previous_try: bool = False
    """Whether an earlier try finished the stream, and this one sent nothing."""

    @property
    def is_stopped(self) -> bool:
        """Whether events are left that were not even read."""
        return self.stopped_by is not None


def find_finished(found: StreamClaim | None, run: StreamContext) -> StreamResult | None:
    """Return the result of a stream that an earlier try finished, from the claim alone: the source may be gone."""
    if found is None or found.generation != run.generation or found.state != "done":
        return None
    return StreamResult(summary=parse_summary(found.summary), records=found.records, from_previous_try=True)


def find_records(found: StreamClaim | None, run: StreamContext) -> str | None:
    """Return the folder of the records that an earlier try of the generation began, if any."""
    return found.records if found is not None and found.generation == run.generation else None


def deliver_stream(
    dependencies: StreamDependencies, found: StreamClaim | None, *, store: ClaimStore[StreamClaim], run: StreamContext
) -> StreamResult:
    """
    Send every event that no earlier try of the generation has claimed.

    :param found: the claim that the store holds
    :raises SourceChangedError: if other events were sent in part for this generation; nothing was sent
    :raises ClaimLostError: if another process sends the same stream; this one sends no more
    :raises RecordError: if the stored claim cannot be read; this try sends no more
    """
    finished = find_finished(found, run)
    if finished is not None:
        return finished
    if found is not None and is_superseded(found, generation=run.generation, try_number=run.try_number):
        raise ClaimLostError(f"try {found.try_number} sends this stream after a clear; this one sent nothing")
    fingerprint = dependencies.source.fingerprint()
    action = next_stream_action(found, generation=run.generation, source=fingerprint)
    dependencies.records.create()
    if found is None or action is StreamAction.BEGIN:
        claim = StreamClaim(
            state="stopped",
            generation=run.generation,
            try_number=run.try_number,
            owner_token="",
            redelivery=found is not None or run.claim_may_be_lost,
            source=fingerprint,
            records=str(dependencies.records),
            batch=0,
            start=dependencies.source.start_offset(),
            size=0,
        )
    else:
        claim = found
    stream = _Stream(dependencies, claim, found, store=store, run=run)
    return stream.deliver(is_interrupted=action is StreamAction.REPORT_AND_RESUME)


class _Stream:
    """One try: the claim, the summary of the events before it, and the batch that is being sent."""

    def __init__(
        self,
        dependencies: StreamDependencies,
        claim: StreamClaim,
        found: StreamClaim | None,
        *,
        store: ClaimStore[StreamClaim],
        run: StreamContext,
    ) -> None:
        self._policy, self._engine = dependencies.policy, dependencies.engine
        self._source, self._encoder = dependencies.source, dependencies.encoder
        self._tokens = dependencies.encoder.tokens
        self._rate_limiter, self._breaker = dependencies.rate_limiter, dependencies.breaker
        self._records, self._progress, self._sizer = dependencies.records, dependencies.progress, dependencies.sizer
        self._max_attempts, self._max_unsent = dependencies.max_attempts, dependencies.max_unsent
        self._event_claims = dependencies.event_claims
        self._chunk_events = max(CHUNK_EVENTS, TURNS * dependencies.sizer.concurrency)
        self._deferred: list[int] = []
        """The offsets of events of the batch that other processes are sending, or that follow one with the same id."""
        self._store, self._stored, self._run = store, found, run
        self._is_acquired = False
        """Whether this try has stored a claim, whose owner token is then its own."""
        self._previous_try = claim.try_number
        self._claim = msgspec.structs.replace(claim, try_number=run.try_number)
        self._summary = parse_summary(claim.summary)
        self._previous_pauses = self._summary.pauses
        self._pending = {event.offset: event for event in claim.unsent}
        """The events that were attempted and have no record, by offset."""
        self._redelivery = claim.redelivery
        self._redelivered = {*dependencies.redelivered, *_list_received(claim.unsent)}
        self._record_encoder = RecordEncoder(
            dependencies.record_fields, redelivery=claim.redelivery, redelivered=self._redelivered
        )
        self._stopped_by: str | None = None
        self._failure: Exception | None = None
        self._read_offset = claim.start
        """How far the source was read."""
        self._read_count = 0
        """How many events of the batch were read."""
        self._next_flush = 0.0

    # Batches

    def deliver(self, *, is_interrupted: bool) -> StreamResult:
        """
        Send what no earlier try claimed, until the end or until something stops the stream.

        :param is_interrupted: whether the claimed batch is one that an earlier try did not finish
        """
        try:
            if is_interrupted and (self._policy.resends_unknown or self._event_claims is not None):
                self._resend_interrupted_batch()
            elif is_interrupted:
                self._record_interrupted_batch()
            if self._claim.unrecorded and not self._stopped_by:
                self._complete_records()
            if not self._stopped_by:
                self._send()
            if not self._stopped_by and not self._claim.unsent:
                return self._finish()
            if self._run.is_last_try and self._failure is None:
                self._record_unsent()
                return self._finish()
        except RecordFolderError as error:
            self._fail(error)
        return self._leave_to_next_try()

    def _record_interrupted_batch(self) -> None:
        """Take over the batch that an earlier try did not finish, and write the records of it. Nothing is sent."""
        records, claim = self._records, self._claim
        message = f"try {self._previous_try} claimed this event and ended without recording an outcome; see its log"
        end = claim.start
        with closing(self._open_segment()) as segment:
            self._acquire_batch("resending" if claim.state == "resending" else "claimed", size=claim.size)
            recorded = records.read_lines(claim.batch)
            for event, offset, event_end in self._read_claimed_batch():
                line = recorded.get(offset)
                if line is None:
                    error = (Outcome.UNKNOWN, ErrorClass.INTERRUPTED, message)
                    self._record_unattempted(segment, event, offset, error)
                else:
                    self._copy_record(segment, line)
                end = event_end
        self._check_written(segment)
        records.remove(first_batch=claim.batch, try_number=claim.try_number, keeps_own=True)
        if claim.state == "resending":
            self._settle_batch(start=claim.start, unsent=())
        else:
            self._settle_batch(start=end, unsent=claim.unsent)

    def _resend_interrupted_batch(self) -> None:
        """
        Take over the batch that an earlier try did not finish, and send the events of it that have no record.

        If events are claimed, those that the earlier try claimed and left are sent only if the policy says so.

        If the stream is stopped before it has sent them, the claim stays: the next try takes over the same batch.
        """
        records, claim = self._records, self._claim
        with closing(self._open_segment()) as segment:
            self._acquire_batch("resending" if claim.state == "resending" else "claimed", size=claim.size)
            end, offsets = self._copy_recorded(segment)
            self._read_offset = 0
            unsent = self._send_claimed(select_events(self._source, offsets), segment)
            unread = (offset for offset in offsets if offset >= self._read_offset)
            left = [*unsent, *(self._pending.get(offset, UnsentEvent(offset, 0)) for offset in unread)]
            if self._stopped_by and self._failure is None and self._run.is_last_try:
                self._record_left(left, segment)
                left = []
        if segment.error is None:
            records.remove(first_batch=claim.batch, try_number=claim.try_number, keeps_own=True)
        if self._stopped_by and segment.error is None and left:
            return
        unrecorded = self._list_unrecorded(segment)
        if not unrecorded:
            self._check_written(segment)
        if claim.state == "resending":
            self._settle_batch(start=claim.start, unsent=left, unrecorded=unrecorded)
        else:
            self._settle_batch(start=end, unsent=[*claim.unsent, *left], unrecorded=unrecorded)

    def _copy_recorded(self, segment: SegmentWriter) -> tuple[int, list[int]]:
        """
        Copy the records of an interrupted batch; the events of it without one may have been received.

        :returns: where the batch ends, and the offsets of the events without a record
        """
        recorded = self._records.read_lines(self._claim.batch)
        if self._event_claims is not None:
            self._event_claims.settle_recorded(recorded.values())
        offsets: list[int] = []
        end = self._claim.start
        for _, offset, event_end in self._read_claimed_batch():
            end = event_end
            if offset in recorded:
                self._copy_record(segment, recorded[offset])
                continue
            offsets.append(offset)
            if self._event_claims is None:
                self._note_attempt(offset, Outcome.UNKNOWN)
        return end, offsets

    def _read_claimed_batch(self) -> Iterable[SourceEvent]:
        """Read the events of the batch that the claim names."""
        claim = self._claim
        if claim.state == "resending":
            return select_events(self._source, [event.offset for event in claim.unsent])
        return islice(self._source.read(claim.start), claim.size)

    def _complete_records(self) -> None:
        """Write the records that an earlier try could not write, with the others of their batch."""
        records, batch, unrecorded = self._records, self._claim.batch - 1, self._claim.unrecorded
        outcomes = {offset: Outcome(outcome) for outcome, offsets in unrecorded.items() for offset in offsets}
        message = f"the record could not be written by try {self._previous_try}; its outcome was stored in the claim"
        with closing(records.open_segment(batch, try_number=self._claim.try_number)) as segment:
            recorded = records.read_lines(batch)
            for line in recorded.values():
                segment.write(line)
            for event, offset, _ in select_events(self._source, outcomes.keys() - recorded.keys()):
                segment.write(self._encode_unattempted(event, offset, (outcomes[offset], None, message))[0])
        self._check_written(segment)
        records.remove(first_batch=batch, try_number=self._claim.try_number, keeps_own=True)
        self._claim = msgspec.structs.replace(self._claim, unrecorded={})

    def _send(self) -> None:
        """Send the events that earlier tries left, then one batch after the other."""
        self._records.remove(first_batch=self._claim.batch, try_number=self._claim.try_number)
        self._progress.start(self._summary.total, self._claim.start)
        if self._claim.unsent:
            self._resend()
        self._read_offset = self._claim.start
        events = self._source.read(self._claim.start)
        is_whole = True
        while is_whole and not self._stopped_by:
            unsent, unrecorded = self._send_batch(
                islice(events, self._sizer.size), state="claimed", size=self._sizer.size
            )
            is_whole = self._read_count == self._claim.size
            self._settle_batch(start=self._read_offset, unsent=[*self._claim.unsent, *unsent], unrecorded=unrecorded)

    def _resend(self) -> None:
        """Send the events that earlier tries left, as one batch."""
        wanted = self._claim.unsent
        self._read_offset = 0
        events = select_events(self._source, [event.offset for event in wanted])
        unsent, unrecorded = self._send_batch(events, state="resending", size=len(wanted))
        unread = [event for event in wanted if event.offset >= self._read_offset]  # the stream was stopped before them
        self._settle_batch(start=self._claim.start, unsent=[*unsent, *unread], unrecorded=unrecorded)

    def _send_batch(
        self, events: Iterable[SourceEvent], *, state: Literal["claimed", "resending"], size: int
    ) -> tuple[list[UnsentEvent], dict[str, list[int]]]:
        """
        Claim a batch, send it and record it.

        :returns: the events that are left to the next try; and by outcome the offsets of those whose record could not
            be written
        """
        began = time.monotonic()
        with closing(self._open_segment()) as segment:
            self._acquire_batch(state, size=size)
            claimed = time.monotonic()
            unsent = self._send_claimed(events, segment)
            sent = time.monotonic()
        self._summary.seconds += sent - claimed
        self._summary.pauses = self._previous_pauses + self._rate_limiter.pauses
        if state == "claimed":
            claim_seconds = claimed - began + time.monotonic() - sent
            self._sizer.observe(sent=self._read_count, seconds=sent - claimed, claim_seconds=claim_seconds)
        return unsent, self._list_unrecorded(segment)

    def _open_segment(self) -> SegmentWriter:
        """Open the segment of a batch before it is claimed: a later try that finds the claim must find the segment."""
        return self._records.open_segment(self._claim.batch, try_number=self._claim.try_number)

    def _list_unrecorded(self, segment: SegmentWriter) -> dict[str, list[int]]:
        """Return by outcome the events of the batch that have no record because writing failed."""
        if segment.error is None:
            return {}
        self._fail(segment.error)
        try:
            recorded = self._records.read_lines(self._claim.batch)
        except OSError:  # the folder is gone
            recorded = {}
        return segment.list_offsets(without=recorded)

    def _acquire_batch(self, state: Literal["claimed", "resending"], *, size: int) -> None:
        """Claim the next batch; return only if no other process can hold the same claim."""
        claim = msgspec.structs.replace(self._claim, state=state, size=size, owner_token=uuid.uuid4().hex)
        try:
            self._store.acquire(self._stored, claim)
        except StateStoreError:
            self._withdraw(claim)
            raise
        self._stored = self._claim = claim
        self._is_acquired = True
        if self._event_claims is not None:
            self._event_claims.begin_batch(claim.batch, stream_token=claim.owner_token)

    def _withdraw(self, claim: StreamClaim) -> None:
        """Store that the batch did not begin, if the store takes it: else the next try reports it as unknown."""
        if self._claim.size:
            return  # an earlier try sent a part of this very batch
        with contextlib.suppress(StateStoreError, ClaimLostError):
            if self._store.load() == claim:
                self._store.save(msgspec.structs.replace(self._claim, state="stopped", owner_token=claim.owner_token))

    def _settle_batch(
        self, *, start: int, unsent: Collection[UnsentEvent], unrecorded: Mapping[str, Collection[int]] = _NOTHING
    ) -> None:
        """Go on to the next batch; the claim of it, or the final one, makes this durable."""
        self._claim = msgspec.structs.replace(
            self._claim,
            batch=self._claim.batch + 1,
            start=start,
            size=0,
            unsent=tuple(sorted(unsent, key=lambda event: event.offset)),
            unrecorded={outcome: tuple(offsets) for outcome, offsets in unrecorded.items()},
            summary=self._summary.as_json(),
        )

    # The end of a try

    def _fail(self, error: Exception) -> None:
        """Begin nothing more: the source or the folder of the records failed."""
        self._failure, self._stopped_by = error, "an error"

    def _check_written(self, segment: SegmentWriter) -> None:
        if segment.error is not None:
            raise RecordFolderError(str(segment.error)) from segment.error

    def _leave_to_next_try(self) -> StreamResult:
        if not self._claim.size:  # else the next try has to look at a batch whose records could not be written
            self._save("stopped")
        return self._make_result()

    def _make_result(self) -> StreamResult:
        summary = parse_summary(self._claim.summary)
        without_record = self._claim.count_unrecorded()
        recorded = summary.total - without_record
        without_record += self._records.count_missing(batches=self._claim.batch, total=recorded)
        return StreamResult(
            summary=summary,
            records=self._claim.records,
            stopped_by=self._stopped_by,
            failure=self._failure,
            unsent=len(self._claim.unsent),
            without_record=without_record,
        )

    def _record_unsent(self) -> None:
        """Record every event that is left as not sent: there is no later try."""
        error = (Outcome.NOT_SENT, ErrorClass.STOPPED, f"the stream was stopped: {self._stopped_by}")
        end = self._claim.start
        with closing(self._open_segment()) as segment:
            self._record_left(self._claim.unsent, segment)
            for event, offset, event_end in self._source.read(self._claim.start):
                self._record_unattempted(segment, event, offset, error)
                end = event_end
        self._check_written(segment)
        self._settle_batch(start=end, unsent=())
        self._stopped_by = None

    def _record_left(self, left: Collection[UnsentEvent], segment: SegmentWriter) -> None:
        """Record events that no try sends again by what is known of their earlier attempts."""
        previous = {event.offset: Outcome(event.previous) for event in left}
        message = f"the stream was stopped: {self._stopped_by}"
        for event, offset, _ in select_events(self._source, previous):
            self._record_unattempted(segment, event, offset, (previous[offset], ErrorClass.STOPPED, message))

    def _finish(self) -> StreamResult:
        self._save("done")
        return self._make_result()

    def _save(self, state: Literal["stopped", "done"]) -> None:
        claim = msgspec.structs.replace(self._claim, state=state)
        if self._is_acquired:
            self._store.save(claim)
        else:
            claim = msgspec.structs.replace(claim, owner_token=uuid.uuid4().hex)
            self._store.acquire(self._stored, claim)
        self._stored = self._claim = claim

    # The claimed batch

    def _send_claimed(self, events: Iterable[SourceEvent], segment: SegmentWriter) -> list[UnsentEvent]:
        """Send the events of the claimed batch, and record each whose outcome is final; return the others."""
        self._read_count = 0
        max_unsent = self._max_unsent
        if self._claim.state == "claimed":
            max_unsent -= len(self._claim.unsent)
        if self._event_claims is None:
            return self._send_requests(self._encode(events, segment), segment, max_unsent=max_unsent)
        return self._send_by_event(events, segment, self._event_claims, max_unsent=max_unsent)

    def _send_by_event(
        self, events: Iterable[SourceEvent], segment: SegmentWriter, claims: EventClaims, *, max_unsent: int
    ) -> list[UnsentEvent]:
        """
        Claim and send the events of the batch chunk by chunk; then those that other processes were sending meanwhile.

        Each pass over these decides about one event of each id at least, so that they end.
        """
        self._deferred = []
        unsent = self._send_chunks(events, segment, claims, max_unsent=max_unsent)
        read_count, read_offset = self._read_count, self._read_offset
        while self._deferred and not self._is_stopping(segment):
            claims.wait()
            deferred, self._deferred, self._read_offset = self._deferred, [], 0
            chosen = select_events(self._source, deferred)
            unsent += self._send_chunks(chosen, segment, claims, max_unsent=max_unsent - len(unsent))
            self._deferred += [offset for offset in deferred if offset >= self._read_offset]  # if it was stopped
        self._read_count, self._read_offset = read_count, read_offset
        left, self._deferred = self._deferred, []
        return [*unsent, *(self._pending.get(offset, UnsentEvent(offset, 0)) for offset in left)]

    def _send_chunks(
        self, events: Iterable[SourceEvent], segment: SegmentWriter, claims: EventClaims, *, max_unsent: int
    ) -> list[UnsentEvent]:
        unsent: list[UnsentEvent] = []
        encoded = self._encode_each(events)
        while not self._is_stopping(segment) and (chunk := self._read_chunk(encoded)):
            decisions = claims.claim([one.request for one in chunk if isinstance(one.request, EncodedRequest)])
            requests = self._take_claimed(chunk, iter(decisions), segment)
            unsent += self._send_requests(requests, segment, max_unsent=max_unsent - len(unsent))
            claims.settle()
        return unsent

    def _is_stopping(self, segment: SegmentWriter) -> bool:
        return self._stopped_by is not None or segment.error is not None

    def _send_requests(
        self, requests: Iterator[EncodedRequest], segment: SegmentWriter, *, max_unsent: int
    ) -> list[UnsentEvent]:
        """Send events, and record each whose outcome is final; return the others."""
        attempts: Counter[int] = Counter()
        unsent: list[UnsentEvent] = []
        authorized_again: set[int] = set()
        for results in self._engine.send(requests):
            for result in results:
                if self._tokens is not None and self._can_authorize_again(result, self._tokens, authorized_again):
                    self._engine.requeue(result.request)
                    continue
                if result.outcome is Outcome.DELIVERED or not self._policy.sends_again(result.outcome, result.status):
                    self._record(result, segment)
                    continue
                offset = result.request.offset
                attempts[offset] += 1
                self._note_attempt(offset, result.outcome)
                if self._event_claims is not None:
                    self._event_claims.note(result, attempts=self._pending[offset].attempts)
                if self._may_resend(result, attempts[offset]):
                    request = result.request._replace(redelivery=self._redelivery or offset in self._redelivered)
                    self._engine.requeue(self._encoder.sign_again(request))
                elif _is_final(result) or self._run.is_last_try:
                    self._record(self._merge_with_previous(result), segment)
                else:
                    self._breaker.note_failure()
                    unsent.append(self._pending[offset])
            self._flush_and_report(segment)
            if segment.error is not None or self._must_stop(len(unsent) >= max_unsent):
                self._engine.stop()
        left = (request.offset for request in self._engine.unsent)
        return [*unsent, *(self._pending.get(offset, UnsentEvent(offset, 0)) for offset in left)]

    def _note_attempt(self, offset: int, outcome: Outcome) -> None:
        """Remember what is known of an event that may be sent again."""
        known = self._pending.get(offset, UnsentEvent(offset, 0))
        self._pending[offset] = known.attempted(cast("FailedOutcome", outcome.value))
        if outcome is not Outcome.NOT_SENT:
            self._redelivered.add(offset)

    def _merge_with_previous(self, result: RequestResult[EncodedRequest]) -> RequestResult[EncodedRequest]:
        """Turn ``not_sent`` into ``unknown`` if an earlier attempt may have been received."""
        if result.outcome is Outcome.NOT_SENT and self._pending[result.request.offset].previous == "unknown":
            result.outcome = Outcome.UNKNOWN
            if result.error is not None:
                result.error = (result.error[0], f"{MAY_HAVE_ARRIVED}: {result.error[1]}")
        return result

    def _encode(self, events: Iterable[SourceEvent], segment: SegmentWriter) -> Iterator[EncodedRequest]:
        """Encode the events of the batch as the engine takes them, and record those that are invalid."""
        encode = self._encoder.encode
        for event, offset, end in self._read_until_error(events):
            self._read_count += 1
            self._read_offset = end
            try:
                request = encode(event, offset=offset, redelivery=self._redelivery or offset in self._redelivered)
            except InvalidEventError as error:
                self._record_invalid(segment, offset, error)
            else:
                yield request

    def _encode_each(self, events: Iterable[SourceEvent]) -> Iterator[_ChunkEvent]:
        for event, offset, end in self._read_until_error(events):
            redelivery = self._redelivery or offset in self._redelivered
            try:
                yield _ChunkEvent(self._encoder.encode(event, offset=offset, redelivery=redelivery), offset, end)
            except InvalidEventError as error:
                yield _ChunkEvent(error, offset, end)

    def _read_chunk(self, encoded: Iterator[_ChunkEvent]) -> list[_ChunkEvent]:
        """Read as many events as are claimed at once."""
        chunk: list[_ChunkEvent] = []
        size = 0
        for event in islice(encoded, self._chunk_events):
            chunk.append(event)
            size += len(event.request.request) if isinstance(event.request, EncodedRequest) else 0
            if size >= CHUNK_BYTES:
                break
        return chunk

    def _take_claimed(
        self, chunk: Iterable[_ChunkEvent], decisions: Iterator[Decision], segment: SegmentWriter
    ) -> Iterator[EncodedRequest]:
        """
        Yield the events of a chunk that this try claimed, as the engine takes them, and record the others.

        :param decisions: one for each event that is not invalid
        """
        for request, offset, end in chunk:
            self._read_count += 1
            self._read_offset = end
            if isinstance(request, InvalidEventError):
                self._record_invalid(segment, offset, request)
                continue
            decision = next(decisions)
            if isinstance(decision, OwnedEvent):
                yield self._mark_owned(request, decision)
            elif decision is None:
                self._deferred.append(offset)
            else:
                self._record_known(segment, request, decision)

    def _mark_owned(self, request: EncodedRequest, owned: OwnedEvent) -> EncodedRequest:
        """Return the request of a claimed event, marked as a redelivery if another run may have sent it."""
        if owned.may_have_arrived:
            known = self._pending.get(request.offset, UnsentEvent(request.offset, 0))
            self._pending[request.offset] = UnsentEvent(request.offset, known.attempts, "unknown")
        if not owned.redelivery or request.redelivery:
            return request
        self._redelivered.add(request.offset)
        return self._encoder.sign_again(request._replace(redelivery=True))

    def _read_until_error(self, events: Iterable[SourceEvent]) -> Iterator[SourceEvent]:
        """Read events until the source fails: what is under way then must still get its outcome."""
        try:
            yield from events
        except Exception as error:  # noqa: BLE001  (the function of a user can raise anything)
            self._fail(error)

    def _must_stop(self, has_too_many_unsent: bool) -> bool:
        """Return whether nothing more must be begun, and note why."""
        if self._breaker.is_open:
            self._stopped_by = "too many failures in a row"
        elif has_too_many_unsent:
            self._stopped_by = "too many events were not received"
        elif self._rate_limiter.is_exhausted:
            self._stopped_by = "the receiver was busy or away for too long in all"
        return self._stopped_by is not None

    def _may_resend(self, result: RequestResult[EncodedRequest], attempts: int) -> bool:
        """Return whether this try sends an event again that the policy sends again; it pauses first."""
        if attempts >= self._max_attempts:
            return False
        if result.outcome is Outcome.REJECTED:
            self._rate_limiter.note_response()
            self._pause(result)
            return True
        error_class = None if result.error is None else result.error[0]
        is_passing = error_class in _PASSING or result.outcome is Outcome.UNKNOWN
        return is_passing and self._rate_limiter.back_off(time.monotonic())

    def _pause(self, result: RequestResult[EncodedRequest]) -> None:
        """Pause the whole stream for as long as the receiver requests."""
        self._rate_limiter.pause(time.monotonic(), find_retry_after(result.headers, now=time.time()))

    def _can_authorize_again(
        self, result: RequestResult[EncodedRequest], tokens: TokenSource, authorized_again: set[int]
    ) -> bool:
        """Return whether an event that was refused with 401 is sent once more; the engine adds the new token."""
        from airflow_provider_hooks.http.oauth2 import find_new_token  # noqa: PLC0415  (few endpoints need it)

        offset = result.request.offset
        if result.outcome is Outcome.DELIVERED:
            tokens.note_accepted()
        if self._stopped_by is not None or offset in authorized_again:
            return False
        if find_new_token(result, tokens, token=result.request.token) is None:
            return False
        authorized_again.add(offset)
        return True

    def _record(self, result: RequestResult[EncodedRequest], segment: SegmentWriter) -> None:
        """Record an event whose outcome is final, and pause where the receiver requests it."""
        milliseconds = to_milliseconds(result.seconds)
        if result.outcome is Outcome.DELIVERED:
            self._breaker.failures = 0
            self._summary.add(_DELIVERED, milliseconds)
            if result.responded_at is None and result.request.offset not in self._pending:  # a plain success
                self._rate_limiter.note_response()
                line = self._record_encoder.encode_success(result, milliseconds)
                segment.write_result(line, offset=result.request.offset, outcome=_DELIVERED)
                if self._event_claims is not None:
                    self._event_claims.note(result, attempts=1)
                return
        else:
            self._breaker.note_failure()
            self._summary.add(result.outcome.value, None if result.status is None else milliseconds)
        sensitive = self._encoder.sensitive_values(result.request)
        pending = self._pending.get(result.request.offset)
        attempts = 1 if pending is None else pending.attempts + (result.outcome is Outcome.DELIVERED)
        line = self._record_encoder.encode_result(result, milliseconds, attempts=attempts, sensitive=sensitive)
        segment.write_result(line, offset=result.request.offset, outcome=result.outcome.value)
        if self._event_claims is not None:
            self._event_claims.note(result, attempts=attempts, sensitive=sensitive)
        if result.status is not None:
            self._rate_limiter.note_response()
        if result.status in BUSY:
            self._pause(result)

    def _flush_and_report(self, segment: SegmentWriter) -> None:
        now = time.monotonic()
        if now >= self._next_flush:
            self._next_flush = now + FLUSH_SECONDS
            segment.flush()
            self._progress.report(self._summary, self._read_offset)

    # Events that are not sent by this try

    def _record_invalid(self, segment: SegmentWriter, offset: int, error: InvalidEventError) -> None:
        self._summary.add_invalid()
        line = self._record_encoder.encode_invalid(offset, str(error))
        segment.write_result(line, offset=offset, outcome=Outcome.NOT_SENT.value)

    def _record_known(self, segment: SegmentWriter, request: EncodedRequest, known: KnownEvent) -> None:
        """Record an event whose outcome is known from its claim."""
        self._summary.add(known.outcome.value)
        self._summary.sent_before += known.is_sent_before
        line = self._record_encoder.encode_known(request, known)
        segment.write_result(line, offset=request.offset, outcome=known.outcome.value)

    def _record_unattempted(
        self, segment: SegmentWriter, event: RawEvent, offset: int, error: tuple[Outcome, ErrorClass, str]
    ) -> None:
        line, is_invalid = self._encode_unattempted(event, offset, error)
        if is_invalid:
            self._summary.add_invalid()
        else:
            self._summary.add(error[0].value)
        segment.write(line)

    def _encode_unattempted(
        self, event: RawEvent, offset: int, error: tuple[Outcome, ErrorClass | None, str]
    ) -> tuple[bytes, bool]:
        """Return the record of an event that this try does not send, and whether the event is invalid."""
        try:
            request = self._encoder.encode(event, offset=offset)
        except InvalidEventError as invalid:
            return self._record_encoder.encode_invalid(offset, str(invalid)), True
        return self._record_encoder.encode_unattempted(request, *error), False

    def _copy_record(self, segment: SegmentWriter, line: bytes) -> None:
        """Copy a record that an earlier try wrote before it was interrupted."""
        record = orjson.loads(line)
        if record.get("error_class") == ErrorClass.INVALID_EVENT.value:
            self._summary.add_invalid()
        else:
            self._summary.add(record["outcome"], record.get("duration_ms") if record.get("status_code") else None)
            self._summary.sent_before += bool(record.get("sent_before"))
        segment.write(line)


def _is_final(result: RequestResult[EncodedRequest]) -> bool:
    """Return whether another attempt changes nothing."""
    return result.error is not None and result.error[0] in _FINAL


def _list_received(events: Iterable[UnsentEvent]) -> Iterator[int]:
    """Yield the offsets of the events that an earlier attempt may have brought to the receiver."""
    return (event.offset for event in events if event.previous != "not_sent")
