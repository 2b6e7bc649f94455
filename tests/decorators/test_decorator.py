# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``@task.service_hook`` against a real receiver: each event that a function returns is delivered once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import contextmanager

import pytest
from airflow.sdk import DAG, task

from airflow_provider_hooks._runtime import compat
from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.events import event_from_exception
from airflow_provider_hooks.exceptions import DeliveryNotSentError, DeliveryUnknownError
from tests.airflow_context import StateStore, make_context
from tests.servers import find_closed_port, raw_server
from tests.versions import NO_CLAIM_STORE

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
SERVER_ERROR = b"HTTP/1.1 500 X\r\nConnection: close\r\nContent-Length: 6\r\n\r\nunwell"


@pytest.fixture
def receiver(connect):
    with raw_server(OK) as server:
        connect(server.url)
        yield server


def read_bodies(receiver) -> list[dict]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def make_operator(function, *arguments, **options):
    """Return the operator that the decorated function makes."""
    with DAG("a_dag", schedule=None) as dag:
        task.service_hook(**{"task_id": "a_task", **options})(function)(*arguments)
    return dag.get_task("a_task")


def deliver(returned, store=None, *, try_number=1, max_tries=3, **options):
    operator = make_operator(lambda: returned, **options)
    return operator.execute(make_context(store, try_number=try_number, max_tries=max_tries))


def make_orders(*numbers, **fields):
    return [{"id": f"order-{number}", "message": f"Order {number}", **fields} for number in numbers]


class LazySequence(Sequence):
    """A sequence that is no list, such as Airflow makes of the results of mapped tasks."""

    def __init__(self, events):
        self._events = events

    def __getitem__(self, index):
        return self._events[index]

    def __len__(self):
        return len(self._events)


@contextmanager
def answer_by_event(answers):
    """Answer each event by its id, with 200 by default."""

    def answer(connection):
        connection.sendall(answers.get(read_bodies(receiver)[-1]["id"], OK))

    with raw_server(answer) as receiver:
        yield receiver


class TestOneEvent:
    def test_missing_fields_come_from_the_run(self, receiver):
        record = deliver({"message": "It broke"})
        (body,) = read_bodies(receiver)
        assert (record["outcome"], record["event_type"]) == ("delivered", "event.created")
        assert (body["message"], body["project"], body["culprit"]) == ("It broke", "a_dag", "a_dag.a_task")
        assert body["datetime"] == "2026-01-01T12:00:00.000Z"

    def test_arguments_of_the_decorator_override_the_returned_fields(self, receiver):
        options = {"event_type": "event.alert", "triggering_rules": ["A rule"], "project": "orders", "level": "info"}
        deliver({"message": "It broke", "level": "fatal"}, **options)
        (body,) = read_bodies(receiver)
        sent = (body["project_id"], body["level"], body["triggering_rules"])
        assert sent == ("orders", "info", ["A rule"])

    def test_an_event_with_a_new_id_in_each_try_is_sent_once(self, receiver):
        store = StateStore()
        for number in (1, 2):
            deliver(event_from_exception(ValueError("x")), store, try_number=number)
        assert len(receiver.requests) == 1

    def test_nothing_is_delivered_if_nothing_is_returned(self, receiver):
        assert deliver(None) is None
        assert deliver([]) == []
        assert receiver.requests == []

    @pytest.mark.parametrize("returned", ["text", 3, {1}, {"mesage": "x"}])
    def test_an_invalid_event_fails_without_a_retry(self, receiver, returned):
        with pytest.raises(AirflowFailException):
            deliver(returned)
        assert receiver.requests == []

    def test_the_function_gets_its_arguments_and_the_context(self, receiver):
        def find(order, ti=None):
            return {"message": f"{ti.task_id} {order}"}

        make_operator(find, 7).execute(make_context())
        assert [body["message"] for body in read_bodies(receiver)] == ["a_task 7"]

    def test_a_function_may_be_async(self, receiver):
        async def find():
            return {"message": "late"}

        make_operator(find).execute(make_context())
        assert [body["message"] for body in read_bodies(receiver)] == ["late"]

    def test_the_decorator_can_be_used_without_parentheses(self, receiver):
        with DAG("a_dag", schedule=None) as dag:

            @task.service_hook
            def find():
                return {"message": "x"}

            find()
        dag.get_task("find").execute(make_context())
        assert len(receiver.requests) == 1

    def test_the_arguments_of_the_decorator_are_template_fields(self):
        fields = make_operator(lambda: None).template_fields
        assert {"service_hook_conn_id", "event_type", "triggering_rules", "tags", "message", "op_args"} <= set(fields)


