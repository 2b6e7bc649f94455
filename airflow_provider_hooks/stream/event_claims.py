# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The claims of the events of a stream, where an event id goes to an endpoint once for ever (``once="event"``).

Each event has the claim that a single delivery of it would have, so runs, streams, callbacks and commands find each
other's claims. A stream claims a chunk of a batch, sends what it got, and settles the claims of the chunk.

The owner token of such a claim names the stream, its batch and the try. The claim of the stream says which try owns the
batch; an open claim of the same batch and another try is therefore one that an earlier try left.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

import msgspec
import orjson

from airflow_provider_hooks.delivery.claims import (
    CLAIMED,
    Claim,
    ClaimAction,
    make_claim,
    make_record,
    mark_delivered,
    next_action,
    record_claim,
    report_interrupted,
)
from airflow_provider_hooks.delivery.patience import CLAIM_PAUSES, GrowingPause
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo, attempt_from_result, format_time, parse_stored
from airflow_provider_hooks.exceptions import RecordError, StateStoreError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from airflow_provider_hooks.delivery.claims import TryContext
    from airflow_provider_hooks.http.result import RequestResult
    from airflow_provider_hooks.stream.encode import EncodedRequest

CHUNK_EVENTS = 2_000
"""How many events are claimed at once, unless so many connections send that they need more."""
CHUNK_BYTES = 16_777_216
"""How many bytes of requests wait for the claims of their chunk at most, but for the last one."""
_TOKEN_CHARACTERS = 12
_MAX_LOOKS = 5
"""How often a claim is looked at that other processes change at the same moment."""
_ATTEMPT_FIELDS = frozenset(Attempt.__struct_fields__)
_UNREADABLE = "the claim in the ledger cannot be read, so the event is not sent; restore or delete its row"


class FoundClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that is stored for an event."""

    claim: Claim | None
    """``None`` if what is stored cannot be read."""
    place: str
    """Where its delivery comes from, such as ``run 'r' of Dag 'd'``."""


class EventClaimStore(Protocol):
    """Stores the claims of many events in few statements. Each is found by its delivery id."""

    def insert(self, claims: Sequence[Claim], *, stream_token: str) -> Mapping[str, FoundClaim]:
        """
        Store each claim whose event has none, and return what is stored for the others.

        :param stream_token: the owner token of the stream's own claim
        :raises ClaimLostError: if another try has taken the stream over; nothing is stored
        :raises StateStoreError: if the store did not answer, so that the claims may be stored
        """

    def replace(self, claims: Sequence[tuple[Claim, Claim]], *, stream_token: str) -> Collection[str]:
        """
        Store each second claim in place of the first one, if that is still there; return those that are stored.

        Raises as ``insert``.
        """

    def settle(self, claims: Sequence[Claim], *, only_open: bool = False) -> Collection[str]:
        """
        Store a later state of each claim whose owner token is unchanged; return those that are stored.

        :param only_open: whether a claim with an outcome stays unchanged, also one that an observer reported
        :raises StateStoreError: if the store did not answer, so that they may be stored
        """

    def find(self, delivery_ids: Collection[str]) -> Mapping[str, FoundClaim]:
        """
        Return the claims that are stored for these events.

        :raises StateStoreError: if the store did not answer
        """

    def has_open(self, delivery_ids: Collection[str]) -> bool:
        """
        Return whether one of these events is claimed and has no outcome.

        :raises StateStoreError: if the store did not answer
        """


class OwnedEvent(msgspec.Struct, frozen=True):
    """An event that this try claimed: it is to be sent."""

    redelivery: bool
    """Whether the event may have been sent before."""
    may_have_arrived: bool
    """Whether an earlier attempt may have been received, and no user has requested the event since."""


class KnownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is not to be sent, because its outcome is known."""

    outcome: Outcome
    status_code: int | None = None
    error_class: str | None = None
    message: str
    is_sent_before: bool = True
    """Whether another run, or an earlier event of the stream with the same id, sent it."""


Decision = OwnedEvent | KnownEvent | None
"""``None``: another process is sending the event, or an event before it has the same id. It is decided later."""


class _Change(msgspec.Struct, frozen=True):
    """A claim that is to be stored in place of the one that was found."""

    before: Claim
    after: Claim
    known: KnownEvent | None = None
    """What is known of the event afterwards; ``None``: it is to be sent."""


class EventDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What the claims of all events of a stream have in common."""

    endpoint: str
    url: str
    scheme: str
    event_type: str | None
    """``None`` if each event has its own."""

    def describe(self, request: EncodedRequest) -> DeliveryInfo:
        """Return what a claim stores of an event."""
        return DeliveryInfo(
            delivery_id=request.delivery_id,
            event_id=request.event_id,
            event_type=request.event_type or self.event_type or "",
            endpoint=self.endpoint,
            url=self.url,
            scheme=self.scheme,
            body_sha256=request.body_sha256,
            body_bytes=request.body_bytes,
        )


class EventClaims:
    """
    Claims the events of one try of a stream.

    :param store: where the claims are stored
    :param stream: identifies the stream and its run or manual clear
    :param description: what the claims have in common
    :param run: the try; its generation is that of claims which runs share, and its ``wait_seconds`` bounds ``wait``
    :param resends: the outcomes of other runs that the user has this stream send again
    """

    def __init__(
        self,
        store: EventClaimStore,
        *,
        stream: str,
        description: EventDescription,
        run: TryContext,
        resends: Collection[str] = frozenset(),
    ) -> None:
        self._store, self._description, self._run, self._resends = store, description, run, resends
        self._stream_prefix = self._batch_prefix = f"{stream}."
        self._stream_token = self._token = ""
        self._has_waited = False
        self._busy: set[str] = set()
        """The delivery ids of events that other processes are sending."""
        self._recorded: set[str] = set()
        """Those of an interrupted batch that have a record."""
        self._open: dict[str, Claim] = {}
        """The claims of the chunk, by delivery id."""
        self._attempts: dict[str, tuple[Attempt, int]] = {}
        """The last attempt of each event of the chunk, and the number of its attempts."""

    def begin_batch(self, batch: int, *, stream_token: str) -> None:
        """
        Begin with the events of a batch that the stream has claimed.

        :param stream_token: the owner token of that claim
        """
        self._batch_prefix = f"{self._stream_prefix}{batch}."
        self._stream_token = stream_token
        self._token = f"{self._batch_prefix}{stream_token[:_TOKEN_CHARACTERS]}"
        self._has_waited = False
        self._busy.clear()
        self._recorded.clear()

    def claim(self, requests: Sequence[EncodedRequest]) -> list[Decision]:
        """
        Claim a chunk of events, and return for each what to do with it.

        :raises ClaimLostError: if another try has taken the stream over; nothing of the chunk may be sent
        :raises StateStoreError: if the store did not answer; nothing of the chunk may be sent
        """
        if not requests:
            return []
        claimed_at = format_time(time.time())
        wanted: dict[str, Claim] = {}
        for request in requests:
            if request.delivery_id not in wanted:
                wanted[request.delivery_id] = self._make_claim(request, claimed_at)
        self._open = wanted  # until it is known which are stored
        try:
            found = self._store.insert(list(wanted.values()), stream_token=self._stream_token)
            self._open = {delivery_id: claim for delivery_id, claim in wanted.items() if delivery_id not in found}
            decisions = self._resolve(wanted, found)
        except StateStoreError:
            with contextlib.suppress(StateStoreError):
                self._settle(only_open=True)
            raise
        decided: list[Decision] = []
        for request in requests:
            decision = decisions.get(request.delivery_id)
            if isinstance(decision, OwnedEvent):  # of several events with one id, only the first is sent
                del decisions[request.delivery_id]
            decided.append(decision)
        return decided

    def _make_claim(self, request: EncodedRequest, claimed_at: str) -> Claim:
        return Claim(
            state="claimed",
            generation=self._run.generation,
            try_number=self._run.try_number,
            claimed_at=claimed_at,
            redelivery=request.redelivery,
            owner_token=self._token,
            info=self._description.describe(request),
        )

    def _resolve(self, wanted: Mapping[str, Claim], found: Mapping[str, FoundClaim]) -> dict[str, Decision]:
        """Decide about each event of a chunk, given the claims that other processes and tries stored."""
        decisions: dict[str, Decision] = {delivery_id: _own(claim) for delivery_id, claim in self._open.items()}
        for _ in range(_MAX_LOOKS):
            changes: dict[str, _Change] = {}
            for delivery_id, one in found.items():
                decision = self._decide(one, wanted[delivery_id])
                if isinstance(decision, _Change):
                    changes[delivery_id] = decision
                else:
                    decisions[delivery_id] = decision
            written = self._write(changes)
            for delivery_id in written:
                change = changes.pop(delivery_id)
                decisions[delivery_id] = change.known or _own(change.after)
            if not changes:
                break
            found = self._store.find(changes)  # others changed these meanwhile, or an answer was lost
        return decisions

    def _write(self, changes: Mapping[str, _Change]) -> Collection[str]:
        """Store changed claims, and return the delivery ids of those that are stored."""
        owned = {delivery_id: change.after for delivery_id, change in changes.items() if change.known is None}
        self._open |= owned  # until it is known which are stored
        is_ours = {delivery_id: change.after.owner_token == self._token for delivery_id, change in changes.items()}
        replaced = [(one.before, one.after) for delivery_id, one in changes.items() if is_ours[delivery_id]]
        settled = [one.after for delivery_id, one in changes.items() if not is_ours[delivery_id]]
        written: set[str] = set()
        if replaced:
            written.update(self._store.replace(replaced, stream_token=self._stream_token))
        if settled:
            written.update(self._store.settle(settled))
        for delivery_id in owned.keys() - written:
            del self._open[delivery_id]
        return written

    def _decide(self, found: FoundClaim, wanted: Claim) -> _Change | Decision:
        """Return what is known of an event, or how its claim is to be changed."""
        claim = found.claim
        if claim is None:
            return KnownEvent(outcome=Outcome.UNKNOWN, message=_UNREADABLE, is_sent_before=False)
        if claim.state == CLAIMED and claim.owner_token == self._token:
            return _Change(claim, claim)  # stored by a statement whose answer was lost
        is_own_batch = claim.owner_token.startswith(self._batch_prefix)
        if claim.state == CLAIMED and not is_own_batch and not self._has_waited:
            self._busy.add(claim.info.delivery_id)
            return None
        action = next_action(claim, generation=self._run.generation, policy=self._run.policy)
        is_own_stream = claim.owner_token.startswith(self._stream_prefix)
        is_requested = claim.state in self._resends and not is_own_stream
        if action is ClaimAction.SEND or is_requested:
            return _Change(claim, self._take_over(claim, wanted, is_requested=is_requested))
        if action is ClaimAction.RETURN_RECORDED:
            return self._describe_known(found, claim)
        is_settled = action is ClaimAction.MARK_DELIVERED
        return self._mark_delivered(claim) if is_settled else self._report_interrupted(found, claim)

    def _take_over(self, claim: Claim, wanted: Claim, *, is_requested: bool) -> Claim:
        """
        Return the claim of this try in place of one whose event is sent again.

        :param is_requested: whether the user requests it: then, as after ``resend``, earlier attempts do not count
        """
        made = make_claim(claim, info=wanted.info, run=self._run, claimed_at=wanted.claimed_at)
        return msgspec.structs.replace(
            made,
            owner_token=self._token,
            redelivery=made.redelivery or wanted.redelivery,
            may_have_arrived=made.may_have_arrived and not is_requested,
        )

    def _mark_delivered(self, claim: Claim) -> _Change | KnownEvent:
        try:
            settled, _ = mark_delivered(claim, run=self._run)
        except RecordError as error:
            return KnownEvent(outcome=Outcome.UNKNOWN, message=str(error))
        return _Change(claim, settled, KnownEvent(outcome=Outcome.DELIVERED, message="a user marked it as received"))

    def _report_interrupted(self, found: FoundClaim, claim: Claim) -> _Change:
        record = report_interrupted(claim)
        reported = record_claim(claim, record)
        is_own_batch = claim.owner_token.startswith(self._batch_prefix)
        message = f"not sent: {found.place} claimed this event and did not finish"
        if is_own_batch:
            message = record.attempt.message or ""
            # The try that left it must not change the outcome that is recorded now.
            reported = msgspec.structs.replace(reported, owner_token=self._token)
        known = KnownEvent(
            outcome=Outcome.UNKNOWN,
            error_class=ErrorClass.INTERRUPTED.value,
            message=message,
            is_sent_before=not is_own_batch,
        )
        return _Change(claim, reported, known)

    def _describe_known(self, found: FoundClaim, claim: Claim) -> KnownEvent:
        record = claim.record or {}  # a user may have edited it
        status, error_class = record.get("status_code"), record.get("error_class")
        is_lost_record = (
            claim.owner_token.startswith(self._batch_prefix)
            and claim.owner_token != self._token
            and claim.info.delivery_id not in self._recorded
        )
        if is_lost_record:
            message = f"try {claim.try_number} sent this event; its outcome was stored in the ledger"
        elif claim.owner_token.startswith(self._stream_prefix):
            message = "not sent: an earlier event of the stream has the same id"
        else:
            message = f"not sent: {found.place} sent this event before, at {claim.claimed_at}"
        return KnownEvent(
            outcome=Outcome(claim.state),
            status_code=status if isinstance(status, int) else None,
            error_class=error_class if isinstance(error_class, str) else None,
            message=message,
            is_sent_before=not is_lost_record,
        )

    def note(self, result: RequestResult[EncodedRequest], *, attempts: int, sensitive: tuple[str, ...] = ()) -> None:
        """
        Remember an attempt of an event of the chunk.

        :param attempts: how many attempts there were, with this one
        :param sensitive: what is masked where the receiver sends it back
        """
        delivery_id = result.request.delivery_id
        self._attempts[delivery_id] = (attempt_from_result(result, sensitive=sensitive), attempts)
        if result.outcome is Outcome.UNKNOWN:
            self._open[delivery_id] = msgspec.structs.replace(self._open[delivery_id], may_have_arrived=True)

    def settle(self) -> None:
        """
        Store the outcomes of the chunk. Events without an attempt were not sent, so that any run may send them.

        A claim that a user or another process has changed since stays unchanged.

        :raises StateStoreError: if the store did not answer; the next try settles them by the records
        """
        self._settle()

    def _settle(self, *, only_open: bool = False) -> None:
        settled = []
        for delivery_id, claim in self._open.items():
            attempt, attempts = self._attempts.get(delivery_id, (None, 0))
            record = make_record(claim, attempt or _make_unbegun(claim))
            record = msgspec.structs.replace(record, attempts=max(record.attempts, attempts))
            settled.append(record_claim(claim, record))
        self._open, self._attempts = {}, {}
        if settled:
            self._store.settle(settled, only_open=only_open)

    def settle_recorded(self, lines: Iterable[bytes]) -> None:
        """
        Store the outcomes that an earlier try of the batch recorded, where it left the claims open.

        :param lines: its records
        :raises RecordError: if a record cannot be read
        :raises ClaimLostError: if another try has taken the stream over
        :raises StateStoreError: if the store did not answer
        """
        recorded: dict[str, dict[str, object]] = {}
        for line in lines:
            record = orjson.loads(line)
            if "delivery_id" in record and not record.get("sent_before"):
                recorded[record["delivery_id"]] = record
                if len(recorded) == CHUNK_EVENTS:
                    self._settle_recorded(recorded)
                    recorded = {}
        self._settle_recorded(recorded)

    def _settle_recorded(self, recorded: Mapping[str, dict[str, object]]) -> None:
        self._recorded.update(recorded)
        changed = []
        for delivery_id, found in self._store.find(recorded).items():
            claim, outcome = found.claim, recorded[delivery_id]["outcome"]
            if claim is None or not claim.owner_token.startswith(self._batch_prefix):
                continue
            if claim.state in {CLAIMED, Outcome.UNKNOWN.value} and claim.state != outcome:
                attempt = _read_attempt(recorded[delivery_id], claim)
                settled = record_claim(claim, make_record(claim, attempt))
                changed.append((claim, msgspec.structs.replace(settled, owner_token=self._token)))
        if changed:
            self._store.replace(changed, stream_token=self._stream_token)

    def wait(self) -> None:
        """
        Wait until the other processes have finished with the events that they are sending, once in each batch.

        From then on an open claim of theirs counts as one that was left: it is reported as ``unknown``, or taken over
        if the policy is ``at_least_once``.

        :raises StateStoreError: if the store did not answer
        """
        if self._has_waited:
            return
        self._has_waited = True
        give_up_at, pause = time.monotonic() + self._run.wait_seconds, GrowingPause(*CLAIM_PAUSES)
        while self._busy and time.monotonic() < give_up_at and self._store.has_open(self._busy):
            pause.sleep(until=give_up_at)


def _own(claim: Claim) -> OwnedEvent:
    return OwnedEvent(claim.redelivery, claim.may_have_arrived)


def _make_unbegun(claim: Claim) -> Attempt:
    """Return what is recorded of an event that was claimed and not sent."""
    return Attempt(
        outcome=Outcome.NOT_SENT,
        requested_at=claim.claimed_at,
        duration_ms=0.0,
        error_class=ErrorClass.STOPPED,
        message="the stream was stopped before it sent this event",
    )


def _read_attempt(line: Mapping[str, object], claim: Claim) -> Attempt:
    """
    Return the attempt that a record describes; that of an event which was not sent has no times.

    :raises RecordError: if it cannot be read
    """
    given = {name: value for name, value in line.items() if name in _ATTEMPT_FIELDS and value is not None}
    fields = {"requested_at": claim.claimed_at, "duration_ms": 0.0, **given}
    return parse_stored(fields, Attempt, refusal="a record of the stream cannot be read")
