# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What happened to a delivery in one sentence, and what a user can do about it; without I/O."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_hooks.delivery.claims import CLAIMED, RESEND, SETTLED
from airflow_provider_hooks.delivery.policy import GONE
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.ledger.history import DeliveryDetails


def summarize(details: DeliveryDetails) -> str:
    """Return what happened to a delivery, in one line."""
    one = details.delivery
    what = f"{one.event_type or 'events'} to {one.endpoint or 'an endpoint'}"
    if one.kind == "stream":
        counts: Mapping[str, object] = details.claim.get("summary", {}).get("outcomes", {})
        listed = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "none finished"
        return f"{'stream done' if one.state == 'done' else 'stream not done'}: {what}, {listed}"
    if one.state == SETTLED:
        return f"marked as delivered by a user: {what}; the next try or clear sends nothing"
    if one.outcome == CLAIMED:
        happened = f"open: {what}; try {one.try_number} claimed it at {one.claimed_at} and stored no outcome"
    else:
        status = [f"HTTP {one.status_code}"] if one.status_code else []
        reason = ", ".join([*status, *([one.error_class] if one.error_class else [])])
        happened = f"{one.outcome}{f' ({reason})' if reason else ''}: {what}"
    return f"marked to be sent again; before: {happened}" if one.state == RESEND else happened


def advise(details: DeliveryDetails) -> list[str]:
    """Return what a user can do about a delivery, one sentence each, the first step first; nothing if all is well."""
    one = details.delivery
    if one.kind == "stream":
        return _advise_stream(details)
    if one.state == SETTLED or one.outcome == Outcome.DELIVERED.value:
        return []
    if one.state == RESEND:
        return ["The next try of its task sends it again."]
    if one.outcome == CLAIMED:
        return [
            "It is being sent, or its process ended before the outcome was stored.",
            "If its task has finished, ask the receiver whether it has the event: mark it as received, or resend it.",
        ]
    steps = []
    if one.outcome == Outcome.REJECTED.value and one.status_code is not None:
        steps.append(_advise_status(one.status_code))
    if one.error_class is not None and one.error_class in _BY_ERROR_CLASS:
        steps.append(_BY_ERROR_CLASS[one.error_class])
    return [*steps, _LAST_STEPS[one.outcome]] if one.outcome in _LAST_STEPS else steps


def _advise_stream(details: DeliveryDetails) -> list[str]:
    claim, steps = details.claim, []
    if claim.get("state") == "stopped":
        steps.append("The stream has stopped between two batches; the next try of its task sends the rest.")
    outcomes: Mapping[str, object] = claim.get("summary", {}).get("outcomes", {})
    if any(outcomes.get(outcome) for outcome in ("rejected", "not_sent", "unknown")):
        steps.append("Run a stream over the same source with undelivered_from, to send only what was not delivered.")
    return steps


def _advise_status(status: int) -> str:
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "The receiver redirects, and redirects are not followed: set the URL that it leads to in the connection."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "The receiver failed; its response and its own log say why."
    return "The receiver refuses the request; its response says why."


_CREDENTIALS = (
    "The receiver does not accept the credentials or the signature: compare secret, scheme, authentication and headers "
    "of the connection with what the receiver expects."
)
_BY_STATUS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: _CREDENTIALS,
    HTTPStatus.FORBIDDEN: _CREDENTIALS,
    HTTPStatus.NOT_FOUND: "The receiver does not know this URL: check the host and the path of the connection.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The receiver takes no POST at this URL: check the path of the connection.",
    HTTPStatus.REQUEST_TIMEOUT: "The receiver did not get the request in time; resend it later.",
    HTTPStatus.CONFLICT: "The receiver reports a conflict; often it has processed the event before.",
    GONE: "The URL no longer exists: remove the endpoint, or set its new URL in the connection.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than the receiver takes: send less data in the event.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The receiver does not take this content type: check the connection's format.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The receiver does not accept the content of the event; its response says why.",
    HTTPStatus.TOO_MANY_REQUESTS: "The receiver limits the rate; resend it later, or set a rate limit.",
}
_BY_ERROR_CLASS: Mapping[str, str] = {
    ErrorClass.BLOCKED_ADDRESS: (
        "The address is not allowed: use a public HTTPS URL, or add it to [service_hooks] allowed_networks."
    ),
    ErrorClass.DNS_ERROR: "The host name has no address: check the host of the connection, and DNS on the worker.",
    ErrorClass.PROXY_ERROR: (
        "The proxy did not open the tunnel: check [service_hooks] proxy, and whether it allows the address."
    ),
    ErrorClass.CONNECTION_REFUSED: "No server listens there: check host and port of the connection, and the receiver.",
    ErrorClass.NETWORK_UNREACHABLE: "The worker has no route to the address: check its network.",
    ErrorClass.CONNECTION_FAILED: "The connection could not be opened: check the network between worker and receiver.",
    ErrorClass.CONNECTION_RESET: "The connection was lost before a response: the receiver's log may say more.",
    ErrorClass.TLS_ERROR: (
        "TLS failed: check the receiver's certificate, and ca_certificates and client_certificate of the connection."
    ),
    ErrorClass.TOKEN_ERROR: "No access token was obtained: check the OAuth2 fields of the connection.",
    ErrorClass.TIMEOUT: "The receiver did not answer in time: it may still process the event.",
    ErrorClass.RESPONSE_TOO_LARGE: "The response was too large to be read whole; the status line decided the outcome.",
    ErrorClass.INVALID_RESPONSE: "The response is not valid HTTP: check whether the URL leads to the right server.",
    ErrorClass.REUSED_CONNECTION_LOST: (
        "A connection that earlier requests used was lost before a response: the receiver's log may say more."
    ),
    ErrorClass.SETUP_FAILED: "The worker could not prepare the request: the message of the attempt says why.",
    ErrorClass.INTERRUPTED: "The task was interrupted while it was sending.",
    ErrorClass.INVALID_EVENT: "The event is invalid: correct it where it is made.",
    ErrorClass.STOPPED: "The delivery was stopped before it was sent.",
    ErrorClass.ENDPOINT_PAUSED: "The endpoint is paused: resume it, or wait for the probe that ends the pause.",
}
_LAST_STEPS: Mapping[str, str] = {
    Outcome.REJECTED.value: "Then resend it. Nothing sends it again by itself, unless retry_statuses names the status.",
    Outcome.NOT_SENT.value: "The receiver has nothing of it, so resending is safe; Airflow's retries do it too.",
    Outcome.UNKNOWN.value: (
        "Ask the receiver whether it has the event: if so, mark it as received; if not, resend it."
    ),
}
