# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``@task.service_hook`` against a real receiver: what a function returns is delivered, each event once."""

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

WELL = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
UNWELL = b"HTTP/1.1 500 X\r\nConnection: close\r\nContent-Length: 6\r\n\r\nunwell"


@pytest.fixture
def receiver(connect):
    with raw_server(WELL) as server:
        connect(server.url)
        yield server


def bodies(receiver) -> list[dict]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def decorate(function, *arguments, **options):
    """Return the operator that the decorated function makes."""
    with DAG("a_dag", schedule=None) as dag:
        task.service_hook(**{"task_id": "a_task", **options})(function)(*arguments)
    return dag.get_task("a_task")


def tell(returned, store=None, *, try_number=1, max_tries=3, **options):
    operator = decorate(lambda: returned, **options)
    return operator.execute(make_context(store, try_number=try_number, max_tries=max_tries))


def orders(*numbers, **fields):
    return [{"id": f"order-{number}", "message": f"Order {number}", **fields} for number in numbers]


class LazySequence(Sequence):
    """As Airflow gives what mapped tasks returned."""

    def __init__(self, events):
        self._events = events

    def __getitem__(self, index):
        return self._events[index]

    def __len__(self):
        return len(self._events)


@contextmanager
def answer_by_event(answers):
    """Answer each event by its id; what is not named is well."""

    def answer(connection):
        connection.sendall(answers.get(bodies(receiver)[-1]["id"], WELL))

    with raw_server(answer) as receiver:
        yield receiver


class TestOneEvent:
    def test_it_is_delivered_with_what_the_run_gives(self, receiver):
        record = tell({"message": "It broke"})
        (body,) = bodies(receiver)
        assert (record["outcome"], record["event_type"]) == ("delivered", "event.created")
        assert (body["message"], body["project"], body["culprit"]) == ("It broke", "a_dag", "a_dag.a_task")
        assert body["datetime"] == "2026-01-01T12:00:00.000Z"

    def test_arguments_are_those_of_the_operators(self, receiver):
        options = {"event_type": "event.alert", "triggering_rules": ["A rule"], "project": "orders", "level": "info"}
        tell({"message": "It broke", "level": "fatal"}, **options)
        (body,) = bodies(receiver)
        told = (body["project_id"], body["level"], body["triggering_rules"])
        assert told == ("orders", "info", ["A rule"])

    def test_an_event_whose_id_is_made_anew_by_each_try_is_sent_once(self, receiver):
        store = StateStore()
        for number in (1, 2):
            tell(event_from_exception(ValueError("x")), store, try_number=number)
        assert len(receiver.requests) == 1

    def test_nothing_is_delivered_where_nothing_is_returned(self, receiver):
        assert tell(None) is None
        assert tell([]) == []
        assert receiver.requests == []

    @pytest.mark.parametrize("returned", ["text", 3, {1}, {"mesage": "x"}])
    def test_what_is_no_event_fails_at_once(self, receiver, returned):
        with pytest.raises(AirflowFailException):
            tell(returned)
        assert receiver.requests == []

    def test_the_function_gets_its_arguments_and_the_context(self, receiver):
        def find(order, ti=None):
            return {"message": f"{ti.task_id} {order}"}

        decorate(find, 7).execute(make_context())
        assert [body["message"] for body in bodies(receiver)] == ["a_task 7"]

    def test_a_function_may_be_async(self, receiver):
        async def find():
            return {"message": "late"}

        decorate(find).execute(make_context())
        assert [body["message"] for body in bodies(receiver)] == ["late"]

    def test_the_decorator_needs_no_brackets(self, receiver):
        with DAG("a_dag", schedule=None) as dag:

            @task.service_hook
            def find():
                return {"message": "x"}

            find()
        dag.get_task("find").execute(make_context())
        assert len(receiver.requests) == 1

    def test_its_arguments_are_templated(self):
        fields = decorate(lambda: None).template_fields
        assert {"service_hook_conn_id", "event_type", "triggering_rules", "tags", "message", "op_args"} <= set(fields)


