# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``EndpointHook``: an endpoint, as an Airflow connection of type ``service_hook``, that events are delivered to."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from airflow_provider_hooks._runtime.airflow import open_state_store, read_connection, read_settings, read_variable
from airflow_provider_hooks._runtime.failures import judge, raise_fail_fast
from airflow_provider_hooks._runtime.telemetry import count_delivery, note_attempt, trace_attempt
from airflow_provider_hooks.delivery.claim_store import Ledger
from airflow_provider_hooks.delivery.claims import check_when_unknown
from airflow_provider_hooks.delivery.endpoint import SERVICE_HOOK, Endpoint, read_endpoint
from airflow_provider_hooks.delivery.headers import sensitive_header_values
from airflow_provider_hooks.delivery.limits import ConnectError, Limits, not_sent_result
from airflow_provider_hooks.delivery.request import find_event_id, make_delivery_info, make_request
from airflow_provider_hooks.delivery.service import Delivery, Prepared, TryContext, deliver_once, deliver_unclaimed
from airflow_provider_hooks.events.serialization import serialize
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.http.policy import BlockedAddressError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_hooks.delivery.claims import WhenUnknown
    from airflow_provider_hooks.delivery.preview import Preview
    from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo
    from airflow_provider_hooks.delivery.request import Request
    from airflow_provider_hooks.delivery.transfer import Connections
    from airflow_provider_hooks.events import EventAlert, EventCreated
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.settings import Settings

    Payload = EventCreated | EventAlert


