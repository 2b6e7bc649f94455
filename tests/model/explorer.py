# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Explores every interleaving of processes that run the real code.

``Process`` replays the code of one process, alone, with the answers that its operations got so far. At the first
operation without an answer the code is stopped by an exception, and the operation is returned. The code is
deterministic, so its answers are its whole local state: each sequence of answers is run once, however many global
states contain it, and a global state is a small tuple that is cheap to hash.

``explore`` visits the global states breadth first. So the first violation has a shortest path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)


class Suspended(BaseException):
    """Stops the code of a process at an operation that has no answer yet; no handler of the code catches it."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation


class Operation(NamedTuple):
    """What a process does that others can observe: a call to the claim store, or a request to the receiver."""

    kind: str
    value: Hashable = None
    name: str = ""
    """Its name in counterexamples."""


class Answer(NamedTuple):
    """What an operation returned."""

    kind: str
    """``ok``, or the kind of the failure."""
    value: Hashable = None


class World:
    """What the code of a process calls instead of the network and the claim store."""

    def __init__(self, name: str, answers: tuple[Answer, ...]) -> None:
        self.name = name
        self._answers = iter(answers)
        self._suspended: Operation | None = None
        self.seconds = 0.0
        """The clock of this process; only its own pauses advance it."""
        self.ids = 0
        self.token = ""
        """The owner token of the claim with which it made its last request."""

    def call(self, operation: Operation) -> Answer:
        """Return the answer of an operation, or stop the process if there is none yet."""
        if self._suspended is None:
            answer = next(self._answers, None)
            if answer is not None:
                return answer
            self._suspended = operation
        raise Suspended(self._suspended)  # also to operations of ``finally`` blocks on the way out


class Local(NamedTuple):
    """The local state of a process: its next operation, or its result."""

    answers: tuple[Answer, ...]
    operation: Operation | None
    result: Hashable = None
    """What the code returned, once there is no next operation."""


class Process:
    """
    One process of a model: its code, and every local state that was reached so far.

    :param name: its name in counterexamples
    :param code: the real code; it returns its result
    :param summarize: returns what the invariants check of a finished process, from its answers and its result
    """

    def __init__(
        self,
        name: str,
        code: Callable[[World], Hashable],
        summarize: Callable[[tuple[Answer, ...], Hashable], Hashable],
    ) -> None:
        self.name, self._code, self._summarize = name, code, summarize
        self._numbers: dict[tuple[Answer, ...] | Hashable, int] = {}
        self._next: dict[tuple[int, Answer], int] = {}
        self.locals: list[Local] = []
        self.start = self._run(())

    def advance(self, number: int, answer: Answer) -> int:
        """Return the number of the local state that follows when the pending operation gets this answer."""
        found = self._next.get((number, answer))
        if found is None:
            found = self._next[number, answer] = self._run((*self.locals[number].answers, answer))
        return found

    def _run(self, answers: tuple[Answer, ...]) -> int:
        world = World(self.name, answers)
        try:
            result = self._code(world)
        except Suspended as suspended:
            return self._number(answers, Local(answers, suspended.operation))
        summary = self._summarize(answers, result)
        return self._number(("ended", summary), Local((), None, summary))  # only the summary matters from here on

    def _number(self, key: Hashable, local: Local) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.locals)
            self.locals.append(local)
        return self._numbers[key]


class Step(NamedTuple, Generic[State]):
    """One step of one process, or of its environment."""

    label: tuple[str, ...]
    state: State
    problem: str | None
    """The invariant that the state violates."""


class Model(Protocol[State]):
    """The steps that are explored."""

    def initial(self) -> State:
        """Return the state before anything happened."""

    def list_steps(self, state: State) -> Iterable[Step[State]]:
        """Return every step that can follow."""


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """The size of an exploration, and its shortest violation."""

    states: int
    transitions: int
    interleavings: int
    """The paths from the first state to one where nothing can follow; 0 if the exploration stopped before."""
    violations: int
    seconds: float
    """Of processor time."""
    problem: str | None = None
    trace: tuple[tuple[str, ...], ...] = ()
    """The labels of a shortest path to a violation."""

    def describe(self) -> str:
        """Return the counterexample as numbered steps."""
        steps = [f"{number:>3}. {' '.join(label)}" for number, label in enumerate(self.trace, 1)]
        return "\n".join([f"Violated: {self.problem}", *steps])


def explore(
    model: Model[State], *, invariant: str = "", stops_at_violation: bool = True, limit: int = 20_000_000
) -> Exploration:
    """
    Visit every state, breadth first. The states after a violation are not visited.

    :param invariant: the beginning of the message of a violation; others are ignored
    :param stops_at_violation: whether the first violation ends the exploration
    :param limit: the most states that are visited
    :raises RuntimeError: if there are more
    """
    began = time.process_time()
    first = model.initial()
    numbers: dict[State, int] = {first: 0}
    states: list[State | None] = [first]
    parents: list[tuple[int, tuple[str, ...]]] = [(-1, ())]
    successors: list[list[int]] = []
    transitions = violations = 0
    violated: tuple[int, tuple[str, ...], str] | None = None
    while len(successors) < len(states):
        number = len(successors)
        state, states[number] = states[number], None
        following: list[int] = []
        successors.append(following)
        assert state is not None
        for label, reached, problem in model.list_steps(state):
            transitions += 1
            if problem is not None and problem.startswith(invariant):
                violations += 1
                violated = violated or (number, label, problem)
                if stops_at_violation:
                    break
                continue
            found = numbers.get(reached)
            if found is None:
                found = numbers[reached] = len(states)
                states.append(reached)
                parents.append((number, label))
                if found > limit:
                    raise RuntimeError(f"more than {limit} states")
            following.append(found)
        if violated and stops_at_violation:
            break
    return Exploration(
        states=len(states),
        transitions=transitions,
        interleavings=0 if violated else _count_paths(successors),
        violations=violations,
        seconds=time.process_time() - began,
        problem=violated and violated[2],
        trace=_trace(parents, violated) if violated else (),
    )


def _trace(
    parents: list[tuple[int, tuple[str, ...]]], violated: tuple[int, tuple[str, ...], str]
) -> tuple[tuple[str, ...], ...]:
    number, last, _ = violated
    labels = [last]
    while number > 0:
        number, label = parents[number]
        labels.append(label)
    return tuple(reversed(labels))


def _count_paths(successors: list[list[int]]) -> int:
    """Return the number of paths from the first state to a last one. No step can be undone, so there is no cycle."""
    incoming = [0] * len(successors)
    for following in successors:
        for number in following:
            incoming[number] += 1
    paths = [0] * len(successors)
    paths[0] = 1
    ready, total = [0], 0
    while ready:
        number = ready.pop()
        if not successors[number]:
            total += paths[number]
        for following_number in successors[number]:
            paths[following_number] += paths[number]
            incoming[following_number] -= 1
            if not incoming[following_number]:
                ready.append(following_number)
    return total
