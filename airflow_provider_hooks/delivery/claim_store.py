# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Where claims are kept: the state store that Airflow has for every task instance, behind two calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.delivery.claims import Claim, read_claim
from airflow_provider_hooks.delivery.keys import KEY_PREFIX
from airflow_provider_hooks.exceptions import ServiceHookError

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject


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
    """

    def __init__(self, store: StateStore, *, slot: str = "") -> None:
        self._store = store
        self._key = f"{KEY_PREFIX}:{slot}" if slot else KEY_PREFIX

    def read(self) -> Claim | None:
        """
        Return the claim that an earlier try or generation left, if any.

        :raises RecordError: if it has another form
        """
        return read_claim(self._store.get(self._key))

    def take(self, claim: Claim) -> None:
        """
        Keep a claim, and return only if no other process can have taken the same.

        The store has no compare-and-set, but it refuses the reads and writes of a try that another has followed. So
        it is enough to read the claim back: if that is answered, this try is not followed yet, and whoever follows
        it reads this claim.

        :raises ClaimLostError: if another process claimed it
        """
        self._store.set(self._key, claim.as_json())
        kept = self.read()
        if kept is None or kept.owner_token != claim.owner_token:
            raise ClaimLostError("another process claimed this delivery at the same moment; this one sent nothing")

    def write(self, claim: Claim) -> None:
        """Keep a claim; it is durable when this returns."""
        self._store.set(self._key, claim.as_json())
