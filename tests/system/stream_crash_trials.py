# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Trials of the stream crash suite: where and how a task is hit, what the receiver does, and the files of events."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

POINTS = (
    *["mid_block"] * 4,
    *["any_time"] * 2,
    *["after_claim"] * 2,
    "before_claim",
    "after_block",
    "before_done",
    "after_done",
)
"""Where a first try is struck: at an event, at a time, between a claim and its first request, …; some more often."""
AGAIN_POINTS = ("reporting", "reporting", "mid_block", "before_claim", "after_claim", "any_time")
HOWS = {"kill_task": 6, "kill_supervisor": 2, "orphan": 1, "freeze": 1}
"""
How, and how often: SIGKILL to the task, or to its supervisor; SIGKILL to the supervisor of a task that sleeps until the
next try is under way; or both sleep until then.
"""
RECEIVERS = {"good": 5, "mixed": 3, "is out": 1, "dies": 1}
SHORT = (
    ("mid_block", "kill_task", "mixed", ("reporting", "kill_task")),
    ("after_claim", "freeze", "good", None),
    ("mid_block", "freeze", "good", None),
    ("before_claim", "kill_task", "good", ("mid_block", "kill_task")),
    ("after_block", "kill_supervisor", "good", None),
    ("any_time", "kill_task", "is out", None),
    ("before_done", "kill_task", "mixed", None),
    ("mid_block", "kill_task", "dies", None),
)
LARGE_MESSAGE = "x" * 200_000
"""More than a connection takes at once, so that a request can be cut in two."""


def choose_combinations(chance: random.Random, count: int) -> list[tuple]:
    """Return where and how each trial is struck, what its receiver is like, and how it is struck again, if it is."""
    chosen: list[tuple] = []
    for number in range(count):
        again = None
        if chance.random() < 0.35:
            again = (chance.choice(AGAIN_POINTS), chance.choice(["kill_task", "kill_task", "kill_supervisor"]))
        how, receiver = (chance.choices(list(table), [*table.values()])[0] for table in (HOWS, RECEIVERS))
        chosen.append((POINTS[number % len(POINTS)], how, receiver, again))
    return chosen


def make_trials(combinations, chance: random.Random, *, events: int, home: Path) -> list[dict]:
    """Describe every trial, for the Dag and for the receiver."""
    trials: list[dict] = []
    for number, (point, how, receiver, again) in enumerate(combinations):
        strikes = [_make_strike(chance, point, how, events)]
        if again:
            strikes.append(_make_strike(chance, *again, events // 2))
        name = f"{number}.jsonl.gz" if chance.random() < 0.1 else f"{number}.jsonl"
        trials.append(
            {
                "number": number,
                "strikes": strikes,
                "receiver": receiver,
                "events": events,
                "concurrency": chance.choice([4, 16, 64, 64]),
                "has_large_ones": receiver == "mixed" or chance.random() < 0.1,
                "has_invalid_ones": chance.random() < 0.2,
                "events_path": str(home / "events" / name),
                "records_path": str(home / "records" / str(number)),
            }
        )
    return trials


def _make_strike(chance: random.Random, point: str, how: str, events: int) -> dict:
    """Say when: at which event of all, which block, or after how many seconds."""
    blocks = 3 if events > 4_000 else 2
    numbers = {"mid_block": events, "reporting": 400, "after_claim": blocks, "after_block": blocks}
    seconds = {"mid_block": 0.03, "any_time": events / 2_000}
    return {
        "point": point,
        "how": how,
        "number": chance.randint(1, numbers.get(point, 1)),
        "seconds": chance.uniform(0, seconds.get(point, 0)),
        "resume_seconds": chance.uniform(0, 4),
    }


def write_events(trial: dict) -> None:
    """Write the file of a trial: documented payloads, whose ids no other trial has."""
    path, number = Path(trial["events_path"]), trial["number"]
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        for event in range(trial["events"]):
            message = "An event of many"
            if trial["has_large_ones"] and event % 500 == 250:
                message = LARGE_MESSAGE
            elif trial["has_invalid_ones"] and event % 300 == 100:
                message = ""
            file.write(
                b'{"id":"t%d-%d","project":"p","project_id":"1","project_name":"P","culprit":"","message":"%b",'
                b'"url":"https://example.com/","level":"error","triggering_rules":["r"]}\n'
                % (number, event, message.encode())
            )


def read_events(trial: dict) -> Iterator[tuple[int, str | None]]:
    """Give where each event of a trial begins in its file, and its id; none if it cannot be sent."""
    path, position = Path(trial["events_path"]), 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            event = json.loads(line)
            yield position, event["id"] if event["message"] else None
            position += len(line)
