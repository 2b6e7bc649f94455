# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Judges the trials of the stream crash suite by what the receiver counted, and by every record that is there."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from airflow_provider_hooks.delivery.record import ErrorClass
from airflow_provider_hooks.delivery.request import DeliveryIds
from tests.system.stream_crash_receiver import Received
from tests.system.stream_crash_trials import read_events

OUTCOMES = ("delivered", "rejected", "unknown", "not_sent")
SUCCESS, REFUSAL = {"ok", "hang up"}, {"500", "busy", "rest"}
"""What the receiver answered with 2xx, and with anything else."""
INTERRUPTED = ErrorClass.INTERRUPTED.value


@dataclass
class Found:
    """What is left of a trial."""

    trial: dict
    claim: dict
    returned: dict | None
    """What the task returned."""
    task: dict
    """The task instance."""
    hits: list[dict]
    """Where its tries were struck."""
    counts: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def refuse(self, what: str, examples: list) -> None:
        """Take note of what must not be."""
        if examples:
            self.wrong.append(f"trial {self.trial['number']}: {what}: {len(examples)}, such as {examples[0]}")

    @property
    def place(self) -> tuple[str, str]:
        """Where and how it was struck first."""
        return (self.hits[0]["point"], self.hits[0]["how"]) if self.hits else ("nowhere", "")


def read_hits(marks: Path, trial: dict) -> list[dict]:
    """Return where the tries of a trial were struck."""
    hits = [marks / f"{trial['number']}.{number}.hit" for number in range(1, 5)]
    return [json.loads(hit.with_suffix(".armed").read_text()) for hit in hits if hit.exists()]


def judge(found: Found, received: Received) -> None:
    """Judge every event of a trial, and what is told of all of them."""
    records = _read_records(found)
    number = found.trial["number"]
    ids = DeliveryIds(deployment="trials", endpoint=f"trial_{number}", event_type="event.alert")
    events = dict(read_events(found.trial))
    found.counts["events"] = len(events)
    found.refuse("records of no event", [one for one in records if one not in events])
    found.refuse("events without a record", [one for one in events if one not in records])
    found.refuse("events with many records", [records[one] for one in records if len(records[one]) > 1])
    untrue, twice = [], []
    for position, event_id in events.items():
        delivery_id = None if event_id is None else ids.make(event_id)
        touched = received.touched.pop(delivery_id, 0)
        found.counts[f"received {min(touched, 2)}"] += 1
        if touched > 1:
            twice.append((event_id, touched))
        for record in records.get(position, ()):
            if not _is_true(record, event_id, delivery_id, touched, received):
                told = (touched, received.complete.get(delivery_id, 0), received.answered.get(delivery_id))
                untrue.append((event_id, "received, whole, answered", told, record))
    found.refuse("events received twice", twice)
    found.refuse("records that are not true", untrue)
    _judge_open_blocks(found, records)
    _judge_summaries(found)


def _read_records(found: Found) -> dict[int, list[dict]]:
    records: dict[int, list[dict]] = defaultdict(list)
    for part in sorted(Path(found.trial["records_path"]).rglob("*")):
        if part.is_file():
            for line in part.read_bytes().splitlines():
                record = orjson.loads(line)
                kept = ("event_id", "delivery_id", "outcome", "error_class", "status_code")
                told = {name: record.get(name) for name in kept}
                records[record["offset"]].append({**told, "part": part.name})
                found.counts[record["outcome"]] += 1
    return records


def _is_true(record: dict, event_id: str | None, delivery_id: str | None, touched: int, received: Received) -> bool:
    answered = received.answered.get(delivery_id, "")
    is_invalid = record["outcome"] == "not_sent" and record["error_class"] == ErrorClass.INVALID_EVENT.value
    if event_id is None:
        return is_invalid
    if (record["event_id"], record["delivery_id"]) != (event_id, delivery_id) or is_invalid:
        return False
    return {
        "delivered": received.complete.get(delivery_id, 0) > 0 and answered in SUCCESS,
        "rejected": answered in REFUSAL,
        "not_sent": not touched,
        "unknown": record["status_code"] is None,
    }[record["outcome"]]


def _judge_open_blocks(found: Found, records: dict[int, list[dict]]) -> None:
    """A try that did not come to an end leaves one block open at most."""
    open_blocks = Counter(one["part"] for many in records.values() for one in many if one["error_class"] == INTERRUPTED)
    found.counts["interrupted"] = sum(open_blocks.values())
    found.counts["most in a block"] = max(open_blocks.values(), default=0)
    if len(open_blocks) > found.task["try_number"] - 1:
        found.wrong.append(f"trial {found.trial['number']}: {found.hits} left open {dict(open_blocks)}")


def _judge_summaries(found: Found) -> None:
    """The claim and the task tell what the records tell."""
    recorded = {outcome: found.counts[outcome] for outcome in OUTCOMES}
    claimed, returned = found.claim["summary"]["outcomes"], found.returned or {}
    valid = found.counts["events"] - found.claim["summary"]["invalid"]
    wrong = {
        "the stream is not done": found.claim["state"] != "done",
        "the claim says otherwise": claimed != recorded,
        "the task tells otherwise": {outcome: returned.get(outcome) for outcome in OUTCOMES} != recorded,
        "the task's total is wrong": returned.get("total") != found.counts["events"],
        "the task's state is wrong": (found.task["state"] == "success") != (recorded["delivered"] == valid),
        "the task has not ended": found.task["state"] not in {"success", "failed"},
    }
    for what, is_so in wrong.items():
        if is_so:
            info = f"{recorded}, claim {found.claim['state']} {claimed}, task {found.task['state']} {returned}"
            found.wrong.append(f"trial {found.trial['number']} {found.hits}: {what}: {info}")


def describe(all_found: list[Found]) -> str:
    """Return the table: a row for each place of the first strike, and one for all."""
    rows: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for found in all_found:
        for place in (found.place, ("all", "")):
            rows[place].update(found.counts)
            rows[place].update({"trials": 1, "struck": len(found.hits)})
    names = ("trials", "struck", "events", "received 0", "received 1", "received 2", *OUTCOMES, "interrupted")
    titles = [
        f"{name:>10}" for name in ("trials", "strikes", "events", "received 0", "1", "2+", *OUTCOMES, "by strikes")
    ]
    lines = [f"{'struck first at':<13} {'how':<16}{' '.join(titles)}"]
    for (point, how), row in sorted(rows.items(), key=lambda one: (one[0][0] == "all", one[0])):
        lines.append(f"{point:<13} {how:<16}{' '.join(f'{row[name]:>10,}' for name in names)}")
    again = Counter((one["point"], one["how"]) for found in all_found for one in found.hits[1:])
    lines.append("struck again at " + ", ".join(f"{' '.join(place)} {count}" for place, count in sorted(again.items())))
    most = max(found.counts["most in a block"] for found in all_found)
    lines.append(f"the most that a strike left open: {most:,} events; 'by strikes' are those of 'unknown'")
    return "\n".join(lines)
