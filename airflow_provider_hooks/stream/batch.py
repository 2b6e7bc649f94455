# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One claimed block: prepares its events, has them sent, and writes the record of each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hooks.delivery.answer import to_milliseconds
from airflow_provider_hooks.delivery.record import Outcome
from airflow_provider_hooks.http.retry_after import read_retry_at
from airflow_provider_hooks.stream.payloads import InvalidEventError
from airflow_provider_hooks.stream.throttle import BUSY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_hooks.stream.encode import EncodedRequest, RequestEncoder
    from airflow_provider_hooks.stream.engine import Engine
    from airflow_provider_hooks.stream.records import PartWriter, RecordEncoder
    from airflow_provider_hooks.stream.result import RequestResult
    from airflow_provider_hooks.stream.sources import RawEvent
    from airflow_provider_hooks.stream.summary import Summary
    from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter

_FLUSH_SECONDS = 1.0
_DELIVERED = Outcome.DELIVERED.value


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
        self._add, self._write, self._tell_success = summary.add, part.write, lines.encode_success
        self._invalid: list[tuple[int, str]] = []
        self._position = 0
        self._count = 0
        self._next_flush = 0.0

    def send(self, events: Iterator[tuple[RawEvent, int]], *, start: int, engine: Engine) -> BatchResult:
        """Send the events, and return how far that came; each event before has a record then."""
        self._position = start
        left = engine.send(self._prepare(events), self)
        position = left[0].position if left else self._position
        for begins, problem in self._invalid:
            if begins < position:
                self._summary.add_invalid()
                self._part.write(self._lines.encode_invalid(begins, problem))
        return BatchResult(count=self._count, position=position, stopped=self._breaker.is_open)

    def take_success(self, event: EncodedRequest, status: int, peer: str, started_at: float, seconds: float) -> None:
        """Record a request that a plain 2xx answered."""
        milliseconds = round(seconds * 1000, 3)
        self._add(_DELIVERED, milliseconds)
        self._breaker.failures = 0
        self._write(self._tell_success(event, status, peer, started_at, milliseconds))

    def take_ending(self, event: EncodedRequest, ending: RequestResult) -> None:
        """Record a request that ended in any other way, and slow down where the receiver asks for it."""
        outcome, line = self._lines.encode_result(event, ending, private=self._preparer.sensitive_values(event))
        status = ending.answer.status if ending.answer else None
        self._summary.add(outcome.value, to_milliseconds(ending.seconds) if status is not None else None)
        if outcome is Outcome.DELIVERED:
            self._breaker.failures = 0
        else:
            self._breaker.note_failure()
        self._part.write(line)
        if ending.answer is not None and status in BUSY:
            now = time.time()
            at = read_retry_at(ending.answer.headers, received_at=now)
            self._pace.slow_down(time.monotonic(), None if at is None else at - now)

    def wants_more(self) -> bool:
        """Tell whether anything more is to be sent; called often, so progress is told from here."""
        now = time.monotonic()
        if now >= self._next_flush:
            self._next_flush = now + _FLUSH_SECONDS
            self._part.flush()
            self._report(self._summary, self._position)
        return not self._breaker.is_open

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
