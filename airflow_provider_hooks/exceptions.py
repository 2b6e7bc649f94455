# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Every exception that a user of this package can meet. ``except ServiceHookError`` catches all of them.

::

    ServiceHookError
    ├── ValidationError (ValueError)
    │   ├── PayloadError
    │   └── EventNotTakenError
    ├── SignatureError (ValueError)
    ├── MissingExtraError (ImportError)
    ├── InvalidEventError
    ├── BlockedAddressError
    ├── ResolverError
    ├── ProxyError (OSError)
    ├── ConnectError
    ├── TokenError
    ├── EndpointDisabledError
    ├── EndpointPausedError
    ├── RecordError
    ├── ClaimLostError
    ├── SlotError
    ├── SlotsError
    ├── SourceChangedError
    ├── StateStoreError
    ├── LedgerError
    ├── RegistryError
    ├── HookConflictError
    ├── HookUncertainError
    ├── UnsupportedOperationError
    ├── LockError
    ├── VariableUnreadableError
    ├── DeliveryError
    │   ├── NotificationError
    │   ├── DeliveryNotSentError (RetryableError)
    │   ├── DeliveryUnknownError (RetryableError)
    │   ├── DeliveryRejectedError (RetryableError)
    │   └── DeliveryFailedError (NonRetryableError)
    ├── RetryableError (AirflowException)
    └── NonRetryableError (AirflowFailException)

The last six delivery and task failures also derive from Airflow's own exceptions, so that a task that raises one is
retried or not retried as it must be. They are defined in ``_runtime.failures`` and imported when they are first used:
Airflow imports this module before its own configuration is ready.
"""

from __future__ import annotations

from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks._runtime.failures import (
        DeliveryFailedError,
        DeliveryNotSentError,
        DeliveryRejectedError,
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
    "DeliveryRejectedError",
    "DeliveryUnknownError",
    "EndpointDisabledError",
    "EndpointPausedError",
    "EventNotTakenError",
    "HookConflictError",
    "HookUncertainError",
    "InvalidEventError",
    "LedgerError",
    "LockError",
    "MissingExtraError",
    "NonRetryableError",
    "NotificationError",
    "PayloadError",
    "ProxyError",
    "RecordError",
    "RegistryError",
    "ResolverError",
    "RetryableError",
    "ServiceHookError",
    "SignatureError",
    "SlotError",
    "SlotsError",
    "SourceChangedError",
    "StateStoreError",
    "TokenError",
    "UnsupportedOperationError",
    "ValidationError",
    "VariableUnreadableError",
]

_OF_AIRFLOW = frozenset(
    {
        "DeliveryFailedError",
        "DeliveryNotSentError",
        "DeliveryRejectedError",
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


Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

_REJECTING_STATUSES = range(400, 500)
_NOT_FOUND_STATUSES = frozenset({404, 410})
_RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class ServiceHookError(Exception):
    """
    The base of every error that this package raises on purpose.

    Example:

    ```python
    from airflow_provider_hooks.exceptions import ServiceHookError
    from airflow_provider_hooks.signing import sign

    try:
        sign("sentry", body=b"{}", secrets=[], delivery_id="d-1", timestamp=1_700_000_000)
    except ServiceHookError as error:
        assert not error.retryable
    ```
    """

    retryable: bool = False
    """Whether the same operation may succeed later without a change of its input."""


def drop_frames(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """
    Let the errors of this package leave a function without the frames below it.

    The variables of these frames hold secrets, and an error tracker such as Sentry sends the variables of every frame.
    Other exceptions keep their frames: they are faults, which their frames explain.
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            return function(*args, **kwargs)
        except ServiceHookError as caught:
            error = caught.with_traceback(None)
        del args, kwargs
        error.__cause__ = error.__context__ = None
        raise error

    return call


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
    """
    Collects what is wrong field by field, so that one error can name all of it.

    Example:

    ```python
    from airflow_provider_hooks.registries.base import ValidationErrors

    problems = ValidationErrors("service hook on Acme Helpdesk")
    problems.add("url", "must start with https://")
    assert "url" in problems
    ```

    :param subject: what the fields belong to, such as ``connection 'sandbox'``
    """

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


class EventNotTakenError(ValidationError):
    """The endpoint's filter does not name this event type. Nothing was sent."""


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


class TokenError(ServiceHookError):
    """
    The token endpoint of an endpoint's connection returned no access token. Nothing was sent to the receiver.

    :param error_class: why
    """

    retryable = True

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        self.error_class = error_class
        super().__init__(message)


