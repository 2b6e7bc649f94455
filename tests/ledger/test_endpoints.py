# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Counts of the deliveries of endpoints in intervals of a period, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_provider_hooks.ledger.endpoints import HealthBucket, count_by_time
from tests.ledger.deliveries import Ledger

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_deliveries_are_counted_in_the_interval_of_their_claim(database):
    ledger = Ledger(database)
    for outcome, seconds, endpoint in (
        ("delivered", -1, "one"),
        ("delivered", 0, "one"),
        ("rejected", 59.9, "one"),
        ("unknown", 60, "one"),
        ("claimed", 61, "one"),
        ("delivered", 185, "two"),
    ):
        ledger.add(outcome, at=(BEGIN + timedelta(seconds=seconds)).isoformat(), endpoint=endpoint)
    assert count_by_time(database, since=BEGIN, seconds=60) == [
        HealthBucket(endpoint="one", number=0, delivered=1, failed=1),
        HealthBucket(endpoint="one", number=1, delivered=0, failed=1),
        HealthBucket(endpoint="two", number=3, delivered=1, failed=0),
    ]
