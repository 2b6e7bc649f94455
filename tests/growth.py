# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Asserts that processor time grows linearly with the size of the input."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FACTOR = 2.5
_MEASUREMENTS = 5


def assert_grows_linearly(work: Callable[[int], object], *, start: int, shortest: float = 0.005) -> None:
    """
    Assert that doubled input takes at most 2.5 times the processor time, in the best of a few measurements.

    :param work: is called with the size of its input
    :param start: the first size; it is doubled until the work takes long enough to be measured
    :param shortest: seconds that the smaller input must take
    """
    size = start
    while (seconds := _measure(work, size)) < shortest and size < 64 * start:
        size *= 2
    factors = []
    for _ in range(_MEASUREMENTS):
        seconds = min(_measure(work, size), _measure(work, size))
        factors.append(_measure(work, 2 * size) / max(seconds, 1e-6))
        if factors[-1] <= MAX_FACTOR:
            return
    if seconds >= shortest:
        raise AssertionError(f"{size} and {2 * size}: {min(factors):.1f} times the time, more than {MAX_FACTOR}")


def _measure(work: Callable[[int], object], size: int) -> float:
    started = time.process_time()
    work(size)
    return time.process_time() - started
