# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A try that is paused at any call, superseded by the next one and resumed: no duplicate, and each event has one record.

The machine of a task may be paused for longer than Airflow waits for its heartbeat. Each test runs the whole next try
in the middle of a call of the first one; from then on the store refuses the first try, as Airflow does.
"""

from __future__ import annotations

import contextlib
import functools
import json
import uuid
from collections import Counter

import pytest

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks._runtime.failures import DeliveryNotSentError
from airflow_provider_hooks.delivery.claims import KEY_PREFIX
from airflow_provider_hooks.hooks import stream as hook_module
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
from airflow_provider_hooks.stream.claims import BatchSizer
from airflow_provider_hooks.stream.recorder import EventRecorder
from airflow_provider_hooks.stream.records import RecordFolder, SegmentWriter
from airflow_provider_hooks.stream.stream import _Stream
from tests.airflow_context import StateStore, make_context
from tests.servers import find_closed_port
from tests.stream.bulk_receiver import serve_receiver

BATCH = 24
"""How many events the first batch of a try has."""
COUNT = BATCH + 10
CALLS = [
    (RecordFolder, "create"),
    (RecordFolder, "open_segment"),
    (RecordFolder, "read_lines"),
    (RecordFolder, "remove"),
    (SegmentWriter, "flush"),
    (SegmentWriter, "close"),
    (_Stream, "_acquire_batch"),
    (_Stream, "_save"),
    (EventRecorder, "write_unattempted"),
    (_Stream, "_settle_batch"),
    (_Stream, "_resend"),
    (_Stream, "_finish"),
    (Engine, "send"),
    (Engine, "_send_on"),
]


class SupersededError(RuntimeError):
    """The error of Airflow for a try that the next one has superseded."""


class StoreOfOneTry:
    """The task state store of one try, which fails once the try is superseded."""

    def __init__(self, store: StateStore) -> None:
        self.store, self.is_superseded = store, False

    def get(self, key):
        return self._open().get(key)

    def set(self, key, value, **options):
        self._open().set(key, value, **options)

    def _open(self) -> StateStore:
        if self.is_superseded:
            raise SupersededError
        return self.store


class KilledError(BaseException):
    """Simulates that the process is killed."""


@pytest.fixture(scope="module")
def receiver():
    with serve_receiver() as receiver:
        yield receiver


@pytest.fixture
def event_ids():
    """
    Return event ids that no other test uses.

    The receiver may read the last requests of a killed try while the next test already runs.
    """
    name = uuid.uuid4().hex
    return [f"{name}-{number}" for number in range(COUNT)]


@pytest.fixture
def run_try(tmp_path, monkeypatch, allow_loopback, event_ids):
    monkeypatch.setattr(hook_module, "BatchSizer", functools.partial(BatchSizer, size=BATCH))
    lines = [
        {"id": event_id, "project": "p", "project_id": "1", "project_name": "P", "message": "m"}
        for event_id in event_ids
    ]
    events = [{**line, "url": "https://example.com/", "triggering_rules": ["r"]} for line in lines]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))

    def run(number, store, url, **arguments):
        connection = {"conn_type": "service_hook", "host": url, "password": "s3cret-of-ours"}
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps(connection))
        context = make_context(store, try_number=number, max_tries=3)
        context["ti"].xcom_push = lambda key, value: None
        options = {"events": str(path), "records_path": str(tmp_path / "records"), "event_type": "event.alert"}
        DeliverEventStreamOperator(task_id="a_task", concurrency=4, **options, **arguments).execute(context)

    return run


def insert_call(monkeypatch, kind, method, call, do, *, is_before):
    """Run a function before or after the given call of a method."""
    original, calls = getattr(kind, method), []

    def watched(self, *arguments, **named):
        calls.append(method)
        is_chosen = len(calls) == call
        if is_chosen and is_before:
            do()
        result = original(self, *arguments, **named)
        if is_chosen and not is_before:
            do()
        return result

    monkeypatch.setattr(kind, method, watched)


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("earlier_state", ["nothing", "an interrupted batch", "unsent events"])
@pytest.mark.parametrize(("kind", "method"), CALLS)
def test_paused_and_superseded_try_sends_no_duplicate_and_loses_no_record(
    run_try, receiver, event_ids, tmp_path, monkeypatch, kind, method, earlier_state, call, is_before
):
    store, first = StateStore(), 1
    if earlier_state == "unsent events":
        with pytest.raises(DeliveryNotSentError):
            run_try(1, store, f"http://127.0.0.1:{find_closed_port()}/", stop_after_failures=3)
        assert json.loads(store.stored[KEY_PREFIX])["unsent"]
        first = 2
    elif earlier_state == "an interrupted batch":
        with monkeypatch.context() as patch:
            insert_call(patch, Engine, "_send_on", BATCH + 4, _kill, is_before=True)
            with pytest.raises(KilledError):
                run_try(1, store, receiver.url)
        first = 2
    paused_store = StoreOfOneTry(store)

    def run_next_try():
        paused_store.is_superseded = True
        with contextlib.suppress(AirflowFailException):
            run_try(first + 1, store, receiver.url)

    with monkeypatch.context() as patch:
        insert_call(patch, kind, method, call, run_next_try, is_before=is_before)
        with contextlib.suppress(SupersededError, AirflowFailException):
            run_try(first, paused_store, receiver.url)
    received = Counter(json.loads(body)["id"] for _, body in list(receiver.requests))
    received = Counter({event_id: received[event_id] for event_id in event_ids if event_id in received})
    assert set(received.values()) == {1}
    records = [
        json.loads(line)
        for part in (tmp_path / "records").rglob("segment-*.jsonl")
        for line in part.read_text().splitlines()
    ]
    assert Counter(record["event_id"] for record in records) == dict.fromkeys(event_ids, 1)
    assert {record["event_id"] for record in records if record["outcome"] == "delivered"} <= set(received)


def _kill():
    raise KilledError
