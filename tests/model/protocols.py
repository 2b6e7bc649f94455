# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The protocols that are explored: the real one in many configurations, its known limits, and weakened ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from unittest import mock

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.delivery import claims, service
from airflow_provider_hooks.delivery.claims import CLAIMED, ClaimAction, TryContext
from airflow_provider_hooks.delivery.record import not_sent_attempt
from airflow_provider_hooks.delivery.service import ClaimedDelivery, DeliveryResult
from airflow_provider_hooks.exceptions import ClaimLostError, StateStoreError
from tests.model import processes
from tests.model.explorer import Exploration, World, explore
from tests.model.processes import INFO, POLICIES, Spec, controlled, send
from tests.model.stores import ApiServer, ClaimPlace, LedgerDatabase
from tests.model.system import Configuration, DeliveryModel

TRY_1, TRY_2, TRY_3 = (Spec(f"try {number}", "try", 0, number) for number in (1, 2, 3))
CLEARED_3, CLEARED_4 = Spec("try 3", "try", 1, 3), Spec("try 4", "try", 1, 4)
TRY_1_AGAIN = Spec("try 1 again", "try", 0, 1, begins_after="try 1")
"""A container that was restarted: Airflow runs the try again with the same number."""
CALLBACK, CALLBACK_AGAIN = Spec("callback", "callback", 0, 1), Spec("callback again", "callback", 0, 1, "callback")
SETTLE, RESEND = Spec("user", "settle"), Spec("user", "resend")
RUN_A, RUN_B, RUN_C, COMMAND = *(Spec(f"run {name}", "shared") for name in "ABC"), Spec("command", "command")

_make = partial(partial, Configuration)
TASK_STATE_STORE = tuple(
    _make(name=name, specs=specs, **options)
    for name, specs, options in (
        ("two tries", (TRY_1, TRY_2), {}),
        ("two tries that wait for the store", (TRY_1, TRY_2), {"patience": 0.5}),
        ("three tries", (TRY_1, TRY_2, TRY_3), {}),
        ("a try, run again with the same number", (TRY_1, TRY_1_AGAIN, TRY_2), {}),
        ("a callback fired twice in turn, a later try", (CALLBACK, CALLBACK_AGAIN, TRY_2), {}),
        ("two tries, a user settles", (TRY_1, TRY_2, SETTLE), {}),
        ("two tries, a clear", (TRY_1, TRY_2, CLEARED_3), {}),
        ("a try, a clear, two tries", (TRY_1, CLEARED_3, CLEARED_4), {}),
        ("two tries, a clear of 3.4", (TRY_1, TRY_2, CLEARED_3), {"clear_deletes": True, "clears_running": False}),
        ("two tries, a clear, a user settles", (TRY_1, TRY_2, CLEARED_3, SETTLE), {}),
    )
)
"""With Airflow's task state store; each makes a configuration from a policy, a place and a number of faults."""
LEDGER = tuple(
    _make(name=name, specs=specs, **options)
    for name, specs, options in (
        ("two tries", (TRY_1, TRY_2), {}),
        ("two tries that wait for the store", (TRY_1, TRY_2), {"patience": 0.5}),
        ("three tries", (TRY_1, TRY_2, TRY_3), {}),
        ("two tries, a user settles", (TRY_1, TRY_2, SETTLE), {}),
        ("two tries, a user resends", (TRY_1, TRY_2, RESEND), {}),
        ("two tries, a clear", (TRY_1, TRY_2, CLEARED_3), {}),
        ("a try, a clear, two tries", (TRY_1, CLEARED_3, CLEARED_4), {}),
        ("two tries, a clear, a user settles", (TRY_1, TRY_2, CLEARED_3, SETTLE), {}),
        ("once per event: two runs", (RUN_A, RUN_B), {}),
        ("once per event: two runs, a user settles", (RUN_A, RUN_B, SETTLE), {}),
        ("once per event: two runs, a user resends", (RUN_A, RUN_B, RESEND), {}),
        ("once per event: a run, a command", (RUN_A, COMMAND), {}),
        ("once per event: three runs", (RUN_A, RUN_B, RUN_C), {}),
    )
)
"""With the ledger. Two runs that share a claim stand for a callback fired twice, too."""
_WIDEST = "once per event: three runs"
"""Explored with at most one fault, like configurations of four processes: two faults give many millions of states."""
_LONG = ("once per event: a run, a command", _WIDEST)
"""Configurations that ``make test`` does not explore."""
_LARGE, _LARGEST = 3, 4
"""
``make test`` explores configurations of ``_LARGE`` processes without faults and for one policy, and those of
``_LARGEST`` processes not at all.

A process that never continues is equivalent to a crashed one. So the steps after a crash are explored without faults,
too, unless a process waits for the crash of another.
"""


