# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Checks the trials of the stream crash suite: compares the counts of the receiver with the delivery records."""

from __future__ import annotations

import itertools
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
SUCCESS, REFUSAL = {"ok", "ok close"}, {"500", "429", "429 wait"}
"""The plans of the receiver with a 2xx response, and with any other response."""
INTERRUPTED = ErrorClass.INTERRUPTED.value


@dataclass
class TrialResult:
    """What remains of a trial."""

    trial: dict
    claim: dict
    returned: dict | None
    """The return value of the task."""
    task: dict
    """The task instance."""
    injected: list[dict]
    """The faults that were injected into its tries."""
    counts: Counter = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add_violation(self, text: str, examples: list) -> None:
        """Add a violation if there are examples of it."""
        if examples:
            self.violations.append(f"trial {self.trial['number']}: {text}: {len(examples)}, such as {examples[0]}")

    @property
    def first_fault(self) -> tuple[str, str]:
        """The point and the kind of the first fault."""
        return (self.injected[0]["point"], self.injected[0]["fault"]) if self.injected else ("none", "")


def read_injected(marks: Path, trial: dict) -> list[dict]:
    """Return the faults that were injected into the tries of a trial."""
    paths = [marks / f"{trial['number']}.{number}.injected" for number in range(1, 5)]
    return [json.loads(path.with_suffix(".armed").read_text()) for path in paths if path.exists()]


def check_trial(result: TrialResult, received: Received) -> None:
    """Check every event of a trial, and its summaries."""
    records = _read_records(result)
    number = result.trial["number"]
    ids = DeliveryIds(deployment="trials", endpoint=f"trial_{number}", event_type="event.alert")
    events = dict(read_events(result.trial))
    result.counts["events"] = len(events)
    result.add_violation("records without an event", [one for one in records if one not in events])
    result.add_violation("events without a record", [one for one in events if one not in records])
    result.add_violation("events with several records", [records[one] for one in records if len(records[one]) > 1])
    wrong, twice = [], []
    for position, event_id in events.items():
        delivery_id = None if event_id is None else ids.make(event_id)
        started = received.started.pop(delivery_id, 0)
        result.counts[f"received {min(started, 2)}"] += 1
        if started > 1:
            twice.append((event_id, started))
        for record in records.get(position, ()):
            if not _is_correct(record, event_id, delivery_id, started, received):
                counts = (started, received.complete.get(delivery_id, 0), received.answered.get(delivery_id))
                wrong.append((event_id, "started, complete, answered", counts, record))
    result.add_violation("events received twice", twice)
    result.add_violation("wrong records", wrong)
    _check_open_batches(result, records)
    _check_summaries(result)


def _read_records(result: TrialResult) -> dict[int, list[dict]]:
    records: dict[int, list[dict]] = defaultdict(list)
    for part in sorted(Path(result.trial["records_path"]).rglob("*")):
        if part.is_file():
            for line in part.read_bytes().splitlines():
                record = orjson.loads(line)
                names = ("event_id", "delivery_id", "outcome", "error_class", "status_code")
                fields = {name: record.get(name) for name in names}
                records[record["offset"]].append({**fields, "part": part.name})
                result.counts[record["outcome"]] += 1
    return records


def _is_correct(record: dict, event_id: str | None, delivery_id: str | None, started: int, received: Received) -> bool:
    answered = received.answered.get(delivery_id, "")
    is_invalid = record["outcome"] == "not_sent" and record["error_class"] == ErrorClass.INVALID_EVENT.value
    if event_id is None:
        return is_invalid
    if (record["event_id"], record["delivery_id"]) != (event_id, delivery_id) or is_invalid:
        return False
    return {
        "delivered": received.complete.get(delivery_id, 0) > 0 and answered in SUCCESS,
        "rejected": answered in REFUSAL,
        "not_sent": not started,
        "unknown": record["status_code"] is None,
    }[record["outcome"]]


def _check_open_batches(result: TrialResult, records: dict[int, list[dict]]) -> None:
    """Check that each interrupted try left at most one open batch."""
    all_records = itertools.chain.from_iterable(records.values())
    open_batches = Counter(one["part"] for one in all_records if one["error_class"] == INTERRUPTED)
    result.counts["interrupted"] = sum(open_batches.values())
    result.counts["most in a batch"] = max(open_batches.values(), default=0)
    if len(open_batches) > result.task["try_number"] - 1:
        result.violations.append(f"trial {result.trial['number']}: {result.injected} left open {dict(open_batches)}")


def _check_summaries(result: TrialResult) -> None:
    """Check that the summaries of the claim and the task agree with the records."""
    recorded = {outcome: result.counts[outcome] for outcome in OUTCOMES}
    claimed, returned = result.claim["summary"]["outcomes"], result.returned or {}
    valid = result.counts["events"] - result.claim["summary"]["invalid"]
    returned_counts = {outcome: returned.get(outcome) for outcome in OUTCOMES}
    checks = {
        "the stream is not done": result.claim["state"] != "done",
        "the claim contradicts the records": claimed != recorded,
        "the return value contradicts the records": returned_counts != recorded,
        "the total of the return value is wrong": returned.get("total") != result.counts["events"],
        "the task state is wrong": (result.task["state"] == "success") != (recorded["delivered"] == valid),
        "the task has not ended": result.task["state"] not in {"success", "failed"},
    }
    for description, is_violated in checks.items():
        if is_violated:
            info = f"{recorded}, claim {result.claim['state']} {claimed}, task {result.task['state']} {returned}"
            result.violations.append(f"trial {result.trial['number']} {result.injected}: {description}: {info}")


def describe(results: list[TrialResult]) -> str:
    """Return the table: a row for each first fault, and one for all."""
    rows: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for result in results:
        for key in (result.first_fault, ("all", "")):
            rows[key].update(result.counts)
            rows[key].update({"trials": 1, "faults": len(result.injected)})
    names = ("trials", "faults", "events", "received 0", "received 1", "received 2", *OUTCOMES, "interrupted")
    titles = [f"{name:>10}" for name in ("trials", "faults", "events", "received 0", "1", "2+", *OUTCOMES, "by faults")]
    lines = [f"{'first point':<13} {'fault':<16}{' '.join(titles)}"]
    for (point, fault), row in sorted(rows.items(), key=lambda one: (one[0][0] == "all", one[0])):
        lines.append(f"{point:<13} {fault:<16}{' '.join(f'{row[name]:>10,}' for name in names)}")
    later = Counter((one["point"], one["fault"]) for result in results for one in result.injected[1:])
    lines.append("later faults: " + ", ".join(f"{' '.join(fault)} {count}" for fault, count in sorted(later.items())))
    most = max(result.counts["most in a batch"] for result in results)
    lines.append(f"largest batch that a fault left open: {most:,} events; 'by faults' is a part of 'unknown'")
    return "\n".join(lines)
