# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Tries of one stream, which a test can kill at any watched call, and checks of the claim and the records."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.delivery.claims import KEY_PREFIX, ClaimStore
from airflow_provider_hooks.delivery.policy import AT_MOST_ONCE, DeliveryPolicy
from airflow_provider_hooks.http.connect import Connector, Limits
from airflow_provider_hooks.stream.batch import BatchSender
from airflow_provider_hooks.stream.claims import BatchSizer, StreamClaim
from airflow_provider_hooks.stream.event_claims import EventClaims
from airflow_provider_hooks.stream.model import StreamContext, StreamDependencies, StreamResult
from airflow_provider_hooks.stream.records import Folder, RecordFolder, SegmentWriter
from airflow_provider_hooks.stream.sources import FileSource, IterableSource
from airflow_provider_hooks.stream.stream import deliver_stream
from airflow_provider_hooks.stream.summary import Progress
from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter
from tests.http.reusing_receiver import ReusingReceiver
from tests.stream.sending import LISTED, TIMEOUT, WatchedEngine, make_encoder, make_endpoint, make_event

GENERATION = "3"
BATCH = 5


class KilledError(BaseException):
    """Simulates that the process is killed."""


class Killer:
    """
    Counts the watched calls, and kills the process at one of them; every later watched call fails, too.

    Each call counts twice: before it begins and after it has returned.
    """

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count, self.is_dead = at, 0, False
        self.names: list[str] = []

    def note_call(self, name: str) -> None:
        if self.is_dead:
            raise KilledError
        self.names.append(name)
        self.count += 1
        if self.count - 1 == self.at:
            self.is_dead = True
            raise KilledError(name)


class Store:
    """A task state store that holds JSON, as Airflow's does; a write is durable when its call returns."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}

    @property
    def claim(self) -> dict:
        return json.loads(self.stored[KEY_PREFIX])

    def get(self, key):
        return json.loads(self.stored[key]) if key in self.stored else None

    def set(self, key, value, **_options):
        self.stored[key] = json.dumps(value)


WATCHED = [
    *((Store, name) for name in ("get", "set")),
    *((RecordFolder, name) for name in ("create", "open_segment", "read_lines", "remove")),
    *((SegmentWriter, name) for name in ("write", "flush", "close")),
    *((BatchSender, name) for name in ("_record", "_flush_and_report")),
    *((IterableSource, name) for name in ("fingerprint", "start_offset")),
]


class Tries:
    """A stream to a receiver, which a test can try any number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder, self.store, self.killer = folder, Store(), Killer()
        self.number = 0
        self.wrap_folder: Callable[[Path], Folder] = lambda path: path
        self.refusal: Exception | None = None
        for kind, name in WATCHED:
            monkeypatch.setattr(kind, name, self._watch(getattr(kind, name), f"{kind.__name__}.{name}"))

    def _watch(self, call, name):
        @functools.wraps(call)
        def watched(*arguments, **options):
            self.killer.note_call(f"before {name}")
            result = call(*arguments, **options)
            self.killer.note_call(f"after {name}")
            return result

        return watched

    def deliver(
        self,
        receiver: ReusingReceiver,
        source: IterableSource | FileSource,
        *,
        kill_at: int | None = None,
        is_same_try: bool = False,
        is_last: bool = False,
        generation: str = GENERATION,
        breaker: int | None = None,
        concurrency: int = 3,
        store: object = None,
        max_attempts: int = 8,
        refuses: Callable[[int], bool] | None = None,
        max_unsent: int = 1_000,
        policy: DeliveryPolicy = AT_MOST_ONCE,
    ) -> StreamResult | None:
        """Make a try; return ``None`` if it was killed."""
        self.killer = Killer(kill_at)
        self.number += not is_same_try or not self.number
        endpoint = make_endpoint(receiver.url)
        limits = Limits(timeout=TIMEOUT, connect_timeout=TIMEOUT)
        connector = Connector(endpoint.target, policy=LISTED, limits=limits)
        rate_limiter = RateLimiter(rate_limit=None)
        self.engine = engine = WatchedEngine(
            connector, concurrency=concurrency, timeout=TIMEOUT, throttle=rate_limiter, keep_headers=False
        )
        engine.refuses = refuses
        engine.refusal = self.refusal or engine.refusal
        dependencies = StreamDependencies(
            policy=policy,
            source=source,
            encoder=make_encoder(endpoint),
            engine=engine,
            rate_limiter=rate_limiter,
            breaker=CircuitBreaker(limit=breaker),
            records=RecordFolder(self.wrap_folder(self.folder / generation)),
            record_fields={},
            progress=Progress(logging.getLogger(__name__), end=0),
            sizer=BatchSizer(largest=BATCH, size=BATCH, share=1e-9),
            max_attempts=max_attempts,
            max_unsent=max_unsent,
        )
        run = StreamContext(generation=generation, try_number=self.number, is_last_try=is_last)
        try:
            with self.open_claims(store, run, policy) as (claims, event_claims):
                opened = dataclasses.replace(dependencies, event_claims=event_claims)
                return deliver_stream(opened, claims.load(), store=claims, run=run)
        except KilledError:
            return None
        finally:
            self.killer.is_dead, self.killer.at = False, None
            engine.close()

    @contextlib.contextmanager
    def open_claims(
        self, store: object, _run: StreamContext, _policy: DeliveryPolicy
    ) -> Iterator[tuple[ClaimStore[StreamClaim], EventClaims | None]]:
        """Open the claims of a try: that of the stream, and those of its events, if they have any."""
        yield TaskStateClaimStore(store or self.store, KEY_PREFIX, StreamClaim), None

    def read_records(self, generation: str = GENERATION) -> list[dict]:
        parts = sorted((self.folder / generation).glob("segment-*.jsonl"))
        return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def make_source(count: int, *, invalid_every: int | None = None, first: int = 0) -> IterableSource:
    """Make a source of events; with ``invalid_every``, each n-th one is invalid."""
    events = [make_event(number) for number in range(first, first + count)]
    for number in range(count) if invalid_every else ():
        if number % invalid_every == invalid_every - 1:
            events[number] = {"id": f"event-{first + number}"}
    return IterableSource(make=lambda: events)


def check_records(
    tries: Tries, receiver: ReusingReceiver, result: StreamResult, count: int, *, invalid: int = 0
) -> None:
    """Check that each event has one record with its real outcome, and was received at most once."""
    records = tries.read_records()
    assert sorted(record["offset"] for record in records) == list(range(count))
    by_offset = {record["offset"]: record for record in records}
    assert set(receiver.request_counts.values()) <= {1}, "an event was sent twice"
    for offset, record in by_offset.items():
        is_invalid = record.get("error_class") == "invalid_event"
        assert is_invalid or record["event_id"] == f"event-{offset}"
        if record["outcome"] in {"delivered", "rejected"}:
            assert offset in receiver.request_counts
        elif record["outcome"] == "not_sent":
            assert offset not in receiver.request_counts
    assert sum(record.get("error_class") == "invalid_event" for record in records) == invalid
    counted = Counter(record["outcome"] for record in records)
    assert {name: number for name, number in result.summary.outcomes.items() if number} == counted
    assert (result.summary.total, result.summary.invalid) == (count, invalid)
    assert tries.store.claim["state"] == "done"
    assert tries.store.claim["summary"] == result.summary.as_json()
