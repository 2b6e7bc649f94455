# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``sign`` and ``verify``, and the signing schemes: rows for simple HMACs, and what other packages add by entry point.

A new HMAC scheme is a new row; ``sign`` and ``verify``, the connection form, the CLI and the docs follow the table.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from airflow_provider_hooks.entry_points import ExtensibleTable
from airflow_provider_hooks.exceptions import SignatureError, ValidationErrors, drop_frames
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.signer import (
    WHSEC_PREFIX,
    KeyFormat,
    ReceivedRequest,
    Signer,
    check_ascii,
    list_key_forms,
)

if TYPE_CHECKING:
    from airflow_provider_hooks.signing.signer import BoundSigner

ENTRY_POINT_GROUP = "airflow_provider_hooks.signing_schemes"
"""The entry points of other packages: each is a ``Scheme`` or a subclass of ``Signer``."""

Part = Literal["id", "timestamp", "body"]
Encoding = Literal["hex", "base64"]

_BODY_ONLY = ("body",)
_BLOCK_BYTES = 64
_INNER_PAD, _OUTER_PAD = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Scheme(Signer):
    """
    One way to sign a body with HMAC-SHA256.

    :raises ValidationError: if two values would be sent in one header, or a signed part is not sent
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

    signed_parts: tuple[Part, ...] = ("body",)
    """What is signed, joined with ``separator``."""

    signed_prefix: str = ""
    """The constant text before the signed parts, such as a version. ASCII."""

    separator: str = "."
    """The text between the signed parts. Where the id is signed it is a full stop, which no id contains. ASCII."""

    encoding: Encoding = "hex"
    """How the digest is encoded."""

    key_format: KeyFormat = "text"
    """The form of the secret."""

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
    """Whether the header can carry one signature for each secret, separated by spaces."""

    def __post_init__(self) -> None:
        headers = (self.signature_header, self.id_header, self.timestamp_header, self.event_header)
        object.__setattr__(self, "header_names", tuple(name for name in headers if name is not None))
        object.__setattr__(self, "needs_timestamp", self.timestamp_header is not None)
        self.check_definition()
        problems = ValidationErrors(f"signing scheme {safe_repr(self.name)}")
        for part, header in (("id", self.id_header), ("timestamp", self.timestamp_header)):
            if part in self.signed_parts and header is None:
                problems.add(f"{part}_header", f"is missing, but the {part} is signed and a receiver needs it")
        if (self.signature_header is None) != (not self.signed_parts):
            problems.add("signed_parts", "must be empty if there is no signature_header, and only then")
        check_ascii(problems, self, "signed_prefix", "separator")
        if "id" in self.signed_parts and self.separator != ".":
            problems.add("separator", "must be a full stop if the id is signed: no id contains one")
        problems.raise_if_any()

    def sign(self, keys: Sequence[bytes], *, body: bytes, delivery_id: str, timestamp: int) -> Mapping[str, str]:
        """Return the headers that prove who sent ``body``."""
        return _KeyedScheme(self, keys).sign_request(body, delivery_id=delivery_id, timestamp=timestamp)

    def bind(self, secrets: Sequence[str]) -> BoundSigner:
        """Return a function that signs with these secrets, faster than ``sign``."""
        return _KeyedScheme(self, [self.derive_key(secret) for secret in secrets]).sign_request

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
        carried = request.header(self.signature_header)
        delivery_id = request.header(self.id_header) if self.id_header and "id" in self.signed_parts else ""
        if delivery_id and not is_delivery_id(delivery_id):
            raise SignatureError(f"{self.id_header} is not an id")
        timestamp = ""
        if self.timestamp_header:
            timestamp = request.header(self.timestamp_header)
            request.check_timestamp(timestamp, source=self.timestamp_header)
        content = self.join_signed_parts(request.body, delivery_id=delivery_id, timestamp=timestamp)
        received = carried.split(" ") if self.several_signatures else [carried]
        expected = [self.format_signature(hmac.digest(key, content, hashlib.sha256)) for key in keys]
        request.check_signatures(received, expected=expected, source=self.signature_header)

    def matches(self, request: ReceivedRequest) -> bool:
        """Return whether a request has this scheme's signature header."""
        return self.signature_header is not None and request.has_header(self.signature_header)

    def sensitive_values(self, headers: Mapping[str, str], secrets: Iterable[str]) -> tuple[str, ...]:
        """Return each signature and each bare digest, and the secrets without their prefix."""
        if self.signature_header is None:
            return ()
        signatures = headers[self.signature_header].split(" ")
        return (
            *signatures,
            *(signature.removeprefix(self.signature_prefix) for signature in signatures),
            *(secret.removeprefix(WHSEC_PREFIX) for secret in secrets),
            *(list_key_forms(secrets) if self.key_format == "whsec" else ()),
        )

    def join_signed_parts(self, body: bytes, *, delivery_id: str, timestamp: str) -> bytes:
        """Return the bytes that are signed."""
        if self.signs_body_only:
            return body
        parts = {"id": delivery_id.encode("ascii"), "timestamp": timestamp.encode("ascii"), "body": body}
        joined = self.separator.encode("ascii").join([parts[part] for part in self.signed_parts])
        return self.signed_prefix.encode("ascii") + joined

    @property
    def signs_body_only(self) -> bool:
        """Whether the signed content is exactly the body."""
        return self.signed_parts == _BODY_ONLY and not self.signed_prefix

    @property
    def signed_content(self) -> str:
        """What is signed, with the names of the parts."""
        return self.signed_prefix + self.separator.join(self.signed_parts)

    def format_signature(self, digest: bytes) -> str:
        """Return a digest as the signature header carries it."""
        encoded = digest.hex() if self.encoding == "hex" else _encode_base64(digest)
        return self.signature_prefix + encoded


