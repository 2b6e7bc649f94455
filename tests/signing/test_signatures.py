# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import json
from pathlib import Path

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.signing import SCHEMES, Scheme, SignatureError, sign, verify

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "signing-vectors.json").read_text())
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_WHSEC = "whsec_" + "QUJD" * 8
NOW = 1_700_000_000
BODY = b'{"hello":"world"}'
SIGNING = [name for name, scheme in SCHEMES.items() if scheme.signature_header and isinstance(scheme, Scheme)]


def signed(scheme: str, *secrets: str, body: bytes = BODY) -> dict[str, str]:
    return sign(scheme, body=body, secrets=secrets or [WHSEC], delivery_id="d-1", timestamp=NOW)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["scheme"])
def test_published_vectors_are_signed_and_verified(vector):
    body, timestamp = vector["body"].encode(), vector.get("timestamp", NOW)
    headers = sign(
        vector["scheme"],
        body=body,
        secrets=[vector["secret"]],
        delivery_id=vector.get("id", "d-1"),
        timestamp=timestamp,
    )
    assert headers[SCHEMES[vector["scheme"]].signature_header] == vector["signature"]
    verify(vector["scheme"], headers=headers, body=body, secrets=[vector["secret"]], now=timestamp)


@pytest.mark.parametrize("scheme", SIGNING)
class TestEveryScheme:
    def test_signature_is_verified_with_header_names_in_any_case(self, scheme):
        headers = {name.upper(): value for name, value in signed(scheme).items()}
        verify(scheme, headers=headers, body=BODY, secrets=[WHSEC], now=NOW)

    def test_changed_body_is_refused(self, scheme):
        with pytest.raises(SignatureError, match="no signature"):
            verify(scheme, headers=signed(scheme), body=BODY + b" ", secrets=[WHSEC], now=NOW)

    def test_another_secret_is_refused(self, scheme):
        with pytest.raises(SignatureError, match="no signature"):
            verify(scheme, headers=signed(scheme), body=BODY, secrets=[OTHER_WHSEC], now=NOW)

    def test_any_of_several_secrets_verifies(self, scheme):
        verify(scheme, headers=signed(scheme), body=BODY, secrets=[OTHER_WHSEC, WHSEC], now=NOW)

    def test_several_secrets_sign_if_the_header_allows_it_else_the_newest(self, scheme):
        headers = signed(scheme, WHSEC, OTHER_WHSEC)
        verify(scheme, headers=headers, body=BODY, secrets=[WHSEC], now=NOW)
        if SCHEMES[scheme].several_signatures:
            verify(scheme, headers=headers, body=BODY, secrets=[OTHER_WHSEC], now=NOW)
        else:
            assert headers == signed(scheme, WHSEC)

    @pytest.mark.parametrize("change", ["missing", "empty", "short", "upper", "non-ascii", "prefix", "longer", "long"])
    def test_a_malformed_signature_is_refused(self, scheme, change):
        header, headers = SCHEMES[scheme].signature_header, signed(scheme)
        value = headers.pop(header)
        changed = {
            "empty": "",
            "short": value[: len(SCHEMES[scheme].signature_prefix) + 8],
            "upper": SCHEMES[scheme].signature_prefix + value.upper(),
            "non-ascii": value[:-1] + "é",
            "prefix": SCHEMES[scheme].signature_prefix,
            "longer": value + "0",
            "long": " ".join([value[:-1] + "!"] * 10_000),
        }
        if change != "missing":
            headers[header] = changed[change]
        with pytest.raises(SignatureError):
            verify(scheme, headers=headers, body=BODY, secrets=[WHSEC], now=NOW)

    def test_duplicate_header_in_another_case_is_refused(self, scheme):
        headers = signed(scheme)
        headers[SCHEMES[scheme].signature_header.swapcase()] = "x"
        with pytest.raises(SignatureError, match="more than once"):
            verify(scheme, headers=headers, body=BODY, secrets=[WHSEC], now=NOW)

    @pytest.mark.parametrize("secret", ["", " ", " padded", "padded ", "tab\t", "whsec_", "\ud800", None, b"bytes", 7])
    def test_an_unusable_secret_is_refused_without_being_quoted(self, scheme, secret):
        for call in (
            lambda: sign(scheme, body=BODY, secrets=[secret], delivery_id="d-1", timestamp=NOW),
            lambda: verify(scheme, headers=signed(scheme), body=BODY, secrets=[secret], now=NOW),
        ):
            with pytest.raises(SignatureError) as caught:
                call()
            assert "padded" not in str(caught.value)

    @pytest.mark.parametrize("secrets", [[], (), None, "a string", b"bytes", {"a": 1}, 7])
    def test_secrets_that_are_not_a_list_are_refused(self, scheme, secrets):
        with pytest.raises(SignatureError):
            verify(scheme, headers=signed(scheme), body=BODY, secrets=secrets, now=NOW)


TIMED = [name for name in SIGNING if SCHEMES[name].needs_timestamp]


