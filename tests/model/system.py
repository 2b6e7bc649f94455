# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The model of a delivery: every step of the processes, the claim store, the network, the scheduler and the user.

In addition to the normal answers, a limited number of faults can happen, each at any step: a process crashes, a request
to the store is lost, or its answer is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.explorer import Answer, Operation, Process, Step
from tests.model.processes import POLICIES, FinishedProcess, Spec, make_code, summarize
from tests.model.stores import OUTAGE, REFUSED, ClaimPlace, Stored

_Unchecked = tuple[tuple[str, ...], "State"]
"""The label of a step, and the state after it."""
IDLE, RUNNING, ACCEPTED, ENDED, CRASHED = range(5)
"""Of a process. ``ACCEPTED``: the server has accepted its operation, and has not executed it."""
USERS = ("settle", "resend")


class Local(NamedTuple):
    """One process in a global state."""

    status: int
    number: int
    """Of its local state."""
    was_superseded: bool = False
    """Whether a later try had begun when its last write was stored."""


class Receipt(NamedTuple):
    """One request that reached the receiver."""

    sender: int
    """The number of the process."""
    generation: int
    accepted: bool
    answered: bool
    """Whether the sender got the answer."""


class State(NamedTuple):
    """A global state: everything that the next steps depend on."""

    content: Hashable
    """Of the claim store."""
    current: int
    """The number of the latest try that has begun."""
    cleared: bool
    locals: tuple[Local, ...]
    orphaned: tuple[tuple[int, Operation], ...]
    """The accepted operations of processes that crashed."""
    receipts: tuple[Receipt, ...]
    faults: int
    """How many more can happen."""
    last_token: str = ""
    """The owner token of the last claim that its process stored."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One model to explore."""

    name: str
    specs: tuple[Spec, ...]
    policy: str = "at_most_once"
    place: ClaimPlace
    faults: int = 1
    patience: float = 0.0
    """Seconds for which a process tries an operation of the store again."""
    clear_deletes: bool = False
    """Whether a clear deletes the claim, as Airflow 3.4 does."""
    clears_running: bool = True
    """Whether a clear leaves the tries that have begun running, and does not supersede them at once."""
    writes_hang: bool = False
    """
    Whether an accepted write of a process may be stored after a try that follows a clear, or a process with the same
    number, has begun. The next try of the same generation may always begin before it is stored.
    """


