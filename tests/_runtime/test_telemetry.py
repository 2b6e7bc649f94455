# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The metrics and spans that a delivery adds to those of Airflow."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_provider_hooks._runtime import telemetry
from airflow_provider_hooks._runtime.compat import AirflowFailException, stats
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator
from tests.airflow_context import StateStore, make_context
from tests.servers import OK, raw_server
from tests.versions import NO_CLAIM_STORE

SECRET = "a-signing-secret"


@pytest.fixture
def telemetry_output(monkeypatch):
    """Return the metrics and the span exporter of a test."""
    exporter, provider, metrics = InMemorySpanExporter(), TracerProvider(), []
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    monkeypatch.setattr(stats, "incr", lambda name, _count=1, **named: metrics.append((name, named["tags"])))
    monkeypatch.setattr(
        stats, "timing", lambda name, duration, **named: metrics.append((name, named["tags"], duration))
    )
    return metrics, exporter


def deliver(monkeypatch, url, store=None):
    connection = {"conn_type": "service_hook", "host": url, "password": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
    operator = DeliverEventAlertOperator(task_id="t", message="It broke", triggering_rules=["A rule"])
    return operator.execute(make_context(store))


def test_delivery_metrics_and_span_carry_outcome_and_endpoint(telemetry_output, allow_loopback, monkeypatch):
    metrics, exporter = telemetry_output
    with raw_server(OK) as server:
        record = deliver(monkeypatch, server.url)
    tags = {"endpoint": "service_hook_default", "outcome": "delivered", "event_type": "event.alert"}
    (timed, counted) = metrics
    assert timed == ("service_hooks.attempt.duration", tags, timedelta(milliseconds=record["duration_ms"]))
    assert counted == ("service_hooks.deliveries.delivered", tags)
    (span,) = exporter.get_finished_spans()
    assert span.name == "service_hooks.attempt"
    assert dict(span.attributes) == {
        "service_hooks.endpoint": "service_hook_default",
        "service_hooks.event_type": "event.alert",
        "service_hooks.delivery_id": record["delivery_id"],
        "service_hooks.outcome": "delivered",
        "http.response.status_code": 200,
    }
    assert SECRET not in span.to_json() + repr(metrics)


def test_span_has_the_error_class_and_a_later_try_counts_without_an_attempt(
    telemetry_output, allow_loopback, monkeypatch
):
    metrics, exporter = telemetry_output
    store = StateStore()
    with raw_server(b"") as server:
        for _ in range(2):
            with pytest.raises(AirflowFailException):
                deliver(monkeypatch, server.url, store)
    assert [name for name, *_ in metrics] == [
        "service_hooks.attempt.duration",
        "service_hooks.deliveries.unknown",
        "service_hooks.deliveries.unknown",
    ]
    (span,) = exporter.get_finished_spans()
    assert span.attributes["error.type"] == "connection_reset"


def test_failing_metrics_backend_does_not_change_the_outcome(allow_loopback, monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("no backend")

    monkeypatch.setattr(stats, "incr", fail)
    monkeypatch.setattr(stats, "timing", fail)
    store = StateStore()
    with raw_server(OK) as server:
        assert deliver(monkeypatch, server.url, store)["outcome"] == "delivered"
    assert store.get("service_hook_delivery")["state"] == "delivered"


@pytest.mark.parametrize("method", ["on_start", "on_end"])
def test_failing_span_processor_does_not_change_the_outcome(allow_loopback, monkeypatch, method):
    class FailingProcessor(SpanProcessor):
        pass

    def fail(*_arguments, **_options):
        raise RuntimeError("no backend")

    setattr(FailingProcessor, method, fail)
    provider = TracerProvider()
    provider.add_span_processor(FailingProcessor())
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    store = StateStore()
    with raw_server(OK) as server:
        assert deliver(monkeypatch, server.url, store)["outcome"] == "delivered"
    assert store.get("service_hook_delivery")["state"] == "delivered"


def test_context_without_a_state_store_sends_nothing(allow_loopback, monkeypatch):
    with raw_server(OK) as server:
        connection = {"conn_type": "service_hook", "host": server.url, "password": SECRET}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
        context = make_context()
        del context["task_state_store"]
        operator = DeliverEventAlertOperator(task_id="t", message="It broke", triggering_rules=["A rule"])
        with pytest.raises(AirflowFailException, match=NO_CLAIM_STORE):
            operator.execute(context)
    assert server.requests == []
