# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The stream operator with a receiver on loopback: requests, records, and later tries and runs."""

from __future__ import annotations

import functools
import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.delivery.claims import KEY_PREFIX
from airflow_provider_hooks.exceptions import DeliveryNotSentError
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
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
    parts = sorted((tmp_path / "records").rglob("segment-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def write_lines(path: Path, events) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


class Events:
    def __call__(self):
        return [make_event(number) for number in range(3)]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(Events(), id="an object"),
        pytest.param(lambda: [make_event(number) for number in range(3)], id="a lambda"),
        pytest.param(functools.partial(map, make_event, range(3)), id="a partial of an iterator"),
        pytest.param(Events.__call__.__get__(Events()), id="a method"),
        pytest.param(Events()(), id="a list"),
        pytest.param((make_event(number) for number in range(3)), id="a generator"),
    ],
)
def test_events_are_delivered_after_airflow_rendered_the_fields(connect, tmp_path, events):
    with serve_receiver() as receiver:
        connect(receiver.url)
        operator = DeliverEventStreamOperator(task_id="a_task", events=events, records_path=str(tmp_path))
        context = make_context(max_tries=0)
        operator.render_template_fields(context)
        assert operator.execute(context)["delivered"] == 3


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_invalid_events_do_not_stop_the_stream(connect, deliver, tmp_path, kind):
    invalid_fields = [{"datetime": "09:00/17:30"}, {"tags": {"a": [1]}}, {"message": {}}, {"exception": {"values": 7}}]
    lines = [json.dumps(make_event(number, **fields)) for number, fields in enumerate([{}, *invalid_fields, {}])]
    content = b"\xef\xbb\xbf" + "\r\n".join(lines).encode()
    path = tmp_path / "events.jsonl"
    path.write_bytes(gzip.compress(content) if kind == "gzip" else content)
    with serve_receiver() as receiver:
        connect(receiver.url)
        summary = deliver(str(path), on_invalid="skip")
    assert summary["delivered"] == 2
    assert summary["invalid"] == 4


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES.values() if scheme.signature_header])
def test_each_event_of_a_file_is_signed_sent_once_and_recorded(connect, deliver, tmp_path, scheme):
    path = write_lines(tmp_path / "events.jsonl", map(make_event, range(500)))
    with serve_receiver() as receiver:
        connect(receiver.url, scheme=scheme.name)
        summary = deliver(path, concurrency=8)
    assert Counter(json.loads(body)["id"] for _, body in receiver.requests) == {f"event-{n}": 1 for n in range(500)}
    for headers, body in receiver.requests:
        verify(scheme, headers=headers, body=body, secrets=[SECRET], method="POST", url=receiver.url)
    records = read_records(tmp_path)
    assert Counter(record["event_id"] for record in records) == {f"event-{n}": 1 for n in range(500)}
    assert {record["outcome"] for record in records} == {"delivered"}
    assert (summary["delivered"], summary["total"], summary["stopped"]) == (500, 500, False)
    assert {headers["X-Service-Hook-Delivery"] for headers, _ in receiver.requests} == {
        record["delivery_id"] for record in records
    }


def test_each_event_of_gzip_files_lists_functions_and_shards_is_sent_once(connect, deliver, tmp_path):
    events = [make_event(number) for number in range(40)]
    (tmp_path / "events.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, events)).encode()))
    path = write_lines(tmp_path / "events.jsonl", events)
    for source in (str(tmp_path / "events.gz"), events, lambda: iter(events)):
        with serve_receiver() as receiver:
            connect(receiver.url)
            deliver(source)
        assert sorted(json.loads(body)["id"] for _, body in receiver.requests) == sorted(one["id"] for one in events)
    for source, count in itertools.product((path, events), (3, 7)):
        with serve_receiver() as receiver:
            connect(receiver.url)
            for index in range(count):
                deliver(source, shard=(index, count))
        assert sorted(json.loads(body)["id"] for _, body in receiver.requests) == sorted(one["id"] for one in events)


def test_invalid_event_fails_the_task_before_sending_or_is_skipped_and_recorded(connect, deliver, tmp_path):
    events = [make_event(0), make_event(1, message=""), make_event(2)]
    path = write_lines(tmp_path / "events.jsonl", events)
    with serve_receiver() as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match=r"event at byte .*message: must be text"):
            deliver(path)
        assert receiver.requests == []
        summary = deliver(path, on_invalid="skip")
    assert (summary["delivered"], summary["not_sent"], summary["invalid"]) == (2, 1, 1)
    assert [record["error_class"] for record in read_records(tmp_path) if "error_class" in record] == ["invalid_event"]


