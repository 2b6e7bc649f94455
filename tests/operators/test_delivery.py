# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The operators against a real receiver: how each outcome ends the task, and that an event is sent at most once."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_hooks._runtime import compat
from airflow_provider_hooks._runtime.compat import AirflowException, AirflowFailException
from airflow_provider_hooks.events import event_from_exception
from airflow_provider_hooks.exceptions import DeliveryNotSentError
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator, DeliverEventCreatedOperator
from airflow_provider_hooks.signing import SCHEMES
from tests.airflow_context import SECRET, StateStore, make_context
from tests.events_data import CREATED
from tests.servers import OK, find_closed_port, raw_server
from tests.versions import EXTRA_REFUSED


def make_alert(**options) -> DeliverEventAlertOperator:
    options = {"message": "It broke", "triggering_rules": ["A rule"], **options}
    return DeliverEventAlertOperator(task_id="a_task", retries=3, **options)


def parse_body(request: bytes) -> dict:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def test_the_record_is_returned_and_holds_no_secret(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url + "?token=x")
        record = make_alert().execute(make_context())
    assert record["outcome"] == "delivered"
    assert (record["endpoint"], record["url"]) == ("service_hook_default", receiver.url)
    assert record["body_bytes"] == len(receiver.requests[0].partition(b"\r\n\r\n")[2])
    assert (record["generation"], record["redelivery"], record["scheme"]) == ("3", False, "sentry")
    signature = next(line for line in receiver.requests[0].split(b"\r\n") if b"Signature" in line).split()[1].decode()
    for private in (SECRET, signature, "token=x"):
        assert private not in json.dumps(record)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES.values() if scheme.signature_header])
def test_a_receiver_verifies_the_signature_of_every_scheme(connect, sandbox, scheme):
    hook = sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, events=["event.alert"])
    sandbox.state.sentry.change_hook(hook, secret=SECRET)
    connect(sandbox.receiver_url, scheme=scheme.name)
    record = make_alert().execute(make_context())
    (delivery,) = sandbox.state.list_deliveries()
    assert (delivery.verified, delivery.scheme) == (True, scheme.name)
    assert delivery.delivery_id == record["delivery_id"]
    assert delivery.event_type == "event.alert"


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES.values() if scheme.signature_header])
def test_secrets_that_the_receiver_echoes_are_masked_in_the_record(connect, scheme):
    responses: list[bytes] = []

    def echo(connection):
        responses.append(
            receiver.requests[0].partition(b"\r\n\r\n")[0] + b" " + SECRET.encode() + b" " + SECRET[6:].encode()
        )
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(responses[0]) + responses[0])

    with raw_server(echo) as receiver:
        connect(receiver.url + "?token=pr1vate", scheme=scheme.name)
        record = make_alert().execute(make_context())
    lines = dict(line.decode().split(": ", 1) for line in responses[0].split(b"\r\n")[1:])
    signature = next(value for name, value in lines.items() if name == scheme.signature_header).split(" ")[0]
    digests = re.findall(r"[^\s,;:=]{16,}", signature)
    assert digests
    assert signature in responses[0].decode()
    stored = json.dumps(record)
    for private in (signature, *digests, SECRET, SECRET[6:], "pr1vate"):
        assert private not in stored
    assert "***" in record["response_body"]


def test_default_fields_come_from_the_run_and_are_the_same_in_every_try(connect):
    with raw_server(OK) as receiver:
        connect(receiver.url)
        for number in (1, 2):
            DeliverEventCreatedOperator(task_id="a_task", message="It broke").execute(make_context(try_number=number))
    first, second = (parse_body(request) for request in receiver.requests)
    assert first == second
    assert (first["project"], first["culprit"]) == ("a_dag", "a_dag.a_task")
    assert first["datetime"] == "2026-01-01T12:00:00.000Z"
    assert first["url"].startswith("http://localhost:8080/dags/a_dag/")
    assert len(first["id"]) == 32


def test_arguments_override_the_fields_of_the_event(connect):
    try:
        raise ValueError("bad input")
    except ValueError as error:
        event = event_from_exception(error, event_id="e-1")
    with raw_server(OK) as receiver:
        connect(receiver.url)
        operator = DeliverEventCreatedOperator(
            task_id="a_task", event=event, project="orders", level="fatal", tags={"team": "a"}, event_logger="app"
        )
        operator.execute(make_context())
        DeliverEventCreatedOperator(task_id="a_task", event=CREATED).execute(make_context())
    sent = parse_body(receiver.requests[0])
    assert (sent["id"], sent["message"], sent["level"]) == ("e-1", "ValueError: bad input", "fatal")
    assert (sent["project"], sent["project_id"], sent["project_name"]) == ("orders", "orders", "orders")
    assert (sent["logger"], sent["event"]["tags"]) == ("app", [["team", "a"]])
    assert parse_body(receiver.requests[1]) == CREATED


