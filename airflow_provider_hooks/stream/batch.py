# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One claimed block: prepares its events, has them sent, and writes the record of each."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import InvalidEventError
from airflow_provider_hooks.http.retry_after import read_retry_at
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.stream.throttle import BUSY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_hooks.http.engine import Engine
    from airflow_provider_hooks.http.result import RequestResult
    from airflow_provider_hooks.stream.encode import EncodedRequest, RequestEncoder
    from airflow_provider_hooks.stream.records import PartWriter, RecordEncoder
    from airflow_provider_hooks.stream.sources import RawEvent
    from airflow_provider_hooks.stream.summary import Summary
    from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter

_FLUSH_SECONDS = 1.0
_DELIVERED = Outcome.DELIVERED.value
MAX_ATTEMPTS = 8
"""How often an event is sent that its receiver provably has not got."""
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
    }
)
"""The errors of a receiver that is being restarted; a certificate or an address that is refused stays so."""


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """How far a block came."""

    count: int
    """Events of it that were read."""
    position: int
    """Where the first event begins that has no record."""
    stopped: bool
    """Whether the breaker is open."""


class Batch:
    """
    Listens to what becomes of each event of a block.

    :param report: is told now and then how far the stream is
    """

    def __init__(
        self,
        *,
        preparer: RequestEncoder,
        pace: RateLimiter,
        breaker: CircuitBreaker,
        lines: RecordEncoder,
        summary: Summary,
        part: PartWriter,
        report: Callable[[Summary, int], None],
    ) -> None:
        self._preparer, self._pace, self._breaker = preparer, pace, breaker
        self._lines, self._summary, self._part, self._report = lines, summary, part, report
        # Looked up once: these are called for every event.
        self._add, self._write = summary.add, part.write
        self._invalid: list[tuple[int, str]] = []
        self._attempts: Counter[int] = Counter()
        """How often an event was not sent, by its position."""
        self._not_sent: dict[int, RequestResult[EncodedRequest]] = {}
        """The last result of each event that is to be sent again."""
        self._position = 0
        self._count = 0
        self._next_flush = 0.0

    def send(
        self, events: Iterator[tuple[RawEvent, int]], *, start: int, engine: Engine[EncodedRequest]
    ) -> BatchResult:
        """Send the events, and return how far that came; each event before has a record then."""
        self._position = start
        for results in engine.send(self._prepare(events)):
            for result in results:
                if self._may_send_again(result):
                    engine.requeue(result.request)
                else:
                    self._record(result)
            if self._breaker.is_open:
                engine.stop()
            self._flush_and_report()
        position = self._position
        for request in reversed(engine.unsent):
            last = self._not_sent.get(request.position)
            if last is None:
                position = min(position, request.position)
            else:
                self._record(last)
        for begins, problem in self._invalid:
            if begins < position:
                self._summary.add_invalid()
                self._part.write(self._lines.encode_invalid(begins, problem))
        return BatchResult(count=self._count, position=position, stopped=self._breaker.is_open)

    def _may_send_again(self, result: RequestResult[EncodedRequest]) -> bool:
        """Return whether an event is to be sent again, which its receiver provably has not got, after a pause."""
        if result.outcome is not Outcome.NOT_SENT:
            self._pace.note_response()
            return False
        error_class = result.error[0] if result.error else None
        attempts = self._attempts[result.request.position] = self._attempts[result.request.position] + 1
        if error_class not in _PASSING or attempts >= MAX_ATTEMPTS or not self._pace.back_off(time.monotonic()):
            return False
        self._not_sent[result.request.position] = result
        return True

    def _record(self, result: RequestResult[EncodedRequest]) -> None:
        """Write the record of a request, and slow down where the receiver asks for it."""
        milliseconds = round(result.seconds * 1000, 3)
        if result.outcome is Outcome.DELIVERED:
            self._breaker.failures = 0
            self._add(_DELIVERED, milliseconds)
            if result.responded_at is None:
                self._write(self._lines.encode_success(result, milliseconds))
                return
        else:
            self._breaker.note_failure()
            self._add(result.outcome.value, None if result.status is None else milliseconds)
        self._write(self._lines.encode_result(result, sensitive=self._preparer.sensitive_values(result.request)))
        if result.status in BUSY:
            now = time.time()
            at = read_retry_at(result.headers, received_at=now)
            self._pace.slow_down(time.monotonic(), None if at is None else at - now)

    def _flush_and_report(self) -> None:
        now = time.monotonic()
        if now >= self._next_flush:
            self._next_flush = now + _FLUSH_SECONDS
            self._part.flush()
            self._report(self._summary, self._position)

    def _prepare(self, events: Iterator[tuple[RawEvent, int]]) -> Iterator[EncodedRequest]:
        prepare = self._preparer.prepare
        for event, end in events:
            begins, self._position = self._position, end
            self._count += 1
            try:
                prepared = prepare(event, position=begins)
            except InvalidEventError as error:
                self._invalid.append((begins, str(error)))
            else:
                yield prepared
