# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Streams to real servers that are reloaded or restarted meanwhile: no event is sent twice, outcomes are correct,
and few are unknown.

``make test-servers`` installs the servers from Debian's packages and runs this folder. A plain ``pytest`` does not
collect it (``norecursedirs``); ``pytest -s tests/real_servers`` does, and skips the servers that are not installed.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.real_servers.server_programs import Apache, Caddy, HAProxy, Nginx, Node, RealServer, Uvicorn, find_program
from tests.real_servers.stream_adapter import StreamResult, run_stream

EVENTS = 20_000
MAX_UNKNOWN = {"plain": 0.0005, "TLS": 0.002}
"""The largest part of the events whose outcome may be ``unknown``."""
POLL_SECONDS = 0.005
COLUMNS = (
    "server",
    "disturbance",
    "n",
    "delivered",
    "not_sent",
    "unknown",
    "unknown, received",
    "received twice",
    "seconds",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    A stream to one server.

    :param disturbance: the kind of the ``times`` disturbances
    :param rate_limit: events per second; ``None``: full speed
    """

    server: type[RealServer]
    tls: bool = False
    times: int = 0
    disturbance: str = ""
    rate_limit: float | None = None

    @property
    def name(self) -> str:
        return f"{self.server.__name__}{' TLS' if self.tls else ''}"

    @property
    def description(self) -> str:
        speed = f"{self.rate_limit:,.0f}/s" if self.rate_limit else "full speed"
        return f"{f'{self.times} ' if self.times else ''}{self.disturbance or 'none'}, {speed}"


CASES = [
    Case(server=Nginx),
    Case(server=Nginx, tls=True),
    Case(server=Nginx, times=19, disturbance="reloads", rate_limit=4_000),
    Case(server=Nginx, tls=True, times=50, disturbance="reloads", rate_limit=4_000),
    Case(server=HAProxy),
    Case(server=HAProxy, tls=True),
    Case(server=HAProxy, times=16, disturbance="soft stops", rate_limit=4_000),
    Case(server=HAProxy, times=16, disturbance="soft stops"),
    Case(server=HAProxy, tls=True, times=16, disturbance="soft stops", rate_limit=4_000),
    Case(server=Apache),
    Case(server=Apache, tls=True),
    Case(server=Apache, times=20, disturbance="graceful restarts", rate_limit=3_000),
    Case(server=Apache, tls=True, times=20, disturbance="graceful restarts", rate_limit=3_000),
    Case(server=Caddy),
    Case(server=Caddy, times=33, disturbance="reloads", rate_limit=2_000),
    Case(server=Caddy, tls=True, times=33, disturbance="reloads", rate_limit=2_000),
    Case(server=Node),
    Case(server=Node, times=7, disturbance="restarts"),
    Case(server=Node, tls=True, times=7, disturbance="restarts"),
    Case(server=Uvicorn, disturbance="workers replaced every 500 requests"),
    Case(server=Uvicorn, tls=True, disturbance="workers replaced every 500 requests"),
]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of events of 1.5 KB."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(make_event(number)) + "\n" for number in range(EVENTS))
    return path


def make_event(number: int) -> dict[str, object]:
    return {
        "id": f"event-{number}",
        "project": "orders",
        "project_id": "42",
        "project_name": "Orders",
        "message": f"Orders of hour {number} were loaded {'x' * 1_300}",
        "url": "https://airflow.example.com/",
        "datetime": "2026-01-01T12:00:00Z",
    }


@pytest.fixture(scope="module")
def table() -> Iterator[None]:
    """Print the header of the table; each case prints its row."""
    print(f"\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    yield
    print()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}, {case.description}".replace(" ", "_"))
def test_stream_sends_no_event_twice_and_records_correct_outcomes(
    case: Case, authority: trustme.CA, events: Path, table: None, tmp_path: Path
):
    missing = [name for name in case.server.programs if find_program(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make test-servers installs it from Debian's packages)")
    certificate, ca_file = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(ca_file))
    server = case.server(tmp_path, certificate if case.tls else None)
    with server.run(), ThreadPoolExecutor(1) as executor:
        has_ended = threading.Event()
        disturbing = executor.submit(disturb_during_the_stream, server, case.times, has_ended)
        try:
            result = run_stream(
                server.url, events, folder=tmp_path, rate_limit=case.rate_limit, ca_file=ca_file if case.tls else None
            )
        finally:
            has_ended.set()
        disturbed = disturbing.result()
    problems = compare(case, result, server.read_received())
    if disturbed != case.times:
        problems.append(f"the server was disturbed {disturbed} times, not {case.times}")
    if problems:
        pytest.fail("; ".join(problems), pytrace=False)


def disturb_during_the_stream(server: RealServer, times: int, has_ended: threading.Event) -> int:
    """
    Disturb a server after equal parts of the stream, and return the number of disturbances before the stream ended.

    The last disturbance is after nine tenths of the events, so that lost events do not change their number.
    """
    for number in range(1, times + 1):
        while server.count_received() < number * EVENTS * 9 // (times * 10):
            if has_ended.wait(POLL_SECONDS):
                return number - 1
        server.disturb()
    return times


def compare(case: Case, result: StreamResult, received: Counter[str]) -> list[str]:
    """Compare the records with what the server received, print the row of the case, and return the problems."""
    ids: dict[str, set[str]] = defaultdict(set)
    for record in result.records:
        ids[str(record["outcome"])].add(str(record["delivery_id"]))
    recorded = set[str]().union(*ids.values())
    unknown_received = len(ids["unknown"] & received.keys())
    twice = sum(count > 1 for count in received.values())
    row = (
        case.name,
        case.description,
        f"{len(result.records):,}",
        f"{len(ids['delivered']):,}",
        len(ids["not_sent"]),
        len(ids["unknown"]),
        unknown_received,
        twice,
        f"{result.seconds:.1f}{f' in {result.tries} tries' if result.tries > 1 else ''}",
    )
    print(f"\n| {' | '.join(map(str, row))} |", end=" ", flush=True)
    max_unknown = int(EVENTS * MAX_UNKNOWN["TLS" if case.tls else "plain"])
    reasons = Counter(
        f"{record.get('error_class')}: {record.get('message')}"
        for record in result.records
        if record["outcome"] == "unknown"
    )
    counts = {
        "received twice": twice,
        "reported delivered but not received": len(ids["delivered"] - received.keys()),
        "reported not_sent but received": len(ids["not_sent"] & received.keys()),
        "received without a record": len(received.keys() - recorded),
        "not_sent at the end": len(ids["not_sent"]),
        "rejected": len(ids["rejected"]),
        f"unknown, where {max_unknown} are allowed {dict(reasons)}": (
            len(ids["unknown"]) if len(ids["unknown"]) > max_unknown else 0
        ),
        "events without a record, or with two": abs(EVENTS - len(recorded)) + abs(len(result.records) - len(recorded)),
    }
    return [f"{count} {problem}" for problem, count in counts.items() if count]
