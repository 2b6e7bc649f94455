# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Checks of each program of the receiver guide, in any language."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_hooks.exceptions import DeliveryFailedError
from airflow_provider_hooks.operators.delivery import DeliverEventOperator
from tests.airflow_context import make_context
from tests.receivers.programs import (
    ACCEPTED_STATUS,
    OTHER_SECRET,
    REFUSED_STATUS,
    SECOND_SECRET,
    list_accepted,
    list_refused,
    serve_program,
)


def check_requests(name: str, scheme: str, folder: Path) -> None:
    """Check that a program accepts signed requests, and refuses changed ones."""
    with serve_program(name, scheme, folder) as receiver:
        accepted, refused = list_accepted(scheme), list_refused(scheme)
        assert receiver.send_all(accepted) == dict.fromkeys(accepted, ACCEPTED_STATUS)
        assert receiver.send_all(refused) == dict.fromkeys(refused, REFUSED_STATUS)


def check_id(name: str, folder: Path) -> None:
    """Check that a program uses the signed delivery id, and ignores the unsigned header."""
    with serve_program(name, "standard_webhooks", folder) as receiver:
        request = next(iter(list_accepted("standard_webhooks").values()))
        headers = {**request.headers, "X-Service-Hook-Delivery": "of-an-attacker"}
        assert receiver.send(replace(request, headers=headers)) == ACCEPTED_STATUS
        handled = receiver.log.read_text()
        assert request.headers["webhook-id"] in handled
        assert "of-an-attacker" not in handled


def check_deliveries(name: str, scheme: str, folder: Path, connect) -> None:
    """Check that a delivery of an operator is accepted and handled, and that one with another secret is rejected."""

    def deliver() -> dict[str, object]:
        operator = DeliverEventOperator(
            task_id="t", event_type="orders.loaded", event_id="order-7", data={"orders": 12}
        )
        return operator.execute(make_context())

    with serve_program(name, scheme, folder) as receiver:
        connect(receiver.url, scheme=scheme, password=SECOND_SECRET)
        record = deliver()
        assert (record["outcome"], record["status_code"]) == ("delivered", ACCEPTED_STATUS)
        handled = [line for line in receiver.log.read_text().splitlines() if "orders.loaded" in line]
        assert [str(record["delivery_id"]) in line for line in handled] == [True]
        connect(receiver.url, scheme=scheme, password=OTHER_SECRET)
        with pytest.raises(DeliveryFailedError, match=r"rejected \(HTTP 401\)"):
            deliver()
