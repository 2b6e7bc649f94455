# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Deliveries with the ledger: once per event, from callbacks and commands; stored payloads; paused endpoints."""

from __future__ import annotations

import json
import threading
import time

import pytest
from airflow.sdk import DAG
from cryptography.fernet import Fernet

from airflow_provider_hooks._runtime.compat import AirflowException
from airflow_provider_hooks._runtime.ledger import close_ledgers
from airflow_provider_hooks.delivery.claims import KEY_PREFIX, RESEND, Claim, ClaimOrigin
from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.exceptions import (
    DeliveryFailedError,
    DeliveryNotSentError,
    NonRetryableError,
    NotificationError,
    RetryableError,
)
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.ledger.endpoints import (
    count_failures_in_a_row,
    find_health,
    list_pauses,
    pause_endpoint,
    resume_endpoint,
)
from airflow_provider_hooks.ledger.payloads import PayloadStore
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators.delivery import DeliverEventOperator, DeliverEventStreamOperator
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.airflow_context import StateStore, make_context
from tests.servers import find_closed_port, raw_server

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
ONCE = make_policy(once="event")


def deliver(*, dag_id="a_dag", run_id="a_run", event_id="e-1", try_number=1, store=None, **arguments):
    with DAG(dag_id, schedule=None):
        operator = DeliverEventOperator(
            task_id="a_task", event_type="orders.loaded", data={"orders": 12}, event_id=event_id, **arguments
        )
    context = make_context(store, dag_id=dag_id, run_id=run_id, try_number=try_number)
    return operator.execute(context)


def read_outcomes(ledger):
    return [row[0] for row in ledger.run("SELECT outcome FROM service_hook_deliveries ORDER BY id")]


def find_claim(ledger):
    ((text,),) = ledger.run("SELECT claim FROM service_hook_deliveries")
    return json.loads(text)


class TestOncePerEvent:
    def test_an_event_id_is_sent_once_to_an_endpoint_by_any_dag_and_run(self, connect, ledger):
        with raw_server(OK) as receiver:
            connect(receiver.url)
            records = [deliver(dag_id=dag, run_id=run, once="event") for dag in ("a", "b") for run in ("1", "2")]
            hook = EndpointHook()
            event = Event(type="orders.loaded", id="e-1", occurred_at="2026-01-01T00:00:00Z", source="s", data={})
            assert not hook.deliver_now("orders.loaded", event, policy=ONCE).sent_by_this_try
            assert deliver(event_id="e-2", once="event")["event_id"] == "e-2"
        assert len(receiver.requests) == 2
        assert {record["outcome"] for record in records} == {"delivered"}
        assert len({record["requested_at"] for record in records}) == 1

    def test_one_of_many_concurrent_runs_sends_and_the_others_return_its_record(self, connect, ledger):
        def answer(connection):
            threading.Event().wait(0.3)
            connection.sendall(OK)

        records = []
        with raw_server(answer) as receiver:
            connect(receiver.url)
            threads = [
                threading.Thread(target=lambda run=run: records.append(deliver(run_id=run, once="event")))
                for run in "12345"
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(receiver.requests) == 1
        assert [record["outcome"] for record in records] == ["delivered"] * 5

    def test_an_event_that_was_not_sent_is_sent_by_another_run(self, connect, ledger):
        connect(f"http://127.0.0.1:{find_closed_port()}/")
        with pytest.raises(DeliveryNotSentError):
            deliver(run_id="1", once="event")
        with raw_server(OK) as receiver:
            connect(receiver.url)
            assert deliver(run_id="2", once="event")["outcome"] == "delivered"
        assert len(receiver.requests) == 1

    def test_a_failure_is_reported_in_every_run_with_the_command_to_resend(self, connect, ledger):
        with raw_server(FAILED) as receiver:
            connect(receiver.url)
            for run in "12":
                with pytest.raises(DeliveryFailedError, match=r"deliveries resend [0-9a-f-]{36}"):
                    deliver(run_id=run, once="event")
        assert len(receiver.requests) == 1

    def test_once_per_event_needs_the_ledger(self, connect):
        connect("http://127.0.0.1:1/")
        with pytest.raises(NonRetryableError, match=r"once: 'event' needs the ledger.*ledger_conn_id"):
            deliver(once="event")

    def test_another_run_delivers_the_event_again_by_default(self, connect, ledger):
        with raw_server(OK) as receiver:
            connect(receiver.url)
            first, second = deliver(run_id="1"), deliver(run_id="2")
        assert first["delivery_id"] == second["delivery_id"]
        assert len(receiver.requests) == 2
        assert read_outcomes(ledger) == ["delivered", "delivered"]


def test_claims_are_in_the_ledger_and_not_in_the_task_state_store(connect, ledger):
    store = StateStore()
    with raw_server(OK) as receiver:
        connect(receiver.url)
        assert deliver(store=store) == deliver(store=store, try_number=2)
    assert len(receiver.requests) == 1
    assert not store.stored
    assert read_outcomes(ledger) == ["delivered"]


def test_the_history_has_the_attempts_of_all_tries(connect, ledger):
    connect(f"http://127.0.0.1:{find_closed_port()}/")
    with pytest.raises(DeliveryNotSentError):
        deliver()
    with raw_server(OK) as receiver:
        connect(receiver.url)
        assert deliver(try_number=2)["attempts"] == 2
    records = [json.loads(row[0]) for row in ledger.run("SELECT record FROM service_hook_attempts ORDER BY id")]
    assert [record["outcome"] for record in records] == ["not_sent", "delivered"]


@pytest.mark.parametrize("tables", ["none", "newer"])
def test_an_unusable_ledger_is_an_error_before_anything_is_sent(connect, ledger, tables):
    if tables == "none":
        ledger.run("DROP TABLE service_hook_ledger")
        problem = "has no tables; run: airflow service-hooks ledger migrate"
    else:
        ledger.run("INSERT INTO service_hook_ledger (version) VALUES (99)")
        problem = "version 99.*install a newer airflow-provider-hooks"
    with raw_server(OK) as receiver:
        connect(receiver.url)
        with pytest.raises(NonRetryableError, match=problem):
            deliver()
    assert not receiver.requests


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        ({"conn_type": "mysql", "host": "db"}, "conn_type: must be postgres, or sqlite.*MySQL cannot claim"),
        ({"conn_type": "sqlite", "host": "ledger.db"}, "host: must be the absolute path"),
        ({"conn_type": "http", "host": "db", "password": "s3cret"}, "conn_type: must be postgres"),
    ],
)
def test_an_invalid_connection_of_the_ledger_is_an_error(connect, ledger, monkeypatch, connection, problem):
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_LEDGER", json.dumps(connection))
    close_ledgers()
    connect("http://127.0.0.1:1/")
    with pytest.raises(NonRetryableError, match=problem) as caught:
        deliver()
    assert "s3cret" not in str(caught.value)