def list_configurations(*, faults: int, is_full: bool) -> Iterator[Configuration]:
    """
    Return the configurations of the real protocol.

    :param is_full: whether to include those with many processes, and every policy
    """
    for makers, place in ((TASK_STATE_STORE, ApiServer), (LEDGER, LedgerDatabase)):
        for make in makers:
            size = len(make.keywords["specs"])
            if is_full:
                is_wide = size >= _LARGEST or make.keywords["name"] == _WIDEST
                for policy in POLICIES:
                    if (place, make.keywords["name"], policy) != (ApiServer, "three tries", "at_least_once"):  # a limit
                        yield make(policy=policy, place=place(), faults=min(faults, 1) if is_wide else faults)
            elif make.keywords["name"] in _LONG:
                continue
            elif size < _LARGE:
                for policy in POLICIES:
                    yield make(policy=policy, place=place(), faults=faults)
            elif size < _LARGEST:
                has_successor = any(spec.begins_after for spec in make.keywords["specs"])
                yield make(place=place(), faults=int(has_successor))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A protocol that violates an invariant: one without a part of the real one, or the real one beyond its limits."""

    name: str
    configuration: Configuration
    violates: str
    """The beginning of the message of the expected violation."""
    patch: Callable[[], AbstractContextManager[object]] = nullcontext


def explore_configuration(configuration: Configuration) -> Exploration:
    """Explore the real protocol."""
    with controlled():
        return explore(DeliveryModel(configuration))


def explore_variant(variant: Variant) -> Exploration:
    """Explore a weakened protocol until its expected violation."""
    with controlled(), variant.patch():
        return explore(DeliveryModel(variant.configuration), invariant=variant.violates)


# Weakened parts of the protocol


def _acquire_without_reading_back(
    store: TaskStateClaimStore[claims.Claim], expected: object, new: claims.Claim
) -> None:
    store.save(new)


def _deliver_before_claiming(world: World, place: ClaimPlace, run: TryContext, patience: float) -> DeliveryResult:
    delivery = ClaimedDelivery(store=place.open_store(world, patience=patience), run=run)
    if (found := delivery.resolve()) is not None:
        return found
    attempt = send(world)
    return delivery.claim(INFO) or delivery.settle(attempt)


def _record_without_reading(delivery: ClaimedDelivery, claim: claims.Claim, error: StateStoreError) -> None:
    record = claims.make_record(claim, not_sent_attempt(error, requested_at=0.0, seconds=0.0))
    with suppress(StateStoreError, ClaimLostError):
        delivery.store.save(claims.record_claim(claim, record))


@contextmanager
def _send_over_open_claims() -> Iterator[None]:
    with mock.patch.dict(claims._SAME_GENERATION, {CLAIMED: ClaimAction.SEND}):
        yield


def _settle_without_owner(sql: str) -> str:
    return sql.replace("owner_token = ? AND state IN", "? IS NOT NULL AND state IN")


def _settle_without_state(sql: str) -> str:
    return re.sub(r"state IN \([?, ]+\)", r"(\g<0> OR TRUE)", sql)


def _acquire_without_compare(sql: str) -> str:
    if sql.startswith("INSERT"):
        return sql.replace("INSERT", "INSERT OR REPLACE", 1).replace("ON CONFLICT (claim_key) DO NOTHING ", "")
    return sql.replace("owner_token = ? AND state = ?", "(owner_token = ? AND state = ? OR TRUE)")


_TWICE = "(1)"
WEAKENED = (
    Variant(
        name="task state store: a claim is not read back",
        configuration=Configuration(name="", specs=(TRY_1, TRY_2), place=ApiServer(), faults=0),
        violates=_TWICE,
        patch=lambda: mock.patch.object(TaskStateClaimStore, "acquire", _acquire_without_reading_back),
    ),
    Variant(
        name="task state store: a superseded try is not refused",
        configuration=Configuration(name="", specs=(TRY_1, TRY_2), place=ApiServer(refuses_superseded=False), faults=0),
        violates=_TWICE,
    ),
    Variant(
        name="task state store: the claim is written after the request",
        configuration=Configuration(name="", specs=(TRY_1, TRY_2), place=ApiServer(), faults=0),
        violates=_TWICE,
        patch=lambda: mock.patch.object(processes, "deliver", _deliver_before_claiming),
    ),
    Variant(
        name="task state store: a claim without an outcome is sent again",
        configuration=Configuration(name="", specs=(TRY_1, TRY_2), place=ApiServer(), faults=0),
        violates=_TWICE,
        patch=_send_over_open_claims,
    ),
    Variant(
        name="task state store: after an outage not_sent is recorded without reading the claim",
        configuration=Configuration(name="", specs=(TRY_1, TRY_2, TRY_3), place=ApiServer(), faults=1),
        violates=_TWICE,
        patch=lambda: mock.patch.object(ClaimedDelivery, "_record_not_sent", _record_without_reading),
    ),
    Variant(
        name="ledger: a record is stored without a check of the owner",
        configuration=Configuration(
            name="", specs=(TRY_1, CLEARED_3, CLEARED_4), place=LedgerDatabase(_settle_without_owner), faults=0
        ),
        violates="(4)",
    ),
    Variant(
        name="ledger: a record is stored without a check of the state",
        configuration=Configuration(
            name="", specs=(TRY_1, TRY_2), place=LedgerDatabase(_settle_without_state), faults=0
        ),
        violates="(4)",
    ),
    Variant(
        name="ledger: a claim is stored without a check of the previous claim",
        configuration=Configuration(
            name="", specs=(TRY_1, TRY_2), place=LedgerDatabase(_acquire_without_compare), faults=0
        ),
        violates=_TWICE,
    ),
    Variant(
        name="ledger: an orphan may claim after a later try",
        configuration=Configuration(name="", specs=(TRY_1, CLEARED_3, CLEARED_4), place=LedgerDatabase(), faults=0),
        violates=_TWICE,
        patch=lambda: mock.patch.object(service, "is_superseded", return_value=False),
    ),
    Variant(
        name="ledger: the claim is written after the request",
        configuration=Configuration(name="", specs=(RUN_A, RUN_B), place=LedgerDatabase(), faults=0),
        violates=_TWICE,
        patch=lambda: mock.patch.object(processes, "deliver", _deliver_before_claiming),
    ),
    Variant(
        name="ledger: a claim without an outcome is sent again",
        configuration=Configuration(name="", specs=(RUN_A, RUN_B), place=LedgerDatabase(), faults=0),
        violates=_TWICE,
        patch=_send_over_open_claims,
    ),
)
"""The protocol, each without one of its parts."""
LIMITS = (
    Variant(
        name="task state store: a write hangs in the API server from before a clear until a try after it has begun",
        configuration=Configuration(
            name="", specs=(TRY_1, CLEARED_3, CLEARED_4), place=ApiServer(), faults=0, writes_hang=True
        ),
        violates=_TWICE,
    ),
    Variant(
        name="task state store, at_least_once: a write hangs until the next try has claimed the event",
        configuration=Configuration(
            name="", specs=(TRY_1, TRY_2, TRY_3), place=ApiServer(), policy="at_least_once", faults=0
        ),
        violates="(2)",
    ),
    Variant(
        name="task state store: Airflow 3.4 deletes the claim of a task that is cleared while it runs",
        configuration=Configuration(
            name="", specs=(TRY_1, TRY_2, CLEARED_3), place=ApiServer(), faults=0, clear_deletes=True
        ),
        violates=_TWICE,
    ),
)
"""The limits that ``docs/concepts/guarantee.md`` lists."""
