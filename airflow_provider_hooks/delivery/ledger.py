# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Where claims are kept: the state store that Airflow has for every task instance, behind two calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.delivery.claims import Claim, read_claim
from airflow_provider_hooks.errors import ServiceHookError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_hooks.json_types import JsonObject

KEY_PREFIX = "service_hook_delivery"
"""What a claim's key begins with; a person sees it in the task's Storage tab."""


class StateStore(Protocol):
    """What the ledger needs: a durable store that outlives tries and crashes, scoped to one task instance."""

    def get(self, key: str) -> object:
        """Return what is kept under a key, or ``None``."""

    def set(self, key: str, value: JsonObject) -> None:
        """Keep a value for good. When this returns, it is durable."""


class ClaimLostError(ServiceHookError):
    """Another process claimed the same delivery at the same moment, so this one sends nothing."""


class Ledger:
    """
    The claim of one delivery of a task.

    :param slot: names the delivery within the task. It must be the same on every try, so it cannot be taken from an
        event whose id is made anew by each try.
    :param settle_time: seconds after which a claim is believed. Airflow's own store needs none: it refuses the writes
        and reads of a try that another has followed. A store that does not needs more than its slowest write takes.
    """

    def __init__(
        self,
        store: StateStore,
        *,
        slot: str = "",
        settle_time: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._key = f"{KEY_PREFIX}:{slot}" if slot else KEY_PREFIX
        self._settle_time = settle_time
        self._sleep = sleep
        self._clock = clock
        self._read_at = 0.0
        self._found: Claim | None = None

    def read(self) -> Claim | None:
        """
        Return the claim that an earlier try or generation left, if any.

        :raises RecordError: if it has another form
        """
        self._read_at = self._clock()
        self._found = read_claim(self._store.get(self._key))
        return self._found

    def take(self, claim: Claim) -> None:
        """
        Keep a claim, and return only if no other process can have taken the same.

        The store has no compare-and-set. Reading the claim back is enough where the store refuses a try that another
        has followed: this one is not followed yet, so whoever follows reads this claim. Where the store does not
        refuse, two writers are told apart by time (Fischer's algorithm): a claim that overwrites another was written
        within the settle time after it was read that there is none, or is given up; and one that still stands after
        the settle time has not been overwritten by such a writer.

        :raises ClaimLostError: if another process claimed it, or this one was too slow to be sure
        """
        before = self._found
        # Preparing may have taken a while since it was read; the settle time counts from here.
        if self._settle_time and self.read() != before:
            raise ClaimLostError("another process claimed this delivery meanwhile; this one sent nothing")
        read_at = self._read_at
        self._store.set(self._key, claim.as_json())
        if self._settle_time:
            if self._clock() - read_at > self._settle_time:
                raise ClaimLostError("the claim took too long to be sure that it is the only one; nothing was sent")
            self._sleep(self._settle_time)
        kept = self.read()
        if kept is None or kept.nonce != claim.nonce:
            raise ClaimLostError("another process claimed this delivery at the same moment; this one sent nothing")

    def write(self, claim: Claim) -> None:
        """Keep a claim; it is durable when this returns."""
        self._store.set(self._key, claim.as_json())