def with_time(scheme: str, text: str) -> dict[str, str]:
    """Return signed headers with another timestamp."""
    row, headers = SCHEMES[scheme], signed(scheme)
    if row.timestamp_header:
        return headers | {row.timestamp_header: text}
    return headers | {row.signature_header: headers[row.signature_header].replace(str(NOW), text)}


@pytest.mark.parametrize("scheme", TIMED)
class TestTime:
    @pytest.mark.parametrize("off", [-300, -1, 0, 1, 300])
    def test_timestamp_within_the_tolerance_is_accepted(self, scheme, off):
        verify(scheme, headers=signed(scheme), body=BODY, secrets=[WHSEC], now=NOW + off)

    @pytest.mark.parametrize("off", [-301, 301, 300.001, float("nan"), float("inf"), 10**400])
    def test_timestamp_beyond_the_tolerance_is_refused(self, scheme, off):
        with pytest.raises(SignatureError):
            verify(scheme, headers=signed(scheme), body=BODY, secrets=[WHSEC], now=NOW + off)

    @pytest.mark.parametrize(
        "timestamp", ["", "abc", "nan", "inf", "1e9", "+1", "1_6", "١٦", "1" * 4301, f"{NOW}000", f" {NOW}", f"{NOW}\n"]
    )
    def test_malformed_timestamp_is_refused(self, scheme, timestamp):
        headers = with_time(scheme, timestamp)
        with pytest.raises(SignatureError):
            verify(scheme, headers=headers, body=BODY, secrets=[WHSEC], now=NOW)

    @pytest.mark.parametrize("tolerance", [float("nan"), None, "300", True])
    def test_tolerance_that_is_not_a_number_is_refused(self, scheme, tolerance):
        with pytest.raises(SignatureError):
            verify(scheme, headers=signed(scheme), body=BODY, secrets=[WHSEC], now=NOW, tolerance=tolerance)


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp"])
def test_changed_id_or_timestamp_is_refused(part):
    headers = signed("standard_webhooks") | {part: str(NOW + 1)}
    with pytest.raises(SignatureError):
        verify("standard_webhooks", headers=headers, body=BODY, secrets=[WHSEC], now=NOW)


class TestStripe:
    """The format of the vendor's library and documentation: one time, and a signature for each secret that is valid."""

    def test_signature_of_the_stripe_library_is_verified(self):
        value = stripe.WebhookSignature.generate_signature_header(BODY.decode(), WHSEC, timestamp=NOW)
        assert signed("stripe") == {"Stripe-Signature": value}
        verify("stripe", headers={"stripe-signature": value}, body=BODY, secrets=[WHSEC], now=NOW)

    def test_header_has_one_time_and_a_signature_for_each_secret(self):
        value = signed("stripe", WHSEC, OTHER_WHSEC)["Stripe-Signature"]
        assert [item.partition("=")[0] for item in value.split(",")] == ["t", "v1", "v1"]
        for secret in (WHSEC, OTHER_WHSEC):
            assert stripe.WebhookSignature.verify_header(BODY.decode(), value, secret)

    def test_signatures_of_other_versions_are_ignored(self):
        value = signed("stripe")["Stripe-Signature"] + f",v0={'0' * 64}"
        verify("stripe", headers={"Stripe-Signature": value}, body=BODY, secrets=[WHSEC], now=NOW)

    @pytest.mark.parametrize("place", [0, 2])
    def test_second_time_is_refused_at_any_position(self, place):
        items = signed("stripe")["Stripe-Signature"].split(",")
        items.insert(place, f"t={NOW}")
        with pytest.raises(SignatureError, match="more than one time"):
            verify("stripe", headers={"Stripe-Signature": ",".join(items)}, body=BODY, secrets=[WHSEC], now=NOW)

    def test_each_digest_is_masked_and_the_time_is_not(self):
        headers = signed("stripe", WHSEC, OTHER_WHSEC)
        masked = SCHEMES["stripe"].sensitive_values(headers, [WHSEC, OTHER_WHSEC])
        items = headers["Stripe-Signature"].split(",")
        assert {*items[1:], *(item.removeprefix("v1=") for item in items[1:])} <= set(masked)
        assert not any(str(NOW) in value for value in masked)


class TestSvixHeaderNames:
    """The header names of Svix, for receivers that migrate to those of Standard Webhooks."""

    @pytest.fixture
    def headers(self):
        return {name.replace("webhook-", "Svix-"): value for name, value in signed("standard_webhooks").items()}

    def test_svix_header_names_are_verified(self, headers):
        verify("standard_webhooks", headers=headers, body=BODY, secrets=[WHSEC], now=NOW)

    @pytest.mark.parametrize("name", ["Svix-id", "Svix-timestamp", "Svix-signature"])
    def test_a_changed_or_missing_header_is_refused(self, headers, name):
        for changed in ({**headers, name: "1"}, {key: value for key, value in headers.items() if key != name}):
            with pytest.raises(SignatureError):
                verify("standard_webhooks", headers=changed, body=BODY, secrets=[WHSEC], now=NOW)

    def test_header_names_of_both_kinds_are_not_mixed(self, headers):
        own = signed("standard_webhooks")
        verify("standard_webhooks", headers={**headers, **own}, body=BODY, secrets=[WHSEC], now=NOW)
        for wrong in ({**headers, "webhook-signature": "v1,AAAA"}, {**own, "webhook-id": "x", "svix-id": "d-1"}):
            with pytest.raises(SignatureError):
                verify("standard_webhooks", headers=wrong, body=BODY, secrets=[WHSEC], now=NOW)

    def test_svix_header_names_are_not_sent(self):
        assert set(signed("standard_webhooks")) == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_unknown_version_before_a_valid_signature_is_ignored():
    headers = signed("standard_webhooks")
    headers["webhook-signature"] = f"v9,abc {headers['webhook-signature']}"
    verify("standard_webhooks", headers=headers, body=BODY, secrets=[WHSEC], now=NOW)


