# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
HTTP Message Signatures (RFC 9421) over method, URL, content type, delivery id and the digest of the body (RFC 9530).

The secret decides the algorithm: an ed25519 key signs with ``ed25519``, any other secret with ``hmac-sha256``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets as random_secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_hooks.exceptions import SignatureError
from airflow_provider_hooks.signing.keys import Ed25519Key, KeyFormat, SigningKey, VerificationKey
from airflow_provider_hooks.signing.signer import DELIVERY_HEADER, RequestTarget, Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_hooks.http.urls import Target
    from airflow_provider_hooks.signing.signer import BoundSigner, ReceivedRequest

MAX_SIGNATURES, MAX_COMPONENTS = 16, 64
"""What is verified of one request at most, so that the work is bounded."""

_ID_COMPONENT = DELIVERY_HEADER.lower()
_COMPONENTS = ("@method", "@authority", "@path", "@query", "content-type", "content-digest", _ID_COMPONENT)
"""What every signature covers; ``@query`` only if the URL has a query."""
_DIGESTS: Mapping[str, Callable[[bytes], bytes]] = {
    "sha-256": lambda body: hashlib.sha256(body).digest(),
    "sha-512": lambda body: hashlib.sha512(body).digest(),
}
_NONCE_BYTES = 16

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*", re.ASCII)
_ITEM = re.compile(
    r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"|:[A-Za-z0-9+/=]*:|\?[01]|@?-?[0-9]{1,15}(?:\.[0-9]{1,3})?'
    r"|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*",
    re.ASCII,
)
_BYTES = re.compile(r":[A-Za-z0-9+/=]*:", re.ASCII)
_COMPONENT = re.compile(r'"@?[a-z0-9!#$%&\'*+.^_`|~-]+"', re.ASCII)
_SPACES, _BLANKS = re.compile(r" *"), re.compile(r"[ \t]*")
_KEYID = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}", re.ASCII)
"""Without blanks, quotes and backslashes, which would have to be escaped."""


