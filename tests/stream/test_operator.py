# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The operator against real receivers: what is sent, what is recorded, and what a later try does."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hooks.delivery.claims import KEY_PREFIX
from airflow_provider_hooks.exceptions import DeliveryNotSentError
from airflow_provider_hooks.operators.stream import DeliverEventStreamOperator
from airflow_provider_hooks.signing import SCHEMES, verify
from tests.airflow_context import SECRET, StateStore, make_context
from tests.servers import find_closed_port
from tests.stream.bulk_receiver import serve_receiver


def make_event(number: int, **fields) -> dict:
    return {
        "id": f"event-{number}",
        "project": "p",
        "project_id": "1",
        "project_name": "P",
        "message": f"Event {number}",
        "url": "https://example.com/",
        "datetime": "2026-01-01T12:00:00Z",
        **fields,
    }


@pytest.fixture
def deliver(tmp_path):
    def run(events, *, context=None, records="records", **options):
        operator = DeliverEventStreamOperator(
            task_id="a_task", events=events, records_path=str(tmp_path / records), **options
        )
        return operator.execute(context or make_context(max_tries=0))

    return run


def read_records(tmp_path: Path) -> list[dict]:
    parts = sorted((tmp_path / "records").rglob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def write_lines(path: Path, events) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES.values() if scheme.signature_header])
def test_every_event_of_a_file_arrives_once_signed_and_is_recorded(connect, deliver, tmp_path, scheme):
    path = write_lines(tmp_path / "events.jsonl", map(make_event, range(500)))
    with serve_receiver() as heard:
        connect(heard.url, scheme=scheme.name)
        told = deliver(path, concurrency=8)
    assert Counter(json.loads(body)["id"] for _, body in heard.requests) == {f"event-{n}": 1 for n in range(500)}
    for headers, body in heard.requests:
        verify(scheme, headers=headers, body=body, secrets=[SECRET])
    records = read_records(tmp_path)
    assert Counter(record["event_id"] for record in records) == {f"event-{n}": 1 for n in range(500)}
    assert {record["outcome"] for record in records} == {"delivered"}
    assert (told["delivered"], told["total"], told["stopped"]) == (500, 500, False)
    assert {headers["X-Service-Hook-Delivery"] for headers, _ in heard.requests} == {
        record["delivery_id"] for record in records
    }


