# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What every sender of the benchmark shares: its arguments, the events by hand, and how it is measured."""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import resource
import time
import uuid
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = SECRET.encode()
CONNECTIONS = 32
SENDER_CORE, RECEIVER_CORE = 0, 1


def make_events(path: Path, count: int) -> Path:
    """Write so many events of 1.5 KB, as documented payloads, if the file is not there."""
    if not path.exists():
        with path.open("w") as file:
            file.writelines(json.dumps(make_event(number), separators=(",", ":")) + "\n" for number in range(count))
    return path


def make_event(number: int) -> dict[str, object]:
    message = f"Orders of hour {number} were loaded"
    event_id = f"orders-{number:09d}"
    return {
        "id": event_id,
        "project": "orders",
        "project_id": "42",
        "project_name": "Orders",
        "culprit": "orders.load",
        "message": message,
        "url": f"https://airflow.example.com/dags/orders/runs/{number}",
        "level": "info",
        "logger": "airflow",
        "datetime": "2026-11-21T10:00:00.000Z",
        "event": {
            "event_id": event_id,
            "message": message,
            "level": "info",
            "platform": "python",
            "timestamp": 1795255200.0,
            "tags": [["dag", "orders"], ["task", "load"], ["note", "n" * 760]],
            "exception": {"values": [{"type": "Late", "value": "v" * 140, "stacktrace": {"frames": []}}]},
        },
    }


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--ca")
    parser.add_argument("--core", type=int, default=SENDER_CORE)
    arguments = parser.parse_args()
    if arguments.core >= 0:
        os.sched_setaffinity(0, {arguments.core})
    return arguments


def read_lines(arguments: argparse.Namespace) -> Iterator[bytes]:
    with arguments.events.open("rb") as file:
        yield from islice(file, arguments.count)


def prepare_by_hand(line: bytes) -> tuple[dict[str, str], bytes]:
    """Build, serialise and sign an event as a hand-written loop does."""
    event = orjson.loads(line)
    inner = event["event"]
    body = orjson.dumps(
        {
            "id": event["id"],
            "project": event["project"],
            "project_id": event["project_id"],
            "project_name": event["project_name"],
            "culprit": event["culprit"],
            "message": event["message"],
            "url": event["url"],
            "level": event["level"],
            "logger": event["logger"],
            "datetime": event["datetime"],
            "event": {
                "event_id": inner["event_id"],
                "message": inner["message"],
                "level": inner["level"],
                "platform": inner["platform"],
                "timestamp": inner["timestamp"],
                "tags": inner["tags"],
                "exception": inner["exception"],
            },
        }
    )
    headers = {
        "Content-Type": "application/json",
        "X-Sentry-Hook-Signature": hmac.new(KEY, body, hashlib.sha256).hexdigest(),
        "X-Request-Id": str(uuid.uuid4()),
    }
    return headers, body


@contextmanager
def measured(arguments: argparse.Namespace) -> Iterator[None]:
    """Print what the block took, as a line of JSON."""
    before_memory = read_resident()
    cpu, started = time.process_time(), time.monotonic()
    yield
    seconds = time.monotonic() - started
    figures = {
        "events": arguments.count,
        "seconds": seconds,
        "cpu": time.process_time() - cpu,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "memory_before": before_memory,
    }
    print(json.dumps(figures), flush=True)


def read_resident() -> int:
    """Return the bytes that this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
