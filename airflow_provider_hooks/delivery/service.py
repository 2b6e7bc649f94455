# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The order of the steps by which an event reaches an endpoint at most once per run or manual clear, or once for ever.

``ClaimedDelivery`` takes these steps:

1. ``resolve``: what an earlier try recorded is reported, and nothing is sent.
2. ``claim``: the claim is durable before a connection is opened. A crash at any later moment leaves a claim that the
   next try finds and reports as ``unknown`` instead of sending the event again.
3. The caller signs the request and sends it once.
4. ``settle``: the outcome is recorded. Only ``not_sent``, which is proven, lets a later try send the event, and what
   the user's ``DeliveryPolicy`` names.

A claim can be shared by several runs and processes (``TryContext.wait_seconds``). One of them sends; the others
wait for its outcome and report it. ``tests/model`` explores every interleaving of these steps.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import pendulum

from airflow_provider_hooks.delivery.claims import (
    CLAIMED,
    Claim,
    ClaimAction,
    find_recorded,
    is_own_claim,
    is_superseded,
    make_claim,
    make_record,
    mark_delivered,
    next_action,
    record_claim,
    report_interrupted,
)
from airflow_provider_hooks.delivery.patience import CLAIM_PAUSES, GrowingPause
from airflow_provider_hooks.delivery.record import Record, not_sent_attempt
from airflow_provider_hooks.exceptions import ClaimLostError, SlotError, StateStoreError
from airflow_provider_hooks.outcomes import Outcome

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.claims import ClaimStore, TryContext
    from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo


class DeliveryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a delivery in one try."""

    record: Record
    sent_by_this_try: bool
    """Whether this call made the attempt; otherwise the record is that of an earlier one."""
    unresolved_previous: Record | None = None
    """The claim of an earlier generation that never got an outcome."""
    recorded_by_this_try: bool = False
    """Whether this very process made the attempt in an earlier call, so that the event must be the same."""


class ClaimedDelivery:
    """
    One delivery of one try, claimed before it is sent.

    :param store: where the claim is stored
    :param run: which try this is
    """

    def __init__(self, *, store: ClaimStore[Claim], run: TryContext) -> None:
        self.store, self.run = store, run
        self._found: Claim | None = None
        self._claim: Claim | None = None

    def resolve(self) -> DeliveryResult | None:
        """
        Return the result that an earlier try or another process left, or ``None`` if the event is to be sent.

        :raises RecordError: if the claim found cannot be read; nothing was sent
        :raises StateStoreError: if the store did not answer; nothing was sent
        :raises ClaimLostError: if a later try of the task has claimed the delivery; nothing was sent
        """
        while True:
            found, run = self._load_settled(), self.run
            self._found = found
            # Runs that share a claim have one generation, so their tries are not compared.
            if found is not None and is_superseded(found, generation=run.generation, try_number=run.try_number):
                raise ClaimLostError(
                    f"try {found.try_number} has claimed this delivery after a clear; nothing was sent"
                )
            action = next_action(found, generation=run.generation, policy=run.policy)
            if found is None or action is ClaimAction.SEND:
                return None
            if action is ClaimAction.RETURN_RECORDED:
                # Airflow can run a try again under its own number in another process, as in a restarted container.
                is_own = is_own_claim(found, try_number=self.run.try_number)
                return DeliveryResult(record=find_recorded(found), sent_by_this_try=False, recorded_by_this_try=is_own)
            if action is ClaimAction.REPORT_UNKNOWN:
                record = report_interrupted(found)
                claim = record_claim(found, record)
            else:
                claim, record = mark_delivered(found, run=self.run)
            with contextlib.suppress(ClaimLostError):  # another process changed the claim: look at it again
                self.store.save(claim)
                return DeliveryResult(record=record, sent_by_this_try=False)

    def _load_settled(self) -> Claim | None:
        """Return the claim; where others share it, wait as long as another process may be sending."""
        give_up_at = time.monotonic() + self.run.wait_seconds
        pause, owner = GrowingPause(*CLAIM_PAUSES), ""
        while True:
            found = self.store.load()
            if found is None or found.state != CLAIMED or not self.run.wait_seconds:
                return found
            if found.owner_token != owner:  # each process that sends has the whole time
                owner, give_up_at = found.owner_token, time.monotonic() + self.run.wait_seconds
            if time.monotonic() >= give_up_at:
                return found
            pause.sleep(until=give_up_at)

    @property
    def is_claim_lost(self) -> bool:
        """Whether ``resolve`` found no claim, and a clear may have deleted one."""
        return self._found is None and self.run.claim_may_be_lost

    @property
    def is_redelivery(self) -> bool:
        """Whether the claimed event may have been sent before."""
        return self._claim is not None and self._claim.redelivery

    def claim(self, info: DeliveryInfo) -> DeliveryResult | None:
        """
        Claim the delivery; the request may be sent when this returns ``None``.

        :returns: the result of another process that claimed the event at the same moment, where they share the claim
        :raises ClaimLostError: if another process claimed it at the same moment; this one must send nothing
        :raises StateStoreError: if the claim could not be stored or read back; nothing was sent
        """
        while True:
            claimed_at = pendulum.now("UTC").isoformat()
            claim = make_claim(self._found, info=info, run=self.run, claimed_at=claimed_at)
            try:
                self.store.acquire(self._found, claim)
            except StateStoreError as error:
                self._record_not_sent(claim, error)
                raise
            except ClaimLostError:
                if not self.run.wait_seconds:
                    raise
            else:
                self._claim = claim
                return None
            result = self.resolve()
            if result is not None:
                return result

    def _record_not_sent(self, claim: Claim, error: StateStoreError) -> None:
        """Record that nothing was sent, if the store takes it: the next try must not take the claim for an attempt."""
        claimed_at = datetime.fromisoformat(claim.claimed_at).timestamp()
        record = make_record(claim, not_sent_attempt(error, requested_at=claimed_at, seconds=0.0))
        with contextlib.suppress(StateStoreError, ClaimLostError):
            # Only over this claim itself: Airflow accepts a write of this try only as long as no other try has begun.
            if self.store.load() == claim:
                self.store.save(record_claim(claim, record))

    def settle(self, attempt: Attempt) -> DeliveryResult:
        """
        Record the attempt, and return the result of the delivery.

        :raises StateStoreError: with the outcome, if it could not be stored
        :raises ClaimLostError: with the outcome, if another process has claimed the delivery since
        """
        claim, found = self._claim, self._found
        assert claim is not None  # noqa: S101  (for mypy: an attempt is only made with a claim)
        record = make_record(claim, attempt)
        try:
            self.store.save(record_claim(claim, record))
        except StateStoreError as error:
            # A retry would find the open claim and report it as unknown, so only what was not sent is left to one.
            retryable = record.attempt.outcome is Outcome.NOT_SENT
            message = f"{record.summarize()}; this could not be recorded: {error}"
            raise StateStoreError(message, retryable=retryable) from None
        except ClaimLostError as error:
            raise ClaimLostError(f"{record.summarize()}; this could not be recorded: {error}") from None
        unresolved = report_interrupted(found) if found is not None and found.state == CLAIMED else None
        return DeliveryResult(record=record, sent_by_this_try=True, unresolved_previous=unresolved)


def check_slot(result: DeliveryResult, info: DeliveryInfo) -> None:
    """
    Return if this try recorded the same delivery before.

    :raises SlotError: if it is another one; nothing was sent
    """
    if info.delivery_id != result.record.info.delivery_id:
        raise SlotError("this task delivered another event in this try; give each delivery its own slot")
