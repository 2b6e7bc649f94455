# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The simulated places where a claim is stored. Each is a pure function: from its content and an operation to the next
content and an answer.

``ApiServer`` is Airflow's task state store. It accepts a request if the try is not superseded, and executes it
*later*: another try may begin meanwhile. The real ``TaskStateClaimStore`` stands in front of it.

``LedgerDatabase`` is the ledger: SQLite, in memory, runs each statement of the real ``LedgerClaimStore``, atomically.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple, Protocol, cast

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.delivery.claims import Claim, ClaimOrigin, ClaimStore
from airflow_provider_hooks.delivery.patience import OutageError
from airflow_provider_hooks.ledger.claims import LedgerClaimStore
from airflow_provider_hooks.ledger.database import Database, LedgerTarget
from airflow_provider_hooks.ledger.schema import migrate
from tests.model.explorer import Answer, Operation, World

OUTAGE, REFUSED = "outage", "refused"


class Stored(NamedTuple):
    """What the invariants check of a stored claim."""

    state: str
    generation: str
    owner: str
    """The name of the process that claimed the delivery."""
    token: str
    """The owner token of the claim."""
    settled: bool
    text: str
    """The JSON of the claim."""


@cache
def read_stored(text: str) -> Stored:
    """Parse the JSON of a claim."""
    claim = json.loads(text)
    token = claim["owner_token"]
    settled = claim["state"] == "settled" or bool((claim.get("record") or {}).get("settled"))
    return Stored(claim["state"], claim["generation"], token.partition(".")[0], token, settled, text)


