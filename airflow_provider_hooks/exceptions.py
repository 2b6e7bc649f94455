# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Every exception that a user of this package can meet. ``except ServiceHookError`` catches all of them.

::

    ServiceHookError
    ├── ValidationError (ValueError)
    │   └── PayloadError
    ├── SignatureError (ValueError)
    ├── MissingExtraError (ImportError)
    ├── InvalidEventError
    ├── BlockedAddressError
    ├── ResolverError
    ├── ProxyError (OSError)
    ├── ConnectError
    ├── RecordError
    ├── ClaimLostError
    ├── SlotError
    ├── SlotsError
    ├── SourceChangedError
    ├── DeliveryError
    │   ├── NotificationError
    │   ├── DeliveryNotSentError (RetryableError)
    │   ├── DeliveryUnknownError (RetryableError)
    │   └── DeliveryFailedError (NonRetryableError)
    ├── RetryableError (AirflowException)
    └── NonRetryableError (AirflowFailException)

The last five delivery and task failures also derive from Airflow's own exceptions, so that a task that raises one is
retried or not retried as it must be. They are defined in ``_runtime.failures`` and imported when they are first used:
Airflow imports this module before its own configuration is ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks._runtime.failures import (
        DeliveryFailedError,
        DeliveryNotSentError,
        DeliveryUnknownError,
        NonRetryableError,
        RetryableError,
    )
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.outcomes import ErrorClass, Outcome

__all__ = [
    "BlockedAddressError",
    "ClaimLostError",
    "ConnectError",
    "DeliveryError",
    "DeliveryFailedError",
    "DeliveryNotSentError",
    "DeliveryUnknownError",
    "InvalidEventError",
    "MissingExtraError",
    "NonRetryableError",
    "NotificationError",
    "PayloadError",
    "ProxyError",
    "RecordError",
    "ResolverError",
    "RetryableError",
    "ServiceHookError",
    "SignatureError",
    "SlotError",
    "SlotsError",
    "SourceChangedError",
    "ValidationError",
]

_OF_AIRFLOW = frozenset(
    {
        "DeliveryFailedError",
        "DeliveryNotSentError",
        "DeliveryUnknownError",
        "NonRetryableError",
        "RetryableError",
    }
)
"""The exceptions that also derive from Airflow's."""


def __getattr__(name: str) -> object:
    if name not in _OF_AIRFLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("airflow_provider_hooks._runtime.failures"), name)


class ServiceHookError(Exception):
    """The base of every error that this package raises on purpose."""

    retryable: bool = False
    """Whether the same operation may succeed later without a change of its input."""


class ValidationError(ServiceHookError, ValueError):
    """
    Input that cannot be used. One error names each wrong field and what to do about it.

    :param subject: what the fields belong to, such as ``connection 'sandbox'``
    :param problems: for each wrong field, what is wrong, as a sentence; never the value of a secret
    """

    def __init__(self, subject: str, problems: Mapping[str, str]) -> None:
        self.subject = subject
        self.problems = dict(problems)
        listed = "; ".join(f"{field}: {problem}" for field, problem in self.problems.items())
        super().__init__(f"{subject}: {listed}")


class ValidationErrors:
    """Collects what is wrong field by field, so that one error can name all of it."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._found: dict[str, str] = {}

    def add(self, field: str, problem: str) -> None:
        """Add a problem of a field; the first problem of a field is reported."""
        self._found.setdefault(field, problem)

    def collect(self, check: Callable[[], object]) -> None:
        """Run a check, and add the problems of the ``ValidationError`` that it raises."""
        try:
            check()
        except ValidationError as error:
            for field, problem in error.problems.items():
                self.add(field, problem)

    def __contains__(self, field: str) -> bool:
        return field in self._found

    def raise_if_any(self) -> None:
        """
        Raise one error that names every field with a problem.

        :raises ValidationError: if a problem was added
        """
        if self._found:
            raise ValidationError(self._subject, self._found)


class BlockedAddressError(ServiceHookError):
    """The network policy does not allow to send there. Nothing was sent."""


class ResolverError(ServiceHookError):
    """A host could not be resolved. Nothing was sent."""


class ProxyError(ServiceHookError, OSError):
    """A proxy did not open the tunnel. Nothing was sent through it."""


class ConnectError(ServiceHookError):
    """
    A receiver cannot be connected to. Nothing was sent.

    :param error_class: why
    """

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        self.error_class = error_class
        super().__init__(message)


class RecordError(ServiceHookError):
    """A stored claim or record cannot be read. Nothing was sent."""


class ClaimLostError(ServiceHookError):
    """Another process holds the claim of the same delivery or stream. This one sends nothing."""


class SlotError(ServiceHookError):
    """A task delivers a second event in one try, in the place of the first."""


class SlotsError(ServiceHookError):
    """The events of a task cannot be told apart, or are not those of its first try. Nothing was sent."""


class SourceChangedError(ServiceHookError):
    """The events differ from those of which an earlier try sent a part. Nothing was sent."""


class PayloadError(ValidationError):
    """A payload that cannot be sent as JSON, or is too large."""


class InvalidEventError(ServiceHookError):
    """An event of a stream cannot be delivered. It was not sent."""


class SignatureError(ServiceHookError, ValueError):
    """Signing or verifying failed. The message quotes neither a secret nor a signature."""


class MissingExtraError(ServiceHookError, ImportError):
    """A function needs a package that an optional extra of this package installs."""


class DeliveryError(ServiceHookError):
    """
    An event was not delivered, or may not have been.

    :param outcome: ``rejected``, ``not_sent`` or ``unknown``; ``None`` if there are several
    :param record: the delivery record, as the operators return it; ``None`` if there is none, or if there are several
    """

    def __init__(self, message: str, *, outcome: Outcome | None = None, record: JsonObject | None = None) -> None:
        self.outcome = outcome
        self.record = record
        super().__init__(message)


class NotificationError(DeliveryError):
    """The event of a callback was not delivered, or may not have been."""
