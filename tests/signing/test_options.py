# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The scheme ``hmac``: its options reproduce other schemes, and each invalid option is named."""

from __future__ import annotations

import json

import pytest

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.operators.delivery import DeliverEventOperator
from airflow_provider_hooks.signing import SCHEMES, SignatureError, sign, verify
from tests.airflow_context import SECRET, make_context
from tests.security.deliveries import split_request
from tests.servers import OK, raw_server

NOW = 1_700_000_000
BODY = b'{"hello":"world"}'
LIKE = {
    "sentry": {"header": "X-Sentry-Hook-Signature"},
    "zstack": {
        "header": "X-Webhook-Signature",
        "value": "v1={signature}",
        "content": "{timestamp}.{body}",
        "timestamp_header": "X-Webhook-Timestamp",
    },
    "standard_webhooks": {
        "header": "webhook-signature",
        "value": "v1,{signature}",
        "content": "{id}.{timestamp}.{body}",
        "encoding": "base64",
        "timestamp_header": "webhook-timestamp",
        "id_header": "webhook-id",
    },
    "github": {"header": "X-Hub-Signature-256", "value": "sha256={signature}", "id_header": "X-GitHub-Delivery"},
    "slack": {
        "header": "X-Slack-Signature",
        "value": "v0={signature}",
        "content": "v0:{timestamp}:{body}",
        "timestamp_header": "X-Slack-Request-Timestamp",
    },
    "stripe": {
        "header": "Stripe-Signature",
        "value": "t={timestamp},v1={signature}",
        "content": "{timestamp}.{body}",
    },
}


@pytest.mark.parametrize(("scheme", "options"), LIKE.items(), ids=LIKE)
def test_options_reproduce_the_scheme_of_a_vendor(scheme, options):
    row = SCHEMES[scheme]
    made = SCHEMES["hmac"].with_options(options).with_key_format(row.key_format)
    headers = sign(made, body=BODY, secrets=[SECRET], delivery_id="d-1", timestamp=NOW)
    assert headers == sign(row, body=BODY, secrets=[SECRET], delivery_id="d-1", timestamp=NOW)
    verify(made, headers=headers, body=BODY, secrets=[SECRET], now=NOW)
    with pytest.raises(SignatureError):
        verify(made, headers=headers, body=BODY + b" ", secrets=[SECRET], now=NOW)


def read(options: object, *, scheme: str = "hmac", allowed: tuple[str, ...] = (), **extra: object):
    fields = ConnectionFields(
        conn_id="c", host="https://h.example/", password=SECRET, extra={"scheme": scheme, "signature": options, **extra}
    )
    return read_endpoint(fields, default_timeout=1, read_variable=lambda name: None, allowed_headers=allowed)


def find_problems(options: object, **extra: object) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        read(options, **extra)
    return dict(caught.value.problems)


@pytest.mark.parametrize("form", [dict, json.dumps])
def test_delivery_signed_by_options_is_verified_by_the_same_options(connect, form):
    options = {
        "header": "X-Partner-Signature",
        "value": "ts={timestamp};h1={signature}",
        "content": "{id}.{timestamp}/{body}",
        "hash": "sha512",
        "encoding": "base64url",
        "id_header": "X-Partner-Id",
    }
    with raw_server(OK) as receiver:
        connect(receiver.url, scheme="hmac", signature=form(options))
        record = DeliverEventOperator(task_id="t", event_type="orders.loaded", event_id="1", data={}).execute(
            make_context()
        )
    assert record["scheme"] == "hmac"
    headers, body = split_request(receiver.requests[0])
    signer = SCHEMES["hmac"].with_options(options)
    verify(signer, headers=headers, body=body, secrets=[SECRET])
    for changed in ({"body": body + b" "}, {"secrets": ["another"]}, {"headers": {**headers, "X-Partner-Id": "x"}}):
        with pytest.raises(SignatureError):
            verify(signer, **{"headers": headers, "body": body, "secrets": [SECRET], **changed})


@pytest.mark.parametrize("options", [None, "", " ", {}, "{}", {"header": None}])
def test_default_is_the_hex_hmac_of_the_body_in_x_signature(options):
    assert list(sign(read(options).scheme, body=BODY, secrets=[SECRET], delivery_id="d", timestamp=NOW)) == [
        "X-Signature"
    ]


def test_all_invalid_options_are_named_in_one_error_without_their_values():
    problems = find_problems(
        {
            "header": "X A",
            "value": "private={timestamp}",
            "content": "{timestamp}{body}",
            "hash": "private",
            "encoding": 7,
            "prefix": "private",
            "timestamp_headr": "X-Time",
        },
        timeout="never",
    )
    wrong = ("header", "value", "content", "hash", "encoding", "prefix", "timestamp_headr", "timestamp_header")
    assert set(problems) == {*(f"extra.signature '{name}'" for name in wrong), "extra.timeout"}
    assert "did you mean timestamp_header?" in problems["extra.signature 'timestamp_headr'"]
    assert "private" not in str(problems)


