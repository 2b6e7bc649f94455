# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import datetime as dt
import json

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.events import build_event_alert, build_event_created, events_from_assets
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.operators.delivery import DeliverEventOperator
from tests.airflow_context import make_context
from tests.events_data import ALERT, CREATED
from tests.servers import OK, raw_server
from tests.versions import IS_3_1

NOON = dt.datetime(2024, 1, 1, 12, 0, tzinfo=dt.timezone.utc)
SOURCE = {
    "source_dag_id": "load",
    "source_task_id": "count",
    "source_run_id": "run-1",
    "source_map_index": -1,
}
NO_SOURCE = dict.fromkeys(SOURCE)


def make(extra: dict, *, minutes: int = 0, name: str = "orders", **fields: object) -> AssetEventDagRunReferenceResult:
    """Return an asset event of the class that Airflow passes to a task."""
    return AssetEventDagRunReferenceResult.model_validate(
        {
            "asset": {"name": name, "uri": name, "extra": {}},
            "extra": extra,
            "source_aliases": [],
            "timestamp": NOON + dt.timedelta(minutes=minutes),
            **SOURCE,
            **fields,
        }
    )


def read(*asset_events: AssetEventDagRunReferenceResult, **options) -> list[dict]:
    """Return the events of asset events as a task reads them; they can be serialized as its return value."""
    found = events_from_assets(TriggeringAssetEventsAccessor.build(asset_events), **options)
    assert json.loads(json.dumps(found)) == found
    return found


def test_fields_by_name_get_the_time_and_culprit_of_the_asset_event():
    (event,) = read(make({"id": "orders-1", "message": "3 orders"}))
    assert event == {
        "id": "orders-1",
        "message": "3 orders",
        "datetime": "2024-01-01T12:00:00+00:00",
        "culprit": "load.count",
    }


@pytest.mark.parametrize(("payload", "build"), [(ALERT, build_event_alert), (CREATED, build_event_created)])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda payload: payload,
        lambda payload: {**payload, "from_rest_api": True},
        lambda payload: {"from_trigger": True, "payload": payload},
        lambda payload: {"from_webhook": True, "webhook": "orders", "delivery_id": "d", "payload": payload},
    ],
)
def test_documented_payload_is_unchanged(payload, build, wrap):
    (event,) = read(make(wrap(payload)))
    assert build(event) == payload


def test_event_without_an_id_gets_the_same_id_on_every_try():
    (first,) = read(make({"message": "x"}))
    (again,) = read(make({"message": "y"}, timestamp="2024-01-01T13:00:00+01:00"))
    assert first["id"] == again["id"] == "d26020f9185a57c29cb64c38832740af"


@pytest.mark.parametrize(
    "other",
    [
        {"name": "refunds"},
        {"minutes": 1},
        {"source_run_id": "run-2"},
        {"source_task_id": "sum"},
        {"source_dag_id": "unload"},
        {"source_map_index": 1},
        NO_SOURCE,
    ],
)
def test_different_asset_events_have_different_ids(other):
    assert len(read(make({}), make({}, **other))) == 2


def test_webhook_without_an_event_id_is_identified_by_its_delivery_id():
    hook = {"from_webhook": True, "webhook": "orders", "delivery_id": "d-1", "payload": {"message": "x"}}
    (event,) = read(make(hook, **NO_SOURCE), make(hook, minutes=5, **NO_SOURCE))
    assert event["datetime"] == "2024-01-01T12:00:00+00:00", "the first asset event is used"
    assert "culprit" not in event
    assert len(read(make(hook), make({**hook, "webhook": "refunds"}), make({**hook, "delivery_id": "d-2"}))) == 3
    unknown = {**hook, "delivery_id": None}
    assert len(read(make(unknown), make(unknown, minutes=1))) == 2, (
        "without a delivery id, each asset event is an event"
    )


def test_events_are_ordered_by_time_for_any_order_of_asset_events():
    events = [make({"id": f"e{n}"}, minutes=n, name=f"asset {n % 2}") for n in range(5)]
    assert [event["id"] for event in read(*events[::-1])] == ["e0", "e1", "e2", "e3", "e4"]
    assert read(*events[::-1]) == read(*events)
    together = [make({}, name=name) for name in ("a", "b")]
    assert read(*together) == read(*together[::-1])


def test_duplicate_event_id_is_one_event_with_the_first_message():
    (event,) = read(make({"id": "e", "message": "later"}, minutes=1), make({"id": "e", "message": "first"}))
    assert event["message"] == "first"