class TestSeveralEvents:
    def test_each_event_has_its_own_slot_and_delivery_id(self, receiver):
        store = StateStore()
        records = deliver([*make_orders(1, 2), {"message": "without an id"}, {"message": "nor this"}], store)
        assert [record["event_id"] for record in records[:2]] == ["order-1", "order-2"]
        assert len({record["delivery_id"] for record in records}) == 4
        assert set(store.stored) == {
            "service_hook_slots",
            "service_hook_delivery:order-1",
            "service_hook_delivery:order-2",
            "service_hook_delivery:position.2",
            "service_hook_delivery:position.3",
        }

    def test_delivered_events_are_not_sent_again_by_a_later_try(self, receiver):
        store = StateStore()
        first, second = (deliver([*make_orders(1), {"message": "x"}], store, try_number=number) for number in (1, 2))
        assert first == second
        assert len(receiver.requests) == 2

    @pytest.mark.parametrize("second_is_redelivery", [False, True])
    def test_a_manual_clear_sends_every_returned_event(self, receiver, monkeypatch, second_is_redelivery):
        """Since Airflow 3.4 the clear may have deleted the claim of the second event."""
        monkeypatch.setattr(compat, "clear_deletes_claims", lambda: second_is_redelivery)
        store = StateStore()
        deliver(make_orders(1, 2), store)
        records = deliver(make_orders(2, 3), store, try_number=2, max_tries=4)
        assert [record["redelivery"] for record in records] == [True, second_is_redelivery]

    @pytest.mark.parametrize("make", [iter, tuple, lambda events: (event for event in events), LazySequence])
    def test_any_iterable_of_events_is_delivered(self, receiver, make):
        """Among them a generator, and the results of mapped tasks, which are a sequence but no list."""
        records = deliver(make(make_orders(1, 2, 3)))
        assert [record["event_id"] for record in records] == ["order-1", "order-2", "order-3"]

    def test_a_failed_event_does_not_stop_the_others(self, connect):
        with answer_by_event({"order-2": SERVER_ERROR}) as receiver:
            connect(receiver.url)
            with pytest.raises(AirflowFailException, match=r"(?s)^2 of 4 deliveries failed\n.*order-2.*level"):
                deliver([*make_orders(1, 2), *make_orders(3, level="loud"), *make_orders(4)])
        assert [body["id"] for body in read_bodies(receiver)] == ["order-1", "order-2", "order-4"]

    def test_only_events_that_were_not_sent_are_retried(self, connect, monkeypatch):
        store, returned = StateStore(), make_orders(1, 2)
        connect(f"http://127.0.0.1:{find_closed_port()}/")
        with pytest.raises(DeliveryNotSentError, match="2 of 2 deliveries failed"):
            deliver(returned, store)
        with answer_by_event({"order-1": SERVER_ERROR}) as receiver:
            connect(receiver.url)
            for number in (2, 3):
                with pytest.raises(AirflowFailException, match="1 of 2 deliveries failed"):
                    deliver(returned, store, try_number=number)
        assert [body["id"] for body in read_bodies(receiver)] == ["order-1", "order-2"]

    def test_an_invalid_event_does_not_prevent_retries_of_other_events(self, connect):
        connect(f"http://127.0.0.1:{find_closed_port()}/")
        with pytest.raises(DeliveryNotSentError, match=r"(?s)2 of 2 .*connection_refused.*level"):
            deliver([*make_orders(1, level="loud"), *make_orders(2)])

    def test_the_error_names_ten_failed_events_and_the_log_names_all(self, connect, capsys):
        connect("https://127.0.0.2/")
        with pytest.raises(AirflowFailException, match="30 of 30 deliveries failed") as caught:
            deliver(make_orders(*range(30), level="loud"))
        assert str(caught.value).count("must be one of") == 10
        assert capsys.readouterr().out.count("must be one of") == 30

    def test_an_event_with_unknown_outcome_is_sent_again_with_at_least_once(self, connect):
        store, answers = StateStore(), {"order-1": b""}
        with answer_by_event(answers) as receiver:
            connect(receiver.url)
            with pytest.raises(DeliveryUnknownError):
                deliver(make_orders(1, 2), store, guarantee="at_least_once")
            answers.clear()
            records = deliver(make_orders(1, 2), store, try_number=2, guarantee="at_least_once")
        assert [record["redelivery"] for record in records] == [True, False]
        assert [body["id"] for body in read_bodies(receiver)] == ["order-1", "order-2", "order-1"]

    def test_events_with_the_same_id_are_refused_before_anything_is_sent(self, receiver):
        with pytest.raises(AirflowFailException, match="have the same id, so nothing was sent: order-1"):
            deliver(make_orders(1, 2, 1))
        assert receiver.requests == []

    def test_ids_that_differ_in_each_try_are_refused_and_not_sent_twice(self, receiver):
        store = StateStore()
        deliver([event_from_exception(ValueError("x"))], store)
        with pytest.raises(AirflowFailException, match="give each event an id that is the same on every try"):
            deliver([event_from_exception(ValueError("x"))], store, try_number=2)
        assert len(receiver.requests) == 1

    def test_a_context_without_a_store_sends_nothing(self, receiver):
        context = {**make_context(), "task_state_store": None}
        with pytest.raises(AirflowFailException, match=NO_CLAIM_STORE):
            make_operator(lambda: make_orders(1)).execute(context)
        assert receiver.requests == []