def test_the_error_of_a_rejection_has_the_response_of_the_receiver(connect):
    with raw_server(b"HTTP/1.1 401 X\r\nContent-Length: 9\r\n\r\nno\x1b[31m\r\n") as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match=r"(?s)HTTP 401.*\nResponse: no\\x1b\[31m") as caught:
            make_alert().execute(make_context())
    assert "check signing secret, scheme, authentication and headers\nClear the task to send it again" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            b"HTTP/1.1 308 X\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
            "set the URL of the connection to the Location",
        ),
        (
            b"HTTP/1.1 400 X\r\nContent-Length: 41\r\n\r\n400 No required SSL certificate was sent\r\n",
            "requires a valid client certificate: set client_certificate",
        ),
        (b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n", "check signing secret"),
        (b"HTTP/1.1 410 X\r\nContent-Length: 0\r\n\r\n", "URL no longer exists"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", "\nClear the task to send it again"),
    ],
)
def test_the_error_of_a_rejection_has_advice_for_its_status(connect, answer, advice):
    with raw_server(answer) as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException) as caught:
            make_alert().execute(make_context())
    assert advice in str(caught.value)


def test_the_error_of_an_unknown_outcome_advises_to_check_the_receiver_first(connect):
    with raw_server(b"") as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException) as caught:
            make_alert().execute(make_context())
    delivery_id = caught.value.record["delivery_id"]
    assert f"ask the receiver for delivery {delivery_id}\nIf the receiver has it, mark the task as success" in str(
        caught.value
    )
    assert str(caught.value).endswith("otherwise clear the task, which sends it again")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", b""])
def test_rejected_and_unknown_fail_without_a_retry_and_no_later_try_sends(connect, answer):
    store = StateStore()
    with raw_server(answer) as receiver:
        connect(receiver.url)
        for number in (1, 2):
            with pytest.raises(AirflowFailException) as caught:
                make_alert().execute(make_context(store, try_number=number))
    assert len(receiver.requests) == 1
    assert "\nAn earlier try recorded this; nothing was sent again\n" in str(caught.value)
    assert store.retention is compat.NEVER_EXPIRE


def test_a_delivered_event_is_not_sent_by_a_later_try(connect):
    store = StateStore()
    with raw_server(OK) as receiver:
        connect(receiver.url)
        records = [make_alert().execute(make_context(store, try_number=number)) for number in (1, 2)]
    assert records[0] == records[1]
    assert len(receiver.requests) == 1


def test_a_cleared_task_sends_again_with_the_same_delivery_id_marked_as_a_redelivery(connect):
    store = StateStore()
    with raw_server(OK) as receiver:
        connect(receiver.url)
        first = make_alert().execute(make_context(store))
        again = make_alert().execute(make_context(store, try_number=2, max_tries=4))
    assert len(receiver.requests) == 2
    assert first["delivery_id"] == again["delivery_id"]
    assert (first["redelivery"], again["redelivery"]) == (False, True)
    assert [b"\r\nX-Service-Hook-Redelivery: true\r\n" in request for request in receiver.requests] == [False, True]


@pytest.mark.parametrize(
    ("retries", "try_number", "advice"),
    [
        (0, 1, "this task has no retries: set retries=3, and clear the task to send it now"),
        (2, 1, "the next retry sends it"),
        (2, 3, "no retry is left: clear the task to send it"),
    ],
)
def test_the_error_of_an_event_that_was_not_sent_says_how_to_send_it(connect, retries, try_number, advice):
    connect(f"http://127.0.0.1:{find_closed_port()}/")
    with pytest.raises(DeliveryNotSentError) as caught:
        make_alert().execute(make_context(try_number=try_number, max_tries=retries, retries=retries))
    assert str(caught.value).splitlines()[-1].endswith(advice)


def test_an_event_is_sent_by_airflows_retry_after_a_refused_connection(connect):
    store, port = StateStore(), find_closed_port()
    connect(f"http://127.0.0.1:{port}/")
    with pytest.raises(DeliveryNotSentError) as caught:
        make_alert().execute(make_context(store))
    assert not isinstance(caught.value, AirflowFailException)
    assert isinstance(caught.value, AirflowException)
    with raw_server(OK) as receiver:
        connect(receiver.url)
        assert make_alert().execute(make_context(store, try_number=2))["outcome"] == "delivered"
    assert len(receiver.requests) == 1