def test_delivery_id_with_a_full_stop_is_refused():
    with pytest.raises(SignatureError, match="delivery id"):
        sign("standard_webhooks", body=BODY, secrets=[WHSEC], delivery_id="a.b", timestamp=NOW)


@pytest.mark.parametrize("secret", ["whsec_" + "QUJD" * 7, "whsec_" + "QUJD" * 22, "whsec_not base64", "kurz"])
def test_standard_webhooks_secret_must_be_24_to_64_bytes_of_base64(secret):
    with pytest.raises(SignatureError) as caught:
        signed("standard_webhooks", secret)
    assert secret not in str(caught.value)


def test_scheme_none_sends_no_header_and_verifies_any_request():
    assert sign("none", body=BODY, secrets=[], delivery_id="d-1", timestamp=NOW) == {}
    verify("none", headers={}, body=BODY, secrets=[])


@pytest.mark.parametrize("scheme", ["nope", "", None, 7, ["sentry"], {"a": 1}])
def test_an_unknown_scheme_is_refused(scheme):
    for call in (
        lambda: verify(scheme, headers={}, body=BODY, secrets=[WHSEC]),
        lambda: sign(scheme, body=BODY, secrets=[WHSEC], delivery_id="d-1", timestamp=NOW),
    ):
        with pytest.raises(SignatureError, match="not a signing scheme"):
            call()


@pytest.mark.parametrize("timestamp", [-1, 1.5, "1", True, None, 10**12])
def test_timestamp_must_be_whole_unix_seconds(timestamp):
    with pytest.raises(SignatureError, match="unix seconds"):
        sign("zstack", body=BODY, secrets=[WHSEC], delivery_id="d-1", timestamp=timestamp)


@pytest.mark.parametrize("body", ["text", None, 7])
def test_a_body_that_is_not_bytes_is_refused(body):
    with pytest.raises(SignatureError, match="bytes"):
        sign("sentry", body=body, secrets=[WHSEC], delivery_id="d-1", timestamp=NOW)
    with pytest.raises(SignatureError, match="bytes"):
        verify("sentry", headers=signed("sentry"), body=body, secrets=[WHSEC])


def test_body_that_is_not_utf8_is_verified():
    headers = signed("sentry", body=b"\xff\x00")
    verify("sentry", headers=headers, body=bytearray(b"\xff\x00"), secrets=[WHSEC])


class RaisingHeaders(dict):
    def __iter__(self):
        raise RuntimeError("iteration fails")


@pytest.mark.parametrize(
    "case",
    [
        {"headers": RaisingHeaders()},
        {"now": 10**6000, "tolerance": 10**5000},
        {"headers": {"X-Webhoo\u212a-Signature": "v1=x", "X-Webhook-Timestamp": str(NOW)}},
    ],
    ids=["a mapping that raises", "numbers too long to show", "a letter that lower() changes to ASCII"],
)
def test_hostile_arguments_raise_signature_error(case):
    with pytest.raises(SignatureError):
        verify(**{"scheme": "zstack", "headers": signed("zstack"), "body": BODY, "secrets": [WHSEC], **case})


anything = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary())
header_names = st.sampled_from(sorted({h for s in SCHEMES.values() for h in vars(s).values() if isinstance(h, str)}))


@given(
    scheme=st.one_of(st.sampled_from(list(SCHEMES)), anything),
    headers=st.one_of(st.dictionaries(st.one_of(header_names, anything), anything), anything),
    body=anything,
    secrets=st.one_of(st.lists(st.one_of(st.just(WHSEC), anything)), anything),
    now=anything,
    tolerance=anything,
)
def test_verify_raises_only_signature_error_for_any_input(scheme, headers, body, secrets, now, tolerance):
    try:
        verify(scheme, headers=headers, body=body, secrets=secrets, now=now, tolerance=tolerance)
    except SignatureError:
        return
    assert scheme == "none", "random input must not be verified"


@given(body=st.binary(), secret=st.text(min_size=1), scheme=st.sampled_from(["sentry", "zstack", "github"]))
def test_every_usable_secret_signs_and_verifies(body, secret, scheme):
    try:
        headers = sign(scheme, body=body, secrets=[secret], delivery_id="d-1", timestamp=NOW)
    except SignatureError:
        return
    verify(scheme, headers=headers, body=body, secrets=[secret], now=NOW)
