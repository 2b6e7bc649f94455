# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Reads one HTTP/1.1 response as it arrives: bounded, without decompressing it, the same however it is split.

Two readers share the work. ``_Head`` reads the status line and the headers leniently, as common clients do, and
decides about the outcome. ``httptools`` (llhttp, strict) reads the body, and is the only one that allows the connection
to be reused: where it refuses a head, it gets a normalized head in its place and the connection is closed afterwards.

Sources: RFC 9112, sections 2.2, 4, 5.2, 6.3; ``docs/reference/responses.md`` lists the unusual responses.
"""

from __future__ import annotations

import re
import time

import httptools
import msgspec

from airflow_provider_hooks.outcomes import ErrorClass

RECEIVE_BYTES = 4_096
"""How much is read at once: most responses are short."""
STORED_BODY_BYTES = 20_000
"""How much of a response body a record holds, in UTF-8."""
READ_BODY_BYTES = STORED_BODY_BYTES + 65_536
"""How much of it is read at most."""
READ_HEADER_BYTES = 65_536
"""How much of the headers is read at most, interim responses included."""
KEPT_HEADERS = frozenset(
    {"content-type", "content-length", "date", "location", "retry-after", "server", "x-request-id"}
)
"""The response headers that a record holds."""
_READ_BYTES = READ_HEADER_BYTES + READ_BODY_BYTES
"""How many bytes of a response are read at most: chunk frames and trailers are bounded only by this."""
_PROTOCOL = b"HTTP/"
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/(?:0\.9|1\.[01]|2\.0)[ \t]+([1-9][0-9]{2})(?:[ \t].*)?", re.DOTALL)
"""The versions that llhttp knows. Blanks and tabs separate (RFC 9112, section 4); a NUL in the reason is harmless."""
_FORBIDDEN = re.compile(rb"\0|\r(?!\n)")
"""What most clients refuse in header lines; other control characters do not matter."""
_FOLD = re.compile(r"\n[ \t]+")
"""Where a header line goes on (RFC 9112, section 5.2)."""
_READ_HEADERS = KEPT_HEADERS | {"content-length", "transfer-encoding"}
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""What llhttp lets pass in a reason phrase; the connection is closed then."""
_LENGTH = re.compile(r"0{0,99}[0-9]{1,18}")
_FIRST_FINAL_STATUS, _SWITCHING_PROTOCOLS = 200, 101
_WITHOUT_BODY = frozenset({204, 304})
_OPTIONAL_WHITESPACE = " \t"


_OTHER_LINES = (
    rb"(?:(?!content-length|transfer-encoding|connection|proxy-connection|upgrade)[a-z0-9_-]+:[ -~]*\r\n"
    rb"|connection: ?keep-alive\r\n)*"
)
_PLAIN_SUCCESS = re.compile(
    rb"HTTP/1\.1 (2[0-9]{2}) [ -~]*\r\n(?i:%b(?:(content-length: ?0\r\n)%b)?)\r\n" % (_OTHER_LINES, _OTHER_LINES)
)
"""Only what can be read in one way; everything else is left to ``ResponseReader``."""


def read_plain_success(data: bytes) -> int | None:
    """Return the status of one whole 2xx response without a body on a connection that stays open; else ``None``."""
    plain = _PLAIN_SUCCESS.fullmatch(data)
    if plain is None or not (plain[2] or plain[1] == b"204"):
        return None
    return int(plain[1])


class _InvalidHeadError(ValueError):
    """A head that most clients refuse."""


class _Head(msgspec.Struct):
    """
    A status line and headers, read leniently.

    :param status: 100 to 999
    :param headers: those of ``KEPT_HEADERS``; the first of repeated ones
    :param length: what ``Content-Length`` says; several must be equal
    :param codings: of ``Transfer-Encoding``, without ``identity``
    """

    status: int
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    length: int | None = None
    codings: list[str] = msgspec.field(default_factory=list)

    @property
    def is_chunked(self) -> bool:
        """Whether the body is framed by chunks."""
        return self.codings[-1:] == ["chunked"]

    @property
    def body_bytes(self) -> int | None:
        """How long the body is; ``None`` if its chunks or the end of the connection end it."""
        if self.status in _WITHOUT_BODY:
            return 0
        return None if self.codings else self.length

    def normalize(self) -> bytes:
        """Return a head that says the same about the body and that llhttp accepts."""
        framing = b""
        if self.is_chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif self.body_bytes is not None:
            framing = b"Content-Length: %d\r\n" % self.body_bytes
        return b"HTTP/1.1 %d X\r\nConnection: close\r\n%b\r\n" % (self.status, framing)


