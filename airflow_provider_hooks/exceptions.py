# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The two errors that every layer shares: the base of all of ours, and "these fields are wrong"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_REJECTING_STATUSES = range(400, 500)
_NOT_FOUND_STATUSES = frozenset({404, 410})
_RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class ServiceHookError(Exception):
    """The base of every error that this package raises on purpose."""

    retryable: bool = False
    """Whether the same may succeed later without anybody changing anything."""


class ValidationError(ServiceHookError, ValueError):
    """
    Input that cannot be used, told in one error that names each wrong field and what to do about it.

    :param subject: what the fields belong to, such as ``connection 'sandbox'``
    :param problems: for each wrong field, the sentence that says what is wrong; never a secret's value
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
        """Note what is wrong with a field; the first word on a field stands."""
        self._found.setdefault(field, problem)

    def collect(self, check: Callable[[], object]) -> None:
        """Run a check, and note what it says of each field in place of letting it raise."""
        try:
            check()
        except ValidationError as error:
            for field, problem in error.problems.items():
                self.add(field, problem)

    def __contains__(self, field: str) -> bool:
        return field in self._found

    def raise_if_any(self) -> None:
        """
        Raise the one error that names every field noted.

        :raises ValidationError: if any problem was noted
        """
        if self._found:
            raise ValidationError(self._subject, self._found)


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
