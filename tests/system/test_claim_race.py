# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Two processes that claim one delivery at one moment: how often both send it, counted over many rounds.

The claims are in the task state store; ``tests/ledger/test_race.py`` has the same for the ledger.

Run as a script, this file is one of the two processes, or makes the rows that they need.
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
SLOWEST_CALL = 0.003
"""Seconds that one call of the store that refuses nobody may wait."""
LATEST_FOLLOWER = 0.020
"""Seconds after the start of a try until the next begins to follow it, at most: some deliveries have been sent then."""
LEAD = 0.004
"""Seconds from the order of a round to its start, so that both processes have read it by then."""
END_SECONDS = 300
"""How long a process may take to end; only a failure takes so long."""
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


class Files:
    """A store that refuses nobody: each call is atomic by itself, and takes a while."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> object:
        time.sleep(chance.uniform(0, SLOWEST_CALL))
        try:
            return json.loads((self.folder / key).read_text())
        except FileNotFoundError:
            return None

    def set(self, key: str, value: JsonObject, **_options: object) -> None:
        time.sleep(chance.uniform(0, SLOWEST_CALL))
        whole = self.folder / f"{key}.{os.getpid()}"
        whole.write_text(json.dumps(value))
        whole.replace(self.folder / key)


class RefusedError(Exception):
    """The store does not take what is written by a try that another has followed."""


class Watched:
    """A store, and the steps of one delivery through it."""

    def __init__(self, store: TaskStateStoreAccessor | Files) -> None:
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
    store: TaskStateStoreAccessor | Files, sends: Path, *, number: int, try_number: int, slot: str = ""
) -> list[str]:
    """Deliver once, and return what happened, step by step; a line in the file of sends is a send."""
    watched = Watched(store)

    def attempt() -> Attempt:
        with sends.open("a") as file:
            file.write(f"{number} {try_number}\n")
        watched.steps.append("SENT")
        return Attempt(outcome=Outcome.DELIVERED, requested_at="2026-01-01T00:00:00+00:00", duration_ms=1.0)

    key = f"{KEY_PREFIX}:{slot}" if slot else KEY_PREFIX
    delivery = ClaimedDelivery(
        store=TaskStateClaimStore(watched, key, Claim), run=TryContext(generation="0", try_number=try_number)
    )
    with contextlib.suppress(ClaimLostError, RefusedError):
        if delivery.resolve() is None:
            delivery.claim(FACTS)
            delivery.settle(attempt())
    return watched.steps


def wait_until(at: float) -> None:
    """Wait for a moment of the clock that all processes of a machine share."""
    time.sleep(max(0.0, at - time.monotonic()))


def race_through_files(*, folder: str, sends: str, number: int, at: float, try_number: int):
    wait_until(at)
    return deliver(Files(Path(folder)), Path(sends), number=number, try_number=try_number, slot=f"round-{number}")


def make_rows(rounds: int) -> list[str]:
    """Make a run and a running first try for each round, and return the ids of the tries."""
    # Airflow is imported where it is needed: the other test's processes do without it, and it reads its home then.
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
            one = TaskInstance(task, None, run_id=RUN_ID, state=TaskInstanceState.RUNNING, map_index=number)
            one.try_number = 1
            tries.append(one)
        session.add_all(tries)
        session.flush()
        return [str(one.id) for one in tries]


def follow(try_id: str) -> str:
    """Give a task instance the id of its next try, as Airflow does when it retries a task, and return it."""
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415

    with create_session(scoped=False) as session:
        one = session.get(TaskInstance, uuid.UUID(try_id))
        # Airflow 3.4 archives the row and returns a new one; before, the row gets a new id.
        following = one.prepare_db_for_next_try(session) or one
        session.commit()
        return str(following.id)


def serve_airflow() -> Callable[..., list[str]]:
    """Run the Execution API in this process, with the real client before it, as ``dag.test`` does."""
    import psutil  # noqa: PLC0415
    import structlog  # noqa: PLC0415
    from airflow._shared.state import TaskScope  # noqa: PLC0415
    from airflow.sdk.api.client import Client, ServerResponseError  # noqa: PLC0415
    from airflow.sdk.execution_time import supervisor as sdk  # noqa: PLC0415
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor  # noqa: PLC0415

    class OwnStore(TaskStateStoreAccessor):
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
        current = try_id if try_number == 1 else follow(try_id)
        scope = TaskScope(dag_id=DAG_ID, run_id=RUN_ID, task_id=TASK_ID, map_index=number)
        with sdk.set_supervisor_comms(supervisor.comms):
            store = OwnStore(uuid.UUID(current), scope)
            return deliver(store, Path(sends), number=number, try_number=try_number)

    return race


def work(role: str, *arguments: str) -> None:
    """Answer one order a line until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints is no answer

    def answer(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    if role == "rows":
        answer(make_rows(int(arguments[0])))
        return
    race = race_through_files if role == "files" else serve_airflow()
    answer("ready")
    for line in sys.stdin:
        answer(race(**json.loads(line)))


# The tests


@dataclass
class Worker:
    """One of the two processes, seen from the test."""

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
            process.wait(END_SECONDS)
        finally:
            process.kill()


@dataclass
class Tally:
    """What came of all rounds."""

    sends: Path
    stories: list[tuple[list[str], list[str]]] = field(default_factory=list)
    seconds: float = 0.0

    def list_senders(self) -> dict[int, list[int]]:
        """Return which tries sent, by round; taken from the file of sends, not from what the processes say."""
        senders = {number: [] for number in range(len(self.stories))}
        for line in self.sends.read_text().splitlines():
            number, try_number = map(int, line.split())
            senders[number].append(try_number)
        return senders

    def count_sends(self) -> list[int]:
        """Return how many rounds sent nothing, once and twice."""
        counted = Counter(len(tries) for tries in self.list_senders().values())
        return [counted[times] for times in (0, 1, 2)]

    def tell(self, title: str, *more: str) -> None:
        nothing, once, twice = self.count_sends()
        lines = [
            f"\n{title}: {len(self.stories)} rounds in {self.seconds:.1f} s",
            f"  sent nothing {nothing}, once {once}, twice {twice}",
            *more,
        ]
        for process in (0, 1):
            counted = Counter(", ".join(story[process]) for story in self.stories)
            lines += [f"  process {process + 1}: {count:4} x {story}" for story, count in counted.most_common()]
        print("\n".join(lines), flush=True)  # noqa: T201  (the counts are what one runs this for)


def run_rounds(
    first: Worker, second: Worker, sends: Path, order: Callable[[int], tuple[dict, dict]], *, rounds: int
) -> Tally:
    """Let both processes start each round together, and wait for both before the next."""
    sends.touch()
    tally, started = Tally(sends), time.monotonic()
    for number in range(rounds):
        for worker, one in zip((first, second), order(number), strict=True):
            worker.order(sends=str(sends), number=number, **one)
        tally.stories.append((first.read(), second.read()))
    tally.seconds = time.monotonic() - started
    return tally


@ROUNDS
def test_two_processes_and_one_key_of_a_store_that_refuses_nobody(tmp_path, rounds):
    """How wide the window is that Airflow's refusal closes: only two that both read nothing can both send."""
    folder = tmp_path / "store"
    folder.mkdir()

    def order(_number: int) -> tuple[dict, dict]:
        same = {"folder": str(folder), "at": time.monotonic() + LEAD}
        return {**same, "try_number": 1}, {**same, "try_number": 2}

    with start("files", tmp_path / "first.log") as first, start("files", tmp_path / "second.log") as second:
        assert (first.read(), second.read()) == ("ready", "ready")
        tally = run_rounds(first, second, tmp_path / "sends", order, rounds=rounds)
    tally.tell("a store that refuses nobody")

    unsent = [stories for number, stories in enumerate(tally.stories) if not tally.list_senders()[number]]
    assert all(any("read another's claimed" in story for story in stories) for stories in unsent), (
        "where nothing is sent, a try found the other's claim, and reports the event as unknown"
    )
    both = [stories for number, stories in enumerate(tally.stories) if len(tally.list_senders()[number]) > 1]
    assert all(story[0] == "read nothing" for stories in both for story in stories)


@needs_task_state_store
@ROUNDS
def test_a_try_that_another_has_followed_cannot_claim_through_airflow(airflow, tmp_path, rounds):
    """Airflow's refusal of the old id is enough."""
    environment = {
        "AIRFLOW_HOME": str(airflow.home),
        # Two processes write one SQLite file, so each waits for the other longer than a busy machine may take.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow.home}/airflow.db?timeout=30",
    }
    with start("rows", tmp_path / "rows.log", str(rounds), **environment) as worker:
        try_ids = worker.read()

    def order(number: int) -> tuple[dict, dict]:
        at = time.monotonic() + LEAD
        same = {"try_id": try_ids[number]}
        later = at + chance.uniform(0, LATEST_FOLLOWER)
        return {**same, "at": at, "try_number": 1}, {**same, "at": later, "try_number": 2}

    with (
        start("airflow", tmp_path / "first.log", **environment) as first,
        start("airflow", tmp_path / "second.log", **environment) as second,
    ):
        assert (first.read(), second.read()) == ("ready", "ready")
        tally = run_rounds(first, second, tmp_path / "sends", order, rounds=rounds)

    senders = tally.list_senders()
    # A read of the old id is answered as if nothing were kept, so a claim that is gone when read back was refused.
    refused = {
        number: "SENT" in story
        for number, (story, _) in enumerate(tally.stories)
        if "write refused" in story or story[-2:] == ["wrote", "read nothing"]
    }
    late = [
        number
        for number, (story, follower) in enumerate(tally.stories)
        if "wrote" in story and follower[0] == "read nothing"
    ]
    tally.tell(
        "through Airflow",
        f"  the first try was refused in {len(refused)}: before it sent {len(refused) - sum(refused.values())}, "
        f"at its record after it sent {sum(refused.values())}",
        f"  a claim of the first try was kept after the second had read that there is none in {len(late)}",
    )
    assert [number for number, tries in senders.items() if len(tries) > 1] == []
    assert [number for number, sent in refused.items() if (1 in senders[number]) is not sent] == []
    unexplained = [
        follower
        for number, (_, follower) in enumerate(tally.stories)
        if not senders[number] and not any("another's" in step for step in follower)
    ]
    assert unexplained == []
    assert refused, "no round was a race"


if __name__ == "__main__":
    work(*sys.argv[1:])