class DeliveryModel:
    """Every step that can follow a state, and the invariants."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration, self._place = configuration, configuration.place
        self._specs, self._policy = configuration.specs, POLICIES[configuration.policy]
        self._processes = [
            Process(
                spec.name,
                make_code(
                    spec,
                    place=configuration.place,
                    policy=configuration.policy,
                    patience_seconds=configuration.patience,
                    clear_deletes=configuration.clear_deletes,
                ),
                summarize,
            )
            for spec in self._specs
        ]
        self._indices = {spec.name: index for index, spec in enumerate(self._specs)}
        self._can_clear = any(spec.generation for spec in self._specs)

    def initial(self) -> State:
        """Return the state before anything happened."""
        locals_ = tuple(Local(IDLE, process.start) for process in self._processes)
        return State(None, 0, False, locals_, (), (), self._configuration.faults)

    def list_steps(self, state: State) -> Iterator[Step[State]]:
        """Return every step that can follow, and what each violates."""
        for label, following in self._list_unchecked(state):
            yield Step(label, following, self._find_problem(state, following))

    # Steps

    def _list_unchecked(self, state: State) -> Iterator[_Unchecked]:
        yield from self._clear(state)
        for position, (index, operation) in enumerate(state.orphaned):
            rest = state.orphaned[:position] + state.orphaned[position + 1 :]
            following = self._apply(state._replace(orphaned=rest), index, operation)[0]
            yield self._label(index, "is gone, and its", operation.name, "is stored now"), following
        for index, local in enumerate(state.locals):
            if local.status == IDLE:
                yield from self._begin(state, index)
            elif local.status == RUNNING:
                operation = self._processes[index].locals[local.number].operation
                assert operation is not None
                if operation.kind == "send":
                    yield from self._send(state, index, local)
                else:
                    yield from self._call(state, index, local, operation)
                yield from self._crash(state, index, local, operation)
            elif local.status == ACCEPTED:
                operation = self._processes[index].locals[local.number].operation
                assert operation is not None
                yield from self._act(state, index, local, operation)
                yield from self._crash(state, index, local, operation)

    def _label(self, index: int, *words: str) -> tuple[str, ...]:
        return (f"{self._specs[index].name}:", *words)

    def _clear(self, state: State) -> Iterator[_Unchecked]:
        if not self._can_clear or state.cleared or not state.current:
            return
        if self._configuration.clear_deletes:
            if not self._is_older_write_accepted(state):
                yield (
                    ("A user clears the task, and Airflow deletes the claim",),
                    state._replace(cleared=True, content=None),
                )
        else:
            yield ("A user clears the task",), state._replace(cleared=True)

    def _begin(self, state: State, index: int) -> Iterator[_Unchecked]:
        spec = self._specs[index]
        if spec.kind in USERS:
            stored = self._place.peek(state.content)
            may_begin = stored is not None and stored.state in ("claimed", "unknown")
        else:
            may_begin = not spec.number or (spec.generation == state.cleared and spec.number >= state.current)
            if (spec.generation or spec.begins_after) and not self._configuration.writes_hang:
                may_begin = may_begin and not self._is_older_write_accepted(state)
            if spec.begins_after:
                may_begin = may_begin and state.locals[self._indices[spec.begins_after]].status >= ENDED
        if not may_begin:
            return
        old = [
            other.name
            for other, local in zip(self._specs, state.locals, strict=True)
            if local.status in (RUNNING, ACCEPTED) and 0 < other.number < spec.number
        ]
        words = ["begins", *([f"while {' and '.join(old)} still runs"] if old else [])]
        following = _put(state, index, Local(RUNNING, state.locals[index].number))
        yield self._label(index, *words), following._replace(current=max(state.current, spec.number))

    def _is_older_write_accepted(self, state: State) -> bool:
        accepted = [index for index, local in enumerate(state.locals) if local.status == ACCEPTED]
        return any(not self._specs[index].generation for index in (*accepted, *(index for index, _ in state.orphaned)))

    def _crash(self, state: State, index: int, local: Local, operation: Operation) -> Iterator[_Unchecked]:
        if not state.faults or self._specs[index].kind in USERS:
            return
        following = _put(state, index, Local(CRASHED, 0), faults=state.faults - 1)
        if local.status == ACCEPTED and operation.kind != "read":
            following = following._replace(orphaned=tuple(sorted((*state.orphaned, (index, operation)))))
        yield self._label(index, "crashes"), following

    def _send(self, state: State, index: int, local: Local) -> Iterator[_Unchecked]:
        generation = self._specs[index].generation
        for answer, words, receipt in (
            ("accepted", "sends the event: the receiver accepts it and answers 200", (True, True)),
            ("unanswered", "sends the event: the receiver accepts it, and the answer is lost", (True, False)),
            ("rejected", "sends the event: the receiver rejects it with 503", (False, True)),
            ("not_sent", "cannot connect: the event is not sent", None),
        ):
            following = _put(state, index, self._advance(index, local, Answer(answer)))
            if receipt is not None:
                following = following._replace(receipts=(*state.receipts, Receipt(index, generation, *receipt)))
            yield self._label(index, words), following

    def _call(self, state: State, index: int, local: Local, operation: Operation) -> Iterator[_Unchecked]:
        if self._is_refused(state, index):
            following = _put(state, index, self._advance(index, local, Answer(REFUSED)))
            yield self._label(index, "its", operation.name, "is refused: its try is superseded"), following
            return
        if self._place.accepts_before_it_acts:
            yield (
                self._label(index, "its", operation.name, "is accepted by", self._place.name),
                _put(state, index, local._replace(status=ACCEPTED)),
            )
        else:
            yield from self._act(state, index, local, operation)
        if state.faults and self._specs[index].kind not in USERS:
            following = _put(state, index, self._advance(index, local, Answer(OUTAGE)), faults=state.faults - 1)
            yield self._label(index, "its", operation.name, "does not reach", self._place.name), following

    def _act(self, state: State, index: int, local: Local, operation: Operation) -> Iterator[_Unchecked]:
        following, answer = self._apply(state, index, operation)
        is_late = operation.kind == "write" and 0 < self._specs[index].number < state.current
        local = local._replace(was_superseded=is_late and self._place.accepts_before_it_acts)
        done = "is done"
        if operation.kind == "read":
            stored = self._place.peek(state.content)
            done = "finds no claim" if stored is None else f"finds '{stored.state}' of {stored.owner}"
        elif following.content == state.content:
            done = "does not fit what is stored, and changes nothing"
        yield (
            self._label(index, "its", operation.name, done),
            _put(following, index, self._advance(index, local, answer)),
        )
        if state.faults and self._specs[index].kind not in USERS:
            lost = self._advance(index, local, Answer(OUTAGE))
            words = self._label(index, "its", operation.name, f"{done}, and the answer is lost")
            yield words, _put(following, index, lost, faults=state.faults - 1)

    def _apply(self, state: State, index: int, operation: Operation) -> tuple[State, Answer]:
        """Execute an operation of a process in the store."""
        content, answer = self._place.apply(state.content, operation)
        if content == state.content:
            return state, answer
        stored = self._place.peek(content)
        if stored is None or stored.state != "claimed" or stored.owner != self._specs[index].name:
            return state._replace(content=content), answer
        return state._replace(content=content, last_token=stored.token), answer

    def _is_refused(self, state: State, index: int) -> bool:
        spec = self._specs[index]
        is_cleared = state.cleared and not spec.generation and not self._configuration.clears_running
        is_superseded = spec.number > 0 and (spec.number < state.current or is_cleared)
        return self._place.refuses_superseded and is_superseded

    def _advance(self, index: int, local: Local, answer: Answer) -> Local:
        process = self._processes[index]
        number = process.advance(local.number, answer)
        is_running = process.locals[number].operation is not None
        return Local(RUNNING if is_running else ENDED, number, local.was_superseded)

    # Invariants

    def _find_problem(self, before: State, state: State) -> str | None:
        """Return the first invariant that a step broke."""
        if state.receipts is not before.receipts and self._is_received_twice(state):
            return "(1) the receiver got the event twice in one run or manual clear"
        stored = self._place.peek(state.content)
        if stored is None:
            return None
        return self._check_outcome(stored, state) or self._check_finished(stored, before, state)

    def _is_received_twice(self, state: State) -> bool:
        """Return whether the receiver got the event twice in a generation, not counting one receipt for each resend."""
        if self._policy.resends_unknown:
            return False
        generation, repeated, is_final = state.receipts[-1].generation, 0, False
        for receipt in state.receipts:
            if receipt.generation == generation:
                repeated += is_final
                may_be_sent_again = receipt.answered and not receipt.accepted and self._policy.retry_statuses
                is_final = is_final or not may_be_sent_again
        return repeated > self._count_resends(state)

    def _count_resends(self, state: State) -> int:
        return sum(
            spec.kind == "resend" and local.status == ENDED and self._find_finished(index, local).result == "returned"
            for index, (spec, local) in enumerate(zip(self._specs, state.locals, strict=True))
        )

    def _check_outcome(self, stored: Stored, state: State) -> str | None:
        """(2) The receiver contradicts no recorded outcome."""
        if stored.settled:
            return None
        owner = self._indices[stored.owner]
        receipts = [receipt for receipt in state.receipts if receipt.sender == owner]
        if stored.state == "delivered" and not any(one.accepted for one in receipts):
            return "(2) the record says delivered, and the receiver did not accept the event"
        if stored.state == "rejected" and not any(one.answered and not one.accepted for one in receipts):
            return "(2) the record says rejected, and the receiver did not reject the event"
        if stored.state == "not_sent":
            if not self._count_resends(state):
                receipts = [receipt for receipt in state.receipts if self._precedes(receipt, owner)]
            if any(one.accepted or not one.answered for one in receipts):
                return "(2) the record says not_sent, and the receiver got the event"
        return None

    def _precedes(self, receipt: Receipt, owner: int) -> bool:
        """Return whether a record ``not_sent`` excludes a receipt: of its generation, not of a later try."""
        spec = self._specs[owner]
        # The API server may store an old record again after a later try; a database cannot.
        sender = (self._specs[receipt.sender].number, receipt.sender)
        is_later = self._place.accepts_before_it_acts and sender > (spec.number, owner)
        return receipt.generation == spec.generation and not is_later

    def _check_finished(self, stored: Stored, before: State, state: State) -> str | None:
        """(3) No claim is left without a record; (4) the record has the outcome that a process observed."""
        for index, local in enumerate(state.locals):
            spec = self._specs[index]
            if local.status != ENDED or spec.kind in USERS or local.was_superseded:
                continue
            finished = self._find_finished(index, local)
            is_seen = stored.owner == spec.name or finished.last_claim == stored.text
            ends_now = before.locals[index].status != ENDED and finished.result == "returned"
            if ends_now and is_seen and stored.state == "claimed" and stored.generation == spec.label:
                return f"(3) {spec.name} ended, and left the claim without a record"
            # The API server may store an old record over a newer one; see the limits of the guarantee.
            is_last = state.last_token == finished.token and not self._place.accepts_before_it_acts
            is_own = stored.token == finished.token
            is_checked = (is_own or is_last) and finished.observed and not finished.was_disturbed and not stored.settled
            if is_checked and not (is_own and stored.state in AGREEING[finished.observed]):
                return f"(4) {spec.name} got the outcome of its request, and the record does not show it"
        return None

    def _find_finished(self, index: int, local: Local) -> FinishedProcess:
        finished = self._processes[index].locals[local.number].result
        assert isinstance(finished, FinishedProcess)
        return finished


AGREEING = {
    "accepted": ("delivered", "resend"),
    "rejected": ("rejected", "resend"),
    "unanswered": ("unknown", "resend"),
    "not_sent": ("not_sent", "unknown", "resend"),
}
"""The recorded states by the observed answer. ``not_sent`` after an attempt without an answer is ``unknown``."""


def _put(state: State, index: int, local: Local, *, faults: int | None = None) -> State:
    locals_ = (*state.locals[:index], local, *state.locals[index + 1 :])
    return state._replace(locals=locals_, faults=state.faults if faults is None else faults)
