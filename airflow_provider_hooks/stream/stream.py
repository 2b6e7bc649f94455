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
from contextlib import closing
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec

from airflow_provider_hooks.delivery.claims import is_superseded
from airflow_provider_hooks.exceptions import ClaimLostError, StateStoreError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.batch import BatchSender
from airflow_provider_hooks.stream.claims import StreamAction, StreamClaim, UnsentEvent, next_stream_action
from airflow_provider_hooks.stream.model import StreamResult
from airflow_provider_hooks.stream.recorder import EventRecorder, RecordEncoder
from airflow_provider_hooks.stream.records import RecordFolderError
from airflow_provider_hooks.stream.sources import select_events
from airflow_provider_hooks.stream.summary import parse_summary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from airflow_provider_hooks.delivery.claims import ClaimStore
    from airflow_provider_hooks.stream.batch import SentBatch
    from airflow_provider_hooks.stream.model import StreamContext, StreamDependencies
    from airflow_provider_hooks.stream.records import SegmentWriter
    from airflow_provider_hooks.stream.sources import SourceEvent

_NOTHING: Mapping[str, Collection[int]] = MappingProxyType({})


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
        self._policy, self._source = dependencies.policy, dependencies.source
        self._records, self._progress, self._sizer = dependencies.records, dependencies.progress, dependencies.sizer
        self._rate_limiter, self._event_claims = dependencies.rate_limiter, dependencies.event_claims
        self._max_unsent = dependencies.max_unsent
        self._store, self._stored, self._run = store, found, run
        self._is_acquired = False
        """Whether this try has stored a claim, whose owner token is then its own."""
        self._previous_try = claim.try_number
        self._claim = msgspec.structs.replace(claim, try_number=run.try_number)
        self._summary = parse_summary(claim.summary)
        self._previous_pauses = self._summary.pauses
        redelivered = {*dependencies.redelivered, *_list_received(claim.unsent)}
        lines = RecordEncoder(dependencies.record_fields, redelivery=claim.redelivery, redelivered=redelivered)
        self._recorder = EventRecorder(dependencies.encoder, lines, summary=self._summary)
        self._sender = BatchSender(
            dependencies,
            self._recorder,
            pending=claim.unsent,
            redelivery=claim.redelivery,
            redelivered=redelivered,
            is_last_try=run.is_last_try,
        )

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
            if self._claim.unrecorded and not self._sender.stopped_by:
                self._complete_records()
            if not self._sender.stopped_by:
                self._send()
            if not self._sender.stopped_by and not self._claim.unsent:
                return self._finish()
            if self._run.is_last_try and self._sender.failure is None:
                self._record_unsent()
                return self._finish()
        except RecordFolderError as error:
            self._sender.fail(error)
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
                    self._recorder.write_unattempted(segment, event, offset, error)
                else:
                    self._recorder.copy(segment, line)
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
            sent = self._send_claimed(select_events(self._source, offsets), segment, start=0)
            unread = (offset for offset in offsets if offset >= sent.end)
            left = [*sent.unsent, *(self._sender.find_pending(offset) for offset in unread)]
            if self._sender.stopped_by and self._sender.failure is None and self._run.is_last_try:
                self._record_left(left, segment)
                left = []
        if segment.error is None:
            records.remove(first_batch=claim.batch, try_number=claim.try_number, keeps_own=True)
        if self._sender.stopped_by and segment.error is None and left:
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
                self._recorder.copy(segment, recorded[offset])
                continue
            offsets.append(offset)
            if self._event_claims is None:
                self._sender.note_attempt(offset, Outcome.UNKNOWN)
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
                segment.write(self._recorder.encode_unattempted(event, offset, (outcomes[offset], None, message))[0])
        self._check_written(segment)
        records.remove(first_batch=batch, try_number=self._claim.try_number, keeps_own=True)
        self._claim = msgspec.structs.replace(self._claim, unrecorded={})

    def _send(self) -> None:
        """Send the events that earlier tries left, then one batch after the other."""
        self._records.remove(first_batch=self._claim.batch, try_number=self._claim.try_number)
        self._progress.start(self._summary.total, self._claim.start)
        if self._claim.unsent:
            self._resend()
        events = self._source.read(self._claim.start)
        is_whole = True
        while is_whole and not self._sender.stopped_by:
            size = self._sizer.size
            sent, unrecorded = self._send_batch(
                islice(events, size), state="claimed", size=size, start=self._claim.start
            )
            is_whole = sent.read_count == size
            self._settle_batch(start=sent.end, unsent=[*self._claim.unsent, *sent.unsent], unrecorded=unrecorded)

    def _resend(self) -> None:
        """Send the events that earlier tries left, as one batch."""
        wanted = self._claim.unsent
        events = select_events(self._source, [event.offset for event in wanted])
        sent, unrecorded = self._send_batch(events, state="resending", size=len(wanted), start=0)
        unread = [event for event in wanted if event.offset >= sent.end]  # the stream was stopped before them
        self._settle_batch(start=self._claim.start, unsent=[*sent.unsent, *unread], unrecorded=unrecorded)

    def _send_batch(
        self, events: Iterable[SourceEvent], *, state: Literal["claimed", "resending"], size: int, start: int
    ) -> tuple[SentBatch, dict[str, list[int]]]:
        """
        Claim a batch, send it and record it.

        :param start: the offset from which its events are read
        :returns: the batch; and by outcome the offsets of the events whose record could not be written
        """
        began = time.monotonic()
        with closing(self._open_segment()) as segment:
            self._acquire_batch(state, size=size)
            claimed = time.monotonic()
            batch = self._send_claimed(events, segment, start=start)
            sent = time.monotonic()
        self._summary.seconds += sent - claimed
        self._summary.pauses = self._previous_pauses + self._rate_limiter.pauses
        if state == "claimed":
            claim_seconds = claimed - began + time.monotonic() - sent
            self._sizer.observe(sent=batch.read_count, seconds=sent - claimed, claim_seconds=claim_seconds)
        return batch, self._list_unrecorded(segment)

    def _send_claimed(self, events: Iterable[SourceEvent], segment: SegmentWriter, *, start: int) -> SentBatch:
        """Send the events of the claimed batch; with too many events left to the next try, nothing more is begun."""
        left = len(self._claim.unsent) if self._claim.state == "claimed" else 0
        return self._sender.send(events, segment, start=start, max_unsent=self._max_unsent - left)

    def _open_segment(self) -> SegmentWriter:
        """Open the segment of a batch before it is claimed: a later try that finds the claim must find the segment."""
        return self._records.open_segment(self._claim.batch, try_number=self._claim.try_number)

    def _list_unrecorded(self, segment: SegmentWriter) -> dict[str, list[int]]:
        """Return by outcome the events of the batch that have no record because writing failed."""
        if segment.error is None:
            return {}
        self._sender.fail(segment.error)
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
            stopped_by=self._sender.stopped_by,
            failure=self._sender.failure,
            unsent=len(self._claim.unsent),
            without_record=without_record,
        )

    def _record_unsent(self) -> None:
        """Record every event that is left as not sent: there is no later try."""
        error = (Outcome.NOT_SENT, ErrorClass.STOPPED, f"the stream was stopped: {self._sender.stopped_by}")
        end = self._claim.start
        with closing(self._open_segment()) as segment:
            self._record_left(self._claim.unsent, segment)
            for event, offset, event_end in self._source.read(self._claim.start):
                self._recorder.write_unattempted(segment, event, offset, error)
                end = event_end
        self._check_written(segment)
        self._settle_batch(start=end, unsent=())
        self._sender.stopped_by = None

    def _record_left(self, left: Collection[UnsentEvent], segment: SegmentWriter) -> None:
        """Record events that no try sends again by what is known of their earlier attempts."""
        previous = {event.offset: Outcome(event.previous) for event in left}
        message = f"the stream was stopped: {self._sender.stopped_by}"
        for event, offset, _ in select_events(self._source, previous):
            self._recorder.write_unattempted(segment, event, offset, (previous[offset], ErrorClass.STOPPED, message))

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


def _list_received(events: Iterable[UnsentEvent]) -> Iterator[int]:
    """Yield the offsets of the events that an earlier attempt may have brought to the receiver."""
    return (event.offset for event in events if event.previous != "not_sent")