@dataclass(frozen=True, kw_only=True)
class HttpMessageSignatures(Signer):
    """The scheme, with what a connection or a receiver can set."""

    name = "http_message_signatures"
    title = "HTTP Message Signatures, RFC 9421 (http_message_signatures)"
    description = (
        "HTTP Message Signature over method, URL, content type, id and Content-Digest, with ed25519 or an HMAC"
    )
    source = "https://www.rfc-editor.org/rfc/rfc9421"
    header_names = ("Signature", "Signature-Input", "Content-Digest")
    covered_id_header = DELIVERY_HEADER
    signed_content = " ".join(_COMPONENTS)
    several_signatures = True
    takes_ed25519 = True
    options = {  # noqa: RUF012  (a field with a default would be an argument)
        "keyid": "The name of the newest secret. By default the JWK thumbprint of an ed25519 key (RFC 7638), or 16 hex "
        "digits that an HMAC with the secret makes.",
        "nonce": "`true` adds a random value to each signature.",
    }

    key_format: KeyFormat = "text"
    """The form of a secret that is not an ed25519 key."""

    keyid: str | None = None
    """The name of the newest secret in its signature."""

    nonce: bool = False
    """Whether each signature has a random value."""

    required: tuple[str, ...] = _COMPONENTS
    """What a signature must cover to be verified; ``@query`` only if the URL has a query."""

    target: RequestTarget | None = field(default=None, repr=False)
    """Where the signed requests go."""

    def with_options(self, options: Mapping[str, object]) -> HttpMessageSignatures:
        """
        Return the scheme with the options of a connection.

        :raises ValidationError: naming each option that cannot be used
        """
        problems = self.find_unknown_options(options)
        keyid, nonce = options.get("keyid"), options.get("nonce")
        if keyid is not None and not (isinstance(keyid, str) and _KEYID.fullmatch(keyid)):
            problems.add(
                "keyid", "must be 1 to 128 characters of printable ASCII without blanks, quotes and backslashes"
            )
        if nonce is not None and not isinstance(nonce, bool):
            problems.add("nonce", "must be true or false")
        problems.raise_if_any()
        return replace(self, keyid=keyid if isinstance(keyid, str) else None, nonce=nonce is True)

    def with_target(self, target: RequestTarget) -> HttpMessageSignatures:
        """Return the scheme for requests to one URL."""
        return replace(self, target=target)

    def sign(self, keys: Sequence[bytes], *, body: bytes, delivery_id: str, timestamp: int) -> Mapping[str, str]:
        """Return the headers that prove who sent ``body``."""
        return _MessageSigner(self, keys).sign_request(body, delivery_id=delivery_id, timestamp=timestamp)

    def bind(self, secrets: Sequence[str]) -> BoundSigner:
        """
        Return a function that signs with these secrets.

        :raises SignatureError: if the URL is not known
        """
        return _MessageSigner(self, [self.derive_key(secret) for secret in secrets]).sign_request

    def verify(self, keys: Sequence[bytes], request: ReceivedRequest) -> None:
        """
        Return if one of the signatures covers what is required and was made with one of the keys.

        :raises SignatureError: otherwise
        """
        inputs = _parse_signature_input(request.header("Signature-Input"))
        signatures = _parse_byte_sequences(request.header("Signature"), source="Signature")
        known = [key.make_verification_key() if isinstance(key, Ed25519Key) else key for key in keys]
        problem = "no signature in Signature was made with a known secret over this request"
        for label, signature in signatures.items():
            if label not in inputs:
                continue
            try:
                base = self._make_received_base(inputs[label], request)
            except SignatureError as error:
                problem = str(error)
                continue
            algorithm = inputs[label].parameters.get("alg")
            if any(_is_signature(signature, base, key=key, algorithm=algorithm) for key in known):
                return
        raise SignatureError(problem)

    def _make_received_base(self, signed: _SignatureInput, request: ReceivedRequest) -> bytes:
        """
        Return what a signature of a received request must have signed (RFC 9421, section 2.5).

        :raises SignatureError: if it covers too little, is too old, or covers what the request does not have
        """
        parameters, covered = signed.parameters, set(signed.components)
        required = [name for name in self.required if name != "@query" or request.target.query]
        missing = [name for name in required if name not in covered]
        if missing:
            raise SignatureError(f"the signature does not cover {', '.join(missing)}")
        request.check_timestamp(parameters.get("created", ""), source="created in Signature-Input")
        if "expires" in parameters:
            request.check_not_over(parameters["expires"], source="expires in Signature-Input")
        if "content-digest" in covered:
            _check_digest(request)
        lines = [f'"{name}": {_read_component(name, request)}' for name in signed.components]
        return "\n".join([*lines, f'"@signature-params": {signed.text}']).encode("ascii")


class _MessageSigner:
    """Signs the requests to one URL; what is the same in all signatures is made once."""

    def __init__(self, scheme: HttpMessageSignatures, keys: Sequence[bytes]) -> None:
        target = scheme.target
        if target is None:
            raise SignatureError(f"the scheme {scheme.name} signs the URL too: give url=")
        components = [name for name in _COMPONENTS if name != "@query" or target.url.query]
        values = {
            "@method": target.method,
            "@authority": target.url.authority,
            "@path": target.url.path,
            "@query": f"?{target.url.query}",
            "content-type": target.content_type,
        }
        covered = " ".join(f'"{name}"' for name in components)
        self._before = "".join(f'"{name}": {values[name]}\n' for name in components if name in values)
        self._nonce = scheme.nonce
        self._signers: list[tuple[str, str, str, Callable[[bytes], bytes]]] = []
        for number, key in enumerate(keys):
            keyid = scheme.keyid if scheme.keyid and number == 0 else _make_keyid(key)
            algorithm = "ed25519" if isinstance(key, Ed25519Key) else "hmac-sha256"
            after = f';keyid="{keyid}";alg="{algorithm}"'
            self._signers.append((f"sig{number + 1}", f"({covered});created=", after, _bind_key(key)))

    def sign_request(self, body: bytes, *, delivery_id: str, timestamp: int) -> dict[str, str]:
        """Return the headers of one request."""
        digest = f"sha-256=:{_encode(hashlib.sha256(body).digest())}:"
        before = f'{self._before}"content-digest": {digest}\n"{_ID_COMPONENT}": {delivery_id}\n"@signature-params": '
        inputs, signatures = [], []
        for label, begin, end, sign in self._signers:
            nonce = f';nonce="{random_secrets.token_urlsafe(_NONCE_BYTES)}"' if self._nonce else ""
            parameters = f"{begin}{timestamp}{end}{nonce}"
            inputs.append(f"{label}={parameters}")
            signatures.append(f"{label}=:{_encode(sign(f'{before}{parameters}'.encode('ascii')))}:")
        return {
            "Content-Digest": digest,
            "Signature-Input": ", ".join(inputs),
            "Signature": ", ".join(signatures),
        }