def test_gzip_lists_functions_and_shards_give_each_event_once(connect, deliver, tmp_path):
    events = [make_event(number) for number in range(40)]
    (tmp_path / "events.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, events)).encode()))
    path = write_lines(tmp_path / "events.jsonl", events)
    for source in (str(tmp_path / "events.gz"), events, lambda: iter(events)):
        with serve_receiver() as heard:
            connect(heard.url)
            deliver(source)
        assert sorted(json.loads(body)["id"] for _, body in heard.requests) == sorted(one["id"] for one in events)
    for source, count in itertools.product((path, events), (3, 7)):
        with serve_receiver() as heard:
            connect(heard.url)
            for index in range(count):
                deliver(source, shard=(index, count))
        assert sorted(json.loads(body)["id"] for _, body in heard.requests) == sorted(one["id"] for one in events)


def test_an_event_that_cannot_be_sent_fails_before_anything_is_sent_or_is_skipped_and_reported(
    connect, deliver, tmp_path
):
    events = [make_event(0), make_event(1, message=""), make_event(2)]
    path = write_lines(tmp_path / "events.jsonl", events)
    with serve_receiver() as heard:
        connect(heard.url)
        with pytest.raises(AirflowFailException, match=r"event at byte .*message: must be text"):
            deliver(path)
        assert heard.requests == []
        told = deliver(path, on_invalid="skip")
    assert (told["delivered"], told["not_sent"], told["invalid"]) == (2, 1, 1)
    assert [record["error_class"] for record in read_records(tmp_path) if "error_class" in record] == ["invalid_event"]


def test_a_rejected_event_fails_the_task_and_is_not_sent_again(connect, deliver, tmp_path):
    context = make_context(StateStore(), max_tries=3)
    context["ti"].xcom_push = lambda key, value: None
    with serve_receiver(answer=lambda count: 500 if count == 2 else 204) as heard:
        connect(heard.url)
        for _ in range(2):
            with pytest.raises(AirflowFailException, match="1 of 5 events were not delivered"):
                deliver([make_event(number) for number in range(5)], context=context, concurrency=1)
    assert len(heard.requests) == 5
    assert Counter(record["outcome"] for record in read_records(tmp_path)) == {"delivered": 4, "rejected": 1}


def test_a_dead_receiver_stops_the_stream_and_a_retry_goes_on_where_it_stopped(connect, deliver, tmp_path):
    store, events = StateStore(), [make_event(number) for number in range(50)]

    def context(try_number):
        made = make_context(store, try_number=try_number, max_tries=2)
        made["ti"].xcom_push = lambda key, value: None
        return made

    connect(f"http://127.0.0.1:{find_closed_port()}/")
    with pytest.raises(DeliveryNotSentError, match="goes on where it stopped"):
        deliver(events, context=context(1), concurrency=2, stop_after_failures=5)
    failed = len(read_records(tmp_path))
    assert 5 <= failed <= 7
    with serve_receiver() as heard:
        connect(heard.url)
        with pytest.raises(AirflowFailException, match=f"{failed} of 50 events"):
            deliver(events, context=context(2), concurrency=2, records="named-by-the-try")
    assert len(heard.requests) == 50 - failed
    records = read_records(tmp_path)
    assert sorted(record["event_id"] for record in records) == sorted(event["id"] for event in events)
    assert not (tmp_path / "named-by-the-try").exists(), "the records of one asking stay together"


def test_the_last_try_reports_the_rest_as_not_sent(connect, deliver, tmp_path):
    context = make_context(max_tries=0)
    context["ti"].xcom_push = lambda key, value: None
    connect(f"http://127.0.0.1:{find_closed_port()}/")
    with pytest.raises(AirflowFailException, match="50 of 50 events"):
        deliver([make_event(n) for n in range(50)], context=context, concurrency=2, stop_after_failures=5)
    assert Counter(record["outcome"] for record in read_records(tmp_path)) == {"not_sent": 50}


def test_a_block_that_a_crash_left_open_is_reported_and_not_sent_again(connect, deliver, tmp_path):
    store = StateStore()
    events = [make_event(number) for number in range(20)]

    class KilledError(BaseException):
        pass

    with serve_receiver() as heard:
        connect(heard.url)
        context = make_context(store, try_number=1, max_tries=3)
        claimed = []
        real_set = store.set

        def set_and_note(key, value, **options):
            real_set(key, value, **options)
            claimed.append(value["state"])
            if value["state"] == "claimed":
                raise KilledError

        store.set = set_and_note
        with pytest.raises(KilledError):
            deliver(events, context=context)
        store.set = real_set
        assert heard.requests == []
        retry = make_context(store, try_number=2, max_tries=3)
        retry["ti"].xcom_push = lambda key, value: None
        with pytest.raises(AirflowFailException, match="20 of 20 events"):
            deliver(events, context=retry)
    assert heard.requests == []
    assert Counter(record["outcome"] for record in read_records(tmp_path)) == {"unknown": 20}
    assert json.loads(store.kept[KEY_PREFIX])["state"] == "done"


def test_a_clear_sends_all_again_and_says_so(connect, deliver, tmp_path):
    store, events = StateStore(), [make_event(number) for number in range(5)]
    with serve_receiver() as heard:
        connect(heard.url)
        deliver(events, context=make_context(store, max_tries=0))
        deliver(events, context=make_context(store, max_tries=1, try_number=2))
    assert len(heard.requests) == 10
    assert Counter(record["redelivery"] for record in read_records(tmp_path)) == {False: 5, True: 5}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"rate_limit": -1}, "rate_limit"),
        ({"stop_after_failures": "x"}, "stop_after_failures"),
        ({"on_invalid": "ignore"}, "on_invalid"),
        ({"shard": (3, 3)}, "shard"),
        ({"event_type": "event.deleted"}, "event_type"),
        ({"events": "/not/there.jsonl"}, "there is no file"),
        ({"events": iter([])}, "read once"),
        ({"events": 7}, "must be a file"),
    ],
)
def test_what_cannot_be_used_is_named(connect, deliver, options, named):
    connect("https://example.com/")
    with pytest.raises(AirflowFailException, match=named):
        deliver(**{"events": [], **options})
