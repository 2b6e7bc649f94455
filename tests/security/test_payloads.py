# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Invalid payloads and secrets: each is one clear error before the claim; unusual valid ones are delivered."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from decimal import Decimal

import pytest

from airflow_provider_hooks.exceptions import NonRetryableError
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator, DeliverEventCreatedOperator
from airflow_provider_hooks.signing import SCHEMES, verify
from tests.airflow_context import StateStore
from tests.events_data import ALERT, CREATED
from tests.security.deliveries import CONN_ID, find_leaks, split_request
from tests.servers import OK, raw_server
from tests.timing import SLACK_SECONDS


@pytest.fixture
def receiver():
    with raw_server(OK) as receiver:
        yield receiver


def deliver_refused(sender, receiver, **options) -> str:
    """Deliver, assert that there is one error before the claim, and return its message."""
    store = StateStore()
    result = sender.deliver(store=store, **options)
    assert type(result.error) is NonRetryableError, result.error
    assert result.error.__suppress_context__, "one error without a context"
    assert store.stored == {}
    assert (receiver.connections, receiver.requests) == (0, [])
    assert len(str(result.error)) < 1_000
    assert result.seconds < SLACK_SECONDS
    return str(result.error)


def deliver_alert(**arguments: object):
    """Return the ``execute`` of an operator whose arguments have these values, as from templates or XComs."""
    return _render(DeliverEventAlertOperator, {"triggering_rules": ["A rule"], **arguments})


def deliver_created(**arguments: object):
    return _render(DeliverEventCreatedOperator, arguments)


def _render(kind, arguments: dict[str, object]):
    operator = kind(task_id="t", service_hook_conn_id=CONN_ID).prepare_for_execution()
    for name, value in {"message": "x", **arguments}.items():
        setattr(operator, name, value)
    return operator.execute


def make_cycle() -> object:
    value: list[object] = []
    value.append({"again": value})
    return value


@functools.cache
def nest(levels: int) -> object:
    value: object = "x"
    for _ in range(levels):
        value = [value]
    return value


NOT_JSON = {
    "NaN": (lambda: float("nan"), "is nan, which JSON cannot represent"),
    "Infinity": (lambda: float("inf"), "is inf, which JSON cannot represent"),
    "-Infinity": (lambda: float("-inf"), "is -inf, which JSON cannot represent"),
    "lone surrogate": (lambda: "a\ud800b", "has a lone surrogate"),
    "datetime": (lambda: dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc), "is a datetime, which JSON cannot represent"),
    "date": (lambda: dt.date(2026, 1, 1), "is a date, which JSON cannot represent"),
    "Decimal": (lambda: Decimal("1.1"), "is a Decimal, which JSON cannot represent"),
    "Decimal NaN": (lambda: Decimal("NaN"), "is a Decimal, which JSON cannot represent"),
    "bytes": (lambda: b"bytes", "is a bytes, which JSON cannot represent"),
    "set": (lambda: {1, 2}, "is a set, which JSON cannot represent"),
    "cycle": (make_cycle, "contains itself"),
    "100,000-deep list": (lambda: nest(100_000), "is nested over"),
    "5,000-digit integer": (lambda: 10**4_999, "is an integer beyond 64 bits"),
    "negative 5,000-digit integer": (lambda: -(10**4_999), "is an integer beyond 64 bits"),
    "float beyond the largest": (lambda: float("1e999"), "is inf, which JSON cannot represent"),
    "key that is not text": (lambda: {b"key": 1}, "has a key that is not text"),
    "key with a lone surrogate": (lambda: {"\udfff": 1}, "has a key that is not text"),
}


