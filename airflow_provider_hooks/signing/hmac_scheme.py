# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``Scheme``: a signing scheme that is an HMAC in one header, described by its fields alone.

Most vendors sign this way. They differ in the header, the hash, the encoding, and what is signed next to the body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from airflow_provider_hooks.exceptions import SignatureError, ValidationErrors
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.keys import ED25519_SIGNATURE_BYTES, Ed25519Key, KeyFormat, SigningKey
from airflow_provider_hooks.signing.signer import Signer, check_ascii

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_provider_hooks.signing.signer import BoundSigner, ReceivedRequest

HashName = Literal["sha256", "sha384", "sha512"]
Encoding = Literal["hex", "base64", "base64url"]
HASHES: tuple[HashName, ...] = get_args(HashName)
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

_BODY_ONLY = "{body}"
_INNER_PAD, _OUTER_PAD = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}", re.ASCII)
_PART = re.compile(r"\{(id|timestamp|body)\}")


def is_delivery_id(text: object) -> bool:
    """Return whether a text can be signed as an id: a full stop in it could move between the signed parts."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Scheme(Signer):
    """
    One way to sign a body with an HMAC (RFC 2104).

    Example:

    ```python
    from airflow_provider_hooks.signing import Scheme

    PADDLE = Scheme(
        name="paddle",
        description="Hex HMAC of time and body, both in Paddle-Signature",
        signature_header="Paddle-Signature",
        timestamp_prefix="ts=",
        signature_prefix="h1=",
        item_separator=";",
        signed_content="{timestamp}:{body}",
    )
    ```

    :raises ValidationError: if two values would be sent in one header, a signed part is not sent, or two different
        requests could have the same signed content
    """

    name: str
    """Its name in a connection."""

    description: str
    """One line for the docs."""

    title: str = ""
    """What the connection form shows for it; by default its name."""

    source: str = ""
    """The page that documents it."""

    signature_header: str | None = field()  # without it the base class would give it a default
    """The header that carries the signature; ``None`` if nothing is signed."""

    signature_prefix: str = ""
    """The text before the encoded digest, such as ``sha256=``."""

    timestamp_prefix: str | None = None
    """The text before the time in the signature header, such as ``t=``; ``None`` if that header has no time."""

    item_separator: str = " "
    """The character between the time and the signatures of one signature header."""

    signed_content: str = _BODY_ONLY
    """What is signed: ``{id}``, ``{timestamp}`` and ``{body}``, and ASCII text between them; empty for nothing."""

    hash_name: HashName = "sha256"
    """The hash of the HMAC."""

    encoding: Encoding = "hex"
    """How the digest is encoded; ``base64url`` is without padding (RFC 4648, section 5)."""

    key_format: KeyFormat = "text"
    """The form of the secret."""

    ed25519_prefix: str | None = None
    """The text before a base64 ed25519 signature, if a secret can be an ed25519 key (RFC 8032)."""

    id_header: str | None = None
    """The header that carries the delivery id, if the scheme has one."""

    timestamp_header: str | None = None
    """The header that carries the time of sending in unix seconds, if the scheme has one."""

    alias: Scheme | None = None
    """The same scheme with other names of headers, which ``verify`` accepts too."""

    event_header: str | None = None
    """The header that carries the event type, if the scheme has one."""

    event_separator: str = "."
    """What replaces the full stops of the event type in ``event_header``. ASCII."""

    several_signatures: bool = False
    """Whether the header can carry one signature for each secret, with ``item_separator`` between them."""

    def __post_init__(self) -> None:
        headers = (self.signature_header, self.id_header, self.timestamp_header, self.event_header)
        object.__setattr__(self, "header_names", tuple(name for name in headers if name is not None))
        is_timed = self.timestamp_header is not None or self.timestamp_prefix is not None
        object.__setattr__(self, "needs_timestamp", is_timed)
        object.__setattr__(self, "takes_ed25519", self.ed25519_prefix is not None)
        problems = ValidationErrors(f"signing scheme {safe_repr(self.name)}")
        problems.collect(self.check_definition)
        prefixes = [name for name in ("timestamp_prefix", "ed25519_prefix") if getattr(self, name) is not None]
        texts = ("signature_prefix", "signed_content", "item_separator", *prefixes)
        check_ascii(problems, self, *texts)
        if all(isinstance(getattr(self, name), str) for name in texts):
            for attribute, find_problem in _CHECKS.items():
                problem = find_problem(self)
                if problem is not None:
                    problems.add(attribute, problem)
        problems.raise_if_any()

    def signs(self, part: Literal["id", "timestamp"]) -> bool:
        """Return whether a part is signed in addition to the body."""
        return f"{{{part}}}" in self.signed_content

    def sign(self, keys: Sequence[bytes], *, body: bytes, delivery_id: str, timestamp: int) -> Mapping[str, str]:
        """Return the headers that prove who sent ``body``."""
        return _bind_keys(self, keys)(body, delivery_id=delivery_id, timestamp=timestamp)

    def bind(self, secrets: Sequence[str]) -> BoundSigner:
        """Return a function that signs with these secrets, faster than ``sign``."""
        return _bind_keys(self, [self.derive_key(secret) for secret in secrets])

    def verify(self, keys: Sequence[bytes], request: ReceivedRequest) -> None:
        """
        Return if a request was signed with one of the keys.

        :raises SignatureError: otherwise
        """
        if self.signature_header is None:
            return
        if self.alias and not self.matches(request) and self.alias.matches(request):
            self.alias.verify(keys, request)
            return
        received, timestamp = self._read_signature_header(request)
        delivery_id = request.header(self.id_header) if self.id_header and self.signs("id") else ""
        if delivery_id and not is_delivery_id(delivery_id):
            raise SignatureError(f"{self.id_header} is not an id")
        if self.timestamp_header:
            timestamp = request.header(self.timestamp_header)
            request.check_timestamp(timestamp, source=self.timestamp_header)
        before, after = _split_content(self.signed_content)
        parts = {"id": delivery_id, "timestamp": timestamp}
        content = (before % parts).encode("ascii") + request.body + (after % parts).encode("ascii")
        secret_keys = [key for key in keys if not isinstance(key, Ed25519Key)]
        verification_keys = [key.make_verification_key() for key in keys if isinstance(key, Ed25519Key)]
        if verification_keys:
            signatures = self._read_ed25519_signatures(received)
            if any(key.verifies(signature, content) for signature in signatures for key in verification_keys):
                return
        expected = [self.format_signature(hmac.digest(key, content, self.hash_name)) for key in secret_keys]
        request.check_signatures(received, expected=expected, source=self.signature_header)

    def _read_ed25519_signatures(self, received: Iterable[str]) -> list[bytes]:
        """Return the ed25519 signatures of a header; each has one text only, so that none can be changed."""
        prefix = self.ed25519_prefix or ""
        found = []
        for item in received:
            try:
                signature = base64.b64decode(item.removeprefix(prefix), validate=True)
            except ValueError:
                continue
            if len(signature) == ED25519_SIGNATURE_BYTES and item == prefix + _encode_base64(signature):
                found.append(signature)
        return found

    def _read_signature_header(self, request: ReceivedRequest) -> tuple[list[str], str]:
        """Return the signatures of a request and, if the header carries it, its time as text."""
        header = self.signature_header or ""
        carried = request.header(header)
        if self.timestamp_prefix is None:
            return carried.split(self.item_separator) if self.several_signatures else [carried], ""
        prefix, items = self.timestamp_prefix, carried.split(self.item_separator)
        times = [item for item in items if item.startswith(prefix)]
        signatures = [item for item in items if not item.startswith(prefix)]
        if len(times) != 1:
            raise SignatureError(f"{header} has {'more than one time' if times else 'no time'}")
        timestamp = times[0][len(prefix) :]
        request.check_timestamp(timestamp, source=f"the time in {header}")
        return signatures if self.several_signatures else signatures[:1], timestamp

    def matches(self, request: ReceivedRequest) -> bool:
        """Return whether a request has this scheme's signature header."""
        return self.signature_header is not None and request.has_header(self.signature_header)

    def sensitive_values(self, headers: Mapping[str, str], secrets: Iterable[str]) -> tuple[str, ...]:
        """Return each signature and each bare digest, and the secrets without their prefix."""
        if self.signature_header is None:
            return ()
        value = headers[self.signature_header]
        is_list = self.several_signatures or self.timestamp_prefix is not None
        items = value.split(self.item_separator) if is_list else [value]
        signatures = items if self.timestamp_prefix is None else items[1:]
        return (
            *signatures,
            *(self._remove_prefix(signature) for signature in signatures),
            *self.list_key_forms(secrets),
        )

    def _remove_prefix(self, signature: str) -> str:
        if self.ed25519_prefix is not None and signature.startswith(self.ed25519_prefix):
            return signature.removeprefix(self.ed25519_prefix)
        return signature.removeprefix(self.signature_prefix)

    def format_signature(self, digest: bytes) -> str:
        """Return a digest as the signature header carries it."""
        return self.signature_prefix + _ENCODERS[self.encoding](digest)


