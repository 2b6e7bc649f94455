# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The notifier in each place that Airflow calls it from, against a real receiver, without an Airflow."""

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
UNWELL = b"HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\nunwell"


class UnreachableStore(StateStore):
    """The state store of a callback in the Dag processor: whoever asks it waits for ever."""

    def get(self, key, default=None):
        raise AssertionError("asked")

    set = get


class UnreadableError(Exception):
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.fixture
def receiver(connect):
    with raw_server(OK) as server:
        connect(server.url)
        yield server


def bodies(receiver) -> list[dict]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]


def delivery_ids(receiver) -> list[bytes]:
    lines = [line for request in receiver.requests for line in request.split(b"\r\n")]
    return [line for line in lines if line.startswith(b"X-Service-Hook-Delivery")]


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


def ended(state="failed", store=None, *, exception=None, **of_ti):
    """Make the context of a callback in the worker, where Airflow has set the task's state."""
    context = make_context(store, state=state, **of_ti)
    return {**context, "exception": exception} if exception is not None else context


def of_dag(reason="task_failure", **of_run):
    """Make the context of a Dag's callback."""
    run = SimpleNamespace(**{"dag_id": "a_dag", "run_id": "a run", "clear_number": 0, "end_date": None, **of_run})
    return {"dag": DAG("a_dag", schedule=None), "run_id": "a run", "reason": reason, "dag_run": run}


def of_deadline(number="1"):
    run = {"dag_id": "a_dag", "dag_run_id": "a_run", "end_date": None}
    return {"dag_run": run, "deadline": {"id": number, "deadline_time": "2026-01-01T00:00:00+00:00"}}


class TestWhatItTells:
    def test_an_alert_tells_type_and_message_and_names_the_rule(self, receiver):
        ServiceHookNotifier().notify(ended(exception=raised(ValueError("no orders"))))
        (body,) = bodies(receiver)
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

    def test_an_event_tells_the_stack_and_the_tags(self, receiver):
        error = raised(ValueError("no orders"))
        notifier = ServiceHookNotifier(event_type="event.created", tags={"team": "a", "run_id": "mine"})
        notifier.notify(ended(exception=error, map_index=2, end_date="2026-01-01T13:00:00Z"))
        (body,) = bodies(receiver)
        (value,) = body["event"]["exception"]["values"]
        assert (value["type"], value["value"]) == ("ValueError", "no orders")
        assert value["stacktrace"]["frames"][-1]["function"] == "raised"
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
            (ended("up_for_retry"), "Task a_dag.a_task failed and is to be retried", "warning"),
            (ended("success"), "Task a_dag.a_task succeeded", "info"),
            (ended("skipped"), "Task a_dag.a_task was skipped", "info"),
            (make_context(start_date="now"), "Task a_dag.a_task is running", "info"),
            (make_context(), "Task a_dag.a_task failed", "error"),
            (make_context(task=SimpleNamespace(retries=3)), "Task a_dag.a_task failed and is to be retried", "warning"),
            (ended(exception="it was killed"), "it was killed", "error"),
            (of_dag(), "Dag a_dag failed: task_failure", "error"),
            (of_dag("success"), "Dag a_dag succeeded", "info"),
            ({**of_dag(), **make_context()}, "Dag a_dag failed: task_failure", "error"),
            (of_deadline(), "Dag a_dag missed its deadline: it was needed by 2026-01-01T00:00:00+00:00", "error"),
        ],
    )
    def test_every_occasion_is_told_by_itself(self, receiver, context, message, level):
        for event_type in ("event.alert", "event.created"):
            ServiceHookNotifier(event_type=event_type).notify(context)
        assert [(body["message"], body["level"]) for body in bodies(receiver)] == [(message, level)] * 2

    def test_a_run_is_told_with_its_page(self, receiver):
        ServiceHookNotifier().notify(of_dag())
        ServiceHookNotifier().notify({"dag": DAG("a_dag", schedule=None), "run_id": "ä run", "reason": "timed_out"})
        assert [body["url"] for body in bodies(receiver)] == [
            "http://localhost:8080/dags/a_dag/runs/a%20run",
            "http://localhost:8080/dags/a_dag/runs/%C3%A4%20run",
        ]

    def test_what_the_author_says_wins_and_is_rendered(self, receiver):
        notifier = ServiceHookNotifier(
            message="{{ ti.task_id }}: {{ exception }}", level="fatal", triggering_rules=["Of {{ ti.dag_id }}"]
        )
        notifier(ended(exception=raised(ValueError("bad"))))
        (body,) = bodies(receiver)
        told = (body["message"], body["level"], body["triggering_rules"])
        assert told == ("a_task: bad", "fatal", ["Of a_dag"])

    def test_one_notifier_serves_several_callbacks(self, receiver):
        """Airflow renders in place, and the Dag processor calls the one notifier of a Dag for several tasks."""
        notifier = ServiceHookNotifier(message="{{ ti.task_id }}")
        contexts = [make_context(task_id=name) for name in ("one", "two")]
        for context in contexts:
            notifier(context)
        assert [body["message"] for body in bodies(receiver)] == ["one", "two"]
        assert "message" not in contexts[0]

    def test_what_is_wrong_is_named(self, receiver):
        told = ServiceHookNotifier(event_type="event.created", event_id="a b", tags=[1], level="loud")
        with pytest.raises(ValidationError, match=r"(?s)event_id.*level.*tags"):
            told.notify(ended())
        with pytest.raises(ValidationError, match=r"event_type: must be 1 to 128"):
            ServiceHookNotifier(event_type="event x").notify(ended())
        with pytest.raises(ValidationError, match="id: is missing"):
            ServiceHookNotifier().notify({})
        assert receiver.requests == []

    def test_without_a_dag_the_author_can_say_everything(self, receiver):
        said = {"project": "p", "url": "https://example.com/", "triggering_rules": ["r"]}
        ServiceHookNotifier(event_id="e-1", message="m", **said).notify({})
        assert [body["id"] for body in bodies(receiver)] == ["e-1"]