@pytest.mark.parametrize(("make", "words"), NOT_JSON.values(), ids=NOT_JSON)
class TestValueThatJsonCannotRepresent:
    def test_in_a_payload_is_refused_with_its_field(self, sender, receiver, make, words):
        sender.connect(receiver.url)
        message = deliver_refused(sender, receiver, payload={**ALERT, "extra": {"inner": make()}})
        assert message.startswith("payload: extra.inner")
        assert words in message

    def test_in_a_stack_frame_is_refused_with_its_path(self, sender, receiver, make, words):
        sender.connect(receiver.url)
        value = {"type": "E", "value": "", "stacktrace": {"frames": [{"lineno": make()}]}}
        message = deliver_refused(sender, receiver, run=deliver_created(event={"exception": {"values": [value]}}))
        assert message.startswith("payload: event.exception.values[0].stacktrace.frames[0].lineno")
        assert words in message

    @pytest.mark.parametrize("argument", ["message", "culprit", "project", "project_name", "level", "url", "event_id"])
    def test_as_an_argument_is_refused_with_the_argument_name(self, sender, receiver, make, words, argument):
        sender.connect(receiver.url)
        message = deliver_refused(sender, receiver, run=deliver_alert(**{argument: make()}))
        assert f": {argument}: " in message
        assert "must be" in message or words in message

    @pytest.mark.parametrize("argument", ["tags", "triggering_rules"])
    def test_in_a_list_or_mapping_is_refused_with_the_argument_name(self, sender, receiver, make, words, argument):
        sender.connect(receiver.url)
        run = deliver_created(tags={"a": make()}) if argument == "tags" else deliver_alert(triggering_rules=[make()])
        message = deliver_refused(sender, receiver, run=run)
        assert argument in message
        assert "must be" in message or words in message


def test_project_id_with_too_many_digits_is_refused_without_a_python_hint(sender, receiver):
    sender.connect(receiver.url)
    message = deliver_refused(sender, receiver, run=deliver_alert(project_id=10**4_999))
    assert "project_id: " in message
    assert "set_int_max_str_digits" not in message, "the hint of Python does not help the Dag author"


MOMENTS = ["NaN", "Infinity", "5,000 digits", "negative", "5,000 digits of text", "now"]


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), 10**4_999, -(10**400), "9" * 5_000, "now"], ids=MOMENTS)
def test_invalid_time_is_refused_with_the_argument_name(sender, receiver, moment):
    sender.connect(receiver.url)
    assert "occurred_at: must be a time with a zone" in deliver_refused(
        sender, receiver, run=deliver_created(occurred_at=moment)
    )


@pytest.mark.parametrize("event", ["mapping", "inner"])
def test_event_that_contains_itself_is_one_error_or_is_delivered(sender, receiver, event):
    """A cycle outside of the documented fields is ignored, because only those fields are sent."""
    source: dict[str, object] = dict(CREATED)
    source["event"] = source if event == "mapping" else {"event_id": "e", "tags": source}
    sender.connect(receiver.url)
    result = sender.deliver(run=deliver_created(event=source))
    assert result.error is None or type(result.error) is NonRetryableError
    assert len(receiver.requests) == (result.error is None)


@pytest.mark.parametrize("limit", [2_000, None])
def test_oversize_payload_is_refused_with_its_largest_field(sender, receiver, limit):
    sender.connect(receiver.url)
    if limit:
        sender.set(max_payload_bytes=limit)
    size = limit or 1_048_576
    message = deliver_refused(sender, receiver, payload={**ALERT, "message": "x" * size})
    assert message.startswith("payload: message: the payload has ")
    assert f"over max_payload_bytes={size}" in message


@pytest.mark.parametrize("payload", [None, "text", [], 7, b"{}"], ids=repr)
def test_payload_that_is_not_a_dict_is_refused(sender, receiver, payload):
    sender.connect(receiver.url)
    assert "must be a dict" in deliver_refused(sender, receiver, payload=lambda: payload)


def test_payload_without_an_id_is_one_error_that_names_the_field(sender, receiver):
    sender.connect(receiver.url)
    assert "id: " in deliver_refused(sender, receiver, payload={"message": "It broke"})


@pytest.mark.parametrize(
    "make", [uuid.uuid4, lambda: None, lambda: ["x"], lambda: 7], ids=["UUID", "None", "list", "7"]
)
def test_id_that_is_not_text_is_one_error_or_is_delivered(sender, receiver, make):
    sender.connect(receiver.url)
    result = sender.deliver({**ALERT, "id": make()})
    assert result.error is None or type(result.error) is NonRetryableError
    assert len(receiver.requests) == (result.error is None)


