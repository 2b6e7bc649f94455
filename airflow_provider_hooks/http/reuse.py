# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Decides how carefully requests are sent while a receiver restarts. Pure: times are those of ``time.monotonic``.

A receiver that reloads or restarts closes its connections, and often does so again soon. A request that it did not read
by then is lost: on a reused connection, or on a new one. So after an unexpected close every connection is used once for
a period, with an eighth of the requests under way. In the second period these few reuse connections, and in each
further period twice as many are under way. The next unexpected close therefore finds few requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_PERIOD_SECONDS, MAX_PERIOD_SECONDS = 2.0, 32.0
"""How long a period is after the first unexpected close, and at most."""
DIVISORS = (8, 8, 4, 2)
"""What the number of requests under way is divided by, in each period."""


@dataclass(kw_only=True)
class RestartGuard:
    """Limits reuse and the requests under way after the receiver closed a connection unexpectedly."""

    reuses_from: float = field(default=0.0, init=False)
    """When connections are reused again."""
    limited_until: float = field(default=0.0, init=False)
    """When as many requests as usual are under way again."""
    _closed_at: float = field(default=0.0, init=False)
    _period: float = field(default=FIRST_PERIOD_SECONDS, init=False)

    def note_close(self, now: float) -> None:
        """
        Note that the receiver closed a connection unexpectedly: the first period begins again.

        Periods are twice as long from then on if connections were reused again before the requests were as many as
        usual: the receiver goes on restarting.
        """
        if now >= self.limited_until:
            self._period = FIRST_PERIOD_SECONDS
        elif now >= self.reuses_from:
            self._period = min(2 * self._period, MAX_PERIOD_SECONDS)
        self._closed_at, self.reuses_from = now, now + self._period
        self.limited_until = now + len(DIVISORS) * self._period

    def limit(self, concurrency: int, now: float) -> int:
        """
        Return how many requests may be under way.

        :param concurrency: how many usually are
        """
        if now >= self.limited_until:
            return concurrency
        period = min(int((now - self._closed_at) / self._period), len(DIVISORS) - 1)
        return max(1, concurrency // DIVISORS[period])
