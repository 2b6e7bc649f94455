# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``EndpointHook``: an endpoint, as an Airflow connection of type ``service_hook``, that events are delivered to."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from airflow.sdk import BaseHook

from airflow_provider_hooks._runtime.airflow import (
    may_have_lost_claim,
    open_claim_store,
    read_connection,
    read_settings,
    read_variable,
)
from airflow_provider_hooks._runtime.compat import AirflowNotFoundException, mask_secret
from airflow_provider_hooks._runtime.failures import make_delivery_failure, make_failure
from airflow_provider_hooks._runtime.ledger import (
    describe_origin,
    describe_pause,
    find_pause,
    open_ledger,
    open_task_claim,
    store_payload,
    update_pause,
)
from airflow_provider_hooks._runtime.sending import PreparedDelivery, Sender
from airflow_provider_hooks._runtime.telemetry import count_delivery
from airflow_provider_hooks.delivery.claims import (
    KEY_PREFIX,
    LOST_CLAIM,
    Claim,
    ClaimOrigin,
    ProcessClaimStore,
    TryContext,
)
from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.delivery.endpoint import ALL_EVENTS, Endpoint, Subscription, read_endpoint
from airflow_provider_hooks.delivery.policy import AT_MOST_ONCE, find_attempt_delay
from airflow_provider_hooks.delivery.record import Record, paused_attempt
from airflow_provider_hooks.delivery.request import RequestTemplate, preview_request
from airflow_provider_hooks.delivery.service import ClaimedDelivery, DeliveryResult, check_slot
from airflow_provider_hooks.events.builders import EventDraft
from airflow_provider_hooks.events.event import Event, OwnEventDraft
from airflow_provider_hooks.events.formats import encode_event
from airflow_provider_hooks.events.types import EVENT_ALERT
from airflow_provider_hooks.exceptions import (
    BlockedAddressError,
    EndpointDisabledError,
    EventNotTakenError,
    ServiceHookError,
    ValidationError,
    drop_frames,
)
from airflow_provider_hooks.http.connect import make_tls_context
from airflow_provider_hooks.http.redact import MASK
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key, make_event_key
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.settings import SECTION

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_hooks.delivery.claims import ClaimStore
    from airflow_provider_hooks.delivery.policy import DeliveryPolicy
    from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo
    from airflow_provider_hooks.delivery.request import Preview
    from airflow_provider_hooks.events.formats import EncodedEvent
    from airflow_provider_hooks.events.types import Payload
    from airflow_provider_hooks.http.policy import NetworkPolicy
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.ledger.database import Database
    from airflow_provider_hooks.ledger.endpoints import Pause
    from airflow_provider_hooks.settings import Settings

    Draft = EventDraft | OwnEventDraft | Event


__all__ = ["EndpointHook"]

COMMAND = ClaimOrigin(origin="command")
DISABLED = "The endpoint is disabled: deliveries to it are skipped."
_REQUESTS_OF_AN_ATTEMPT = 3
"""A token, the request, and the request again with a new token."""
_CALLBACK_WAIT_SECONDS = 10.0
"""How long a callback waits for another process at most: Airflow ends callbacks, some after 20 s."""
_SETTLE_SECONDS = 5.0
"""How long the outcome of an attempt takes to be stored, at most, while the ledger answers."""


class _Event(NamedTuple):
    """An event that is not built or checked yet, and how it becomes a request."""

    event_type: str
    payload: Payload | Draft
    format: str | None


