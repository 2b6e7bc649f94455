# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sends a platform's calls, each exactly once, and returns the answers unread. The only I/O of the registries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import requests
from urllib3.exceptions import HTTPError

from airflow_provider_hooks import __version__
from airflow_provider_hooks.exceptions import BlockedAddressError
from airflow_provider_hooks.http.redact import redact, sensitive_url_parts
from airflow_provider_hooks.registries.model import Answer, Call, RegistryError
from airflow_provider_hooks.registries.transport import Deadline, NotConnectedError, OneCallSession
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.registries.api import PlatformApi

MAX_ANSWER_BYTES = 4_194_304
_CHUNK_BYTES = 65_536

Read = TypeVar("Read")


class RegistryClient:
    """
    A platform's API behind one method.

    Every call has a connection of its own, so that none is lost with a kept connection that died. No call is repeated,
    no redirect followed, no proxy, ``.netrc`` or environment looked at.

    :param connect_timeout: seconds for DNS, connecting and TLS together
    :param ca_file: PEM certificates in place of the usual bundle
    """

    def __init__(
        self, api: PlatformApi, *, policy: NetworkPolicy, connect_timeout: float, ca_file: str | None = None
    ) -> None:
        self._api = api
        self._registry = api.registry
        self._policy = policy
        self._connect_timeout = connect_timeout
        self._ca_file = ca_file

    def call(self, call: Call, read: Callable[[Call, Answer], Read]) -> Read:
        """
        Send a call once and read its answer, whatever the status.

        :param read: reads the answer of this call, in the platform's module
        :raises RegistryError: if no complete answer arrived, where its ``sent`` tells whether the call may have, or if
            ``read`` raised it; without the token, whatever the server said
        """
        try:
            return read(call, self._send(call))
        except RegistryError as error:
            private = (self._registry.token, *_list_private(call))
            conn_id = self._registry.conn_id
            raise error.retold(lambda told: f"{redact(told, private)} (connection '{conn_id}')") from None

    def _send(self, call: Call) -> Answer:
        title = self._registry.platform.title
        with Deadline(self._registry.timeout) as deadline:
            try:
                self._policy.check_url(self._registry.base_url)
                return self._exchange(call, deadline)
            except BlockedAddressError as error:
                told = f"not sent: {error}"
                raise RegistryError(title, call.operation.value, told, sent=False, retryable=False) from None
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                sent = not _is_before_sending(error)
                told = "sent, but no complete answer arrived" if sent else "not sent"
                why = f"within {deadline.seconds:g} s" if deadline.passed else f"({_find_root_cause(error)})"
                raise RegistryError(title, call.operation.value, escape(f"{told} {why}"), sent=sent) from None

    def _exchange(self, call: Call, deadline: Deadline) -> Answer:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **self._api.authorize(),
            "User-Agent": f"airflow-provider-hooks/{__version__}",
        }
        with (
            OneCallSession(
                policy=self._policy, deadline=deadline, connect_timeout=self._connect_timeout, ca_file=self._ca_file
            ) as session,
            session.request(
                call.method,
                self._registry.base_url + call.path,
                params=call.query,
                json=call.body,
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
            return Answer(status_code=response.status_code, headers=names, body=body, received_at=time.time())


def _list_private(call: Call) -> Iterable[str]:
    """Return what a call carried that no message may repeat: tokens in its URL, headers and secrets."""
    body = call.body or {}
    url, headers, secret = body.get("url"), body.get("headers"), body.get("signingSecret")
    yield from sensitive_url_parts(url) if isinstance(url, str) else ()
    yield from (value for value in headers.values() if isinstance(value, str)) if isinstance(headers, dict) else ()
    yield from (secret,) if isinstance(secret, str) else ()


def _read_body(response: requests.Response) -> bytes:
    """Read a body as it comes in, up to the bound."""
    body = bytearray()
    while part := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise OSError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _is_before_sending(error: Exception) -> bool:
    """Tell whether a failure came before a byte of the request left: only then is the call surely without effect."""
    return isinstance(error, requests.exceptions.InvalidURL) or isinstance(_find_root(error), NotConnectedError)


def _find_root(error: BaseException) -> BaseException:
    """Unwrap what requests and urllib3 wrap around the error that says what happened."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _find_root(inner)
    return error


def _find_root_cause(error: Exception) -> str:
    root = _find_root(error)
    return root.told if isinstance(root, NotConnectedError) else f"{type(root).__name__}: {root}"
