# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""RFC 9421: the examples of the RFC, another implementation in both directions, and requests that must be refused."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.operators.delivery import DeliverEventOperator
from airflow_provider_hooks.signing import SCHEMES, SignatureError, sign, verify
from airflow_provider_hooks.signing.keys import derive_key
from airflow_provider_hooks.signing.message_signatures import MAX_COMPONENTS, MAX_SIGNATURES
from tests.airflow_context import SECRET, make_context
from tests.security.deliveries import split_request
from tests.servers import OK, raw_server
from tests.signing.test_keys import PEM, PUBLIC_PEM, WHPK, WHSK

SCHEME = SCHEMES["http_message_signatures"]
NOW = 1_700_000_000
URL = "https://Hooks.example.com:443/airflow?token=a%20b&x=1"
BODY = b'{"hello":"world"}'
ID = "5d8fbc09-b0a5-5c9c-8a8e-1f9f6f2c7a11"
KEYS = {"hmac": ("a secret", "a secret"), "whsk": (WHSK, WHPK), "PEM": (PEM, PUBLIC_PEM)}
every_key = pytest.mark.parametrize(("secret", "public"), KEYS.values(), ids=KEYS)


def signed(*secrets: str, scheme=SCHEME, url: str = URL, body: bytes = BODY, timestamp: int = NOW) -> dict[str, str]:
    """Return the headers of a signed request."""
    headers = sign(scheme, body=body, secrets=secrets, delivery_id=ID, timestamp=timestamp, url=url)
    return {"Content-Type": "application/json", **headers}


def check(headers: object, *secrets: str, scheme=SCHEME, **changes: object) -> None:
    request = {"body": BODY, "method": "POST", "url": URL, "now": NOW, **changes}
    verify(scheme, headers=headers, secrets=secrets, **request)


def refuse(headers: object, *secrets: str, match: str | None = None, **changes: object) -> None:
    with pytest.raises(SignatureError, match=match):
        check(headers, *secrets, **changes)


@every_key
class TestRequest:
    def test_signed_request_is_verified_by_either_key(self, secret, public):
        for url in (URL, "https://hooks.example.com/", "https://hooks.example.com", "http://[::1]:8080/a/../b?"):
            headers = signed(secret, url=url)
            for known in (secret, public):
                check({name.swapcase(): value for name, value in headers.items()}, "another", known, url=url)

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"body": BODY + b" "}, "Content-Digest is not the digest of this body"),
            ({"body": b""}, "Content-Digest is not the digest of this body"),
            ({"method": "PUT"}, "no signature"),
            ({"method": "post"}, "no signature"),
            ({"method": None}, "give method="),
            ({"method": "PO\nST"}, "give method="),
            ({"url": None}, "give url="),
            ({"url": "/airflow"}, "url: the URL"),
            ({"url": URL.replace("Hooks", "hook")}, "no signature"),
            ({"url": URL.replace("443", "444")}, "no signature"),
            ({"url": URL.replace("airflow", "other")}, "no signature"),
            ({"url": URL + "&y=2"}, "no signature"),
            ({"url": URL.replace("%20", "+")}, "no signature"),
            ({"now": NOW + 301}, "created in Signature-Input is more than 300 seconds off"),
            ({"now": NOW - 301}, "created in Signature-Input is more than 300 seconds off"),
        ],
    )
    def test_changed_request_is_refused(self, secret, public, changes, problem):
        refuse(signed(secret), public, match=re.escape(problem), **changes)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Content-Type", "text/plain"),
            ("X-Service-Hook-Delivery", "another"),
            ("Content-Digest", "sha-256=:" + base64.b64encode(hashlib.sha256(b"x").digest()).decode() + ":"),
            ("Signature", "sig1=:AAAA:"),
        ],
    )
    def test_a_changed_or_missing_header_is_refused(self, secret, public, name, value):
        headers = signed(secret)
        refuse({**headers, name: value}, public)
        refuse({key: text for key, text in headers.items() if key != name}, public)
        refuse(list({**headers, name: headers[name]}.items()), public)

    def test_another_key_is_refused(self, secret, public):
        others = [known for kind in KEYS.values() if public not in kind for known in kind]
        refuse(signed(secret), *others, match="no signature in Signature was made with a known secret")

    @pytest.mark.parametrize("name", ["created", "keyid", "alg"])
    def test_signature_parameters_are_signed(self, secret, public, name):
        headers = signed(secret)
        value = headers["Signature-Input"]
        for changed in (re.sub(rf";{name}=[^;]+", "", value), re.sub(rf"({name}=\"?)(\w)", r"\g<1>2", value)):
            assert changed != value
            refuse({**headers, "Signature-Input": changed}, public)

    def test_covered_components_cannot_be_left_out(self, secret, public):
        headers = signed(secret)
        for name in re.findall(r'"([@a-z-]+)"', headers["Signature-Input"].partition(")")[0]):
            changed = {**headers, "Signature-Input": headers["Signature-Input"].replace(f'"{name}"', "", 1)}
            refuse(changed, public, match=f"the signature does not cover {name}$")

    def test_signature_must_cover_the_query_of_the_url(self, secret, public):
        bare = URL.partition("?")[0]
        headers = signed(secret, url=bare)
        assert "@query" not in headers["Signature-Input"]
        check(headers, public, url=bare)
        refuse(headers, public, match="the signature does not cover @query")