def _bind_key(key: bytes) -> Callable[[bytes], bytes]:
    """
    Return the function that signs with a key.

    :raises SignatureError: if it only verifies
    """
    if isinstance(key, SigningKey):
        return key.make_signer()
    if isinstance(key, Ed25519Key):
        raise SignatureError("a verification key cannot sign")
    return lambda content: hmac.digest(key, content, "sha256")


def _make_keyid(key: bytes) -> str:
    """Return the default name of a key, which does not reveal a secret one."""
    if not isinstance(key, Ed25519Key):
        return hmac.digest(key, b"keyid", "sha256")[:8].hex()
    x = base64.urlsafe_b64encode(key.make_verification_key()).decode("ascii").rstrip("=")
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode("ascii")).digest()
    return base64.urlsafe_b64encode(thumbprint).decode("ascii").rstrip("=")


def _is_signature(signature: bytes, base: bytes, *, key: bytes, algorithm: str | None) -> bool:
    """Return whether a key made a signature; the algorithm of the request must be the key's own."""
    if isinstance(key, VerificationKey):
        return algorithm in {None, '"ed25519"'} and key.verifies(signature, base)
    if algorithm not in {None, '"hmac-sha256"'}:
        return False
    return hmac.compare_digest(signature, hmac.digest(key, base, "sha256"))


def _check_digest(request: ReceivedRequest) -> None:
    """
    Return if the digests of a request are those of its body (RFC 9530, section 2).

    :raises SignatureError: otherwise
    """
    digests = _parse_byte_sequences(request.header("Content-Digest"), source="Content-Digest")
    known = [name for name in digests if name in _DIGESTS]
    if not known:
        raise SignatureError(f"Content-Digest has none of {', '.join(_DIGESTS)}")
    if not all(hmac.compare_digest(digests[name], _DIGESTS[name](request.body)) for name in known):
        raise SignatureError("Content-Digest is not the digest of this body")


def _read_component(name: str, request: ReceivedRequest) -> str:
    """
    Return the value of a covered component (RFC 9421, sections 2.1 and 2.2).

    :raises SignatureError: if the request does not have it
    """
    if not name.startswith("@"):
        value = request.header(name).strip(" \t")
        if not value.replace("\t", " ").isprintable():
            raise SignatureError(f"the header {name} has control characters")
        return value
    if name == "@method":
        return request.method
    derive = _DERIVED.get(name)
    if derive is None:
        raise SignatureError("the signature covers a derived component that cannot be verified")
    return derive(request.target)


_DERIVED: Mapping[str, Callable[[Target], str]] = {
    "@authority": lambda url: url.authority,
    "@path": lambda url: url.path,
    "@query": lambda url: f"?{url.query}",
    "@scheme": lambda url: url.scheme,
    "@target-uri": lambda url: f"{url.scheme}://{url.authority}{url.request_target}",
    "@request-target": lambda url: url.request_target,
}


class _SignatureInput(NamedTuple):
    """One member of ``Signature-Input``."""

    components: tuple[str, ...]
    parameters: dict[str, str]
    """Each in its written form: text in quotes, numbers in digits."""
    text: str
    """The whole as RFC 8941 serializes it."""


