# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What an outcome means to Airflow: success, a failure it may retry, or a failure at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_hooks.delivery.record import ErrorClass, Outcome
from airflow_provider_hooks.exceptions import ServiceHookError

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.claims import WhenUnknown
    from airflow_provider_hooks.delivery.service import Delivery


class DeliveryNotSentError(AirflowException):
    """No byte of the request left, so Airflow's own ``retries`` may try again."""


class DeliveryUnknownError(AirflowException):
    """The event may have arrived and shall be sent again, so Airflow's own ``retries`` try again."""


def judge(delivery: Delivery, *, on_unknown: WhenUnknown = "fail") -> None:
    """
    Return if the event was delivered; raise what tells Airflow the truth otherwise.

    :raises AirflowFailException: for ``rejected`` and ``unknown``, which are never retried, and for an address that
        is not allowed, which a retry does not change
    :raises DeliveryNotSentError: for every other ``not_sent``
    :raises DeliveryUnknownError: for ``unknown`` where it shall be sent again
    """
    record = delivery.record
    if record.outcome is Outcome.DELIVERED:
        return
    told = record.summarize()
    if record.outcome is Outcome.NOT_SENT and record.attempt.error_class is not ErrorClass.BLOCKED_ADDRESS:
        raise DeliveryNotSentError(f"{told}; nothing was sent, so it may be tried again")
    if record.outcome is Outcome.UNKNOWN and on_unknown == "resend":
        after = "is sent again if a retry is left; else clear the task, or settle it"
        raise DeliveryUnknownError(f"{told}; it may have arrived, and {after}")
    if not delivery.attempted:
        told = f"{told}; as an earlier try left it, not sent again"
    raise AirflowFailException(f"{told}. Clear the task to send it again")


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
