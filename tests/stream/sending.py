# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A block of events through the real engine, and all that can be told of it."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from airflow_provider_hooks.delivery.endpoint import Endpoint
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import Connector, Limits
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.http.urls import parse_url
from airflow_provider_hooks.signing.schemes import SCHEMES
from airflow_provider_hooks.stream.batch import Batch
from airflow_provider_hooks.stream.encode import RequestEncoder
from airflow_provider_hooks.stream.records import PartWriter, RecordEncoder
from airflow_provider_hooks.stream.sources import IterableSource
from airflow_provider_hooks.stream.summary import Summary
from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter
from tests.events_data import CREATED

SECRET = "s3cret+value/with=signs"
TOKEN = "t0ken-of-the-query"
HEADER = "c0nfidential-header-value"
LISTED = NetworkPolicy(allowed_networks=["127.0.0.1"])
TIMEOUT, CONNECT_TIMEOUT = 0.8, 0.5


def make_event(number: int, *, size: int = 0) -> dict[str, object]:
    """Make a documented event; its message tells it apart, and is as long as asked for."""
    name, message = f"event-{number}", f"message {number} " + "x" * size
    return {
        **CREATED,
        "id": name,
        "message": message,
        "event": {**CREATED["event"], "event_id": name, "message": message},
    }


def make_endpoint(url: str, *, scheme: str = "sentry", secret: str = SECRET, timeout: float = TIMEOUT) -> Endpoint:
    return Endpoint(
        conn_id="hostile",
        target=parse_url(f"{url}?token={TOKEN}"),
        scheme=SCHEMES[scheme],
        secrets=(secret,),
        events=("event.created", "event.alert"),
        headers={"Authorization": f"Bearer {HEADER}"},
        timeout=timeout,
    )


def make_preparer(endpoint: Endpoint) -> RequestEncoder:
    return RequestEncoder(endpoint, "event.created", max_payload_bytes=2**23)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What came of a block."""

    records: list[dict]
    output: str
    """All that was written."""
    seconds: float
    summary: Summary
    pace: RateLimiter
    stopped: bool
    opened: int
    """How many connections were opened or were tried to be."""

    @property
    def endings(self) -> Counter:
        """How many records there are of each outcome and class of error."""
        return Counter((record["outcome"], record.get("error_class")) for record in self.records)

    def list_ids(self, *outcomes: str) -> list[str]:
        return [record["event_id"] for record in self.records if record["outcome"] in outcomes]


class KeptBytes(io.BytesIO):
    """A file that can be read after it was closed."""

    def close(self) -> None:
        pass


def send(
    url: str,
    events: int | Iterable[dict] = 1,
    *,
    concurrency: int = 8,
    timeout: float = TIMEOUT,
    connect_timeout: float = CONNECT_TIMEOUT,
    policy: NetworkPolicy = LISTED,
    ca_file: str | None = None,
    rate_limit: float | None = None,
    breaker: int | None = None,
    during: Callable[[Engine], None] | None = None,
    **endpoint: str,
) -> Sent:
    """
    Send events as one block.

    :param during: is called after each group of results
    """
    made = make_endpoint(url, timeout=timeout, **endpoint)
    limits = Limits(timeout=timeout, connect_timeout=connect_timeout, ca_file=ca_file)
    pace, file = RateLimiter(rate_limit=rate_limit), KeptBytes()
    engine: Engine = Engine(
        Connector(made.target, policy=policy, limits=limits),
        concurrency=concurrency,
        timeout=timeout,
        throttle=pace,
        keep_headers=False,
    )
    part, summary = PartWriter(file), Summary()
    block = Batch(
        preparer=make_preparer(made),
        pace=pace,
        breaker=CircuitBreaker(limit=breaker),
        lines=RecordEncoder({"endpoint": made.conn_id}),
        summary=summary,
        part=part,
        report=lambda _summary, _position: None,
    )
    if during is not None:
        flush = block._flush_and_report
        block._flush_and_report = lambda: (during(engine), flush())[1]
    given = [make_event(number) for number in range(events)] if isinstance(events, int) else list(events)
    started = time.monotonic()
    try:
        end = block.send(IterableSource(make=lambda: given).read(0), start=0, engine=engine)
        seconds = time.monotonic() - started
    finally:
        engine.close()
        part.close()
    output = file.getvalue().decode()
    return Sent(
        records=[json.loads(line) for line in output.splitlines()],
        output=output,
        seconds=seconds,
        summary=summary,
        pace=pace,
        stopped=end.stopped,
        opened=engine.opened,
    )
