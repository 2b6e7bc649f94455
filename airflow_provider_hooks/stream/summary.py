# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The summary of a stream, in a few numbers however many events there are, and its progress."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor, log2
from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.outcomes import Outcome

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

_BINS_PER_DOUBLING = 8
_OFFSET = 10 * _BINS_PER_DOUBLING
"""The first bin is for 0.001 ms."""
PERCENTILES = (50, 95, 99)
PROGRESS_SECONDS = 5.0
"""How often progress is logged, at most."""
_BIN = re.compile(r"[0-9]{1,3}", re.ASCII)
_MAX_COUNT = 10**12
"""A stored summary was written by this module, unless a user edited it."""


@dataclass(kw_only=True)
class Summary:
    """
    Counts of events by outcome, and the durations of the requests that got a response.

    An event is counted once, when its outcome is final: one that was sent again counts by its last outcome.
    """

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys((one.value for one in Outcome), 0))
    invalid: int = 0
    """How many of the events that were not sent are invalid."""
    sent_before: int = 0
    """How many events were not sent, because another run or an earlier event with the same id had sent them."""
    seconds: float = 0.0
    """How long events were being sent."""
    pauses: int = 0
    """How many pauses the receiver requested."""
    durations: dict[int, int] = field(default_factory=dict)
    """How many requests took how long, in bins that each are a twelfth wider than the one before."""

    @property
    def total(self) -> int:
        """How many events have a record."""
        return sum(self.outcomes.values())

    def add(self, outcome: str, milliseconds: float | None = None) -> None:
        """
        Count an event.

        :param outcome: the value of its outcome
        :param milliseconds: the duration of its request, if it got a response
        """
        self.outcomes[outcome] += 1
        if milliseconds is not None:
            bin_ = floor(log2(max(milliseconds, 0.001)) * _BINS_PER_DOUBLING) + _OFFSET
            self.durations[bin_] = self.durations.get(bin_, 0) + 1

    def add_invalid(self) -> None:
        """Count an invalid event, which is not sent."""
        self.add(Outcome.NOT_SENT.value)
        self.invalid += 1

    def count_undelivered(self) -> int:
        """Return how many valid events were not delivered, or may not have been."""
        return self.total - self.outcomes[Outcome.DELIVERED.value] - self.invalid

    def find_percentile(self, percent: float) -> float | None:
        """Return the milliseconds within which ``percent`` % of the requests got their response, or ``None``."""
        wanted, seen = sum(self.durations.values()) * percent / 100, 0
        for bin_ in sorted(self.durations):
            seen += self.durations[bin_]
            if seen >= wanted:
                return round(2 ** ((bin_ + 1 - _OFFSET) / _BINS_PER_DOUBLING), 3)
        return None

    def as_json(self) -> JsonObject:
        """Return the summary in the form in which the claim stores it."""
        bins: JsonObject = {str(bin_): count for bin_, count in self.durations.items()}
        return {
            "outcomes": dict(self.outcomes),
            "invalid": self.invalid,
            "sent_before": self.sent_before,
            "seconds": round(self.seconds, 3),
            "pauses": self.pauses,
            "durations": bins,
        }

    def describe(self) -> JsonObject:
        """Return the result of the task: counts, events per second, percentiles in milliseconds."""
        percentiles = {f"p{percent}_ms": self.find_percentile(percent) for percent in PERCENTILES}
        rate = round(sum(self.durations.values()) / self.seconds, 1) if self.seconds else None
        return {
            **self.outcomes,
            "invalid": self.invalid,
            "sent_before": self.sent_before,
            "total": self.total,
            "seconds": round(self.seconds, 3),
            "events_per_second": rate,
            "pauses": self.pauses,
            **percentiles,
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.outcomes.items() if count) or "none"
        invalid = f" ({self.invalid:,} of them invalid)" if self.invalid else ""
        before = f", {self.sent_before:,} of them sent before" if self.sent_before else ""
        pauses = f", {self.pauses} pauses requested by the receiver" if self.pauses else ""
        return f"{self.total:,} events: {counts}{invalid}{before}{pauses}"


class Log(Protocol):
    """The logger of a task or of the standard library."""

    def info(self, message: str, /, *arguments: object) -> object:
        """Log a line."""


class Progress:
    """
    Logs how far a stream is, at most every ``PROGRESS_SECONDS``. The rate is that of this try alone.

    :param end: the last offset of the source, or 0 where it is unknown
    """

    def __init__(self, log: Log, *, end: int) -> None:
        self._log, self._end = log, end
        self.start(0, 0)

    def start(self, total: int, offset: int) -> None:
        """
        Begin to measure.

        :param total: how many events have a record from earlier tries
        :param offset: where this try begins to read
        """
        self._started = self._logged = time.monotonic()
        self._first_total, self._first_offset = total, offset

    def report(self, summary: Summary, offset: int) -> None:
        """
        Log the progress, if it is time.

        :param offset: how far the source was read
        """
        now = time.monotonic()
        if now - self._logged < PROGRESS_SECONDS:
            return
        self._logged, seconds = now, now - self._started
        rate = f"{(summary.total - self._first_total) / seconds:,.0f} events/s"
        read = offset - self._first_offset
        if self._end and read > 0:
            rate += f", about {max(0.0, (self._end - offset) / read * seconds):.0f} s left"
        self._log.info("%s, %s", summary, rate)


def parse_summary(stored: Mapping[str, object]) -> Summary:
    """Return a summary from what ``as_json`` returned; what is missing or cannot be read counts as nothing."""
    summary = Summary()
    outcomes, durations, seconds = stored.get("outcomes"), stored.get("durations"), stored.get("seconds")
    for name, count in outcomes.items() if isinstance(outcomes, Mapping) else ():
        if name in summary.outcomes:
            summary.outcomes[name] = _to_count(count)
    for bin_, count in durations.items() if isinstance(durations, Mapping) else ():
        if _BIN.fullmatch(str(bin_)) and _to_count(count):
            summary.durations[int(bin_)] = _to_count(count)
    if isinstance(seconds, int | float) and 0 <= seconds < _MAX_COUNT:
        summary.seconds = float(seconds)
    summary.sent_before = _to_count(stored.get("sent_before"))
    summary.invalid, summary.pauses = _to_count(stored.get("invalid")), _to_count(stored.get("pauses"))
    return summary


def _to_count(value: object) -> int:
    return value if type(value) is int and 0 <= value < _MAX_COUNT else 0
