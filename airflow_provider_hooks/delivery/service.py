# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The order of steps that makes an event reach an endpoint at most once per run or manual clear.

1. ``resolve``: what an earlier try recorded is reported, and nothing is sent.
2. ``claim``: the claim is durable before a connection is opened. A crash at any later moment leaves a claim that the
   next try finds and reports as ``unknown`` instead of sending the event again.
3. The caller signs the request and sends it once.
4. ``settle``: the outcome is recorded. Only ``not_sent``, which is proven, lets a later try send the event.

The limits are described in ``docs/guarantee.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_hooks.delivery.claims import (
    CLAIMED,
    Claim,
    ClaimAction,
    OnUnknown,
    find_recorded,
    make_claim,
    mark_delivered,
    merge_with_previous,
    next_action,
    record_claim,
    report_interrupted,
)
from airflow_provider_hooks.delivery.record import Record
from airflow_provider_hooks.exceptions import SlotError

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.claims import ClaimStore
    from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo


@dataclass(frozen=True, kw_only=True)
class TryContext:
    """Which try of which generation delivers."""

    generation: str
    try_number: int
    on_unknown: OnUnknown = "fail"


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """The result of a delivery in one try."""

    record: Record
    sent_by_this_try: bool
    """Whether this call made the attempt; otherwise the record is that of an earlier one."""
    unresolved_previous: Record | None = None
    """The claim of an earlier generation that never got an outcome."""
    recorded_by_this_try: bool = False
    """Whether this very try made the attempt in an earlier call, so that the event must be the same."""


@dataclass(kw_only=True)
class ClaimedDelivery:
    """
    One delivery of one try, claimed before it is sent.

    :param store: where the claim is stored
    :param run: which try this is
    """

    store: ClaimStore[Claim]
    run: TryContext
    _found: Claim | None = field(default=None, init=False)
    _claim: Claim | None = field(default=None, init=False)

    def resolve(self) -> DeliveryResult | None:
        """
        Return the result that an earlier try left, or ``None`` if the event is to be sent.

        :raises RecordError: if the claim found cannot be read; nothing was sent
        """
        found = self._found = self.store.load()
        action = next_action(found, generation=self.run.generation, on_unknown=self.run.on_unknown)
        if found is None or action is ClaimAction.SEND:
            return None
        if action is ClaimAction.RETURN_RECORDED:
            is_own = found.try_number == self.run.try_number
            return DeliveryResult(record=find_recorded(found), sent_by_this_try=False, recorded_by_this_try=is_own)
        if action is ClaimAction.REPORT_UNKNOWN:
            record = report_interrupted(found)
            self.store.save(record_claim(found, record))
        else:
            claim, record = mark_delivered(found, generation=self.run.generation)
            self.store.save(claim)
        return DeliveryResult(record=record, sent_by_this_try=False)

    def claim(self, info: DeliveryInfo) -> None:
        """
        Claim the delivery; the request may be sent when this returns.

        :raises ClaimLostError: if another process claimed it at the same moment; this one must send nothing
        """
        self._claim = make_claim(
            self._found,
            info=info,
            generation=self.run.generation,
            try_number=self.run.try_number,
            claimed_at=pendulum.now("UTC").isoformat(),
        )
        self.store.acquire(self._found, self._claim)

    def settle(self, attempt: Attempt) -> DeliveryResult:
        """Record the attempt, and return the result of the delivery."""
        claim, found = self._claim, self._found
        assert claim is not None  # noqa: S101  (for mypy: an attempt is only made with a claim)
        record = Record(
            info=claim.info,
            generation=claim.generation,
            redelivery=claim.redelivery,
            attempt=merge_with_previous(claim, attempt),
        )
        self.store.save(record_claim(claim, record))
        unresolved = report_interrupted(found) if found is not None and found.state == CLAIMED else None
        return DeliveryResult(record=record, sent_by_this_try=True, unresolved_previous=unresolved)


def check_slot(result: DeliveryResult, info: DeliveryInfo) -> None:
    """
    Return if what this try recorded before is the delivery that it is asked for again.

    :raises SlotError: if it is another one; nothing was sent
    """
    if info.delivery_id != result.record.info.delivery_id:
        raise SlotError("this task delivered another event in this try; give each delivery a slot of its own")


def unclaimed_result(info: DeliveryInfo, attempt: Attempt) -> DeliveryResult:
    """Return the result of an attempt that was made where no claim can be stored: one request for each call."""
    record = Record(info=info, generation="", redelivery=False, attempt=attempt)
    return DeliveryResult(record=record, sent_by_this_try=True)