class Accessor:
    """Replaces ``context["task_state_store"]`` of one process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, key: str, default: object = None) -> object:
        """Return what is stored."""
        answer = self._call(Operation("read", name="read of the claim"))
        return default if answer.value is None else json.loads(str(answer.value))

    def set(self, key: str, value: object, *, retention: object = None) -> None:
        """Store JSON."""
        text = json.dumps(value)
        self._call(Operation("write", text, name=f"write of '{read_stored(text).state}'"))

    def _call(self, operation: Operation) -> Answer:
        answer = self._world.call(operation)
        if answer.kind != "ok":
            status = 503 if answer.kind == OUTAGE else 404
            detail = {"status_code": status, "message": answer.kind}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        return answer


class ClaimPlace(Protocol):
    """Where the claim of a model is stored."""

    name: str
    """Its name in counterexamples."""
    accepts_before_it_acts: bool
    """Whether another process can act after it has accepted a request and before it executes it."""
    refuses_superseded: bool
    """Whether it refuses the requests of a try that a later one has superseded."""

    def open_store(self, world: World, *, patience: float) -> ClaimStore[Claim]:
        """Return the real claim store of one process."""

    def apply(self, content: Hashable, operation: Operation) -> tuple[Hashable, Answer]:
        """Execute an operation: return the content after it, and the answer."""

    def peek(self, content: Hashable) -> Stored | None:
        """Return the claim that is stored, if any."""


class ApiServer:
    """
    Airflow's task state store: one key of one task instance. Its content is JSON, or ``None``.

    :param refuses_superseded: whether it refuses requests of superseded tries, as Airflow does
    """

    accepts_before_it_acts = True
    name = "the API server"

    def __init__(self, *, refuses_superseded: bool = True) -> None:
        self.refuses_superseded = refuses_superseded

    def open_store(self, world: World, *, patience: float) -> ClaimStore[Claim]:
        """Return the real claim store of one process."""
        return TaskStateClaimStore(Accessor(world), "claim", Claim, patience=patience)  # type: ignore[arg-type]

    def apply(self, content: Hashable, operation: Operation) -> tuple[Hashable, Answer]:
        """Execute an operation: return the content after it, and the answer."""
        if operation.kind == "read":
            return content, Answer("ok", content)
        return operation.value, Answer("ok")

    def peek(self, content: Hashable) -> Stored | None:
        """Return the claim that is stored, if any."""
        return None if content is None else read_stored(str(content))


class _RemoteDatabase:
    """Replaces the ``Database`` of one process. A transaction is one step: it is committed as a whole or not at all."""

    target = LedgerTarget(conn_id="ledger", dialect="sqlite")

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run a statement."""
        kind = "read" if sql.startswith("SELECT") else "write"
        name = f"write of '{_find_state(sql, parameters)}'" if kind == "write" else "read of the claim"
        answer = self._world.call(Operation(kind, (sql, tuple(parameters)), name))
        if answer.kind != "ok":
            raise OutageError(answer.kind)
        return list(cast("tuple[tuple[object, ...], ...]", answer.value))

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., list[tuple[object, ...]]]]:
        """Yield a function that runs the update of a transaction; its other statements are part of the same step."""
        statements: list[str] = []

        def run(sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
            statements.append(sql)
            return self.run(sql, parameters) if len(statements) == 1 else []

        yield run


def _find_state(sql: str, parameters: Sequence[object]) -> str:
    """Return the state that a statement writes: that of the claim, the only JSON object among its parameters."""
    (text,) = (one for one in parameters if isinstance(one, str) and one.startswith("{"))
    return str(json.loads(text)["state"])


class LedgerDatabase:
    """
    The ledger: the row of one claim. Its content is the number of a row that was seen before, or ``None``.

    :param weaken: changes a statement before it is run, to show why a part of it is needed
    """

    accepts_before_it_acts = refuses_superseded = False
    name = "the ledger"

    def __init__(self, weaken: Callable[[str], str] = str) -> None:
        self._weaken = weaken
        self._database = Database(LedgerTarget(conn_id="ledger", dialect="sqlite", path=":memory:"))
        migrate(self._database)
        columns = self._database.run("SELECT name FROM pragma_table_info('service_hook_deliveries')")
        self._columns = [column for (column,) in columns]
        self._rows: list[tuple[object, ...]] = []
        self._numbers: dict[tuple[object, ...], int] = {}
        self._applied: dict[tuple[Hashable, Operation], tuple[Hashable, Answer]] = {}

    def open_store(self, world: World, *, patience: float) -> ClaimStore[Claim]:
        """Return the real claim store of one process."""
        origin = ClaimOrigin(origin="task")
        return LedgerClaimStore(_RemoteDatabase(world), "claim", Claim, origin=origin, patience=patience)  # type: ignore[arg-type]

    def apply(self, content: Hashable, operation: Operation) -> tuple[Hashable, Answer]:
        """Execute an operation: return the content after it, and the answer."""
        found = self._applied.get((content, operation))
        if found is None:
            found = self._applied[content, operation] = self._run(content, operation)
        return found

    def _run(self, content: Hashable, operation: Operation) -> tuple[Hashable, Answer]:
        sql, parameters = cast("tuple[str, tuple[object, ...]]", operation.value)
        run = self._database.run
        run("DELETE FROM service_hook_deliveries")
        if isinstance(content, int):
            marks = ", ".join("?" * len(self._columns))
            run(f"INSERT INTO service_hook_deliveries VALUES ({marks})", self._rows[content])  # noqa: S608  (question marks)
        answer = Answer("ok", tuple(run(self._weaken(sql), parameters)))
        rows = run("SELECT * FROM service_hook_deliveries")
        if not rows:
            return None, answer
        row = (1, *rows[0][1:])  # the id counts insertions
        if row not in self._numbers:
            self._numbers[row] = len(self._rows)
            self._rows.append(row)
        return self._numbers[row], answer

    def peek(self, content: Hashable) -> Stored | None:
        """Return the claim that is stored, if any; the columns repeat its state and owner."""
        if not isinstance(content, int):
            return None
        row = dict(zip(self._columns, self._rows[content], strict=True))
        stored = read_stored(str(row["claim"]))
        assert row["state"] == stored.state
        return stored
