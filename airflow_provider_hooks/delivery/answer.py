# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Reads an answer as it comes in, bounded, without ever decompressing or draining it.

Its headers are taken as they are, and read only when somebody asks: of most answers only the status is wanted.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_provider_hooks.http.redact import redact
from airflow_provider_hooks.sanitize import SHOWN_CHARACTERS, escape

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_BODY_BYTES = 20_000
"""How much of an answer's body the record keeps, in UTF-8."""
READ_BODY_BYTES = KEPT_BODY_BYTES + 65_536
"""How much of it is read at most."""
READ_HEADER_BYTES = 65_536
"""How much of the headers is read at most, interim answers included."""

KEPT_HEADERS = frozenset(
    {"content-type", "content-length", "date", "location", "retry-after", "server", "x-request-id"}
)
"""The headers that a record keeps."""
_STATUS_LINE = re.compile(rb"http/[0-9]+(?:\.[0-9]+)?[ \t]+([0-9]{3})(?![0-9])", re.IGNORECASE)
_END_OF_BLOCK = frozenset({b"\r\n", b"\n"})
_FIRST_FINAL_STATUS = 200


@dataclass(frozen=True, kw_only=True)
class Head:
    """The status and the headers of a final answer, of which only some are kept."""

    status_code: int
    headers: dict[str, str]
    ended_at: float
    """Unix seconds."""


class AnswerReader:
    """What has arrived of an answer so far."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.too_large = False
        self._lines: list[bytes] = []
        self._ends: list[float] = []
        """When each block of headers ended."""
        self._header_bytes = 0

    def take_header_line(self, line: bytes) -> int:
        """Take one header line; fewer than its bytes tells libcurl to stop."""
        self._header_bytes += len(line)
        if self._header_bytes > READ_HEADER_BYTES:
            self.too_large = True
            return 0
        self._lines.append(line)
        if line in _END_OF_BLOCK:
            self._ends.append(time.time())
        return len(line)

    def take_body(self, part: bytes) -> int:
        """Take a part of the body; fewer than its bytes tells libcurl to stop."""
        self.body += part[: READ_BODY_BYTES - len(self.body)]
        if len(self.body) < READ_BODY_BYTES:
            return len(part)
        self.too_large = True
        return 0

    def read_head(self) -> Head | None:
        """
        Return the head of the final answer, or ``None`` as long as it is not complete.

        Interim answers are passed over; of what is no status line nothing is believed, and after a final answer only
        trailers come.
        """
        ends = iter(self._ends)
        block = _Block()
        for line in self._lines:
            ended_at = next(ends) if line in _END_OF_BLOCK else None
            if block.status is None:
                block = _begin_block(line)
            elif ended_at is None:
                _keep_header(block.headers, line)
            elif block.status >= _FIRST_FINAL_STATUS:
                return Head(status_code=block.status, headers=block.headers, ended_at=ended_at)
            else:
                block = _Block()
        return None


@dataclass
class _Block:
    """A block of headers that is being read; without a status only a status line counts."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


def _begin_block(line: bytes) -> _Block:
    status_line = _STATUS_LINE.match(line)
    return _Block(status=int(status_line[1]) if status_line else None)


def _keep_header(headers: dict[str, str], line: bytes) -> None:
    name, _, value = line.decode("latin-1").partition(":")
    if name.strip().lower() in KEPT_HEADERS:
        headers.setdefault(name.strip().lower(), value.strip())


def redact_and_truncate(text: str, private: Iterable[str], *, limit: int = SHOWN_CHARACTERS) -> str:
    """Mask what is private before anything is cut, and bound what escaping made of it, in bytes."""
    if not private and len(text) <= limit and text.isascii() and text.isprintable():
        return text
    return escape(redact(text, private), limit=limit).encode()[:limit].decode(errors="ignore")


def write_time(unix_seconds: float) -> str:
    """Return a time as records hold it: ISO 8601, UTC."""
    second, microsecond = divmod(round(unix_seconds * 1_000_000), 1_000_000)
    return f"{_write_second(second)}.{microsecond:06d}+00:00"


@lru_cache(maxsize=64)
def _write_second(unix_second: int) -> str:
    return datetime.fromtimestamp(unix_second, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def to_milliseconds(seconds: float) -> float:
    """Return seconds in milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
