# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The base class of every signing scheme, and what a scheme needs to verify a request.

A scheme that is an HMAC-SHA256 in one header is a row of ``schemes.Scheme``. Any other scheme is a subclass of
``Signer``, such as one that sends time and signature in one header, or that signs with another algorithm. No message
here quotes a secret.
"""

from __future__ import annotations

import copy
import difflib
import hmac
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeGuard

from airflow_provider_hooks.exceptions import SignatureError, ValidationErrors
from airflow_provider_hooks.sanitize import escape, is_header_name, safe_repr
from airflow_provider_hooks.signing.keys import VerificationKey, derive_key, find_secret_problem, list_key_forms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_hooks.http.urls import Target
    from airflow_provider_hooks.signing.keys import KeyFormat

DELIVERY_HEADER = "X-Service-Hook-Delivery"
"""Carries the delivery id, the same whenever this deployment sends the same event to the same endpoint again."""
MAX_HEADER_CHARACTERS = 8_192
"""The longest header that is verified: about a hundred signatures, so the work is bounded."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}", re.ASCII)
_METHOD = re.compile(r"[A-Za-z]{1,20}", re.ASCII)
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_PART_OF_SIGNATURE = re.compile(r"[^\s,;:=]{16,}")


class BoundSigner(Protocol):
    """Signs any number of requests with the same secrets."""

    def __call__(self, body: bytes, *, delivery_id: str, timestamp: int) -> Mapping[str, str]:
        """Return the headers that prove who sent ``body``."""


@dataclass(frozen=True, kw_only=True)
class RequestTarget:
    """
    What a scheme can sign in addition to the body, the id and the time: the same in all requests to an endpoint.

    Example:

    ```python
    from airflow_provider_hooks.signing import SCHEMES, RequestTarget
    from airflow_provider_hooks.signing.signer import read_target

    target = RequestTarget(
        method="POST", url=read_target("https://hooks.example.com/airflow"), content_type="application/json"
    )
    scheme = SCHEMES["http_message_signatures"].with_target(target)
    ```
    """

    method: str
    url: Target = field(repr=False)
    """May hold a token in its path or query, so it is not shown."""
    content_type: str


