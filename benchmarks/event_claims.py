# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A stream whose events are claimed in a ledger on PostgreSQL, against one that claims batches only.

Run it from the top of the checkout: ``python -m benchmarks.event_claims``. The task runs in this process, with the task
state store of the tests; the receiver is a process that answers 204.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from airflow_provider_hooks._runtime.ledger import close_ledgers
from airflow_provider_hooks.ledger.event_claims import LedgerEventClaims
from airflow_provider_hooks.ledger.schema import migrate
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
from benchmarks.common import SECRET, make_events
from tests.airflow_context import StateStore, make_context
from tests.ledgers import CONN_ID, describe_postgres, open_database
from tests.system.postgres import run_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_hooks.ledger.database import Database
    from tests.system.postgres import Postgres

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
STATEMENTS = ("insert", "settle")


class Receiver(asyncio.Protocol):
    """Answers each request with 204."""

    def __init__(self) -> None:
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self.data) < end + 4 + size:
                return
            self.data = self.data[end + 4 + size :]
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def receive() -> None:
    """Serve on a free port, which is printed."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def run_receiver() -> Iterator[str]:
    """Serve in another process; yields the URL."""
    command = [sys.executable, "-m", "benchmarks.event_claims", "--receive"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/hook"
        finally:
            process.terminate()


def time_statements(times: dict[str, list[float]]) -> None:
    """Have each call of the claims of events measured."""

    def measure(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def measured(*arguments: object, **options: object) -> object:
            started = time.monotonic()
            result = call(*arguments, **options)
            times[name].append(time.monotonic() - started)
            return result

        return measured

    for name in STATEMENTS:
        setattr(LedgerEventClaims, name, measure(name, getattr(LedgerEventClaims, name)))


def read_server_cpu(server: Postgres) -> float:
    """Return the seconds of CPU that PostgreSQL has used, in all of its processes."""
    main = psutil.Process(int((server.home / "data" / "postmaster.pid").read_text().splitlines()[0]))
    used = [process.cpu_times() for process in (main, *main.children())]
    return sum(one.user + one.system for one in used) + used[0].children_user + used[0].children_system


def deliver(name: str, path: Path, count: int, *, once: str, run: str, server: Postgres) -> None:
    """Send a stream, and print what it took."""
    with tempfile.TemporaryDirectory() as records:
        task = DeliverEventStreamOperator(
            task_id="deliver", events=str(path), records_path=records, on_invalid="skip", once=once
        )
        started, cpu, server_cpu = time.monotonic(), time.process_time(), read_server_cpu(server)
        result = task.execute(make_context(StateStore(), run_id=run))
        seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    server_cpu = read_server_cpu(server) - server_cpu
    assert result["total"] == count
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{name}: {count / seconds:,.0f} events/s, {cpu / count * 1e6:.1f} CPU µs an event in the task and "
        f"{server_cpu / count * 1e6:.1f} in PostgreSQL, delivered {result['delivered']:,}, "
        f"sent before {result['sent_before']:,}, peak memory {memory} MB",
        flush=True,
    )


def report_statements(times: dict[str, list[float]], count: int) -> None:
    """Print how long the statements of a chunk took."""
    for name in STATEMENTS:
        taken = times.pop(name, [])
        if taken:
            milliseconds, each = statistics.median(taken) * 1e3, sum(taken) / count * 1e6
            print(f"  {name}: {len(taken)} statements, median {milliseconds:.0f} ms, {each:.1f} µs an event")


def report_size(database: Database) -> None:
    """Print what a row takes."""
    sizes = "pg_relation_size('service_hook_deliveries'), pg_indexes_size('service_hook_deliveries')"
    ((count, table, indexes, text),) = database.run(
        f"SELECT count(*), {sizes}, avg(octet_length(claim)) FROM service_hook_deliveries"
    )
    ((attempts,),) = database.run("SELECT count(*) FROM service_hook_attempts")
    print(
        f"  {count:,} rows: {table / count:,.0f} bytes of table and {indexes / count:,.0f} of indexes a row, with "
        f"{text:,.0f} bytes of claim; {attempts} rows in the history"
    )


def main() -> None:
    """Measure each kind of claim."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        asyncio.run(receive())
        return
    os.environ["AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS"] = "127.0.0.1"
    times: dict[str, list[float]] = defaultdict(list)
    time_statements(times)
    count = arguments.events
    with tempfile.TemporaryDirectory() as folder, run_postgres() as server, run_receiver() as url:
        path = make_events(Path(folder) / "events.jsonl", count)
        connection = {"conn_type": "service_hook", "host": url, "password": SECRET}
        os.environ["AIRFLOW_CONN_SERVICE_HOOK_DEFAULT"] = json.dumps(connection)
        deliver("once='run', task state store", path, count, once="run", run="one", server=server)
        described = describe_postgres(server)
        os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(described)
        os.environ["AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID"] = CONN_ID
        database = open_database(described)
        migrate(database)
        deliver("once='run', ledger", path, count, once="run", run="two", server=server)
        deliver("once='event', ledger", path, count, once="event", run="three", server=server)
        report_statements(times, count)
        report_size(database)
        deliver("once='event', ledger, all sent before", path, count, once="event", run="four", server=server)
        report_statements(times, count)
        database.run("VACUUM FULL service_hook_deliveries")
        print("  after VACUUM FULL:")
        report_size(database)
        database.close()
        close_ledgers()


if __name__ == "__main__":
    main()
