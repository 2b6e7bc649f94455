# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the engine tells of a request, and whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider_hooks.bulk.answers import AnswerParser
    from airflow_provider_hooks.bulk.preparing import PreparedEvent
    from airflow_provider_hooks.delivery.record import ErrorClass


class Ending:
    """How a request ended that was not plainly answered with success."""

    __slots__ = ("answer", "failure", "is_let_out", "peer", "seconds", "started_at")

    def __init__(
        self,
        *,
        is_let_out: bool,
        started_at: float,
        seconds: float,
        peer: str | None = None,
        answer: AnswerParser | None = None,
        failure: tuple[ErrorClass, str] | None = None,
    ) -> None:
        self.is_let_out = is_let_out
        """Whether any byte of it may have left."""
        self.started_at = started_at
        self.seconds = seconds
        self.peer = peer
        self.answer = answer
        self.failure = failure


class Listener(Protocol):
    """What the engine tells of each request, once."""

    def take_success(self, event: PreparedEvent, status: int, peer: str, started_at: float, seconds: float) -> None:
        """Take a request that a plain 2xx answered."""

    def take_ending(self, event: PreparedEvent, ending: Ending) -> None:
        """Take a request that ended in any other way."""

    def wants_more(self) -> bool:
        """Tell whether anything more is to be sent."""