def test_rejected_event_fails_the_task_and_is_not_sent_again(connect, deliver, tmp_path):
    context = make_context(StateStore(), max_tries=3)
    context["ti"].xcom_push = lambda key, value: None
    with serve_receiver(answer=lambda count: 500 if count == 2 else 204) as receiver:
        connect(receiver.url)
        for _ in range(2):
            with pytest.raises(AirflowFailException, match="1 of 5 events were not delivered"):
                deliver([make_event(number) for number in range(5)], context=context, concurrency=1)
    assert len(receiver.requests) == 5
    assert Counter(record["outcome"] for record in read_records(tmp_path)) == {"delivered": 4, "rejected": 1}


def test_unreachable_receiver_stops_the_stream_and_a_retry_sends_every_event_once(connect, deliver, tmp_path):
    store, events = StateStore(), [make_event(number) for number in range(50)]
    pushed = {}

    def context(try_number):
        return make_context(
            store, try_number=try_number, max_tries=2, xcom_push=lambda key, value: pushed.update({key: value})
        )

    connect(f"http://127.0.0.1:{find_closed_port()}/")
    with pytest.raises(DeliveryNotSentError, match="A retry resumes"):
        deliver(events, context=context(1), concurrency=2, stop_after_failures=5)
    assert read_records(tmp_path) == []
    assert 5 <= pushed["return_value"]["unsent"] <= 5 + 2 * 2
    assert pushed["return_value"]["stopped"]
    with serve_receiver() as receiver:
        connect(receiver.url)
        returned = deliver(events, context=context(2), concurrency=2)
    assert (returned["delivered"], returned["total"], returned["unsent"]) == (50, 50, 0)
    assert Counter(json.loads(body)["id"] for _, body in receiver.requests) == {event["id"]: 1 for event in events}
    records = read_records(tmp_path)
    assert sorted(record["event_id"] for record in records) == sorted(event["id"] for event in events)


def test_last_try_records_the_remaining_events_as_not_sent(connect, deliver, tmp_path):
    context = make_context(max_tries=0)
    context["ti"].xcom_push = lambda key, value: None
    connect(f"http://127.0.0.1:{find_closed_port()}/")
    with pytest.raises(AirflowFailException, match="50 of 50 events"):
        deliver([make_event(n) for n in range(50)], context=context, concurrency=2, stop_after_failures=5)
    assert Counter(record["outcome"] for record in read_records(tmp_path)) == {"not_sent": 50}


def test_batch_interrupted_by_a_crash_is_reported_and_not_sent_again(connect, deliver, tmp_path):
    store = StateStore()
    events = [make_event(number) for number in range(20)]

    class KilledError(BaseException):
        pass

    with serve_receiver() as receiver:
        connect(receiver.url)
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
        assert receiver.requests == []
        retry = make_context(store, try_number=2, max_tries=3)
        retry["ti"].xcom_push = lambda key, value: None
        with pytest.raises(AirflowFailException, match="20 of 20 events"):
            deliver(events, context=retry)
    assert receiver.requests == []
    assert Counter(record["outcome"] for record in read_records(tmp_path)) == {"unknown": 20}
    assert json.loads(store.stored[KEY_PREFIX])["state"] == "done"


