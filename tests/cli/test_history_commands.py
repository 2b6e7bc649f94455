# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``deliveries list``, ``show`` and ``stats``, and ``ledger clean``, with a ledger."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.ledger.deliveries import Ledger
from tests.ledgers import open_database

ID = "00000007-0000-5000-8000-000000000001"
COMMAND = {"origin": "command", "dag_id": None, "run_id": None, "task_id": None, "map_index": None}


def ago(**span: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**span)).isoformat()


@pytest.fixture
def filled(ledger) -> Ledger:
    return Ledger(ledger)


def list_ids(run, *arguments: str) -> list[int]:
    done = run("deliveries", "list", *arguments, "-o", "json")
    assert (done.code, done.err) == (0, "")
    return [one["id"] for one in done.json["deliveries"]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), [4, 3, 2, 1, 0]),
        (("--outcome", "unknown"), [1]),
        (("--outcome", "unknown", "--outcome", "rejected"), [2, 1]),
        (("--outcome", "claimed"), [4]),
        (("--endpoint", "other"), [2]),
        (("--event-type", "orders.late"), [3]),
        (("--event-id", "e-1"), [1]),
        (("--dag-id", "other_dag"), [3]),
        (("--run-id", "other_run"), [3]),
        (("--since", "150m"), [4, 3]),
        (("--since", "1d", "--until", "3h"), [1, 0]),
        (("--limit", "2"), [4, 3]),
    ],
    ids=str,
)
def test_the_options_of_a_list_are_its_filters(run, filled, arguments, expected):
    ids = [
        filled.add("delivered", at=ago(hours=5)),
        filled.add("unknown", at=ago(hours=4), event_id="e-1"),
        filled.add("rejected", at=ago(hours=3) if "3h" not in arguments else ago(hours=2.9), endpoint="other"),
        filled.add("delivered", at=ago(hours=2), event_type="orders.late", dag_id="other_dag", run_id="other_run"),
        filled.add("claimed", at=ago(hours=1)),
    ]
    assert list_ids(run, *arguments) == [ids[number] for number in expected]


def test_the_pages_follow_each_other(run, filled):
    ids = [filled.add(at=ago(hours=hours)) for hours in (1, 2, 3)]
    first = run("deliveries", "list", "--limit", "2", "-o", "json")
    cursor = first.json["next_cursor"]
    assert list_ids(run, "--limit", "2", "--after", cursor) == ids[2:]
    table = run("deliveries", "list", "--limit", "2")
    assert table.err == f"service-hooks: there are more; the next page: --after {cursor}\n"
    assert run("deliveries", "list", "--after", cursor).err == ""


@pytest.mark.parametrize("output", ["table", "plain"])
def test_table_shows_outcome_and_origin(run, filled, output):
    filled.add("rejected", at="2026-01-01T00:00:00+00:00", delivery_id=ID, map_index=3)
    filled.add("unknown", at="2026-01-01T00:00:00+00:00", **COMMAND)
    printed = run("deliveries", "list", "-o", output).out
    assert all(text in printed for text in ("2026-01-01T00:00:00", "rejected", "500", ID, "a_dag.a_task[3]", "a_run"))
    assert all(text in printed for text in ("unknown", "timeout", "command"))


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--limit", "0"), 1, "--limit: must be 1 to 10000, not 0"),
        (("--after", "x"), 1, "the list: after: is not a cursor that a list printed"),
        (("--since", "yesterday"), 2, "must be 30m, 24h, 7d or 2w ago, or a time such as"),
        (("--since", "999999w"), 2, "must be 30m"),
        (("--outcome", "lost"), 2, "invalid choice"),
    ],
)
def test_invalid_options_of_a_list_are_refused(run, ledger, arguments, code, problem):
    done = run("deliveries", "list", *arguments)
    assert (done.code, done.out if code == 1 else "") == (code, ""), "Airflow's parser prints its help"
    assert problem in done.err


@pytest.mark.parametrize("time", ["2026-01-01T12:00:00Z", "2026-01-01T14:00:00+02:00", "2026-01-01T12:00:00"])
def test_a_time_without_a_zone_is_utc(run, filled, time):
    filled.add(at="2026-01-01T11:59:59+00:00")
    later = filled.add(at="2026-01-01T12:00:00+00:00")
    assert list_ids(run, "--since", time) == [later]


