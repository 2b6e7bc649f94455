# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import datetime as dt
import json

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor

from airflow_provider_hooks.events import build_event_alert, build_event_created, events_from_assets
from airflow_provider_hooks.exceptions import ValidationError
from tests.events_data import ALERT, CREATED

NOON = dt.datetime(2024, 1, 1, 12, 0, tzinfo=dt.timezone.utc)
SOURCE = {
    "source_dag_id": "load",
    "source_task_id": "count",
    "source_run_id": "run-1",
    "source_map_index": -1,
}
NOBODY = dict.fromkeys(SOURCE)


def make(extra: dict, *, minutes: int = 0, name: str = "orders", **fields: object) -> AssetEventDagRunReferenceResult:
    """Make an asset event in the class in which a task gets it."""
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


def read(*asset_events: AssetEventDagRunReferenceResult) -> list[dict]:
    """Read them as a task gets them; what comes out is what a task can return."""
    found = events_from_assets(TriggeringAssetEventsAccessor.build(asset_events))
    assert json.loads(json.dumps(found)) == found
    return found


def test_fields_by_name_are_an_event_with_the_time_and_culprit_of_the_asset_event():
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
def test_a_documented_payload_is_delivered_as_it_came(payload, build, wrap):
    (event,) = read(make(wrap(payload)))
    assert build(event) == payload


def test_an_event_without_an_id_has_one_that_is_the_same_on_every_try():
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
        NOBODY,
    ],
)
def test_another_asset_event_has_another_id(other):
    assert len(read(make({}), make({}, **other))) == 2


def test_a_hook_without_an_id_in_its_body_is_known_by_its_sender_s_delivery_id():
    hook = {"from_webhook": True, "webhook": "orders", "delivery_id": "d-1", "payload": {"message": "x"}}
    (event,) = read(make(hook, **NOBODY), make(hook, minutes=5, **NOBODY))
    assert event["datetime"] == "2024-01-01T12:00:00+00:00", "the first stands"
    assert "culprit" not in event
    assert len(read(make(hook), make({**hook, "webhook": "refunds"}), make({**hook, "delivery_id": "d-2"}))) == 3
    unknown = {**hook, "delivery_id": None}
    assert len(read(make(unknown), make(unknown, minutes=1))) == 2, "without any, every one is another"


def test_several_are_in_the_order_of_their_times_whatever_order_airflow_tells_them_in():
    events = [make({"id": f"e{n}"}, minutes=n, name=f"asset {n % 2}") for n in range(5)]
    assert [event["id"] for event in read(*events[::-1])] == ["e0", "e1", "e2", "e3", "e4"]
    assert read(*events[::-1]) == read(*events)
    together = [make({}, name=name) for name in ("a", "b")]
    assert read(*together) == read(*together[::-1])


def test_the_same_id_told_twice_is_one_event_and_the_first_stands():
    (event,) = read(make({"id": "e", "message": "later"}, minutes=1), make({"id": "e", "message": "first"}))
    assert event["message"] == "first"


def test_an_asset_event_that_is_told_under_an_alias_too_is_one_event():
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
def test_what_is_wrong_with_one_is_told_by_its_own_delivery_and_harms_no_other(extra, problem):
    wrong, right = read(make(extra), make(ALERT, minutes=1))
    with pytest.raises(ValidationError, match=problem):
        build_event_alert(wrong)
    assert build_event_alert(right) == ALERT


def test_a_run_that_no_asset_started_has_no_events():
    assert read() == []
    assert events_from_assets({Asset("orders"): []}) == []
