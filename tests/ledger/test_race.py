# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Two processes claim one delivery in the ledger at the same time: exactly one sends it, in each of many rounds.

Each round begins with no claim, with one that was not sent, or with that of an earlier generation, in turn.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from airflow_provider_hooks.delivery.claims import Claim, TryContext, make_claim, make_record, record_claim
from airflow_provider_hooks.delivery.record import Attempt
from airflow_provider_hooks.delivery.service import ClaimedDelivery
from airflow_provider_hooks.exceptions import ClaimLostError
from airflow_provider_hooks.ledger import database as database_module
from airflow_provider_hooks.outcomes import Outcome
from tests.ledger.test_claims import INFO, TIME, open_store
from tests.ledgers import open_database

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from airflow_provider_hooks.ledger.database import Database

SHARED_SECONDS = 60.0
CASES = pytest.mark.parametrize(
    ("rounds", "wait_seconds"),
    [
        pytest.param(200, 0.0, id="own claim"),
        pytest.param(40, SHARED_SECONDS, id="shared claim"),  # a waiting process pauses for 0.05 s
        pytest.param(1_000, 0.0, id="own claim, full", marks=pytest.mark.crash),
        pytest.param(1_000, SHARED_SECONDS, id="shared claim, full", marks=pytest.mark.crash),
    ],
)
RUN = TryContext(generation="1", try_number=1)
SLOWEST_REQUEST = 0.002
LATEST_START = 0.002
"""Seconds after the start of a round until a process begins, at most, so that the steps of the two interleave."""
BARRIER_SECONDS = 300


def fill(database: Database, rounds: int) -> None:
    """Store the claims with which the rounds begin."""
    for number in range(rounds):
        if number % 3:
            outcome, generation = (Outcome.NOT_SENT, "1") if number % 3 == 1 else (Outcome.DELIVERED, "0")
            run = msgspec.structs.replace(RUN, generation=generation)
            claim = make_claim(None, info=INFO, run=run, claimed_at=TIME)
            store = open_store(database, number)
            store.acquire(None, claim)
            store.save(record_claim(claim, make_record(claim, make_attempt(outcome))))


def make_attempt(outcome: Outcome = Outcome.DELIVERED) -> Attempt:
    return Attempt(outcome=outcome, requested_at=TIME, duration_ms=1.0)


def deliver(database: Database, number: int, sends: Path, *, name: str, wait_seconds: float) -> str:
    """Deliver once, and return what this process reports; each request adds a line to the file of sends."""
    run = msgspec.structs.replace(RUN, wait_seconds=wait_seconds)
    delivery = ClaimedDelivery(store=open_store(database, number, patience=60.0), run=run)
    try:
        result = delivery.resolve() or delivery.claim(INFO)
        if result is None:
            with sends.open("a") as file:
                file.write(f"{number} {name}\n")
            time.sleep(random.uniform(0, SLOWEST_REQUEST))  # noqa: S311  (chance, not a secret)
            result = delivery.settle(make_attempt())
    except ClaimLostError:
        return "lost"
    return result.record.attempt.outcome.value


def run_process(
    described: dict[str, object],
    drivers: tuple[str, ...],
    rounds: int,
    barrier: Barrier,
    sends: Path,
    reports: Path,
    name: str,
    wait_seconds: float,
) -> None:
    """Deliver in every round, and write what this process reports for each."""
    database_module._DRIVERS = drivers  # as the fixture set it in the test process
    database = open_database(described)
    database.run("SELECT 1")
    module = type(database._connection).__module__.partition(".")[0]
    assert module in {*drivers, "sqlite3"}, module
    with reports.open("w") as file:
        for number in range(rounds):
            barrier.wait(BARRIER_SECONDS)
            time.sleep(random.uniform(0, LATEST_START))  # noqa: S311
            file.write(deliver(database, number, sends, name=name, wait_seconds=wait_seconds) + "\n")
    database.close()


def run_rounds(
    described: dict[str, object], folder: Path, *, rounds: int, wait_seconds: float
) -> tuple[dict[int, list[str]], Iterable[tuple[str, str]]]:
    """Return which processes sent in each round, and what both reported."""
    context = multiprocessing.get_context("spawn")
    barrier, sends, names = context.Barrier(2), folder / "sends", ("first", "second")
    sends.touch()
    processes = [
        context.Process(
            target=run_process,
            args=(described, database_module._DRIVERS, rounds, barrier, sends, folder / name, name, wait_seconds),
        )
        for name in names
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    senders: dict[int, list[str]] = {number: [] for number in range(rounds)}
    for line in sends.read_text().splitlines():
        number, name = line.split()
        senders[int(number)].append(name)
    first, second = [(folder / name).read_text().split() for name in names]
    return senders, list(zip(first, second, strict=True))


@CASES
def test_exactly_one_of_two_processes_sends(database, ledger_connection, tmp_path, rounds, wait_seconds):
    fill(database, rounds)
    began = time.monotonic()
    senders, reports = run_rounds(ledger_connection, tmp_path, rounds=rounds, wait_seconds=wait_seconds)
    seconds = time.monotonic() - began
    sent = Counter(len(names) for names in senders.values())
    reported = Counter(tuple(sorted(pair)) for pair in reports)
    firsts = Counter(names[0] for names in senders.values() if names)
    print(  # noqa: T201
        f"\n{database.target.dialect}, waits {wait_seconds:g} s: {rounds} rounds in {seconds:.1f} s; "
        f"sent {dict(sent)}, by {dict(firsts)}; reported {dict(reported)}"
    )
    assert sent == {1: rounds}
    for number in range(rounds):
        stored = open_store(database, number).load()
        assert isinstance(stored, Claim)
        assert stored.state == "delivered", "the sending process stores the outcome"
    if wait_seconds:
        assert reported == {("delivered", "delivered"): rounds}
    else:
        # The other process lost the claim, found the outcome, or found the open claim, which it reports as unknown.
        assert set(reported) <= {("delivered", "lost"), ("delivered", "delivered"), ("delivered", "unknown")}
    assert len(reported) > 1 or wait_seconds, "the processes did not race"
    assert set(firsts) == {"first", "second"}, "the processes did not race"
