# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One event to several endpoints, and the delivery policy with and without retries of Airflow."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from airflow.sdk import DAG

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.delivery.claims import ClaimOrigin
from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.exceptions import (
    DeliveryFailedError,
    DeliveryNotSentError,
    DeliveryRejectedError,
    DeliveryUnknownError,
)
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator, DeliverEventOperator
from airflow_provider_hooks.outcomes import Outcome
from tests.airflow_context import StateStore, make_context
from tests.servers import find_closed_port, raw_server

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 X\r\nConnection: close\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
BAD_REQUEST = b"HTTP/1.1 400 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
NO_RESPONSE = b""
"""No response: the receiver closes the connection."""
AT_LEAST_ONCE = make_policy(guarantee="at_least_once")
ORIGIN = ClaimOrigin(origin="callback", slot="s")


@pytest.fixture
def endpoints(monkeypatch, allow_loopback):
    """Return a function that sets connections by their ids."""

    def set_endpoints(**urls):
        for name, url in urls.items():
            fields = {"host": url} if isinstance(url, str) else url
            connection = {"conn_type": "service_hook", "password": "s3cret-of-ours", **fields}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))

    return set_endpoints


@contextlib.contextmanager
def answer_in_turn(*answers):
    """Send these responses one after the other, and then only the last."""
    left = list(answers)
    with raw_server(lambda connection: connection.sendall(left.pop(0) if len(left) > 1 else left[0])) as receiver:
        yield receiver


def deliver(conn_ids, store, *, try_number=1, operator_class=DeliverEventOperator, **arguments):
    arguments = {"event_type": "orders.loaded", "data": {"orders": 12}, **arguments}
    if operator_class is not DeliverEventOperator:
        arguments = {"message": "It broke", "triggering_rules": ["rule"]}
    with DAG("a_dag", schedule=None):
        operator = operator_class(task_id="a_task", service_hook_conn_id=conn_ids, **arguments)
    return operator.execute(make_context(store, try_number=try_number))


class TestSeveralEndpoints:
    @pytest.mark.parametrize("operator_class", [DeliverEventOperator, DeliverEventAlertOperator])
    def test_each_endpoint_receives_the_event_once_with_its_own_record(self, endpoints, operator_class):
        store = StateStore()
        with raw_server(OK) as one, raw_server(OK) as other:
            endpoints(one=one.url, other=other.url)
            records = deliver(["one", "other"], store, operator_class=operator_class)
            again = deliver(["one", "other"], store, operator_class=operator_class, try_number=2)
        assert [record["endpoint"] for record in records] == ["one", "other"]
        assert len({record["delivery_id"] for record in records}) == 2
        assert again == records
        assert (len(one.requests), len(other.requests)) == (1, 1)
        assert sorted(store.stored) == ["service_hook_delivery:one", "service_hook_delivery:other"]

    def test_only_an_unreachable_endpoint_is_retried(self, endpoints):
        store = StateStore()
        with raw_server(OK) as one, raw_server(OK) as other:
            endpoints(one=one.url, dead=f"http://127.0.0.1:{find_closed_port()}/", other=other.url)
            for number in (1, 2, 3):
                with pytest.raises(DeliveryNotSentError, match=r"(?s)^1 of 3 deliveries failed\nnot_sent.* to dead"):
                    deliver(["one", "dead", "other"], store, try_number=number)
        assert (len(one.requests), len(other.requests)) == (1, 1)

    def test_a_final_failure_does_not_prevent_retries_of_another_endpoint(self, endpoints):
        store = StateStore()
        with raw_server(BAD_REQUEST) as bad, answer_in_turn(OK) as other:
            endpoints(bad=bad.url, other=f"http://127.0.0.1:{find_closed_port()}/")
            with pytest.raises(DeliveryNotSentError, match=r"(?s)2 of 2 .* to other.*HTTP 400.* to bad"):
                deliver(["bad", "other"], store)
            endpoints(other=other.url)
            with pytest.raises(DeliveryFailedError, match=r"(?s)1 of 2 .*HTTP 400"):
                deliver(["bad", "other"], store, try_number=2)
        assert (len(bad.requests), len(other.requests)) == (1, 1)

    def test_an_invalid_connection_is_named_and_other_endpoints_receive_the_event(self, endpoints):
        with raw_server(OK) as one:
            endpoints(one=one.url, wrong={"host": "no URL"})
            with pytest.raises(AirflowFailException, match=r"(?s)2 of 3 .*'wrong': host.*missing"):
                deliver(["one", "wrong", "missing"], StateStore())
        assert len(one.requests) == 1

    def test_only_endpoints_that_take_the_event_type_receive_the_event(self, endpoints):
        with raw_server(OK) as one, raw_server(OK) as other:
            endpoints(
                one={"host": one.url, "extra": json.dumps({"events": "orders.*"})},
                other={"host": other.url, "extra": json.dumps({"events": "event.alert"})},
            )
            records = deliver(["one", "other"], StateStore())
            assert deliver(["other"], StateStore()) == []
            with pytest.raises(AirflowFailException, match=r"takes only event\.alert"):
                deliver("other", StateStore())
        assert [record["endpoint"] for record in records] == ["one"]
        assert other.requests == []

    @pytest.mark.parametrize(
        ("conn_ids", "problem"),
        [
            ([], "must have 1 to 100 connection ids, not 0"),
            (["one", "one"], "names a connection twice: one"),
            (["one", ""], "must be a connection id or a list"),
            (["one", 7], "must be a connection id or a list"),
            ({"one": 1}, "must be a connection id or a list"),
            (None, "must be a connection id or a list"),
        ],
    )
    def test_invalid_connection_ids_are_refused(self, conn_ids, problem):
        with pytest.raises(AirflowFailException, match=f"service_hook_conn_id: {problem}"):
            deliver(conn_ids, StateStore())


