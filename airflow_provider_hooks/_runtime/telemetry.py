# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Metrics and traces of deliveries in Airflow's own: a counter by outcome, a timer, and a span for each attempt."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from opentelemetry import trace

from airflow_provider_hooks._runtime.compat import stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span

    from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo, Record

DELIVERIES = "service_hooks.deliveries"
"""A counter, one for each outcome of a task: ``service_hooks.deliveries.<outcome>``."""
ATTEMPT_DURATION = "service_hooks.attempt.duration"
"""A timer, one for each HTTP request."""
ATTEMPT_SPAN = "service_hooks.attempt"
"""A span, one for each HTTP request, with the outcome."""

_log = logging.getLogger(__name__)
_tracer = trace.get_tracer("airflow_provider_hooks")


def count_delivery(record: Record) -> None:
    """Increment the counter of a delivery's outcome."""
    info = record.info
    count_deliveries(1, endpoint=info.endpoint, event_type=info.event_type, outcome=record.attempt.outcome.value)


def count_deliveries(count: int, *, endpoint: str, event_type: str, outcome: str) -> None:
    """Increment the counter of one outcome by ``count``."""
    if count:
        with _harmless():
            tags = _describe(endpoint=endpoint, event_type=event_type, outcome=outcome)
            stats.incr(f"{DELIVERIES}.{outcome}", count, tags=tags)


@contextmanager
def trace_attempt(info: DeliveryInfo) -> Iterator[Span]:
    """Open the span of an attempt."""
    span: Span = trace.INVALID_SPAN
    with _harmless():
        span = _tracer.start_span(ATTEMPT_SPAN)
        span.set_attribute("service_hooks.endpoint", info.endpoint)
        span.set_attribute("service_hooks.event_type", info.event_type)
        span.set_attribute("service_hooks.delivery_id", info.delivery_id)
    try:
        yield span
    finally:
        with _harmless():
            span.end()


def record_attempt(span: Span, info: DeliveryInfo, attempt: Attempt) -> None:
    """Add the outcome of an attempt to its span and to the timer."""
    outcome = attempt.outcome.value
    with _harmless():
        span.set_attribute("service_hooks.outcome", outcome)
        if attempt.status_code is not None:
            span.set_attribute("http.response.status_code", attempt.status_code)
        if attempt.error_class is not None:
            span.set_attribute("error.type", attempt.error_class.value)
        tags = _describe(endpoint=info.endpoint, event_type=info.event_type, outcome=outcome)
        stats.timing(ATTEMPT_DURATION, timedelta(milliseconds=attempt.duration_ms), tags=tags)


@contextmanager
def _harmless() -> Iterator[None]:
    """Log the failure of a metrics backend, so that it does not hide what was sent: the record is not written yet."""
    try:
        yield
    except Exception:  # noqa: BLE001  (whatever a backend raises)
        _log.warning("Metrics or traces of a delivery could not be reported", exc_info=True)


def _describe(*, endpoint: str, event_type: str, outcome: str) -> dict[str, str]:
    return {"endpoint": re.sub(r"[^A-Za-z0-9_.-]", "_", endpoint), "outcome": outcome, "event_type": event_type}
