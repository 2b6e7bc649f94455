# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How fast a stream is sent, and when it stops. Pure: the time is a parameter, in seconds of ``time.monotonic``."""

from __future__ import annotations

from dataclasses import dataclass, field

BUSY = frozenset({429, 503})
"""The statuses that request a sender to slow down (RFC 6585, section 4; RFC 9110, section 15.6.4)."""
DEFAULT_PAUSE = 1.0
"""Seconds of a pause where a busy receiver sends no ``Retry-After``."""
MAX_PAUSE = 60.0
"""The longest pause in seconds, whatever ``Retry-After`` says."""
MAX_PAUSED_SECONDS = 3_600.0
"""The longest sum of all pauses of a try, in seconds."""
BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.1, 5.0
"""The pause after a connection error, which doubles each time, and the longest one."""
MAX_BACKOFFS = 8
"""How many such pauses there are without a response in between: some 16 seconds in all."""
_PREFETCH_SECONDS = 5.0
"""How old a signature may be because its request waits for the rate limit: some schemes sign the time."""


@dataclass(kw_only=True)
class RateLimiter:
    """
    Decides when the next events may be sent: by the rate limit, by ``Retry-After``, and after connection errors.

    :param rate_limit: events per second, or ``None``
    """

    rate_limit: float | None
    pauses: int = 0
    """How many pauses the receiver requested."""
    paused_seconds: float = 0.0
    """How long it paused in all because the receiver requested it."""
    backoff_seconds: float = 0.0
    """How long it paused in all after connection errors."""
    _paused_until: float = 0.0
    _backoffs: int = 0
    _backoff_until: float = 0.0
    _next: float = 0.0

    def acquire(self, now: float, wanted: int) -> int:
        """Return how many of the wanted events may be sent now; the others wait."""
        if now < self._paused_until or now < self._backoff_until:
            return 0
        if self.rate_limit is None:
            return wanted
        # Time in which nothing was sent is not made up for by a burst of more than a tenth of a second.
        self._next = max(self._next, now - 0.1)
        allowed = min(wanted, int((now - self._next) * self.rate_limit) + 1) if now >= self._next else 0
        self._next += allowed / self.rate_limit
        return allowed

    def prefetch_limit(self, wanted: int) -> int:
        """Return how many events may be encoded before they are sent: at most the events of some seconds."""
        return wanted if self.rate_limit is None else min(wanted, max(1, int(self.rate_limit * _PREFETCH_SECONDS)))

    def delay(self, now: float) -> float:
        """Return the seconds until an event may be sent."""
        limited = (self._next - now) if self.rate_limit else 0.0
        return max(0.0, self._paused_until - now, self._backoff_until - now, limited)

    def pause(self, now: float, seconds: float | None) -> float:
        """
        Pause because the receiver is busy; return how long from now on, in seconds.

        :param seconds: what the receiver requested, or ``None``
        """
        until = now + min(DEFAULT_PAUSE if seconds is None else max(0.0, seconds), MAX_PAUSE)
        if until <= self._paused_until:
            return self._paused_until - now
        self.pauses += 1
        self.paused_seconds += until - max(now, self._paused_until)
        self._paused_until = until
        return until - now

    def back_off(self, now: float) -> bool:
        """
        Pause after a connection error, longer each time; return ``False`` if the receiver was unreachable for too long.

        Requests that were under way together share one pause.
        """
        if now >= self._backoff_until:
            if self._backoffs >= MAX_BACKOFFS:
                return False
            seconds = min(BACKOFF_SECONDS * 2**self._backoffs, MAX_BACKOFF_SECONDS)
            self._backoff_until = now + seconds
            self.backoff_seconds += seconds
            self._backoffs += 1
        return True

    @property
    def is_exhausted(self) -> bool:
        """Whether the pauses of this try were too long in all: a receiver could otherwise hold a worker for ever."""
        return self.paused_seconds + self.backoff_seconds > MAX_PAUSED_SECONDS

    def note_response(self) -> None:
        """Begin with the shortest pause again: the receiver can be reached."""
        self._backoffs = 0


@dataclass(kw_only=True)
class CircuitBreaker:
    """
    Stops a stream to a receiver that fails.

    :param limit: after how many failures in a row it opens, or ``None`` for never
    """

    limit: int | None
    is_open: bool = field(default=False, init=False)
    failures: int = field(default=0, init=False)
    """Failures in a row; a delivered event resets it."""

    def note_failure(self) -> None:
        """Count an event that was not delivered."""
        self.failures += 1
        if self.limit is not None and self.failures >= self.limit:
            self.is_open = True
