# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Lists and details of deliveries in the ledger, on SQLite and on PostgreSQL."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_hooks.delivery.claims import ClaimOrigin, TaskSlots, pin_slots
from airflow_provider_hooks.exceptions import RecordError, ValidationError
from airflow_provider_hooks.ledger.claims import LedgerClaimStore
from airflow_provider_hooks.ledger.history import (
    Filters,
    count_by_endpoint,
    find_delivery,
    list_deliveries,
    list_of_task_instance,
)
from airflow_provider_hooks.ledger.schema import migrate
from airflow_provider_hooks.stream.claims import StreamClaim
from tests.ledger.deliveries import Ledger, make_stream
from tests.ledgers import describe_sqlite, open_database

TASK = ClaimOrigin(origin="task", dag_id="a_dag", run_id="a_run", task_id="a_task", map_index=-1)
BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
ID = "00000007-0000-5000-8000-00000000000"


def at(hours: float) -> str:
    return (BEGIN + timedelta(hours=hours)).isoformat()


@pytest.fixture
def ledger(database) -> Ledger:
    return Ledger(database)


def find_ids(ledger: Ledger, *, limit: int = 100, **filters: object) -> list[int]:
    page = list_deliveries(ledger.database, filters=Filters(**filters), limit=limit)
    return [one.id for one in page.deliveries]


def test_the_newest_delivery_is_first_and_slots_are_not_listed(ledger):
    slots = LedgerClaimStore(ledger.database, "slots", TaskSlots, origin=TASK)
    pin_slots(slots, TaskSlots(generation="0", slots=("a", "b")))
    ids = [ledger.add(at=at(hours)) for hours in (2, 3, 1)]
    assert find_ids(ledger) == [ids[1], ids[0], ids[2]]
    assert find_ids(ledger, dag_id="a_dag") == find_ids(ledger)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"outcomes": ("unknown",)}, [1]),
        ({"outcomes": ("unknown", "claimed", "delivered")}, [5, 4, 1, 0]),
        ({"endpoint": "other"}, [2]),
        ({"event_type": "orders.late"}, [3]),
        ({"event_id": "e-4"}, [4]),
        ({"dag_id": "other_dag"}, [5]),
        ({"run_id": "other_run"}, [5]),
        ({"dag_id": "a_dag", "run_id": "other_run"}, []),
        ({"since": BEGIN + timedelta(hours=4)}, [5, 4]),
        ({"until": BEGIN + timedelta(hours=1)}, [0]),
        ({"since": BEGIN + timedelta(hours=1), "until": BEGIN + timedelta(hours=3)}, [2, 1]),
        ({"since": (BEGIN + timedelta(hours=4)).astimezone(timezone(timedelta(hours=5)))}, [5, 4]),
        ({"outcomes": ("rejected", "unknown"), "endpoint": "other"}, [2]),
        ({"endpoint": "' OR 1 = 1 --"}, []),
        ({"task_id": "a_task", "map_index": -1}, [5, 4, 3, 2, 1, 0]),
        ({"map_index": 7}, []),
        ({"visible_dags": frozenset({"other_dag"})}, [5]),
        ({"visible_dags": frozenset()}, []),
        ({"visible_dags": frozenset({"a_dag"}), "outcomes": ("rejected", "unknown")}, [2, 1]),
        ({"search": "e-4"}, [4]),
        ({"search": "e-4", "outcomes": ("delivered", "claimed")}, [4]),
        ({"search": "00000003"}, [3]),
        ({"search": "00000"}, []),
        ({"search": "%"}, []),
    ],
    ids=str,
)
def test_filter_lists_deliveries_that_match_all_conditions(ledger, filters, expected):
    ids = [
        ledger.add("delivered", at=at(0)),
        ledger.add("unknown", at=at(1)),
        ledger.add("rejected", at=at(2), endpoint="other"),
        ledger.add("not_sent", at=at(3), event_type="orders.late"),
        ledger.add("claimed", at=at(4), event_id="e-4"),
        ledger.add("delivered", at=at(5), dag_id="other_dag", run_id="other_run"),
    ]
    assert find_ids(ledger, **filters) == [ids[number] for number in expected]


