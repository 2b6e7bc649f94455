# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The receiver guide: its requests are those that this package signs, and its programs accept these and no others.

``make test-receivers`` runs all programs; those in other languages than Python have the marker ``receivers``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_hooks.exceptions import DeliveryFailedError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator, DeliverEventOperator
from airflow_provider_hooks.signing import SignatureError, verify
from tests.airflow_context import make_context
from tests.receivers.programs import (
    ACCEPTED_STATUS,
    GUIDE_SCHEMES,
    OTHER_SECRET,
    REFUSED_STATUS,
    SECOND_SECRET,
    SECRET,
    list_accepted,
    list_refused,
    read_programs,
    read_shown_requests,
    serve_program,
)

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.request import Preview

PYTHON_PROGRAMS = ("receiver_with_package.py", "receiver.py")
OTHER_PROGRAMS = ("receiver.mjs", "receiver.go", "receiver.rb")
PROGRAMS = [*PYTHON_PROGRAMS, *(pytest.param(name, marks=pytest.mark.receivers) for name in OTHER_PROGRAMS)]


def test_every_program_of_the_guide_is_run():
    assert set(read_programs()) == {*PYTHON_PROGRAMS, *OTHER_PROGRAMS}


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_signed_requests_are_accepted_and_changed_ones_are_refused(name, scheme, tmp_path):
    with serve_program(name, scheme, tmp_path) as receiver:
        accepted, refused = list_accepted(scheme), list_refused(scheme)
        assert receiver.send_all(accepted) == dict.fromkeys(accepted, ACCEPTED_STATUS)
        assert receiver.send_all(refused) == dict.fromkeys(refused, REFUSED_STATUS)


def deliver() -> dict[str, object]:
    """Deliver an event by an operator, and return its record."""
    operator = DeliverEventOperator(task_id="t", event_type="orders.loaded", event_id="order-7", data={"orders": 12})
    return operator.execute(make_context())


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_delivery_is_accepted_and_one_with_another_secret_is_rejected(name, scheme, tmp_path, connect):
    with serve_program(name, scheme, tmp_path) as receiver:
        connect(receiver.url, scheme=scheme, password=SECOND_SECRET)
        record = deliver()
        assert (record["outcome"], record["status_code"]) == ("delivered", ACCEPTED_STATUS)
        handled = [line for line in receiver.log.read_text().splitlines() if "orders.loaded" in line]
        assert [str(record["delivery_id"]) in line for line in handled] == [True]
        connect(receiver.url, scheme=scheme, password=OTHER_SECRET)
        with pytest.raises(DeliveryFailedError, match=r"rejected \(HTTP 401\)"):
            deliver()


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_delivery_id_is_the_one_that_is_signed(name, tmp_path):
    with serve_program(name, "standard_webhooks", tmp_path) as receiver:
        request = next(iter(list_accepted("standard_webhooks").values()))
        headers = {**request.headers, "X-Service-Hook-Delivery": "of-an-attacker"}
        assert receiver.send(replace(request, headers=headers)) == ACCEPTED_STATUS
        handled = receiver.log.read_text()
        assert request.headers["webhook-id"] in handled
        assert "of-an-attacker" not in handled


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
def test_the_shown_requests_are_signed_with_the_shown_secret(scheme):
    request = read_shown_requests()[scheme]
    now = float(request.headers.get("webhook-timestamp", "0"))
    verify(scheme, headers=request.headers, body=request.body, secrets=[SECRET], now=now)
    with pytest.raises(SignatureError):
        verify(scheme, headers=request.headers, body=request.body + b" ", secrets=[SECRET], now=now)


def preview(scheme: str) -> Preview:
    """Return the request of the event that the guide shows, as it would be sent now."""
    if scheme == "sentry":
        operator = DeliverEventAlertOperator(
            task_id="t",
            event_id="orders-late-20260101",
            project="orders",
            culprit="orders.load",
            message="Orders are late",
            url="https://airflow.example.com/dags/orders",
            triggering_rules=["Orders arrive in time"],
        )
    else:
        operator = DeliverEventOperator(
            task_id="t", event_id="orders-20260101", event_type="orders.loaded", data={"orders": 12}
        )
    draft = operator.make_draft(make_context())
    return EndpointHook("service_hook_default").preview(draft.event_type, draft)


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
def test_the_shown_requests_are_those_that_are_sent(scheme, connect):
    connect("https://hooks.example.com/airflow", scheme=scheme, password=SECRET)
    sent, shown = preview(scheme), read_shown_requests()[scheme]
    changing = {sent.signature_header, "webhook-timestamp"}
    assert list(shown.headers) == [name for name in sent.headers if name != "Host"]
    for name, value in shown.headers.items():
        if name not in changing:
            assert sent.headers[name] == value, name
    assert shown.body == sent.body
