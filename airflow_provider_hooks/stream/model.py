# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What a stream is given, what it is sent with, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_hooks.delivery.policy import AT_MOST_ONCE
from airflow_provider_hooks.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_hooks.delivery.policy import DeliveryPolicy
    from airflow_provider_hooks.http.engine import Engine
    from airflow_provider_hooks.stream.claims import BatchSizer
    from airflow_provider_hooks.stream.encode import EncodedRequest, RequestEncoder
    from airflow_provider_hooks.stream.event_claims import EventClaims
    from airflow_provider_hooks.stream.records import RecordFolder
    from airflow_provider_hooks.stream.sources import Shard, Source
    from airflow_provider_hooks.stream.summary import Progress, Summary
    from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter

MAX_ATTEMPTS = 8
"""How often a try sends an event that is not received."""
MAX_UNSENT_EVENTS = 1_000
"""With so many events left to the next try, nothing more is begun, so that the claim stays small."""


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a stream is read, checked and sent."""

    policy: DeliveryPolicy
    concurrency: int
    rate_limit: float | None
    stop_after_failures: int | None
    skips_invalid: bool
    shard: Shard
    format: str | None = None
    """In place of the endpoint's."""
    id_field: str = "id"
    """The field of an event of the user's own type that is its id."""
    type_field: str | None = None
    """The field of an event that is its type, in place of one type for all."""
    undelivered_from: str | None = None
    resend_outcomes: frozenset[str] = frozenset({Outcome.NOT_SENT.value})


@dataclass(frozen=True, kw_only=True)
class StreamContext:
    """The try that sends a stream."""

    generation: str
    """The run or manual clear."""
    try_number: int
    is_last_try: bool
    """Whether no later try sends what this one does not."""
    claim_may_be_lost: bool = False
    """Whether a clear may have deleted the claim of an earlier run."""


@dataclass(frozen=True, kw_only=True)
class StreamDependencies:
    """What a stream reads from, sends with, and writes to."""

    source: Source
    encoder: RequestEncoder
    engine: Engine[EncodedRequest]
    rate_limiter: RateLimiter
    breaker: CircuitBreaker
    records: RecordFolder
    record_fields: Mapping[str, object]
    """The fields that every record has."""
    progress: Progress
    sizer: BatchSizer
    policy: DeliveryPolicy = AT_MOST_ONCE
    redelivered: Collection[int] = frozenset()
    """The offsets of the events that an earlier run may have delivered."""
    max_attempts: int = MAX_ATTEMPTS
    max_unsent: int = MAX_UNSENT_EVENTS
    event_claims: EventClaims | None = None
    """The claims of the single events, where an event id goes to the endpoint once for ever."""


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """The result of a try."""

    summary: Summary
    records: str
    """The folder of the records."""
    stopped_by: str | None = None
    """What stopped it before the end, if anything did; a later try resumes there."""
    failure: Exception | None = None
    """What the source or the folder of the records raised, which stopped it."""
    without_record: int = 0
    """How many of the events in the summary have no record: it could not be written, or is gone."""
    unsent: int = 0
    """How many of the events that were read are left to a later try."""
    from_previous_try: bool = False
    """Whether an earlier try finished the stream, and this one sent nothing."""

    @property
    def is_stopped(self) -> bool:
        """Whether events are left that were not even read."""
        return self.stopped_by is not None