def _bind_keys(scheme: Scheme, keys: Sequence[bytes]) -> BoundSigner:
    """
    Return the function that signs by one row.

    What it needs is in local variables, and copies of two keyed hashes take half the time of a new HMAC (RFC 2104,
    section 4).
    """
    header, id_header, timestamp_header = scheme.signature_header, scheme.id_header, scheme.timestamp_header
    prefix, ed25519_prefix, timestamp_prefix = scheme.signature_prefix, scheme.ed25519_prefix, scheme.timestamp_prefix
    separator, is_timed = scheme.item_separator, scheme.needs_timestamp
    before, after = _split_content(scheme.signed_content)
    is_body_only = scheme.signed_content == _BODY_ONLY
    is_hex, encode = scheme.encoding == "hex", _ENCODERS[scheme.encoding]
    used = keys if scheme.several_signatures else keys[:1]
    hashes = [_key_hashes(key, scheme.hash_name) for key in used if not isinstance(key, Ed25519Key)]
    ed25519_signers = [key.make_signer() for key in used if isinstance(key, SigningKey)]
    is_digest_alone = len(hashes) == 1 and not ed25519_signers and timestamp_prefix is None

    def sign_request(body: bytes, *, delivery_id: str, timestamp: int) -> Mapping[str, str]:
        if header is None:
            return {}
        text = str(timestamp) if is_timed else ""
        content = body
        if not is_body_only:
            parts = {"id": delivery_id, "timestamp": text}
            content = (before % parts).encode("ascii") + body
            if after:
                content += (after % parts).encode("ascii")
        signatures = []
        for inner, outer in hashes:
            inside, outside = inner.copy(), outer.copy()
            inside.update(content)
            outside.update(inside.digest())
            signatures.append(prefix + (outside.hexdigest() if is_hex else encode(outside.digest())))
        if not is_digest_alone:
            signatures += [f"{ed25519_prefix}{_encode_base64(sign(content))}" for sign in ed25519_signers]
            if timestamp_prefix is not None:
                signatures.insert(0, timestamp_prefix + text)
        headers = {header: signatures[0] if is_digest_alone else separator.join(signatures)}
        if id_header:
            headers[id_header] = delivery_id
        if timestamp_header:
            headers[timestamp_header] = text
        return headers

    return sign_request


