# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The delivery policy: which outcomes are sent again, and when. Pure: no I/O, no clock.

``at_most_once``, the default, sends an event again only if it was provably not received. ``at_least_once`` also sends
it again if it may have been received, and after a response of a receiver that is restarting or overloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.http.retry_after import read_retry_at
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.delivery.record import Attempt

__all__ = ["DeliveryPolicy", "Guarantee", "Once", "make_policy"]

Guarantee = Literal["at_most_once", "at_least_once"]
"""How often an event is received: not more than once, or not less."""
Once = Literal["run", "event"]
"""For what the guarantee holds: each run or manual clear, or each event id for ever."""

RETRY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""
The statuses that ``at_least_once`` retries: the request took too long or came too early, the receiver is overloaded,
failing or restarting (RFC 9110, section 15; RFC 8470, section 5.2; RFC 6585, section 4).
"""
GONE = 410
"""The URL no longer exists (RFC 9110, section 15.5.11): never retried."""
RETRY_DELAYS = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400)
"""The pauses between the tries of ``at_least_once`` in seconds, if the Dag sets no ``retries``: some 8 hours in all."""
ATTEMPT_DELAYS = (1, 5, 15)
"""The pauses in seconds where Airflow has no retries: between the attempts of a callback or a command."""
MAX_ATTEMPT_DELAY = 30.0
"""The longest pause that a ``Retry-After`` is waited for there, in seconds."""
MAX_RETRY_AFTER_SECONDS = 3_600.0
"""The longest pause that a ``Retry-After`` is waited for."""
MAY_HAVE_ARRIVED = "an earlier attempt may have been received; this one was not sent"
"""What a record says of ``unknown`` where the last attempt alone would be ``not_sent``."""
_JITTER = 0.2
"""The part of a pause that is random, so that tasks that failed together are not retried together."""
_RETRYABLE = range(300, 600)
"""The statuses of which a user can choose: a response that is neither a success nor an interim response."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryPolicy:
    """
    What is sent again. Made by ``make_policy``, which checks it.

    Example:

    ```python
    from airflow_provider_hooks.delivery.policy import DeliveryPolicy

    policy = DeliveryPolicy(guarantee="at_least_once", retry_statuses=frozenset({429, 503}))
    assert policy.resends_unknown
    ```

    :param guarantee: whether an event is sent again that may have been received
    :param retry_statuses: the statuses of a rejected delivery that is sent again
    :param once: ``run``: each run or manual clear delivers the event; ``event``: an event id goes to an endpoint once,
        whichever Dag, run or process delivers it, until a user requests that it is sent again
    """

    guarantee: Guarantee = "at_most_once"
    retry_statuses: frozenset[int] = frozenset()
    once: Once = "run"

    @property
    def resends_unknown(self) -> bool:
        """Whether an event is sent again that may have been received."""
        return self.guarantee == "at_least_once"

    def sends_again(self, outcome: Outcome, status: int | None) -> bool:
        """Return whether a delivery with this outcome is sent again by the next try."""
        if outcome is Outcome.REJECTED:
            return status in self.retry_statuses
        return outcome is Outcome.NOT_SENT or (outcome is Outcome.UNKNOWN and self.resends_unknown)


AT_MOST_ONCE = DeliveryPolicy()
"""The default: only what was provably not received is sent again."""


