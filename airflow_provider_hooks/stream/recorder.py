# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Records the events of a stream: the JSON line of each, and its part of the summary.

An event is counted when its line is handed to the segment; ``stream.records`` writes the segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from airflow_provider_hooks.delivery.record import decode_body, format_time
from airflow_provider_hooks.exceptions import InvalidEventError
from airflow_provider_hooks.http.connect import to_milliseconds
from airflow_provider_hooks.http.redact import MESSAGE_CHARACTERS, redact_and_truncate
from airflow_provider_hooks.http.response import STORED_BODY_BYTES
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_hooks.http.result import RequestResult
    from airflow_provider_hooks.stream.encode import EncodedRequest, RequestEncoder
    from airflow_provider_hooks.stream.event_claims import KnownEvent
    from airflow_provider_hooks.stream.records import SegmentWriter
    from airflow_provider_hooks.stream.sources import RawEvent
    from airflow_provider_hooks.stream.summary import Summary

_DELIVERED = Outcome.DELIVERED.value


class EventRecorder:
    """
    Writes the record of each event to a segment, and counts the event in the summary.

    :param encoder: builds the requests, which name the events that were not sent
    :param lines: encodes the records
    :param summary: what earlier batches counted; it is changed
    """

    def __init__(self, encoder: RequestEncoder, lines: RecordEncoder, *, summary: Summary) -> None:
        self._encoder, self._lines = encoder, lines
        self.summary = summary

    def write_success(self, segment: SegmentWriter, result: RequestResult[EncodedRequest]) -> None:
        """Record an event that a plain 2xx response accepted at the first attempt."""
        milliseconds = to_milliseconds(result.seconds)
        self.summary.add(_DELIVERED, milliseconds)
        line = self._lines.encode_success(result, milliseconds)
        segment.write_result(line, offset=result.request.offset, outcome=_DELIVERED)

    def write_result(
        self,
        segment: SegmentWriter,
        result: RequestResult[EncodedRequest],
        *,
        attempts: int,
        sensitive: tuple[str, ...],
    ) -> None:
        """
        Record an event whose request finished in any other way.

        :param attempts: how many attempts the run or manual clear has made of it, with this one
        :param sensitive: what must not be in the record
        """
        milliseconds = to_milliseconds(result.seconds)
        self.summary.add(result.outcome.value, None if result.status is None else milliseconds)
        line = self._lines.encode_result(result, milliseconds, attempts=attempts, sensitive=sensitive)
        segment.write_result(line, offset=result.request.offset, outcome=result.outcome.value)

    def write_invalid(self, segment: SegmentWriter, offset: int, error: InvalidEventError) -> None:
        """Record an event that cannot be sent."""
        self.summary.add_invalid()
        line = self._lines.encode_invalid(offset, str(error))
        segment.write_result(line, offset=offset, outcome=Outcome.NOT_SENT.value)

    def write_known(self, segment: SegmentWriter, request: EncodedRequest, known: KnownEvent) -> None:
        """Record an event whose outcome is known from its claim."""
        self.summary.add(known.outcome.value)
        self.summary.sent_before += known.is_sent_before
        line = self._lines.encode_known(request, known)
        segment.write_result(line, offset=request.offset, outcome=known.outcome.value)

    def write_unattempted(
        self, segment: SegmentWriter, event: RawEvent, offset: int, error: tuple[Outcome, ErrorClass, str]
    ) -> None:
        """Record an event that this try does not send."""
        line, is_invalid = self.encode_unattempted(event, offset, error)
        if is_invalid:
            self.summary.add_invalid()
        else:
            self.summary.add(error[0].value)
        segment.write(line)

    def encode_unattempted(
        self, event: RawEvent, offset: int, error: tuple[Outcome, ErrorClass | None, str]
    ) -> tuple[bytes, bool]:
        """Return the record of an event that this try does not send, and whether the event is invalid."""
        try:
            request = self._encoder.encode(event, offset=offset)
        except InvalidEventError as invalid:
            return self._lines.encode_invalid(offset, str(invalid)), True
        return self._lines.encode_unattempted(request, *error), False

    def copy(self, segment: SegmentWriter, line: bytes) -> None:
        """Copy a record that an earlier try wrote before it was interrupted."""
        record = orjson.loads(line)
        if record.get("error_class") == ErrorClass.INVALID_EVENT.value:
            self.summary.add_invalid()
        else:
            self.summary.add(record["outcome"], record.get("duration_ms") if record.get("status_code") else None)
            self.summary.sent_before += bool(record.get("sent_before"))
        segment.write(line)