class TestSeveralEvents:
    def test_each_is_delivered_in_a_slot_of_its_own(self, receiver):
        store = StateStore()
        records = tell([*orders(1, 2), {"message": "without an id"}, {"message": "nor this"}], store)
        assert [record["event_id"] for record in records[:2]] == ["order-1", "order-2"]
        assert len({record["delivery_id"] for record in records}) == 4
        assert set(store.kept) == {
            "service_hook_slots",
            "service_hook_delivery:order-1",
            "service_hook_delivery:order-2",
            "service_hook_delivery:position.2",
            "service_hook_delivery:position.3",
        }

    def test_none_is_sent_again_by_a_later_try(self, receiver):
        store = StateStore()
        first, second = (tell([*orders(1), {"message": "x"}], store, try_number=number) for number in (1, 2))
        assert first == second
        assert len(receiver.requests) == 2

    @pytest.mark.parametrize("second", [False, True])
    def test_a_clear_sends_all_again_whatever_they_are_now(self, receiver, monkeypatch, second):
        """Since Airflow 3.4 the clear may have deleted a claim of the second event."""
        monkeypatch.setattr(compat, "clear_deletes_claims", lambda: second)
        store = StateStore()
        tell(orders(1, 2), store)
        records = tell(orders(2, 3), store, try_number=2, max_tries=4)
        assert [record["redelivery"] for record in records] == [True, second]

    @pytest.mark.parametrize("make", [iter, tuple, lambda events: (event for event in events), LazySequence])
    def test_whatever_yields_events_is_several_events(self, receiver, make):
        """A generator, and what mapped tasks returned, which is a sequence that is no list."""
        records = tell(make(orders(1, 2, 3)))
        assert [record["event_id"] for record in records] == ["order-1", "order-2", "order-3"]

    def test_one_that_fails_does_not_stop_the_others(self, connect):
        with answer_by_event({"order-2": UNWELL}) as receiver:
            connect(receiver.url)
            with pytest.raises(AirflowFailException, match=r"(?s)^2 of 4 deliveries failed\n.*order-2.*level"):
                tell([*orders(1, 2), *orders(3, level="loud"), *orders(4)])
        assert [body["id"] for body in bodies(receiver)] == ["order-1", "order-2", "order-4"]

    def test_what_was_not_sent_is_retried_alone_before_the_task_fails(self, connect, monkeypatch):
        store, returned = StateStore(), orders(1, 2)
        connect(f"http://127.0.0.1:{find_closed_port()}/")
        with pytest.raises(DeliveryNotSentError, match="2 of 2 deliveries failed"):
            tell(returned, store)
        with answer_by_event({"order-1": UNWELL}) as receiver:
            connect(receiver.url)
            for number in (2, 3):
                with pytest.raises(AirflowFailException, match="1 of 2 deliveries failed"):
                    tell(returned, store, try_number=number)
        assert [body["id"] for body in bodies(receiver)] == ["order-1", "order-2"]

    def test_one_that_is_wrong_does_not_keep_another_from_its_retries(self, connect):
        connect(f"http://127.0.0.1:{find_closed_port()}/")
        with pytest.raises(DeliveryNotSentError, match=r"(?s)2 of 2 .*connection_refused.*level"):
            tell([*orders(1, level="loud"), *orders(2)])

    def test_of_many_that_fail_some_are_named_and_all_are_logged(self, connect, capsys):
        connect("https://127.0.0.2/")
        with pytest.raises(AirflowFailException, match="30 of 30 deliveries failed") as caught:
            tell(orders(*range(30), level="loud"))
        assert str(caught.value).count("must be one of") == 10
        assert capsys.readouterr().out.count("must be one of") == 30

    def test_one_that_may_have_arrived_is_sent_again_where_asked(self, connect):
        store, answers = StateStore(), {"order-1": b""}
        with answer_by_event(answers) as receiver:
            connect(receiver.url)
            with pytest.raises(DeliveryUnknownError):
                tell(orders(1, 2), store, guarantee="at_least_once")
            answers.clear()
            records = tell(orders(1, 2), store, try_number=2, guarantee="at_least_once")
        assert [record["redelivery"] for record in records] == [True, False]
        assert [body["id"] for body in bodies(receiver)] == ["order-1", "order-2", "order-1"]

    def test_two_with_one_id_are_refused(self, receiver):
        with pytest.raises(AirflowFailException, match="have the same id, so nothing was sent: order-1"):
            tell(orders(1, 2, 1))
        assert receiver.requests == []

    def test_ids_that_are_made_anew_by_each_try_are_refused_and_not_sent_twice(self, receiver):
        store = StateStore()
        tell([event_from_exception(ValueError("x"))], store)
        with pytest.raises(AirflowFailException, match="give each event an id that is the same on every try"):
            tell([event_from_exception(ValueError("x"))], store, try_number=2)
        assert len(receiver.requests) == 1

    def test_a_context_without_a_store_sends_nothing(self, receiver):
        context = {**make_context(), "task_state_store": None}
        with pytest.raises(AirflowFailException, match=NO_CLAIM_STORE):
            decorate(lambda: orders(1)).execute(context)
        assert receiver.requests == []


def test_a_mapping_annotation_does_not_spread_the_record_over_xcoms(receiver):
    def find() -> dict[str, str]:
        return {"message": "x"}

    assert decorate(find).multiple_outputs is False


class TestOwnEvents:
    OWN = {"event_type": "orders.loaded"}

    @pytest.mark.parametrize("returned", [{"orders": 12}, "text", 7, True])
    def test_what_is_returned_is_the_data(self, receiver, returned):
        record = tell(returned, **self.OWN)
        (body,) = bodies(receiver)
        assert (body["type"], body["data"]) == ("orders.loaded", returned)
        assert record["event_type"] == "orders.loaded"

    def test_each_of_several_has_its_id_or_one_of_its_place(self, receiver):
        records = tell([{"id": "order-1"}, {"orders": 2}, {"orders": 3}], **self.OWN)
        ids = [record["event_id"] for record in records]
        assert ids[0] == "order-1"
        assert len(set(ids)) == 3
        again = tell([{"id": "order-1"}, {"orders": 2}, {"orders": 3}], **self.OWN)
        assert [record["event_id"] for record in again] == ids

    def test_a_format_can_be_chosen(self, receiver):
        tell({"orders": 12}, **self.OWN, format="raw")
        assert bodies(receiver) == [{"orders": 12}]

    def test_fields_of_the_documented_events_are_refused(self, receiver):
        with pytest.raises(AirflowFailException, match=r"message: is a field of event.created and event.alert only"):
            tell({"orders": 12}, **self.OWN, message="Orders loaded")
        assert receiver.requests == []
