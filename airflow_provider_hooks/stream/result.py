# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the engine tells of a request, and whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider_hooks.delivery.record import ErrorClass
    from airflow_provider_hooks.stream.answers import AnswerParser
    from airflow_provider_hooks.stream.encode import EncodedRequest


class RequestResult:
    """How a request ended that was not plainly answered with success."""

    __slots__ = ("answer", "failure", "peer", "request_started", "seconds", "started_at")

    def __init__(
        self,
        *,
        request_started: bool,
        started_at: float,
        seconds: float,
        peer: str | None = None,
        answer: AnswerParser | None = None,
        failure: tuple[ErrorClass, str] | None = None,
    ) -> None:
        self.request_started = request_started
        """Whether any byte of it may have left."""
        self.started_at = started_at
        self.seconds = seconds
        self.peer = peer
        self.answer = answer
        self.failure = failure


class Listener(Protocol):
    """What the engine tells of each request, once."""

    def take_success(self, event: EncodedRequest, status: int, peer: str, started_at: float, seconds: float) -> None:
        """Take a request that a plain 2xx answered."""

    def take_ending(self, event: EncodedRequest, ending: RequestResult) -> None:
        """Take a request that ended in any other way."""

    def wants_more(self) -> bool:
        """Tell whether anything more is to be sent."""
