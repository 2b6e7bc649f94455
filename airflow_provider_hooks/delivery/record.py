# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is known of one attempt, and what is stored of a delivery."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from airflow_provider_hooks.exceptions import RecordError, TokenError
from airflow_provider_hooks.http.connect import to_milliseconds
from airflow_provider_hooks.http.redact import MESSAGE_CHARACTERS, redact_and_truncate
from airflow_provider_hooks.http.response import STORED_BODY_BYTES
from airflow_provider_hooks.http.result import NO_PHASES, Phases
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from airflow_provider_hooks.http.result import R, RequestResult
    from airflow_provider_hooks.json_types import JsonObject

MAX_SUMMARY_CHARACTERS = 120
"""So that a summary is shown whole in one line of a log."""
_MESSAGE_CHARACTERS, _ID_CHARACTERS = 500, 36
_CHARSET = re.compile(r""";[ \t]*charset[ \t]*=[ \t]*["']?([a-z0-9._:+-]{1,40})""", re.ASCII | re.IGNORECASE)
_CONTENT_TYPE_CHARACTERS = 256
"""How much of a ``Content-Type`` is searched for a charset: a parser of all of it takes time that grows faster."""
StructType = TypeVar("StructType", bound=msgspec.Struct)


class DeliveryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a delivery before anything is sent."""

    delivery_id: str
    """A UUID made from deployment, endpoint, event type and event id; the same on every try."""
    event_id: str
    """The id of the event."""
    event_type: str
    """Such as ``event.alert`` or ``orders.loaded``."""
    endpoint: str
    """The connection id."""
    url: str
    """The URL of the endpoint, without its query."""
    scheme: str
    """The signing scheme."""
    body_sha256: str
    """The SHA-256 of the body that was sent, in hex digits."""
    body_bytes: int
    """The size of the body."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How one HTTP request finished. Secrets in it are masked, and its texts are bounded."""

    outcome: Outcome
    """``delivered``, ``rejected``, ``not_sent`` or ``unknown``."""
    requested_at: str
    """ISO 8601, UTC: when the attempt began."""
    responded_at: str | None = None
    """ISO 8601, UTC: when the headers of the response were complete."""
    duration_ms: float
    """The whole attempt in milliseconds: DNS, connecting, TLS, request and response."""
    peer_address: str | None = None
    """The IP address that the request was sent to."""
    phases: Phases = NO_PHASES
    """How long each phase took."""
    status_code: int | None = None
    """The status of the response."""
    response_headers: dict[str, str] = {}
    """Some headers of the response, with names in lower case."""
    response_body: str | None = None
    """The beginning of the response body."""
    error_class: ErrorClass | None = None
    """Why there is no complete response."""
    message: str | None = None
    """The error in words."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a delivery. It is plain data, and never holds a secret or a signature."""

    info: DeliveryInfo
    generation: str
    """Which run or manual clear it belongs to, as a label."""
    redelivery: bool
    """Whether the event may have been sent before: in an earlier run or clear, or by an earlier attempt."""
    attempts: int = 1
    """How many attempts the run or manual clear has made of the delivery, with this one."""
    attempt: Attempt
    settled: bool = False
    """Whether a user marked it as received, without a response."""

    def as_json(self) -> JsonObject:
        """Return the record as one flat JSON object: what is stored, and what the operators return."""
        builtins = cast("dict[str, JsonObject]", msgspec.to_builtins(self))
        info, attempt = builtins.pop("info"), builtins.pop("attempt")
        return {**info, **builtins, **attempt}

    def summarize(self) -> str:
        """Return one line of at most ``MAX_SUMMARY_CHARACTERS`` for logs and errors that says what happened."""
        attempt, info = self.attempt, self.info
        status = [f"HTTP {attempt.status_code}"] if attempt.status_code else []
        reason = ", ".join([*status, *([attempt.error_class.value] if attempt.error_class else [])])
        begin = f"{attempt.outcome.value} ({reason}): " if reason else f"{attempt.outcome.value}: "
        # A user may have edited the claim that a record was read from, so the texts are bounded and escaped.
        end = f", delivery {_shorten(info.delivery_id, _ID_CHARACTERS)}"
        free = MAX_SUMMARY_CHARACTERS - len(begin) - len(end)
        return f"{begin}{_shorten(f'{info.event_type} to {info.endpoint}', free)}{end}"

    def list_details(self) -> list[str]:
        """Return the lines that follow the summary of a delivery that failed."""
        attempt = self.attempt
        lines = [f"Event: {escape(self.info.event_id)}"]
        if attempt.message:
            lines.append(f"Error: {escape(attempt.message, limit=_MESSAGE_CHARACTERS)}")
        if attempt.outcome is Outcome.REJECTED and attempt.response_body:
            lines.append(f"Response: {escape(attempt.response_body)}")
        return lines