def test_every_secret_signs_and_any_one_verifies():
    headers = signed(WHSK, "a secret", PEM)
    assert re.findall(r"(sig\d)=:", headers["Signature"]) == ["sig1", "sig2", "sig3"]
    for public in (WHPK, "a secret", PUBLIC_PEM):
        check(headers, public)


def test_algorithm_of_the_request_must_match_the_key():
    """A public key is not secret, so it must not be used as an HMAC key."""
    public = derive_key(WHPK, "text", takes_ed25519=True)
    forged = signed("whsec_" + base64.b64encode(public).decode(), scheme=SCHEME.with_key_format("whsec"))
    refuse(forged, WHPK, match="no signature")
    refuse(signed(WHSK), WHPK + "=", match="whpk_")


def test_a_verification_key_does_not_sign():
    with pytest.raises(SignatureError, match="is a verification key, which cannot sign"):
        signed(WHPK)


def test_signing_requires_a_url():
    with pytest.raises(SignatureError, match="give url="):
        sign(SCHEME, body=BODY, secrets=["a secret"], delivery_id=ID, timestamp=NOW)


def test_signatures_and_keys_are_masked():
    headers = signed(WHSK, "a secret")
    masked = set(SCHEME.sensitive_values(headers, [WHSK, "a secret"]))
    digests = re.findall(r"=:([A-Za-z0-9+/]+)=*:", headers["Signature"])
    assert {headers["Signature"], *digests, WHSK[5:], "a secret"} <= masked
    assert "***" in repr(derive_key(WHSK, "text", takes_ed25519=True))


class TestOptions:
    def read(self, options: object):
        fields = ConnectionFields(
            conn_id="c", host=URL, password=WHSK, extra={"scheme": SCHEME.name, "signature": options}
        )
        return read_endpoint(fields, default_timeout=1, read_variable=lambda name: None).scheme

    def test_keyid_of_the_newest_secret_and_a_nonce_can_be_set(self):
        scheme = self.read({"keyid": "key-2", "nonce": True})
        first, second = (signed(WHSK, "a secret", scheme=scheme) for _ in range(2))
        assert re.findall(r'keyid="([^"]*)"', first["Signature-Input"])[0] == "key-2"
        nonces = {
            nonce for one in (first, second) for nonce in re.findall(r'nonce="([^"]{22})"', one["Signature-Input"])
        }
        assert len(nonces) == 4
        for headers in (first, second):
            check(headers, WHPK)
            refuse({**headers, "Signature-Input": headers["Signature-Input"].replace('nonce="', 'nonce="x')}, WHPK)

    def test_default_keyid_is_the_thumbprint_of_the_key(self):
        """The thumbprint of test-key-ed25519, as the drafts of Web Bot Auth publish it."""
        assert 'keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"' in signed(PEM)["Signature-Input"]

    def test_all_invalid_options_are_named_in_one_error(self):
        with pytest.raises(ValidationError) as caught:
            self.read({"keyid": 'a"b', "nonce": "yes", "header": "X-A"})
        assert set(caught.value.problems) == {f"extra.signature '{name}'" for name in ("keyid", "nonce", "header")}
        assert 'a"b' not in str(caught.value)