class TestHowOften:
    def test_a_callback_that_is_fired_twice_delivers_once(self, receiver):
        store = StateStore()
        for _ in range(2):
            ServiceHookNotifier().notify(ended(store=store))
        assert len(receiver.requests) == 1
        assert len(store.kept) == 1

    def test_what_another_firing_was_not_told_of_is_not_sent_again(self, connect):
        store = StateStore()
        with raw_server(UNWELL) as receiver:
            connect(receiver.url)
            for _ in range(2):
                with pytest.raises(NotificationError, match=r"(?s)^rejected \(HTTP 500\).*\nResponse: unwell"):
                    ServiceHookNotifier().notify(ended(store=store))
        assert len(receiver.requests) == 1

    def test_notifiers_side_by_side_deliver_one_each(self, receiver):
        store = StateStore()
        for options in ({}, {"event_type": "event.created"}, {"event_id": "another"}):
            ServiceHookNotifier(**options).notify(ended(store=store))
        assert len(set(delivery_ids(receiver))) == 3

    def test_every_end_of_a_task_is_an_event_of_its_own(self, receiver):
        store = StateStore()
        for number in (1, 2):
            ServiceHookNotifier().notify(ended("success", store, try_number=number))
            ServiceHookNotifier().notify(ended("failed", store, try_number=number))
        assert len(set(delivery_ids(receiver))) == 4

    @pytest.mark.parametrize(
        "context",
        [
            ended("up_for_retry", UnreachableStore()),
            make_context(UnreachableStore()),
            {**make_context(UnreachableStore()), **of_dag()},
            of_deadline(),
        ],
    )
    def test_where_no_store_answers_each_firing_is_one_request_with_the_same_delivery_id(self, receiver, context):
        for _ in range(2):
            ServiceHookNotifier().notify(context)
        assert len(receiver.requests) == 2
        assert len(set(delivery_ids(receiver))) == 1

    def test_the_same_end_has_the_same_id_wherever_airflow_calls_from(self, receiver):
        ServiceHookNotifier().notify(ended(try_number=4))
        ServiceHookNotifier().notify(make_context(UnreachableStore(), try_number=4, task=SimpleNamespace(retries=3)))
        assert len(set(delivery_ids(receiver))) == 1

    def test_the_end_of_a_run_has_the_same_id_with_and_without_its_details(self, receiver):
        for context in (of_dag(), {**of_dag(), "dag_run": None}):
            ServiceHookNotifier().notify(context)
        assert len(set(delivery_ids(receiver))) == 1

    def test_a_run_that_is_cleared_and_another_deadline_are_other_events(self, receiver):
        for context in (of_dag(), of_dag(clear_number=1), of_deadline("1"), of_deadline("2")):
            ServiceHookNotifier().notify(context)
        assert len(set(delivery_ids(receiver))) == 4