def test_an_unreachable_ledger_is_retried_by_airflow(connect, ledger, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_SERVICE_HOOK_LEDGER",
        json.dumps({"conn_type": "postgres", "host": "127.0.0.1", "port": find_closed_port(), "login": "airflow"}),
    )
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__STATE_STORE_TIMEOUT", "0.1")
    close_ledgers()
    with raw_server(OK) as receiver:
        connect(receiver.url)
        with pytest.raises(RetryableError, match=r"the ledger .* did not answer"):
            deliver()
    assert not receiver.requests


@pytest.mark.parametrize("state", ["failed", "up_for_retry"])
def test_a_callback_that_is_called_twice_sends_one_request(connect, ledger, state):
    with raw_server(OK) as receiver:
        connect(receiver.url)
        for _ in range(2):
            context = make_context(state=state, try_number=1)
            del context["task_state_store"]
            ServiceHookNotifier(message="It failed").notify(context)
    assert len(receiver.requests) == 1
    assert ledger.run("SELECT origin, dag_id, run_id, task_id, outcome FROM service_hook_deliveries") == [
        ("callback", "a_dag", "a_run", "a_task", "delivered")
    ]


def test_a_callback_waits_for_a_claim_no_longer_than_its_limit(connect, ledger, monkeypatch):
    monkeypatch.setattr("airflow_provider_hooks.hooks.endpoint._CALLBACK_WAIT_SECONDS", 0.2)
    with raw_server(OK) as receiver:
        connect(receiver.url)
        ServiceHookNotifier(message="It failed").notify(make_context(state="failed"))
        killed = {**find_claim(ledger), "state": "claimed", "record": None}
        ledger.run("UPDATE service_hook_deliveries SET state = 'claimed', claim = ?", (json.dumps(killed),))
        began = time.monotonic()
        with pytest.raises(NotificationError, match=r"^unknown \(interrupted\)"):
            ServiceHookNotifier(message="It failed").notify(make_context(state="failed"))
    assert time.monotonic() - began < 5
    assert len(receiver.requests) == 1


def test_each_delivery_without_a_task_is_in_the_history_as_a_command(connect, ledger):
    event = Event(type="orders.loaded", id="e-1", occurred_at="2026-01-01T00:00:00Z", source="s", data={})
    with raw_server(OK) as receiver:
        connect(receiver.url)
        for _ in range(2):
            EndpointHook().deliver_now("orders.loaded", event)
    assert len(receiver.requests) == 2
    assert ledger.run("SELECT origin, outcome FROM service_hook_deliveries") == [("command", "delivered")] * 2


