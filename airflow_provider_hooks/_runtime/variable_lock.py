# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A lock in Airflow Variables: one run at a time changes the hooks that a Variable stores.

A Variable has no compare-and-set, so two runs that read, change and write one would overwrite each other's changes, and
two runs that both see no hook would register two. The lock relies on what the database does guarantee: a run that has
written its own marker and *then* lists no other marker is alone, because any run that writes later sees that marker.
"""

from __future__ import annotations

import logging
import random
import re
import time
import uuid
from typing import TYPE_CHECKING

from airflow.sdk import Variable

from airflow_provider_hooks._runtime.compat import require_listing
from airflow_provider_hooks.exceptions import LockError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from airflow_provider_hooks._runtime.airflow import VariableStore

LEASE_SECONDS = 60.0
"""How long a marker is valid without being renewed, in addition to the longest request of its holder."""

_MAX_WAIT_LEASES = 5
_PAUSE_SECONDS = (0.05, 0.4)
LOCK_INFIX = "__lock__"
"""What stands between the name of a lock and the rest of its keys."""
_MAX_LEASE_SECONDS = 900.0
"""The longest lease that is accepted from the key of another run."""
_KEY = re.compile(r"[0-9a-f]{32}-[0-9]{1,9}-[0-9]{1,5}(?:\.[0-9]{1,6})?s", re.ASCII)
"""The part of a key after the prefix: holder, number, lease. A Variable with another name is left alone."""

_log = logging.getLogger(__name__)


class VariableLock:
    """
    Excludes other runs. Use it as a context manager.

    The marker of a holder that died is removed when its lease, which is part of its key, is over. A holder that did not
    renew its marker in time gets an error before its next request or write.

    :param name: what the lock protects
    :param lease: lease in seconds, in addition to ``max_call_seconds``
    :param max_call_seconds: seconds that one request of the holder may take, during which it does not renew
    :param store: where the markers are written; by default through the running task
    """

    def __init__(
        self,
        name: str,
        *,
        lease: float = LEASE_SECONDS,
        max_call_seconds: float = 0.0,
        store: VariableStore | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = f"{name}{LOCK_INFIX}"
        self._lease = lease
        self._max_call_seconds = max_call_seconds
        self._store = store or require_listing(Variable)
        self._sleep = sleep
        self._clock = clock
        self._holder = uuid.uuid4().hex
        self._key: str | None = None
        self._count = 0
        self._written = 0.0

    def __enter__(self) -> VariableLock:  # noqa: PYI034  (Self is not in Python 3.10)
        try:
            self._acquire()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    def renew(self) -> None:
        """
        Renew the marker if a third of the lease has passed.

        :raises LockError: if another run took the lock over
        """
        if self._clock() - self._written >= self._lease / 3:
            self._replace_marker()

    def ensure_held(self) -> None:
        """
        Return if the lock is held, and its marker is renewed.

        :raises LockError: if another run took the lock over
        """
        self.renew()
        self._check_held(self._key)

    def wait(self, seconds: float) -> None:
        """Sleep, and renew the marker meanwhile."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, self._lease / 4))
            self.renew()

    def _replace_marker(self) -> None:
        """Write a new marker before the old one is deleted: a run that took the lock over removed that one first."""
        before = self._key
        self._check_held(before)
        self._write_marker()
        self._check_held(before)
        if before is not None:
            self._store.delete(before)

    def _check_held(self, key: str | None) -> None:
        if key not in self._list_keys():
            raise LockError(f"another run took over '{self._prefix}', because this run did not renew it in time")

    def _acquire(self) -> None:
        started = self._clock()
        first_seen: dict[str, float] = {}
        self._write_marker()
        while True:
            keys = self._list_keys()
            others = [key for key in keys if not key.startswith(self._prefix + self._holder)]
            if self._key not in keys:
                self._key = None
            elif not others:
                return
            now = self._clock()
            first_seen = {key: first_seen.get(key, now) for key in others}
            for key, since in first_seen.items():
                lease = self._read_lease(key)
                if now - since > lease:
                    _log.warning("The run that held %s did not renew it for %.0f s; taking it over", key, lease)
                    self._store.delete(key)
            longest = max([self._lease + self._max_call_seconds, *map(self._read_lease, others)])
            if now - started > longest * _MAX_WAIT_LEASES:
                raise LockError(f"other runs have held '{self._prefix}' for {now - started:.0f} s")
            self._back_off(others)

    @staticmethod
    def _read_lease(key: str) -> float:
        """Return the lease of another run's marker, which is at the end of its key."""
        return min(float(key.rpartition("-")[2].removesuffix("s")), _MAX_LEASE_SECONDS)

    def _back_off(self, others: list[str]) -> None:
        """Keep the marker if it is the first in order, otherwise remove it for a moment, so that one run proceeds."""
        is_first = all(self._prefix + self._holder < key for key in others)
        if not is_first:
            self._remove_marker()
        self._sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311  (spreads attempts, protects nothing)
        if self._key is None:
            self._write_marker()
        elif self._clock() - self._written > self._lease / 3:
            before = self._key
            self._write_marker()
            self._store.delete(before)

    def _list_keys(self) -> list[str]:
        keys = self._store.keys(prefix=self._prefix)
        return [key for key in keys if key.startswith(self._prefix) and _KEY.fullmatch(key[len(self._prefix) :])]

    def _write_marker(self) -> None:
        """Write a marker under a new key."""
        self._count += 1
        seconds = min(self._lease + self._max_call_seconds, _MAX_LEASE_SECONDS)
        self._key, self._written = f"{self._prefix}{self._holder}-{self._count}-{seconds:g}s", self._clock()
        self._store.set(self._key, "held", description="A run that changes service hooks; deleted when it ends")

    def _remove_marker(self) -> None:
        if self._key is not None:
            key, self._key = self._key, None
            self._store.delete(key)

    def _release(self) -> None:
        """Remove this holder's markers; a database that is unavailable must not hide the error before it."""
        try:
            for key in self._list_keys():
                if key.startswith(self._prefix + self._holder):
                    self._store.delete(key)
        except Exception:  # noqa: BLE001  (whatever Airflow raises: the lease ends the lock)
            _log.warning("The lock '%s' could not be removed; it ends with its lease", self._prefix, exc_info=True)