def _read_head(block: bytes) -> _Head:
    """
    Read a head.

    :param block: from the status line to the blank line
    :raises _InvalidHeadError: if most clients refuse it
    """
    first, _, rest = block.partition(b"\n")
    status_line = _STATUS_LINE.fullmatch(first.removesuffix(b"\r"))
    if status_line is None:
        raise _InvalidHeadError("the response does not begin with a status line")
    if _FORBIDDEN.search(rest):
        raise _InvalidHeadError("a NUL or a bare CR in the headers")
    text = rest.decode("latin-1").replace("\r\n", "\n")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    head = _Head(int(status_line[1]))
    for line in text.rstrip("\n").split("\n"):
        name, colon, value = line.partition(":")
        if line and not colon:
            raise _InvalidHeadError("a header line without a colon")
        name = name.strip(_OPTIONAL_WHITESPACE).lower()
        if name in _READ_HEADERS:
            _add_header(head, name, value.strip(_OPTIONAL_WHITESPACE))
    return head


def _add_header(head: _Head, name: str, value: str) -> None:
    if name in KEPT_HEADERS:
        head.headers.setdefault(name, value)
    if name == "content-length":
        for one in value.split(","):
            number = one.strip(_OPTIONAL_WHITESPACE)
            if not _LENGTH.fullmatch(number) or head.length not in {None, int(number)}:
                raise _InvalidHeadError("Content-Length is not one number")
            head.length = int(number)
    elif name == "transfer-encoding":
        codings = (one.strip(_OPTIONAL_WHITESPACE).lower() for one in value.split(","))
        head.codings += [one for one in codings if one not in {"", "identity"}]