class TestStoredPayloads:
    @pytest.fixture(autouse=True)
    def keys(self, monkeypatch, ledger):
        keys = [Fernet.generate_key().decode() for _ in range(2)]
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__STORE_PAYLOADS", "True")
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAYLOAD_KEYS", keys[0])
        return keys

    def load(self, ledger, keys, *, key=None):
        ((delivery_id, body_sha256),) = ledger.run("SELECT delivery_id, body_sha256 FROM service_hook_payloads")
        return PayloadStore(ledger, keys).load(delivery_id=delivery_id, body_sha256=body_sha256, key=key)

    def test_a_stored_event_is_resent_with_the_same_body_and_a_new_signature(self, connect, ledger, keys):
        with raw_server(OK) as receiver:
            connect(receiver.url)
            deliver(format="cloudevents")
            deployment = EndpointHook()._settings.deployment
            key = make_claim_key("run", deployment, "a_dag", "a_run", "a_task", -1, KEY_PREFIX)
            ledger.run("UPDATE service_hook_deliveries SET state = ?", (RESEND,))
            claim = {**find_claim(ledger), "state": RESEND}
            ledger.run("UPDATE service_hook_deliveries SET claim = ?", (json.dumps(claim),))
            store = LedgerClaimStore(ledger, key, Claim, origin=ClaimOrigin(origin="command"))
            result = EndpointHook().resend(store.load(), self.load(ledger, keys), store=store)
        first, second = (request.partition(b"\r\n\r\n") for request in receiver.requests)
        assert first[2] == second[2]
        assert b"Content-Type: application/cloudevents+json" in second[0]
        assert b"X-Service-Hook-Redelivery: true" in second[0]
        assert result.record.attempt.outcome is Outcome.DELIVERED
        assert result.record.redelivery
        assert ledger.run("SELECT count(*) FROM service_hook_attempts") == [(2,)]

    def test_keys_can_be_replaced(self, connect, ledger, keys):
        with raw_server(OK) as receiver:
            connect(receiver.url)
            deliver()
        assert self.load(ledger, [keys[1], keys[0]]).id == "e-1"
        with pytest.raises(Exception, match=r"payload_keys"):
            self.load(ledger, [keys[1]])

    def test_stored_payloads_are_encrypted(self, connect, ledger, keys):
        with raw_server(OK) as receiver:
            connect(receiver.url)
            deliver()
        ((stored,),) = ledger.run("SELECT payload FROM service_hook_payloads")
        assert b"orders" not in stored

    def test_the_routing_key_of_a_receiver_is_not_stored(self, connect, ledger, keys):
        with raw_server(OK) as receiver:
            connect(receiver.url, password="the-routing-key-0123456789abcdef", scheme="none", format="pagerduty")
            deliver()
        assert b"the-routing-key" in receiver.requests[0]
        assert b"the-routing-key" not in self.load(ledger, keys).body
        assert self.load(ledger, keys, key="another-key").body.count(b"another-key") == 1

    def test_store_payloads_needs_a_key_and_a_ledger(self, connect, monkeypatch):
        monkeypatch.delenv("AIRFLOW__SERVICE_HOOKS__PAYLOAD_KEYS")
        monkeypatch.delenv("AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID")
        connect("http://127.0.0.1:1/")
        with pytest.raises(
            AirflowException, match=r"payload_keys: needs a Fernet key.*store_payloads: needs the ledger"
        ):
            deliver()