class EndpointHook(BaseHook):
    """
    Delivers events to the endpoint that a connection describes.

    Use it in a task that decides by itself what to deliver; for one event of a task, an operator is simpler.

    Example:

    ```python
    from airflow.sdk import get_current_context, task

    from airflow_provider_hooks import EndpointHook, build_event_alert


    @task
    def alert():
        payload = build_event_alert(
            id="orders-7",
            project="orders",
            project_id="orders",
            project_name="Orders",
            message="Order 7 is late",
            url="https://airflow.example.com/dags/orders",
            triggering_rules=["Orders arrive in time"],
        )
        return EndpointHook("orders_warehouse").deliver("event.alert", payload, context=get_current_context())
    ```

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
    def _sender(self) -> Sender:
        return Sender(self._settings, self._policy)

    @drop_frames
    def get_conn(self) -> Endpoint:
        """
        Return the endpoint, with its secrets and its credentials registered with Airflow's masker.

        :raises ValidationError: naming each field of the connection that cannot be used
        """
        return self._read_endpoint()

    def _read_endpoint(self) -> Endpoint:
        fields = read_connection(SERVICE_HOOK, self.service_hook_conn_id)
        endpoint = read_endpoint(
            fields,
            default_timeout=self._settings.timeout,
            deployment=self._settings.deployment,
            read_variable=read_variable,
            allowed_headers=self._settings.allowed_headers,
        )
        for value in (*endpoint.credentials, *endpoint.scheme.list_key_forms(endpoint.secrets)):
            mask_secret(value)
        if endpoint.tls is not None:
            self._check_tls(endpoint)
        return endpoint

    def _check_tls(self, endpoint: Endpoint) -> None:
        """Load the files of an endpoint; the context is used again by its connections."""
        try:
            make_tls_context(self._sender.limits(endpoint))
        except OSError as error:
            raise ValidationError(f"section {SECTION} of airflow.cfg", {"ca_file": str(error)}) from None

    def mask_secrets(self) -> None:
        """Register the endpoint's secrets with Airflow's masker now, if the connection can be read."""
        with contextlib.suppress(ServiceHookError, AirflowNotFoundException):
            self.get_conn()

    @drop_frames
    def read_subscription(self) -> Subscription:
        """
        Return what registration needs of the endpoint before there is a secret.

        :raises ValidationError: if the connection is of another type
        """
        fields = read_connection(SERVICE_HOOK, self.service_hook_conn_id)
        variable = fields.extra.get("secret_variable")
        return Subscription(
            conn_id=self.service_hook_conn_id,
            url=fields.host.strip(),
            secret_variable=variable if isinstance(variable, str) and variable.strip() else None,
            has_typed_secret=bool(fields.password),
        )

    def deliver(
        self,
        event_type: str,
        payload: Payload | Draft,
        *,
        context: Context,
        slot: str = "",
        policy: DeliveryPolicy = AT_MOST_ONCE,
        format: str | None = None,  # noqa: A002  (as the operators call it)
    ) -> JsonObject:
        """
        Deliver an event at most once per run or manual clear, unless the policy allows more, and return its record.

        What an earlier try recorded is reported first. Then everything that can be refused is refused before the claim;
        after it, whatever happens is in the record. A task can leave the exceptions to Airflow.

        :param event_type: ``event.created``, ``event.alert``, or the type of an event of the user's own
        :param payload: an event, what a builder of ``airflow_provider_hooks.events`` returns, or a draft, built only if
            the event is to be sent
        :param context: the task's context, whose state store holds the claim
        :param slot: distinguishes several deliveries of one task; the same on every try
        :param policy: which outcomes Airflow's own ``retries`` send again, with the same delivery id; what
            ``make_policy`` of ``airflow_provider_hooks.delivery.policy`` returns
        :param format: the name of a format, in place of the endpoint's
        :raises NonRetryableError: if the outcome is ``rejected`` or ``unknown``, or an input cannot be used, which a
            retry must not or cannot change
        :raises DeliveryNotSentError: if nothing was sent; Airflow's own ``retries`` then apply
        :raises RetryableError: if the claim could not be stored, and nothing was sent; ``retries`` then apply
        :raises DeliveryUnknownError: if it may have been received and must be sent again; ``retries`` then apply
        :raises DeliveryRejectedError: if it was rejected and must be sent again; ``retries`` then apply
        :raises AirflowSkipException: if the connection is disabled
        """
        try:
            event = _Event(event_type, payload, format)
            result = self._deliver_in_task(event, context=context, slot=slot, policy=policy)
        except (ServiceHookError, AirflowNotFoundException) as error:
            raise make_failure(error) from None
        if result.record.attempt.outcome is not Outcome.DELIVERED:
            raise make_delivery_failure(result, context, policy=policy)
        return result.record.as_json()

    @drop_frames
    def deliver_once(
        self,
        event_type: str,
        payload: Payload | Draft,
        *,
        context: Context,
        slot: str = "",
        policy: DeliveryPolicy = AT_MOST_ONCE,
        format: str | None = None,  # noqa: A002  (as the operators call it)
    ) -> DeliveryResult:
        """
        Deliver as ``deliver`` does, and return the result, whatever the outcome, instead of failing the task.

        :raises ServiceHookError: if an input cannot be used; nothing was sent
        :raises AirflowNotFoundException: if there is no such connection; nothing was sent
        """
        return self._deliver_in_task(_Event(event_type, payload, format), context=context, slot=slot, policy=policy)

    @drop_frames
    def deliver_now(
        self,
        event_type: str,
        payload: Payload | Draft,
        *,
        context: Context | None = None,
        origin: ClaimOrigin = COMMAND,
        policy: DeliveryPolicy = AT_MOST_ONCE,
        format: str | None = None,  # noqa: A002
    ) -> DeliveryResult:
        """
        Deliver an event where Airflow has no retries, as in a callback or a command, and return the last result.

        By default it makes one attempt. With another policy it makes up to four, some seconds apart. With a ledger, a
        callback that is called twice for the same thing sends one request; so does, without a ledger, one whose context
        has a task state store. Otherwise each call is a delivery.

        :param context: the context whose task state store holds the claim, if there is no ledger
        :param origin: where the delivery comes from; the slot of a callback names what it was called for
        :raises ServiceHookError: if an input cannot be used; nothing was sent
        :raises AirflowNotFoundException: if there is no such connection; nothing was sent
        """
        database = self._find_ledger(policy)
        shared = database if policy.once == "event" or origin.origin == "callback" else None
        store: ClaimStore[Claim] = ProcessClaimStore()
        run = TryContext(generation="", try_number=1, policy=policy)
        if database is not None and shared is None:
            key = make_claim_key("command", uuid.uuid4().hex)
            store = self._open_ledger_claim(database, key, origin)
        elif database is None and context is not None:
            key, patience = f"{KEY_PREFIX}:{origin.slot}", self._settings.state_store_timeout
            store, run = open_claim_store(context, key, Claim, patience=patience), _make_try_context(context, policy)
        event, attempts = _Event(event_type, payload, format), 0
        while True:
            if shared is not None:
                result = self._deliver_shared(event, database=shared, origin=origin, policy=policy)
            else:
                result = self._deliver_claimed(event, store=store, run=run)
            attempts += 1
            pause = find_attempt_delay(attempts, policy=policy, attempt=result.record.attempt, now=time.time())
            if pause is None:
                return result
            self.log.info("The next attempt follows in %.0f s", pause)
            time.sleep(pause)

    @drop_frames
    def resend(self, found: Claim, event: EncodedEvent, *, store: ClaimStore[Claim]) -> DeliveryResult:
        """
        Send a stored event again, exactly and signed now, and return the result.

        :param found: the claim of the delivery; a user has written its state ``resend``
        :param event: what ``PayloadStore.load`` returned
        :param store: where the claim is stored
        :raises ServiceHookError: if an input cannot be used; nothing was sent
        :raises AirflowNotFoundException: if there is no such connection; nothing was sent
        """
        template = self._make_template(found.info.event_type, event)
        prepared = PreparedDelivery(template, template.describe(event.id, event.body), event)
        run = TryContext(generation=found.generation, try_number=found.try_number)
        return self._deliver_claimed(prepared, store=store, run=run)

    @drop_frames
    def preview_stored(self, event_type: str, event: EncodedEvent) -> Preview:
        """
        Return the request of a stored event as it would be sent now. No connection is opened.

        :param event: what ``PayloadStore.load`` returned
        :raises ServiceHookError: if the connection cannot be used
        :raises AirflowNotFoundException: if there is no such connection
        """
        template = self._make_template(event_type, event)
        info = template.describe(event.id, event.body)
        return self._preview(template, info, event)

    def _make_template(self, event_type: str, event: EncodedEvent) -> RequestTemplate:
        endpoint = self._find_endpoint(event_type)
        return RequestTemplate(endpoint, event_type, content_type=event.content_type, header_names=event.header_names)

    def _deliver_in_task(self, event: _Event, *, context: Context, slot: str, policy: DeliveryPolicy) -> DeliveryResult:
        database = self._find_ledger(policy)
        if database is not None and policy.once == "event":
            origin = describe_origin(context, slot=slot)
            return self._deliver_shared(event, database=database, origin=origin, policy=policy)
        store = open_task_claim(context, KEY_PREFIX, Claim, settings=self._settings, slot=slot)
        run = _make_try_context(context, policy, has_ledger=database is not None)
        return self._deliver_claimed(event, store=store, run=run)

    def _find_ledger(self, policy: DeliveryPolicy) -> Database | None:
        """
        Return the ledger of the deployment, if it has one.

        :raises ValidationError: if the policy needs a ledger, and there is none
        """
        database = open_ledger(self._settings)
        if database is None and policy.once == "event":
            problem = "'event' needs the ledger, which outlives Dag runs: set [service_hooks] ledger_conn_id"
            raise ValidationError("delivery policy", {"once": problem})
        return database

    def _open_ledger_claim(self, database: Database, key: str, origin: ClaimOrigin) -> ClaimStore[Claim]:
        return LedgerClaimStore(database, key, Claim, origin=origin, patience=self._settings.state_store_timeout)

    def _deliver_shared(
        self, event: _Event, *, database: Database, origin: ClaimOrigin, policy: DeliveryPolicy
    ) -> DeliveryResult:
        """
        Deliver an event that other runs or processes may deliver too, at the same moment: one of them sends it.

        Its claim is that of the event, or of what a callback was called for.
        """
        prepared = self._prepare(event)
        key = make_event_key(prepared.info.delivery_id)
        if policy.once == "run":
            key = make_claim_key(origin.origin, self._settings.deployment, origin.slot)
        run = self._make_shared_context(prepared.template.endpoint, try_number=origin.try_number, policy=policy)
        if origin.origin == "callback":
            run = msgspec.structs.replace(run, wait_seconds=min(run.wait_seconds, _CALLBACK_WAIT_SECONDS))
        return self._deliver_claimed(prepared, store=self._open_ledger_claim(database, key, origin), run=run)

    def _make_shared_context(self, endpoint: Endpoint, *, try_number: int, policy: DeliveryPolicy) -> TryContext:
        """Return the context of a try whose claims other runs and processes share."""
        wait = _REQUESTS_OF_AN_ATTEMPT * endpoint.timeout + _SETTLE_SECONDS
        return TryContext(generation="", try_number=try_number, policy=policy, wait_seconds=wait)

    def _deliver_claimed(
        self, event: _Event | PreparedDelivery, *, store: ClaimStore[Claim], run: TryContext
    ) -> DeliveryResult:
        """Return what an earlier try or another process recorded, or make one attempt."""
        delivery = ClaimedDelivery(store=store, run=run)
        result = delivery.resolve()
        if result is None:
            prepared = self._prepare(event)
            if run.try_number > 1 and delivery.is_claim_lost:
                self.log.warning(LOST_CLAIM)
            store_payload(self._settings, prepared)
            pause = find_pause(self._settings, prepared.info.endpoint)
            result = delivery.claim(prepared.info)
            if result is None:
                result = delivery.settle(self._attempt(prepared, pause=pause, redelivery=delivery.is_redelivery))
                self._note_health(result.record)
        elif result.recorded_by_this_try and isinstance(event, _Event):
            check_slot(result, self._prepare(event).info)
        self._report(result, policy=run.policy)
        return result

    def _attempt(self, prepared: PreparedDelivery, *, pause: Pause | None, redelivery: bool) -> Attempt:
        """Send the event, once, unless the endpoint is paused."""
        if pause is None:
            attempt = self._sender.attempt(prepared, redelivery=redelivery)
        else:
            attempt = paused_attempt(f"the endpoint {pause.describe()}", requested_at=time.time())
        # Logged before it is recorded, so that it is not lost with a database that is gone by now.
        self._log_outcome(Record(info=prepared.info, generation="", redelivery=redelivery, attempt=attempt))
        return attempt

    def _note_health(self, record: Record) -> None:
        """Pause the endpoint if it has failed too often, or open it again, and send the alert of a pause."""
        reason = update_pause(self._settings, record)
        conn_id = self._settings.alert_conn_id
        if reason is None or conn_id is None or conn_id == record.info.endpoint:
            return
        payload = describe_pause(record, reason)
        try:
            EndpointHook(conn_id).deliver_now(EVENT_ALERT, payload)
        except (ServiceHookError, AirflowNotFoundException) as error:
            self.log.warning("The alert that endpoint %s is paused was not sent: %s", record.info.endpoint, error)

    def _log_outcome(self, record: Record) -> None:
        is_delivered = record.attempt.outcome is Outcome.DELIVERED
        self.log.log(logging.INFO if is_delivered else logging.WARNING, "%s", record.summarize())

    @drop_frames
    def preview(
        self,
        event_type: str,
        payload: Payload | Draft,
        *,
        format: str | None = None,  # noqa: A002
    ) -> Preview:
        """
        Return the request of a delivery as it would be sent now, signed. No connection is opened.

        :param payload: what a builder of ``airflow_provider_hooks.events`` returns, or a draft
        :raises ServiceHookError: if an input cannot be used
        """
        template, info, event = self._prepare(_Event(event_type, payload, format))
        return self._preview(template, info, event)

    def _preview(self, template: RequestTemplate, info: DeliveryInfo, event: EncodedEvent) -> Preview:
        if template.endpoint.oauth2 is not None:
            template.use_token(MASK)
        return preview_request(template.endpoint, template.make_request(info, event.body, headers=event.headers))

    def _find_endpoint(self, event_type: str | None) -> Endpoint:
        """
        Return the endpoint if it takes this event type, or any where it is ``None``, and may be sent to.

        :raises EndpointDisabledError: if the connection is disabled
        :raises ValidationError: naming each field of the connection that cannot be used
        :raises EventNotTakenError: if the endpoint's filter does not name the event type
        :raises BlockedAddressError: if the URL, or that of its tokens, may not be sent to
        """
        endpoint = self._read_endpoint()
        if endpoint.is_disabled:
            raise EndpointDisabledError(f"connection '{endpoint.conn_id}' is disabled: nothing was sent")
        if event_type is not None and endpoint.events != ALL_EVENTS and not endpoint.takes(event_type):
            raise EventNotTakenError(
                f"connection '{endpoint.conn_id}'",
                {"events": f"this endpoint takes only {', '.join(endpoint.events)}, not {event_type}"},
            )
        self._check_target(endpoint)
        return endpoint

    def test_connection(self) -> tuple[bool, str]:
        """
        Check URL, secret, scheme, address and TLS by connecting, and get an access token if deliveries need one.

        No event and no byte of a request is sent to the endpoint.
        """
        try:
            endpoint, peer = self.connect()
        except ServiceHookError as error:
            return False, str(error)
        scheme = endpoint.scheme.name
        message = f"Connected to {peer}; deliveries are signed with the scheme {scheme}. Nothing was sent."
        return True, f"{message} {DISABLED}" if endpoint.is_disabled else message

    @drop_frames
    def connect(self) -> tuple[Endpoint, str]:
        """
        Connect, TLS included, and return the endpoint and the peer's address; no byte of a request is sent.

        :raises ServiceHookError: if the connection cannot be used
        :raises ConnectError: if the endpoint cannot be reached, or must not be
        :raises TokenError: if its deliveries need an access token, and there is none
        """
        endpoint = self._read_endpoint()
        tokens = self._sender.open_tokens(endpoint)
        if tokens is not None:
            tokens.get()
        engine = self._sender.open_engine(endpoint)
        try:
            return endpoint, engine.check_connection()
        finally:
            engine.close()

    def _check_target(self, endpoint: Endpoint) -> None:
        of_tokens = {} if endpoint.oauth2 is None else {"auth_url: ": endpoint.oauth2.target}
        for field, target in {"": endpoint.target, **of_tokens}.items():
            try:
                self._policy.check_target(target)
            except BlockedAddressError as error:
                raise BlockedAddressError(f"connection '{endpoint.conn_id}': {field}{error}") from None

    def _prepare(self, event: _Event | PreparedDelivery) -> PreparedDelivery:
        """Build everything that can be refused, before anything is claimed."""
        if isinstance(event, PreparedDelivery):
            return event
        event_type, payload, format_name = event
        built = payload.build() if isinstance(payload, EventDraft | OwnEventDraft) else payload
        endpoint = self._find_endpoint(event_type)
        encoded = encode_event(
            event_type,
            built,
            format_name=format_name,
            settings=endpoint.format_settings,
            max_payload_bytes=self._settings.max_payload_bytes,
        )
        template = RequestTemplate(
            endpoint, event_type, content_type=encoded.content_type, header_names=encoded.header_names
        )
        return PreparedDelivery(template, template.describe(encoded.id, encoded.body), encoded)

    def _report(self, result: DeliveryResult, *, policy: DeliveryPolicy) -> None:
        if result.unresolved_previous is not None:
            summary = result.unresolved_previous.summarize()
            self.log.warning("The previous run or clear left this delivery unresolved: %s", summary)
        count_delivery(result.record)
        if result.record.settled:
            self.log.info("Nothing was sent by this try: a user marked the delivery as received")
        elif not result.sent_by_this_try:
            self._log_outcome(result.record)
            if policy.once == "event":
                self.log.warning("Nothing was sent: this event went to this endpoint before, and once is 'event'")
            else:
                self.log.warning("Nothing was sent by this try: an earlier one already sent this event")


def _make_try_context(context: Context, policy: DeliveryPolicy, *, has_ledger: bool = False) -> TryContext:
    ti = context["ti"]
    return TryContext(
        generation=str(ti.max_tries),
        try_number=ti.try_number,
        policy=policy,
        claim_may_be_lost=ti.try_number > 1 and not has_ledger and may_have_lost_claim(context),
    )
