# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The operator with ``once="event"``: runs, single deliveries, callbacks and commands send an event id once."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_hooks._runtime.airflow import describe_own_event
from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.events.event import draft_own_event
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.operators.delivery import DeliverEventOperator, DeliverEventStreamOperator
from tests.airflow_context import make_context
from tests.servers import find_closed_port
from tests.stream.bulk_receiver import serve_receiver

TYPE = "orders.loaded"


@pytest.fixture
def pushed():
    """Return the XCom values that the last failed stream pushed."""
    return {}


@pytest.fixture
def deliver(tmp_path, pushed):
    """Deliver a stream in a run."""

    def run(numbers, *, run_id, event_type=TYPE, map_index=-1, **options):
        events = [{"id": f"order-{number}"} for number in numbers] if isinstance(numbers, range) else numbers
        operator = DeliverEventStreamOperator(
            task_id="a_task",
            events=events,
            event_type=event_type,
            records_path=str(tmp_path / "records"),
            once=options.pop("once", "event"),
            **options,
        )
        task_instance = {
            "run_id": run_id,
            "map_index": map_index,
            "xcom_push": lambda key, value: pushed.update({key: value}),
        }
        return operator.execute(make_context(max_tries=0, **task_instance))

    return run


def deliver_single(number, *, run_id):
    operator = DeliverEventOperator(
        task_id="single", event_type=TYPE, data={"id": f"order-{number}"}, event_id=f"order-{number}", once="event"
    )
    return operator.execute(make_context(run_id=run_id, max_tries=0))


def count_events(receiver):
    return Counter(headers["X-Service-Hook-Delivery"] for headers, _ in receiver.requests)


def read_rows(ledger, columns):
    return ledger.run(f"SELECT {columns} FROM service_hook_deliveries WHERE kind = 'event' ORDER BY event_id")  # noqa: S608


def test_streams_tasks_and_commands_send_an_event_once(connect, deliver, ledger):
    with serve_receiver() as receiver:
        connect(receiver.url)
        assert deliver_single(0, run_id="single")["outcome"] == "delivered"
        first = deliver(range(4), run_id="first")
        assert (first["delivered"], first["sent_before"], first["total"]) == (4, 1, 4)
        second = deliver(range(6), run_id="second")
        assert (second["delivered"], second["sent_before"], second["total"]) == (6, 4, 6)
        assert deliver_single(5, run_id="late")["outcome"] == "delivered"
        draft = draft_own_event(
            None,
            event_type=TYPE,
            data={},
            event_id="order-3",
            occurred_at=None,
            schema=None,
            defaults=describe_own_event(make_context()),
        )
        result = EndpointHook().deliver_now(TYPE, draft, policy=make_policy(once="event"))
        assert (result.record.info.event_id, result.sent_by_this_try) == ("order-3", False)
        sent = {delivery_id: 1 for (delivery_id,) in read_rows(ledger, "delivery_id")}
        assert count_events(receiver) == sent
    assert read_rows(ledger, "event_type, endpoint, run_id")[0] == (TYPE, "service_hook_default", "single")


def test_second_run_records_the_outcomes_of_the_first_run(connect, deliver, ledger, tmp_path, pushed):
    with serve_receiver(lambda count: 500 if count == 2 else 204) as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException) as failed:
            deliver(range(3), run_id="first", concurrency=1)
        assert "deliveries resend" in str(failed.value)
        with pytest.raises(AirflowFailException):
            deliver(range(3), run_id="second")
        assert len(receiver.requests) == 3
    result = pushed["return_value"]
    assert (result["delivered"], result["rejected"], result["sent_before"]) == (2, 1, 3)
    lines = [json.loads(line) for part in sorted(tmp_path.rglob("second/**/segment-*")) for line in part.open()]
    assert [(line["outcome"], line["status_code"], line["sent_before"]) for line in lines] == [
        ("delivered", 204, True),
        ("rejected", 500, True),
        ("delivered", 204, True),
    ]
    assert all("task 'a_task' of Dag 'a_dag', run 'first'" in line["message"] for line in lines)