@pytest.mark.parametrize("filters", [{}, {"outcomes": ("delivered", "unknown")}], ids=["one part", "two parts"])
def test_pages_have_every_delivery_once_even_with_equal_times(ledger, filters):
    # Two have a time without a fraction of a second, which sorts before one with a fraction.
    times = [at(1), at(1), at(1), "2026-01-01T01:00:00.000001+00:00", "2026-01-01T01:00:00.5+00:00", at(2), at(0)]
    ids = [ledger.add(["delivered", "unknown"][number % 2], at=time) for number, time in enumerate(times)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = list_deliveries(ledger.database, filters=Filters(**filters), limit=2, after=cursor)
        seen += [one.id for one in page.deliveries]
        cursor, pages = page.next_cursor, pages + 1
    assert seen == [ids[number] for number in (5, 4, 3, 2, 1, 0, 6)]
    assert pages == 4


def test_a_new_delivery_does_not_move_the_next_page(ledger):
    ids = [ledger.add(at=at(hours)) for hours in range(4)]
    first = list_deliveries(ledger.database, filters=Filters(), limit=2)
    ledger.add(at=at(9))
    second = list_deliveries(ledger.database, filters=Filters(), limit=2, after=first.next_cursor)
    assert [one.id for one in (*first.deliveries, *second.deliveries)] == ids[::-1]
    assert second.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "ä", "MSB4", "eCB5", "MQ==", "' OR 1"])
def test_invalid_cursor_is_refused(ledger, cursor):
    with pytest.raises(ValidationError, match="not a cursor"):
        list_deliveries(ledger.database, filters=Filters(), limit=2, after=cursor)


def test_times_are_iso_8601_in_utc_and_numbers_are_not_text(ledger):
    ledger.add("rejected", at="2026-01-01T01:02:03.456789+00:00")
    (one,) = list_deliveries(ledger.database, filters=Filters(), limit=1).deliveries
    assert one.claimed_at == "2026-01-01T01:02:03.456789+00:00"
    assert (one.status_code, one.duration_ms, one.error_class, one.map_index) == (500, 2.5, None, -1)
    assert one.source == "a_dag.a_task a_run"


def test_delivery_is_found_by_row_id_delivery_id_or_prefix(ledger):
    row = ledger.add("unknown", delivery_id=f"{ID}1", at=at(1))
    ledger.add(delivery_id="10000007-0000-5000-8000-000000000001")
    ledger.add_payload(f"{ID}1", at=at(2))
    for text in (str(row), f"{ID}1", ID[:6], ID[:12].upper()):
        details = find_delivery(ledger.database, text)
        assert details.delivery.id == row
        assert [attempt.record["outcome"] for attempt in details.attempts] == ["unknown"]
        assert details.claim["info"]["delivery_id"] == f"{ID}1"
        assert details.payload_stored_at is not None


@pytest.mark.parametrize("text", ["0", "99999999", "9" * 30, ID[:5], "", "f" * 36, "%", "0000000%", "_" * 8, "a_dag"])
def test_missing_delivery_is_an_error(ledger, text):
    ledger.add(delivery_id=f"{ID}1")
    with pytest.raises(ValidationError, match="there is none"):
        find_delivery(ledger.database, text)


def test_an_ambiguous_id_lists_the_newest_matches(ledger):
    rows = [ledger.add(delivery_id=f"{ID}{number:x}", at=at(number)) for number in range(12)]
    with pytest.raises(ValidationError, match="more than 10 deliveries match") as caught:
        find_delivery(ledger.database, ID)
    listed = [row for row in rows if f" {row} ({ID}" in str(caught.value)]
    assert listed == rows[2:]


def test_row_id_takes_precedence_over_a_delivery_id_prefix(ledger):
    ledger.add(delivery_id="123456ab-x")
    is_sqlite = ledger.database.target.dialect == "sqlite"
    ledger.database.run(
        "UPDATE sqlite_sequence SET seq = 123455 WHERE name = 'service_hook_deliveries'"
        if is_sqlite
        else "SELECT setval(pg_get_serial_sequence('service_hook_deliveries', 'id'), 123455)"
    )
    assert find_delivery(ledger.database, "123456").delivery.delivery_id == "123456ab-x"
    row = ledger.add()
    assert row == 123456
    assert find_delivery(ledger.database, "123456").delivery.id == row


def test_a_search_finds_a_delivery_once(ledger):
    row = ledger.add(delivery_id="event-1-is-its-id", event_id="event-1-is-its-id", at=at(1))
    assert find_ids(ledger, search="event-1-is-its-id") == [row]


