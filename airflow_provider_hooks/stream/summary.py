# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What came of a stream, in a few numbers that do not grow with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor, log2
from typing import TYPE_CHECKING

from airflow_provider_hooks.outcomes import Outcome

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

_BINS_PER_DOUBLING = 8
_OFFSET = 10 * _BINS_PER_DOUBLING
"""The first bin is for a thousandth of a millisecond."""
PERCENTILES = (50, 95, 99)
_PLACE = re.compile(r"[0-9]{1,3}", re.ASCII)
_MOST = 10**12
"""What is kept was written by this module, unless somebody edited it."""


@dataclass(kw_only=True)
class Summary:
    """Counts by outcome, and how long the answered requests took."""

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys((one.value for one in Outcome), 0))
    invalid: int = 0
    """How many of those that were not sent cannot be delivered as they are."""
    seconds: float = 0.0
    """For how long events were being sent."""
    pauses: int = 0
    """How often a receiver asked for one."""
    durations: dict[int, int] = field(default_factory=dict)
    """How many requests took how long, in bins that are a twelfth wider than the one before."""

    @property
    def total(self) -> int:
        """How many events have a record."""
        return sum(self.outcomes.values())

    def add(self, outcome: str, milliseconds: float | None = None) -> None:
        """Count an event by the value of its outcome, and how long its request took if it was answered."""
        self.outcomes[outcome] += 1
        if milliseconds is not None:
            place = floor(log2(max(milliseconds, 0.001)) * _BINS_PER_DOUBLING) + _OFFSET
            self.durations[place] = self.durations.get(place, 0) + 1

    def add_invalid(self) -> None:
        """Count an event that cannot be delivered as it is, and so was not sent."""
        self.add(Outcome.NOT_SENT.value)
        self.invalid += 1

    def count_undelivered(self) -> int:
        """Return how many events that could be delivered were not, or may not have been."""
        return self.total - self.outcomes[Outcome.DELIVERED.value] - self.invalid

    def find_percentile(self, percent: float) -> float | None:
        """Return the milliseconds that so many of a hundred answered requests took at most."""
        wanted, seen = sum(self.durations.values()) * percent / 100, 0
        for place in sorted(self.durations):
            seen += self.durations[place]
            if seen >= wanted:
                return round(2 ** ((place + 1 - _OFFSET) / _BINS_PER_DOUBLING), 3)
        return None

    def as_json(self) -> JsonObject:
        """Return it as it is kept in the claim."""
        bins: JsonObject = {str(place): count for place, count in self.durations.items()}
        return {
            "outcomes": dict(self.outcomes),
            "invalid": self.invalid,
            "seconds": round(self.seconds, 3),
            "pauses": self.pauses,
            "durations": bins,
        }

    def describe(self) -> JsonObject:
        """Return it as people read it: counts, events per second, percentiles in milliseconds."""
        answered = {f"p{percent}_ms": self.find_percentile(percent) for percent in PERCENTILES}
        rate = round(sum(self.durations.values()) / self.seconds, 1) if self.seconds else None
        return {
            **self.outcomes,
            "invalid": self.invalid,
            "total": self.total,
            "seconds": round(self.seconds, 3),
            "events_per_second": rate,
            "pauses": self.pauses,
            **answered,
        }


def read_summary(kept: Mapping[str, object]) -> Summary:
    """Read a summary back from what ``as_json`` gave; what is missing counts as nothing."""
    summary = Summary()
    outcomes, durations, seconds = kept.get("outcomes"), kept.get("durations"), kept.get("seconds")
    for name, count in outcomes.items() if isinstance(outcomes, Mapping) else ():
        if name in summary.outcomes:
            summary.outcomes[name] = _read_count(count)
    for place, count in durations.items() if isinstance(durations, Mapping) else ():
        if _PLACE.fullmatch(str(place)) and _read_count(count):
            summary.durations[int(place)] = _read_count(count)
    if isinstance(seconds, int | float) and 0 <= seconds < _MOST:
        summary.seconds = float(seconds)
    summary.invalid, summary.pauses = _read_count(kept.get("invalid")), _read_count(kept.get("pauses"))
    return summary


def _read_count(kept: object) -> int:
    return kept if type(kept) is int and 0 <= kept < _MOST else 0
