# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The notifier in each context that Airflow calls it with, against a real receiver and without a running Airflow."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.log import mask_secret

from airflow_provider_hooks._runtime import compat
from airflow_provider_hooks._runtime.compat import AirflowNotFoundException
from airflow_provider_hooks.exceptions import NotificationError, ServiceHookError, ValidationError
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from tests.airflow_context import SECRET, StateStore, make_context
from tests.servers import OK, find_closed_port, raw_server

LOG = "http://localhost:8080/dags/a_dag/runs/a_run/tasks/a_task?try_number=1"
SERVER_ERROR = b"HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\nunwell"


class UnreachableStore(StateStore):
    """The state store of a callback in the Dag processor, where every call would block for ever."""

    def get(self, key, default=None):
        raise AssertionError("the state store was called")

    set = get


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.fixture
def receiver(connect):
    with raw_server(OK) as server:
        connect(server.url)
        yield server


def read_bodies(receiver) -> list[dict]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def read_delivery_ids(receiver) -> list[bytes]:
    lines = [line for request in receiver.requests for line in request.split(b"\r\n")]
    return [line for line in lines if line.startswith(b"X-Service-Hook-Delivery")]


def raise_and_catch(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


def make_task_context(state="failed", store=None, *, exception=None, **ti_fields):
    """Make the context of a task's callback in the worker, where Airflow has set the task's state."""
    context = make_context(store, state=state, **ti_fields)
    return {**context, "exception": exception} if exception is not None else context


def make_dag_context(reason="task_failure", **run_fields):
    """Make the context of a callback of a Dag."""
    run = SimpleNamespace(**{"dag_id": "a_dag", "run_id": "a run", "clear_number": 0, "end_date": None, **run_fields})
    return {"dag": DAG("a_dag", schedule=None), "run_id": "a run", "reason": reason, "dag_run": run}


def make_deadline_context(number="1"):
    run = {"dag_id": "a_dag", "dag_run_id": "a_run", "end_date": None}
    return {"dag_run": run, "deadline": {"id": number, "deadline_time": "2026-01-01T00:00:00+00:00"}}


class TestPayload:
    def test_an_alert_of_a_failed_task_has_the_exception_as_message_and_a_default_rule(self, receiver):
        ServiceHookNotifier().notify(make_task_context(exception=raise_and_catch(ValueError("no orders"))))
        (body,) = read_bodies(receiver)
        assert len(body.pop("id")) == 32
        assert body == {
            "project": "a_dag",
            "project_id": "a_dag",
            "project_name": "a_dag",
            "culprit": "a_dag.a_task",
            "message": "ValueError: no orders",
            "url": LOG,
            "level": "error",
            "triggering_rules": ["a_dag failure"],
        }

    def test_an_event_created_has_the_stack_trace_and_the_tags(self, receiver):
        error = raise_and_catch(ValueError("no orders"))
        notifier = ServiceHookNotifier(event_type="event.created", tags={"team": "a", "run_id": "mine"})
        notifier.notify(make_task_context(exception=error, map_index=2, end_date="2026-01-01T13:00:00Z"))
        (body,) = read_bodies(receiver)
        (value,) = body["event"]["exception"]["values"]
        assert (value["type"], value["value"]) == ("ValueError", "no orders")
        assert value["stacktrace"]["frames"][-1]["function"] == "raise_and_catch"
        assert body["datetime"] == "2026-01-01T13:00:00.000Z"
        assert dict(body["event"]["tags"]) == {
            "dag_id": "a_dag",
            "task_id": "a_task",
            "run_id": "mine",
            "try_number": "1",
            "map_index": "2",
            "team": "a",
        }

    @pytest.mark.parametrize(
        ("context", "message", "level"),
        [
            (make_task_context("up_for_retry"), "Task a_dag.a_task failed and will be retried", "warning"),
            (make_task_context("success"), "Task a_dag.a_task succeeded", "info"),
            (make_task_context("skipped"), "Task a_dag.a_task was skipped", "info"),
            (make_context(start_date="now"), "Task a_dag.a_task is running", "info"),
            (make_context(), "Task a_dag.a_task failed", "error"),
            (make_context(task=SimpleNamespace(retries=3)), "Task a_dag.a_task failed and will be retried", "warning"),
            (make_task_context(exception="it was killed"), "it was killed", "error"),
            (make_dag_context(), "Dag a_dag failed: task_failure", "error"),
            (make_dag_context("success"), "Dag a_dag succeeded", "info"),
            ({**make_dag_context(), **make_context()}, "Dag a_dag failed: task_failure", "error"),
            (
                make_deadline_context(),
                "Dag a_dag missed its deadline: it was due at 2026-01-01T00:00:00+00:00",
                "error",
            ),
        ],
    )
    def test_each_kind_of_callback_has_its_own_message_and_level(self, receiver, context, message, level):
        for event_type in ("event.alert", "event.created"):
            ServiceHookNotifier(event_type=event_type).notify(context)
        assert [(body["message"], body["level"]) for body in read_bodies(receiver)] == [(message, level)] * 2

    def test_an_alert_of_a_dag_run_links_to_the_page_of_the_run(self, receiver):
        ServiceHookNotifier().notify(make_dag_context())
        ServiceHookNotifier().notify({"dag": DAG("a_dag", schedule=None), "run_id": "ä run", "reason": "timed_out"})
        assert [body["url"] for body in read_bodies(receiver)] == [
            "http://localhost:8080/dags/a_dag/runs/a%20run",
            "http://localhost:8080/dags/a_dag/runs/%C3%A4%20run",
        ]

    def test_arguments_override_the_defaults_and_are_rendered(self, receiver):
        notifier = ServiceHookNotifier(
            message="{{ ti.task_id }}: {{ exception }}", level="fatal", triggering_rules=["Of {{ ti.dag_id }}"]
        )
        notifier(make_task_context(exception=raise_and_catch(ValueError("bad"))))
        (body,) = read_bodies(receiver)
        sent = (body["message"], body["level"], body["triggering_rules"])
        assert sent == ("a_task: bad", "fatal", ["Of a_dag"])

    def test_a_notifier_can_be_called_for_several_tasks(self, receiver):
        """Airflow renders the fields in place, and the Dag processor calls one notifier of a Dag for several tasks."""
        notifier = ServiceHookNotifier(message="{{ ti.task_id }}")
        contexts = [make_context(task_id=name) for name in ("one", "two")]
        for context in contexts:
            notifier(context)
        assert [body["message"] for body in read_bodies(receiver)] == ["one", "two"]
        assert "message" not in contexts[0]

    def test_invalid_arguments_are_named_in_the_error_and_nothing_is_sent(self, receiver):
        notifier = ServiceHookNotifier(event_type="event.created", event_id="a b", tags=[1], level="loud")
        with pytest.raises(ValidationError, match=r"(?s)event_id.*level.*tags"):
            notifier.notify(make_task_context())
        with pytest.raises(ValidationError, match=r"event_type: must be 1 to 128"):
            ServiceHookNotifier(event_type="event x").notify(make_task_context())
        with pytest.raises(ValidationError, match="id: is missing"):
            ServiceHookNotifier().notify({})
        assert receiver.requests == []

    def test_arguments_can_supply_all_fields_if_the_context_has_no_dag(self, receiver):
        fields = {"project": "p", "url": "https://example.com/", "triggering_rules": ["r"]}
        ServiceHookNotifier(event_id="e-1", message="m", **fields).notify({})
        assert [body["id"] for body in read_bodies(receiver)] == ["e-1"]


class TestRepeatedCalls:
    def test_a_callback_that_is_called_twice_delivers_once(self, receiver):
        store = StateStore()
        for _ in range(2):
            ServiceHookNotifier().notify(make_task_context(store=store))
        assert len(receiver.requests) == 1
        assert len(store.stored) == 1

    def test_a_rejected_event_is_not_sent_again_by_a_second_call(self, connect):
        store = StateStore()
        with raw_server(SERVER_ERROR) as receiver:
            connect(receiver.url)
            for _ in range(2):
                with pytest.raises(NotificationError, match=r"(?s)^rejected \(HTTP 500\).*\nResponse: unwell"):
                    ServiceHookNotifier().notify(make_task_context(store=store))
        assert len(receiver.requests) == 1

    def test_notifiers_with_different_events_deliver_one_event_each(self, receiver):
        store = StateStore()
        for options in ({}, {"event_type": "event.created"}, {"event_id": "another"}):
            ServiceHookNotifier(**options).notify(make_task_context(store=store))
        assert len(set(read_delivery_ids(receiver))) == 3

    def test_each_try_and_final_state_of_a_task_has_its_own_delivery_id(self, receiver):
        store = StateStore()
        for number in (1, 2):
            ServiceHookNotifier().notify(make_task_context("success", store, try_number=number))
            ServiceHookNotifier().notify(make_task_context("failed", store, try_number=number))
        assert len(set(read_delivery_ids(receiver))) == 4

    @pytest.mark.parametrize(
        "context",
        [
            make_task_context("up_for_retry", UnreachableStore()),
            make_context(UnreachableStore()),
            {**make_context(UnreachableStore()), **make_dag_context()},
            make_deadline_context(),
        ],
    )
    def test_each_call_without_a_state_store_sends_a_request_with_the_same_delivery_id(self, receiver, context):
        for _ in range(2):
            ServiceHookNotifier().notify(context)
        assert len(receiver.requests) == 2
        assert len(set(read_delivery_ids(receiver))) == 1

    def test_the_failure_of_a_try_has_the_same_delivery_id_in_worker_and_dag_processor(self, receiver):
        ServiceHookNotifier().notify(make_task_context(try_number=4))
        ServiceHookNotifier().notify(make_context(UnreachableStore(), try_number=4, task=SimpleNamespace(retries=3)))
        assert len(set(read_delivery_ids(receiver))) == 1

    def test_the_failure_of_a_run_has_the_same_delivery_id_with_and_without_the_dag_run(self, receiver):
        for context in (make_dag_context(), {**make_dag_context(), "dag_run": None}):
            ServiceHookNotifier().notify(context)
        assert len(set(read_delivery_ids(receiver))) == 1

    def test_a_cleared_run_and_another_deadline_have_their_own_delivery_ids(self, receiver):
        for context in (
            make_dag_context(),
            make_dag_context(clear_number=1),
            make_deadline_context("1"),
            make_deadline_context("2"),
        ):
            ServiceHookNotifier().notify(context)
        assert len(set(read_delivery_ids(receiver))) == 4


class TestFailures:
    def test_a_refused_connection_is_reported_as_not_sent(self, connect):
        connect(f"http://127.0.0.1:{find_closed_port()}/")
        for context in (make_task_context(), make_dag_context()):
            with pytest.raises(NotificationError, match="not_sent \\(connection_refused"):
                ServiceHookNotifier()(context)

    def test_the_outcome_is_logged_as_an_error_without_a_secret(self, connect, capsys):
        with raw_server(SERVER_ERROR) as receiver:
            connect(f"{receiver.url}?token=pr1vate")
            with pytest.raises(NotificationError):
                ServiceHookNotifier()(make_task_context(exception=raise_and_catch(ValueError("x"))))
        output = capsys.readouterr().out
        (error,) = [line for line in output.splitlines() if "[error" in line]
        assert "event.alert" in error
        assert "rejected (HTTP 500" in error
        assert "pr1vate" not in output
        assert SECRET not in output

    def test_a_missing_airflow_connection_raises_not_found(self):
        with pytest.raises(AirflowNotFoundException):
            ServiceHookNotifier(service_hook_conn_id="not_there")(make_task_context())


class TestAsync:
    @pytest.fixture(autouse=True)
    def threads(self, monkeypatch):
        monkeypatch.setattr(compat, "has_threads_in_triggers", lambda: True)

    def test_nothing_is_sent_from_the_triggerer_of_airflow_3_1(self, receiver, monkeypatch):
        monkeypatch.setattr(compat, "has_threads_in_triggers", lambda: False)

        async def await_notifier():
            await ServiceHookNotifier(context=make_deadline_context())

        with pytest.raises(ServiceHookError, match="from the triggerer; nothing was sent"):
            asyncio.run(await_notifier())
        assert read_bodies(receiver) == []

    def test_an_awaited_notifier_uses_the_context_of_its_constructor(self, receiver):
        async def await_notifier():
            await ServiceHookNotifier(message="{{ dag_run.dag_id }} is late", context=make_deadline_context())

        asyncio.run(await_notifier())
        assert [body["message"] for body in read_bodies(receiver)] == ["a_dag is late"]

    def test_an_awaited_notifier_does_not_block_the_event_loop(self, connect):
        async def watch():
            done = asyncio.ensure_future(
                ServiceHookNotifier(context=make_deadline_context()).async_notify(make_deadline_context())
            )
            turns = 0
            while not done.done():
                await asyncio.sleep(0.01)
                turns += 1
            await done
            return turns

        def answer_late(connection):
            time.sleep(0.3)
            connection.sendall(OK)

        with raw_server(answer_late) as receiver:
            connect(receiver.url)
            assert asyncio.run(watch()) > 5


class TestHostileExceptions:
    @pytest.fixture
    def deliver(self, receiver):
        def deliver_exception(exception) -> dict:
            ServiceHookNotifier(event_type="event.created").notify(make_task_context(exception=exception))
            return read_bodies(receiver)[-1]

        return deliver_exception

    def test_an_exception_whose_str_and_repr_raise_is_delivered_with_its_type(self, deliver):
        body = deliver(raise_and_catch(UnprintableError()))
        assert body["message"].startswith("UnprintableError")
        assert body["event"]["exception"]["values"][0]["type"] == "UnprintableError"

    def test_an_exception_without_text_has_its_type_as_message(self, deliver):
        assert deliver(raise_and_catch(ValueError()))["message"] == "ValueError"

    def test_a_very_long_text_or_type_name_is_cut(self, deliver):
        assert len(deliver(raise_and_catch(ValueError("ä" * 5_000_000)))["message"]) < 2_000
        assert len(deliver(raise_and_catch(type("X" * 2_000_000, (Exception,), {})()))["message"]) < 2_000

    def test_text_with_surrogates_and_control_characters_is_delivered(self, deliver):
        assert deliver(raise_and_catch(ValueError("a\ud800b\x00\x1b[31m")))["message"].startswith("ValueError: a")

    def test_a_very_deep_stack_and_a_very_long_chain_are_cut(self, deliver):
        def recurse(depth):
            if depth:
                recurse(depth - 1)
            raise ValueError("deep")

        def chain():
            error = raise_and_catch(ValueError("first"))
            for number in range(100):
                try:
                    raise KeyError(number) from error
                except KeyError as next_error:
                    error = next_error
            return error

        with pytest.raises(ValueError, match="deep") as caught:
            recurse(800)
        frames = deliver(caught.value)["event"]["exception"]["values"][-1]["stacktrace"]["frames"]
        assert 1 < len(frames) <= 50
        assert frames[-1]["function"] == "recurse"
        assert 1 < len(deliver(chain())["event"]["exception"]["values"]) <= 10

    def test_an_exception_that_was_never_raised_is_delivered(self, deliver):
        assert deliver(ValueError("bad"))["message"] == "ValueError: bad"

    def test_an_exception_is_delivered_without_its_stack_if_sentry_sdk_is_missing(self, deliver, monkeypatch, caplog):
        monkeypatch.setitem(sys.modules, "sentry_sdk.utils", None)
        body = deliver(raise_and_catch(ValueError("bad")))
        assert body["message"] == "ValueError: bad"
        assert body["event"]["exception"]["values"] == [
            {"type": "ValueError", "value": "bad", "stacktrace": {"frames": []}}
        ]
        assert "pip install 'airflow-provider-hooks[sentry]'" in caplog.text

    def test_a_secret_is_not_cut_in_half_before_it_is_masked(self, deliver):
        mask_secret("half-of-a-s3cret-is-too-much")
        assert "half" not in json.dumps(
            deliver(raise_and_catch(ValueError("x" * 1_010 + "half-of-a-s3cret-is-too-much")))
        )
        text = deliver("x" * 1_010 + "half-of-a-s3cret-is-too-much")["message"]
        assert (len(text), "half" in text) == (1_013, False)

    def test_secrets_known_to_airflows_masker_are_masked(self, receiver):
        mask_secret("t0p-s3cret-text")
        error = raise_and_catch(ValueError("t0p-s3cret-text"))
        notifier = ServiceHookNotifier(
            event_type="event.created",
            message="{{ exception }}",
            tags={"a": "t0p-s3cret-text"},
            culprit="{{ exception }}",
        )
        notifier(make_task_context(exception=error))
        ServiceHookNotifier(event_type="event.created").notify(make_task_context(exception=error))
        assert len(receiver.requests) == 2
        assert not [request for request in receiver.requests if b"t0p-s3cret-text" in request]


def test_names_in_any_alphabet_give_a_valid_event_id(receiver):
    log_url = "http://localhost:8080/dags/bestellungen_für_größe/runs/r/tasks/задача?try_number=1"
    ServiceHookNotifier().notify(make_task_context(dag_id="bestellungen_für_größe", task_id="задача", log_url=log_url))
    (body,) = read_bodies(receiver)
    assert (len(body["id"]), body["culprit"]) == (32, "bestellungen_für_größe.задача")


class TestOwnEventTypes:
    def test_the_data_of_an_own_event_type_comes_from_the_context_and_the_arguments(self, receiver):
        store = StateStore()
        notifier = ServiceHookNotifier(event_type="dag.failed", tags={"team": "data"}, level="fatal")
        for _ in range(2):
            notifier.notify(make_task_context(store=store, exception=ValueError("no orders")))
        (body,) = read_bodies(receiver)
        assert (body["type"], body["data"]["message"], body["data"]["level"]) == (
            "dag.failed",
            "ValueError: no orders",
            "fatal",
        )
        assert (body["data"]["kind"], body["data"]["tags"]["team"]) == ("failure", "data")
        assert body["data"]["url"].startswith("http://localhost:8080/dags/a_dag/")

    def test_a_format_can_be_chosen(self, receiver):
        ServiceHookNotifier(event_type="dag.failed", format="cloudevents").notify(make_dag_context())
        (body,) = read_bodies(receiver)
        assert (body["specversion"], body["type"], body["source"]) == (
            "1.0",
            "dag.failed",
            "http://localhost:8080/dags/a_dag",
        )