class TestFailing:
    def test_nobody_listening_is_told(self, connect):
        connect(f"http://127.0.0.1:{find_closed_port()}/")
        for context in (ended(), of_dag()):
            with pytest.raises(NotificationError, match="not_sent \\(connection_refused"):
                ServiceHookNotifier()(context)

    def test_the_outcome_is_logged_as_an_error_without_a_secret(self, connect, capsys):
        with raw_server(UNWELL) as receiver:
            connect(f"{receiver.url}?token=pr1vate")
            with pytest.raises(NotificationError):
                ServiceHookNotifier()(ended(exception=raised(ValueError("x"))))
        told = capsys.readouterr().out
        (error,) = [line for line in told.splitlines() if "[error" in line]
        assert "event.alert" in error
        assert "rejected (HTTP 500" in error
        assert "pr1vate" not in told
        assert SECRET not in told

    def test_a_connection_that_is_not_there(self):
        with pytest.raises(AirflowNotFoundException):
            ServiceHookNotifier(service_hook_conn_id="not_there")(ended())


class TestAsync:
    @pytest.fixture(autouse=True)
    def threads(self, monkeypatch):
        monkeypatch.setattr(compat, "has_threads_in_triggers", lambda: True)

    def test_airflow_3_1_whose_triggerer_would_end_is_sent_nothing_from_it(self, receiver, monkeypatch):
        monkeypatch.setattr(compat, "has_threads_in_triggers", lambda: False)

        async def await_it():
            await ServiceHookNotifier(context=of_deadline())

        with pytest.raises(ServiceHookError, match="from the triggerer; nothing was sent"):
            asyncio.run(await_it())
        assert bodies(receiver) == []

    def test_it_is_awaited_with_the_context_it_was_made_with(self, receiver):
        async def await_it():
            await ServiceHookNotifier(message="{{ dag_run.dag_id }} is late", context=of_deadline())

        asyncio.run(await_it())
        assert [body["message"] for body in bodies(receiver)] == ["a_dag is late"]

    def test_it_does_not_hold_up_others(self, connect):
        async def watch():
            done = asyncio.ensure_future(ServiceHookNotifier(context=of_deadline()).async_notify(of_deadline()))
            beats = 0
            while not done.done():
                await asyncio.sleep(0.01)
                beats += 1
            await done
            return beats

        def answer_late(connection):
            time.sleep(0.3)
            connection.sendall(OK)

        with raw_server(answer_late) as receiver:
            connect(receiver.url)
            assert asyncio.run(watch()) > 5