class Signer(ABC):
    """
    One signing scheme: how a request is signed, and how it is verified. It holds no secret and no state.

    Register a subclass, which is instantiated without arguments, under the entry point group
    ``airflow_provider_hooks.signing_schemes``.

    Example:

    ```python
    import hmac

    from airflow_provider_hooks.signing import Signer


    class ReversedSigner(Signer):
        name = "reversed"
        description = "Hex HMAC of the body read backwards, in X-Reversed"
        header_names = ("X-Reversed",)

        def sign(self, keys, *, body, delivery_id, timestamp):
            return {"X-Reversed": hmac.digest(keys[0], body[::-1], "sha256").hex()}

        def verify(self, keys, request):
            expected = [hmac.digest(key, request.body[::-1], "sha256").hex() for key in keys]
            request.check_signatures([request.header("X-Reversed")], expected=expected, source="X-Reversed")
    ```
    """

    name: str
    """The scheme's name in a connection: lower-case letters, digits and underscores."""
    description: str
    """One line for the docs."""
    title: str = ""
    """What the connection form shows for it; by default its name."""
    source: str = ""
    """The page that documents the scheme."""
    header_names: tuple[str, ...] = ()
    """Every header that ``sign`` and ``make_event_headers`` return. A connection cannot set them."""
    signature_header: str | None = None
    """The header that carries the signature; ``None`` if the scheme signs nothing. By default the first header."""
    event_header: str | None = None
    """The header that carries the event type, if the scheme has one; also in ``header_names``."""
    event_separator: str = "."
    """What replaces the full stops of the event type in ``event_header``. ASCII."""
    key_format: KeyFormat = "text"
    """The form of the secret."""
    takes_ed25519: bool = False
    """Whether a secret can also be an ed25519 key, whose key in ``sign`` and ``verify`` is an ``Ed25519Key``."""
    covered_id_header: str | None = None
    """The header of the delivery id that is signed but not in ``header_names``, because every delivery has it."""
    signed_content: str = ""
    """What is signed, for the docs; the names of its parts."""
    several_signatures: bool = False
    """Whether each secret signs, so that receivers can change theirs at any time; otherwise the newest signs."""
    options: Mapping[str, str] = MappingProxyType({})
    """What a connection can set in its field ``signature``, with the meaning of each option."""
    needs_timestamp: bool = True
    """Whether ``sign`` uses the time."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if cls.signature_header is None and cls.header_names:
            cls.signature_header = cls.header_names[0]

    @abstractmethod
    def sign(self, keys: Sequence[bytes], *, body: bytes, delivery_id: str, timestamp: int) -> Mapping[str, str]:
        """
        Return the headers that prove who sent ``body``.

        :param keys: the keys of the secrets, newest first, at least one
        :param body: exactly the bytes that are sent
        :param delivery_id: 1 to 256 characters of printable ASCII without blanks and full stops
        :param timestamp: the time of sending, in unix seconds
        """

    @abstractmethod
    def verify(self, keys: Sequence[bytes], request: ReceivedRequest) -> None:
        """
        Return if a request was signed with one of the keys.

        :raises SignatureError: otherwise, as the methods of ``request`` do; any other exception becomes one
        """

    def make_event_headers(self, event_type: str) -> Mapping[str, str]:
        """Return the header that names the type of an event, if the scheme has one. It is not signed."""
        return {self.event_header: event_type.replace(".", self.event_separator)} if self.event_header else {}

    def find_secret_problem(self, secret: object) -> str | None:
        """Return what is wrong with a secret, in words that do not quote it, or ``None``."""
        return find_secret_problem(secret, self.key_format, takes_ed25519=self.takes_ed25519)

    def find_signing_problem(self, secret: object) -> str | None:
        """Return why a secret cannot sign, in words that do not quote it: also because it only verifies."""
        problem = self.find_secret_problem(secret)
        if problem is not None or not self.takes_ed25519 or not isinstance(secret, str):
            return problem
        if isinstance(self.derive_key(secret), VerificationKey):
            return "is a verification key, which cannot sign: use the signing key (whsk_… or PRIVATE KEY)"
        return None

    def derive_key(self, secret: str) -> bytes:
        """Return the key of a secret in which ``find_secret_problem`` finds no problem."""
        return derive_key(secret, self.key_format, takes_ed25519=self.takes_ed25519)

    def list_key_forms(self, secrets: Iterable[str]) -> list[str]:
        """Return what must be masked in addition to the secrets: their parts, and the keys that they encode."""
        return list_key_forms(secrets, self.key_format, takes_ed25519=self.takes_ed25519)

    def bind(self, secrets: Sequence[str]) -> BoundSigner:
        """
        Return a function that signs with these secrets.

        :param secrets: newest first; ``find_signing_problem`` must find no problem in them, which is not checked again
        """
        keys = [self.derive_key(secret) for secret in secrets]

        def sign_request(body: bytes, *, delivery_id: str, timestamp: int) -> Mapping[str, str]:
            try:
                headers = self.sign(keys, body=body, delivery_id=delivery_id, timestamp=timestamp)
            except Exception:  # noqa: BLE001  (code of another package; its message may quote a secret)
                raise SignatureError(f"the scheme {self.name} failed to sign the request") from None
            self._check_headers(headers)
            return headers

        return sign_request

    def sensitive_values(self, headers: Mapping[str, str], secrets: Iterable[str]) -> tuple[str, ...]:
        """
        Return what must be masked where a receiver returns it: signatures, digests, and secrets without their prefix.

        :param headers: what ``sign`` returned
        """
        value = headers.get(self.signature_header or "", "")
        signatures = (value, *_PART_OF_SIGNATURE.findall(value)) if value else ()
        return (*signatures, *self.list_key_forms(secrets))

    def with_key_format(self, key_format: KeyFormat) -> Signer:
        """Return the same scheme with another form of the secret."""
        changed = copy.copy(self)
        object.__setattr__(changed, "key_format", key_format)
        return changed

    def with_target(self, target: RequestTarget) -> Signer:  # noqa: ARG002  (for schemes that sign it)
        """Return the same scheme for requests to one URL; most schemes do not sign it."""
        return self

    def with_options(self, options: Mapping[str, object]) -> Signer:
        """
        Return the same scheme with the options of a connection's field ``signature``; most schemes have none.

        :raises ValidationError: naming each option that cannot be used
        """
        self.find_unknown_options(options).raise_if_any()
        return self

    def find_unknown_options(self, options: Mapping[str, object]) -> ValidationErrors:
        """Return the problems of the options that the scheme does not have."""
        problems = ValidationErrors(f"options of the signing scheme {self.name}")
        for name in options:
            if name not in self.options:
                near = difflib.get_close_matches(name, self.options, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.options) or 'none'}"
                problems.add(escape(name, limit=60), f"is not an option of the scheme {self.name}; {hint}")
        return problems

    def check_definition(self) -> None:
        """
        Check what the scheme declares.

        :raises ValidationError: naming each attribute that cannot be used
        """
        problems = ValidationErrors(f"signing scheme {safe_repr(getattr(self, 'name', None))}")
        if not isinstance(getattr(self, "name", None), str) or not _NAME.fullmatch(self.name):
            problems.add("name", "must be 1 to 50 lower-case letters, digits and underscores")
        if not isinstance(getattr(self, "description", None), str) or not self.description.isprintable():
            problems.add("description", "must be one line of text")
        names = self.header_names
        if not isinstance(names, tuple) or not all(isinstance(name, str) and is_header_name(name) for name in names):
            problems.add("header_names", "must be a tuple of names of HTTP headers")
        elif len({name.lower().replace("_", "-") for name in names}) != len(names):  # as WSGI servers see them
            problems.add(
                "header_names",
                f"names one header twice ({', '.join(names)}): one value would overwrite the other. A scheme that "
                "sends several values in one header needs a Signer class",
            )
        else:
            for attribute in ("signature_header", "event_header"):
                if getattr(self, attribute) not in {None, *names}:
                    problems.add(attribute, "must be one of header_names")
        check_ascii(problems, self, "event_separator")
        problems.raise_if_any()

    def _check_headers(self, headers: object) -> None:
        """Refuse headers that a connection could have set too, or that would break the request."""
        if not isinstance(headers, Mapping) or not all(
            name in self.header_names and isinstance(value, str) and value.isascii() and value.isprintable() and value
            for name, value in headers.items()
        ):
            raise SignatureError(f"the scheme {self.name} made headers that cannot be sent")


def check_ascii(problems: ValidationErrors, scheme: Signer, *attributes: str) -> None:
    """Add each of these attributes that is not printable ASCII text."""
    for attribute in attributes:
        value = getattr(scheme, attribute)
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            problems.add(attribute, "must be printable ASCII text")


class ReceivedRequest:
    """
    A request to verify, with the checks that every scheme needs. Each of them raises ``SignatureError``.

    Example:

    ```python
    from airflow_provider_hooks.signing import ReceivedRequest

    request = ReceivedRequest({"X-Time": "1700000000"}, b"{}", now=1_700_000_010, tolerance=300)
    request.check_timestamp(request.header("x-time"), source="X-Time")
    ```

    :param headers: names in any case: a mapping, or anything with its ``items()``
    :param body: the body as received
    :param now: unix seconds; the time of the clock if ``None``
    :param tolerance: how many seconds the sender's clock may differ, either way
    :param method: the method of the request, for a scheme that signs it
    :param url: the URL as the sender wrote it, for a scheme that signs it
    """

    def __init__(
        self,
        headers: object,
        body: bytes,
        *,
        now: object,
        tolerance: object,
        method: object = None,
        url: object = None,
    ) -> None:
        self.body = body
        self._headers, self._now, self._tolerance = headers, now, tolerance
        self._method, self._url = method, url

    @property
    def method(self) -> str:
        """
        Return the method of the request.

        :raises SignatureError: if it is not known
        """
        if not isinstance(self._method, str) or not _METHOD.fullmatch(self._method):
            raise SignatureError("the method is signed too: give method=, such as 'POST'")
        return self._method

    @cached_property
    def target(self) -> Target:
        """
        Return the URL of the request.

        :raises SignatureError: if it is not known
        """
        return read_target(self._url)

    def has_header(self, name: str) -> bool:
        """
        Return whether a header is there, at least once.

        :raises SignatureError: if the headers are not a mapping
        """
        return bool(self._find_values(name))

    def header(self, name: str) -> str:
        """
        Return the value of a header.

        :raises SignatureError: if it is missing, there more than once, too long, or not ASCII text
        """
        found = self._find_values(name)
        if len(found) != 1:
            raise SignatureError(f"the header {name} is {'there more than once' if found else 'missing'}")
        value = found[0]
        if not isinstance(value, str) or not value or len(value) > MAX_HEADER_CHARACTERS or not value.isascii():
            raise SignatureError(f"the header {name} is empty, too long or not ASCII text")
        return value

    def _find_values(self, name: str) -> list[object]:
        items = getattr(self._headers, "items", None)
        if not callable(items):
            raise SignatureError("the headers must be a mapping of names to values")
        wanted = name.lower()
        named = [(key, value) for key, value in items() if isinstance(key, str) and key.isascii()]
        return [value for key, value in named if key.lower() == wanted]

    def check_timestamp(self, text: str, *, source: str) -> None:
        """
        Return if a time is whole unix seconds and within the tolerance.

        :param source: where it comes from, for the message: the name of the header
        :raises SignatureError: otherwise
        """
        if not _UNIX_SECONDS.fullmatch(text):
            raise SignatureError(f"{source} is not a time in unix seconds")
        now, tolerance = self._read_clock()
        if abs(now - int(text)) > tolerance:
            raise SignatureError(f"{source} is more than {self._tolerance} seconds off")

    def check_not_over(self, text: str, *, source: str) -> None:
        """
        Return if a time is whole unix seconds, and in the future within the tolerance.

        :param source: where it comes from, for the message
        :raises SignatureError: otherwise
        """
        if not _UNIX_SECONDS.fullmatch(text):
            raise SignatureError(f"{source} is not a time in unix seconds")
        now, tolerance = self._read_clock()
        if now - int(text) > tolerance:
            raise SignatureError(f"{source} is more than {self._tolerance} seconds in the past")

    def _read_clock(self) -> tuple[float, float]:
        """Return the time and the tolerance, in seconds."""
        now = time.time() if self._now is None else self._now
        if not _is_finite(now) or not _is_finite(self._tolerance):
            raise SignatureError("now and tolerance must be finite numbers of seconds")
        return now, self._tolerance

    def check_signatures(self, received: Sequence[str], *, expected: Sequence[str], source: str) -> None:
        """
        Return if one of the received signatures is one of the expected ones, in the same time wherever they differ.

        :param source: where they come from, for the message: the name of the header
        :raises SignatureError: otherwise
        """
        matched = False
        for candidate in received:
            for signature in expected:
                matched |= hmac.compare_digest(candidate.encode("ascii"), signature.encode("ascii"))
        if not matched:
            raise SignatureError(f"no signature in {source} was made with a known secret over this body")


def read_target(url: object) -> Target:
    """
    Return where a URL leads.

    :raises SignatureError: if there is none, or it is malformed; the message does not quote it
    """
    from airflow_provider_hooks.http.urls import parse_url  # noqa: PLC0415  (for the schemes that sign the URL)

    if not isinstance(url, str):
        raise SignatureError("the URL is signed too: give url=, such as 'https://hooks.example.com/airflow'")
    try:
        return parse_url(url)
    except ValueError as error:
        raise SignatureError(f"url: {error}") from None


def _is_finite(number: object) -> TypeGuard[int | float]:
    if isinstance(number, bool):
        return False
    return isinstance(number, int) or (isinstance(number, float) and math.isfinite(number))