@pytest.mark.parametrize(
    ("options", "option", "problem"),
    [
        ({"hash": "sha1"}, "hash", "must be one of sha256, sha384, sha512"),
        ({"encoding": "base32"}, "encoding", "must be one of hex, base64, base64url"),
        ({"content": "{timestamp}.{body}"}, "timestamp_header", "is missing, but the timestamp is signed"),
        ({"content": "{id}.{body}"}, "id_header", "is missing, but the id is signed"),
        ({"content": "{id}-{body}", "id_header": "X-Id"}, "content", "needs a full stop between {id}"),
        ({"value": "t={timestamp},v1={signature}", "timestamp_header": "X-T"}, "timestamp_header", "the time twice"),
        ({"value": "t={timestamp}v1={signature}"}, "value", "must end with {signature}"),
        ({"value": "{signature};"}, "value", "must end with {signature}"),
        ({"value": "sha256={digest}"}, "value", "must end with {signature}"),
        ({"value": "a,b={timestamp},{signature}"}, "value", "must not be in the text before the time"),
        ({"value": "é{signature}"}, "value", "must be printable ASCII text"),
        ({"value": " {signature}"}, "value", "without blanks at its ends"),
        ({"value": "x" * 300 + "{signature}"}, "value", "must be 1 to 256 characters"),
        ({"header": ""}, "header", "must be 1 to 256 characters"),
        ({"header": "X-A\r\nX-B"}, "header", "must be a tuple of names of HTTP headers"),
        ({"header": "X-A", "id_header": "x-a"}, "header", "names one header twice"),
        ({"header": "X-A", "id_header": "x_a"}, "header", "names one header twice"),
        ({"value": "{timestamp},{signature}"}, "value", "begin with different texts"),
        ({"value": "t={timestamp},t={signature}"}, "value", "begin with different texts"),
        ({"value": "v{timestamp},v1={signature}"}, "value", "begin with different texts"),
        ({"value": "a{timestamp},{signature}"}, "value", "begin with different texts"),
    ],
)
def test_invalid_option_is_refused(options, option, problem):
    assert problem in find_problems(options)[f"extra.signature '{option}'"]


@pytest.mark.parametrize("text", ["{", "[]", "7", '"x"', 7, True, ["header"], "[" * 100_000])
def test_options_that_are_not_an_object_are_refused(text):
    assert find_problems(text)["extra.signature"].startswith("must be a JSON object of options")


def test_duplicate_option_is_refused():
    assert find_problems('{"header": "X-A", "header": "X-B"}')["extra.signature"] == "has an option more than once"


@pytest.mark.parametrize("scheme", [name for name, row in SCHEMES.items() if not row.options])
def test_options_are_refused_for_a_scheme_without_options(scheme):
    extra = {"password": None} if scheme == "none" else {}
    problems = find_problems({"header": "X-A"}, scheme=scheme, **{key: None for key in extra if key != "password"})
    assert f"is not an option of the scheme {scheme}; there are none" in problems["extra.signature 'header'"]


class TestHeaders:
    @pytest.mark.parametrize(
        "name",
        ["X-Partner", "Authorization", "Paddle-Signature", "X-Hub-Signature-256", "webhook-signature", "Hmac-Sha256"],
    )
    def test_signature_header_name_is_accepted(self, name):
        assert read({"header": name}).scheme.signature_header == name

    @pytest.mark.parametrize("option", ["header", "timestamp_header", "id_header"])
    @pytest.mark.parametrize(
        "name", ["Host", "content-length", "Content_Type", "X-Service-Hook-Delivery", "Proxy-Authorization", "Expect"]
    )
    def test_header_of_http_or_of_the_provider_is_refused(self, option, name):
        problems = find_problems({option: name}, allowed=(name,))
        assert "is set by the provider" in problems[f"extra.signature '{name}'"]

    def test_other_header_must_be_in_allowed_headers(self):
        assert "list it in allowed_headers" in find_problems({"header": "Cookie"})["extra.signature 'Cookie'"]
        assert read({"header": "Cookie"}, allowed=("cookie",)).scheme.signature_header == "Cookie"

    @pytest.mark.parametrize(
        "extra",
        [{"secret_headers": {"x-PARTNER": "a"}}, {"id_header": "X-PARTNER"}],
        ids=["secret_headers", "id_header"],
    )
    def test_header_used_by_another_field_is_refused(self, extra):
        problems = find_problems({"header": "X-Partner"}, **extra)
        assert "which another field has too" in problems["extra.signature"]
