# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The processes of the models: tries, callbacks, commands and users.

They run the package's ``ClaimedDelivery`` with its claim stores and policies. Only the request, clocks and random ids
are replaced.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import NamedTuple, cast
from unittest import mock

import msgspec
from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_hooks.delivery import claims, patience, service
from airflow_provider_hooks.delivery.claims import TryContext
from airflow_provider_hooks.delivery.policy import find_attempt_delay, make_policy
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo
from airflow_provider_hooks.delivery.service import ClaimedDelivery, DeliveryResult
from airflow_provider_hooks.exceptions import ClaimLostError, ServiceHookError
from airflow_provider_hooks.ledger import claims as ledger
from airflow_provider_hooks.outcomes import Outcome
from tests.model.explorer import Answer, Operation, World
from tests.model.stores import ApiServer, ClaimPlace

POLICIES = {
    "at_most_once": make_policy(),
    "retry_statuses": make_policy(retry_statuses=[503]),
    "at_least_once": make_policy(guarantee="at_least_once"),
}
INFO = DeliveryInfo(
    delivery_id="d", event_id="e", event_type="t", endpoint="c", url="", scheme="", body_sha256="", body_bytes=2
)
TIME = "2026-01-01T00:00:00+00:00"
ATTEMPTS = {
    "accepted": Attempt(outcome=Outcome.DELIVERED, requested_at=TIME, duration_ms=1.0, status_code=200),
    "rejected": Attempt(outcome=Outcome.REJECTED, requested_at=TIME, duration_ms=1.0, status_code=503),
    "unanswered": Attempt(outcome=Outcome.UNKNOWN, requested_at=TIME, duration_ms=1.0),
    "not_sent": Attempt(outcome=Outcome.NOT_SENT, requested_at=TIME, duration_ms=1.0),
}
"""The result of the request of a process, by the answer of the simulated network."""
_WAIT_SECONDS = 0.05
"""How long a process waits for another one: it reads the claim twice."""


class Spec(NamedTuple):
    """One process of a model."""

    name: str
    kind: str
    """
    ``try``: of a task. ``callback``: makes several attempts. ``shared``: one of several runs that share a claim.
    ``command``: shares it, too, and makes several attempts. ``settle`` and ``resend``: a user who overwrites
    the state.
    """
    generation: int = 0
    """0 before the clear of the task, 1 after it."""
    number: int = 0
    """The number of its try; a try with a higher number supersedes it. 0: it belongs to no task."""
    begins_after: str = ""
    """The process that must have ended or crashed before, if any."""

    @property
    def label(self) -> str:
        """The label of its generation in claims; a shared claim has one generation for ever."""
        return "" if self.kind in ("shared", "command") else str(self.generation)


class FinishedProcess(NamedTuple):
    """What the invariants check of a finished process."""

    result: str
    """``returned``, or the name of the error."""
    observed: str = ""
    """The answer to its last request, if it made one."""
    token: str = ""
    """The owner token of the claim of that request."""
    was_disturbed: bool = False
    """Whether a fault hit one of its calls to the store, after the request or, without one, at all."""
    last_claim: str = ""
    """The last claim that it read."""


_world = World("", ())
"""The world of the process that runs now; processes run one at a time."""


class _Time:
    """Each process has a separate clock, which only its own pauses advance."""

    @staticmethod
    def sleep(seconds: float) -> None:
        _world.seconds += seconds

    @staticmethod
    def time() -> float:
        return 1.8e9

    @staticmethod
    def monotonic() -> float:
        return _world.seconds


def _make_id() -> SimpleNamespace:
    _world.ids += 1
    return SimpleNamespace(hex=str(_world.ids))


def _make_prefix() -> str:
    return f"{_world.name}."


@contextmanager
def controlled() -> Iterator[None]:
    """Replace clocks and random ids by those of the process that runs, and log nothing."""
    now = SimpleNamespace(isoformat=lambda: TIME)
    logging.disable(logging.CRITICAL)
    try:
        with (
            mock.patch.object(claims, "uuid", SimpleNamespace(uuid4=_make_id)),
            mock.patch.object(claims, "_own_prefix", _make_prefix),
            mock.patch.object(service, "pendulum", SimpleNamespace(now=lambda _zone: now)),
            mock.patch.object(service, "time", _Time),
            mock.patch.object(patience, "time", _Time),
            mock.patch.object(ledger, "time", _Time),
        ):
            yield
    finally:
        logging.disable(logging.NOTSET)