class RecordEncoder:
    """
    Encodes the record of each event as a line of JSON.

    :param constant: the fields that are the same in every record
    :param redelivery: whether the events may have been sent before
    :param redelivered: the offsets of the events that may have been sent before, where not all may
    """

    def __init__(
        self, constant: Mapping[str, object], *, redelivery: bool, redelivered: Collection[int] = frozenset()
    ) -> None:
        self._constant = b"," + orjson.dumps({**constant, "redelivery": redelivery})[1:]
        self._redelivered_constant = b"," + orjson.dumps({**constant, "redelivery": True})[1:]
        self._redelivered = redelivered
        self._time = (0.0, "")

    def encode_success(self, result: RequestResult[EncodedRequest], milliseconds: float) -> bytes:
        """Return the line of an event that a plain 2xx response accepted."""
        event = result.request
        if self._time[0] != result.started_at:
            self._time = (result.started_at, format_time(result.started_at))
        line: dict[str, object] = {
            "offset": event.offset,
            "event_id": event.event_id,
            "delivery_id": event.delivery_id,
            "outcome": "delivered",
            "attempts": 1,
            "status_code": result.status,
            "requested_at": self._time[1],
            "duration_ms": milliseconds,
            "peer_address": result.peer,
            "body_sha256": event.body_sha256,
            "body_bytes": event.body_bytes,
        }
        if event.event_type is not None:
            line["event_type"] = event.event_type
        return orjson.dumps(line)[:-1] + (
            self._redelivered_constant if event.offset in self._redelivered else self._constant
        )

    def encode_result(
        self, result: RequestResult[EncodedRequest], milliseconds: float, *, attempts: int, sensitive: tuple[str, ...]
    ) -> bytes:
        """
        Return the line of an event whose request finished in any other way.

        :param attempts: how many attempts the run or manual clear has made of it, with this one
        """
        status, error = result.status, result.error
        body = decode_body(result.body, result.headers)
        line: dict[str, object] = {
            "attempts": attempts,
            "status_code": status,
            "requested_at": format_time(result.started_at),
            "responded_at": format_time(result.responded_at) if result.responded_at else None,
            "duration_ms": milliseconds,
            "peer_address": result.peer,
            "error_class": error[0].value if error else None,
            "message": redact_and_truncate(error[1], sensitive, limit=MESSAGE_CHARACTERS) if error else None,
        }
        if status is not None:
            line["response_headers"] = {
                name: redact_and_truncate(value, sensitive) for name, value in result.headers.items()
            }
            line["response_body"] = redact_and_truncate(body, sensitive, limit=STORED_BODY_BYTES)
        return self._encode(_describe(result.request), result.request.offset, result.outcome, line)

    def encode_unattempted(
        self, event: EncodedRequest, outcome: Outcome, error_class: ErrorClass | None, message: str
    ) -> bytes:
        """Return the line of an event that this try did not send."""
        error = {"error_class": error_class.value if error_class else None, "message": message}
        return self._encode(_describe(event), event.offset, outcome, error)

    def encode_known(self, event: EncodedRequest, known: KnownEvent) -> bytes:
        """Return the line of an event that was not sent, because its claim has an outcome."""
        line: dict[str, object] = {
            "status_code": known.status_code,
            "error_class": known.error_class,
            "message": known.message,
            "sent_before": known.is_sent_before,
        }
        return self._encode(_describe(event), event.offset, known.outcome, line)

    def encode_invalid(self, offset: int, message: str) -> bytes:
        """Return the line of an event that cannot be delivered."""
        error = {"error_class": ErrorClass.INVALID_EVENT.value, "message": message}
        return self._encode({"offset": offset}, offset, Outcome.NOT_SENT, error)

    def _encode(
        self, event: Mapping[str, object], offset: int, outcome: Outcome, fields: Mapping[str, object]
    ) -> bytes:
        constant = self._redelivered_constant if offset in self._redelivered else self._constant
        return orjson.dumps({**event, "outcome": outcome.value, **fields})[:-1] + constant


def _describe(event: EncodedRequest) -> dict[str, object]:
    event_type = {} if event.event_type is None else {"event_type": event.event_type}
    return {
        "offset": event.offset,
        **event_type,
        "event_id": event.event_id,
        "delivery_id": event.delivery_id,
        "body_sha256": event.body_sha256,
        "body_bytes": event.body_bytes,
    }