def test_events_that_were_not_sent_are_sent_by_a_later_run(connect, deliver, ledger):
    connect(f"http://127.0.0.1:{find_closed_port()}/hook")
    with pytest.raises(AirflowFailException):
        deliver(range(3), run_id="first", stop_after_failures=1, concurrency=1)
    assert set(read_rows(ledger, "state")) == {("not_sent",)}
    with serve_receiver() as receiver:
        connect(receiver.url)
        assert deliver(range(3), run_id="second")["sent_before"] == 0
        assert (len(receiver.requests), set(count_events(receiver).values())) == (3, {1})


def test_events_chosen_with_undelivered_from_are_sent_again_once(connect, deliver, ledger, pushed):
    with serve_receiver(lambda count: 500 if count <= 2 else 204) as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException):
            deliver(range(5), run_id="first", concurrency=1)
        earlier = pushed["return_value"]["records"]
        chosen = {"undelivered_from": earlier, "resend_outcomes": ["rejected"]}
        second = deliver(range(5), run_id="second", **chosen)
        assert (second["delivered"], second["sent_before"]) == (2, 0)
        marks = [headers.get("X-Service-Hook-Redelivery") for headers, _ in receiver.requests]
        assert marks == [None] * 5 + ["true"] * 2
        third = deliver(range(5), run_id="third", **chosen)
        assert (third["delivered"], third["sent_before"]) == (2, 2), "they were delivered meanwhile"
        assert sorted(count_events(receiver).values()) == [1, 1, 1, 2, 2]


def test_event_that_a_user_resends_is_marked_as_a_redelivery(connect, deliver, ledger):
    with serve_receiver() as receiver:
        connect(receiver.url)
        deliver(range(2), run_id="first", concurrency=1)
        ((text,),) = ledger.run("SELECT claim FROM service_hook_deliveries WHERE event_id = 'order-1'")
        claim = json.dumps({**json.loads(text), "state": "resend"})
        ledger.run(
            "UPDATE service_hook_deliveries SET state = 'resend', claim = ? WHERE event_id = 'order-1'", (claim,)
        )
        assert deliver(range(2), run_id="second")["sent_before"] == 1
        marks = [headers.get("X-Service-Hook-Redelivery") for headers, _ in receiver.requests]
    assert marks == [None, None, "true"]


def test_shards_and_event_types_have_separate_event_claims(connect, deliver, ledger):
    events = [{"id": f"order-{number}", "kind": f"orders.k{number % 2}"} for number in range(10)]
    with serve_receiver() as receiver:
        connect(receiver.url)
        options = {"event_type": "event.created", "type_field": "kind"}
        results = [deliver(events, run_id="first", map_index=index, shard=(index, 2), **options) for index in range(2)]
        assert [result["delivered"] for result in results] == [5, 5]
        assert deliver(events, run_id="second", **options)["sent_before"] == 10
        assert set(count_events(receiver).values()) == {1}
        assert deliver(events, run_id="third")["sent_before"] == 0, "events of another type are other deliveries"
    assert [kind for (kind,) in read_rows(ledger, "event_type")].count("orders.k1") == 5


def test_invalid_events_have_no_claim(connect, deliver, ledger):
    events = [{"id": "order-1"}, {"id": ""}, {"id": "order-2"}]
    with serve_receiver() as receiver:
        connect(receiver.url)
        result = deliver(events, run_id="first", on_invalid="skip")
    assert (result["delivered"], result["invalid"], len(read_rows(ledger, "id"))) == (2, 1, 2)


def test_by_default_each_run_sends_all_events_and_claims_none(connect, deliver, ledger):
    with serve_receiver() as receiver:
        connect(receiver.url)
        for run_id in ("first", "second"):
            assert deliver(range(3), run_id=run_id, once="run")["sent_before"] == 0
        assert set(count_events(receiver).values()) == {2}
    assert read_rows(ledger, "id") == []


def test_once_per_event_without_a_ledger_is_refused(connect, deliver):
    with serve_receiver() as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match="set \\[service_hooks\\] ledger_conn_id"):
            deliver(range(3), run_id="first")
        assert receiver.requests == []
