# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is known of one attempt, and what is kept of a delivery."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

_PLAIN = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
"""What JSON writes as it is."""
_DELIVERY_NAMESPACE = uuid.UUID("5d8fbc09-b0a5-5c9c-8a8e-1f9f6f2c7a11")


class Outcome(str, Enum):
    """How an attempt ended, judged by what is proven."""

    DELIVERED = "delivered"
    """A 2xx answer arrived."""
    REJECTED = "rejected"
    """Any other answer arrived."""
    NOT_SENT = "not_sent"
    """No byte of the request left."""
    UNKNOWN = "unknown"
    """The request may have arrived; no answer tells."""


class ErrorClass(str, Enum):
    """Why an attempt did not end in a complete answer."""

    BLOCKED_ADDRESS = "blocked_address"
    DNS_ERROR = "dns_error"
    PROXY_ERROR = "proxy_error"
    CONNECTION_REFUSED = "connection_refused"
    NETWORK_UNREACHABLE = "network_unreachable"
    CONNECTION_FAILED = "connection_failed"
    CONNECTION_RESET = "connection_reset"
    TLS_ERROR = "tls_error"
    TIMEOUT = "timeout"
    RESPONSE_TOO_LARGE = "response_too_large"
    INVALID_RESPONSE = "invalid_response"
    REUSED_CONNECTION_LOST = "reused_connection_lost"
    SETUP_FAILED = "setup_failed"
    INTERRUPTED = "interrupted"
    INVALID_EVENT = "invalid_event"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Phases:
    """How long each part of an attempt took, in milliseconds; ``None`` where it did not come to it."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one HTTP request came to."""

    outcome: Outcome
    requested_at: str
    """ISO 8601, UTC: when the attempt began."""
    duration_ms: float
    responded_at: str | None = None
    """ISO 8601, UTC: when the answer's headers were complete."""
    peer_address: str | None = None
    phases: Phases = Phases()
    status_code: int | None = None
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: str | None = None
    error_class: ErrorClass | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryInfo:
    """What is known of a delivery before anything is sent."""

    delivery_id: str
    event_id: str
    event_type: str
    endpoint: str
    """The connection id."""
    url: str
    """Without userinfo and query."""
    scheme: str
    body_sha256: str
    body_bytes: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is kept of a delivery. It is plain data, and never holds a secret or a signature."""

    info: DeliveryInfo
    generation: str
    """Which asking of a person this answers; see ``delivery.claims``."""
    redelivery: bool
    """Whether it may have been sent before: by an earlier generation, or by ``on_unknown="resend"``."""
    attempt: Attempt
    settled: bool = False
    """Whether it is a person's word that it arrived, and no answer."""

    @property
    def outcome(self) -> Outcome:
        """How the delivery ended."""
        return self.attempt.outcome

    def as_json(self) -> JsonObject:
        """Return the record as one flat JSON object, as it is kept and returned by the operators."""
        attempt = {item.name: getattr(self.attempt, item.name) for item in fields(self.attempt)}
        attempt["outcome"] = self.attempt.outcome.value
        attempt["error_class"] = self.attempt.error_class.value if self.attempt.error_class else None
        attempt["phases"] = vars(self.attempt.phases)
        attempt["response_headers"] = dict(self.attempt.response_headers)
        return {
            **vars(self.info),
            "generation": self.generation,
            "redelivery": self.redelivery,
            "settled": self.settled,
            **attempt,
        }

    def summarize(self) -> str:
        """Say in one line what happened, for logs and errors."""
        attempt = self.attempt
        said = f"{self.info.event_type} {self.info.event_id} to {self.info.endpoint}: {attempt.outcome.value}"
        details = [
            f"HTTP {attempt.status_code}" if attempt.status_code else "",
            attempt.error_class.value if attempt.error_class else "",
            attempt.message or "",
            f"it said: {escape(attempt.response_body)}"
            if self.outcome is Outcome.REJECTED and attempt.response_body
            else "",
        ]
        told = ", ".join(detail for detail in details if detail)
        return f"{said} ({told}), delivery {self.info.delivery_id}" if told else f"{said}, {self.info.delivery_id}"


SUCCESS = range(200, 300)
"""The statuses that say that an event was taken (RFC 9110, section 15.3)."""


def classify_outcome(status: int | None, *, request_started: bool) -> Outcome:
    """
    Judge how a request ended.

    :param status: of a final answer whose headers were complete, or ``None``
    :param request_started: whether any byte of the request may have left
    """
    if not request_started:
        return Outcome.NOT_SENT
    if status is None:
        return Outcome.UNKNOWN
    return Outcome.DELIVERED if status in SUCCESS else Outcome.REJECTED


class RecordError(ServiceHookError):
    """A kept record cannot be read."""


def make_delivery_id(*, endpoint: str, event_type: str, event_id: str) -> str:
    """Return the id of the delivery of an event to an endpoint: a UUIDv5 (RFC 9562), the same whoever repeats it."""
    return DeliveryIds(endpoint=endpoint, event_type=event_type).make(event_id)


class DeliveryIds:
    """The ids of the deliveries of many events of one type to one endpoint, faster than by ``uuid.uuid5``."""

    def __init__(self, *, endpoint: str, event_type: str) -> None:
        name = json.dumps([endpoint, event_type])[:-1] + ", "
        self._hashed = hashlib.sha1(_DELIVERY_NAMESPACE.bytes + name.encode(), usedforsecurity=False)

    def make(self, event_id: str) -> str:
        """Return the id of the delivery of an event."""
        hashed = self._hashed.copy()
        safe_repr = f'"{event_id}"' if _PLAIN.fullmatch(event_id) else json.dumps(event_id)
        hashed.update(f"{safe_repr}]".encode())
        digits = hashed.hexdigest()
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def parse_delivery_info(kept: Mapping[str, object]) -> DeliveryInfo:
    """
    Read back what was known of a delivery before it was sent.

    :raises RecordError: if it has another form
    """
    try:
        return DeliveryInfo(**{item.name: kept[item.name] for item in fields(DeliveryInfo)})  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise RecordError(f"what is kept of the delivery cannot be read: {error}") from None


def read_record(kept: Mapping[str, object]) -> Record:
    """
    Read a record back from what ``Record.as_json`` gave.

    :raises RecordError: if it has another form
    """
    info = parse_delivery_info(kept)
    try:
        values = {item.name: kept[item.name] for item in fields(Attempt)}
        values["outcome"] = Outcome(values["outcome"])
        values["error_class"] = ErrorClass(values["error_class"]) if values["error_class"] else None
        if not _has_its_types(values):
            raise TypeError("a field is of another type")  # noqa: TRY301  (one form, one error)
        values["phases"] = Phases(**values["phases"])  # type: ignore[arg-type]
        return Record(
            info=info,
            generation=str(kept["generation"]),
            redelivery=bool(kept["redelivery"]),
            settled=bool(kept["settled"]),
            attempt=Attempt(**values),  # type: ignore[arg-type]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"the kept record cannot be read: {error}") from None


def _has_its_types(values: Mapping[str, object]) -> bool:
    """Tell whether what a record is shown by is of its type: somebody may have edited it."""
    texts = ("responded_at", "peer_address", "response_body", "message")
    headers = values["response_headers"]
    return (
        isinstance(headers, Mapping)
        and all(isinstance(text, str) for pair in headers.items() for text in pair)
        and all(isinstance(values[name], str | None) for name in texts)
        and isinstance(values["requested_at"], str)
        and isinstance(values["status_code"], int | None)
        and isinstance(values["duration_ms"], int | float)
    )
