# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The two errors that every layer shares: the base of all of ours, and "these fields are wrong"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_hooks.outcomes import ErrorClass


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