def test_asset_event_with_an_alias_is_one_event():
    assert len(read(make({"message": "x"}, source_aliases=[{"name": "all orders"}]))) == 1


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"id": ["no", "id"]}, "id: must be a UUID"),
        ({"event": "not a mapping"}, "event: must hold a mapping of fields, not 'not a mapping'"),
        ({"from_webhook": True, "payload": [1]}, "event: must hold a mapping of fields"),
        ({"rows": 3}, "rows: is not a documented field"),
        ({}, "message: is missing"),
        ({"from_webhook": True, "payload": None, "payload_truncated": True}, "message: is missing"),
    ],
)
def test_invalid_event_does_not_stop_other_events(extra, problem):
    wrong, right = read(make(extra), make(ALERT, minutes=1))
    with pytest.raises(ValidationError, match=problem):
        build_event_alert(wrong)
    assert build_event_alert(right) == ALERT


def test_run_without_asset_events_has_no_events():
    assert read() == []
    if not IS_3_1:  # where an asset cannot be the key of a dictionary
        assert events_from_assets({Asset("orders"): []}) == []


# Own events


@pytest.mark.parametrize(
    ("extra", "data"),
    [
        ({"orders": 12, "id": "7", "datetime": "soon"}, {"orders": 12, "id": "7", "datetime": "soon"}),
        ({"orders": 12, "from_rest_api": True}, {"orders": 12}),
        ({"from_trigger": True, "payload": {"orders": 12}}, {"orders": 12}),
        ({"from_webhook": True, "webhook": "w", "delivery_id": "d", "payload": [12]}, [12]),
        ({"from_webhook": True, "webhook": "w", "delivery_id": "d"}, None),
        ({}, {}),
    ],
)
def test_extra_is_the_data_of_own_events(extra, data):
    asset_event = make(extra)
    (event,) = read(asset_event, event_type="orders.loaded")
    assert event.pop("id") == read(make({**extra, "id": None}))[0]["id"], (
        "equal to that of a documented event without an id"
    )
    assert event == {"type": "orders.loaded", "time": "2024-01-01T12:00:00+00:00", "data": data}


def test_id_field_makes_two_updates_of_one_order_one_event():
    events = [make({"order": "7"}), make({"order": "7"}, minutes=1), make({"order": None}, minutes=2)]
    assert len({event["id"] for event in read(*events, event_type="orders.loaded")}) == 3
    first, other = read(*events, event_type="orders.loaded", id_field="order")
    assert (first["id"], first["time"], len(other["id"])) == ("7", "2024-01-01T12:00:00+00:00", 32)


def test_own_event_of_an_asset_is_delivered_with_its_id_and_time(connect):
    (event,) = read(make({"orders": 12}), event_type="orders.loaded")
    with raw_server(OK) as receiver:
        connect(receiver.url, format="cloudevents")
        DeliverEventOperator(task_id="t", event=event).execute(make_context())
    body = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])
    assert (body["type"], body["id"], body["data"]) == ("orders.loaded", event["id"], {"orders": 12})
    assert body["time"] == "2024-01-01T12:00:00.000Z"


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"id": "a", "data": 1}, "event_type: must be 1 to 128"),
        ({"type": "a", "datum": 1}, "event.datum: is unknown; there are type, id, time, data"),
        ("text", "event: must be a mapping with type, id, time, data, not 'text'"),
        ({"type": "a", "time": "soon"}, "occurred_at: "),
        ({"type": "a", "id": "a b"}, "event_id: must be a UUID"),
    ],
)
def test_invalid_own_event_is_refused_with_its_field(connect, event, problem):
    with raw_server(OK) as receiver:
        connect(receiver.url)
        with pytest.raises(AirflowFailException, match=problem):
            DeliverEventOperator(task_id="t", event=event).execute(make_context())
    assert receiver.requests == []


def test_arguments_override_the_fields_of_the_event(connect):
    event = {"type": "a", "id": "a", "time": "2024-01-01T12:00:00Z", "data": 1}
    with raw_server(OK) as receiver:
        connect(receiver.url, format="cloudevents")
        task = DeliverEventOperator(
            task_id="t", event=event, event_type="b", event_id="c", occurred_at="2025-01-01T00:00:00Z", data={"d": 1}
        )
        task.execute(make_context())
    body = json.loads(receiver.requests[0].partition(b"\r\n\r\n")[2])
    assert [body[name] for name in ("type", "id", "time", "data")] == ["b", "c", "2025-01-01T00:00:00.000Z", {"d": 1}]
