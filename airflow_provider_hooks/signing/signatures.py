# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``sign`` and ``verify``: the same few lines for every scheme, over bytes that are never parsed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

from airflow_provider_hooks.exceptions import SignatureError
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.keys import WHSEC_PREFIX, derive_key
from airflow_provider_hooks.signing.schemes import SCHEMES, Scheme

MAX_HEADER_CHARACTERS = 8_192
"""The longest header that ``verify`` reads: about a hundred signatures, so its work stays bounded."""

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}", re.ASCII)


class Signer:
    """
    Signs any number of bodies by one scheme with the same secrets, which are judged once.

    With several secrets (newest first) the headers carry a signature by each where the scheme can, else by the newest.

    :param scheme: a row of ``SCHEMES`` or its name
    :param secrets: the secrets as kept, newest first; the scheme ``none`` takes no notice of them
    :raises SignatureError: if the scheme is unknown or a secret cannot be used
    """

    def __init__(self, scheme: Scheme | str, secrets: Sequence[str]) -> None:
        self._scheme = _find_scheme(scheme)
        keys = _derive_keys(self._scheme, secrets) if self._scheme.signature_header else []
        # Copies of two keyed hashes take half the time of a new HMAC (RFC 2104, section 4).
        self._keyed = [_key_hashes(key) for key in (keys if self._scheme.several_signatures else keys[:1])]

    def sign(self, body: bytes, *, delivery_id: str, timestamp: int) -> dict[str, str]:
        """
        Return the headers that prove who sent ``body``.

        :param body: exactly the bytes that are sent
        :param delivery_id: the delivery's id; printable ASCII without blanks and full stops
        :param timestamp: the time of sending, in unix seconds
        :raises SignatureError: if anything cannot be signed
        """
        if not isinstance(body, bytes):
            raise SignatureError("the body to sign must be bytes")
        if self._scheme.signature_header is None:
            return {}
        if not isinstance(delivery_id, str) or not _ID.fullmatch(delivery_id):
            raise SignatureError("the delivery id must be 1 to 256 characters of printable ASCII without '.'")
        if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not 0 <= timestamp < 10**12:
            raise SignatureError("the timestamp must be whole unix seconds")
        return self.sign_known(body, delivery_id=delivery_id, timestamp=str(timestamp))

    def sign_known(self, body: bytes, *, delivery_id: str, timestamp: str) -> dict[str, str]:
        """Do what ``sign`` does for an id and a time that are known to be good: the caller made them."""
        scheme = self._scheme
        if scheme.signature_header is None:
            return {}
        content = body
        if scheme.signed_parts != _BODY_ALONE:
            content = _join_signed_parts(scheme, body=body, delivery_id=delivery_id, timestamp=timestamp)
        signatures = []
        for inner, outer in self._keyed:
            inside, outside = inner.copy(), outer.copy()
            inside.update(content)
            outside.update(inside.digest())
            signature = outside.hexdigest() if scheme.encoding == "hex" else _encode_base64(outside.digest())
            signatures.append(scheme.signature_prefix + signature)
        headers = {scheme.signature_header: " ".join(signatures)}
        if scheme.id_header:
            headers[scheme.id_header] = delivery_id
        if scheme.timestamp_header:
            headers[scheme.timestamp_header] = timestamp
        return headers


_Keyed = tuple["hashlib._Hash", "hashlib._Hash"]  # noqa: SLF001  (the type has no public name)
_BODY_ALONE = ("body",)
_BLOCK_BYTES = 64
_INNER_PAD, _OUTER_PAD = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))


