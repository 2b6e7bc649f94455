# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A ledger with many deliveries on a real PostgreSQL: the time of each query, of a clean of half of it, and its size.

``python -m benchmarks.ledger_size [--deliveries 1000000] [--explain]``, from the checkout. The server has its files in
a temporary folder and does not wait for the disk. "server ms" is what PostgreSQL needs to plan and run the statements.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import psycopg2

from airflow_provider_hooks.delivery.claims import Claim, make_record, record_claim
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo, format_time
from airflow_provider_hooks.http.result import Phases
from airflow_provider_hooks.ledger.claims import make_claim_key
from airflow_provider_hooks.ledger.database import Database, LedgerTarget, read_target
from airflow_provider_hooks.ledger.history import Filters, count_by_endpoint, find_delivery, list_deliveries
from airflow_provider_hooks.ledger.retention import clean
from airflow_provider_hooks.ledger.schema import migrate
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.system.postgres import run_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DAYS = 90
ENDPOINTS, DAGS, EVENT_TYPES = 40, 200, 12
DELIVERIES_OF_A_RUN = 20
PAYLOAD_SHARE, PAYLOAD_BYTES = 0.1, 600
EVENT_SHARE = 0.2
"""The part that is delivered once for ever."""
OUTCOMES = {"delivered": 970, "rejected": 10, "not_sent": 10, "unknown": 9, "claimed": 1}
TABLES = ("service_hook_deliveries", "service_hook_attempts", "service_hook_payloads")
COLUMNS = (
    "claim_key, kind, origin, state, owner_token, claim, claimed_at, updated_at, delivery_id, event_id, event_type, "
    "endpoint, outcome, status_code, error_class, duration_ms, dag_id, run_id, task_id, map_index, try_number, slot"
)


PLACES = ("delivery_id", "event_id", "event_type", "endpoint", "body_sha256", "owner_token", "claimed_at")


def make_texts(outcome: str, *, once_for_ever: bool) -> tuple[str, str | None]:
    """Return a claim and its record as the claim store writes them, with ``@name@`` in the place of what varies."""
    claimed_at = "@claimed_at@"
    info = DeliveryInfo(
        delivery_id="@delivery_id@",
        event_id="@event_id@",
        event_type="@event_type@",
        endpoint="@endpoint@",
        url="https://hooks.example.com/services/@endpoint@",
        scheme="standard_webhooks",
        body_sha256="@body_sha256@",
        body_bytes=742,
    )
    claim = Claim(
        state="claimed",
        generation="" if once_for_ever else "0",
        try_number=1,
        claimed_at=claimed_at,
        redelivery=False,
        owner_token="@owner_token@",
        info=info,
    )
    if outcome == "claimed":
        return msgspec.json.encode(claim).decode(), None
    status, error = RESULTS[outcome]
    attempt = Attempt(
        outcome=Outcome(outcome),
        requested_at=claimed_at,
        responded_at=claimed_at if status else None,
        duration_ms=123.456,
        peer_address="203.0.113.7",
        phases=Phases(dns=1.1, connect=12.3, tls=25.1, first_byte=48.2),
        status_code=status,
        response_headers={"date": "Wed, 25 Nov 2026 12:00:28 GMT", "server": "nginx", "content-length": "15"},
        response_body='{"received": 1}' if status else None,
        error_class=error,
        message="no response within 10 s" if error else None,
    )
    claim = record_claim(claim, make_record(claim, attempt))
    return msgspec.json.encode(claim).decode(), msgspec.json.encode(claim.record).decode()


def make_row(number: int, claimed_at: str, random_: random.Random) -> tuple[list[object], str | None]:
    """Return the columns of a delivery, and its record."""
    (outcome,) = random_.choices(NAMES, WEIGHTS)
    once_for_ever = random_.random() < EVENT_SHARE
    claim, record = TEXTS[outcome, once_for_ever]
    run = number // DELIVERIES_OF_A_RUN
    hexadecimal = f"{random_.getrandbits(128):032x}"
    delivery_id = (
        f"{hexadecimal[:8]}-{hexadecimal[8:12]}-5{hexadecimal[13:16]}-a{hexadecimal[17:20]}-{hexadecimal[20:]}"
    )
    event_id, sha256 = f"{random_.getrandbits(128):032x}", f"{random_.getrandbits(256):064x}"
    endpoint = f"endpoint_{int(ENDPOINTS * random_.random() ** 2)}"
    event_type = f"orders.type_{int(random_.random() * EVENT_TYPES)}"
    owner = f"{hexadecimal[:8]}.12345.{random_.getrandbits(128):032x}"
    for name, value in zip(
        PLACES, (delivery_id, event_id, event_type, endpoint, sha256, owner, claimed_at), strict=True
    ):
        claim = claim.replace(f"@{name}@", value)
        record = None if record is None else record.replace(f"@{name}@", value)
    status, error = RESULTS[outcome]
    key = make_claim_key("event", delivery_id) if once_for_ever else f"{random_.getrandbits(160):040x}"
    row: list[object] = [
        *(key, "event", "task", outcome, owner, claim, claimed_at, claimed_at, delivery_id, event_id, event_type),
        *(endpoint, outcome, status, None if error is None else error.value, None if record is None else 123.456),
        *(f"dag_{run * 7919 % DAGS}", f"scheduled__2026-01-01T00:00:00+00:00_{run}", "deliver"),
        *(number % DELIVERIES_OF_A_RUN, 1, ""),
    ]
    return row, record


