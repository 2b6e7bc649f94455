# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Two processes claim one delivery at the same moment: counts how often both send it, over many rounds.

The claims are in the task state store; ``tests/ledger/test_race.py`` has the same test for the ledger.

Run as a script, this file is one of the two processes, or creates the database rows that they need.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.delivery.claims import KEY_PREFIX, Claim, TryContext
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo
from airflow_provider_hooks.delivery.service import ClaimedDelivery
from airflow_provider_hooks.exceptions import ClaimLostError
from airflow_provider_hooks.outcomes import Outcome
from tests.versions import needs_task_state_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    from airflow_provider_hooks.json_types import JsonObject

ROUNDS = pytest.mark.parametrize("rounds", [60, pytest.param(500, marks=pytest.mark.crash)])
MAX_CALL_SECONDS = 0.003
"""The longest delay of a call of ``FileStore``."""
MAX_NEXT_TRY_SECONDS = 0.020
"""The longest time between the starts of both tries; after it, some deliveries of the first try have been sent."""
LEAD_SECONDS = 0.004
"""The time from the order of a round to its start, in which both processes read the order."""
EXIT_TIMEOUT_SECONDS = 300
"""How long to wait for a process to exit; only a failure takes so long."""
DAG_ID, TASK_ID, RUN_ID = "claim_race", "send", "race"
FACTS = DeliveryInfo(
    delivery_id="d-1",
    event_id="e-1",
    event_type="event.created",
    endpoint="endpoint",
    url="https://example.com/hook",
    scheme="sentry",
    body_sha256="0" * 64,
    body_bytes=2,
)
chance = random.SystemRandom()


# The two processes


