# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Reads answers from a kept connection, bounded, without decompressing or draining them.

Most answers of a receiver of many events are the same few bytes without a body; those are told at a glance. All others
are parsed by ``httptools`` (llhttp).
"""

from __future__ import annotations

import re
import time

import httptools

from airflow_provider_hooks.delivery.answer import KEPT_HEADERS, READ_BODY_BYTES, READ_HEADER_BYTES
from airflow_provider_hooks.delivery.record import ErrorClass

_READ_BYTES = READ_HEADER_BYTES + READ_BODY_BYTES
"""How much of an answer is read at most in all: the frames of its chunks and its trailers have no bound else."""
_FIRST_STATUS, _FIRST_FINAL_STATUS = 100, 200
_OTHER_LINES = (
    rb"(?:(?!content-length|transfer-encoding|connection|proxy-connection|upgrade)[a-z0-9_-]+:[ -~]*\r\n"
    rb"|connection: ?keep-alive\r\n)*"
)
_PLAIN = re.compile(
    rb"HTTP/1\.1 (2[0-9]{2}) [ -~]*\r\n(?i:%b(?:(content-length: ?0\r\n)%b)?)\r\n" % (_OTHER_LINES, _OTHER_LINES)
)
"""Nothing that two readers could read in two ways: that is left to the parser."""


def read_plain_success(data: bytes) -> int | None:
    """Return the status of one whole 2xx answer without a body that keeps the connection; else ``None``."""
    plain = _PLAIN.fullmatch(data)
    if plain is None or not (plain[2] or plain[1] == b"204"):
        return None
    return int(plain[1])


class AnswerParser:
    """One answer that arrives in parts; ``is_ended`` tells that there is nothing more to wait for."""

    def __init__(self) -> None:
        self.status: int | None = None
        """Of the final answer, once its headers are complete."""
        self.ended_at: float | None = None
        """When they were, in unix seconds."""
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_ended = False
        self.keeps_connection = False
        self.problem: tuple[ErrorClass, str] | None = None
        self._read = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError) as error:
            if self.problem is None and not self.is_ended:
                self.problem = (ErrorClass.INVALID_RESPONSE, _describe(error))
            self._stop()
        if not self.is_ended and self._read > (READ_HEADER_BYTES if self.status is None else _READ_BYTES):
            self.problem = (ErrorClass.RESPONSE_TOO_LARGE, "reading stopped at the bound")
            self._stop()

    def end(self) -> None:
        """Take note that the connection was closed."""
        if not self.is_ended and self.status is not None and not self._has_length:
            self.is_ended = True  # the end of the connection is the end of such a body (RFC 9112, section 6.3)
        elif not self.is_ended and self.problem is None:
            self.problem = (ErrorClass.CONNECTION_RESET, "the connection was closed before the answer's end")
        self._stop()

    # What httptools calls

    def on_message_begin(self) -> None:
        """Begin an answer, of which interim ones are forgotten; a second one was not asked for."""
        if self.is_ended:
            self.keeps_connection = False
            return
        self.headers.clear()
        self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header that records show."""
        lower = name.decode("latin-1").strip().lower()
        self._has_length = self._has_length or lower in {"content-length", "transfer-encoding"}
        if lower in KEPT_HEADERS and self.status is None:
            self.headers.setdefault(lower, value.decode("latin-1").strip())

    def on_headers_complete(self) -> None:
        """Take the status, if it is a final one (RFC 9110, section 15)."""
        status = self._parser.get_status_code()
        if self.is_ended:
            return
        if status < _FIRST_STATUS:
            self.problem = (ErrorClass.INVALID_RESPONSE, f"{status} is no status")
            self._stop()
        elif status >= _FIRST_FINAL_STATUS:
            self.status, self.ended_at = status, time.time()

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body, up to the bound."""
        if self.is_ended:
            return
        self.body += part[: READ_BODY_BYTES - len(self.body)]
        if len(self.body) >= READ_BODY_BYTES:
            self.problem = (ErrorClass.RESPONSE_TOO_LARGE, "reading stopped at the bound")
            self._stop()

    def on_message_complete(self) -> None:
        """End the answer, if it was a final one."""
        if self.status is not None and not self.is_ended:
            self.is_ended = True
            self.keeps_connection = bool(self._parser.should_keep_alive())

    def _stop(self) -> None:
        self.is_ended, self.keeps_connection = True, False

    _has_length = False


def _describe(error: Exception) -> str:
    if isinstance(error, httptools.HttpParserUpgrade):
        return "the answer asks for another protocol"
    return str(error) or "the answer is not HTTP/1.1"