RESULTS = {
    "delivered": (200, None),
    "rejected": (500, None),
    "not_sent": (None, ErrorClass.CONNECTION_REFUSED),
    "unknown": (None, ErrorClass.TIMEOUT),
    "claimed": (None, None),
}
NAMES, WEIGHTS = list(OUTCOMES), list(OUTCOMES.values())
TEXTS = {(name, once): make_texts(name, once_for_ever=once) for name in NAMES for once in (True, False)}


def to_copy(values: list[object]) -> str:
    return "\t".join("\\N" if value is None else str(value).replace("\\", "\\\\") for value in values) + "\n"


def fill(database: Database, connection: psycopg2.extensions.connection, count: int) -> None:
    """Store deliveries of the last ``DAYS`` days, each with its attempt, and the payloads of some."""
    random_ = random.Random(1)  # noqa: S311  (no secrets)
    begin = datetime.now(timezone.utc).timestamp() - DAYS * 86_400
    step = 20_000
    with connection.cursor() as cursor:
        for first in range(0, count, step):
            rows, attempts, payloads = io.StringIO(), io.StringIO(), io.StringIO()
            for number in range(first, min(first + step, count)):
                claimed_at = format_time(begin + number / count * DAYS * 86_400)
                row, record = make_row(number, claimed_at, random_)
                rows.write(to_copy(row))
                if record is not None:
                    attempts.write(to_copy([number + 1, 1, claimed_at, record]))
                if random_.random() < PAYLOAD_SHARE:
                    payloads.write(
                        f"{row[8]}\t{number:064x}\t{claimed_at}\t\\\\x{random_.randbytes(PAYLOAD_BYTES).hex()}\n"
                    )
            for table, columns, content in (
                (TABLES[0], COLUMNS, rows),
                (TABLES[1], "delivery, try_number, claimed_at, record", attempts),
                (TABLES[2], "delivery_id, body_sha256, stored_at, payload", payloads),
            ):
                content.seek(0)
                cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", content)
    database.run("VACUUM ANALYZE")


def measure(database: Watched, name: str, call: Callable[[], object], *, times: int = 9) -> None:
    """Print the first and the median time of a call, and what the server needs for its statements, in milliseconds."""
    seconds = []
    for _ in range(times):
        database.statements.clear()
        started = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - started)
    on_server = sum(database.explain(sql, parameters) for sql, parameters in list(database.statements))
    found = len(getattr(result, "deliveries", ())) or ""
    first, median = seconds[0] * 1e3, statistics.median(seconds) * 1e3
    print(f"{name:<58} {first:>9.2f} {median:>9.2f} {on_server:>9.2f} {found:>6}")