def make_policy(
    *, guarantee: object = "at_most_once", retry_statuses: object = None, once: object = "run"
) -> DeliveryPolicy:
    """
    Return a policy from arguments that a template may have rendered as text.

    ``EndpointHook.deliver`` takes the policy.

    Example:

    ```python
    from airflow_provider_hooks.delivery.policy import make_policy

    policy = make_policy(guarantee="at_most_once", retry_statuses=[429, 503])
    assert policy.retry_statuses == {429, 503}
    ```

    :param guarantee: ``at_most_once`` or ``at_least_once``
    :param retry_statuses: a list of HTTP statuses from 300 to 599, without 410; ``None``: none for ``at_most_once``,
        and 408, 425, 429, 500, 502, 503 and 504 for ``at_least_once``
    :param once: ``run`` or ``event``
    :raises ValidationError: naming each argument that cannot be used
    """
    problems = ValidationErrors("delivery policy")
    if guarantee not in get_args(Guarantee):
        problems.add("guarantee", f"must be {' or '.join(get_args(Guarantee))}, not {safe_repr(guarantee)}")
    if once not in get_args(Once):
        problems.add("once", f"must be {' or '.join(get_args(Once))}, not {safe_repr(once)}")
    statuses = _read_statuses(retry_statuses, problems)
    problems.raise_if_any()
    chosen: Guarantee = "at_least_once" if guarantee == "at_least_once" else "at_most_once"
    if statuses is None:
        statuses = frozenset(RETRY_STATUSES if chosen == "at_least_once" else ())
    return DeliveryPolicy(guarantee=chosen, retry_statuses=statuses, once="event" if once == "event" else "run")


def _read_statuses(value: object, problems: ValidationErrors) -> frozenset[int] | None:
    if value is None:
        return None
    name, example = "retry_statuses", "a list of statuses such as [429, 503]"
    if not isinstance(value, list | tuple | set | frozenset):
        problems.add(name, f"must be {example}, not {safe_repr(value)}")
        return None
    texts = [str(status).strip() for status in value if not isinstance(status, bool)]
    wrong = [text for text in texts if not (len(text) == 3 and text.isascii() and text.isdigit())]  # noqa: PLR2004
    if wrong or len(texts) != len(value):
        problems.add(name, f"must be {example}, not {safe_repr(value)}")
        return None
    statuses = frozenset(map(int, texts))
    if GONE in statuses:
        problems.add(name, "cannot have 410: the URL no longer exists")
    elif unusable := sorted(statuses - set(_RETRYABLE)):
        problems.add(name, f"can have 300 to 599, not {', '.join(map(str, unusable))}")
    return statuses


def find_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """
    Return after how many seconds the receiver takes requests again, at most ``MAX_RETRY_AFTER_SECONDS``.

    :param headers: those of a response, names in lower case
    :param now: unix seconds
    :returns: ``None`` if the response does not say
    """
    at = read_retry_at(headers, received_at=now)
    return None if at is None else min(max(at - now, 0.0), MAX_RETRY_AFTER_SECONDS)


def find_attempt_delay(attempts: int, *, policy: DeliveryPolicy, attempt: Attempt, now: float) -> float | None:
    """
    Return the pause in seconds before the next attempt of a callback or a command, or ``None`` after the last one.

    :param attempts: how many there were
    :param attempt: the last one
    :param now: unix seconds
    """
    may_be_sent = policy.sends_again(attempt.outcome, attempt.status_code)
    is_blocked = attempt.error_class is ErrorClass.BLOCKED_ADDRESS
    if policy == AT_MOST_ONCE or not may_be_sent or is_blocked or attempts > len(ATTEMPT_DELAYS):
        return None
    retry_after = find_retry_after(attempt.response_headers, now=now)
    return max(ATTEMPT_DELAYS[attempts - 1], min(retry_after or 0.0, MAX_ATTEMPT_DELAY))


def find_retry_delay(tries: int, *, retry_after: float | None, random: float) -> float:
    """
    Return the pause before the next try in seconds: what the receiver requests, or else by ``RETRY_DELAYS``.

    :param tries: how many there were
    :param retry_after: what ``find_retry_after`` returned
    :param random: 0 to 1
    """
    if retry_after is not None:
        return max(retry_after, 1.0)
    delay = RETRY_DELAYS[min(max(tries, 1), len(RETRY_DELAYS)) - 1]
    return delay * (1 + _JITTER * (random - 0.5))