class ResponseReader:
    """
    One response that arrives in parts. ``reset`` makes it ready for the next one of the same connection.

    The result does not depend on how the bytes are split, but for bytes after the end: they forbid the reuse of the
    connection when they are fed.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the response."""
        self.status: int | None = None
        """Of the final response, once its headers are complete: 200 to 999."""
        self.headers: dict[str, str] = {}
        """Its headers of ``KEPT_HEADERS``, with names in lower case."""
        self.head_at: float | None = None
        """When its headers were complete, in Unix seconds."""
        self.body = bytearray()
        """Its body without chunk frames, at most ``READ_BODY_BYTES``."""
        self.is_complete = False
        """Whether there is nothing more to wait for: it ended, or it has an error."""
        self.may_reuse = False
        """Whether the connection may carry another request."""
        self.error: tuple[ErrorClass, str] | None = None
        """Why the response, or only its body, is not complete."""
        self._head: _Head | None = None
        self._heads = bytearray()
        """The head that is being read, and the interim ones before it."""
        self._start = 0
        """Where in these the current head begins."""
        self._read_body_bytes = 0
        """How many bytes after the head were read, frames included."""
        self._tail = b""
        """The last of them: an empty line after a chunked body is not reported by llhttp."""
        self._is_strict = True
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Read bytes that arrived."""
        if self._head is None and not self.is_complete:
            data = self._feed_head(data)
        if not data:
            return
        if self.is_complete:
            self.may_reuse = False  # these bytes belong to no request
        else:
            self._feed_body(data)

    def feed_eof(self, *, is_reset: bool = False) -> None:
        """Note that the connection was closed, or reset: a body that only the close ends is then complete, or not."""
        self.may_reuse = False
        if self.is_complete:
            return
        head = self._head
        if head is not None and not is_reset and head.body_bytes is None and not head.is_chunked:
            self.is_complete = True  # RFC 9112, section 6.3
        else:
            how = "reset" if is_reset else "closed"
            self._fail(ErrorClass.CONNECTION_RESET, f"the connection was {how} before the end of the response")

    def _feed_head(self, data: bytes) -> bytes:
        """Read heads up to the final one, and return what follows it."""
        searched, taken = len(self._heads), READ_HEADER_BYTES - len(self._heads)
        self._heads += data[:taken]
        while True:
            # The end may begin up to two bytes before what is new.
            end = _END_OF_HEAD.search(self._heads, max(self._start, searched - 2))
            begin = self._heads[self._start : self._start + len(_PROTOCOL)]
            if not _PROTOCOL.startswith(begin):
                return self._fail(ErrorClass.INVALID_RESPONSE, "the response does not begin with a status line")
            if end is None:
                if len(self._heads) >= READ_HEADER_BYTES:
                    self._fail(ErrorClass.RESPONSE_TOO_LARGE, f"no complete headers within {READ_HEADER_BYTES} bytes")
                return b""
            try:
                head = _read_head(bytes(self._heads[self._start : end.end()]))
            except _InvalidHeadError as error:
                return self._fail(ErrorClass.INVALID_RESPONSE, str(error))
            if head.status == _SWITCHING_PROTOCOLS:
                return self._fail(ErrorClass.INVALID_RESPONSE, "the receiver switched to another protocol")
            self._start = end.end()
            if head.status >= _FIRST_FINAL_STATUS:
                break
        rest = bytes(self._heads[self._start :]) + data[taken:]
        del self._heads[self._start :]
        self._begin_body(head)
        return rest

    def _begin_body(self, head: _Head) -> None:
        self._head, self.status, self.headers, self.head_at = head, head.status, head.headers, time.time()
        try:
            self._parser.feed_data(bytes(self._heads))
            self._is_strict = (
                self._parser.get_status_code() == head.status
                and head.codings in ([], ["chunked"])
                and not _CONTROL.search(self._heads)
            )
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._is_strict = False
        if not self._is_strict:
            self.is_complete = self.may_reuse = False
            self._parser = httptools.HttpResponseParser(self)
            self._parser.feed_data(head.normalize())

    def _feed_body(self, data: bytes) -> None:
        data, left = data[: _READ_BYTES - self._read_body_bytes], len(data)
        self._read_body_bytes += len(data)
        self._tail = (self._tail + data[-5:])[-5:]
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.may_reuse = False
            if not self.is_complete:
                self._fail(ErrorClass.INVALID_RESPONSE, str(error) or "the body is not framed as HTTP/1.1")
        if not self.is_complete and (len(data) < left or self._read_body_bytes >= _READ_BYTES):
            self._fail(ErrorClass.RESPONSE_TOO_LARGE, "reading stopped at the bound")
        self.may_reuse = self.may_reuse and self._ends_exactly()

    def _ends_exactly(self) -> bool:
        """Return whether no byte followed the body; llhttp passes over empty lines between responses."""
        head = self._head
        if head is not None and head.body_bytes is not None:
            return self._read_body_bytes == head.body_bytes
        return self._tail.endswith(b"\r\n\r\n") and not self._tail.endswith(b"\n\r\n\r\n")

    def _fail(self, error_class: ErrorClass, message: str) -> bytes:
        """End the response with an error, and return that nothing is left to read."""
        self.error, self.is_complete, self.may_reuse = (error_class, message), True, False
        return b""

    # Called by httptools

    def on_body(self, part: bytes) -> None:
        """Store a part of the body, up to the bound."""
        if self.is_complete:
            return
        self.body += part[: READ_BODY_BYTES - len(self.body)]
        if len(self.body) >= READ_BODY_BYTES:
            self._fail(ErrorClass.RESPONSE_TOO_LARGE, "reading stopped at the bound")

    def on_message_begin(self) -> None:
        """Close the connection afterwards if another response follows the final one."""
        if self.is_complete:
            self.may_reuse = False

    def on_message_complete(self) -> None:
        """End the response, if it is the final one."""
        if self._parser.get_status_code() >= _FIRST_FINAL_STATUS and not self.is_complete:
            self.is_complete = True
            self.may_reuse = self._is_strict and bool(self._parser.should_keep_alive())