class EndpointHook(BaseHook):
    """
    Delivers events to the endpoint that a connection describes.

    :param service_hook_conn_id: a connection of type ``service_hook``
    """

    conn_name_attr = "service_hook_conn_id"
    default_conn_name = "service_hook_default"
    conn_type = SERVICE_HOOK.name
    hook_name = SERVICE_HOOK.label

    def __init__(self, service_hook_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.service_hook_conn_id = service_hook_conn_id

    @cached_property
    def _settings(self) -> Settings:
        return read_settings()

    @cached_property
    def _policy(self) -> NetworkPolicy:
        return self._settings.build_policy()

    @cached_property
    def _connections(self) -> Connections:
        """Kept alive from one delivery of this hook to the next."""
        from airflow_provider_hooks.delivery.transfer import Connections

        return Connections()

    def get_conn(self) -> Endpoint:
        """
        Read the endpoint, with its secrets and the values of its headers registered with Airflow's masker.

        :raises ValidationError: naming each field of the connection that cannot be used
        """
        fields = read_connection(SERVICE_HOOK, self.service_hook_conn_id)
        endpoint = read_endpoint(
            fields,
            default_timeout=self._settings.timeout,
            read_variable=read_variable,
            allowed_headers=self._settings.allowed_headers,
        )
        for value in sensitive_header_values(endpoint.headers):
            mask_secret(value)
        return endpoint

    def read_subscription(self) -> tuple[str, str | None]:
        """
        Return the endpoint's URL and the Variable for its secret, which registration needs before there is a secret.

        :raises ValidationError: if the connection is of another type
        """
        fields = read_connection(SERVICE_HOOK, self.service_hook_conn_id)
        variable = fields.extra.get("secret_variable")
        return fields.host.strip(), variable if isinstance(variable, str) and variable.strip() else None

    def deliver(
        self,
        event_type: str,
        payload: Payload | Callable[[], Payload],
        *,
        context: Context,
        slot: str = "",
        on_unknown: WhenUnknown = "fail",
    ) -> JsonObject:
        """
        Deliver an event at most once for each time that a person asks for it, and return the record of it.

        What an earlier try left is told first. Then all that can be refused is refused before the claim; after it,
        whatever happens is in the record. It raises what tells Airflow the truth, so a task can leave it to this.

        :param payload: what a builder of ``airflow_provider_hooks.events`` gives, or a function that calls one, which
            is called only if the event is to be sent
        :param context: the task's context, whose state store keeps the claim
        :param slot: tells apart several deliveries of one task; the same on every try
        :param on_unknown: where an attempt may have arrived, ``fail`` and leave it to a person, or ``resend`` it with
            the same delivery id by Airflow's own ``retries``, which is at least once
        :raises AirflowFailException: if the outcome is ``rejected`` or ``unknown``, or something cannot be used as it
            is, all of which a retry must not or cannot change
        :raises DeliveryNotSentError: if nothing was sent; Airflow's own ``retries`` then apply
        :raises DeliveryUnknownError: if it may have arrived and shall be sent again; ``retries`` then apply
        """
        try:
            delivery = self.deliver_once(event_type, payload, context=context, slot=slot, on_unknown=on_unknown)
        except (ServiceHookError, AirflowNotFoundException) as error:
            raise_fail_fast(error)
        judge(delivery, on_unknown=on_unknown)
        return delivery.record.as_json()

    def deliver_once(
        self,
        event_type: str,
        payload: Payload | Callable[[], Payload],
        *,
        context: Context,
        slot: str = "",
        on_unknown: WhenUnknown = "fail",
    ) -> Delivery:
        """
        Deliver as ``deliver`` does, and return what it came to, whatever that is, instead of failing the task.

        :raises ServiceHookError: if something cannot be used as it is; nothing was sent
        :raises AirflowNotFoundException: if there is no such connection; nothing was sent
        """
        ti = context["ti"]
        check_when_unknown(on_unknown)
        delivery = deliver_once(
            asking=TryContext(generation=str(ti.max_tries), try_number=ti.try_number, on_unknown=on_unknown),
            ledger=Ledger(open_state_store(context), slot=slot),
            prepare=lambda: self._prepare(event_type, payload() if callable(payload) else payload),
        )
        self._tell(delivery)
        return delivery

    def deliver_unclaimed(self, event_type: str, payload: Payload) -> Delivery:
        """
        Send an event where Airflow has no state store to keep a claim in: one request for each call, if it can be sent.

        :raises ServiceHookError: if something cannot be used as it is; nothing was sent
        :raises AirflowNotFoundException: if there is no such connection; nothing was sent
        """
        delivery = deliver_unclaimed(lambda: self._prepare(event_type, payload))
        self._tell(delivery)
        return delivery

    def _tell(self, delivery: Delivery) -> None:
        if delivery.unresolved_previous is not None:
            self.log.warning("The asking before this left it open: %s", delivery.unresolved_previous.summarize())
        count_delivery(delivery.record)
        self.log.info("%s", delivery.record.summarize())
        if delivery.record.settled:
            self.log.info("Nothing was sent by this try, as a person settled it")
        elif not delivery.attempted:
            self.log.warning("Nothing was sent by this try: an earlier one was made for the same asking")

    def preview(self, event_type: str, payload: Payload) -> Preview:
        """
        Return the request of a delivery as it would be sent now, signed. No connection is opened.

        :param payload: what a builder of ``airflow_provider_hooks.events`` gives
        :raises ServiceHookError: if something cannot be used as it is
        """
        from airflow_provider_hooks.delivery.preview import preview_request

        endpoint, info, body = self._compose(event_type, payload)
        return preview_request(endpoint, info, make_request(endpoint, info, body))

    def get_endpoint_for(self, event_type: str) -> Endpoint:
        """
        Read the endpoint, and return it if it takes this event and may be sent to.

        :raises ValidationError: naming each field of the connection that cannot be used
        :raises BlockedAddressError: if the URL may not be sent to
        """
        endpoint = self.get_conn()
        if event_type not in endpoint.events:
            raise ValidationError(
                f"connection '{endpoint.conn_id}'",
                {"events": f"this endpoint takes only {', '.join(endpoint.events)}, not {event_type}"},
            )
        _check_url(self._policy, endpoint)
        return endpoint

    def _compose(self, event_type: str, payload: Payload) -> tuple[Endpoint, DeliveryInfo, bytes]:
        endpoint = self.get_endpoint_for(event_type)
        body = serialize(payload, max_payload_bytes=self._settings.max_payload_bytes)
        info = make_delivery_info(endpoint, event_type=event_type, event_id=find_event_id(payload), body=body)
        return endpoint, info, body

    def _prepare(self, event_type: str, payload: Payload) -> Prepared:
        endpoint, info, body = self._compose(event_type, payload)
        policy, limits = self._policy, self._limits(endpoint)
        make_request(endpoint, info, body)  # what cannot be signed is told before it is claimed

        def attempt() -> Attempt:
            # Signed anew, since the claim may have taken a while and a signature may carry the time.
            request = make_request(endpoint, info, body)
            with trace_attempt(info) as span:
                made = self._send(request, policy=policy, limits=limits)
                note_attempt(span, info, made)
            # Said before it is kept, so that it is not lost with a database that is gone by now.
            self.log.info("Attempt of delivery %s ended as %s", info.delivery_id, made.outcome.value)
            return made

        return Prepared(info=info, attempt=attempt)

    def _send(self, request: Request, *, policy: NetworkPolicy, limits: Limits) -> Attempt:
        """Send with libcurl, which takes long to load: in a task that is done while Airflow keeps the claim."""
        try:
            from airflow_provider_hooks.delivery.sender import send_once
        except ImportError as error:
            return not_sent_result(error, requested_at=time.time(), duration=0.0)
        return send_once(request, policy=policy, limits=limits, connections=self._connections)

    def test_connection(self) -> tuple[bool, str]:
        """Check URL, secret, scheme, address and TLS, by connecting; no event and no byte of a request is sent."""
        try:
            endpoint, peer = self.connect()
        except (ServiceHookError, ConnectError) as error:
            return False, str(error)
        scheme = endpoint.scheme.name
        return True, f"Connected to {peer}; deliveries are signed with the scheme {scheme}. Nothing was sent."

    def connect(self) -> tuple[Endpoint, str]:
        """
        Connect, TLS included, and return the endpoint and the peer's address; no byte of a request is sent.

        :raises ServiceHookError: if the connection cannot be used as it is
        :raises ConnectError: if it cannot be reached, or must not be
        """
        from airflow_provider_hooks.delivery.probe import probe

        endpoint = self.get_conn()
        return endpoint, probe(endpoint.url, policy=self._policy, limits=self._limits(endpoint))

    def _limits(self, endpoint: Endpoint) -> Limits:
        settings = self._settings
        return Limits(timeout=endpoint.timeout, connect_timeout=settings.connect_timeout, ca_file=settings.ca_file)


def _check_url(policy: NetworkPolicy, endpoint: Endpoint) -> None:
    try:
        policy.check_url(endpoint.url)
    except BlockedAddressError as error:
        raise BlockedAddressError(f"connection '{endpoint.conn_id}': {error}") from None