def _encode_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _encode_base64url(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


_ENCODERS: dict[Encoding, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": _encode_base64,
    "base64url": _encode_base64url,
}

_Keyed = tuple["hashlib._Hash", "hashlib._Hash"]  # noqa: SLF001  (the type has no public name)


def _key_hashes(key: bytes, name: HashName) -> _Keyed:
    """Return the inner and the outer hash of an HMAC, keyed and ready for any number of messages."""
    make = getattr(hashlib, name)
    size = make().block_size
    block = (make(key).digest() if len(key) > size else key).ljust(size, b"\0")
    return make(block.translate(_INNER_PAD)), make(block.translate(_OUTER_PAD))


def _split_content(signed_content: str) -> tuple[str, str]:
    """Return what is before and after the body, as formats of the operator ``%``."""
    before, _, after = _PART.sub(r"%(\1)s", signed_content.replace("%", "%%")).partition("%(body)s")
    return before, after


def _find_content_problem(scheme: Scheme) -> str | None:
    """Return why a request could have two meanings for one signature, or why nothing is signed, or ``None``."""
    texts = _PART.split(scheme.signed_content)  # text, part, text, part, …, text
    parts, between = texts[1::2], texts[2:-1:2]
    if scheme.signature_header is None:
        return "must be empty if there is no signature_header" if scheme.signed_content else None
    if parts.count("body") != 1:
        return "must have {body} once: it is what the signature is for"
    if len(set(parts)) != len(parts) or any("{" in text or "}" in text for text in texts[::2]):
        return "can have {id}, {timestamp} and {body}, each once, and no other braces"
    for first, text, second in zip(parts, between, parts[1:], strict=False):
        if not text or (text[0].isdigit() and first == "timestamp") or (text[-1].isdigit() and second == "timestamp"):
            return f"needs text that is not a digit between {{{first}}} and {{{second}}}"
        if (first == "id" and text[0] != ".") or (second == "id" and text[-1] != "."):
            return "needs a full stop between {id} and the next part: no id contains one"
    return None


def _find_separator_problem(scheme: Scheme) -> str | None:
    """Return why the items of a signature header could not be separated, or ``None``."""
    separator = scheme.item_separator
    if separator not in {" ", ",", ";"}:
        return "must be a space, a comma or a semicolon"
    if (scheme.several_signatures or scheme.timestamp_prefix is not None) and (
        separator in scheme.signature_prefix or separator in (scheme.timestamp_prefix or "")
    ):
        return "must not be in the text before the time or the signature"
    time, signature = scheme.timestamp_prefix, scheme.signature_prefix
    if time is not None and (time.startswith(signature) or signature.startswith(time)):
        return "must separate a time and a signature that begin with different texts, such as t= and v1="
    return None


def _find_id_problem(scheme: Scheme) -> str | None:
    is_missing = scheme.signs("id") and scheme.id_header is None
    return "is missing, but the id is signed and a receiver needs it" if is_missing else None


def _find_timestamp_problem(scheme: Scheme) -> str | None:
    if scheme.signs("timestamp") and not scheme.needs_timestamp:
        return "is missing, but the timestamp is signed and a receiver needs it"
    if scheme.timestamp_header is not None and scheme.timestamp_prefix is not None:
        return "would send the time twice: the signature header carries it too"
    return None


def _find_choice_problem(value: str, choices: Sequence[str]) -> str | None:
    return None if value in choices else f"must be one of {', '.join(choices)}"


_CHECKS: dict[str, Callable[[Scheme], str | None]] = {
    "item_separator": _find_separator_problem,
    "hash_name": lambda scheme: _find_choice_problem(scheme.hash_name, HASHES),
    "encoding": lambda scheme: _find_choice_problem(scheme.encoding, ENCODINGS),
    "signed_content": _find_content_problem,
    "id_header": _find_id_problem,
    "timestamp_header": _find_timestamp_problem,
}