def test_two_runs_that_delivered_the_same_event_are_two_deliveries(ledger):
    rows = [ledger.add(delivery_id=f"{ID}1", run_id=run) for run in ("one", "two")]
    with pytest.raises(ValidationError, match="2 deliveries match") as caught:
        find_delivery(ledger.database, f"{ID}1")
    assert "a_dag.a_task one" in str(caught.value)
    assert "a_dag.a_task two" in str(caught.value)
    assert find_delivery(ledger.database, str(rows[1])).delivery.run_id == "two"


def test_number_with_a_leading_zero_is_a_delivery_id_prefix(ledger):
    rows = [ledger.add(delivery_id=f"0000000{number}-x") for number in (2, 1)]
    for number, row in ((2, rows[0]), (1, rows[1])):
        assert find_delivery(ledger.database, f"0000000{number}").delivery.id == row
        assert find_delivery(ledger.database, str(row)).delivery.id == row


@pytest.mark.parametrize("text", ["[]", "no JSON", '"x"'])
def test_unreadable_claim_is_an_error(ledger, text):
    row = ledger.add()
    ledger.database.run("UPDATE service_hook_deliveries SET claim = ?", (text,))
    with pytest.raises(RecordError, match="cannot be read"):
        find_delivery(ledger.database, str(row))


def test_attempt_stored_only_in_the_claim_is_shown(ledger):
    row = ledger.add("rejected", at=at(1))
    ledger.database.run("DELETE FROM service_hook_attempts")
    (attempt,) = find_delivery(ledger.database, str(row)).attempts
    assert (attempt.record["outcome"], attempt.claimed_at[:19]) == ("rejected", at(1)[:19])


def test_deliveries_of_a_task_instance_match_its_map_index_and_run(ledger):
    mine = [ledger.add(map_index=1), ledger.add(map_index=1, once="event")]
    for other in ({"map_index": 2}, {"run_id": "other"}, {"task_id": "other"}, {"dag_id": "other"}):
        ledger.add(**{"map_index": 1, **other})
    first = find_delivery(ledger.database, str(mine[0])).delivery
    found = list_of_task_instance(ledger.database, first)
    assert [(one.id, one.once) for one in found] == list(zip(mine, ("run", "event"), strict=True))


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "newest"),
        ({"outcomes": ("unknown",)}, "undelivered"),
        ({"endpoint": "an_endpoint"}, "endpoint"),
        ({"endpoint": "an_endpoint", "outcomes": ("rejected",)}, "failing"),
        ({"event_type": "orders.loaded"}, "event_type"),
        ({"event_id": "event-1"}, "event"),
        ({"search": "event-1"}, "event"),
        ({"search": "event-1"}, "delivery"),
        ({"dag_id": "a_dag"}, "dag"),
        ({"run_id": "a_run"}, "run"),
    ],
    ids=str,
)
def test_each_filter_has_an_index(tmp_path, filters, index):
    """On SQLite, which chooses an index without statistics; ``benchmarks/ledger_size.py`` measures PostgreSQL."""
    database = open_database(describe_sqlite(tmp_path))
    migrate(database)
    plans, run = [], database.run

    def explain(sql, parameters=()):
        plans.extend(row[-1] for row in run(f"EXPLAIN QUERY PLAN {sql}", parameters))
        return []

    database.run = explain
    list_deliveries(database, filters=Filters(**filters), limit=5)
    database.close()
    assert re.search(rf"service_hook_deliveries_{index}\b", "\n".join(plans)), plans


def test_deliveries_are_counted_by_endpoint_kind_and_outcome(ledger):
    for outcome, hours in (("delivered", 1), ("delivered", 2), ("unknown", 3), ("delivered", -1)):
        ledger.add(outcome, at=at(hours))
    ledger.add(endpoint="other", at=at(4))
    stream = make_stream("done")
    origin = ClaimOrigin(origin="task", endpoint="other", dag_id="a_dag", run_id="a_run", task_id="b", map_index=-1)
    LedgerClaimStore(ledger.database, "stream", StreamClaim, origin=origin).acquire(None, stream)
    counts = count_by_endpoint(ledger.database, filters=Filters(since=BEGIN))
    assert [(one.endpoint, one.kind, one.outcome, one.deliveries, one.mean_ms) for one in counts] == [
        ("an_endpoint", "event", "delivered", 2, 2.5),
        ("an_endpoint", "event", "unknown", 1, 2.5),
        ("other", "event", "delivered", 1, 2.5),
        ("other", "stream", "delivered", 1, None),
    ]
    only = count_by_endpoint(ledger.database, filters=Filters(outcomes=("unknown",)))
    assert [one.outcome for one in only] == ["unknown"]