def test_clear_sends_all_events_again_as_redeliveries(connect, deliver, tmp_path):
    store, events = StateStore(), [make_event(number) for number in range(5)]
    with serve_receiver() as receiver:
        connect(receiver.url)
        deliver(events, context=make_context(store, max_tries=0))
        deliver(events, context=make_context(store, max_tries=1, try_number=2))
    assert len(receiver.requests) == 10
    assert Counter(record["redelivery"] for record in read_records(tmp_path)) == {False: 5, True: 5}
    marks = [headers.get("X-Service-Hook-Redelivery") for headers, _ in receiver.requests]
    assert marks == [None] * 5 + ["true"] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"rate_limit": -1}, "rate_limit"),
        ({"stop_after_failures": "x"}, "stop_after_failures"),
        ({"on_invalid": "ignore"}, "on_invalid"),
        ({"shard": (3, 3)}, "shard"),
        ({"resend_outcomes": ["delivered"]}, "resend_outcomes"),
        ({"resend_outcomes": "not_sent"}, "resend_outcomes"),
        ({"resend_outcomes": []}, "resend_outcomes"),
        ({"undelivered_from": " "}, "undelivered_from"),
        ({"undelivered_from": "/not/there"}, "there is no folder"),
        ({"event_type": "event deleted"}, "event_type"),
        ({"events": "/not/there.jsonl"}, "there is no file"),
        ({"events": 7}, "must be a file"),
    ],
)
def test_error_names_the_invalid_argument(connect, deliver, options, message):
    connect("https://example.com/")
    with pytest.raises(AirflowFailException, match=message):
        deliver(**{"events": [], **options})


# Undelivered events of an earlier run


def refuse_some(count: int) -> int:
    return 500 if count in {3, 5} else 204


@pytest.fixture
def earlier_run(connect, deliver, tmp_path):
    """Return the file of an earlier run, of whose events two were rejected, and the folder of its records."""
    path = write_lines(tmp_path / "events.jsonl", map(make_event, range(8)))
    context, pushed = make_context(max_tries=0), {}
    context["ti"].xcom_push = lambda key, value: pushed.update(value)
    with serve_receiver(answer=refuse_some) as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match="send only these with undelivered_from"):
            deliver(path, context=context, concurrency=1)
    return path, pushed["records"]


def change_records(folder: str, change) -> None:
    for segment in Path(folder).iterdir():
        records = [json.loads(line) for line in segment.read_text().splitlines()]
        for record in records:
            change(record)
        write_lines(segment, records)


def set_outcome(event_id: str, outcome: str):
    return lambda record: record.update(outcome=outcome) if record["event_id"] == event_id else None


@pytest.mark.parametrize(
    ("outcomes", "sent"),
    [
        (["not_sent"], {"event-6": False}),
        (["rejected"], {"event-2": True, "event-4": True}),
        (["unknown"], {"event-7": True}),
        (["rejected", "not_sent", "unknown"], {"event-2": True, "event-4": True, "event-6": False, "event-7": True}),
    ],
)
def test_events_with_chosen_outcomes_are_resent_and_marked_if_possibly_received(
    connect, deliver, tmp_path, earlier_run, outcomes, sent
):
    path, records = earlier_run
    change_records(records, set_outcome("event-6", "not_sent"))
    change_records(records, set_outcome("event-7", "unknown"))
    with serve_receiver() as receiver:
        connect(receiver.url)
        options = {"undelivered_from": records, "resend_outcomes": outcomes, "records": "again"}
        returned = deliver(path, **options)
    assert Counter(json.loads(body)["id"] for _, body in receiver.requests) == dict.fromkeys(sent, 1)
    assert (returned["delivered"], returned["total"]) == (len(sent), len(sent))
    found = [json.loads(line) for part in Path(returned["records"]).iterdir() for line in part.read_text().splitlines()]
    assert {record["event_id"]: record["redelivery"] for record in found} == sent
    marked = {json.loads(body)["id"] for headers, body in receiver.requests if "X-Service-Hook-Redelivery" in headers}
    assert marked == {event_id for event_id, may_be_received in sent.items() if may_be_received}


