# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Sends the events of one claimed batch, and records each whose outcome is final.

``stream.stream`` claims the batches and settles them. What is left of a batch, it stores in the claim of the next one.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

from airflow_provider_hooks.delivery.policy import MAY_HAVE_ARRIVED, find_retry_after
from airflow_provider_hooks.exceptions import InvalidEventError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.claims import TURNS, UnsentEvent
from airflow_provider_hooks.stream.encode import EncodedRequest
from airflow_provider_hooks.stream.event_claims import CHUNK_BYTES, CHUNK_EVENTS, OwnedEvent
from airflow_provider_hooks.stream.sources import select_events
from airflow_provider_hooks.stream.throttle import BUSY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_hooks.http.oauth2 import TokenSource
    from airflow_provider_hooks.http.result import RequestResult
    from airflow_provider_hooks.stream.claims import FailedOutcome
    from airflow_provider_hooks.stream.event_claims import Decision, EventClaims
    from airflow_provider_hooks.stream.model import StreamDependencies
    from airflow_provider_hooks.stream.recorder import EventRecorder
    from airflow_provider_hooks.stream.records import SegmentWriter
    from airflow_provider_hooks.stream.sources import SourceEvent

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


class SentBatch(NamedTuple):
    """What was read of a batch, and what is left of it."""

    unsent: list[UnsentEvent]
    """The events without a record: they are left to the next try."""
    read_count: int
    """How many events were read; fewer than the batch has at the end of the source, or if the stream was stopped."""
    end: int
    """How far the source was read: every event before this offset has a record or is in ``unsent``."""


class _ChunkEvent(NamedTuple):
    """An event that was read to be claimed."""

    request: EncodedRequest | InvalidEventError
    offset: int
    end: int
    """The offset to resume from after it."""


