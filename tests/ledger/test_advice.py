# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What a user can do about a delivery: every outcome and every error class has an answer."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.ledger.advice import advise
from airflow_provider_hooks.ledger.history import Delivery, DeliveryDetails
from airflow_provider_hooks.outcomes import ErrorClass


def make(*, outcome: str = "unknown", state: str | None = None, claim: dict | None = None, **fields) -> DeliveryDetails:
    nothing = dict.fromkeys(
        ("delivery_id", "event_id", "event_type", "endpoint", "status_code", "error_class", "duration_ms", "dag_id"),
        None,
    )
    place = {"run_id": None, "task_id": None, "map_index": None, "try_number": 1, "slot": "", "once": "run"}
    times = {"claimed_at": "", "updated_at": ""}
    given = {"id": 1, "kind": "event", "origin": "task", "state": state or outcome, "outcome": outcome}
    delivery = Delivery(**{**nothing, **place, **times, **given, **fields})
    return DeliveryDetails(delivery=delivery, claim_key="k", owner_token="o", claim=claim or {}, attempts=())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"outcome": "claimed"}, ["its process ended", "ask the receiver"]),
        ({"outcome": "unknown", "state": "resend"}, ["next try of its task sends it again"]),
        ({"outcome": "rejected", "status_code": 401}, ["credentials", "resend it"]),
        ({"outcome": "rejected", "status_code": 404}, ["does not know this URL", "resend it"]),
        ({"outcome": "rejected", "status_code": 301}, ["redirects are not followed", "resend it"]),
        ({"outcome": "rejected", "status_code": 418}, ["refuses the request", "resend it"]),
        ({"outcome": "rejected", "status_code": 599}, ["The receiver failed", "resend it"]),
        ({"outcome": "not_sent"}, ["resending is safe"]),
        ({"outcome": "unknown"}, ["Ask the receiver"]),
        (
            {"outcome": "unknown", "error_class": "reused_connection_lost"},
            ["was lost before a response", "Ask the receiver"],
        ),
        ({"outcome": "delivered"}, []),
        ({"outcome": "delivered", "state": "settled"}, []),
        ({"kind": "stream", "claim": {"state": "stopped"}}, ["sends the rest"]),
        ({"kind": "stream", "claim": {"summary": {"outcomes": {"rejected": 1}}}}, ["undelivered_from"]),
        ({"kind": "stream", "claim": {"state": "done", "summary": {"outcomes": {"delivered": 1}}}}, []),
    ],
)
def test_each_outcome_and_status_has_steps(given, words):
    steps = advise(make(**given))
    assert len(steps) == len(words)
    for step, part in zip(steps, words, strict=True):
        assert part in step


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_each_error_class_has_a_step_that_is_one_sentence(error_class):
    steps = advise(make(error_class=error_class.value))
    assert len(steps) == 2
    assert steps[0][0].isupper()
    assert steps[0].endswith(".")