# RFC 9421, appendix B: the request and its keys
RFC_SECRET = "whsec_uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
RFC_BODY = b'{"hello": "world"}'
RFC_HEADERS = {
    "Host": "example.com",
    "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "Content-Type": "application/json",
    "Content-Digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwe"
    "w==:",
    "Content-Length": "18",
}
RFC_REQUEST = {
    "body": RFC_BODY,
    "method": "POST",
    "url": "https://example.com/foo?param=Value&Pet=dog",
    "now": 1_618_884_473,
}
EXAMPLES = {
    "B.2.5": (
        RFC_SECRET,
        'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    ),
    "B.2.6": (
        PUBLIC_PEM,
        (
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;ke'
            'yid="test-key-ed25519"'
        ),
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    ),
}


@pytest.mark.parametrize(("secret", "value", "signature"), EXAMPLES.values(), ids=EXAMPLES)
class TestRfcExamples:
    def test_examples_are_verified_if_their_components_suffice(self, secret, value, signature):
        names = tuple(re.findall(r'"([@a-z-]+)"', value.partition(")")[0]))
        scheme = replace(SCHEME, required=names)
        if secret == RFC_SECRET:
            scheme = scheme.with_key_format("whsec")
        headers = {**RFC_HEADERS, "Signature-Input": value, "Signature": signature}
        verify(scheme, headers=headers, secrets=[secret], **RFC_REQUEST)
        for changed in (
            {"Date": "Tue, 20 Apr 2021 02:07:56 GMT"},
            {"Content-Type": "text/plain"},
            {"Signature-Input": value.replace("keyid", "tag")},
        ):
            with pytest.raises(SignatureError, match="no signature"):
                verify(scheme, headers={**headers, **changed}, secrets=[secret], **RFC_REQUEST)

    def test_examples_cover_too_few_components_for_a_delivery(self, secret, value, signature):
        headers = {**RFC_HEADERS, "Signature-Input": value, "Signature": signature}
        scheme = SCHEME.with_key_format("whsec") if secret == RFC_SECRET else SCHEME
        with pytest.raises(SignatureError, match=r"the signature does not cover .*content-digest"):
            verify(scheme, headers=headers, secrets=[secret], **RFC_REQUEST)


def test_content_digest_of_the_rfc_is_verified():
    scheme = replace(SCHEME, required=("content-digest",))
    headers = library_sign(
        RFC_HEADERS, RFC_BODY, RFC_REQUEST["url"], "a secret", components=("@query", "content-digest")
    )
    verify(scheme, headers=headers, secrets=["a secret"], **{**RFC_REQUEST, "now": None})
    with pytest.raises(SignatureError, match="Content-Digest is not the digest"):
        verify(scheme, headers=headers, secrets=["a secret"], **{**RFC_REQUEST, "now": None, "body": b"x"})


# The library http-message-signatures
COMPONENTS = ("@method", "@authority", "@path", "@query", "content-type", "content-digest", "x-service-hook-delivery")


@dataclass
class Message:
    url: str
    headers: dict[str, str]
    method: str = "POST"


@dataclass
class Keys(HTTPSignatureKeyResolver):
    secret: str
    names: list[str] = field(default_factory=list)

    def resolve_private_key(self, key_id):
        if self.secret in (WHSK, PEM):
            return load_private(self.secret)
        return self.secret.encode()

    def resolve_public_key(self, key_id):
        self.names.append(key_id)
        if self.secret in (WHPK, PUBLIC_PEM):
            return Ed25519PublicKey.from_public_bytes(derive_key(self.secret, "text", takes_ed25519=True))
        return self.secret.encode()


def load_private(secret: str):
    if secret == PEM:
        return serialization.load_pem_private_key(PEM.encode(), password=None)
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret[5:])[:32])


def choose_algorithm(secret: str):
    return algorithms.ED25519 if secret in (WHSK, WHPK, PEM, PUBLIC_PEM) else algorithms.HMAC_SHA256


def library_sign(headers, body, url, secret, *, components=COMPONENTS, **options):
    message = Message(url, dict(headers))
    HTTPMessageSigner(signature_algorithm=choose_algorithm(secret), key_resolver=Keys(secret)).sign(
        message,
        key_id="theirs",
        covered_component_ids=components,
        body=body,
        use_existing_digest="Content-Digest" in headers,
        **options,
    )
    return message.headers