def _parse_signature_input(text: str) -> dict[str, _SignatureInput]:
    """
    Return the members of ``Signature-Input`` by label (RFC 9421, section 4.1).

    :raises SignatureError: if it is malformed, or has more than can be verified
    """
    reader = _Reader(text, source="Signature-Input")
    members: dict[str, _SignatureInput] = {}
    while True:
        label = reader.read_label(members)
        names = _parse_components(reader)
        parameters: dict[str, str] = {}
        while reader.skip(";"):
            reader.match(_SPACES)
            key = reader.match(_KEY)
            if key in parameters:
                raise SignatureError("Signature-Input has a parameter twice")
            parameters[key] = reader.match(_ITEM) if reader.skip("=") else ""
        components = " ".join(f'"{name}"' for name in names)
        written = "".join(f";{key}={value}" if value else f";{key}" for key, value in parameters.items())
        members[label] = _SignatureInput(tuple(names), parameters, f"({components}){written}")
        if not reader.is_before_another():
            return members


def _parse_components(reader: _Reader) -> list[str]:
    names: list[str] = []
    reader.read("(")
    while True:
        reader.match(_SPACES)
        if reader.skip(")"):
            return names
        name = reader.match(_COMPONENT)[1:-1]
        if name in names or len(names) == MAX_COMPONENTS:
            raise SignatureError(f"Signature-Input has a component twice, or more than {MAX_COMPONENTS}")
        names.append(name)
        if not reader.text.startswith((" ", ")"), reader.position):
            raise SignatureError("Signature-Input has a component with parameters, which cannot be verified")


def _parse_byte_sequences(text: str, *, source: str) -> dict[str, bytes]:
    """
    Return the members of a dictionary of byte sequences (RFC 8941, section 3.2).

    :raises SignatureError: if it is malformed; also if bytes are not in their canonical base64, so that each signature
        has one text only
    """
    reader = _Reader(text, source=source)
    members: dict[str, bytes] = {}
    while True:
        label = reader.read_label(members)
        encoded = reader.match(_BYTES)[1:-1]
        try:
            members[label] = base64.b64decode(encoded, validate=True)
        except ValueError:
            members[label] = b""
        if _encode(members[label]) != encoded:
            raise SignatureError(f"{source} is malformed")
        if not reader.is_before_another():
            return members


class _Reader:
    """Reads a structured field from left to right (RFC 8941, section 4.2); each character once."""

    def __init__(self, text: str, *, source: str) -> None:
        self.text, self.position, self._source = text.strip(" "), 0, source

    def read_label(self, members: Mapping[str, object]) -> str:
        """
        Return the label of the next member of a dictionary, and go on behind its equals sign.

        :param members: those that were read
        :raises SignatureError: if it is one of them, or there are too many
        """
        label = self.match(_KEY)
        if label in members or len(members) == MAX_SIGNATURES:
            raise SignatureError(f"{self._source} has a member twice, or more than {MAX_SIGNATURES}")
        self.read("=")
        return label

    def is_before_another(self) -> bool:
        """
        Return whether another member follows, and go on behind the comma before it.

        :raises SignatureError: if there is something else
        """
        if self.position == len(self.text):
            return False
        self.match(_BLANKS)
        self.read(",")
        self.match(_BLANKS)
        return True

    def match(self, pattern: re.Pattern[str]) -> str:
        """
        Return what a pattern matches here, and go on behind it.

        :raises SignatureError: if it does not match
        """
        found = pattern.match(self.text, self.position)
        if found is None:
            raise SignatureError(f"{self._source} is malformed")
        self.position = found.end()
        return found.group()

    def read(self, character: str) -> None:
        """
        Go on behind a character.

        :raises SignatureError: if it is not here
        """
        if not self.skip(character):
            raise SignatureError(f"{self._source} is malformed")

    def skip(self, character: str) -> bool:
        """Go on behind a character if it is here, and return whether it was."""
        if not self.text.startswith(character, self.position):
            return False
        self.position += 1
        return True


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