def _shorten(text: str, limit: int) -> str:
    """Return a text of at most ``limit`` characters, escaped."""
    shown = text if text.isprintable() else escape(text)
    return shown if len(shown) <= limit else f"{shown[: max(0, limit - 1)]}…"


def attempt_from_result(result: RequestResult[R], *, sensitive: tuple[str, ...]) -> Attempt:
    """
    Return what a record stores of a request.

    :param sensitive: what is masked where the receiver sends it back
    """
    has_response = result.status is not None
    body = decode_body(result.body, result.headers)
    return Attempt(
        outcome=result.outcome,
        requested_at=format_time(result.started_at),
        responded_at=None if result.responded_at is None else format_time(result.responded_at),
        duration_ms=to_milliseconds(result.seconds),
        peer_address=result.peer,
        phases=result.phases,
        status_code=result.status,
        response_headers={name: redact_and_truncate(text, sensitive) for name, text in result.headers.items()},
        response_body=redact_and_truncate(body, sensitive, limit=STORED_BODY_BYTES) if has_response else None,
        error_class=result.error[0] if result.error else None,
        message=redact_and_truncate(result.error[1], sensitive, limit=MESSAGE_CHARACTERS) if result.error else None,
    )


def decode_body(body: bytes | bytearray, headers: Mapping[str, str]) -> str:
    """Return a body as text, by the charset of its ``Content-Type``; by default UTF-8."""
    content_type = headers.get("content-type", "")[:_CONTENT_TYPE_CHARACTERS]
    return body.decode(_find_charset(content_type), errors="replace")


@lru_cache(maxsize=64)
def _find_charset(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    charset = found[1] if found else "utf-8"
    try:
        b" ".decode(charset, errors="replace")  # the codec of an empty text is not looked up
    except (LookupError, ValueError):  # unknown, or an encoding of bytes to bytes
        return "utf-8"
    return charset


def not_sent_attempt(error: Exception, *, requested_at: float, seconds: float) -> Attempt:
    """
    Return the attempt of a request that could not even be prepared.

    :param requested_at: unix seconds
    """
    return Attempt(
        outcome=Outcome.NOT_SENT,
        requested_at=format_time(requested_at),
        duration_ms=to_milliseconds(seconds),
        error_class=error.error_class if isinstance(error, TokenError) else ErrorClass.SETUP_FAILED,
        message=escape(str(error), limit=_MESSAGE_CHARACTERS),
    )


def format_time(unix_seconds: float) -> str:
    """Return a time as records hold it: ISO 8601, UTC, microseconds."""
    second, microsecond = divmod(round(unix_seconds * 1_000_000), 1_000_000)
    return f"{_format_second(second)}.{microsecond:06d}+00:00"


@lru_cache(maxsize=64)
def _format_second(unix_second: int) -> str:
    return datetime.fromtimestamp(unix_second, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def paused_attempt(reason: str, *, requested_at: float) -> Attempt:
    """
    Return the attempt of a request that was not made because its endpoint is paused.

    :param requested_at: unix seconds
    """
    return Attempt(
        outcome=Outcome.NOT_SENT,
        requested_at=format_time(requested_at),
        duration_ms=0.0,
        error_class=ErrorClass.ENDPOINT_PAUSED,
        message=escape(reason, limit=_MESSAGE_CHARACTERS),
    )


def parse_stored(stored: object, kind: type[StructType], *, refusal: str) -> StructType:
    """
    Return what was stored as JSON in its own type. A user may have edited it, so every field is checked.

    :raises RecordError: with the refusal and the field that is wrong
    """
    try:
        return msgspec.convert(stored, kind, strict=True)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise RecordError(f"{refusal} ({escape(str(error))})") from None


def parse_record(stored: object) -> Record:
    """
    Return a record from what ``Record.as_json`` returned.

    :raises RecordError: if a field is missing or of another type
    """
    if not isinstance(stored, Mapping):
        raise RecordError("the stored record cannot be read: it is not a JSON object")
    rest: dict[str, object] = dict(stored)
    parts: dict[str, object] = {}
    for name, kind in (("info", DeliveryInfo), ("attempt", Attempt)):
        parts[name] = {field: rest.pop(field) for field in kind.__struct_fields__ if field in rest}
    missing = [name for name in ("redelivery", "settled", *Attempt.__struct_fields__) if name not in stored]
    if missing:
        raise RecordError(f"the stored record cannot be read: {missing[0]} is missing")
    return parse_stored({**rest, **parts}, Record, refusal="the stored record cannot be read")