def library_verify(headers, body, url, public):
    HTTPMessageVerifier(signature_algorithm=choose_algorithm(public), key_resolver=Keys(public)).verify(
        Message(url, dict(headers)),
        body=body,
        require_components=[name for name in COMPONENTS if name != "@query" or "?" in url],
        max_age=dt.timedelta(minutes=5),
    )


@every_key
class TestOtherImplementation:
    def test_library_verifies_deliveries_and_refuses_forgeries(self, connect, secret, public):
        with raw_server(OK) as receiver:
            connect(receiver.url + "?token=x", password=secret, scheme=SCHEME.name, signature={"nonce": True})
            DeliverEventOperator(task_id="t", event_type="orders.loaded", event_id="1", data={"a": 1}).execute(
                make_context()
            )
        headers, body = split_request(receiver.requests[0])
        url = receiver.url + "?token=x"
        library_verify(headers, body, url, public)
        check(headers, public, body=body, url=url, now=None)
        other = {"hmac": "another", "whsk": PUBLIC_PEM, "PEM": WHPK}[
            next(name for name, pair in KEYS.items() if pair[0] == secret)
        ]
        created = int(re.search(r"created=(\d+)", headers["Signature-Input"])[1])
        later = {"Signature-Input": headers["Signature-Input"].replace(str(created), str(created - 1))}
        for changed_headers, changed_body, changed_url, known in (
            ({}, body + b" ", url, public),
            ({"X-Service-Hook-Delivery": "x"}, body, url, public),
            (later, body, url, public),
            ({}, body, url + "y", public),
            ({}, body, url, other),
        ):
            forged = {**headers, **changed_headers}
            with pytest.raises(InvalidSignature):
                library_verify(forged, changed_body, changed_url, known)
            refuse(forged, known, body=changed_body, url=changed_url, now=None)

    def test_signatures_of_the_library_are_verified(self, secret, public):
        headers = {"Content-Type": "application/json", "X-Service-Hook-Delivery": ID}
        signed_headers = library_sign(headers, BODY, URL, secret, nonce="abc", tag="a-tag", label="theirs")
        check(signed_headers, public, now=None)
        refuse(signed_headers, public, now=None, body=BODY + b" ")

    def test_expiry_of_a_signature_is_respected(self, secret, public):
        headers = {"Content-Type": "application/json", "X-Service-Hook-Delivery": ID}
        now = dt.datetime.now(dt.timezone.utc)
        signed_headers = library_sign(headers, BODY, URL, secret, created=now, expires=now + dt.timedelta(seconds=10))
        created = int(now.timestamp())
        check(signed_headers, public, now=created + 20, tolerance=20)
        over = library_sign(headers, BODY, URL, secret, created=now, expires=now - dt.timedelta(seconds=200))
        check(over, public, now=created, tolerance=200)
        refuse(over, public, now=created, tolerance=199, match="expires in Signature-Input is more than 199 seconds")


