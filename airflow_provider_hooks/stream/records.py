# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The records of a stream: JSON Lines in a folder, one file a block, written while the block is being sent.

A block that a crash left open is written anew by the next try, under that try's name, and the earlier file is removed.
Every event is in the folder once, with its place in the source.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import TYPE_CHECKING, Protocol

import orjson

from airflow_provider_hooks.delivery.record import format_time
from airflow_provider_hooks.http.redact import find_occurrences, redact_and_truncate
from airflow_provider_hooks.http.response import KEPT_BODY_BYTES
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

    from airflow_provider_hooks.http.result import RequestResult
    from airflow_provider_hooks.stream.encode import EncodedRequest

_PART = re.compile(r"part-(?P<block>[0-9]{6,})\.try-(?P<number>[0-9]+)\.jsonl", re.ASCII)
_BUFFERED_BYTES = 262_144


class Folder(Protocol):
    """Where parts are: Airflow's ``ObjectStoragePath``, or any other path of that kind."""

    @property
    def name(self) -> str:
        """The last part of the path."""

    def __truediv__(self, name: str) -> Folder:
        """Return a path in this folder."""

    def open(self, mode: str) -> BinaryIO:  # type: ignore[explicit-any,unused-ignore]
        """Open a file."""

    def iterdir(self) -> Iterable[Folder]:
        """List the folder."""

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Make the folder."""

    def unlink(self) -> None:
        """Remove a file."""


class RecordFolder:
    """The parts of one asking's records."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def make(self) -> None:
        """Make the folder, if it is not there."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def create(self, block: int, *, try_number: int) -> PartWriter:
        """Open the part of a block for writing."""
        return PartWriter((self._folder / f"part-{block:06d}.try-{try_number}.jsonl").open("wb"))

    def read_lines(self, block: int) -> dict[int, bytes]:
        """Return the complete lines that earlier tries wrote of a block, by the place of the event in its source."""
        lines: dict[int, bytes] = {}
        for _, part in self._list_parts(block, block):
            # Another try that slept may remove a part that it has copied; its copy is listed after it.
            with contextlib.suppress(FileNotFoundError), part.open("rb") as file:
                for line in file.read().split(b"\n")[:-1]:
                    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
                        lines[int(orjson.loads(line)["position"])] = line
        return lines

    def remove(self, *, first_block: int, try_number: int, keeps_own: bool = False) -> None:
        """
        Remove the parts from a block on that a try and earlier ones wrote; never those of a later try.

        A try that slept while another followed it would otherwise remove what that one wrote.

        :param keeps_own: whether the try's own part of the first block stays
        """
        for (block, number), part in list(self._list_parts(first_block, None)):
            if number <= try_number and not (keeps_own and (block, number) == (first_block, try_number)):
                with contextlib.suppress(FileNotFoundError):
                    part.unlink()

    def _list_parts(self, first: int, last: int | None) -> Iterator[tuple[tuple[int, int], Folder]]:
        """Give the block and the try of each part, and the part, in their order."""
        named = ((_PART.fullmatch(part.name), part) for part in self._folder.iterdir())
        parts = [((int(name["block"]), int(name["number"])), part) for name, part in named if name]
        for (block, number), part in sorted(parts, key=lambda one: one[0]):
            if first <= block and (last is None or block <= last):
                yield (block, number), part


class PartWriter:
    """Writes the lines of one part; what was flushed survives this process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._bytes = 0

    def write(self, line: bytes) -> None:
        """Write a line, without its end."""
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > _BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the file system."""
        if self._lines:
            self._file.write(b"\n".join(self._lines) + b"\n")
            self._lines.clear()
            self._bytes = 0
        self._file.flush()

    def close(self) -> None:
        """Make the part durable."""
        self.flush()
        with contextlib.suppress(OSError, AttributeError, io.UnsupportedOperation):
            os.fsync(self._file.fileno())
        self._file.close()


class RecordEncoder:
    """
    Makes the line of each event.

    :param constant: the fields that are the same in every record
    """

    def __init__(self, constant: Mapping[str, object]) -> None:
        self._constant = b"," + orjson.dumps(dict(constant))[1:]
        self._time = (0.0, "")

    def encode_success(self, result: RequestResult[EncodedRequest], milliseconds: float) -> bytes:
        """Return the line of an event that a plain 2xx response accepted."""
        event = result.request
        if self._time[0] != result.started_at:
            self._time = (result.started_at, format_time(result.started_at))
        return (
            orjson.dumps(
                {
                    "position": event.position,
                    "event_id": event.event_id,
                    "delivery_id": event.delivery_id,
                    "outcome": "delivered",
                    "status_code": result.status,
                    "requested_at": self._time[1],
                    "duration_ms": milliseconds,
                    "peer_address": result.peer,
                    "body_sha256": event.body_sha256,
                    "body_bytes": event.body_bytes,
                }
            )[:-1]
            + self._constant
        )

    def encode_result(self, result: RequestResult[EncodedRequest], *, sensitive: tuple[str, ...]) -> bytes:
        """Return the line of an event whose request finished in any other way."""
        status, error = result.status, result.error
        body = result.body.decode(errors="replace")
        # Masking costs more than all the rest, and is nearly never needed.
        texts = (body, error[1] if error else "", *result.headers.values())
        found = {value for text in texts for value in find_occurrences(text, sensitive)}
        line: dict[str, object] = {
            "status_code": status,
            "requested_at": format_time(result.started_at),
            "responded_at": format_time(result.responded_at) if result.responded_at else None,
            "duration_ms": round(result.seconds * 1000, 3),
            "peer_address": result.peer,
            "error_class": error[0].value if error else None,
            "message": redact_and_truncate(error[1], found) if error else None,
        }
        if status is not None:
            line["response_headers"] = {
                name: redact_and_truncate(value, found) for name, value in result.headers.items()
            }
            line["response_body"] = redact_and_truncate(body, found, limit=KEPT_BODY_BYTES)
        return self._write(_describe(result.request), result.outcome, line)

    def encode_unattempted(
        self, event: EncodedRequest, outcome: Outcome, error_class: ErrorClass, message: str
    ) -> bytes:
        """Make the line of an event of which no attempt of this try tells."""
        told = {"error_class": error_class.value, "message": message}
        return self._write(_describe(event), outcome, told)

    def encode_invalid(self, position: int, message: str) -> bytes:
        """Make the line of an event that cannot be delivered as it is."""
        told = {"error_class": ErrorClass.INVALID_EVENT.value, "message": message}
        return self._write({"position": position}, Outcome.NOT_SENT, told)

    def _write(self, event: dict[str, object], outcome: Outcome, told: Mapping[str, object]) -> bytes:
        return orjson.dumps({**event, "outcome": outcome.value, **told})[:-1] + self._constant


def _describe(event: EncodedRequest) -> dict[str, object]:
    return {
        "position": event.position,
        "event_id": event.event_id,
        "delivery_id": event.delivery_id,
        "body_sha256": event.body_sha256,
        "body_bytes": event.body_bytes,
    }
