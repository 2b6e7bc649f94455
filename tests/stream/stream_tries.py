# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Tries of one stream that can be killed at any call that they make, and what all of them left."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_hooks.delivery.claims import KEY_PREFIX
from airflow_provider_hooks.http.connect import Connector, Limits
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.stream import stream as stream_module
from airflow_provider_hooks.stream.batch import Batch
from airflow_provider_hooks.stream.claims import BatchSizer
from airflow_provider_hooks.stream.records import PartWriter, RecordEncoder, RecordFolder
from airflow_provider_hooks.stream.sources import FileSource, IterableSource
from airflow_provider_hooks.stream.stream import StreamContext, StreamDependencies, StreamResult, deliver_stream
from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter
from tests.http.reusing_receiver import Kept
from tests.stream.sending import LISTED, TIMEOUT, make_endpoint, make_event, make_preparer

GENERATION = "3"
BLOCK = 5


class KilledError(BaseException):
    """What ends a process at once."""


class Killer:
    """
    Counts the calls that are watched, and kills the process at one of them: from then on none does anything.

    Each call counts twice, for the moment before it and the moment after.
    """

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count, self.is_dead = at, 0, False
        self.names: list[str] = []

    def pass_by(self, name: str) -> None:
        if self.is_dead:
            raise KilledError
        self.names.append(name)
        self.count += 1
        if self.count - 1 == self.at:
            self.is_dead = True
            raise KilledError(name)


class Store:
    """Keeps JSON, as Airflow's accessor does; what is written is durable when a call returns."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.states: list[tuple[str, int]] = []

    @property
    def claim(self) -> dict:
        return json.loads(self.kept[KEY_PREFIX])

    def get(self, key):
        return json.loads(self.kept[key]) if key in self.kept else None

    def set(self, key, value):
        self.kept[key] = json.dumps(value)
        self.states.append((value["state"], value["block"]))


WATCHED = [
    *((Store, name) for name in ("get", "set")),
    *((RecordFolder, name) for name in ("make", "create", "read_lines", "remove")),
    *((PartWriter, name) for name in ("write", "flush", "close")),
    *((Batch, name) for name in ("_record", "_flush_and_report")),
    *((IterableSource, name) for name in ("fingerprint", "start_offset")),
]


class Tries:
    """A stream to a receiver, tried as often as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder, self.store, self.killer = folder, Store(), Killer()
        self.number = 0
        sizer = functools.partial(BatchSizer, size=BLOCK)
        monkeypatch.setattr(stream_module, "BatchSizer", lambda **_options: sizer(largest=BLOCK, share=1e-9))
        for kind, name in WATCHED:
            monkeypatch.setattr(kind, name, self._watch(getattr(kind, name), f"{kind.__name__}.{name}"))

    def _watch(self, call, name):
        @functools.wraps(call)
        def watched(*arguments, **options):
            self.killer.pass_by(f"before {name}")
            result = call(*arguments, **options)
            self.killer.pass_by(f"after {name}")
            return result

        return watched

    def deliver(
        self,
        kept: Kept,
        source: IterableSource | FileSource,
        *,
        kill_at: int | None = None,
        is_same_try: bool = False,
        is_last: bool = False,
        generation: str = GENERATION,
        breaker: int | None = None,
        concurrency: int = 3,
        store: object = None,
    ) -> StreamResult | None:
        """Make a try; ``None`` if it was killed."""
        self.killer = Killer(kill_at)
        self.number += not is_same_try or not self.number
        endpoint = make_endpoint(kept.url)
        limits = Limits(timeout=TIMEOUT, connect_timeout=TIMEOUT)
        connector = Connector(endpoint.target, policy=LISTED, limits=limits)
        pace = RateLimiter(rate_limit=None)
        tools = StreamDependencies(
            source=source,
            preparer=make_preparer(endpoint),
            engine=Engine(connector, concurrency=concurrency, timeout=TIMEOUT, throttle=pace, keep_headers=False),
            pace=pace,
            breaker=CircuitBreaker(limit=breaker),
            records=RecordFolder(self.folder / generation),
            make_lines=lambda is_redelivery: RecordEncoder({"redelivery": is_redelivery}),
            report=lambda _summary, _position: None,
        )
        asking = StreamContext(generation=generation, try_number=self.number, is_last_try=is_last)
        try:
            return deliver_stream(lambda _begun_records: tools, store=store or self.store, asking=asking)
        except KilledError:
            return None
        finally:
            self.killer.is_dead = False
            tools.engine.close()

    def read_records(self, generation: str = GENERATION) -> list[dict]:
        parts = sorted((self.folder / generation).glob("part-*.jsonl"))
        return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def make_source(count: int, *, invalid_every: int | None = None, first: int = 0) -> IterableSource:
    """Make a source in which every so manieth event cannot be delivered."""
    events = [make_event(number) for number in range(first, first + count)]
    for number in range(count) if invalid_every else ():
        if number % invalid_every == invalid_every - 1:
            events[number] = {"id": f"event-{first + number}"}
    return IterableSource(make=lambda: events)


def check_truth(tries: Tries, kept: Kept, end: StreamResult, count: int, *, invalid: int = 0) -> None:
    """Check that every event is in the records once with what is true of it, and came to the receiver once at most."""
    records = tries.read_records()
    assert sorted(record["position"] for record in records) == list(range(count))
    told = {record["position"]: record for record in records}
    assert set(kept.bytes_of.values()) <= {1}, "an event was sent twice"
    for position, record in told.items():
        is_invalid = record.get("error_class") == "invalid_event"
        assert is_invalid or record["event_id"] == f"event-{position}"
        if record["outcome"] in {"delivered", "rejected"}:
            assert position in kept.bytes_of
        elif record["outcome"] == "not_sent":
            assert position not in kept.bytes_of
    assert sum(record.get("error_class") == "invalid_event" for record in records) == invalid
    counted = Counter(record["outcome"] for record in records)
    assert {name: number for name, number in end.summary.outcomes.items() if number} == counted
    assert (end.summary.total, end.summary.invalid) == (count, invalid)
    assert tries.store.claim["state"] == "done"
    assert tries.store.claim["summary"] == end.summary.as_json()
