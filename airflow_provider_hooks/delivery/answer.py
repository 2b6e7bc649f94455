# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads an answer as it comes in, bounded, without ever decompressing or draining it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pendulum

KEPT_BODY_BYTES = 20_000
"""How much of an answer's body the record keeps, in UTF-8."""
READ_BODY_BYTES = KEPT_BODY_BYTES + 65_536
"""How much of it is read at most."""
READ_HEADER_BYTES = 65_536
"""How much of the headers is read at most, interim answers included."""

_KEPT_HEADERS = frozenset(
    {"content-type", "content-length", "date", "location", "retry-after", "server", "x-request-id"}
)
_STATUS_LINE = re.compile(rb"http/[0-9]+(?:\.[0-9]+)?[ \t]+([0-9]{3})(?![0-9])", re.IGNORECASE)
_FIRST_FINAL_STATUS = 200


@dataclass(kw_only=True)
class AnswerReader:
    """What has arrived of an answer so far."""

    status_code: int | None = None
    """Set only once the headers of a final answer are complete."""
    responded_at: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    too_large: bool = False
    _status_seen: int | None = None
    """The status of the block of headers being read; ``None`` between blocks, where only a status line counts."""
    _header_bytes: int = 0

    def take_header_line(self, line: bytes) -> int:
        """Take one header line; fewer than its bytes tells libcurl to stop."""
        self._header_bytes += len(line)
        if self._header_bytes > READ_HEADER_BYTES:
            self.too_large = True
            return 0
        if self.status_code is not None:
            return len(line)  # a trailer
        if self._status_seen is None:
            status_line = _STATUS_LINE.match(line)
            self._status_seen = int(status_line[1]) if status_line else None
            self.headers.clear()
        elif line in {b"\r\n", b"\n"}:
            self._end_block(self._status_seen)
        else:
            self._keep_header(line)
        return len(line)

    def take_body(self, part: bytes) -> int:
        """Take a part of the body; fewer than its bytes tells libcurl to stop."""
        self.body += part[: READ_BODY_BYTES - len(self.body)]
        if len(self.body) < READ_BODY_BYTES:
            return len(part)
        self.too_large = True
        return 0

    def _end_block(self, status: int) -> None:
        self._status_seen = None
        if status >= _FIRST_FINAL_STATUS:
            self.status_code = status
            self.responded_at = pendulum.now("UTC").isoformat()

    def _keep_header(self, line: bytes) -> None:
        name, _, value = line.decode("latin-1").partition(":")
        if name.strip().lower() in _KEPT_HEADERS:
            self.headers.setdefault(name.strip().lower(), value.strip())