def make_code(
    spec: Spec, *, place: ClaimPlace, policy: str, patience_seconds: float, clear_deletes: bool
) -> Callable[[World], Hashable]:
    """Return the code of a process."""
    run = TryContext(
        generation=spec.label,
        try_number=max(spec.number, 1),
        policy=POLICIES[policy],
        claim_may_be_lost=clear_deletes and spec.generation > 0,
        wait_seconds=0.0 if spec.label else _WAIT_SECONDS,
    )

    def code(world: World) -> Hashable:
        global _world  # noqa: PLW0603  (processes run one at a time)
        _world = world
        try:
            if spec.kind in ("settle", "resend"):
                return _edit(world, place, state="settled" if spec.kind == "settle" else "resend"), ""
            if spec.kind in ("try", "shared"):
                deliver(world, place, run, patience_seconds)
            else:
                _deliver_now(world, place, run, patience_seconds)
        except (ServiceHookError, AirflowRuntimeError) as error:
            return type(error).__name__, world.token
        return "returned", world.token

    return code


def deliver(world: World, place: ClaimPlace, run: TryContext, patience_seconds: float) -> DeliveryResult:
    """Take the steps of a delivery as ``EndpointHook`` does."""
    delivery = ClaimedDelivery(store=place.open_store(world, patience=patience_seconds), run=run)
    result = delivery.resolve() or delivery.claim(INFO)
    if result is not None:
        return result
    assert delivery._claim is not None
    world.token = delivery._claim.owner_token
    return delivery.settle(send(world))


def send(world: World) -> Attempt:
    """Send the event, once."""
    return ATTEMPTS[world.call(Operation("send", name="request")).kind]


def _deliver_now(world: World, place: ClaimPlace, run: TryContext, patience_seconds: float) -> None:
    """Deliver where Airflow has no retries: several attempts in one process, as the policy defines."""
    for attempts in range(1, 3):
        result = deliver(world, place, run, patience_seconds)
        if find_attempt_delay(attempts, policy=run.policy, attempt=result.record.attempt, now=0.0) is None:
            return


def _edit(world: World, place: ClaimPlace, *, state: str) -> Hashable:
    """
    Overwrite the state of a claim that has no outcome, as a user does.

    In the Storage tab a user reads the claim, and later stores all of it. In the ledger the write is conditional.
    """
    if isinstance(place, ApiServer):
        stored = json.loads(str(world.call(Operation("read", name="read of the claim")).value))
        if stored["state"] in ("claimed", "unknown"):
            world.call(Operation("write", json.dumps({**stored, "state": state}), name=f"write of '{state}'"))
        return "returned"
    store = place.open_store(world, patience=0.0)
    found = store.load()
    assert found is not None
    try:
        store.acquire(found, msgspec.structs.replace(found, state=state))
    except ClaimLostError:
        return "too late"
    return "returned"


def summarize(answers: tuple[Answer, ...], result: Hashable) -> FinishedProcess:
    """Return what the invariants check of a finished process."""
    status, token = cast("tuple[str, str]", result)
    sends = [number for number, answer in enumerate(answers) if answer.kind in ATTEMPTS]
    relevant = answers[sends[-1] + 1 :] if sends else answers
    texts = [text for answer in answers if (text := _find_text(answer.value)) is not None]
    return FinishedProcess(
        result=status,
        token=token,
        observed=answers[sends[-1]].kind if sends else "",
        was_disturbed=any(answer.kind not in ("ok", *ATTEMPTS) for answer in relevant),
        last_claim=texts[-1] if texts and status == "returned" else "",
    )


def _find_text(value: Hashable) -> str | None:
    """Return the claim that an answer holds, if any: JSON, or a row with JSON."""
    text = value[0][0] if isinstance(value, tuple) and value else value
    return text if isinstance(text, str) else None