TEXT = [name for name, scheme in SCHEMES.items() if scheme.signature_header and scheme.key_format == "text"]
WHSEC = [name for name, scheme in SCHEMES.items() if scheme.signature_header and scheme.key_format == "whsec"]
BLANKS = "has blanks at an end or control characters"
UNUSABLE = {
    "empty": ("", "is empty; the scheme"),
    "only blanks": ("   ", BLANKS),
    "blanks at both ends": (" s3cret-padded ", BLANKS),
    "leading blank": (" s3cret-padded", BLANKS),
    "trailing no-break space": ("s3cret-padded\u00a0", BLANKS),
    "trailing line break": ("s3cret-padded\n", BLANKS),
    "line break inside": ("s3cret-\r\npadded", BLANKS),
    "NUL": ("s3cret-\x00padded", BLANKS),
    "only whsec_": ("whsec_", "is the prefix 'whsec_' alone"),
}
NOT_BASE64 = {
    "one byte": ("~", "is not base64 after 'whsec_'"),
    "one byte of base64": ("QQ==", "decodes to 1 bytes"),
    "whsec_ and one byte": ("whsec_QQ==", "decodes to 1 bytes"),
    "non-ASCII": ("пароль-für-tests", "is not base64 after 'whsec_'"),
    "blank after whsec_": ("whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "is not base64 after 'whsec_'"),
    "truncated": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "decodes to 23 bytes"),
    "prefix of a signature": ("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "is not base64 after 'whsec_'"),
}
USABLE = {
    "one byte": "~",
    "non-ASCII": "пароль-für-tests",
    "blank inside": "a secret",
    "10,000 characters": "s3cret-long" * 1_000,
}
REFUSED = [
    *((scheme, *case) for scheme in (*TEXT, *WHSEC) for case in UNUSABLE.values()),
    *((scheme, *case) for scheme in WHSEC for case in NOT_BASE64.values()),
]


class TestSecrets:
    @pytest.mark.parametrize(("scheme", "secret", "words"), REFUSED)
    def test_unusable_secret_is_refused_without_being_quoted(self, sender, receiver, scheme, secret, words):
        sender.connect(receiver.url, password=secret, scheme=scheme)
        message = deliver_refused(sender, receiver)
        assert message.startswith(f"connection '{CONN_ID}': password (signing secret): {words}")
        parts = [part for part in (secret, secret.strip(), secret.removeprefix("whsec_")) if len(part) > 3]
        assert [part for part in parts if part in message and part != "whsec_"] == []
        assert "padded" not in message

    @pytest.mark.parametrize("secret", USABLE.values(), ids=USABLE)
    @pytest.mark.parametrize("scheme", TEXT)
    def test_unusual_secret_signs_a_request_that_is_verified(self, sender, receiver, scheme, secret):
        sender.connect(receiver.url, password=secret, scheme=scheme)
        result = sender.deliver()
        assert result.outcome == ("delivered", None)
        headers, body = split_request(receiver.requests[0])
        verify(scheme, headers=headers, body=body, secrets=[secret], method="POST", url=receiver.url)
        if len(secret) > 1:  # one byte is in any text
            assert find_leaks(result.output, secret=secret, requests=receiver.requests) == []

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "does not exist"),
            ("", "holds no secret"),
            (" \n", "holds no secret"),
            ("[]", "holds no secret"),
            ("whsec_", "is the prefix 'whsec_' alone"),
            ('[" s3cret-padded "]', BLANKS),
            ('["s3cret-fine", ""]', "is not a list of secrets"),
            ('["s3cret-fine", 5]', "is not a list of secrets"),
            ('{"secrets": "s3cret-fine', "is not a list of secrets"),
            ('{"secrets": 5}', "is not a list of secrets"),
            ('{"s3cret-fine": []}', "is not a list of secrets"),
            ("[" * 100_000, "is not a list of secrets"),
            (f"[{'9' * 5_000}]", "is not a list of secrets"),
            ('["s3cret-\\ud800fine"]', BLANKS),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_variable_without_a_usable_secret_is_refused_with_its_name(self, sender, receiver, variables, text, words):
        if text is not None:
            variables.set("a_secret", text)
        sender.connect(receiver.url, password="", secret_variable="a_secret")
        message = deliver_refused(sender, receiver)
        assert message.startswith(f"connection '{CONN_ID}': the Variable 'a_secret' (extra.secret_variable): ")
        assert words in message
        assert "s3cret" not in message

    def test_blanks_around_a_secret_in_a_variable_are_removed(self, sender, receiver, variables):
        variables.set("a_secret", " s3cret-padded\n")
        sender.connect(receiver.url, password="", secret_variable="a_secret")
        assert sender.deliver().outcome == ("delivered", None)
        headers, body = split_request(receiver.requests[0])
        verify("sentry", headers=headers, body=body, secrets=["s3cret-padded"])
