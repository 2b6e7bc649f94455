# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The failures of a task as exceptions that Airflow retries or does not retry, and the functions that make them.

``airflow_provider_hooks.exceptions`` exports the exceptions.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks._runtime.compat import AirflowException, AirflowFailException, AirflowSkipException
from airflow_provider_hooks.delivery.policy import AT_MOST_ONCE, find_retry_after
from airflow_provider_hooks.exceptions import DeliveryError, EndpointDisabledError, ServiceHookError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_hooks.delivery.policy import DeliveryPolicy, Once
    from airflow_provider_hooks.delivery.record import Record
    from airflow_provider_hooks.delivery.service import DeliveryResult


_MOVED = "The receiver is at another address: set the URL of the connection to the Location of the response"
_REFUSED = (
    "The receiver did not accept the signature or the credentials: check signing secret, scheme, authentication and "
    "headers"
)
_NGINX_CERTIFICATE = "SSL certificate"
"""What nginx answers with status 400 where a client certificate is missing or not valid (``ssl_verify_client``)."""
_ADVICE: Mapping[int, str] = MappingProxyType(
    {
        **dict.fromkeys((301, 302, 303, 307, 308), _MOVED),
        401: _REFUSED,
        403: _REFUSED,
        404: "The receiver has nothing at this path: check the URL of the connection",
        410: "The URL no longer exists: remove the endpoint, or set another URL",
        413: "The receiver takes no event of this size: send a smaller one",
        429: "The receiver takes no more requests now",
    }
)
"""What each status of a rejected delivery usually means."""


class RetryableError(ServiceHookError, AirflowException):
    """The task failed, and Airflow's own ``retries`` apply."""

    retryable = True


class NonRetryableError(ServiceHookError, AirflowFailException):
    """The task failed, and Airflow does not retry it: its input must be changed, or a user must decide."""


class DeliveryNotSentError(DeliveryError, RetryableError):
    """The receiver got no byte of the request, so Airflow's own ``retries`` may send it again."""


class DeliveryUnknownError(DeliveryError, RetryableError):
    """The event may have been received and must be sent again, so Airflow's own ``retries`` send it again."""


class DeliveryRejectedError(DeliveryError, RetryableError):
    """The receiver rejected the event with a status that is retried, so Airflow's own ``retries`` send it again."""


class DeliveryFailedError(DeliveryError, NonRetryableError):
    """The event was rejected, may have been received, or cannot be sent, so Airflow does not retry the task."""


def make_delivery_failure(
    result: DeliveryResult, context: Context, *, policy: DeliveryPolicy = AT_MOST_ONCE
) -> DeliveryFailedError | DeliveryNotSentError | DeliveryUnknownError | DeliveryRejectedError:
    """
    Return the exception for an event that was not delivered, which makes Airflow retry the task or not.

    It is returned and not raised here, so that the task's log has no frame of this function.

    :param context: the context of the task, whose retries the message mentions
    :returns: ``DeliveryFailedError`` for ``rejected`` and ``unknown``, which are never retried, and for an address that
        is not allowed, which a retry does not change; ``DeliveryNotSentError`` for every other ``not_sent``;
        ``DeliveryUnknownError`` and ``DeliveryRejectedError`` where the policy sends the event again
    """
    record, outcome = result.record, result.record.attempt.outcome
    stored = record.as_json()
    if outcome is Outcome.NOT_SENT and record.attempt.error_class is not ErrorClass.BLOCKED_ADDRESS:
        return DeliveryNotSentError(_describe(result, [_describe_retries(context)]), outcome=outcome, record=stored)
    if outcome is Outcome.UNKNOWN and policy.resends_unknown:
        advice = f"It may have been received. {_describe_resend(context)}"
        return DeliveryUnknownError(_describe(result, [advice]), outcome=outcome, record=stored)
    if outcome is Outcome.REJECTED and policy.sends_again(outcome, record.attempt.status_code):
        advice = f"The receiver is expected to take it later. {_describe_resend(context)}"
        return DeliveryRejectedError(
            _describe(result, [advice]),
            outcome=outcome,
            record=stored,
            retry_after=find_retry_after(record.attempt.response_headers, now=time.time()),
        )
    lines = _list_advice(record, once=policy.once)
    return DeliveryFailedError(_describe(result, lines), outcome=outcome, record=stored)


def _describe(result: DeliveryResult, advice: list[str]) -> str:
    """Return a short first line that is complete, then the details and what to do, each on a line."""
    earlier = [] if result.sent_by_this_try else ["An earlier try recorded this; nothing was sent again"]
    return "\n".join([result.record.summarize(), *result.record.list_details(), *earlier, *advice])


def _describe_retries(context: Context) -> str:
    """Return what sends an event that was not sent."""
    if not context["task"].retries:
        return "Nothing was sent, and this task has no retries: set retries=3, and clear the task to send it now"
    if not _has_retry(context):
        return "Nothing was sent, and no retry is left: clear the task to send it"
    return "Nothing was sent: the next retry sends it"


def _describe_resend(context: Context) -> str:
    """Return what sends an event again that the policy sends again."""
    if not context["task"].retries:
        return "This task has no retries: set retries=3, and clear the task to send it again now"
    if not _has_retry(context):
        return "No retry is left: clear the task to send it again"
    return "The next retry sends it again"


def _has_retry(context: Context) -> bool:
    ti = context["ti"]
    return bool(ti.try_number <= ti.max_tries)


def _list_advice(record: Record, *, once: Once) -> list[str]:
    """Return what a user can do about an outcome that Airflow does not retry."""
    delivery_id = escape(record.info.delivery_id)
    resend = "Clear the task to send it again"
    if once == "event":
        resend = f"To send it again, run: airflow service-hooks deliveries resend {delivery_id}"
    if record.attempt.outcome is Outcome.UNKNOWN:
        decide = "If the receiver has it, mark the task as success; otherwise clear the task, which sends it again"
        if once == "event":
            decide = f"If it has it, run: airflow service-hooks deliveries mark-delivered {delivery_id}. {resend}"
        return [f"It may have been received: ask the receiver for delivery {delivery_id}", decide]
    attempt = record.attempt
    advice = _ADVICE.get(attempt.status_code or 0)
    if attempt.status_code == HTTPStatus.BAD_REQUEST and _NGINX_CERTIFICATE in (attempt.response_body or ""):
        advice = "The receiver requires a valid client certificate: set client_certificate of the connection"
    return [*([advice] if advice else []), resend]


def make_failure(error: Exception) -> RetryableError | NonRetryableError | AirflowSkipException:
    """Return the exception that fails the task, with retries if the same operation may succeed later, or skips it."""
    if isinstance(error, EndpointDisabledError):
        return AirflowSkipException(str(error))
    is_retryable = isinstance(error, ServiceHookError) and error.retryable
    return RetryableError(str(error)) if is_retryable else NonRetryableError(str(error))
