# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Which task instances a resend clears, and what it undoes if a clear fails; ``tests/system`` clears real ones."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.admin import actions
from airflow_provider_hooks.admin.actions import clear, plan_clears
from airflow_provider_hooks.admin.stored import LedgerDeliveries
from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.ledger.history import find_delivery
from tests.ledger.deliveries import Ledger


@pytest.fixture
def filled(ledger) -> Ledger:
    return Ledger(ledger)


@pytest.fixture
def cleared(monkeypatch):
    """Task instances that can be cleared, except those of the task ``running``."""
    found = []

    def explain(delivery):
        return "its task instance is running; wait until it has finished" if delivery.task_id == "running" else None

    monkeypatch.setattr(actions, "explain_not_cleared", explain)
    monkeypatch.setattr(actions, "clear_task_instance", lambda delivery: found.append(delivery.task_id))
    return found


def load(filled: Ledger, *rows: int):
    return [find_delivery(filled.database, str(row)) for row in rows]


def test_clear_of_a_task_instance_lists_the_other_deliveries_it_sends(filled, cleared):
    rows = [filled.add("rejected", task_id="a") for _ in range(3)]
    other = filled.add("unknown", task_id="b")
    plan = plan_clears(LedgerDeliveries(filled.database), load(filled, rows[0], other, rows[1]))
    listed = [([one.delivery.id for one in each.chosen], [one.id for one in each.along]) for each in plan.clears]
    assert (listed, plan.refused) == ([(rows[:2], rows[2:]), ([other], [])], {})
    assert cleared == []


def test_each_refused_delivery_has_a_reason(filled, cleared):
    running = [filled.add("claimed", task_id="running") for _ in range(2)]
    command, good = filled.add("rejected", origin="command", task_id=None), filled.add("rejected", task_id="a")
    plan = plan_clears(LedgerDeliveries(filled.database), load(filled, *running, command, good))
    assert [one.chosen[0].delivery.id for one in plan.clears] == [good]
    assert set(plan.refused) == {*running, command}
    assert all("wait until" in plan.refused[row] for row in running)
    assert "comes from a command" in plan.refused[command]


def test_clear_marks_claims_of_every_outcome_as_resend(filled, cleared):
    rows = [filled.add(outcome, task_id="a") for outcome in ("not_sent", "delivered")]
    clear(LedgerDeliveries(filled.database), load(filled, *rows))
    assert cleared == ["a"]
    assert [one.delivery.state for one in load(filled, *rows)] == ["resend", "resend"]


def test_failed_clear_leaves_the_claims_unchanged(filled, cleared, monkeypatch):
    def fail(_delivery):
        raise ServiceHookError("the task instance changed meanwhile")

    monkeypatch.setattr(actions, "clear_task_instance", fail)
    rows = [filled.add(outcome, task_id="a") for outcome in ("rejected", "delivered")]
    with pytest.raises(ServiceHookError, match="meanwhile"):
        clear(LedgerDeliveries(filled.database), load(filled, *rows))
    assert [one.delivery.state for one in load(filled, *rows)] == ["rejected", "delivered"]