def _key_hashes(key: bytes) -> _Keyed:
    """Return the inner and the outer hash of HMAC-SHA256, keyed and ready for any number of messages."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(block.translate(_INNER_PAD)), hashlib.sha256(block.translate(_OUTER_PAD))


def sign(
    scheme: Scheme | str, *, body: bytes, secrets: Sequence[str], delivery_id: str, timestamp: int
) -> dict[str, str]:
    """
    Return the headers that prove who sent ``body``; ``Signer`` does the same for many.

    :param scheme: a row of ``SCHEMES`` or its name
    :param body: exactly the bytes that are sent
    :param secrets: the secrets as kept, newest first; the scheme ``none`` takes no notice of them
    :param delivery_id: the delivery's id; printable ASCII without blanks and full stops
    :param timestamp: the time of sending, in unix seconds
    :raises SignatureError: if the scheme is unknown or anything cannot be signed with
    """
    return Signer(scheme, secrets).sign(body, delivery_id=delivery_id, timestamp=timestamp)


def sensitive_signatures(scheme: Scheme, headers: Mapping[str, str], secrets: Iterable[str]) -> Iterable[str]:
    """Return each signature and each bare digest, and the secrets without their prefix, as a receiver may show them."""
    if scheme.signature_header is None:
        return
    for signature in headers[scheme.signature_header].split(" "):
        yield signature
        yield signature.removeprefix(scheme.signature_prefix)
    yield from (secret.removeprefix(WHSEC_PREFIX) for secret in secrets)


def verify(
    scheme: Scheme | str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float | None = None,
    tolerance: int = 300,
) -> None:
    """
    Return if ``headers`` prove that ``body`` was signed with one of ``secrets``; raise otherwise.

    The time is checked where the scheme sends one; in ``sentry_servicehook`` it is not signed, so that check stops a
    careless replay only. Comparison takes the same time wherever two signatures differ.

    :param scheme: a row of ``SCHEMES`` or its name; ``none`` proves nothing and always returns
    :param headers: the request's headers, names in any case: a mapping, or anything with its ``items()``, such as the
        headers of ``http.server``
    :param body: the request's body as received, before any parsing
    :param secrets: every secret that is valid now
    :param now: unix seconds; the clock's if ``None``
    :param tolerance: how many seconds the sender's clock may be off, either way
    :raises SignatureError: whatever is wrong, and nothing else, whatever the input
    """
    try:
        _verify(scheme, headers=headers, body=body, secrets=secrets, now=now, tolerance=tolerance)
    except SignatureError:
        raise
    except Exception:  # noqa: BLE001  (a stranger's request must not find a way to another error)
        raise SignatureError("the request cannot be verified: a header, the body or a secret is malformed") from None


def _verify(
    scheme: Scheme | str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float | None,
    tolerance: int,
) -> None:
    known = _find_scheme(scheme)
    if known.signature_header is None:
        return
    if not isinstance(body, bytes | bytearray | memoryview):
        raise SignatureError("the body to verify must be bytes")
    keys = _derive_keys(known, secrets)
    carried = _read_header(headers, known.signature_header)
    delivery_id = _read_header(headers, known.id_header) if known.id_header and "id" in known.signed_parts else ""
    if delivery_id and not _ID.fullmatch(delivery_id):
        raise SignatureError(f"{known.id_header} is not an id")
    timestamp = _read_header(headers, known.timestamp_header) if known.timestamp_header else ""
    if known.timestamp_header:
        _check_age(known.timestamp_header, timestamp, now=now, tolerance=tolerance)
    content = _join_signed_parts(known, body=bytes(body), delivery_id=delivery_id, timestamp=timestamp)
    candidates = carried.split(" ") if known.several_signatures else [carried]
    if not _any_match(candidates, [_make_signature(known, key, content) for key in keys]):
        raise SignatureError(f"no signature in {known.signature_header} was made with a known secret over this body")


def _find_scheme(scheme: object) -> Scheme:
    if isinstance(scheme, Scheme):
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        return SCHEMES[scheme]
    raise SignatureError(f"{safe_repr(scheme)} is not a signing scheme; there are {', '.join(SCHEMES)}")


def _derive_keys(scheme: Scheme, secrets: object) -> list[bytes]:
    if isinstance(secrets, str | bytes) or not isinstance(secrets, Sequence) or not secrets:
        raise SignatureError(f"the scheme {scheme.name} needs a list with at least one secret")
    try:
        return [derive_key(secret, scheme.key_format) for secret in secrets]
    except ValueError as error:
        raise SignatureError(str(error)) from None


def _read_header(headers: object, name: str) -> str:
    items = getattr(headers, "items", None)
    if not callable(items):
        raise SignatureError("the headers must be a mapping of names to values")
    wanted = name.lower()
    named = [(key, value) for key, value in items() if isinstance(key, str) and key.isascii()]
    found = [value for key, value in named if key.lower() == wanted]
    if len(found) != 1:
        raise SignatureError(f"the header {name} is {'there more than once' if found else 'missing'}")
    value = found[0]
    if not isinstance(value, str) or not value or not value.isascii() or len(value) > MAX_HEADER_CHARACTERS:
        raise SignatureError(f"the header {name} is empty, too long or not ASCII")
    return value


def _check_age(name: str, timestamp: str, *, now: object, tolerance: object) -> None:
    if not _UNIX_SECONDS.fullmatch(timestamp):
        raise SignatureError(f"{name} is not a time in unix seconds")
    clock = time.time() if now is None else now
    if not _is_finite(clock) or not _is_finite(tolerance):
        raise SignatureError("now and tolerance must be finite numbers of seconds")
    if abs(clock - int(timestamp)) > tolerance:
        raise SignatureError(f"{name} is more than {tolerance} seconds off")


def _is_finite(number: object) -> TypeGuard[int | float]:
    if isinstance(number, bool):
        return False
    return isinstance(number, int) or (isinstance(number, float) and math.isfinite(number))


def _join_signed_parts(scheme: Scheme, *, body: bytes, delivery_id: str, timestamp: str) -> bytes:
    if scheme.signed_parts == _BODY_ALONE:
        return body
    parts = {"id": delivery_id.encode("ascii"), "timestamp": timestamp.encode("ascii"), "body": body}
    return b".".join(parts[part] for part in scheme.signed_parts)


def _make_signature(scheme: Scheme, key: bytes, content: bytes) -> str:
    digest = hmac.digest(key, content, hashlib.sha256)
    encoded = digest.hex() if scheme.encoding == "hex" else _encode_base64(digest)
    return scheme.signature_prefix + encoded


def _encode_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _any_match(candidates: Sequence[str], expected: Sequence[str]) -> bool:
    matched = False
    for candidate in candidates:
        for signature in expected:
            matched |= hmac.compare_digest(candidate.encode("ascii"), signature.encode("ascii"))
    return matched