class TestPausedEndpoints:
    @pytest.fixture(autouse=True)
    def pause_after_three_failures(self, monkeypatch, ledger):
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAUSE_AFTER_FAILURES", "3")

    def deliver_failing(self, count, *, begin=0):
        for number in range(begin, begin + count):
            with pytest.raises(AirflowException):
                deliver(run_id=f"run-{number}", event_id=f"e-{number}")

    def test_an_endpoint_is_paused_after_consecutive_failures_and_nothing_is_sent(self, connect, ledger):
        with raw_server(FAILED) as receiver:
            connect(receiver.url)
            self.deliver_failing(3)
            pause = list_pauses(ledger)["service_hook_default"]
            with pytest.raises(DeliveryNotSentError, match=r"the endpoint is paused since .*: 3 deliveries in a row"):
                deliver(run_id="next")
        assert len(receiver.requests) == 3
        assert pause.reason == "3 deliveries in a row failed; the last was rejected"
        assert count_failures_in_a_row(ledger, "service_hook_default") == 3  # without the delivery that was not sent
        assert find_claim_of(ledger, "next")["record"]["error_class"] == ErrorClass.ENDPOINT_PAUSED.value

    def test_a_delivered_event_resets_the_count_of_failures(self, connect, ledger):
        for answer, count in ((FAILED, 2), (OK, 0), (FAILED, 2)):
            with raw_server(answer) as receiver:
                connect(receiver.url)
                if count:
                    self.deliver_failing(count, begin=int.from_bytes(receiver.url[-4:].encode()))
                else:
                    deliver(run_id="good")
        assert not list_pauses(ledger)

    def test_an_endpoint_is_paused_after_a_single_410(self, connect, ledger):
        with raw_server(GONE) as receiver:
            connect(receiver.url)
            self.deliver_failing(1)
        assert "410" in list_pauses(ledger)["service_hook_default"].reason

    def test_a_delivered_probe_resumes_the_endpoint(self, connect, ledger, monkeypatch):
        with raw_server(FAILED) as failing:
            connect(failing.url)
            self.deliver_failing(3)
            monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAUSE_SECONDS", "0.000001")
            self.deliver_failing(1, begin=10)  # after a failed probe the endpoint is still paused
        assert len(failing.requests) == 4
        assert list_pauses(ledger)
        with raw_server(OK) as receiver:
            connect(receiver.url)
            assert deliver(run_id="probe")["outcome"] == "delivered"
            monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAUSE_SECONDS", "300")
            assert deliver(run_id="next")["outcome"] == "delivered"
        assert not list_pauses(ledger)

    def test_a_user_can_resume_an_endpoint(self, connect, ledger):
        with raw_server(GONE) as receiver:
            connect(receiver.url)
            self.deliver_failing(1)
        assert resume_endpoint(ledger, "service_hook_default")
        assert not resume_endpoint(ledger, "service_hook_default")
        assert not list_pauses(ledger)

    def test_a_pause_by_a_user_is_not_ended_by_probes(self, connect, ledger, monkeypatch):
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAUSE_SECONDS", "0.000001")
        pause_endpoint(ledger, "service_hook_default", reason="maintenance", has_probes=False)
        with raw_server(OK) as receiver:
            connect(receiver.url)
            with pytest.raises(DeliveryNotSentError, match="maintenance"):
                deliver(run_id="paused")
        assert not receiver.requests
        assert not resume_endpoint(ledger, "service_hook_default", by_probe=True)  # a probe from before the pause
        assert resume_endpoint(ledger, "service_hook_default")

    def test_the_alert_about_a_pause_is_sent_once(self, connect, ledger, monkeypatch):
        with raw_server(FAILED) as failing, raw_server(OK) as operations:
            connect(failing.url)
            described = {"conn_type": "service_hook", "host": operations.url, "password": "s3cret-of-ours"}
            monkeypatch.setenv("AIRFLOW_CONN_OPERATIONS", json.dumps(described))
            monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__ALERT_CONN_ID", "operations")
            self.deliver_failing(5)
        assert len(operations.requests) == 1
        assert b"Endpoint service_hook_default is paused: 3 deliveries in a row failed" in operations.requests[0]

    def test_health_is_calculated_from_the_deliveries(self, connect, ledger):
        with raw_server(OK) as receiver:
            connect(receiver.url)
            deliver(run_id="good")
        with raw_server(FAILED) as receiver:
            connect(receiver.url)
            self.deliver_failing(2)
        (health,) = find_health(ledger, since="2020-01-01T00:00:00+00:00")
        assert (health.endpoint, health.deliveries, health.delivered) == ("service_hook_default", 3, 1)
        assert (health.failures_in_a_row, health.pause) == (2, None)
        assert health.success_rate == pytest.approx(1 / 3)
        assert health.last_delivered_at is not None

    def test_pause_after_failures_needs_the_ledger(self, connect, monkeypatch):
        monkeypatch.delenv("AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID")
        connect("http://127.0.0.1:1/")
        with pytest.raises(AirflowException, match=r"pause_after_failures: needs the ledger"):
            deliver()


def find_claim_of(ledger, run_id):
    ((text,),) = ledger.run("SELECT claim FROM service_hook_deliveries WHERE run_id = ?", (run_id,))
    return json.loads(text)


def test_a_stream_to_a_paused_endpoint_sends_nothing_and_is_retried(connect, ledger, tmp_path):
    pause_endpoint(ledger, "service_hook_default", reason="it is gone")
    with DAG("a_dag", schedule=None):
        operator = DeliverEventStreamOperator(
            task_id="a_task", event_type="orders.loaded", events=[{"id": "1"}], records_path=str(tmp_path / "records")
        )
    with raw_server(OK) as receiver:
        connect(receiver.url)
        with pytest.raises(RetryableError, match=r"service_hook_default is paused since .*: it is gone; nothing"):
            operator.execute(make_context())
    assert not receiver.requests
