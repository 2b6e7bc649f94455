# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is delivered is verified and parsed by the libraries that receivers use."""

from __future__ import annotations

import json

import pytest
import stripe
from cloudevents.v1.http import from_http
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from airflow_provider_hooks.operators.delivery import DeliverEventOperator
from tests.airflow_context import SECRET, make_context
from tests.servers import OK, raw_server

DATA = {"orders": 12, "text": "é \u2028 😀", "list": [1, None, True, 0.5]}
FORMATS = ("standard_webhooks", "cloudevents", "cloudevents_binary", "raw")


@pytest.fixture
def deliver(connect):
    """Deliver an event, and return the headers and the body that arrived."""

    def run(name: str, *, scheme: str = "standard_webhooks") -> tuple[dict[str, str], bytes]:
        with raw_server(OK) as heard:
            connect(heard.url, scheme=scheme, format=name)
            DeliverEventOperator(task_id="t", event_type="orders.loaded", event_id="order-7", data=DATA).execute(
                make_context()
            )
        head, _, body = heard.requests[0].partition(b"\r\n\r\n")
        pairs = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        return {name.lower(): text for name, text in pairs}, body

    return run


@pytest.mark.parametrize("name", FORMATS)
def test_the_library_of_standard_webhooks_verifies_every_format_and_refuses_a_forgery(deliver, name):
    headers, body = deliver(name)
    Webhook(SECRET).verify(body.decode(), headers)
    for forged_headers, forged_body in (
        (headers, body + b" "),
        ({**headers, "webhook-id": "other"}, body),
        ({**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(forged_body.decode(), forged_headers)


@pytest.mark.parametrize("name", FORMATS)
def test_the_library_of_svix_verifies_every_format_and_refuses_a_forgery(deliver, name):
    headers, body = deliver(name)
    SvixWebhook(SECRET).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        SvixWebhook(SECRET).verify(body + b" ", headers)


@pytest.mark.parametrize("name", FORMATS)
def test_the_library_of_stripe_verifies_every_format_and_refuses_a_forgery(deliver, name):
    headers, body = deliver(name, scheme="stripe")
    signature = headers["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(body, signature, SECRET, tolerance=300)
    timestamp = signature.split(",")[0].removeprefix("t=")
    later = signature.replace(timestamp, str(int(timestamp) + 1))
    for forged_body, forged, secret in (
        (body + b" ", signature, SECRET),
        (body, later, SECRET),
        (body, signature, "another secret"),
    ):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(forged_body, forged, secret)


@pytest.mark.parametrize("name", FORMATS)
def test_the_library_of_slack_verifies_every_format_and_refuses_a_forgery(deliver, name):
    headers, body = deliver(name, scheme="slack")
    verifier = SignatureVerifier(SECRET)
    assert verifier.is_valid_request(body, headers)
    assert not verifier.is_valid_request(body + b" ", headers)
    later = {**headers, "x-slack-request-timestamp": str(int(headers["x-slack-request-timestamp"]) + 1)}
    assert not verifier.is_valid_request(body, later)


@pytest.mark.parametrize(
    ("scheme", "header", "value"),
    [
        ("github", "x-github-event", "orders.loaded"),
        ("sentry_integration", "sentry-hook-resource", "orders_loaded"),
    ],
)
def test_the_event_type_is_sent_in_the_header_that_receivers_of_the_scheme_read(deliver, scheme, header, value):
    headers, _ = deliver("raw", scheme=scheme)
    assert headers[header] == value


@pytest.mark.parametrize("name", ["cloudevents", "cloudevents_binary"])
def test_the_library_of_cloudevents_parses_both_modes(deliver, name):
    headers, body = deliver(name)
    event = from_http(headers, body)
    assert (event["specversion"], event["id"], event["type"], event["time"]) == (
        "1.0",
        "order-7",
        "orders.loaded",
        "2026-01-01T12:00:00.000Z",
    )
    assert event["source"] == "http://localhost:8080/dags/a_dag/tasks/a_task"
    assert event.data == DATA


def test_the_payload_of_a_standard_webhook_has_its_three_members(deliver):
    _, body = deliver("standard_webhooks")
    assert json.loads(body) == {"type": "orders.loaded", "timestamp": "2026-01-01T12:00:00.000Z", "data": DATA}
