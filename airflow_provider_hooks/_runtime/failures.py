# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What an outcome means to Airflow: success, a failure it may retry, or a failure at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.claims import OnUnknown
    from airflow_provider_hooks.delivery.service import DeliveryResult


class DeliveryNotSentError(AirflowException):
    """The receiver got no byte of the request, so Airflow's own ``retries`` may send it again."""


class DeliveryUnknownError(AirflowException):
    """The event may have been received and must be sent again, so Airflow's own ``retries`` send it again."""


def raise_for_outcome(result: DeliveryResult, *, on_unknown: OnUnknown = "fail") -> None:
    """
    Return if the event was delivered; else raise what makes Airflow do the right thing.

    :raises AirflowFailException: for ``rejected`` and ``unknown``, which are never retried, and for an address that
        is not allowed, which a retry does not change
    :raises DeliveryNotSentError: for every other ``not_sent``
    :raises DeliveryUnknownError: for ``unknown`` where the event must be sent again
    """
    record = result.record
    if record.outcome is Outcome.DELIVERED:
        return
    message = record.summarize()
    if record.outcome is Outcome.NOT_SENT and record.attempt.error_class is not ErrorClass.BLOCKED_ADDRESS:
        raise DeliveryNotSentError(f"{message}; nothing was sent, so it may be tried again")
    if record.outcome is Outcome.UNKNOWN and on_unknown == "resend":
        advice = "is sent again if a retry is left; else clear the task, or settle the delivery"
        raise DeliveryUnknownError(f"{message}; it may have been received, and {advice}")
    if not result.sent_by_this_try:
        message = f"{message}; recorded by an earlier try, not sent again"
    raise AirflowFailException(f"{message}. Clear the task to send it again")


def raise_registry_failure(error: Exception) -> NoReturn:
    """
    Fail the task for a call to a platform: at once where a person must change something, else with retries.

    :raises AirflowException: if no answer came, or the platform said to come back later
    :raises AirflowFailException: otherwise
    """
    if isinstance(error, ServiceHookError) and error.retryable:
        raise AirflowException(str(error)) from None
    raise_fail_fast(error)


def raise_fail_fast(error: Exception) -> NoReturn:
    """
    Fail the task without retries and without a traceback from the depths: a person must change something first.

    :raises AirflowFailException: always, with the error's own words
    """
    raise AirflowFailException(str(error)) from None