# Hostile requests
VALID = signed("a secret")
MALFORMED = {
    "Signature-Input": [
        "",
        "sig1",
        "sig1=",
        "sig1=()",
        "sig1=(",
        'sig1=("@method"',
        'sig1=("@method" "@method")',
        'sig1=("@METHOD")',
        'sig1=("@method";req)',
        'sig1=("@query-param";name="x")',
        'sig1=("@method""@path")',
        "sig1=(@method)",
        'sig1="@method"',
        VALID["Signature-Input"] + ";created=1",
        VALID["Signature-Input"] + ",",
        VALID["Signature-Input"].replace('" "', '"\t"'),
        VALID["Signature-Input"] + ", sig1=()",
        VALID["Signature-Input"] + ';x="',
        VALID["Signature-Input"] + ";x=é",
        VALID["Signature-Input"].replace(f"created={NOW}", f'created="{NOW}"'),
        VALID["Signature-Input"].replace(f"created={NOW}", f"created={NOW}.0"),
        VALID["Signature-Input"].replace(f"created={NOW}", "created"),
        VALID["Signature-Input"].replace("sig1", "sig2"),
        VALID["Signature-Input"].replace("sig1", "SIG1"),
        ", ".join(f"s{number}=()" for number in range(MAX_SIGNATURES + 1)),
        f"sig1=({' '.join(f'{chr(34)}x-{number}{chr(34)}' for number in range(MAX_COMPONENTS + 1))})",
        VALID["Signature-Input"].replace('"content-type"', '"content-type" "@status"'),
        VALID["Signature-Input"].replace('"content-type"', '"content-type" "@unknown"'),
        VALID["Signature-Input"].replace('"content-type"', '"content-type" "x-missing"'),
    ],
    "Signature": [
        "",
        "sig1",
        "sig1=AAAA",
        "sig1=:AAAA",
        "sig1=:A:",
        "sig1=:AAAB=:",
        'sig1="AAAA"',
        VALID["Signature"] + ";a=1",
        VALID["Signature"] + ", sig1=:AAAA:",
        VALID["Signature"].replace("=:", "=", 1),
        VALID["Signature"].rstrip("=:") + ":",
        ", ".join(f"s{number}=:AAAA:" for number in range(MAX_SIGNATURES + 1)),
    ],
    "Content-Digest": [
        "sha-256",
        "sha-256=:AAAA:",
        "md5=:AAAA:",
        "unixsum=:AAAA:",
        VALID["Content-Digest"].replace("sha-256", "sha-512"),
        VALID["Content-Digest"] + ", sha-512=:AAAA:",
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
def test_a_malformed_header_is_refused(name, value):
    refuse({**VALID, name: value}, "a secret")


def sign_anything(components: dict[str, str], parameters: str, *, written: str | None = None, secret: str = "a secret"):
    """
    Return the headers of a request with a valid signature, so that it can only be refused for the tested reason.

    :param components: the covered components with the values that are signed
    :param parameters: the signature parameters that are signed
    :param written: the signature parameters in the request, if they differ
    """
    names = " ".join(f'"{name.partition("#")[0]}"' for name in components)
    lines = [f'"{name.partition("#")[0]}": {value}' for name, value in components.items()]
    base = "\n".join([*lines, f'"@signature-params": ({names}){parameters}']).encode()
    digest = load_private(secret).sign(base) if secret == WHSK else hmac.digest(secret.encode(), base, "sha256")
    encoded = base64.b64encode(digest).decode()
    return {**VALID, "Signature-Input": f"sig1=({names}){written or parameters}", "Signature": f"sig1=:{encoded}:"}


COVERED = {
    "@method": "POST",
    "@authority": "hooks.example.com",
    "@path": "/airflow",
    "@query": "?token=a%20b&x=1",
    "content-type": "application/json",
    "content-digest": VALID["Content-Digest"],
    "x-service-hook-delivery": ID,
}
CREATED = f";created={NOW}"


class TestValidSignature:
    """Requests with valid signatures that are refused for another reason."""

    def test_request_without_such_a_reason_is_verified(self):
        check(sign_anything(COVERED, CREATED), "a secret")
        check(sign_anything(COVERED, CREATED, secret=WHSK), WHPK)
        derived = {"@scheme": "https", "@target-uri": "https://hooks.example.com/airflow?token=a%20b&x=1"}
        check(sign_anything({**COVERED, **derived, "@request-target": "/airflow?token=a%20b&x=1"}, CREATED), "a secret")

    @pytest.mark.parametrize("algorithm", ["ed25519", "hmac-sha256", "rsa-pss-sha512", ""])
    def test_algorithm_of_another_key_is_refused(self, algorithm):
        for secret, public, own in (("a secret", "a secret", "hmac-sha256"), (WHSK, WHPK, "ed25519")):
            headers = sign_anything(COVERED, f'{CREATED};alg="{algorithm}"', secret=secret)
            (check if algorithm == own else refuse)(headers, public)

    def test_duplicate_component_is_refused(self):
        headers = sign_anything({**COVERED, "@method#2": "POST"}, CREATED)
        refuse(headers, "a secret", match="has a component twice")

    def test_duplicate_parameter_is_refused(self):
        headers = sign_anything(COVERED, CREATED, written=";created=1" + CREATED)
        refuse(headers, "a secret", match="has a parameter twice")

    @pytest.mark.parametrize("name", ["Signature", "Signature-Input"])
    def test_duplicate_label_is_refused(self, name):
        headers = sign_anything(COVERED, CREATED)
        refuse({**headers, name: f"{headers[name]}, {headers[name]}"}, "a secret", match="has a member twice")

    def test_too_many_signatures_or_components_are_refused(self):
        headers = sign_anything(COVERED, CREATED)
        more = ", ".join(f"s{number}=:AAAA:" for number in range(MAX_SIGNATURES))
        refuse({**headers, "Signature": f"{headers['Signature']}, {more}"}, "a secret", match="or more than 16")
        many = {f"x-{number}": "a" for number in range(MAX_COMPONENTS)}
        refuse({**sign_anything({**COVERED, **many}, CREATED), **many}, "a secret", match="or more than 64")

    def test_non_canonical_base64_of_a_signature_is_refused(self):
        headers = sign_anything(COVERED, CREATED)
        value = headers["Signature"]
        other = value[:-3] + chr(ord(value[-3]) + 1) + "=:"
        assert base64.b64decode(other[6:-1]) == base64.b64decode(value[6:-1])
        refuse({**headers, "Signature": other}, "a secret", match="Signature is malformed")

    def test_wrong_digest_is_refused_next_to_a_correct_one(self):
        digest = f"{VALID['Content-Digest']}, sha-512=:AAAA:"
        headers = {**sign_anything({**COVERED, "content-digest": digest}, CREATED), "Content-Digest": digest}
        refuse(headers, "a secret", match="Content-Digest is not the digest")

    def test_digest_of_an_unknown_hash_is_ignored_next_to_a_correct_one(self):
        digest = f"md5=:AAAA:, {VALID['Content-Digest']}"
        check({**sign_anything({**COVERED, "content-digest": digest}, CREATED), "Content-Digest": digest}, "a secret")

    def test_a_header_with_control_characters_is_refused(self):
        value = 'a\n"@method": GET'
        headers = {**sign_anything({**COVERED, "x-a": value}, CREATED), "X-A": value}
        refuse(headers, "a secret", match="has control characters")


def test_whitespace_allowed_by_structured_fields_is_ignored():
    spaced = VALID["Signature-Input"].replace(";", ";  ").replace('" "', '"  "').replace("(", "(  ")
    check({**VALID, "Signature-Input": f"  {spaced}  ", "Signature": f" {VALID['Signature']} "}, "a secret")


def test_signature_of_another_sender_is_ignored():
    other = 'theirs=("@method");created=1;alg="rsa-pss-sha512"'
    for inputs, signatures in (
        (f"{other}, {VALID['Signature-Input']}", f"theirs=:AAAA:, {VALID['Signature']}"),
        (f"{VALID['Signature-Input']}\t,\t{other}", f"{VALID['Signature']},theirs=:AAAA:"),
        (VALID["Signature-Input"], f"theirs=:AAAA:, {VALID['Signature']}"),
    ):
        check({**VALID, "Signature-Input": inputs, "Signature": signatures}, "a secret")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Signature-Input", "(" * 8_000),
        ("Signature-Input", "sig1=(" + '"' * 8_000),
        ("Signature-Input", 'sig1=("@method")' + ";a" * 4_000),
        ("Signature-Input", ", ".join(f"s{number}=()" for number in range(1_000))),
        ("Signature-Input", "sig1=" + "(" * 20_000_000),
        ("Signature", "sig1=:" + "A" * 8_000),
        ("Signature", ",".join(["a=:AAAA:"] * 900)),
    ],
)
def test_large_header_is_refused_within_a_second(name, value):
    started = time.thread_time()
    refuse({**VALID, name: value}, *["another secret"] * 20)
    assert time.thread_time() - started < 1


def test_many_signatures_of_many_components_are_refused_quickly():
    many = {f"x-{number}": "a" for number in range(200)}
    names = " ".join(f'"{name}"' for name in [*COMPONENTS, *list(many)[:20]])
    inputs = ", ".join(f's{number}=({names});created={NOW};alg="ed25519"' for number in range(MAX_SIGNATURES))
    signatures = ", ".join(f"s{number}=:{base64.b64encode(bytes(64)).decode()}:" for number in range(MAX_SIGNATURES))
    started = time.thread_time()
    refuse({**VALID, **many, "Signature-Input": inputs, "Signature": signatures}, *[WHPK] * 20, match="no signature")
    assert time.thread_time() - started < 2


def test_errors_quote_neither_the_url_nor_a_secret():
    for changes in ({"url": URL + "#private"}, {"body": b""}, {"now": 1}):
        with pytest.raises(SignatureError) as caught:
            check(VALID, SECRET, **changes)
        assert not any(part in str(caught.value) for part in ("token", "private", SECRET))
    assert "token" not in repr(SCHEME.with_target) + repr(replace(SCHEME))
