# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The libraries that receivers use verify and parse deliveries."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import stripe
from cloudevents.v1.http import from_http
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import InvalidSignature as RefusedMessageError
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from airflow_provider_hooks.operators.delivery import DeliverEventOperator
from airflow_provider_hooks.signing import SCHEMES, SignatureError, verify
from tests.airflow_context import SECRET, make_context
from tests.servers import OK, raw_server
from tests.signing.test_keys import PUBLIC_PEM, WHPK, WHSK
from tests.signing.test_message_signatures import library_verify

DATA = {"orders": 12, "text": "é \u2028 😀", "list": [1, None, True, 0.5]}
FORMATS = ("standard_webhooks", "cloudevents", "cloudevents_binary", "raw")


@pytest.fixture
def deliver(connect):
    """Deliver an event, and return the headers, the body and the URL of the request."""

    def run(name: str, **extra: object) -> tuple[dict[str, str], bytes, str]:
        with raw_server(OK) as receiver:
            connect(receiver.url, format=name, **{"scheme": "standard_webhooks", **extra})
            DeliverEventOperator(task_id="t", event_type="orders.loaded", event_id="order-7", data=DATA).execute(
                make_context()
            )
        head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
        pairs = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        return {name.lower(): text for name, text in pairs}, body, receiver.url

    return run


Check = Callable[[dict[str, str], bytes, str, str], None]
"""Verifies headers, body, URL and key with a library; raises an exception if it refuses them."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library that receivers use, with a signing secret, the key that verifies it, and the key of another sender."""

    scheme: str
    check: Check
    error: type[Exception]
    """The exception that ``check`` raises for a forgery."""
    secret: str = SECRET
    known: str = SECRET
    other: str = "whsec_" + "QUJD" * 8


def check_slack(headers: dict[str, str], body: bytes, _: str, secret: str) -> None:
    assert SignatureVerifier(secret).is_valid_request(body, headers)


def check_ed25519(headers: dict[str, str], body: bytes, _: str, public: str) -> None:
    """Verify ``v1a`` as Standard Webhooks specifies it; its library for Python does not support it yet."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    Ed25519PublicKey.from_public_bytes(base64.b64decode(public[5:])).verify(base64.b64decode(signature), content)


LIBRARIES = {
    "standardwebhooks": Library(
        scheme="standard_webhooks",
        check=lambda headers, body, _, secret: Webhook(secret).verify(body.decode(), headers),
        error=WebhookVerificationError,
    ),
    "svix": Library(
        scheme="standard_webhooks",
        check=lambda headers, body, _, secret: SvixWebhook(secret).verify(body, headers),
        error=WebhookVerificationError,
    ),
    "cryptography": Library(
        scheme="standard_webhooks",
        check=check_ed25519,
        error=InvalidSignature,
        secret=WHSK,
        known=WHPK,
        other=f"whpk_{'A' * 43}=",
    ),
    "stripe": Library(
        scheme="stripe",
        check=lambda headers, body, _, secret: stripe.WebhookSignature.verify_header(
            body, headers["stripe-signature"], secret, tolerance=300
        ),
        error=stripe.SignatureVerificationError,
    ),
    "slack_sdk": Library(scheme="slack", check=check_slack, error=AssertionError),
    "http-message-signatures by HMAC": Library(
        scheme="http_message_signatures", check=library_verify, error=RefusedMessageError
    ),
    "http-message-signatures by ed25519": Library(
        scheme="http_message_signatures",
        check=library_verify,
        error=RefusedMessageError,
        secret=WHSK,
        known=WHPK,
        other=PUBLIC_PEM,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
def test_receiver_libraries_verify_every_format_and_refuse_forgeries(deliver, library, name):
    headers, body, url = deliver(name, scheme=library.scheme, password=library.secret)
    library.check(headers, body, url, library.known)
    verify(library.scheme, headers=headers, body=body, secrets=[library.known], method="POST", url=url)
    names = [name.lower() for name in SCHEMES[library.scheme].header_names]
    (timestamp,) = {number for name in names for number in re.findall(r"\b[0-9]{10}\b", headers[name])}
    later = {name: headers[name].replace(timestamp, str(int(timestamp) + 1)) for name in names}
    for forged_headers, forged_body, key in (
        (headers, body + b" ", library.known),
        ({**headers, **later}, body, library.known),
        (headers, body, library.other),
    ):
        with pytest.raises(library.error):
            library.check(forged_headers, forged_body, url, key)
        with pytest.raises(SignatureError):
            verify(library.scheme, headers=forged_headers, body=forged_body, secrets=[key], method="POST", url=url)


@pytest.mark.parametrize(
    ("scheme", "header", "value"),
    [
        ("github", "x-github-event", "orders.loaded"),
        ("sentry_integration", "sentry-hook-resource", "orders_loaded"),
    ],
)
def test_event_type_is_sent_in_the_header_of_the_scheme(deliver, scheme, header, value):
    headers, _, _ = deliver("raw", scheme=scheme)
    assert headers[header] == value


@pytest.mark.parametrize("name", ["cloudevents", "cloudevents_binary"])
def test_cloudevents_library_parses_both_modes(deliver, name):
    headers, body, _ = deliver(name)
    event = from_http(headers, body)
    assert (event["specversion"], event["id"], event["type"], event["time"]) == (
        "1.0",
        "order-7",
        "orders.loaded",
        "2026-01-01T12:00:00.000Z",
    )
    assert event["source"] == "http://localhost:8080/dags/a_dag/tasks/a_task"
    assert event.data == DATA


def test_standard_webhook_payload_has_type_timestamp_and_data(deliver):
    _, body, _ = deliver("standard_webhooks")
    assert json.loads(body) == {"type": "orders.loaded", "timestamp": "2026-01-01T12:00:00.000Z", "data": DATA}