def test_a_dict_annotation_does_not_set_multiple_outputs(receiver):
    def find() -> dict[str, str]:
        return {"message": "x"}

    assert make_operator(find).multiple_outputs is False


class TestOwnEventTypes:
    ARGUMENTS = {"event_type": "orders.loaded"}

    @pytest.mark.parametrize("returned", [{"orders": 12}, "text", 7, True])
    def test_the_returned_value_is_the_data(self, receiver, returned):
        record = deliver(returned, **self.ARGUMENTS)
        (body,) = read_bodies(receiver)
        assert (body["type"], body["data"]) == ("orders.loaded", returned)
        assert record["event_type"] == "orders.loaded"

    def test_each_event_of_a_list_has_its_own_id_or_one_made_from_its_position(self, receiver):
        records = deliver([{"id": "order-1"}, {"orders": 2}, {"orders": 3}], **self.ARGUMENTS)
        ids = [record["event_id"] for record in records]
        assert ids[0] == "order-1"
        assert len(set(ids)) == 3
        again = deliver([{"id": "order-1"}, {"orders": 2}, {"orders": 3}], **self.ARGUMENTS)
        assert [record["event_id"] for record in again] == ids

    def test_a_format_can_be_chosen(self, receiver):
        deliver({"orders": 12}, **self.ARGUMENTS, format="raw")
        assert read_bodies(receiver) == [{"orders": 12}]

    def test_fields_of_the_documented_events_are_refused(self, receiver):
        with pytest.raises(AirflowFailException, match=r"message: is a field of event.created and event.alert only"):
            deliver({"orders": 12}, **self.ARGUMENTS, message="Orders loaded")
        assert receiver.requests == []
