# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How long a process waits for a claim store that does not answer, and for another process that is sending."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_hooks.exceptions import StateStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
CLAIM_PAUSES = (0.05, 1.0)
"""The first and the longest pause between two looks at the claim of another process that is sending."""
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.5, 5.0
Returned = TypeVar("Returned")


class OutageError(Exception):
    """A store did not answer. The message says why."""


class GrowingPause:
    """
    Pauses between looks at something that changes: each twice as long as the one before.

    :param first: the first pause in seconds
    :param longest: the longest one
    """

    def __init__(self, first: float, longest: float) -> None:
        self._next, self._longest = first, longest

    def sleep(self, *, until: float) -> None:
        """Sleep for the next pause, at most until a time of ``time.monotonic``."""
        time.sleep(min(self._next, max(0.0, until - time.monotonic())))
        self._next = min(2 * self._next, self._longest)


class Patience:
    """
    Tries operations of a store again until they are answered or the time is over.

    :param name: the store, as it begins an error
    :param seconds: for how long each operation is tried again
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds = name, seconds

    def call(self, operation: Callable[[], Returned]) -> Returned:
        """
        Return what an operation returns; it raises ``OutageError`` while the store does not answer.

        :raises StateStoreError: if the store did not answer in time; operations that follow are tried once
        """
        give_up_at = time.monotonic() + self._seconds
        pause = GrowingPause(_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS)
        while True:
            try:
                return operation()
            except OutageError as error:
                if time.monotonic() >= give_up_at:
                    problem = f"{self._name} did not answer for {self._seconds:g} s ({error})"
                    self._seconds = 0.0
                    raise StateStoreError(problem) from None
                _log.warning("%s does not answer; trying again to read or store the claim: %s", self._name, error)
            pause.sleep(until=give_up_at)
