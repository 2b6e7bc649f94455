# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
From the text of a secret to the key that signs or verifies. No message here quotes a secret.

A secret is the key of an HMAC, as text or as base64 after ``whsec_``, or an ed25519 key (RFC 8032): ``whsk_`` and
``whpk_`` as Standard Webhooks specifies, or PEM (RFC 8410). ``cryptography`` is imported for ed25519 keys only.
"""

from __future__ import annotations

import base64
import binascii
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KeyFormat = Literal["text", "whsec"]
"""``text``: the key is the secret's UTF-8 bytes. ``whsec``: it is the base64 after an optional ``whsec_``."""

KEY_FORMATS: tuple[KeyFormat, ...] = get_args(KeyFormat)
"""The values of a connection's ``key_format``."""

WHSEC_PREFIX = "whsec_"
WHSEC_MIN_BYTES, WHSEC_MAX_BYTES = 24, 64
"""The lengths that Standard Webhooks allows for a secret."""
SIGNING_KEY_PREFIX, VERIFICATION_KEY_PREFIX = "whsk_", "whpk_"
ED25519_BYTES = 32
"""The length of an ed25519 key; a signing key may have its verification key behind it."""
ED25519_SIGNATURE_BYTES = 64

_PEM_BEGIN = "-----BEGIN "
_PEM = re.compile(
    r"-----BEGIN (?P<kind>PUBLIC|PRIVATE) KEY-----(?P<base64>[A-Za-z0-9+/=\s]+)-----END (?P=kind) KEY-----", re.ASCII
)
_MAX_PEM_CHARACTERS = 1_000