class FileStore:
    """A store that accepts the writes of every try: each call is atomic, and is delayed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> object:
        time.sleep(chance.uniform(0, MAX_CALL_SECONDS))
        try:
            return json.loads((self.folder / key).read_text())
        except FileNotFoundError:
            return None

    def set(self, key: str, value: JsonObject, **_options: object) -> None:
        time.sleep(chance.uniform(0, MAX_CALL_SECONDS))
        temporary = self.folder / f"{key}.{os.getpid()}"
        temporary.write_text(json.dumps(value))
        temporary.replace(self.folder / key)


class RefusedError(Exception):
    """The store does not accept the writes of a superseded try."""


class RecordingStore:
    """Wraps a store, and records the steps of one delivery."""

    def __init__(self, store: TaskStateStoreAccessor | FileStore) -> None:
        self.store = store
        self.steps: list[str] = []
        self.owner_token = ""

    def get(self, key: str) -> object:
        value = self.store.get(key)
        if value is None:
            self.steps.append("read nothing")
        else:
            self.steps.append(
                "read its own" if value["owner_token"] == self.owner_token else f"read another's {value['state']}"
            )
        return value

    def set(self, key: str, value: JsonObject, **options: object) -> None:
        try:
            self.store.set(key, value, **options)
        except RefusedError:
            self.steps.append("write refused")
            raise
        self.owner_token = value["owner_token"]
        self.steps.append("wrote")


def deliver(
    store: TaskStateStoreAccessor | FileStore, sends: Path, *, number: int, try_number: int, slot: str = ""
) -> list[str]:
    """Deliver once, and return the steps; each send adds a line to the file of sends."""
    recording = RecordingStore(store)

    def attempt() -> Attempt:
        with sends.open("a") as file:
            file.write(f"{number} {try_number}\n")
        recording.steps.append("SENT")
        return Attempt(outcome=Outcome.DELIVERED, requested_at="2026-01-01T00:00:00+00:00", duration_ms=1.0)

    key = f"{KEY_PREFIX}:{slot}" if slot else KEY_PREFIX
    delivery = ClaimedDelivery(
        store=TaskStateClaimStore(recording, key, Claim), run=TryContext(generation="0", try_number=try_number)
    )
    with contextlib.suppress(ClaimLostError, RefusedError):
        if delivery.resolve() is None:
            delivery.claim(FACTS)
            delivery.settle(attempt())
    return recording.steps


def wait_until(at: float) -> None:
    """Wait until a time of the monotonic clock, which all processes of a machine share."""
    time.sleep(max(0.0, at - time.monotonic()))


def race_in_file_store(*, folder: str, sends: str, number: int, at: float, try_number: int):
    wait_until(at)
    return deliver(FileStore(Path(folder)), Path(sends), number=number, try_number=try_number, slot=f"round-{number}")


def make_rows(rounds: int) -> list[str]:
    """Create a Dag run with a running first try for each round, and return the ids of the tries."""
    # Airflow is imported here, since it reads its home when it is imported, and the other test needs no Airflow.
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415
    from airflow.providers.standard.operators.empty import EmptyOperator  # noqa: PLC0415
    from airflow.sdk import DAG  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from airflow.utils.state import DagRunState, TaskInstanceState  # noqa: PLC0415
    from airflow.utils.types import DagRunType  # noqa: PLC0415

    task = EmptyOperator(task_id=TASK_ID, dag=DAG(DAG_ID, schedule=None))
    with create_session() as session:
        session.add(DagRun(dag_id=DAG_ID, run_id=RUN_ID, run_type=DagRunType.MANUAL, state=DagRunState.RUNNING))
        session.flush()
        tries = []
        for number in range(rounds):
            task_instance = TaskInstance(task, None, run_id=RUN_ID, state=TaskInstanceState.RUNNING, map_index=number)
            task_instance.try_number = 1
            tries.append(task_instance)
        session.add_all(tries)
        session.flush()
        return [str(one.id) for one in tries]


def start_next_try(try_id: str) -> str:
    """Prepare the next try of a task instance, as Airflow does for a retry, and return its id."""
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415

    with create_session(scoped=False) as session:
        current = session.get(TaskInstance, uuid.UUID(try_id))
        # Airflow 3.4 archives the row and returns a new one; earlier versions give the row a new id.
        next_try = current.prepare_db_for_next_try(session) or current
        session.commit()
        return str(next_try.id)


def make_airflow_race() -> Callable[..., list[str]]:
    """Run the Execution API in this process, with the real client, as ``dag.test`` does."""
    import psutil  # noqa: PLC0415
    import structlog  # noqa: PLC0415
    from airflow._shared.state import TaskScope  # noqa: PLC0415
    from airflow.sdk.api.client import Client, ServerResponseError  # noqa: PLC0415
    from airflow.sdk.execution_time import supervisor as sdk  # noqa: PLC0415
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor  # noqa: PLC0415

    class TaskStateStore(TaskStateStoreAccessor):
        def set(self, key: str, value: JsonObject, **options: object) -> None:
            try:
                super().set(key, value, **options)
            except ServerResponseError as error:
                if error.response.status_code not in {404, 410}:
                    raise
                raise RefusedError from None

    client = Client(base_url=None, token="", dry_run=True, transport=sdk.in_process_api_server().transport)
    client.base_url = "http://in-process.invalid./"
    supervisor = sdk.InProcessTestSupervisor(
        id=uuid.uuid4(), pid=os.getpid(), process=psutil.Process(), process_log=structlog.get_logger(), client=client
    )
    supervisor.comms = sdk.InProcessSupervisorComms(supervisor=supervisor)

    def race(*, sends: str, number: int, at: float, try_id: str, try_number: int) -> list[str]:
        wait_until(at)
        current = try_id if try_number == 1 else start_next_try(try_id)
        scope = TaskScope(dag_id=DAG_ID, run_id=RUN_ID, task_id=TASK_ID, map_index=number)
        with sdk.set_supervisor_comms(supervisor.comms):
            store = TaskStateStore(uuid.UUID(current), scope)
            return deliver(store, Path(sends), number=number, try_number=try_number)

    return race


def work(role: str, *arguments: str) -> None:
    """Run each order, given as a line of JSON, and print its result as a line of JSON."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints goes to standard error

    def write(value: object) -> None:
        results.write(json.dumps(value) + "\n")
        results.flush()

    if role == "rows":
        write(make_rows(int(arguments[0])))
        return
    race = race_in_file_store if role == "files" else make_airflow_race()
    write("ready")
    for line in sys.stdin:
        write(race(**json.loads(line)))


# The tests


@dataclass
class Worker:
    """One of the two processes, as the test uses it."""

    process: subprocess.Popen[str]
    log: Path

    def order(self, **order: object) -> None:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def read(self):
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-3000:]
        return json.loads(line)


@contextlib.contextmanager
def start(role: str, log: Path, *arguments: str, **environment: str) -> Iterator[Worker]:
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.system.test_claim_race", role, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield Worker(process, log)
            process.stdin.close()
            process.wait(EXIT_TIMEOUT_SECONDS)
        finally:
            process.kill()


@dataclass
class Rounds:
    """The results of all rounds."""

    sends: Path
    steps: list[tuple[list[str], list[str]]] = field(default_factory=list)
    seconds: float = 0.0

    def list_senders(self) -> dict[int, list[int]]:
        """Return the tries that sent, by round; from the file of sends, which does not depend on the reported steps."""
        senders = {number: [] for number in range(len(self.steps))}
        for line in self.sends.read_text().splitlines():
            number, try_number = map(int, line.split())
            senders[number].append(try_number)
        return senders

    def count_sends(self) -> list[int]:
        """Return how many rounds sent nothing, once and twice."""
        counted = Counter(len(tries) for tries in self.list_senders().values())
        return [counted[times] for times in (0, 1, 2)]

    def print_counts(self, title: str, *more: str) -> None:
        never, once, twice = self.count_sends()
        lines = [
            f"\n{title}: {len(self.steps)} rounds in {self.seconds:.1f} s",
            f"  sent nothing {never}, once {once}, twice {twice}",
            *more,
        ]
        for process in (0, 1):
            counted = Counter(", ".join(steps[process]) for steps in self.steps)
            lines += [f"  process {process + 1}: {count:4} x {steps}" for steps, count in counted.most_common()]
        print("\n".join(lines), flush=True)  # noqa: T201  (the counts are a result of the test)


