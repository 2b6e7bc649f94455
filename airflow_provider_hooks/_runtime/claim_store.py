# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Claims in Airflow's task state store, which every task instance has without any set-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import msgspec
from airflow import sdk

from airflow_provider_hooks.delivery.record import parse_stored
from airflow_provider_hooks.exceptions import ClaimLostError, ServiceHookError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    from airflow_provider_hooks.json_types import JsonObject

_REFUSAL = (
    "the claim in the task's state store cannot be read, so nothing is sent; write the whole claim back, or delete it "
    "in the task's Storage tab to have everything sent again"
)


class _OwnedClaim(Protocol):
    @property
    def owner_token(self) -> str: ...


ClaimType = TypeVar("ClaimType", bound=msgspec.Struct)


class TaskStateClaimStore(Generic[ClaimType]):
    """
    One claim in the state store of a task instance.

    **Precondition.** The task state store has no compare-and-set. ``acquire`` emulates one by writing the claim and
    reading it back, which is safe only because Airflow refuses the reads and writes of a try that another try has
    superseded: if the read is answered, this try is not superseded yet, and the next try reads this claim.

    :param accessor: ``context["task_state_store"]``
    :param key: names the claim within the task instance
    :param kind: the type of the claim
    """

    def __init__(self, accessor: TaskStateStoreAccessor, key: str, kind: type[ClaimType]) -> None:
        self._accessor, self._key, self._kind = accessor, key, kind

    def load(self) -> ClaimType | None:
        """
        Return the claim that an earlier try or generation left, if any.

        :raises RecordError: if what is stored cannot be read as a claim
        """
        stored = self._accessor.get(self._key)
        return None if stored is None else parse_stored(stored, self._kind, refusal=_REFUSAL)

    def acquire(self, expected: ClaimType | None, new: ClaimType) -> None:  # noqa: ARG002  (an atomic store needs it)
        """
        Store a claim, and return only if no other process can hold the same claim.

        :raises ClaimLostError: if another process holds it
        """
        self.save(new)
        stored = self.load()
        if stored is None or cast("_OwnedClaim", stored).owner_token != cast("_OwnedClaim", new).owner_token:
            raise ClaimLostError("another process claimed this delivery at the same moment; this one sent nothing")

    def save(self, claim: ClaimType) -> None:
        """Store a later state of the claim for as long as its Dag run exists; it is durable when this returns."""
        value = cast("JsonObject", msgspec.to_builtins(claim))
        self._accessor.set(self._key, value, retention=sdk.NEVER_EXPIRE)  # type: ignore[attr-defined]  # its stub lacks it


def open_claim_store(context: Context, key: str, kind: type[ClaimType]) -> TaskStateClaimStore[ClaimType]:
    """
    Return the store of one claim of the task instance that a context belongs to.

    :raises ServiceHookError: if the context has no task state store, as outside of a running task
    """
    accessor = context.get("task_state_store")
    if accessor is None:
        raise ServiceHookError("this context has no task_state_store to store the claim in; nothing was sent")
    return TaskStateClaimStore(accessor, key, kind)