class TestPolicyOfATask:
    @pytest.mark.parametrize(
        ("answer", "arguments", "error"),
        [
            (UNAVAILABLE, {}, DeliveryFailedError),
            (UNAVAILABLE, {"guarantee": "at_least_once"}, DeliveryRejectedError),
            (UNAVAILABLE, {"retry_statuses": [503]}, DeliveryRejectedError),
            (UNAVAILABLE, {"guarantee": "at_least_once", "retry_statuses": [500]}, DeliveryFailedError),
            (BAD_REQUEST, {"guarantee": "at_least_once"}, DeliveryFailedError),
            (GONE, {"guarantee": "at_least_once"}, DeliveryFailedError),
            (NO_RESPONSE, {}, DeliveryFailedError),
            (NO_RESPONSE, {"guarantee": "at_least_once"}, DeliveryUnknownError),
            (NO_RESPONSE, {"retry_statuses": [503]}, DeliveryFailedError),
        ],
    )
    def test_the_policy_decides_whether_airflow_retries(self, endpoints, answer, arguments, error):
        with raw_server(answer) as receiver:
            endpoints(one=receiver.url)
            with pytest.raises(error) as caught:
                deliver("one", StateStore(), **arguments)
        assert type(caught.value) is error
        assert caught.value.retry_after == (pytest.approx(2, abs=0.5) if error is DeliveryRejectedError else None)

    def test_all_retries_to_an_unavailable_receiver_have_the_same_delivery_id(self, endpoints):
        store = StateStore()
        with answer_in_turn(*[UNAVAILABLE] * 4, OK) as receiver:
            endpoints(one=receiver.url)
            for number in range(1, 5):
                with pytest.raises(DeliveryRejectedError, match=r"(?s)HTTP 503.*The next retry sends it|No retry"):
                    deliver("one", store, try_number=number, guarantee="at_least_once")
            record = deliver("one", store, try_number=5, guarantee="at_least_once")
            assert deliver("one", store, try_number=6, guarantee="at_least_once") == record
        assert (record["outcome"], record["attempts"], record["redelivery"]) == ("delivered", 5, True)
        assert len(receiver.requests) == 5
        ids = {line for request in receiver.requests for line in request.split(b"\r\n") if b"Hook-Delivery" in line}
        assert len(ids) == 1

    def test_the_longest_retry_after_of_several_endpoints_is_used(self, endpoints):
        longer = UNAVAILABLE.replace(b"Retry-After: 2", b"Retry-After: 90")
        with raw_server(UNAVAILABLE) as one, raw_server(longer) as other:
            endpoints(one=one.url, other=other.url)
            with pytest.raises(DeliveryRejectedError) as caught:
                deliver(["one", "other"], StateStore(), guarantee="at_least_once")
        assert caught.value.retry_after == pytest.approx(90, abs=1)

    def test_an_invalid_policy_is_refused_before_anything_is_sent(self, endpoints):
        with raw_server(OK) as receiver:
            endpoints(one=receiver.url)
            with pytest.raises(
                AirflowFailException, match=r"delivery policy: guarantee: must be .*; retry_statuses: must"
            ):
                deliver("one", StateStore(), guarantee="exactly_once", retry_statuses="503")
        assert receiver.requests == []


