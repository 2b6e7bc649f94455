# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sends a platform's calls, each exactly once, and returns the answers unread. The only I/O of the registries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError, NewConnectionError

from airflow_provider_hooks import __version__
from airflow_provider_hooks.network.policy import BlockedAddressError
from airflow_provider_hooks.registries.model import Answer, Call, RegistryError
from airflow_provider_hooks.registries.transport import PolicyAdapter
from airflow_provider_hooks.text import printable

if TYPE_CHECKING:
    from airflow_provider_hooks.network.policy import NetworkPolicy
    from airflow_provider_hooks.registries.registry import Registry

MAX_ANSWER_BYTES = 4_194_304
_CHUNK_BYTES = 65_536


class RegistryClient:
    """
    A platform's API behind one method.

    Every call has a connection of its own, so that none is lost with a kept connection that died. No call is repeated,
    no redirect followed, no proxy, ``.netrc`` or environment looked at.

    :param connect_timeout: seconds for the resolver, and again for connecting to each address
    :param ca_file: PEM certificates in place of the usual bundle
    """

    def __init__(
        self, registry: Registry, *, policy: NetworkPolicy, connect_timeout: float, ca_file: str | None = None
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._connect_timeout = connect_timeout
        self._ca_file = ca_file

    def send(self, call: Call) -> Answer:
        """
        Send a call once and return its answer, whatever the status.

        :raises RegistryError: if no complete answer arrived; its ``sent`` tells whether the call may have arrived
        """
        title = self._registry.platform.title
        try:
            self._policy.check_url(self._registry.base_url)
            return self._exchange(call)
        except BlockedAddressError as error:
            raise RegistryError(title, call.operation, f"not sent: {error}", sent=False) from None
        except (requests.RequestException, HTTPError, OSError) as error:
            sent = not _is_before_sending(error)
            told = "sent, but no complete answer arrived" if sent else "not sent"
            reason = printable(_find_root_cause(error)).replace(self._registry.token, "***")
            raise RegistryError(title, call.operation, f"{told}: {reason}", sent=sent) from None

    def _exchange(self, call: Call) -> Answer:
        deadline = time.monotonic() + self._registry.timeout
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {self._registry.token}",
            "User-Agent": f"airflow-provider-hooks/{__version__}",
        }
        with (
            self._open_session() as session,
            session.request(
                call.method,
                self._registry.base_url + call.path,
                params=call.query,
                json=call.body,
                headers=headers,
                timeout=(self._connect_timeout, self._registry.timeout),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            body = self._read_body(response, deadline=deadline)
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(status_code=response.status_code, headers=names, body=body)

    def _open_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = self._ca_file or True
        adapter = PolicyAdapter(policy=self._policy, connect_timeout=self._connect_timeout)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def _read_body(self, response: requests.Response, *, deadline: float) -> bytes:
        """Read a body as it comes in, so that neither its size nor its pace is the server's to choose."""
        body = bytearray()
        while part := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise OSError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise OSError(f"the answer was not complete within {self._registry.timeout:g} s")
        return bytes(body)


def _is_before_sending(error: Exception) -> bool:
    """Tell whether a failure came before a byte of the request left: only then is the call surely without effect."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reasons = [error, *error.args, *(getattr(argument, "reason", None) for argument in error.args)]
    return any(isinstance(reason, NewConnectionError) for reason in reasons)


def _find_root_cause(error: BaseException) -> str:
    for argument in error.args:
        reason = getattr(argument, "reason", argument)
        if isinstance(reason, BaseException) and reason is not error:
            return _find_root_cause(reason)
    return f"{type(error).__name__}: {error}" if not isinstance(error, NewConnectionError) else str(error)