class _KeyedScheme:
    """Signs by one row. Copies of two keyed hashes take half the time of a new HMAC (RFC 2104, section 4)."""

    def __init__(self, scheme: Scheme, keys: Sequence[bytes]) -> None:
        self._scheme, self._signs_body_only = scheme, scheme.signs_body_only
        used = keys if scheme.several_signatures else keys[:1]
        self._hashes = [_key_hashes(key) for key in used]

    def sign_request(self, body: bytes, *, delivery_id: str, timestamp: int) -> dict[str, str]:
        """Return the headers of one request."""
        scheme = self._scheme
        if scheme.signature_header is None:
            return {}
        text = str(timestamp) if scheme.timestamp_header else ""
        content = body
        if not self._signs_body_only:
            content = scheme.join_signed_parts(body, delivery_id=delivery_id, timestamp=text)
        signatures = []
        for inner, outer in self._hashes:
            inside, outside = inner.copy(), outer.copy()
            inside.update(content)
            outside.update(inside.digest())
            encoded = outside.hexdigest() if scheme.encoding == "hex" else _encode_base64(outside.digest())
            signatures.append(scheme.signature_prefix + encoded)
        headers = {scheme.signature_header: " ".join(signatures)}
        if scheme.id_header:
            headers[scheme.id_header] = delivery_id
        if scheme.timestamp_header:
            headers[scheme.timestamp_header] = text
        return headers


def _encode_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


_Keyed = tuple["hashlib._Hash", "hashlib._Hash"]  # noqa: SLF001  (the type has no public name)


def _key_hashes(key: bytes) -> _Keyed:
    """Return the inner and the outer hash of HMAC-SHA256, keyed and ready for any number of messages."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(block.translate(_INNER_PAD)), hashlib.sha256(block.translate(_OUTER_PAD))


def is_delivery_id(text: object) -> bool:
    """Return whether a text can be signed as an id: a full stop in it could move between the signed parts."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


