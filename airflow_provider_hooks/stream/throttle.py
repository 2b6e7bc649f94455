# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How fast a stream may go, and when it must stop: pure, on a clock that is handed in."""

from __future__ import annotations

from dataclasses import dataclass, field

BUSY = frozenset({429, 503})
"""The statuses that ask a sender to slow down (RFC 6585, section 4; RFC 9110, section 15.6.4)."""
DEFAULT_PAUSE = 1.0
"""Seconds of a pause where a receiver that is busy says none."""
_AHEAD_SECONDS = 5.0
"""How old a signature may be at most for want of its turn: some schemes sign the time."""
MAX_PAUSE = 60.0
"""The longest pause, in seconds, whatever a receiver asks for."""


@dataclass(kw_only=True)
class RateLimiter:
    """
    When the next events may be sent.

    :param rate_limit: events per second, or ``None``
    """

    rate_limit: float | None
    pauses: int = 0
    """How often a receiver asked for one."""
    paused_seconds: float = 0.0
    _paused_until: float = 0.0
    _next: float = 0.0

    def acquire(self, now: float, wanted: int) -> int:
        """Return how many of the wanted events may be sent now; the others wait."""
        if now < self._paused_until:
            return 0
        if self.rate_limit is None:
            return wanted
        # What was not sent while nothing was to be sent is not made up for by a burst of over a tenth of a second.
        self._next = max(self._next, now - 0.1)
        allowed = min(wanted, int((now - self._next) * self.rate_limit) + 1) if now >= self._next else 0
        self._next += allowed / self.rate_limit
        return allowed

    def prefetch_limit(self, wanted: int) -> int:
        """Return how many events may be prepared before they are sent: no more than some seconds' worth."""
        return wanted if self.rate_limit is None else min(wanted, max(1, int(self.rate_limit * _AHEAD_SECONDS)))

    def delay(self, now: float) -> float:
        """Return the seconds until an event may be sent."""
        return max(0.0, self._paused_until - now, (self._next - now) if self.rate_limit else 0.0)

    def slow_down(self, now: float, seconds: float | None) -> float:
        """
        Pause after a receiver said that it is busy; return for how long from now on, in seconds.

        :param seconds: what it asked for, if it said so
        """
        until = now + min(DEFAULT_PAUSE if seconds is None else max(0.0, seconds), MAX_PAUSE)
        if until <= self._paused_until:
            return self._paused_until - now
        self.pauses += 1
        self.paused_seconds += until - max(now, self._paused_until)
        self._paused_until = until
        return until - now


@dataclass(kw_only=True)
class CircuitBreaker:
    """
    Stops a stream to a receiver that is dead.

    :param limit: how many events in a row may come to anything but ``delivered``, or ``None``
    """

    limit: int | None
    is_open: bool = field(default=False, init=False)
    failures: int = field(default=0, init=False)
    """In a row; whoever delivers an event sets it back."""

    def note_failure(self) -> None:
        """Take note that an event came to anything else."""
        self.failures += 1
        if self.limit is not None and self.failures >= self.limit:
            self.is_open = True
