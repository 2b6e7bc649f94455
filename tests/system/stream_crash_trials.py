# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Trials of the stream crash suite: the faults and when they are injected, the receivers, and the files of events."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

POINTS = (
    *["mid_batch"] * 4,
    *["any_time"] * 2,
    *["after_claim"] * 2,
    "before_claim",
    "after_batch",
    "before_done",
    "after_done",
)
"""The points at which the fault of a first try is injected; repeated points are used more often."""
SECOND_POINTS = ("reporting", "reporting", "mid_batch", "before_claim", "after_claim", "any_time")
FAULTS = {"kill_task": 6, "kill_supervisor": 2, "orphan": 1, "freeze": 1}
"""
The faults and their weights: SIGKILL to the task; SIGKILL to its supervisor; SIGKILL to the supervisor of a task
that is suspended until the next try is running; task and supervisor are both suspended until then.
"""
RECEIVERS = {"good": 5, "mixed": 3, "outage": 1, "dies": 1}
"""The receivers and their weights."""
SHORT = (
    ("mid_batch", "kill_task", "mixed", ("reporting", "kill_task")),
    ("after_claim", "freeze", "good", None),
    ("mid_batch", "freeze", "good", None),
    ("before_claim", "kill_task", "good", ("mid_batch", "kill_task")),
    ("after_batch", "kill_supervisor", "good", None),
    ("any_time", "kill_task", "outage", None),
    ("before_done", "kill_task", "mixed", None),
    ("mid_batch", "kill_task", "dies", None),
)
LARGE_MESSAGE = "x" * 200_000
"""More than one write to a connection, so that a request can be interrupted in the middle."""


def choose_combinations(chance: random.Random, count: int) -> list[tuple]:
    """Return the point, fault and receiver of each trial, and the point and fault of its second try, if any."""
    chosen: list[tuple] = []
    for number in range(count):
        second = None
        if chance.random() < 0.35:
            second = (chance.choice(SECOND_POINTS), chance.choice(["kill_task", "kill_task", "kill_supervisor"]))
        fault, receiver = (chance.choices(list(table), [*table.values()])[0] for table in (FAULTS, RECEIVERS))
        chosen.append((POINTS[number % len(POINTS)], fault, receiver, second))
    return chosen


def make_trials(combinations, chance: random.Random, *, events: int, home: Path) -> list[dict]:
    """Return the trials as JSON for the Dag and the receiver."""
    trials: list[dict] = []
    for number, (point, fault, receiver, second) in enumerate(combinations):
        faults = [_make_fault(chance, point, fault, events)]
        if second:
            faults.append(_make_fault(chance, *second, events // 2))
        name = f"{number}.jsonl.gz" if chance.random() < 0.1 else f"{number}.jsonl"
        trials.append(
            {
                "number": number,
                "faults": faults,
                "receiver": receiver,
                "events": events,
                "concurrency": chance.choice([4, 16, 64, 64]),
                "has_large_events": receiver == "mixed" or chance.random() < 0.1,
                "has_invalid_events": chance.random() < 0.2,
                "events_path": str(home / "events" / name),
                "records_path": str(home / "records" / str(number)),
            }
        )
    return trials


def _make_fault(chance: random.Random, point: str, fault: str, events: int) -> dict:
    """Choose when a fault is injected: at which event, at which batch, or after how many seconds."""
    batches = 3 if events > 4_000 else 2
    numbers = {"mid_batch": events, "reporting": 400, "after_claim": batches, "after_batch": batches}
    seconds = {"mid_batch": 0.03, "any_time": events / 2_000}
    return {
        "point": point,
        "fault": fault,
        "number": chance.randint(1, numbers.get(point, 1)),
        "seconds": chance.uniform(0, seconds.get(point, 0)),
        "resume_seconds": chance.uniform(0, 4),
    }


def write_events(trial: dict) -> None:
    """Write the events of a trial: documented payloads with ids that are unique among the trials."""
    path, number = Path(trial["events_path"]), trial["number"]
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        for event in range(trial["events"]):
            message = "An event of many"
            if trial["has_large_events"] and event % 500 == 250:
                message = LARGE_MESSAGE
            elif trial["has_invalid_events"] and event % 300 == 100:
                message = ""
            file.write(
                b'{"id":"t%d-%d","project":"p","project_id":"1","project_name":"P","culprit":"","message":"%b",'
                b'"url":"https://example.com/","level":"error","triggering_rules":["r"]}\n'
                % (number, event, message.encode())
            )


def read_events(trial: dict) -> Iterator[tuple[int, str | None]]:
    """Yield the offset of each event of a trial in its file, and its id, or none if the event is invalid."""
    path, position = Path(trial["events_path"]), 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            event = json.loads(line)
            yield position, event["id"] if event["message"] else None
            position += len(line)