_STANDARD_WEBHOOKS = Scheme(
    name="standard_webhooks",
    title="Standard Webhooks (standard_webhooks)",
    description="Base64 HMAC of id, timestamp and body in webhook-signature, as Standard Webhooks specifies",
    source="https://www.standardwebhooks.com/",
    signature_header="webhook-signature",
    signature_prefix="v1,",
    signed_parts=("id", "timestamp", "body"),
    encoding="base64",
    key_format="whsec",
    id_header="webhook-id",
    timestamp_header="webhook-timestamp",
    several_signatures=True,
)
_SVIX = replace(
    _STANDARD_WEBHOOKS, signature_header="svix-signature", id_header="svix-id", timestamp_header="svix-timestamp"
)
"""The names that Svix sends, where Standard Webhooks comes from."""

_ROWS = (
    Scheme(
        name="sentry",
        title="Sentry, as its documentation says (sentry)",
        description="Hex HMAC of the body in X-Sentry-Hook-Signature, as Sentry documents service hooks",
        source="https://docs.sentry.io/ (service hooks)",
        signature_header="X-Sentry-Hook-Signature",
    ),
    Scheme(
        name="sentry_servicehook",
        title="Sentry, as its server sends (sentry_servicehook)",
        description="Hex HMAC of the body in X-ServiceHook-Signature, as Sentry's server sends; the GUID is ours",
        source="https://github.com/getsentry/sentry (service hook task)",
        signature_header="X-ServiceHook-Signature",
        id_header="X-ServiceHook-GUID",
        timestamp_header="X-ServiceHook-Timestamp",
    ),
    Scheme(
        name="sentry_integration",
        title="Sentry, as its integrations send (sentry_integration)",
        description="Hex HMAC of the body in Sentry-Hook-Signature, as Sentry documents integration webhooks",
        source="https://docs.sentry.io/organization/integrations/integration-platform/webhooks/",
        signature_header="Sentry-Hook-Signature",
        id_header="Request-ID",
        timestamp_header="Sentry-Hook-Timestamp",
        event_header="Sentry-Hook-Resource",
        event_separator="_",
    ),
    Scheme(
        name="zstack",
        title="ZStack (zstack)",
        description="Hex HMAC of timestamp and body in X-Webhook-Signature, as ZStack documents webhook security",
        source="ZStack API: GET /api/v1/alerting/docs/webhook-security",
        signature_header="X-Webhook-Signature",
        signature_prefix="v1=",
        signed_parts=("timestamp", "body"),
        timestamp_header="X-Webhook-Timestamp",
    ),
    replace(_STANDARD_WEBHOOKS, alias=_SVIX),
    Scheme(
        name="github",
        title="GitHub (github)",
        description="Hex HMAC of the body in X-Hub-Signature-256, as GitHub documents webhook deliveries",
        source="https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        signature_header="X-Hub-Signature-256",
        signature_prefix="sha256=",
        id_header="X-GitHub-Delivery",
        event_header="X-GitHub-Event",
    ),
    Scheme(
        name="slack",
        title="Slack (slack)",
        description="Hex HMAC of v0, timestamp and body in X-Slack-Signature, as Slack documents signed requests",
        source="https://docs.slack.dev/authentication/verifying-requests-from-slack/",
        signature_header="X-Slack-Signature",
        signature_prefix="v0=",
        signed_prefix="v0:",
        separator=":",
        signed_parts=("timestamp", "body"),
        timestamp_header="X-Slack-Request-Timestamp",
    ),
    Scheme(
        name="none",
        title="no signature (none)",
        description="No signature: for receivers that authenticate in another way",
        signature_header=None,
        signed_parts=(),
    ),
)


def _read_scheme(loaded: object) -> Signer:
    """Return the scheme that an entry point loads: a scheme, or a subclass of ``Signer``."""
    scheme = loaded() if isinstance(loaded, type) and issubclass(loaded, Signer) else loaded
    if not isinstance(scheme, Signer):
        raise TypeError("it is no Scheme and no Signer")
    scheme.check_definition()
    return scheme


