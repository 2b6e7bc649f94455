# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The lock that lets one run at a time change the hooks that a Variable remembers.

A Variable has no compare-and-set, so two runs that read, change and write one would lose what the other wrote; and two
runs that both see no hook would register two. The lock rests on what a database does give: a run that has written a key
of its own and *then* lists no other key is alone, because any other that wrote later sees that key.
"""

from __future__ import annotations

import logging
import random
import re
import time
import uuid
from typing import TYPE_CHECKING

from airflow.sdk import Variable

from airflow_provider_hooks.exceptions import ServiceHookError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from airflow_provider_hooks._runtime.airflow import VariableStore

LEASE_SECONDS = 60.0
"""How long a lock outlives a holder that makes no call, without a sign of life."""

_PATIENCE_LEASES = 5
_PAUSE_SECONDS = (0.05, 0.4)
_LEASE_IN_KEY = re.compile(r"-([0-9.]+)s$", re.ASCII)

_log = logging.getLogger(__name__)


class LockError(ServiceHookError):
    """Another run holds the lock, or took it because this one stood still for too long."""

    retryable = True


class VariableLock:
    """
    Lets one run at a time into what it guards. Use it as a context manager.

    A holder that dies is waited for as long as its lease, which its key tells; a holder that stands still for longer
    than that, and then goes on, learns of it before its next call or write.

    :param name: what is guarded
    :param lease: seconds that a key is believed without a sign of life, beside the longest call
    :param max_call_seconds: seconds that one call of the holder may take, in which it gives no sign
    :param store: where its keys are written, if not by the running task
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
        self._prefix = f"{name}__lock__"
        self._lease = lease
        self._longest_call = max_call_seconds
        self._store = store or Variable
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
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def renew(self) -> None:
        """
        Show a sign of life if the last one is old.

        :raises LockError: if another run took the lock meanwhile
        """
        if self._clock() - self._written >= self._lease / 3:
            self._replace_marker()

    def ensure_held(self) -> None:
        """
        Return if the lock is still held, and will be for a while.

        :raises LockError: if another run took the lock meanwhile
        """
        self.renew()
        self._check_held(self._key)

    def wait(self, seconds: float) -> None:
        """Sleep, showing signs of life."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, self._lease / 4))
            self.renew()

    def _replace_marker(self) -> None:
        """Write a new key while the old one stands: whoever took the lock removed that one first."""
        before = self._key
        self._check_held(before)
        self._put()
        self._check_held(before)
        if before is not None:
            self._store.delete(before)

    def _check_held(self, key: str | None) -> None:
        if key not in self._list_keys():
            raise LockError(f"another run took over '{self._prefix}', since this one stood still for too long")

    def _acquire(self) -> None:
        started = self._clock()
        first_seen: dict[str, float] = {}
        self._put()
        while True:
            keys = self._list_keys()
            others = [key for key in keys if not key.startswith(self._prefix + self._holder)]
            if self._key not in keys:
                self._key = None
            elif not others:
                return
            now = self._clock()
            first_seen = {key: first_seen.get(key, now) for key in others}
            for key in [key for key, since in first_seen.items() if now - since > self._read_lease(key)]:
                _log.warning("The run that held %s gave no sign of life for %.0f s; taking it over", key, self._lease)
                self._store.delete(key)
            longest = max([self._lease + self._longest_call, *map(self._read_lease, others)])
            if now - started > longest * _PATIENCE_LEASES:
                raise LockError(f"other runs hold '{self._prefix}' for {now - started:.0f} s already")
            self._give_way(others)

    def _read_lease(self, key: str) -> float:
        """Return how long another's key is to be believed, which it says at its end."""
        found = _LEASE_IN_KEY.search(key)
        return float(found[1]) if found else self._lease

    def _give_way(self, others: list[str]) -> None:
        """Stay in the queue if first in it, else leave it for a moment: so of those who meet, one stays."""
        is_first = all(self._prefix + self._holder < key for key in others)
        if not is_first:
            self._remove()
        self._sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311  (spreads attempts, guards nothing)
        if self._key is None:
            self._put()
        elif self._clock() - self._written > self._lease / 3:
            before = self._key
            self._put()
            self._store.delete(before)

    def _list_keys(self) -> list[str]:
        return list(self._store.keys(prefix=self._prefix))

    def _put(self) -> None:
        """Write a key that is new to everybody."""
        self._count += 1
        seconds = self._lease + self._longest_call
        self._key, self._written = f"{self._prefix}{self._holder}-{self._count}-{seconds:g}s", self._clock()
        self._store.set(self._key, "held", description="A run that changes service hooks; gone when it ends")

    def _remove(self) -> None:
        if self._key is not None:
            key, self._key = self._key, None
            self._store.delete(key)

    def _leave(self) -> None:
        """Remove what is left of this holder; a database that is gone by now must not hide what went wrong before."""
        try:
            for key in self._list_keys():
                if key.startswith(self._prefix + self._holder):
                    self._store.delete(key)
        except Exception:  # noqa: BLE001  (whatever Airflow raises: the lease ends it)
            _log.warning("The lock '%s' could not be removed; it ends with its lease", self._prefix, exc_info=True)
