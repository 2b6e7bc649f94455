# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Access tokens of the OAuth 2.0 client credentials grant, fetched under the network policy and cached in the process.

A token is renewed shortly before it expires, and once after the receiver refused it with a 401. Sources: RFC 6749,
sections 2.3.1, 4.4, 5.1 and 5.2; RFC 6750, section 3.1.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote_plus, urlencode

import msgspec

from airflow_provider_hooks import __version__
from airflow_provider_hooks.exceptions import TokenError
from airflow_provider_hooks.http.connect import Connector
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.http.redact import MESSAGE_CHARACTERS, redact_and_truncate
from airflow_provider_hooks.outcomes import ErrorClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_hooks.http.connect import Limits
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.http.result import R, RequestResult
    from airflow_provider_hooks.http.urls import Target

ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]
"""How a client proves to the token endpoint who it is (OpenID Connect Core, section 9)."""
MAX_SKEW_SECONDS, SKEW_SHARE = 30.0, 0.1
"""How long before its end a token is renewed: a tenth of its lifetime, at most 30 s."""
FAILURE_SECONDS = 1.0
"""How long a failure of the token endpoint is reported without a further request."""
_MAX_SOURCES = 64
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)
_OK, _UNAUTHORIZED = 200, 401


class OAuth2Client(msgspec.Struct, frozen=True, kw_only=True):
    """
    A client, and the token endpoint that it gets its tokens from.

    :param target: where the URL of the token endpoint leads
    :param scope: what is requested (RFC 6749, section 3.3); ``None``: what the server grants by default
    :param audience: the receiver that the token is for, where the server needs it
    """

    target: Target
    client_id: str
    client_secret: str
    scope: str | None = None
    audience: str | None = None
    method: ClientAuthentication = "client_secret_basic"

    def __repr__(self) -> str:
        """Show nothing that is secret."""
        return f"OAuth2Client(target={self.target!r}, client_id={self.client_id!r})"

    @property
    def sensitive_values(self) -> tuple[str, ...]:
        """The secret in each form in which it is sent, and what may be a token in the URL."""
        secret = self.client_secret
        return (secret, quote_plus(secret), self._encode_basic(), *self.target.sensitive_parts)

    def make_request(self) -> bytes:
        """Return the bytes of a request for a token (RFC 6749, section 4.4.2)."""
        fields = {"grant_type": "client_credentials", "scope": self.scope, "audience": self.audience}
        authorization = ""
        if self.method == "client_secret_post":
            fields |= {"client_id": self.client_id, "client_secret": self.client_secret}
        else:
            authorization = f"Authorization: Basic {self._encode_basic()}\r\n"
        body = urlencode({name: value for name, value in fields.items() if value is not None}).encode("ascii")
        head = (
            f"POST {self.target.request_target} HTTP/1.1\r\n"
            f"Host: {self.target.authority}\r\n"
            f"{authorization}"
            "Accept: application/json\r\n"
            "Accept-Encoding: identity\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"User-Agent: airflow-provider-hooks/{__version__}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body

    def _encode_basic(self) -> str:
        """Return both parts as a form encodes them, and then as Basic authentication does (RFC 6749, section 2.3.1)."""
        both = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return base64.b64encode(both.encode("ascii")).decode("ascii")


class Token(NamedTuple):
    """An access token; times are those of ``time.monotonic``."""

    value: str
    renew_at: float
    expires_at: float

    def __repr__(self) -> str:
        """Show nothing that is secret."""
        return "Token()"


def read_token(client: OAuth2Client, result: RequestResult[R], *, requested_at: float) -> Token:
    """
    Return the token of a response.

    :param requested_at: when it was requested, in ``time.monotonic``: it is not older than that
    :raises TokenError: if there is none that can be used; the message quotes no secret
    """
    content = _read_json(result.body)
    if result.status != _OK or result.error is not None:
        raise _make_error(client, _describe_failure(client, result, content), result.error)
    if not isinstance(content, dict):
        raise _make_error(client, "the response is not a JSON object")
    value, kind, seconds = (content.get(name) for name in ("access_token", "token_type", "expires_in"))
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise _make_error(client, "the response has no access_token that a header can carry")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _make_error(client, "the token_type of the response is not bearer")
    lifetime = math.inf if seconds is None else _read_seconds(seconds)
    if lifetime is None:
        raise _make_error(client, "the expires_in of the response is not a positive number of seconds")
    expires_at = requested_at + lifetime
    return Token(value, expires_at - min(MAX_SKEW_SECONDS, SKEW_SHARE * lifetime), expires_at)


def _read_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _read_seconds(value: object) -> float | None:
    """Return a number of seconds, which some servers send as text; ``None`` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < math.inf else None


def _describe_failure(client: OAuth2Client, result: RequestResult[R], content: object) -> str:
    """Return what failed in words; what the server sent is masked and bounded."""
    parts = [] if result.status is None else [f"HTTP {result.status}"]
    if isinstance(content, dict):  # RFC 6749, section 5.2
        texts = (content.get(name) for name in ("error", "error_description"))
        parts += [redact_and_truncate(text, client.sensitive_values) for text in texts if isinstance(text, str)]
    if result.error is not None:
        parts.append(redact_and_truncate(result.error[1], client.sensitive_values, limit=MESSAGE_CHARACTERS))
    return ": ".join(parts)


def _make_error(client: OAuth2Client, problem: str, error: tuple[ErrorClass, str] | None = None) -> TokenError:
    is_blocked = error is not None and error[0] is ErrorClass.BLOCKED_ADDRESS
    error_class = ErrorClass.BLOCKED_ADDRESS if is_blocked else ErrorClass.TOKEN_ERROR
    return TokenError(error_class, f"no access token from {client.target.display_url}: {problem}")


class _TokenRequest(NamedTuple):
    request: bytes

    def __repr__(self) -> str:
        return "_TokenRequest()"


class TokenSource:
    """
    The current token of one client. It is fetched when it is needed first, and renewed when it is about to expire.

    :param mask: is called with each token before it is used
    """

    def __init__(
        self, client: OAuth2Client, *, policy: NetworkPolicy, limits: Limits, mask: Callable[[str], None]
    ) -> None:
        self.client, self.policy, self.limits, self._mask = client, policy, limits, mask
        self._token: Token | None = None
        self._error = TokenError(ErrorClass.TOKEN_ERROR, "")
        self._failed_until = 0.0
        self._is_refused = False
        """Whether the last token was fetched because of a 401, and no token was accepted since."""

    def get(self) -> str:
        """
        Return a token that is valid now.

        :raises TokenError: if the token endpoint returns none; nothing was sent to the receiver
        """
        token, now = self._token, time.monotonic()
        if token is not None and now < token.renew_at:
            return token.value
        if now >= self._failed_until:
            try:
                self._token = self._fetch()
            except TokenError as error:
                self._error, self._failed_until = error, time.monotonic() + FAILURE_SECONDS
            else:
                return self._token.value
        if token is not None and time.monotonic() < token.expires_at:
            return token.value
        raise TokenError(self._error.error_class, str(self._error))

    def renew(self, refused: str) -> str | None:
        """
        Return another token than one that the receiver refused with 401, or ``None``.

        A token that was fetched after a 401 and is refused too is not renewed: the fault is not its age.

        :param refused: the token of the request
        :raises TokenError: if the token endpoint returns none
        """
        if self._token is not None and self._token.value == refused:
            if self._is_refused:
                return None
            self._token, self._is_refused = None, True
        return self.get()

    def note_accepted(self) -> None:
        """Note that the receiver accepted a request."""
        self._is_refused = False

    def _fetch(self) -> Token:
        requested_at = time.monotonic()
        # Each token has its own connection: there are few, and none is lost with one that was closed meanwhile.
        connector = Connector(self.client.target, policy=self.policy, limits=self.limits, resolved_seconds=0.0)
        engine: Engine[_TokenRequest] = Engine(connector, timeout=self.limits.timeout)
        try:
            result = engine.send_one(_TokenRequest(self.client.make_request()))
        finally:
            engine.close()
        token = read_token(self.client, result, requested_at=requested_at)
        self._mask(token.value)
        return token


def find_new_token(result: RequestResult[R], tokens: TokenSource, *, token: str) -> str | None:
    """
    Return another token if the receiver refused a request for its token, and there is another one.

    A 401 is the receiver's own statement that it did not process the request (RFC 9110, section 15.5.2). The result
    gets the error of the token endpoint if that returns no token.

    :param token: what the request had
    """
    if result.status != _UNAUTHORIZED:
        return None
    try:
        return tokens.renew(token)
    except TokenError as error:
        result.error = (error.error_class, str(error))
        return None


_SOURCES: dict[tuple[str, OAuth2Client], TokenSource] = {}


def open_tokens(
    conn_id: str, client: OAuth2Client, *, policy: NetworkPolicy, limits: Limits, mask: Callable[[str], None]
) -> TokenSource:
    """
    Return the source of the tokens of an endpoint; the process has one for each endpoint and its credentials.

    :param mask: is called with each token before it is used
    """
    source = _SOURCES.get((conn_id, client))
    if source is None:
        if len(_SOURCES) >= _MAX_SOURCES:
            _SOURCES.clear()
        source = _SOURCES[conn_id, client] = TokenSource(client, policy=policy, limits=limits, mask=mask)
    else:
        source.policy, source.limits = policy, limits
    return source