class BatchSender:
    """
    Sends the batches of one try.

    :param pending: the events that earlier tries attempted and that have no record
    :param redelivery: whether all events may have been sent before
    :param redelivered: the offsets of the events that may have been sent before; it is changed
    :param is_last_try: whether no later try sends what this one does not
    """

    def __init__(
        self,
        dependencies: StreamDependencies,
        recorder: EventRecorder,
        *,
        pending: Iterable[UnsentEvent],
        redelivery: bool,
        redelivered: set[int],
        is_last_try: bool,
    ) -> None:
        self._policy, self._engine = dependencies.policy, dependencies.engine
        self._source, self._encoder = dependencies.source, dependencies.encoder
        self._tokens = dependencies.encoder.tokens
        self._rate_limiter, self._breaker = dependencies.rate_limiter, dependencies.breaker
        self._progress, self._max_attempts = dependencies.progress, dependencies.max_attempts
        self._event_claims = dependencies.event_claims
        self._chunk_events = max(CHUNK_EVENTS, TURNS * dependencies.sizer.concurrency)
        self._recorder = recorder
        self._pending = {event.offset: event for event in pending}
        """The events that were attempted and have no record, by offset."""
        self._redelivery, self._redelivered = redelivery, redelivered
        self._is_last_try = is_last_try
        self._deferred: list[int] = []
        """The offsets of events of the batch that other processes are sending, or that follow one with the same id."""
        self._read_offset = 0
        """How far the source was read."""
        self._read_count = 0
        """How many events of the batch were read."""
        self._next_flush = 0.0
        self.stopped_by: str | None = None
        """What stopped the stream, if anything did: nothing more is begun."""
        self.failure: Exception | None = None
        """What the source or the folder of the records raised, which stopped it."""

    def fail(self, error: Exception) -> None:
        """Begin nothing more: the source or the folder of the records failed."""
        self.failure, self.stopped_by = error, "an error"

    def send(self, events: Iterable[SourceEvent], segment: SegmentWriter, *, start: int, max_unsent: int) -> SentBatch:
        """
        Send the events of the claimed batch, and record each whose outcome is final.

        :param start: where the batch starts
        :param max_unsent: with so many events left, nothing more is begun
        """
        self._read_count, self._read_offset = 0, start
        if self._event_claims is None:
            unsent = self._send_requests(self._encode(events, segment), segment, max_unsent=max_unsent)
        else:
            unsent = self._send_by_event(events, segment, self._event_claims, max_unsent=max_unsent)
        return SentBatch(unsent, self._read_count, self._read_offset)

    def find_pending(self, offset: int) -> UnsentEvent:
        """Return what is known of the earlier attempts of an event."""
        return self._pending.get(offset, UnsentEvent(offset, 0))

    def note_attempt(self, offset: int, outcome: Outcome) -> None:
        """Remember what is known of an event that may be sent again."""
        self._pending[offset] = self.find_pending(offset).attempted(cast("FailedOutcome", outcome.value))
        if outcome is not Outcome.NOT_SENT:
            self._redelivered.add(offset)

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
        return [*unsent, *(self.find_pending(offset) for offset in left)]

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
        return self.stopped_by is not None or segment.error is not None

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
                self.note_attempt(offset, result.outcome)
                if self._event_claims is not None:
                    self._event_claims.note(result, attempts=self._pending[offset].attempts)
                if self._may_resend(result, attempts[offset]):
                    request = result.request._replace(redelivery=self._redelivery or offset in self._redelivered)
                    self._engine.requeue(self._encoder.sign_again(request))
                elif _is_final(result) or self._is_last_try:
                    self._record(self._merge_with_previous(result), segment)
                else:
                    self._breaker.note_failure()
                    unsent.append(self._pending[offset])
            self._flush_and_report(segment)
            if segment.error is not None or self._must_stop(len(unsent) >= max_unsent):
                self._engine.stop()
        left = (request.offset for request in self._engine.unsent)
        return [*unsent, *(self.find_pending(offset) for offset in left)]

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
                self._recorder.write_invalid(segment, offset, error)
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
                self._recorder.write_invalid(segment, offset, request)
                continue
            decision = next(decisions)
            if isinstance(decision, OwnedEvent):
                yield self._mark_owned(request, decision)
            elif decision is None:
                self._deferred.append(offset)
            else:
                self._recorder.write_known(segment, request, decision)

    def _mark_owned(self, request: EncodedRequest, owned: OwnedEvent) -> EncodedRequest:
        """Return the request of a claimed event, marked as a redelivery if another run may have sent it."""
        if owned.may_have_arrived:
            known = self.find_pending(request.offset)
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
            self.fail(error)

    def _must_stop(self, has_too_many_unsent: bool) -> bool:
        """Return whether nothing more must be begun, and note why."""
        if self._breaker.is_open:
            self.stopped_by = "too many failures in a row"
        elif has_too_many_unsent:
            self.stopped_by = "too many events were not received"
        elif self._rate_limiter.is_exhausted:
            self.stopped_by = "the receiver was busy or unreachable for too long in total"
        return self.stopped_by is not None

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
        if self.stopped_by is not None or offset in authorized_again:
            return False
        if find_new_token(result, tokens, token=result.request.token) is None:
            return False
        authorized_again.add(offset)
        return True

    def _record(self, result: RequestResult[EncodedRequest], segment: SegmentWriter) -> None:
        """Record an event whose outcome is final, and pause where the receiver requests it."""
        pending = self._pending.get(result.request.offset)
        if result.outcome is Outcome.DELIVERED:
            self._breaker.failures = 0
            if result.responded_at is None and pending is None:  # a plain success
                self._rate_limiter.note_response()
                self._recorder.write_success(segment, result)
                if self._event_claims is not None:
                    self._event_claims.note(result, attempts=1)
                return
        else:
            self._breaker.note_failure()
        sensitive = self._encoder.sensitive_values(result.request)
        attempts = 1 if pending is None else pending.attempts + (result.outcome is Outcome.DELIVERED)
        self._recorder.write_result(segment, result, attempts=attempts, sensitive=sensitive)
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
            self._progress.report(self._recorder.summary, self._read_offset)


def _is_final(result: RequestResult[EncodedRequest]) -> bool:
    """Return whether another attempt changes nothing."""
    return result.error is not None and result.error[0] in _FINAL