def test_event_not_sent_by_a_redelivery_is_still_marked_as_a_redelivery(connect, deliver, earlier_run):
    path, records = earlier_run
    change_records(records, lambda record: record.update(outcome="not_sent", redelivery=True))
    with serve_receiver() as receiver:
        connect(receiver.url)
        returned = deliver(path, undelivered_from=records, records="again")
    assert len(receiver.requests) == 8
    found = [json.loads(line) for part in Path(returned["records"]).iterdir() for line in part.read_text().splitlines()]
    assert {record["redelivery"] for record in found} == {True}


def test_shards_send_each_undelivered_event_of_an_earlier_run_once(connect, deliver, earlier_run):
    path, records = earlier_run
    change_records(records, lambda record: record.update(outcome="not_sent"))
    with serve_receiver() as receiver:
        connect(receiver.url)
        for index in range(3):
            deliver(path, undelivered_from=records, records=f"again-{index}", shard=(index, 3))
    assert Counter(json.loads(body)["id"] for _, body in receiver.requests) == {f"event-{n}": 1 for n in range(8)}


def test_earlier_run_without_undelivered_events_gives_an_empty_stream(connect, deliver, earlier_run):
    path, records = earlier_run
    with serve_receiver() as receiver:
        connect(receiver.url)
        assert deliver(path, undelivered_from=records, records="again")["total"] == 0
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(event_id="event-99"), "belong to other events"),
        (lambda record: record.update(offset=record["offset"] + 1), "belong to other events"),
        (lambda record: record.pop("offset"), "not a record of a stream"),
        (lambda record: record.update(outcome="lost"), "not a record of a stream"),
    ],
)
def test_records_of_other_events_are_refused_before_anything_is_sent(connect, deliver, earlier_run, change, message):
    path, records = earlier_run
    change_records(records, change)
    with serve_receiver() as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match=message):
            deliver(path, undelivered_from=records, resend_outcomes=["rejected"], records="again")
    assert receiver.requests == []


def test_a_folder_without_records_is_refused(connect, deliver, tmp_path, earlier_run):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AirflowFailException, match="has no records"):
        deliver(earlier_run[0], undelivered_from=str(tmp_path / "empty"), records="again")


def test_retry_is_refused_if_the_records_of_the_earlier_run_changed(connect, deliver, earlier_run):
    path, records = earlier_run
    store = StateStore()
    options = {"undelivered_from": records, "resend_outcomes": ["rejected"], "records": "again"}
    connect(f"http://127.0.0.1:{find_closed_port()}/")
    with pytest.raises(DeliveryNotSentError):
        deliver(path, context=make_context(store, xcom_push=lambda key, value: None), **options)
    change_records(records, set_outcome("event-2", "delivered"))
    with pytest.raises(AirflowFailException, match="the events changed"):
        deliver(path, context=make_context(store, try_number=2), **options)


@pytest.mark.parametrize("edited_folder", ["ftp://127.0.0.9/x", "file:///elsewhere", "memory://x"])
def test_edited_claim_cannot_choose_another_record_folder(connect, deliver, tmp_path, edited_folder):
    """Users of Airflow can edit a claim, and the worker reads, writes and deletes files in its folder."""
    store, events = StateStore(), [make_event(number) for number in range(6)]
    with serve_receiver(lambda _count: 500) as receiver:
        connect(receiver.url)
        context = make_context(store, xcom_push=lambda key, value: None)
        with pytest.raises(DeliveryNotSentError):
            deliver(events, context=context, stop_after_failures=2, concurrency=1)
        count = len(receiver.requests)
        claim = json.loads(store.stored[KEY_PREFIX])
        store.stored[KEY_PREFIX] = json.dumps({**claim, "records": edited_folder})
        with pytest.raises(AirflowFailException, match="records_path must be the same in every try") as caught:
            deliver(events, context=make_context(store, try_number=2))
    assert edited_folder in str(caught.value)
    assert len(receiver.requests) == count
    assert json.loads(store.stored[KEY_PREFIX])["records"] == edited_folder