class TestAttemptsOfOneCall:
    @pytest.fixture(autouse=True)
    def delays(self, monkeypatch):
        slept = []
        monkeypatch.setattr(time, "sleep", slept.append)
        return slept

    @pytest.mark.parametrize("with_claim", [True, False])
    @pytest.mark.parametrize(
        ("answers", "policy", "outcome", "requests", "redelivery"),
        [
            ([UNAVAILABLE, OK], make_policy(), Outcome.REJECTED, 1, False),
            ([UNAVAILABLE, OK], AT_LEAST_ONCE, Outcome.DELIVERED, 2, True),
            ([NO_RESPONSE, UNAVAILABLE, OK], AT_LEAST_ONCE, Outcome.DELIVERED, 3, True),
            ([UNAVAILABLE], AT_LEAST_ONCE, Outcome.REJECTED, 4, True),
            ([BAD_REQUEST], AT_LEAST_ONCE, Outcome.REJECTED, 1, False),
        ],
    )
    def test_the_policy_decides_the_number_of_attempts(
        self, endpoints, delays, with_claim, answers, policy, outcome, requests, redelivery
    ):
        event = {"project": "p", "project_id": "1", "project_name": "P", "culprit": "", "message": "m", "id": "e"}
        payload = {**event, "url": "https://example.com/", "level": "error", "triggering_rules": ["r"]}
        context = make_context(StateStore()) if with_claim else None
        with answer_in_turn(*answers) as receiver:
            endpoints(service_hook_default=receiver.url)
            result = EndpointHook().deliver_now("event.alert", payload, context=context, origin=ORIGIN, policy=policy)
        record = result.record
        assert (record.attempt.outcome, record.attempts, record.redelivery) == (outcome, requests, redelivery)
        assert len(receiver.requests) == requests
        assert len(delays) >= requests - 1

    def test_an_address_that_is_not_public_is_not_retried(self, monkeypatch, delays):
        connection = {"conn_type": "service_hook", "host": "https://hooks.test/", "password": "s3cret-of-ours"}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
        monkeypatch.setattr("airflow_provider_hooks.http.connect.resolve", lambda *_args, **_options: ["10.0.0.1"])
        event = {"project": "p", "project_id": "1", "project_name": "P", "culprit": "", "message": "m", "id": "e"}
        payload = {**event, "url": "https://example.com/", "level": "error", "triggering_rules": ["r"]}
        result = EndpointHook().deliver_now("event.alert", payload, policy=AT_LEAST_ONCE)
        assert (result.record.attempt.outcome, delays) == (Outcome.NOT_SENT, [])


class TestLabelOfAMappedTask:
    def render(self, endpoints, conn_ids, *, map_index=3, template=None, **arguments):
        context = make_context(StateStore(), map_index=map_index)
        context["map_index_template"] = template
        with raw_server(OK) as receiver, DAG("a_dag", schedule=None) as dag:
            endpoints(one=receiver.url, other=receiver.url)
            operator = DeliverEventOperator(
                task_id="a_task", event_type="orders.loaded", service_hook_conn_id=conn_ids, **arguments
            )
            operator.execute(context)
            if context["map_index_template"] is None:
                return None
            return dag.get_template_env().from_string(context["map_index_template"]).render(context)

    @pytest.mark.parametrize(
        ("conn_ids", "options", "label"),
        [
            ("one", {"event_id": "order-7"}, "one order-7"),
            (["one", "other"], {"event_id": "order-7"}, "one, other order-7"),
            ("one", {}, "one #3"),
            ("one", {"event_id": "order-7", "template": ""}, ""),
            ("one", {"event": {"id": "order-8"}}, "one order-8"),
            ("one", {"event_id": "x", "map_index": -1}, None),
            ("one", {"event_id": "x", "template": "mine"}, "mine"),
        ],
    )
    def test_the_label_has_endpoint_and_event_id(self, endpoints, conn_ids, options, label):
        assert self.render(endpoints, conn_ids, **options) == label

    def test_an_event_that_is_not_a_mapping_is_reported(self, endpoints):
        with pytest.raises(AirflowFailException, match="event"):
            self.render(endpoints, "one", event="text")


def test_an_error_before_the_request_leaves_no_claim_open(endpoints, monkeypatch):
    def fail(*_args, **_options):
        raise UnicodeError("not a text")

    monkeypatch.setattr("airflow_provider_hooks.delivery.request.RequestTemplate.make_request", fail)
    store = StateStore()
    endpoints(one="http://127.0.0.1:9/")
    with pytest.raises(DeliveryNotSentError, match="setup_failed"):
        deliver("one", store)
    assert store.get("service_hook_delivery")["state"] == "not_sent"