class Watched(Database):
    """Notes the statements that are run."""

    shows_plans = False

    def __init__(self, target: LedgerTarget) -> None:
        super().__init__(target)
        self.statements: list[tuple[str, Sequence[object]]] = []

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple]:
        self.statements.append((sql, parameters))
        return super().run(sql, parameters)

    def explain(self, sql: str, parameters: Sequence[object]) -> float:
        """Return how many milliseconds the server takes at least to plan and run a statement."""
        best = float("inf")
        for _ in range(5):
            plan = [line for (line,) in super().run(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", parameters)]
            spent = [float(line.split()[2]) for line in plan if line.startswith(("Planning Time", "Execution Time"))]
            best = min(best, sum(spent))
        if self.shows_plans:
            print(*(f"    {line}" for line in plan), sep="\n")
        return best


def list_cases(now: datetime) -> Iterator[tuple[str, Filters]]:
    """Return each way to filter a list."""
    day, month = now - timedelta(days=1), now - timedelta(days=30)
    yield "no filter", Filters()
    yield "outcome unknown", Filters(outcomes=("unknown",))
    yield "outcome delivered", Filters(outcomes=("delivered",))
    yield "outcomes rejected, not_sent, unknown", Filters(outcomes=("rejected", "not_sent", "unknown"))
    yield "outcome claimed (open)", Filters(outcomes=("claimed",))
    yield "a busy endpoint", Filters(endpoint="endpoint_0")
    yield "an endpoint with few", Filters(endpoint="endpoint_39")
    yield "an endpoint without any", Filters(endpoint="endpoint_none")
    yield "a busy endpoint, outcome unknown", Filters(endpoint="endpoint_0", outcomes=("unknown",))
    yield "an endpoint with few, outcome unknown", Filters(endpoint="endpoint_39", outcomes=("unknown",))
    yield "an endpoint without any, outcome unknown", Filters(endpoint="endpoint_none", outcomes=("unknown",))
    yield "an event type", Filters(event_type="orders.type_3")
    yield "an event type, outcome unknown", Filters(event_type="orders.type_3", outcomes=("unknown",))
    yield "a Dag", Filters(dag_id="dag_7")
    yield "a Dag, outcome unknown", Filters(dag_id="dag_7", outcomes=("unknown",))
    yield "a run", Filters(run_id="scheduled__2026-01-01T00:00:00+00:00_4")
    yield "a Dag and a run", Filters(dag_id="dag_7", run_id="scheduled__2026-01-01T00:00:00+00:00_13")
    yield "a Dag and a run that does not exist", Filters(dag_id="dag_7", run_id="none")
    yield "the last day", Filters(since=day)
    yield "before a month ago", Filters(until=month)
    yield "before a month ago, outcome unknown", Filters(until=month, outcomes=("unknown",))
    yield "an endpoint and an event type", Filters(endpoint="endpoint_20", event_type="orders.type_3")
    yield "an endpoint and an event type without any", Filters(endpoint="endpoint_20", event_type="orders.none")
    yield (
        "everything that is given at once",
        Filters(
            outcomes=("unknown", "rejected"), endpoint="endpoint_0", event_type="orders.type_3", since=month, until=day
        ),
    )


def measure_queries(database: Watched) -> None:
    now = datetime.now(timezone.utc)
    print(f"{'list, 25 rows':<58} {'first ms':>9} {'median ms':>9} {'server ms':>9} {'rows':>6}")
    for name, filters in list_cases(now):
        measure(database, name, lambda filters=filters: list_deliveries(database, filters=filters, limit=25))
    page = list_deliveries(database, filters=Filters(until=now - timedelta(days=60)), limit=25)
    measure(
        database,
        "a page far back",
        lambda: list_deliveries(database, filters=Filters(), limit=25, after=page.next_cursor),
    )
    one = page.deliveries[0]
    by_event = Filters(event_id=one.event_id)
    measure(database, "an event id", lambda: list_deliveries(database, filters=by_event, limit=25))
    measure(database, "show, by row", lambda: find_delivery(database, str(one.id)))
    measure(database, "show, by delivery id", lambda: find_delivery(database, str(one.delivery_id)))
    measure(database, "show, by the first 10 characters", lambda: find_delivery(database, str(one.delivery_id)[:10]))
    for days in (1, 7, DAYS + 1):
        since = Filters(since=now - timedelta(days=days))
        measure(
            database, f"stats of {days} days", lambda since=since: count_by_endpoint(database, filters=since), times=5
        )


def print_sizes(database: Database, title: str) -> None:
    print(f"\n{title}: size on disk in MB")
    for table in TABLES:
        (row,) = database.run(
            f"SELECT pg_table_size('{table}'), pg_indexes_size('{table}'), (SELECT count(*) FROM {table})"
        )
        print(f"  {table:<40} table {row[0] / 1e6:>8.1f}  indexes {row[1] / 1e6:>8.1f}  rows {row[2]:>9,}")
    for name, size in database.run(
        "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes ORDER BY 2 DESC"
    ):
        print(f"    {name:<46} {size / 1e6:>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_args()
    with run_postgres() as server:
        url = urlsplit(server.url.replace("+psycopg2", ""))
        database = Watched(
            read_target(
                "benchmark",
                conn_type="postgres",
                host=url.hostname,
                port=url.port,
                login=url.username,
                password=None,
                schema=url.path[1:],
                extra={},
            )
        )
        migrate(database)
        database.shows_plans = options.explain
        connection = psycopg2.connect(host=url.hostname, port=url.port, user=url.username, dbname=url.path[1:])
        connection.autocommit = True
        print(database.run("SHOW server_version")[0][0], "shared_buffers", database.run("SHOW shared_buffers")[0][0])
        started = time.perf_counter()
        fill(database, connection, options.deliveries)
        print(f"{options.deliveries:,} deliveries stored in {time.perf_counter() - started:.0f} s\n")
        measure_queries(database)
        print_sizes(database, "full")
        started = time.perf_counter()
        limit = datetime.now(timezone.utc) - timedelta(days=DAYS // 2)
        *_, done = clean(database, older_than=limit)
        print(f"\nclean of what is older than {DAYS // 2} days: {time.perf_counter() - started:.1f} s, {done}")
        print_sizes(database, "after the clean")
        database.run("VACUUM FULL ANALYZE")
        print_sizes(database, "after VACUUM FULL")
        print()
        measure_queries(database)
        connection.close()
        database.close()


if __name__ == "__main__":
    main()