class Ed25519Key(bytes, ABC):
    """The 32 bytes of an ed25519 key, which are never the key of an HMAC. It does not show them."""

    @abstractmethod
    def make_verification_key(self) -> VerificationKey:
        """Return the public key."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    __str__ = __repr__


class SigningKey(Ed25519Key):
    """The private key: it signs, and gives the verification key."""

    def make_signer(self) -> Callable[[bytes], bytes]:
        """Return the function that signs with this key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        return Ed25519PrivateKey.from_private_bytes(bytes(self)).sign

    def make_verification_key(self) -> VerificationKey:
        """Return the public key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        return VerificationKey(Ed25519PrivateKey.from_private_bytes(bytes(self)).public_key().public_bytes_raw())


class VerificationKey(Ed25519Key):
    """The public key: it verifies."""

    def make_verification_key(self) -> VerificationKey:
        """Return the key itself."""
        return self

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Return whether a signature was made over this content with the private key."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        try:
            Ed25519PublicKey.from_public_bytes(bytes(self)).verify(signature, content)
        except InvalidSignature:
            return False
        return True


def find_secret_problem(secret: object, key_format: KeyFormat, *, takes_ed25519: bool = False) -> str | None:
    """
    Return what is wrong with a secret, in words that do not quote it, or ``None``.

    :param takes_ed25519: whether a secret that begins as an ed25519 key does is one
    """
    if not isinstance(secret, str) or not secret:
        return "is empty" if isinstance(secret, str) else "is not text"
    if takes_ed25519 and is_ed25519(secret):
        return _find_ed25519_problem(secret)
    if secret != secret.strip() or not secret.isprintable():
        return "has blanks at an end or control characters"
    if secret == WHSEC_PREFIX:
        return "is the prefix 'whsec_' alone"
    return _find_whsec_problem(secret) if key_format == "whsec" else None


def derive_key(secret: str, key_format: KeyFormat, *, takes_ed25519: bool = False) -> bytes:
    """Return the key of a secret in which ``find_secret_problem`` finds no problem; an ``Ed25519Key`` for one."""
    if takes_ed25519 and is_ed25519(secret):
        return _decode_ed25519(secret)
    return _decode_whsec(secret) if key_format == "whsec" else secret.encode()


def is_ed25519(secret: str) -> bool:
    """Return whether a secret begins as an ed25519 key does."""
    return secret.startswith((SIGNING_KEY_PREFIX, VERIFICATION_KEY_PREFIX, _PEM_BEGIN))


def list_key_forms(secrets: Iterable[str], key_format: KeyFormat, *, takes_ed25519: bool = False) -> list[str]:
    """
    Return what must be masked in addition to the secrets: their parts, and the keys that they encode.

    Keys are listed as a receiver may report them, which need not be the form of the secret. Verification keys are no
    secrets.
    """
    forms: list[str] = []
    for secret in secrets:
        if takes_ed25519 and is_ed25519(secret):
            key: bytes = _decode_ed25519(secret)
            if isinstance(key, VerificationKey):
                continue
            pem = _PEM.fullmatch(secret.strip())
            forms += pem["base64"].split() if pem else [secret.removeprefix(SIGNING_KEY_PREFIX)]
            forms.append(base64.b64encode(key).decode("ascii").rstrip("="))
        else:
            forms.append(secret.removeprefix(WHSEC_PREFIX))
            if key_format != "whsec":
                continue
            key = _decode_whsec(secret)
        forms += [key.hex(), base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")]
    return forms


def _decode_base64(encoded: str) -> bytes:
    return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)  # some platforms leave the padding out


def _decode_whsec(secret: str) -> bytes:
    return _decode_base64(secret.removeprefix(WHSEC_PREFIX))


def _find_whsec_problem(secret: str) -> str | None:
    try:
        size = len(_decode_whsec(secret))
    except (binascii.Error, ValueError):
        return "is not base64 after 'whsec_': check that it is the whole secret, and nothing else"
    if not WHSEC_MIN_BYTES <= size <= WHSEC_MAX_BYTES:
        return f"decodes to {size} bytes; Standard Webhooks allows {WHSEC_MIN_BYTES} to {WHSEC_MAX_BYTES}"
    return None


def _find_ed25519_problem(secret: str) -> str | None:
    if secret.startswith(_PEM_BEGIN):
        try:
            _decode_pem(secret)
        except ValueError:
            return "begins as PEM, but is not an ed25519 key: its type must be PUBLIC KEY or PRIVATE KEY, unencrypted"
        return None
    prefix, encoded = secret[: len(SIGNING_KEY_PREFIX)], secret[len(SIGNING_KEY_PREFIX) :]
    try:
        decoded = _decode_base64(encoded)
    except (binascii.Error, ValueError):
        return f"is not base64 after '{prefix}': check that it is the whole key, and nothing else"
    sizes = {ED25519_BYTES, 2 * ED25519_BYTES} if prefix == SIGNING_KEY_PREFIX else {ED25519_BYTES}
    if len(decoded) not in sizes:
        wanted = " or ".join(map(str, sorted(sizes)))
        return f"decodes to {len(decoded)} bytes; an ed25519 key after '{prefix}' has {wanted}"
    seed, public = decoded[:ED25519_BYTES], decoded[ED25519_BYTES:]
    if public and SigningKey(seed).make_verification_key() != public:
        return "holds a signing key and the verification key of another one: check that it is the whole key"
    return None


def _decode_ed25519(secret: str) -> SigningKey | VerificationKey:
    if secret.startswith(_PEM_BEGIN):
        return _decode_pem(secret)
    kind = SigningKey if secret.startswith(SIGNING_KEY_PREFIX) else VerificationKey
    return kind(_decode_base64(secret[len(SIGNING_KEY_PREFIX) :])[:ED25519_BYTES])


def _decode_pem(secret: str) -> SigningKey | VerificationKey:
    """
    Return the key of a PEM text, whose lines may also be separated by blanks, as a form with one line leaves it.

    :raises ValueError: if it is not an ed25519 key
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    found = _PEM.fullmatch(secret.strip()) if len(secret) <= _MAX_PEM_CHARACTERS else None
    if found is None:
        raise ValueError("no PEM text of a key")
    encoded = base64.b64decode("".join(found["base64"].split()), validate=True)
    key: object
    try:
        if found["kind"] == "PUBLIC":
            key = serialization.load_der_public_key(encoded)
        else:
            key = serialization.load_der_private_key(encoded, password=None)
    except (TypeError, UnsupportedAlgorithm):
        raise ValueError("a key that cannot be read") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return SigningKey(key.private_bytes_raw())
    if isinstance(key, ed25519.Ed25519PublicKey):
        return VerificationKey(key.public_bytes_raw())
    raise ValueError("a key of another algorithm")
