# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The health of endpoints, read from their deliveries, and the pauses of those that fail.

An endpoint is paused after several failures in a row, or when it answers that it is gone (HTTP 410). Meanwhile
deliveries to it end as ``not_sent``. From time to time one delivery is let through as a probe; if it is delivered, the
endpoint is open again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_hooks.delivery.policy import GONE
from airflow_provider_hooks.delivery.record import format_time
from airflow_provider_hooks.ledger.history import to_stored, to_text
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_hooks.delivery.record import Record
    from airflow_provider_hooks.ledger.database import Database

_NOT_ITS_FAULT = frozenset({ErrorClass.BLOCKED_ADDRESS, ErrorClass.SETUP_FAILED, ErrorClass.ENDPOINT_PAUSED})
"""Errors that say nothing about the receiver."""
_EXCLUDED = ", ".join(f"'{error_class.value}'" for error_class in sorted(_NOT_ITS_FAULT))
_FINISHED = (
    "kind = 'event' AND outcome IN ('delivered', 'rejected', 'unknown', 'not_sent') "
    f"AND (error_class IS NULL OR error_class NOT IN ({_EXCLUDED}))"
)
_COUNT_DELIVERED = "sum(CASE WHEN outcome = 'delivered' THEN 1 ELSE 0 END)"
_NEVER, _LATER_THAN_NEVER = "9999-01-01T00:00:00+00:00", "9999-01-02T00:00:00+00:00"
"""When a pause without probes was probed last."""
_MAX_COUNTED = 1_000
"""How many failures in a row are counted."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Why and since when nothing is sent to an endpoint."""

    paused_at: str
    """ISO 8601, UTC."""
    reason: str

    def describe(self) -> str:
        """Return what is shown after the name of the endpoint."""
        return f"is paused since {self.paused_at}: {self.reason}"


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the deliveries to an endpoint finished in a period."""

    endpoint: str
    deliveries: int
    delivered: int
    last_delivered_at: str | None
    """ISO 8601, UTC."""
    failures_in_a_row: int
    """How many deliveries failed since the last one that was delivered, at most ``1,000``."""
    pause: Pause | None

    @property
    def success_rate(self) -> float | None:
        """The part of the deliveries that was delivered, 0 to 1; ``None`` without deliveries."""
        return self.delivered / self.deliveries if self.deliveries else None


def count_failures_in_a_row(database: Database, endpoint: str, *, limit: int = _MAX_COUNTED) -> int:
    """
    Return how many of the last deliveries to an endpoint failed since the last success, at most ``limit``.

    :raises OutageError: if the database does not answer
    """
    rows = database.run(
        f"SELECT outcome FROM service_hook_deliveries WHERE endpoint = ? AND {_FINISHED} "
        "ORDER BY claimed_at DESC, id DESC LIMIT ?",
        (endpoint, limit),
    )
    outcomes = [row[0] for row in rows]
    return outcomes.index("delivered") if "delivered" in outcomes else len(outcomes)


def find_health(database: Database, *, since: str) -> list[EndpointHealth]:
    """
    Return the health of each endpoint that had deliveries in a period or is paused, by name.

    :param since: the begin of the period, ISO 8601
    :raises OutageError: if the database does not answer
    """
    counts = database.run(
        f"SELECT endpoint, count(*), {_COUNT_DELIVERED}, "
        "max(CASE WHEN outcome = 'delivered' THEN claimed_at END) FROM service_hook_deliveries "
        f"WHERE claimed_at >= ? AND {_FINISHED} GROUP BY endpoint",
        (since,),
    )
    pauses = list_pauses(database)
    by_endpoint = {**dict.fromkeys(pauses, (0, 0, None)), **{str(row[0]): row[1:] for row in counts}}
    return [
        EndpointHealth(
            endpoint=endpoint,
            deliveries=int(deliveries),
            delivered=int(delivered),
            last_delivered_at=None if last is None else to_text(last),
            failures_in_a_row=count_failures_in_a_row(database, endpoint),
            pause=pauses.get(endpoint),
        )
        for endpoint, (deliveries, delivered, last) in sorted(by_endpoint.items())
    ]


class HealthBucket(msgspec.Struct, frozen=True, kw_only=True):
    """How the deliveries to an endpoint finished in a part of a period."""

    endpoint: str
    number: int
    """Of the part, 0 for the first."""
    delivered: int
    failed: int


def count_by_time(database: Database, *, since: datetime, seconds: int) -> list[HealthBucket]:
    """
    Return how the deliveries of each endpoint finished in each part of a period; parts without deliveries are left out.

    :param seconds: the length of a part
    :raises OutageError: if the database does not answer
    """
    is_postgresql = database.target.dialect == "postgresql"
    epoch = "floor(extract(epoch FROM claimed_at))" if is_postgresql else "strftime('%s', claimed_at)"
    part = f"(CAST({epoch} AS INTEGER) - {int(since.timestamp())}) / {int(seconds)}"
    rows = database.run(
        f"SELECT endpoint, {part} AS number, {_COUNT_DELIVERED}, count(*) FROM service_hook_deliveries "
        f"WHERE claimed_at >= ? AND {_FINISHED} GROUP BY endpoint, number ORDER BY endpoint, number",
        (to_stored(since),),
    )
    return [
        HealthBucket(endpoint=str(row[0]), number=int(row[1]), delivered=int(row[2]), failed=int(row[3]) - int(row[2]))
        for row in rows
    ]


def list_pauses(database: Database) -> dict[str, Pause]:
    """Return the pause of each endpoint that is paused."""
    rows = database.run("SELECT endpoint, paused_at, reason FROM service_hook_endpoints WHERE is_paused = 1")
    return {str(row[0]): Pause(paused_at=to_text(row[1]), reason=str(row[2])) for row in rows}


def find_pause(database: Database, endpoint: str, *, probe_after: float) -> Pause | None:
    """
    Return why nothing is to be sent to an endpoint, or ``None`` if it is not paused or this delivery is the probe.

    :param probe_after: seconds after which one delivery is let through
    :raises OutageError: if the database does not answer
    """
    rows = database.run(
        "SELECT paused_at, reason FROM service_hook_endpoints WHERE endpoint = ? AND is_paused = 1", (endpoint,)
    )
    if not rows:
        return None
    now = time.time()
    is_probe = database.run(
        "UPDATE service_hook_endpoints SET probed_at = ? "
        "WHERE endpoint = ? AND is_paused = 1 AND probed_at <= ? RETURNING endpoint",
        (format_time(now), endpoint, format_time(now - probe_after)),
    )
    return None if is_probe else Pause(paused_at=to_text(rows[0][0]), reason=str(rows[0][1]))


def pause_endpoint(database: Database, endpoint: str, *, reason: str, has_probes: bool = True) -> bool:
    """
    Pause an endpoint, and return whether it was not paused before.

    :param has_probes: whether deliveries are let through from time to time, and one that is delivered ends the pause
    :raises OutageError: if the database does not answer
    """
    now = format_time(time.time())
    paused = database.run(
        "INSERT INTO service_hook_endpoints (endpoint, is_paused, paused_at, reason, probed_at) VALUES (?, 1, ?, ?, ?) "
        "ON CONFLICT (endpoint) DO UPDATE SET is_paused = 1, paused_at = excluded.paused_at, "
        "reason = excluded.reason, probed_at = excluded.probed_at "
        "WHERE service_hook_endpoints.is_paused = 0 RETURNING endpoint",
        (endpoint, now, reason, now if has_probes else _NEVER),
    )
    return bool(paused)


def resume_endpoint(database: Database, endpoint: str, *, by_probe: bool = False) -> bool:
    """
    Open an endpoint again, and return whether it was paused.

    :param by_probe: whether a delivery was delivered, which ends only a pause that has probes
    :raises OutageError: if the database does not answer
    """
    resumed = database.run(
        "UPDATE service_hook_endpoints SET is_paused = 0 "
        "WHERE endpoint = ? AND is_paused = 1 AND probed_at < ? RETURNING endpoint",
        (endpoint, _NEVER if by_probe else _LATER_THAN_NEVER),
    )
    return bool(resumed)


def find_reason_to_pause(database: Database, record: Record, *, failures: int) -> str | None:
    """
    Return why the endpoint of a delivery that has just failed is to be paused, if it is.

    :param failures: after how many in a row
    :raises OutageError: if the database does not answer
    """
    attempt, endpoint = record.attempt, record.info.endpoint
    if attempt.outcome is Outcome.DELIVERED or attempt.error_class in _NOT_ITS_FAULT:
        return None
    if attempt.status_code == GONE:
        return "the URL no longer exists (HTTP 410)"
    if count_failures_in_a_row(database, endpoint, limit=failures) < failures:
        return None
    return f"{failures} deliveries in a row failed; the last was {attempt.outcome.value}"