class TestHostileExceptions:
    @pytest.fixture
    def tell(self, receiver):
        def tell_of(exception) -> dict:
            ServiceHookNotifier(event_type="event.created").notify(ended(exception=exception))
            return bodies(receiver)[-1]

        return tell_of

    def test_one_that_cannot_be_read(self, tell):
        body = tell(raised(UnreadableError()))
        assert body["message"].startswith("UnreadableError")
        assert body["event"]["exception"]["values"][0]["type"] == "UnreadableError"

    def test_one_that_has_no_text(self, tell):
        assert tell(raised(ValueError()))["message"] == "ValueError"

    def test_one_with_a_very_long_text(self, tell):
        assert len(tell(raised(ValueError("ä" * 5_000_000)))["message"]) < 2_000
        assert len(tell(raised(type("X" * 2_000_000, (Exception,), {})()))["message"]) < 2_000

    def test_one_with_text_that_is_no_unicode(self, tell):
        assert tell(raised(ValueError("a\ud800b\x00\x1b[31m")))["message"].startswith("ValueError: a")

    def test_one_with_a_very_deep_stack_and_a_very_long_chain(self, tell):
        def fall(depth):
            if depth:
                fall(depth - 1)
            raise ValueError("deep")

        def chain():
            error = raised(ValueError("first"))
            for number in range(100):
                try:
                    raise KeyError(number) from error
                except KeyError as next_error:
                    error = next_error
            return error

        with pytest.raises(ValueError, match="deep") as caught:
            fall(800)
        frames = tell(caught.value)["event"]["exception"]["values"][-1]["stacktrace"]["frames"]
        assert 1 < len(frames) <= 50
        assert frames[-1]["function"] == "fall"
        assert 1 < len(tell(chain())["event"]["exception"]["values"]) <= 10

    def test_one_that_was_never_raised(self, tell):
        assert tell(ValueError("bad"))["message"] == "ValueError: bad"

    def test_without_sentry_sdk_it_is_told_without_its_stack(self, tell, monkeypatch, caplog):
        monkeypatch.setitem(sys.modules, "sentry_sdk.utils", None)
        body = tell(raised(ValueError("bad")))
        assert body["message"] == "ValueError: bad"
        assert body["event"]["exception"]["values"] == [
            {"type": "ValueError", "value": "bad", "stacktrace": {"frames": []}}
        ]
        assert "pip install 'airflow-provider-hooks[sentry]'" in caplog.text

    def test_a_secret_is_not_cut_in_half_before_it_is_masked(self, tell):
        mask_secret("half-of-a-s3cret-is-too-much")
        assert "half" not in json.dumps(tell(raised(ValueError("x" * 1_010 + "half-of-a-s3cret-is-too-much"))))
        text = tell("x" * 1_010 + "half-of-a-s3cret-is-too-much")["message"]
        assert (len(text), "half" in text) == (1_013, False)

    def test_what_airflow_masks_is_masked(self, receiver):
        mask_secret("t0p-s3cret-text")
        error = raised(ValueError("t0p-s3cret-text"))
        told = ServiceHookNotifier(
            event_type="event.created",
            message="{{ exception }}",
            tags={"a": "t0p-s3cret-text"},
            culprit="{{ exception }}",
        )
        told(ended(exception=error))
        ServiceHookNotifier(event_type="event.created").notify(ended(exception=error))
        assert len(receiver.requests) == 2
        assert not [request for request in receiver.requests if b"t0p-s3cret-text" in request]


def test_names_of_any_alphabet_make_an_id_that_can_be_used(receiver):
    log_url = "http://localhost:8080/dags/bestellungen_für_größe/runs/r/tasks/задача?try_number=1"
    ServiceHookNotifier().notify(ended(dag_id="bestellungen_für_größe", task_id="задача", log_url=log_url))
    (body,) = bodies(receiver)
    assert (len(body["id"]), body["culprit"]) == (32, "bestellungen_für_größe.задача")


class TestOwnEvents:
    def test_a_callback_gives_the_data_of_an_own_event(self, receiver):
        store = StateStore()
        notifier = ServiceHookNotifier(event_type="dag.failed", tags={"team": "data"}, level="fatal")
        for _ in range(2):
            notifier.notify(ended(store=store, exception=ValueError("no orders")))
        (body,) = bodies(receiver)
        assert (body["type"], body["data"]["message"], body["data"]["level"]) == (
            "dag.failed",
            "ValueError: no orders",
            "fatal",
        )
        assert (body["data"]["kind"], body["data"]["tags"]["team"]) == ("failure", "data")
        assert body["data"]["url"].startswith("http://localhost:8080/dags/a_dag/")

    def test_a_format_can_be_chosen(self, receiver):
        ServiceHookNotifier(event_type="dag.failed", format="cloudevents").notify(of_dag())
        (body,) = bodies(receiver)
        assert (body["specversion"], body["type"], body["source"]) == (
            "1.0",
            "dag.failed",
            "http://localhost:8080/dags/a_dag",
        )
