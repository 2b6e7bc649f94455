# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The receiver guide: its requests are those that this package signs, and its programs accept these and no others.

The programs in Python run here. Those in other languages are in ``tests/receivers``.
"""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

import pytest

from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator, DeliverEventOperator
from airflow_provider_hooks.signing import SignatureError, verify
from tests.airflow_context import make_context
from tests.receivers.checks import check_deliveries, check_id, check_requests
from tests.receivers.programs import (
    GUIDE_SCHEMES,
    REPOSITORY,
    SECRET,
    read_programs,
    read_shown_requests,
)

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.request import Preview

PROGRAMS = ("receiver_with_package.py", "receiver.py")


def test_every_program_of_the_guide_is_run():
    languages = runpy.run_path(str(REPOSITORY / "tests" / "receivers" / "test_languages.py"))["PROGRAMS"]
    assert set(read_programs()) == {*PROGRAMS, *languages}


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_signed_requests_are_accepted_and_changed_ones_are_refused(name, scheme, tmp_path):
    check_requests(name, scheme, tmp_path)


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_delivery_is_accepted_and_one_with_another_secret_is_rejected(name, scheme, tmp_path, connect):
    check_deliveries(name, scheme, tmp_path, connect)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_delivery_id_is_the_one_that_is_signed(name, tmp_path):
    check_id(name, tmp_path)


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