class TestRefusedBeforeTheClaim:
    def execute_and_read_error(self, operator=None) -> str:
        store = StateStore()
        with pytest.raises(AirflowFailException) as caught:
            (operator or make_alert()).execute(make_context(store))
        assert store.stored == {}
        assert SECRET not in str(caught.value)
        return str(caught.value)

    def test_an_address_that_is_not_public(self, connect, monkeypatch):
        monkeypatch.delenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS")
        connect("https://169.254.169.254/latest")
        assert "not a public address" in self.execute_and_read_error()

    def test_a_connection_of_another_type(self, connect):
        connect("https://example.com/", conn_type="http")
        assert "must be service_hook (Service Hook: webhook endpoint), not 'http'" in self.execute_and_read_error()

    def test_a_connection_with_invalid_fields(self, connect):
        connect("example.com", password="", scheme="x")
        error = self.execute_and_read_error()
        assert "host (URL)" in error
        assert "scheme" in error

    def test_a_missing_connection(self, monkeypatch):
        assert "isn't defined" in self.execute_and_read_error(make_alert(service_hook_conn_id="not_there"))

    def test_an_invalid_argument_is_reported_by_its_name_in_the_operator(self, connect):
        connect("https://example.com/")
        operator = DeliverEventCreatedOperator(
            task_id="a_task", message="x", event_id="a b", occurred_at="yesterday", event_logger=[3]
        )
        error = self.execute_and_read_error(operator)
        assert all(f"{name}: must be" in error for name in ("event_id", "occurred_at", "event_logger"))
        assert "timestamp" not in error

    def test_an_extra_that_is_not_a_json_object(self, monkeypatch, connect):
        connection = {"conn_type": "service_hook", "host": "https://example.com/", "extra": "[1]"}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
        assert EXTRA_REFUSED in self.execute_and_read_error()

    def test_an_event_with_invalid_fields(self, connect):
        connect("https://example.com/")
        error = self.execute_and_read_error(make_alert(message="", level="loud", triggering_rules=[]))
        assert all(name in error for name in ("message", "level", "triggering_rules"))

    def test_an_event_type_that_the_endpoint_does_not_take(self, connect):
        connect("https://example.com/", events="event.created")
        assert "takes only event.created, not event.alert" in self.execute_and_read_error()

    def test_a_payload_over_the_limit(self, connect, monkeypatch):
        connect("https://example.com/")
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__MAX_PAYLOAD_BYTES", "100")
        assert "over max_payload_bytes=100" in self.execute_and_read_error(make_alert(message="x" * 200))

    def test_an_invalid_setting(self, connect, monkeypatch):
        connect("https://example.com/")
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__TIMEOUT", "soon")
        assert "section service_hooks of airflow.cfg: timeout" in self.execute_and_read_error()

    @pytest.mark.parametrize("event", [["x"], "text", {"event": "text"}])
    def test_an_event_that_is_not_a_mapping(self, connect, event):
        connect("https://example.com/")
        assert "the event: event: must" in self.execute_and_read_error(make_alert(event=event))


def test_an_http_engine_that_fails_to_start_sends_nothing_and_a_retry_sends(connect, monkeypatch):
    store = StateStore()

    def fail(*_arguments, **_options):
        raise OSError(24, "Too many open files")

    with raw_server(OK) as receiver:
        connect(receiver.url)
        with monkeypatch.context() as broken:
            broken.setattr("airflow_provider_hooks.http.engine.Poller", fail)
            with pytest.raises(DeliveryNotSentError, match="setup_failed"):
                make_alert().execute(make_context(store, max_tries=1))
        assert receiver.requests == []
        record = make_alert().execute(make_context(store, try_number=2, max_tries=1))
    assert record["outcome"] == "delivered"
    assert len(receiver.requests) == 1


def test_rendering_does_not_change_the_template_fields_of_the_class():
    operator = make_alert(culprit="{{ 'a' }}{{ 'b' }}")
    operator.render_template_fields({})
    assert operator.culprit == "ab"
    assert operator.template_fields == type(operator).template_fields


@pytest.mark.parametrize("may_be_redelivery", [False, True])
def test_a_cleared_task_without_a_claim_is_a_possible_redelivery(connect, monkeypatch, capsys, may_be_redelivery):
    """Airflow 3.4 deletes the task state store on a clear; in earlier versions an empty store has had no claim."""
    monkeypatch.setattr(compat, "clear_deletes_claims", lambda: may_be_redelivery)
    with raw_server(OK) as receiver:
        connect(receiver.url)
        first = make_alert().execute(make_context(try_number=1, max_tries=4))
        retried = make_alert().execute(make_context(try_number=2, max_tries=3))
        cleared = make_alert().execute(make_context(try_number=2, max_tries=4))
    assert [record["redelivery"] for record in (first, retried, cleared)] == [False, False, may_be_redelivery]
    assert [b"X-Service-Hook-Redelivery: true" in request for request in receiver.requests] == [
        False,
        False,
        may_be_redelivery,
    ]
    assert ("keep_task_state" in capsys.readouterr().out) is may_be_redelivery


@pytest.mark.parametrize(("event_id", "sent"), [(404, "404"), ("404", "404"), (7.5, None)])
def test_an_event_id_that_is_rendered_as_an_integer_is_sent_as_text(connect, event_id, sent):
    """``render_template_as_native_obj`` makes a number of the text 404."""
    with raw_server(OK) as receiver:
        connect(receiver.url)
        operator = DeliverEventAlertOperator(task_id="t", event_id=event_id, message="m", triggering_rules=["r"])
        if sent is None:
            with pytest.raises(AirflowFailException, match="event_id: must be a UUID"):
                operator.execute(make_context())
        else:
            assert operator.execute(make_context())["event_id"] == sent