def run_rounds(
    first: Worker, second: Worker, sends: Path, order: Callable[[int], tuple[dict, dict]], *, rounds: int
) -> Rounds:
    """Start each round in both processes at the same time, and wait for both before the next round."""
    sends.touch()
    result, started = Rounds(sends), time.monotonic()
    for number in range(rounds):
        for worker, arguments in zip((first, second), order(number), strict=True):
            worker.order(sends=str(sends), number=number, **arguments)
        result.steps.append((first.read(), second.read()))
    result.seconds = time.monotonic() - started
    return result


@ROUNDS
def test_store_that_accepts_every_try_sends_twice_only_if_both_tries_read_no_claim(tmp_path, rounds):
    """This measures the race that Airflow prevents by refusing the calls of a superseded try."""
    folder = tmp_path / "store"
    folder.mkdir()

    def order(_number: int) -> tuple[dict, dict]:
        same = {"folder": str(folder), "at": time.monotonic() + LEAD_SECONDS}
        return {**same, "try_number": 1}, {**same, "try_number": 2}

    with start("files", tmp_path / "first.log") as first, start("files", tmp_path / "second.log") as second:
        assert (first.read(), second.read()) == ("ready", "ready")
        result = run_rounds(first, second, tmp_path / "sends", order, rounds=rounds)
    result.print_counts("a store that accepts every try")

    unsent = [both for number, both in enumerate(result.steps) if not result.list_senders()[number]]
    assert all(any("read another's claimed" in steps for steps in both) for both in unsent), (
        "in a round without a send, a try found the claim of the other, and reports the event as unknown"
    )
    sent_twice = [both for number, both in enumerate(result.steps) if len(result.list_senders()[number]) > 1]
    assert all(steps[0] == "read nothing" for both in sent_twice for steps in both)


@needs_task_state_store
@ROUNDS
def test_superseded_try_cannot_claim_through_the_execution_api(airflow, tmp_path, rounds):
    """Airflow refuses the id of the superseded try, which is sufficient."""
    environment = {
        "AIRFLOW_HOME": str(airflow.home),
        # Two processes write one SQLite file, and must wait for each other even on a busy machine.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow.home}/airflow.db?timeout=30",
    }
    with start("rows", tmp_path / "rows.log", str(rounds), **environment) as worker:
        try_ids = worker.read()

    def order(number: int) -> tuple[dict, dict]:
        at = time.monotonic() + LEAD_SECONDS
        same = {"try_id": try_ids[number]}
        later = at + chance.uniform(0, MAX_NEXT_TRY_SECONDS)
        return {**same, "at": at, "try_number": 1}, {**same, "at": later, "try_number": 2}

    with (
        start("airflow", tmp_path / "first.log", **environment) as first,
        start("airflow", tmp_path / "second.log", **environment) as second,
    ):
        assert (first.read(), second.read()) == ("ready", "ready")
        result = run_rounds(first, second, tmp_path / "sends", order, rounds=rounds)

    senders = result.list_senders()
    # A read with a superseded id finds no claim, so a claim that is missing when it is read back was refused.
    refused = {
        number: "SENT" in steps
        for number, (steps, _) in enumerate(result.steps)
        if "write refused" in steps or steps[-2:] == ["wrote", "read nothing"]
    }
    late = [
        number
        for number, (steps, next_steps) in enumerate(result.steps)
        if "wrote" in steps and next_steps[0] == "read nothing"
    ]
    result.print_counts(
        "through Airflow",
        f"  the first try was refused in {len(refused)}: before it sent {len(refused) - sum(refused.values())}, "
        f"at its record, after it sent {sum(refused.values())}",
        f"  the claim of the first try was stored after the second try had read no claim in {len(late)}",
    )
    assert [number for number, tries in senders.items() if len(tries) > 1] == []
    assert [number for number, sent in refused.items() if (1 in senders[number]) is not sent] == []
    unexplained = [
        next_steps
        for number, (_, next_steps) in enumerate(result.steps)
        if not senders[number] and not any("another's" in step for step in next_steps)
    ]
    assert unexplained == []
    assert refused, "no round was a race"


if __name__ == "__main__":
    work(*sys.argv[1:])