class EndpointDisabledError(ServiceHookError):
    """The connection of an endpoint is disabled. Nothing was sent; a task is skipped."""


class EndpointPausedError(ServiceHookError):
    """The endpoint of a stream is paused because deliveries to it failed. Nothing was sent."""

    retryable = True


class RecordError(ServiceHookError):
    """A stored claim or record cannot be read. Nothing was sent."""


class ClaimLostError(ServiceHookError):
    """The claim of a delivery or stream is not there, or another process holds it. This one sends nothing."""

    retryable = True  # the next try reads what is there


class StateStoreError(ServiceHookError):
    """The claim store, Airflow's API server or the ledger, did not answer in time: a claim was not read or stored."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        self.retryable = retryable
        super().__init__(message)


class LedgerError(ServiceHookError):
    """The ledger cannot be used: its tables are missing or of another version, or the role may not use them."""


class SlotError(ServiceHookError):
    """A task delivers a second event in one try, in the place of the first."""


class SlotsError(ServiceHookError):
    """The events of a task have no distinct ids, or are not those of its first try. Nothing was sent."""


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
    :param retry_after: seconds after which the receiver takes requests again; ``None`` if it did not say
    """

    def __init__(
        self,
        message: str,
        *,
        outcome: Outcome | None = None,
        record: JsonObject | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.outcome = outcome
        self.record = record
        self.retry_after = retry_after
        super().__init__(message)


class NotificationError(DeliveryError):
    """The event of a callback was not delivered, or may not have been."""


class RegistryError(ServiceHookError):
    """
    A request to a platform's management API failed.

    :param platform: the platform's title
    :param operation: the operation in words, such as ``list service hooks``
    :param message: what the platform answered, or what failed on the way; safe to show
    :param status_code: the status of the response; ``None`` if no response arrived
    :param sent: whether the request may have reached the platform
    :param retryable: whether the same request may succeed later unchanged; ``None`` decides by the status
    :param retry_at: when the platform accepts requests again (unix seconds), if it answered that there were too many
    :param has_platform_message: whether the response had an error message in the platform's documented form
    """

    def __init__(
        self,
        platform: str,
        operation: str,
        message: str,
        *,
        status_code: int | None = None,
        sent: bool = True,
        retryable: bool | None = None,
        retry_at: float | None = None,
        has_platform_message: bool = False,
    ) -> None:
        self.platform = platform
        self.operation = operation
        self.message = message
        self.status_code = status_code
        self.sent = sent
        self.retry_at = retry_at
        self.has_platform_message = has_platform_message
        by_status = status_code is None or status_code in _RETRYABLE_STATUSES
        self.retryable = by_status if retryable is None else retryable
        status = f"HTTP {status_code}: " if status_code is not None else ""
        super().__init__(f"{platform}, {operation}: {status}{message}")

    @property
    def not_found(self) -> bool:
        """Whether the platform itself answered that there is no such hook, and not some server in front of it."""
        return self.has_platform_message and self.status_code in _NOT_FOUND_STATUSES

    @property
    def outcome_unknown(self) -> bool:
        """Whether the request may have had its effect: it was sent, and the platform did not reject it."""
        return self.sent and (self.status_code is None or self.status_code not in _REJECTING_STATUSES)

    def with_message(self, message: str) -> RegistryError:
        """Return the same error with another message."""
        return RegistryError(
            self.platform,
            self.operation,
            message,
            status_code=self.status_code,
            sent=self.sent,
            retryable=self.retryable,
            retry_at=self.retry_at,
            has_platform_message=self.has_platform_message,
        )


class HookConflictError(ServiceHookError):
    """A hook is registered already but differs from the requested one, or several hooks match a declaration."""


class HookUncertainError(ServiceHookError):
    """A hook may or may not have been created: no response arrived, and the platform cannot list its hooks."""


class UnsupportedOperationError(ServiceHookError):
    """
    A platform does not document an operation.

    :param platform: the platform's title
    :param operation: the operation in words
    :param alternative: what to do instead
    """

    def __init__(self, platform: str, operation: str, alternative: str) -> None:
        self.platform = platform
        self.operation = operation
        super().__init__(f"{platform} documents no call to {operation}: {alternative}")


class LockError(ServiceHookError):
    """Another run holds the lock of a Variable, or took it over because this run did not renew it in time."""

    retryable = True


class VariableUnreadableError(ServiceHookError):
    """A Variable exists, but its backend does not return its value now."""

    retryable = True
