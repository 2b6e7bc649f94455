# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Airflow Variables as the memory of registered hooks, and as the lock that lets one run at a time change it.

A Variable has no compare-and-set, so two runs that read, change and write one would lose what the other wrote; and two
runs that both see no hook would register two. The lock rests on what a database does give: a run that has written a key
of its own and *then* lists no other key is alone, because any other that wrote later sees that key.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from typing import TYPE_CHECKING

from airflow.sdk import Variable

from airflow_provider_hooks.errors import InvalidFieldsError, ServiceHookError
from airflow_provider_hooks.hooks.deployment import read_variable
from airflow_provider_hooks.signing.variable import format_kept_hooks, parse_kept_hooks
from airflow_provider_hooks.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from airflow_provider_hooks.registries.memory import Kept

LEASE_SECONDS = 60.0
"""How long a lock outlives its holder."""

MAX_NAME_CHARACTERS = 200
"""Of Airflow's 250, so that the lock's name fits."""

_PATIENCE_LEASES = 5
_PAUSE_SECONDS = (0.05, 0.4)

_log = logging.getLogger(__name__)


def name_variable(registry_conn_id: str, hook_name: str) -> str:
    """Return the Variable of a declaration that names none; Airflow's UI masks what has ``secret`` in its name."""
    return f"service_hook_secret_{registry_conn_id}_{hook_name}"


def check_variable_name(name: object) -> None:
    """
    Return if this can name the Variable of a memory.

    :raises InvalidFieldsError: if it is blank, too long or not one line of text
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InvalidFieldsError("service hook", {"secret_variable": f"must be a Variable's name, not {quoted(name)}"})
    if len(name) > MAX_NAME_CHARACTERS:
        told = f"must have at most {MAX_NAME_CHARACTERS} characters, not {len(name)}"
        raise InvalidFieldsError("service hook", {"secret_variable": told})


class LockError(ServiceHookError):
    """Another run holds the lock, or took it because this one stood still for too long."""

    is_passing = True


class VariableMemory:
    """
    Remembers hooks in an Airflow Variable.

    :param name: the Variable's name
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self) -> None:
        """
        Return if the Variable is where a task can write, or nowhere yet.

        :raises ServiceHookError: if it is set in the environment or a secrets backend, or is there and cannot be read
        """
        is_read, is_written = read_variable(self.name) is not None, self.name in list(Variable.keys(prefix=self.name))
        if is_read and not is_written:
            raise ServiceHookError(
                f"the Variable '{self.name}' comes from the environment or a secrets backend, where a task cannot "
                "write; unset it there, or name another"
            )
        if is_written and not is_read:
            # Airflow reads a Variable whose backend fails as one that is not there.
            raise ServiceHookError(f"the Variable '{self.name}' is there and cannot be read now; nothing was changed")

    def read(self) -> Kept:
        """
        Return what the Variable holds.

        :raises ServiceHookError: if it holds something else
        """
        try:
            return parse_kept_hooks(read_variable(self.name) or "")
        except ValueError as error:
            raise ServiceHookError(f"the Variable '{self.name}' {error}; it is unchanged") from None

    def write(self, kept: Kept) -> None:
        """
        Write the Variable and see that it reads back.

        :raises ServiceHookError: if it does not
        """
        text = format_kept_hooks(kept)
        Variable.set(self.name, text, description="Service hooks and their signing secrets, newest first")
        if read_variable(self.name) != text:
            raise ServiceHookError(f"the Variable '{self.name}' does not read back as it was written")


class VariableLock:
    """
    Lets one run at a time into what it guards. Use it as a context manager.

    A holder that dies is waited for as long as its lease; a holder that stands still for longer than that, and then
    goes on, learns of it before its next call.

    :param name: what is guarded
    :param lease: seconds that a key is believed without a sign of life
    """

    def __init__(
        self,
        name: str,
        *,
        lease: float = LEASE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = f"{name}__lock__"
        self._lease = lease
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
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    def keep_alive(self) -> None:
        """
        Show a sign of life if the last one is old.

        :raises LockError: if another run took the lock meanwhile
        """
        if self._clock() - self._written < self._lease / 3:
            return
        if self._key not in self._list_keys():
            raise LockError(f"another run took over '{self._prefix}', since this one stood still for too long")
        self._put()

    def wait(self, seconds: float) -> None:
        """Sleep, showing signs of life."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, self._lease / 4))
            self.keep_alive()

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
            for key in [key for key, since in first_seen.items() if now - since > self._lease]:
                _log.warning("The run that held %s gave no sign of life for %.0f s; taking it over", key, self._lease)
                Variable.delete(key)
            if now - started > self._lease * _PATIENCE_LEASES:
                raise LockError(f"other runs hold '{self._prefix}' for {now - started:.0f} s already")
            self._give_way(others)

    def _give_way(self, others: list[str]) -> None:
        """Stay in the queue if first in it, else leave it for a moment: so of those who meet, one stays."""
        is_first = all(self._prefix + self._holder < key for key in others)
        if not is_first:
            self._remove()
        self._sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311  (spreads attempts, guards nothing)
        if self._key is None or self._clock() - self._written > self._lease / 3:
            self._put()

    def _list_keys(self) -> list[str]:
        return list(Variable.keys(prefix=self._prefix))

    def _put(self) -> None:
        """Write a key that is new to everybody, then remove the one before."""
        before, self._count = self._key, self._count + 1
        key = f"{self._prefix}{self._holder}-{self._count}"
        Variable.set(key, "held", description="A run that changes service hooks; gone when it ends")
        self._key, self._written = key, self._clock()
        if before is not None:
            Variable.delete(before)

    def _remove(self) -> None:
        if self._key is not None:
            key, self._key = self._key, None
            Variable.delete(key)
