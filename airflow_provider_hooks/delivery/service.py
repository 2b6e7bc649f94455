# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Claim, attempt, record: what makes an event reach an endpoint at most once for each time that a person asks for it.

The guarantee: the claim is durable before the connection is opened, so a crash at any later moment leaves a claim that
the next try finds and reports as ``unknown`` instead of sending again. Only an outcome of ``not_sent``, which is
proven, lets a later try send.

The windows in which it does not hold are described in ``docs/guarantee.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_hooks.delivery.claims import (
    CLAIMED,
    Decision,
    WhenUnknown,
    accept_settled,
    decide,
    make_claim,
    merge_with_previous,
    report_interrupted,
    settle_claim,
)
from airflow_provider_hooks.delivery.record import Record, read_record
from airflow_provider_hooks.exceptions import ServiceHookError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_hooks.delivery.claim_store import Ledger
    from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo


@dataclass(frozen=True, kw_only=True)
class TryContext:
    """Who asks for a delivery: which generation, and which try of it."""

    generation: str
    try_number: int
    on_unknown: WhenUnknown = "fail"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A delivery that was found fit to be sent, and has not been."""

    info: DeliveryInfo
    attempt: Callable[[], Attempt]
    """Sends the request, at most once, and does not raise for what a peer does."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What ``deliver_once`` came to."""

    record: Record
    attempted: bool
    """Whether this call made the attempt; otherwise the record tells of an earlier try."""
    unresolved_previous: Record | None = None
    """What an earlier asking left open, of which no try of it told."""


class SlotError(ServiceHookError):
    """A task delivers a second event in one try, in the place of the first."""


def deliver_once(*, asking: TryContext, ledger: Ledger, prepare: Callable[[], Prepared]) -> Delivery:
    """
    Make the attempt unless one was made for this asking, and return the record of it.

    What an earlier try left is told from the ledger alone, so it is not lost with a connection that was changed since.

    :param prepare: called only if the delivery is to be sent; what it raises leaves the ledger as it is
    :raises SlotError: if this try delivered another event in the same slot; nothing was sent
    :raises ClaimLostError: if another process claimed it at the same moment; this one sent nothing
    :raises RecordError: if the claim found cannot be read; nothing was sent
    """
    found = ledger.read()
    decision = decide(found, generation=asking.generation, on_unknown=asking.on_unknown)
    if found is not None and decision is Decision.KEEP:
        record = read_record(found.record or {})
        if found.try_number == asking.try_number and prepare().info.delivery_id != record.info.delivery_id:
            raise SlotError("this task delivered another event in this try; give each delivery a slot of its own")
        return Delivery(record=record, attempted=False)
    if found is not None and decision is Decision.REPORT_UNKNOWN:
        record = report_interrupted(found)
        ledger.write(settle_claim(found, record))
        return Delivery(record=record, attempted=False)
    if found is not None and decision is Decision.ACCEPT:
        claim, record = accept_settled(found, generation=asking.generation)
        ledger.write(claim)
        return Delivery(record=record, attempted=False)
    prepared = prepare()
    claim = make_claim(
        found,
        info=prepared.info,
        generation=asking.generation,
        try_number=asking.try_number,
        claimed_at=pendulum.now("UTC").isoformat(),
    )
    ledger.take(claim)
    unresolved_previous = report_interrupted(found) if found is not None and found.state == CLAIMED else None
    record = Record(
        info=prepared.info,
        generation=claim.generation,
        redelivery=claim.redelivery,
        attempt=merge_with_previous(claim, prepared.attempt()),
    )
    ledger.write(settle_claim(claim, record))
    return Delivery(record=record, attempted=True, unresolved_previous=unresolved_previous)


def deliver_unclaimed(prepare: Callable[[], Prepared]) -> Delivery:
    """
    Make the attempt where nothing can keep a claim, and return the record of it.

    It is at most one request for each call. What it is called for may be called for again, so the receiver tells by the
    delivery id.
    """
    prepared = prepare()
    record = Record(info=prepared.info, generation="", redelivery=False, attempt=prepared.attempt())
    return Delivery(record=record, attempted=True)