@pytest.mark.parametrize(
    ("outcome", "what_happened"),
    [
        ("delivered", "delivered (HTTP 200): orders.loaded to an_endpoint"),
        ("rejected", "rejected (HTTP 500): orders.loaded to an_endpoint"),
        ("unknown", "unknown (timeout): orders.loaded to an_endpoint"),
        (
            "claimed",
            "open: orders.loaded to an_endpoint; try 1 claimed it at 2026-01-01T00:00:00+00:00 and stored no outcome",
        ),
    ],
)
def test_show_prints_what_happened_first_and_each_attempt(run, filled, outcome, what_happened):
    row = filled.add(outcome, delivery_id=ID)
    done = run("deliveries", "show", ID[:10], "-o", "json")
    assert done.code == 0, done.err
    assert next(iter(done.json)) == "what_happened"
    assert done.json["what_happened"] == what_happened
    assert (done.json["id"], done.json["run_id"]) == (row, "a_run")
    assert [attempt["record"]["outcome"] for attempt in done.json["attempts"]] == [outcome][: outcome != "claimed"]
    table = run("deliveries", "show", str(row)).out
    assert what_happened[:40] in table.splitlines()[2]
    assert ("attempt 1: outcome" in table) == (outcome != "claimed")


def test_missing_delivery_is_one_error_line(run, ledger):
    done = run("deliveries", "show", "123")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "delivery '123': ID: there is none" in done.err


def test_stats_count_the_last_week_by_default(run, filled):
    for days in (1, 2, 8):
        filled.add("rejected", at=ago(days=days))
    done = run("deliveries", "stats", "-o", "json")
    assert [(one["endpoint"], one["outcome"], one["deliveries"]) for one in done.json] == [
        ("an_endpoint", "rejected", 2)
    ]
    assert run("deliveries", "stats", "--since", "9d", "-o", "json").json[0]["deliveries"] == 3


def test_stats_require_a_ledger(run):
    done = run("deliveries", "stats")
    assert (done.code, done.out) == (1, "")
    assert "this deployment has no ledger: set [service_hooks] ledger_conn_id" in done.err


def test_clean_prints_the_deleted_counts_and_how_to_free_space(run, filled):
    filled.add(at=ago(days=91))
    filled.add(at=ago(days=91), once="event")
    recent = filled.add(at=ago(days=89))
    counted = run("ledger", "clean", "--older-than", "90d", "--dry-run", "-o", "json").json
    assert (counted["deliveries"], counted["protecting"], counted["dry_run"]) == (1, {"once_event": 1}, True)
    done = run("ledger", "clean", "--older-than", "90d", "-o", "json")
    assert done.code == 0, done.err
    assert (done.json["deliveries"], done.json["attempts"], done.json["dry_run"]) == (1, 2, False)
    assert "VACUUM" in done.json["space"]
    everything = ("ledger", "clean", "--older-than", "90d", "--include-protecting", "-o", "json")
    assert run(*everything).json["deliveries"] == 1
    assert list_ids(run) == [recent]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--older-than", "1d"), 1, "must be 7 days ago or earlier"),
        (("--older-than", "90d", "--batch-size", "0"), 1, "batch_size: must be 1 to 10000"),
        ((), 2, "--older-than"),
    ],
)
def test_a_clean_that_would_delete_too_much_is_refused(run, filled, arguments, code, problem):
    filled.add(at=ago(days=2))
    done = run("ledger", "clean", *arguments)
    assert (done.code, done.out if code == 1 else "") == (code, ""), "Airflow's parser prints its help"
    assert problem in done.err
    assert filled.count("deliveries") == 1


def test_a_role_that_may_not_delete_cannot_clean(run, name_ledger, restricted):
    owner, worker = restricted("INSERT, SELECT, UPDATE")
    name_ledger(worker)
    assert run("deliveries", "list").code == 0
    database = open_database(owner)
    Ledger(database).add(at=ago(days=91))
    database.close()
    done = run("ledger", "clean", "--older-than", "90d")
    assert (done.code, done.out) == (1, "")
    assert "and DELETE to clean it" in done.err
