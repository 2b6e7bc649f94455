# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Keys from the text of secrets: ed25519 keys in each format, which are not shown and are not used for an HMAC."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.signing import SCHEMES, SignatureError, sign, verify
from airflow_provider_hooks.signing.keys import SigningKey, VerificationKey, derive_key, find_secret_problem
from airflow_provider_hooks.signing.secrets import parse_secrets

# From the documentation of Svix's server, which defines the keys of Standard Webhooks.
WHSK = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
WHPK = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
SEED = base64.b64decode(WHSK[5:])[:32]
# The key test-key-ed25519 of RFC 9421, appendix B.1.4.
PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
"""
PUBLIC_PEM = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_700_000_000
BODY = b'{"hello":"world"}'
SIGNING = {
    "seed and public key": WHSK,
    "seed": "whsk_" + base64.b64encode(SEED).decode(),
    "seed without padding": "whsk_" + base64.b64encode(SEED).decode().rstrip("="),
    "PEM": PEM,
    "PEM without a final newline": PEM.strip(),
    "PEM on one line, as a single-line form field returns it": PEM.replace("\n", " "),
}


def make_pem(key, *, encryption: serialization.KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    ).decode()


def signed(*secrets: str) -> dict[str, str]:
    return dict(sign("standard_webhooks", body=BODY, secrets=secrets, delivery_id="d-1", timestamp=NOW))


def check(headers: dict[str, str], *secrets: str, body: bytes = BODY) -> None:
    verify("standard_webhooks", headers=headers, body=body, secrets=secrets, now=NOW)


@pytest.mark.parametrize("secret", SIGNING.values(), ids=SIGNING)
class TestSigningKey:
    def test_signature_is_verified_by_both_keys_of_the_pair_only(self, secret):
        headers = signed(secret)
        public = derive_key(secret, "whsec", takes_ed25519=True).make_verification_key()
        check(headers, secret)
        check(headers, "whpk_" + base64.b64encode(public).decode())
        for other in ("whpk_" + base64.b64encode(bytes(32)).decode(), make_pem(Ed25519PrivateKey.generate()), WHSEC):
            with pytest.raises(SignatureError, match="no signature"):
                check(headers, other)

    def test_signature_follows_the_specification(self, secret):
        value = signed(secret)["webhook-signature"]
        assert value.startswith("v1a,")
        public = Ed25519PublicKey.from_public_bytes(
            derive_key(secret, "whsec", takes_ed25519=True).make_verification_key()
        )
        public.verify(base64.b64decode(value[4:]), b"d-1.%d.%s" % (NOW, BODY))

    def test_changed_request_is_refused(self, secret):
        headers = signed(secret)
        for changed in (
            {"webhook-id": "d-2"},
            {"webhook-timestamp": str(NOW + 1)},
            {"webhook-signature": headers["webhook-signature"].replace("v1a,", "v1,")},
            {"webhook-signature": headers["webhook-signature"].removeprefix("v1a,")},
            {"webhook-signature": headers["webhook-signature"].rstrip("=")},
        ):
            with pytest.raises(SignatureError, match="no signature"):
                check({**headers, **changed}, secret)
        with pytest.raises(SignatureError, match="no signature"):
            check(headers, secret, body=BODY + b" ")

    def test_key_in_every_encoding_and_signature_are_masked(self, secret):
        headers = signed(secret)
        key = derive_key(secret, "whsec", takes_ed25519=True)
        masked = set(SCHEMES["standard_webhooks"].sensitive_values(headers, [secret]))
        value = headers["webhook-signature"]
        assert {value, value.removeprefix("v1a,"), key.hex()} <= masked
        assert base64.b64encode(key).decode().rstrip("=") in masked
        assert any(len(line) > 40 and line in secret for line in masked)

    def test_str_and_repr_do_not_show_the_key(self, secret):
        key = derive_key(secret, "whsec", takes_ed25519=True)
        assert type(key) is SigningKey
        shown = f"{key} {key!r} {[key]} {key.make_verification_key()!r}"
        assert shown == "SigningKey(***) SigningKey(***) [SigningKey(***)] VerificationKey(***)"


def test_hmac_and_ed25519_keys_sign_together_during_a_rotation():
    headers = signed(WHSK, WHSEC)
    assert [one.partition(",")[0] for one in headers["webhook-signature"].split(" ")] == ["v1", "v1a"]
    for secret in (WHSK, WHPK, WHSEC):
        check(headers, secret)
        check(signed(secret if secret != WHPK else WHSK), WHPK, WHSEC)


def test_non_canonical_base64_of_a_signature_is_refused():
    """The last character before the padding has bits that base64 ignores."""
    headers = signed(WHSK)
    value = headers["webhook-signature"]
    other = value[:-3] + chr(ord(value[-3]) + 1) + "=="
    assert base64.b64decode(other[4:]) == base64.b64decode(value[4:])
    with pytest.raises(SignatureError, match="no signature"):
        check({**headers, "webhook-signature": other}, WHSK)


def test_public_key_is_not_used_as_an_hmac_key():
    public = derive_key(WHPK, "whsec", takes_ed25519=True)
    forged = sign(
        "standard_webhooks",
        body=BODY,
        secrets=["whsec_" + base64.b64encode(public).decode()],
        delivery_id="d-1",
        timestamp=NOW,
    )
    with pytest.raises(SignatureError, match="no signature"):
        check(dict(forged), WHPK)


@pytest.mark.parametrize("secret", [WHPK, PUBLIC_PEM])
def test_a_verification_key_does_not_sign(secret):
    with pytest.raises(SignatureError, match="is a verification key, which cannot sign") as caught:
        signed(secret)
    assert secret[10:30] not in str(caught.value)
    fields = ConnectionFields(
        conn_id="c", host="https://h.example/", password=secret, extra={"scheme": "standard_webhooks"}
    )
    with pytest.raises(ValidationError, match="is a verification key") as refused:
        read_endpoint(fields, default_timeout=1, read_variable=lambda name: None)
    assert secret[10:30] not in str(refused.value)
    assert SCHEMES["standard_webhooks"].list_key_forms([secret]) == []


def test_pem_keys_of_rfc_8410_are_read():
    private, public = (derive_key(text, "text", takes_ed25519=True) for text in (PEM, PUBLIC_PEM))
    assert private.make_verification_key() == public
    assert type(public) is VerificationKey


UNUSABLE = {
    "prefix alone": ("whsk_", "decodes to 0 bytes"),
    "no base64": ("whsk_~~~~private", "is not base64 after 'whsk_'"),
    "cut off": (WHSK[:-8], "decodes to 60 bytes; an ed25519 key after 'whsk_' has 32 or 64"),
    "public key too long": ("whpk_" + WHSK[5:], "decodes to 64 bytes; an ed25519 key after 'whpk_' has 32"),
    "halves of two keys": (WHSK[:60] + "aaaaaaaa" + WHSK[68:], "the verification key of another one"),
    "blank at the end": (WHSK + " ", "is not base64 after 'whsk_'"),
    "PEM of RSA": (make_pem(rsa.generate_private_key(65537, 2048)), "is not an ed25519 key"),
    "encrypted PEM": (
        make_pem(Ed25519PrivateKey.generate(), encryption=serialization.BestAvailableEncryption(b"x")),
        "unencrypted",
    ),
    "PEM cut off": (PEM[:70], "is not an ed25519 key"),
    "PEM with other bytes": (PEM.replace("MC4C", "MC4D"), "is not an ed25519 key"),
    "PEM of OpenSSH": (PEM.replace("PRIVATE", "OPENSSH PRIVATE"), "is not an ed25519 key"),
    "PEM of 2,000 lines": (PEM.replace("MC4C", "\n" * 2_000 + "MC4C"), "is not an ed25519 key"),
}


@pytest.mark.parametrize(("secret", "problem"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_key_is_refused_without_being_quoted(secret, problem):
    for call in (lambda: signed(secret), lambda: check(signed(WHSK), secret)):
        with pytest.raises(SignatureError, match=problem) as caught:
            call()
        shown = str(caught.value)
        assert not any(part in shown for part in (secret[5:20], secret[30:60]) if len(part) > 8)
        assert "private" not in shown.replace("PRIVATE KEY", "")


@pytest.mark.parametrize("scheme", ["sentry", "zstack", "stripe"])
def test_schemes_without_ed25519_use_the_text_as_the_key(scheme):
    assert find_secret_problem(WHSK, "text") is None
    headers = sign(scheme, body=BODY, secrets=[WHSK], delivery_id="d-1", timestamp=NOW)
    verify(scheme, headers=headers, body=BODY, secrets=[WHSK], now=NOW)
    assert derive_key(WHSK, "text") == WHSK.encode()


def test_a_variable_can_contain_a_pem_text():
    assert parse_secrets(PEM) == (PEM.strip(),)


def test_hmac_signing_does_not_import_cryptography():
    code = (
        "import sys\n"
        "from airflow_provider_hooks.signing import sign, verify\n"
        f"headers = sign('standard_webhooks', body=b'x', secrets=[{WHSEC!r}], delivery_id='d', timestamp={NOW})\n"
        f"verify('standard_webhooks', headers=headers, body=b'x', secrets=[{WHSEC!r}], now={NOW})\n"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
