# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Sends requests to a platform's API with ``requests``, each exactly once. The only I/O of the registries.

The token must not reach an unexpected address, so the network policy is applied where the socket is opened. The
timeouts of ``requests`` are per read, so a server that sends a byte now and then could delay a request without end;
``Deadline`` shuts the connection down instead.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import zlib
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util import Retry

from airflow_provider_hooks import __version__
from airflow_provider_hooks.exceptions import BlockedAddressError, RegistryError, ResolverError
from airflow_provider_hooks.http.connect import connect_checked
from airflow_provider_hooks.http.redact import redact
from airflow_provider_hooks.http.urls import Target, sensitive_url_parts
from airflow_provider_hooks.registries.model import Request, Response
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.registries.base import PlatformApi

    Connect = Callable[[Target], socket.socket]

MAX_RESPONSE_BYTES = 4_194_304
_CHUNK_BYTES = 65_536
_NO_RETRIES = Retry(total=0, read=False, redirect=False, raise_on_status=False)
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""How zlib decodes each content coding."""
_SENSITIVE_WORDS = ("secret", "token", "password", "headers")
"""A field of a request's body whose name has one of these is not shown."""

Read = TypeVar("Read")


class RegistryTransport:
    """
    Sends the requests of a platform.

    Each request has its own connection, so that none is lost with an idle connection that was closed. Nothing is
    retried or redirected, and no proxy, ``.netrc`` or environment variable is used.

    :param connect_timeout: seconds for DNS, connecting and TLS together
    :param ca_file: PEM certificates, in place of the usual bundle
    """

    def __init__(
        self, api: PlatformApi, *, policy: NetworkPolicy, connect_timeout: float, ca_file: str | None = None
    ) -> None:
        self._api = api
        self._registry = api.registry
        self._policy = policy
        self._connect_timeout = connect_timeout
        self._ca_file = ca_file

    def send(self, request: Request, read: Callable[[Request, Response], Read]) -> Read:
        """
        Send a request once and parse its response, whatever the status.

        :param read: parses the response; a method of the platform's API
        :raises RegistryError: if no complete response arrived (``sent`` says whether the request may have been
            received), or if ``read`` raised it; the token and the secrets of the request are redacted
        """
        sensitive = (self._registry.token, *_find_sensitive(request.body or {}))
        try:
            response = self._send(request)
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                # Redacted before a message in it is cut: a part of a token would not be found.
                response = replace(response, body=redact(response.body.decode(errors="replace"), sensitive).encode())
            return read(request, response)
        except RegistryError as error:
            message = f"{redact(error.message, sensitive)} (connection '{self._registry.conn_id}')"
            raise error.with_message(message) from None

    def _send(self, request: Request) -> Response:
        title, operation = self._registry.platform.title, request.operation.value
        with Deadline(self._registry.timeout) as deadline:
            try:
                self._policy.check_url(self._registry.base_url)
                return self._exchange(request, deadline)
            except BlockedAddressError as error:
                raise RegistryError(title, operation, f"not sent: {error}", sent=False, retryable=False) from None
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                sent = not _is_before_sending(error)
                result = "sent, but no complete response arrived" if sent else "not sent"
                cause = f"within {deadline.seconds:g} s" if deadline.passed else f"({_describe_cause(error)})"
                raise RegistryError(title, operation, escape(f"{result} {cause}"), sent=sent) from None

    def _exchange(self, request: Request, deadline: Deadline) -> Response:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # or requests offers gzip; what is compressed nevertheless is decoded
            **self._api.authorize(),
            "User-Agent": f"airflow-provider-hooks/{__version__}",
        }
        with (
            SingleRequestSession(
                policy=self._policy, deadline=deadline, connect_timeout=self._connect_timeout, ca_file=self._ca_file
            ) as session,
            session.request(
                request.method,
                self._registry.base_url + request.path,
                params=request.query,
                json=request.body,
                headers=headers,
                timeout=(self._connect_timeout, deadline.remaining()),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            body = _read_body(response)
            if deadline.passed:
                raise TimeoutError
            names = {name.lower(): value for name, value in response.headers.items()}
            return Response(status_code=response.status_code, headers=names, body=body, received_at=time.time())


class Deadline:
    """
    The deadline of one request: shuts down its connections when the time is over. Use it as a context manager.

    :param seconds: from now
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        self._end = time.monotonic() + seconds
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:  # noqa: PYI034  (Self is not in Python 3.10)
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        for sock in self._watched:
            sock.close()

    def remaining(self) -> float:
        """Return the seconds left, at least a thousandth."""
        return max(0.001, self._end - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Shut this connection down at the deadline, also after TLS has taken over the socket."""
        self._watched.append(sock.dup())

    def _shut_down(self) -> None:
        self.passed = True
        for sock in list(self._watched):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class SingleRequestSession(requests.Session):
    """
    A session for one request: no environment, no retries, no redirects, not even reading a redirect's target.

    :param policy: the addresses that may be connected to
    :param connect_timeout: seconds of the deadline for DNS, connecting and TLS together
    :param ca_file: PEM certificates, in place of the usual bundle
    """

    def __init__(
        self, *, policy: NetworkPolicy, deadline: Deadline, connect_timeout: float, ca_file: str | None
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = ca_file or True

        def connect(target: Target) -> socket.socket:
            timeout = min(connect_timeout, deadline.remaining())
            try:
                sock, _ = connect_checked(target, policy=policy, timeout=timeout)
            except ResolverError as error:
                raise OSError(str(error)) from None
            deadline.watch(sock)
            return sock

        adapter = HTTPAdapter(max_retries=_NO_RETRIES)
        adapter.poolmanager.connection_pool_kw["ssl_context"] = _make_tls_context()
        adapter.poolmanager.pool_classes_by_scheme = _make_pool_classes(connect)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Prevent ``requests`` from reading and decoding a redirect's whole body, which it does in any case."""


class NotConnectedError(NewConnectionError):
    """Connecting failed, TLS included, so no byte of a request was sent."""

    def __init__(self, connection: HTTPConnection, message: str) -> None:
        super().__init__(connection, message)
        self.message = message


def _make_tls_context() -> ssl.SSLContext:
    """Return a context that writes no keys: the default ones of Python and urllib3 do where SSLKEYLOGFILE is set."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextlib.contextmanager
def _as_not_connected(connection: HTTPConnection) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPError) as error:
        raise NotConnectedError(connection, str(error)) from None


def _make_pool_classes(connect: Connect) -> dict[str, type[HTTPConnectionPool]]:
    """Return the pool classes of urllib3, with connections that are opened by ``connect``."""

    def open_socket(connection: HTTPConnection, scheme: str) -> socket.socket:
        port = connection.port or connection.default_port
        return connect(Target(scheme=scheme, host=connection.host.strip("[]"), port=port))

    class PlainConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self, "http")

        def connect(self) -> None:
            with _as_not_connected(self):
                super().connect()
            self.sock.settimeout(self.timeout)  # the socket still has the timeout for connecting

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket(self, "https")

        def connect(self) -> None:
            with _as_not_connected(self):
                super().connect()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": PlainPool, "https": SecurePool}


def _find_sensitive(body: object, name: Literal["secret", "url", ""] = "") -> Iterator[str]:
    """Yield what a request's body contains and no message may repeat: secrets, headers, and tokens in URLs."""
    if isinstance(body, dict):
        for key, value in body.items():
            # All values below a sensitive name are sensitive, such as those of headers.
            yield from _find_sensitive(value, "secret" if name == "secret" else _classify(str(key)))
    elif isinstance(body, list):
        for value in body:
            yield from _find_sensitive(value, name)
    elif isinstance(body, str) and name == "url":
        yield from sensitive_url_parts(body)
    elif isinstance(body, str) and name == "secret":
        yield body


def _classify(key: str) -> Literal["secret", "url", ""]:
    lower = key.lower()
    if any(word in lower for word in _SENSITIVE_WORDS):
        return "secret"
    return "url" if "url" in lower else ""


def _read_body(response: requests.Response) -> bytes:
    """
    Read a body as it arrives, decoded, up to the bound, which holds for the decoded body too.

    Some servers compress although ``identity`` was requested.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    decoder = zlib.decompressobj(_WINDOW_BITS[coding]) if coding in _WINDOW_BITS else None
    body = bytearray()
    while part := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        body += _decode(decoder, part, MAX_RESPONSE_BYTES + 1 - len(body)) if decoder else part
        if len(body) > MAX_RESPONSE_BYTES:
            raise OSError(f"the response is larger than {MAX_RESPONSE_BYTES} bytes")
    if decoder and body and not decoder.eof:
        raise OSError(f"the {coding} body is incomplete")
    return bytes(body)


def _decode(decoder: zlib._Decompress, part: bytes, limit: int) -> bytes:
    try:
        return decoder.decompress(part, limit)
    except zlib.error as error:
        raise OSError(f"the compressed body is not valid: {error}") from None


def _is_before_sending(error: Exception) -> bool:
    """Return whether a failure came before the first byte was sent: only then the request surely had no effect."""
    return isinstance(error, requests.exceptions.InvalidURL) or isinstance(_find_root(error), NotConnectedError)


def _find_root(error: BaseException) -> BaseException:
    """Return the error that requests and urllib3 have wrapped."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _find_root(inner)
    return error


def _describe_cause(error: Exception) -> str:
    root = _find_root(error)
    return root.message if isinstance(root, NotConnectedError) else f"{type(root).__name__}: {root}"
