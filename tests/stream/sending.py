# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sends events through the real stream and engine, and returns the records."""

from __future__ import annotations

import errno
import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_hooks.delivery.endpoint import Endpoint
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import Connector, Limits
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.signing.schemes import SCHEMES
from airflow_provider_hooks.stream.claims import BatchSizer
from airflow_provider_hooks.stream.encode import RequestEncoder
from airflow_provider_hooks.stream.model import StreamContext, StreamDependencies
from airflow_provider_hooks.stream.records import RecordFolder
from airflow_provider_hooks.stream.sources import IterableSource
from airflow_provider_hooks.stream.stream import deliver_stream
from airflow_provider_hooks.stream.summary import Progress, Summary
from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter
from tests.events_data import CREATED
from tests.timing import PATIENT_SECONDS

SECRET = "s3cret+value/with=signs"
TOKEN = "t0ken-of-the-query"
HEADER = "c0nfidential-header-value"
LISTED = NetworkPolicy(allowed_networks=["127.0.0.1"])
TIMEOUT, CONNECT_TIMEOUT = 0.8, 0.5
"""For requests that must time out."""


def make_event(number: int, *, size: int = 0) -> dict[str, object]:
    """Make a documented event; its message has the number of the event and ``size`` further characters."""
    name, message = f"event-{number}", f"message {number} " + "x" * size
    return {
        **CREATED,
        "id": name,
        "message": message,
        "event": {**CREATED["event"], "event_id": name, "message": message},
    }


def make_endpoint(
    url: str, *, scheme: str = "sentry", secret: str = SECRET, timeout: float = PATIENT_SECONDS
) -> Endpoint:
    return Endpoint(
        conn_id="hostile",
        target=parse_url(f"{url}?token={TOKEN}"),
        scheme=SCHEMES[scheme],
        secrets=(secret,),
        events=("event.created", "event.alert"),
        headers={"Authorization": f"Bearer {HEADER}"},
        timeout=timeout,
    )


def make_encoder(endpoint: Endpoint) -> RequestEncoder:
    return RequestEncoder(endpoint, "event.created", max_payload_bytes=2**23)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The records and counts of a stream."""

    records: list[dict]
    output: str
    """The text of all record segments."""
    seconds: float
    summary: Summary
    rate_limiter: RateLimiter
    stopped: bool
    opened: int
    """The number of connections that were opened."""

    @property
    def outcomes(self) -> Counter:
        """The number of records by outcome and error class."""
        return Counter((record["outcome"], record.get("error_class")) for record in self.records)

    def list_ids(self, *outcomes: str) -> list[str]:
        return [record["event_id"] for record in self.records if record["outcome"] in outcomes]


class ClaimInMemory:
    """A claim store for one try."""

    def __init__(self) -> None:
        self.claim: object = None

    def load(self):
        return self.claim

    def acquire(self, _expected, new) -> None:
        self.claim = new

    def save(self, claim) -> None:
        self.claim = claim


class WatchedEngine(Engine):
    """An engine that calls a function after each group of results, and can refuse connections."""

    during: Callable[[Engine], None] | None = None
    refuses: Callable[[int], bool] | None = None
    """Given the number of a connection, from 0, returns whether the receiver refuses it."""
    refusal: Exception = ConnectionRefusedError(errno.ECONNREFUSED, "refused by the test")
    dialed = 0

    def send(self, requests):
        for results in super().send(requests):
            yield results
            if self.during is not None:
                self.during(self)

    def _end_dial(self, dial, done):
        number, self.dialed = self.dialed, self.dialed + 1
        if self.refuses is not None and self.refuses(number):
            if not isinstance(done, Exception):
                done.sock.close()
            done = self.refusal
        super()._end_dial(dial, done)


def send(
    url: str,
    events: int | Iterable[dict] = 1,
    *,
    concurrency: int = 8,
    timeout: float = PATIENT_SECONDS,
    connect_timeout: float = PATIENT_SECONDS,
    policy: NetworkPolicy = LISTED,
    ca_file: str | None = None,
    rate_limit: float | None = None,
    breaker: int | None = None,
    during: Callable[[Engine], None] | None = None,
    attempts: int = 1,
    **endpoint: str,
) -> Sent:
    """
    Send events as one batch.

    :param attempts: the most attempts for an event that is not received
    :param breaker: the number of consecutive failures that stops the stream, as in a try that is not the last one
    :param during: is called after each group of results
    """
    target_endpoint = make_endpoint(url, timeout=timeout, **endpoint)
    limits = Limits(timeout=timeout, connect_timeout=connect_timeout, ca_file=ca_file)
    rate_limiter = RateLimiter(rate_limit=rate_limit)
    engine = WatchedEngine(
        Connector(target_endpoint.target, policy=policy, limits=limits),
        concurrency=concurrency,
        timeout=timeout,
        throttle=rate_limiter,
        keep_headers=False,
    )
    engine.during = during
    event_list = [make_event(number) for number in range(events)] if isinstance(events, int) else list(events)
    with tempfile.TemporaryDirectory() as folder:
        dependencies = StreamDependencies(
            source=IterableSource(make=lambda: event_list),
            encoder=make_encoder(target_endpoint),
            engine=engine,
            rate_limiter=rate_limiter,
            breaker=CircuitBreaker(limit=breaker),
            records=RecordFolder(Path(folder)),
            record_fields={"endpoint": target_endpoint.conn_id},
            progress=Progress(logging.getLogger(__name__), end=0),
            sizer=BatchSizer(largest=100_000, size=100_000),
            max_attempts=attempts,
        )
        started = time.monotonic()
        try:
            run = StreamContext(generation="0", try_number=1, is_last_try=breaker is None)
            result = deliver_stream(dependencies, None, store=ClaimInMemory(), run=run)
            seconds = time.monotonic() - started
        finally:
            engine.close()
        output = "".join(segment.read_text() for segment in sorted(Path(folder).iterdir()))
    return Sent(
        records=[json.loads(line) for line in output.splitlines()],
        output=output,
        seconds=seconds,
        summary=result.summary,
        rate_limiter=rate_limiter,
        stopped=result.is_stopped,
        opened=engine.opened,
    )
