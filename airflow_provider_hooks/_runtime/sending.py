# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Sends prepared deliveries: authorizes and signs each, sends it once, and traces it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airflow_provider_hooks._runtime.compat import mask_secret
from airflow_provider_hooks._runtime.telemetry import record_attempt, trace_attempt
from airflow_provider_hooks.delivery.record import attempt_from_result, not_sent_attempt
from airflow_provider_hooks.http.connect import Connector, Limits
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.outcomes import Outcome

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.endpoint import Endpoint
    from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo
    from airflow_provider_hooks.delivery.request import RequestTemplate, SignedRequest
    from airflow_provider_hooks.events.formats import EncodedEvent
    from airflow_provider_hooks.http.oauth2 import TokenSource
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.http.result import RequestResult
    from airflow_provider_hooks.http.urls import Target
    from airflow_provider_hooks.settings import Settings


_log = logging.getLogger(__name__)


class PreparedDelivery(NamedTuple):
    """A delivery whose event and endpoint are checked. Nothing is claimed yet."""

    template: RequestTemplate
    info: DeliveryInfo
    event: EncodedEvent


class Sender:
    """
    Sends requests to endpoints. Each thread has its own engine, whose connections are reused.

    :param settings: the limits of the deployment
    :param policy: where requests may go
    """

    def __init__(self, settings: Settings, policy: NetworkPolicy) -> None:
        self._settings, self._policy = settings, policy
        self._local = threading.local()

    def attempt(self, delivery: PreparedDelivery, *, redelivery: bool) -> Attempt:
        """
        Sign the request and send it, once. A claim may stand by now, so every error is in the attempt.

        :param redelivery: whether the event may have been sent before, which a header says
        """
        template, info, event = delivery
        started, requested_at = time.monotonic(), time.time()
        with trace_attempt(info) as span:
            try:
                engine = self.engine_for(template.endpoint)
                tokens = self.open_tokens(template.endpoint)
                if tokens is not None:
                    template.use_token(tokens.get())
                request = template.make_request(info, event.body, headers=event.headers, redelivery=redelivery)
            except Exception as error:  # noqa: BLE001  (nothing was sent, and the claim must not stay open)
                attempt = not_sent_attempt(error, requested_at=requested_at, seconds=time.monotonic() - started)
            else:
                result = engine.send_one(request)
                if tokens is not None and self._can_authorize_again(result, template, tokens):
                    request = template.make_request(info, event.body, headers=event.headers, redelivery=redelivery)
                    result = engine.send_one(request)
                if tokens is not None and result.outcome is Outcome.DELIVERED:
                    tokens.note_accepted()
                sensitive = template.sensitive_values(request.signature_headers)
                attempt = attempt_from_result(result, sensitive=sensitive)
            record_attempt(span, info, attempt)
        return attempt

    def _can_authorize_again(
        self, result: RequestResult[SignedRequest], template: RequestTemplate, tokens: TokenSource
    ) -> bool:
        """Return whether a request that was refused with 401 is sent once more; the template then has a new token."""
        from airflow_provider_hooks.http.oauth2 import find_new_token  # noqa: PLC0415  (few endpoints need it)

        token = find_new_token(result, tokens, token=template.token)
        if token is None:
            return False
        template.use_token(token)
        _log.info("The receiver refused the access token (HTTP 401); the event is sent once more with a new one")
        return True

    def open_tokens(self, endpoint: Endpoint) -> TokenSource | None:
        """Return the source of the access tokens of an endpoint, if it needs them."""
        if endpoint.oauth2 is None:
            return None
        from airflow_provider_hooks.http.oauth2 import open_tokens  # noqa: PLC0415  (few endpoints need it)

        tls = None if endpoint.tls is None else endpoint.tls.without_certificate()
        limits = msgspec.structs.replace(self.limits(endpoint), tls=tls)
        return open_tokens(endpoint.conn_id, endpoint.oauth2, policy=self._policy, limits=limits, mask=mask_secret)

    def engine_for(self, endpoint: Endpoint) -> Engine[SignedRequest]:
        """Return this thread's engine, whose connections are reused from one delivery to the next."""
        wanted = (endpoint.target, self.limits(endpoint))
        current: tuple[tuple[Target, Limits], Engine[SignedRequest]] | None = getattr(self._local, "engine", None)
        if current is not None and current[0] == wanted:
            return current[1]
        engine = self.open_engine(endpoint)
        if current is not None:
            current[1].close()
        self._local.engine = (wanted, engine)
        return engine

    def open_engine(self, endpoint: Endpoint) -> Engine[SignedRequest]:
        """Return a new engine for an endpoint; the caller closes it."""
        limits = self.limits(endpoint)
        # The host is resolved for every connection: a name that leads elsewhere by now is checked again.
        connector = Connector(endpoint.target, policy=self._policy, limits=limits, resolved_seconds=0.0)
        return Engine(connector, timeout=limits.timeout)

    def limits(self, endpoint: Endpoint) -> Limits:
        """Return the limits of requests to an endpoint."""
        return Limits(
            timeout=endpoint.timeout,
            connect_timeout=self._settings.connect_timeout,
            ca_file=self._settings.ca_file,
            tls=endpoint.tls,
        )