SCHEMES: Mapping[str, Signer] = ExtensibleTable(
    _ROWS, group=ENTRY_POINT_GROUP, title="signing scheme", read=_read_scheme
)
"""Every scheme by its name."""

DEFAULT_SCHEME = "sentry"
"""The scheme of an endpoint whose connection names none."""


@drop_frames
def sign(
    scheme: Signer | str, *, body: bytes, secrets: Sequence[str], delivery_id: str, timestamp: int
) -> Mapping[str, str]:
    """
    Return the headers that prove who sent ``body``.

    With several secrets the headers carry a signature by each of them if the scheme can, else by the newest.

    :param scheme: a scheme of ``SCHEMES`` or its name
    :param body: exactly the bytes that are sent
    :param secrets: the secrets, newest first; the scheme ``none`` ignores them
    :param delivery_id: the delivery's id; 1 to 256 characters of printable ASCII without blanks and full stops
    :param timestamp: the time of sending, in unix seconds
    :raises SignatureError: if the scheme is unknown or an argument cannot be signed
    """
    known = _find_scheme(scheme)
    if not isinstance(body, bytes):
        raise SignatureError("the body to sign must be bytes")
    if known.signature_header is None:
        return {}
    if not is_delivery_id(delivery_id):
        raise SignatureError("the delivery id must be 1 to 256 characters of printable ASCII without '.'")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not 0 <= timestamp < 10**12:
        raise SignatureError("the timestamp must be whole unix seconds")
    bound = known.bind(_check_secrets(known, secrets))
    return bound(body, delivery_id=delivery_id, timestamp=timestamp)


@drop_frames
def verify(
    scheme: Signer | str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float | None = None,
    tolerance: int = 300,
) -> None:
    """
    Return if ``headers`` prove that ``body`` was signed with one of ``secrets``; raise otherwise.

    The time is checked if the scheme sends one. In ``sentry_servicehook`` it is not signed, so that check stops only a
    careless replay. Comparison takes the same time wherever two signatures differ.

    :param scheme: a scheme of ``SCHEMES`` or its name; ``none`` proves nothing and always returns
    :param headers: the request's headers, names in any case: a mapping, or anything with its ``items()``, such as the
        headers of ``http.server``
    :param body: the request's body as received, before any parsing
    :param secrets: every secret that is valid now
    :param now: unix seconds; the time of the clock if ``None``
    :param tolerance: how many seconds the sender's clock may differ, either way
    :raises SignatureError: whatever is wrong, and nothing else, whatever the input
    """
    try:
        known = _find_scheme(scheme)
        if known.signature_header is None:
            return
        request = ReceivedRequest(headers, _copy_body(body), now=now, tolerance=tolerance)
        known.verify([known.derive_key(secret) for secret in _check_secrets(known, secrets)], request)
    except SignatureError:
        raise
    except Exception:  # noqa: BLE001  (a request from outside must not cause another error)
        raise SignatureError("the request cannot be verified: a header, the body or a secret is malformed") from None


def _copy_body(body: object) -> bytes:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise SignatureError("the body to verify must be bytes")
    return bytes(body)


def _find_scheme(scheme: object) -> Signer:
    if isinstance(scheme, Signer):
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        return SCHEMES[scheme]
    raise SignatureError(f"{safe_repr(scheme)} is not a signing scheme; there are {', '.join(SCHEMES)}")


def _check_secrets(scheme: Signer, secrets: object) -> Sequence[str]:
    if isinstance(secrets, str | bytes) or not isinstance(secrets, Sequence) or not secrets:
        raise SignatureError(f"the scheme {scheme.name} needs a list with at least one secret")
    for secret in secrets:
        problem = scheme.find_secret_problem(secret)
        if problem is not None:
            raise SignatureError(f"the secret {problem}")
    return secrets
