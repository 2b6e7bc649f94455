# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
One table of unusual HTTP/1.1 responses, and how a delivery must read each.

A response counts if its status line can be read and its headers are complete: the status then decides the outcome,
whatever the body does. A status counts if at least three of five common clients (curl, requests, aiohttp, Node's fetch,
Go's net/http) take it; a row says in its note where that is not the reason. ``docs/reference/responses.md`` shows the
same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

End = Literal["open", "close", "reset"]
"""What the receiver does after its last byte: wait for another request, close in order, or send an RST."""


@dataclass(frozen=True, kw_only=True)
class UnusualResponse:
    """
    What a receiver sends, and what a delivery must report.

    :param name: what is unusual, in words for users
    :param sends: the bytes; each part is sent on its own
    :param status: the status code that is recorded, or ``None`` if none is valid
    :param outcome: ``delivered``, ``rejected`` or ``unknown``
    :param error_class: why the response is not complete, or ``None``
    :param may_reuse: whether the connection may carry another request
    :param end: what the receiver does after its last byte
    :param reads_request: ``False`` if the receiver responds after the first byte of the request
    :param note: the reason for the row, where the rule alone does not give it
    """

    name: str
    sends: tuple[bytes, ...]
    status: int | None
    outcome: str
    error_class: str | None = None
    may_reuse: bool = False
    end: End = "open"
    reads_request: bool = True
    note: str = ""

    @property
    def raw(self) -> bytes:
        """All the bytes that the receiver sends."""
        return b"".join(self.sends)


OK = b"HTTP/1.1 200 OK"
LENGTH = b"Content-Length: 2"
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKED_OK = b"2\r\nok\r\n0\r\n\r\n"
RESET, INVALID, TOO_LARGE, TIMEOUT = "connection_reset", "invalid_response", "response_too_large", "timeout"


def head(*lines: bytes) -> bytes:
    """Return a head: the lines with CRLF, and the blank line."""
    return b"".join(line + b"\r\n" for line in (*lines, b""))


def delivered(
    name: str,
    *sends: bytes,
    status: int = 200,
    error_class: str | None = None,
    may_reuse: bool = False,
    end: End = "open",
    reads_request: bool = True,
    note: str = "",
) -> UnusualResponse:
    """Return a row of a response whose status is 2xx."""
    return UnusualResponse(
        name=name,
        sends=sends,
        status=status,
        outcome="delivered",
        error_class=error_class,
        may_reuse=may_reuse,
        end=end,
        reads_request=reads_request,
        note=note,
    )


def rejected(
    name: str,
    *sends: bytes,
    status: int,
    error_class: str | None = None,
    may_reuse: bool = False,
    end: End = "open",
    note: str = "",
) -> UnusualResponse:
    """Return a row of a response whose status is not 2xx."""
    return UnusualResponse(
        name=name,
        sends=sends,
        status=status,
        outcome="rejected",
        error_class=error_class,
        may_reuse=may_reuse,
        end=end,
        note=note,
    )


def unknown(
    name: str, *sends: bytes, error_class: str = INVALID, end: End = "close", note: str = ""
) -> UnusualResponse:
    """Return a row of a response without a valid status."""
    return UnusualResponse(
        name=name, sends=sends, status=None, outcome="unknown", error_class=error_class, end=end, note=note
    )


LINE_ENDS = (
    delivered("every line ends in LF alone", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    delivered("line ends are mixed: CRLF, then LF", b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok"),
    delivered("line ends are mixed: LF, then CRLF", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\nok"),
    delivered("the blank line is LF alone", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok"),
    unknown("a header line ends in CR CR LF", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\r\n\r\nok"),
    unknown("every line ends in CR alone", b"HTTP/1.1 200 OK\rContent-Length: 2\r\rok", error_class=RESET),
    unknown("a bare CR inside a header value", head(OK, b"X-Note: a\rb", LENGTH) + b"ok"),
    unknown("closed after the headers, before the blank line", OK + b"\r\nContent-Length: 0\r\n", error_class=RESET),
    unknown("closed inside a header line", OK + b"\r\nContent-Le", error_class=RESET),
    unknown("closed after the status line", OK + b"\r\n", error_class=RESET),
    unknown("closed inside the status line", b"HTTP/1.1 20", error_class=RESET),
    unknown("closed without a byte", b"", error_class=RESET),
    unknown("reset without a byte", b"", error_class=RESET, end="reset"),
    unknown("reset inside the headers", OK + b"\r\nContent-Le", error_class=RESET, end="reset"),
    unknown("silent after half of the headers", OK + b"\r\nContent-Le", error_class=TIMEOUT, end="open"),
)

STATUS_LINES = (
    delivered("HTTP/1.0", head(b"HTTP/1.0 200 OK", LENGTH) + b"ok"),
    delivered(
        "HTTP/1.0 with keep-alive", head(b"HTTP/1.0 200 OK", b"Connection: keep-alive", LENGTH) + b"ok", may_reuse=True
    ),
    delivered("HTTP/0.9 in a status line", head(b"HTTP/0.9 200 OK", LENGTH) + b"ok"),
    unknown("HTTP/1.2", head(b"HTTP/1.2 200 OK", LENGTH) + b"ok"),
    delivered("HTTP/2.0 as the version", head(b"HTTP/2.0 200 OK", LENGTH) + b"ok"),
    unknown("HTTP/2 as the version", head(b"HTTP/2 200 OK", LENGTH) + b"ok"),
    unknown("HTTP/3 as the version", head(b"HTTP/3 200 OK", LENGTH) + b"ok"),
    unknown("HTTP/9.9 as the version", head(b"HTTP/9.9 200 OK", LENGTH) + b"ok"),
    unknown("HTTP/11.1 as the version", head(b"HTTP/11.1 200 OK", LENGTH) + b"ok"),
    unknown("HTTP without a version", head(b"HTTP 200 OK", LENGTH) + b"ok"),
    unknown("HTTP/ with an empty version", head(b"HTTP/ 200 OK", LENGTH) + b"ok"),
    unknown("http/1.1 in lower case", head(b"http/1.1 200 OK", LENGTH) + b"ok"),
    unknown("a body without a status line (HTTP/0.9)", b"<html>hello</html>"),
    unknown("another protocol's greeting", b"SSH-2.0-OpenSSH_9.6\r\n"),
    unknown("ICY in place of HTTP/1.1", head(b"ICY 200 OK", LENGTH) + b"ok"),
    unknown("an HTTP/2 frame", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18),
    unknown("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46"),
    delivered("no reason phrase", head(b"HTTP/1.1 200", LENGTH) + b"ok", may_reuse=True),
    delivered("a blank in place of the reason phrase", head(b"HTTP/1.1 200 ", LENGTH) + b"ok", may_reuse=True),
    delivered(
        "a tab before the reason phrase",
        head(b"HTTP/1.1 200\tOK", LENGTH) + b"ok",
        note="Two of five clients. RFC 9112, section 4 allows any blanks and tabs between the parts.",
    ),
    delivered(
        "a tab before the status",
        head(b"HTTP/1.1\t200 OK", LENGTH) + b"ok",
        note="Two of five clients. RFC 9112, section 4 allows any blanks and tabs between the parts.",
    ),
    delivered(
        "two blanks before the status",
        head(b"HTTP/1.1  200 OK", LENGTH) + b"ok",
        note="Two of five clients. RFC 9112, section 4 allows any blanks and tabs between the parts.",
    ),
    delivered("two blanks before the reason phrase", head(b"HTTP/1.1 200  OK", LENGTH) + b"ok", may_reuse=True),
    delivered(
        "non-ASCII text in the reason phrase", head("HTTP/1.1 200 Größe".encode(), LENGTH) + b"ok", may_reuse=True
    ),
    delivered("a control character in the reason phrase", head(b"HTTP/1.1 200 O\x01K", LENGTH) + b"ok"),
    delivered("a NUL in the reason phrase", head(b"HTTP/1.1 200 O\x00K", LENGTH) + b"ok"),
    delivered(
        "a reason phrase of 10,000 characters", head(b"HTTP/1.1 200 " + b"x" * 10_000, LENGTH) + b"ok", may_reuse=True
    ),
    unknown("no blank between status and reason phrase", head(b"HTTP/1.1 200OK", LENGTH) + b"ok"),
    unknown("a status with a decimal point", head(b"HTTP/1.1 200.1 OK", LENGTH) + b"ok"),
    unknown("a status of 2 digits", head(b"HTTP/1.1 20 OK", LENGTH) + b"ok"),
    unknown("a status of 4 digits", head(b"HTTP/1.1 2000 OK", LENGTH) + b"ok"),
    unknown("a status with letters", head(b"HTTP/1.1 2xx OK", LENGTH) + b"ok"),
    unknown("a negative status", head(b"HTTP/1.1 -200 OK", LENGTH) + b"ok"),
    unknown("a status with a plus sign", head(b"HTTP/1.1 +200 OK", LENGTH) + b"ok"),
    unknown("no status", head(b"HTTP/1.1", LENGTH) + b"ok"),
    unknown("status 000", head(b"HTTP/1.1 000 X", LENGTH) + b"ok"),
    unknown(
        "status 099",
        head(b"HTTP/1.1 099 X", LENGTH) + b"ok",
        note="Two clients report 99; curl waits for more. No status below 100 exists, so nothing is known.",
    ),
    rejected("status 600", head(b"HTTP/1.1 600 X", LENGTH) + b"ok", status=600, may_reuse=True),
    rejected("status 999", head(b"HTTP/1.1 999 X", LENGTH) + b"ok", status=999, may_reuse=True),
    delivered("status 299", head(b"HTTP/1.1 299 X", LENGTH) + b"ok", status=299, may_reuse=True),
    unknown("an empty line before the status line", b"\r\n" + head(OK, LENGTH) + b"ok"),
    unknown("an empty line that is LF alone before the status line", b"\n" + head(OK, LENGTH) + b"ok"),
    unknown("a blank before the status line", b" " + head(OK, LENGTH) + b"ok"),
    unknown("a byte order mark before the status line", b"\xef\xbb\xbf" + head(OK, LENGTH) + b"ok"),
    unknown("a line of text before the status line", b"Warning: x in y.php\r\n" + head(OK, LENGTH) + b"ok"),
    unknown("a second status line among the headers", head(OK, b"HTTP/1.1 500 Error", LENGTH) + b"ok"),
    delivered(
        "a second status line with a colon among the headers", head(OK, b"HTTP/1.1 500 Error: x", LENGTH) + b"ok"
    ),
    unknown("a second status line after an error", head(b"HTTP/1.1 500 Error", OK, LENGTH) + b"ok"),
)

HEADERS = (
    delivered("a folded header", head(OK, b"X-Note: a", b" b", LENGTH) + b"ok"),
    delivered("a folded Content-Length", head(OK, b"Content-Length:", b" 2") + b"ok"),
    delivered("the first header begins with a blank", head(OK, b" X-Note: a", LENGTH) + b"ok"),
    delivered("a blank before the colon", head(OK, b"X-Note : a", LENGTH) + b"ok"),
    delivered("a blank before the colon of Content-Length", head(OK, b"Content-Length : 2") + b"ok"),
    delivered("a blank inside a header name", head(OK, b"X Note: a", LENGTH) + b"ok"),
    unknown("a header line without a colon", head(OK, b"X-Note", LENGTH) + b"ok"),
    delivered("an empty header name", head(OK, b": a", LENGTH) + b"ok"),
    delivered("an empty header value", head(OK, b"X-Note:", LENGTH) + b"ok", may_reuse=True),
    delivered("no blank after the colon", head(OK, b"X-Note:a", b"Content-Length:2") + b"ok", may_reuse=True),
    delivered("tabs around a value", head(OK, b"X-Note:\ta\t", b"Content-Length:\t2\t") + b"ok", may_reuse=True),
    unknown("a NUL in a header value", head(OK, b"X-Note: a\x00b", LENGTH) + b"ok"),
    unknown("a NUL in a header name", head(OK, b"X-\x00Note: a", LENGTH) + b"ok"),
    delivered("a control character in a header value", head(OK, b"X-Note: a\x01b", LENGTH) + b"ok"),
    delivered("a DEL in a header value", head(OK, b"X-Note: a\x7fb", LENGTH) + b"ok"),
    delivered("a control character in a header name", head(OK, b"X-\x01Note: a", LENGTH) + b"ok"),
    delivered("UTF-8 in a header value", head(OK, "X-Note: größe".encode(), LENGTH) + b"ok", may_reuse=True),
    delivered("Latin-1 in a header value", head(OK, b"X-Note: gr\xf6\xdfe", LENGTH) + b"ok", may_reuse=True),
    delivered("UTF-8 in a header name", head(OK, "X-Größe: a".encode(), LENGTH) + b"ok"),
    delivered("quotes and brackets in a header name", head(OK, b'X-"(Note)": a', LENGTH) + b"ok"),
    delivered("a header line of 30,000 bytes", head(OK, b"X-Note: " + b"x" * 30_000, LENGTH) + b"ok", may_reuse=True),
    unknown("a header line over 64 KB", head(OK, b"X-Note: " + b"x" * 70_000, LENGTH) + b"ok", error_class=TOO_LARGE),
    delivered("150 headers", head(OK, *(b"X-%d: y" % number for number in range(150)), LENGTH) + b"ok", may_reuse=True),
    unknown(
        "headers over 64 KB", head(OK, *(b"X-%d: y" % n for n in range(8_000)), LENGTH) + b"ok", error_class=TOO_LARGE
    ),
    delivered("a repeated header", head(OK, b"Server: a", b"Server: b", LENGTH) + b"ok", may_reuse=True),
    delivered("Connection: close", head(OK, b"Connection: close", LENGTH) + b"ok"),
    delivered("Connection: Keep-Alive and close", head(OK, b"Connection: Keep-Alive, close", LENGTH) + b"ok"),
    delivered(
        "Upgrade without status 101", head(OK, b"Connection: upgrade", b"Upgrade: h2c", LENGTH) + b"ok", may_reuse=True
    ),
)

LENGTHS = (
    delivered("Content-Length twice, equal", head(OK, LENGTH, LENGTH) + b"ok"),
    unknown("Content-Length twice, different", head(OK, LENGTH, b"Content-Length: 3") + b"okk"),
    delivered(
        "Content-Length as a list of equal numbers",
        head(OK, b"Content-Length: 2, 2") + b"ok",
        note="Two of five clients. RFC 9110, section 8.6 makes it equal to repeated lines, which most accept.",
    ),
    unknown("Content-Length as a list of different numbers", head(OK, b"Content-Length: 2, 3") + b"okk"),
    unknown("Content-Length with a plus sign", head(OK, b"Content-Length: +2") + b"ok"),
    unknown("a negative Content-Length", head(OK, b"Content-Length: -2") + b"ok"),
    unknown("an empty Content-Length", head(OK, b"Content-Length:") + b"ok"),
    delivered("Content-Length with leading zeros", head(OK, b"Content-Length: 002") + b"ok", may_reuse=True),
    unknown("Content-Length in hexadecimal", head(OK, b"Content-Length: 0x2") + b"ok"),
    unknown("Content-Length with a decimal point", head(OK, b"Content-Length: 2.0") + b"ok"),
    unknown("Content-Length with text behind it", head(OK, b"Content-Length: 2 bytes") + b"ok"),
    unknown("Content-Length that is text", head(OK, b"Content-Length: two") + b"ok"),
    unknown("Content-Length beyond 64 bits", head(OK, b"Content-Length: 18446744073709551616") + b"ok"),
    delivered(
        "Content-Length of 10 GB, closed after 2 bytes",
        head(OK, b"Content-Length: 10000000000") + b"ok",
        error_class=RESET,
        end="close",
    ),
    delivered(
        "a body shorter than Content-Length, then closed",
        head(OK, b"Content-Length: 9") + b"ok",
        error_class=RESET,
        end="close",
    ),
    delivered(
        "a body shorter than Content-Length, then reset",
        head(OK, b"Content-Length: 9") + b"ok",
        error_class=RESET,
        end="reset",
    ),
    delivered(
        "a body shorter than Content-Length, then silence", head(OK, b"Content-Length: 9") + b"ok", error_class=TIMEOUT
    ),
    rejected(
        "an error whose body is shorter than Content-Length",
        head(b"HTTP/1.1 500 X", b"Content-Length: 9") + b"ok",
        status=500,
        error_class=RESET,
        end="close",
    ),
    delivered("bytes after the body", head(OK, LENGTH) + b"ok and more"),
    delivered("an empty line after the body", head(OK, LENGTH) + b"ok\r\n"),
    delivered("a body that ends with the connection", head(OK, b"Server: x") + b"ok", end="close"),
    delivered("no Content-Length, and the connection stays open", head(OK, b"Server: x") + b"ok", error_class=TIMEOUT),
    delivered("a body that ends with a reset", head(OK, b"Server: x") + b"ok", error_class=RESET, end="reset"),
    delivered("no headers at all, and a body", OK + b"\r\n\r\nok", end="close"),
    delivered("no headers at all, and no body", OK + b"\r\n\r\n", end="close"),
    delivered(
        "a body of 200 KB with Content-Length",
        head(OK, b"Content-Length: 200000") + b"x" * 200_000,
        error_class=TOO_LARGE,
    ),
    delivered(
        "a body of 200 KB that ends with the connection",
        head(OK, b"Server: x") + b"x" * 200_000,
        error_class=TOO_LARGE,
        end="close",
    ),
    delivered("two responses at once", head(OK, LENGTH) + b"ok" + head(b"HTTP/1.1 500 X", LENGTH) + b"no"),
    delivered(
        "the response comes before the request was read", head(OK, LENGTH) + b"ok", reads_request=False, may_reuse=True
    ),
    delivered(
        "headers and body in parts",
        b"HT",
        b"TP/1.1 2",
        b"00 OK\r",
        b"\nContent-Length: 2\r\n",
        b"\r",
        b"\no",
        b"k",
        may_reuse=True,
    ),
)

TRANSFER_ENCODINGS = (
    delivered("chunked", head(OK, CHUNKED) + CHUNKED_OK, may_reuse=True),
    delivered("CHUNKED in capitals", head(OK, b"TRANSFER-ENCODING: CHUNKED") + CHUNKED_OK, may_reuse=True),
    delivered("Content-Length before chunked", head(OK, LENGTH, CHUNKED) + CHUNKED_OK),
    delivered("Content-Length after chunked", head(OK, CHUNKED, LENGTH) + CHUNKED_OK),
    delivered("Transfer-Encoding: identity", head(OK, b"Transfer-Encoding: identity") + b"ok", end="close"),
    delivered(
        "Transfer-Encoding: identity and Content-Length",
        head(OK, b"Transfer-Encoding: identity", LENGTH) + b"ok",
        note="Two of five clients. Most accept each of the two headers alone, and the status is clear.",
    ),
    delivered("Transfer-Encoding: gzip, chunked", head(OK, b"Transfer-Encoding: gzip, chunked") + CHUNKED_OK),
    delivered("Transfer-Encoding: gzip", head(OK, b"Transfer-Encoding: gzip") + b"ok", end="close"),
    delivered("Transfer-Encoding: chunked, chunked", head(OK, b"Transfer-Encoding: chunked, chunked") + CHUNKED_OK),
    delivered("Transfer-Encoding: chunked twice", head(OK, CHUNKED, CHUNKED) + CHUNKED_OK),
    delivered(
        "Transfer-Encoding: chunked, gzip", head(OK, b"Transfer-Encoding: chunked, gzip") + CHUNKED_OK, end="close"
    ),
    delivered("Transfer-Encoding: xchunked", head(OK, b"Transfer-Encoding: xchunked") + CHUNKED_OK, end="close"),
    delivered("an empty Transfer-Encoding", head(OK, b"Transfer-Encoding:", LENGTH) + b"ok"),
    delivered("chunked in an HTTP/1.0 response", head(b"HTTP/1.0 200 OK", CHUNKED) + CHUNKED_OK),
    delivered("a blank before the colon of Transfer-Encoding", head(OK, b"Transfer-Encoding : chunked") + CHUNKED_OK),
    delivered("a folded Transfer-Encoding", head(OK, b"Transfer-Encoding:", b" chunked") + CHUNKED_OK),
    delivered(
        "a chunk size in capitals with leading zeros",
        head(OK, CHUNKED) + b"000A\r\n0123456789\r\n0\r\n\r\n",
        may_reuse=True,
    ),
    delivered("a chunk extension", head(OK, CHUNKED) + b"2;a=b\r\nok\r\n0\r\n\r\n", may_reuse=True),
    delivered("a blank after a chunk size", head(OK, CHUNKED) + b"2 \r\nok\r\n0 \r\n\r\n", error_class=INVALID),
    delivered("trailers", head(OK, CHUNKED) + b"2\r\nok\r\n0\r\nX-Note: a\r\n\r\n", may_reuse=True),
    delivered("chunk lines that end in LF alone", head(OK, CHUNKED) + b"2\nok\n0\n\n", error_class=INVALID),
    delivered("a chunk size that is none", head(OK, CHUNKED) + b"zz\r\nok\r\n0\r\n\r\n", error_class=INVALID),
    delivered("an empty chunk size", head(OK, CHUNKED) + b"\r\nok\r\n0\r\n\r\n", error_class=INVALID),
    delivered("a chunk size with 0x", head(OK, CHUNKED) + b"0x2\r\nok\r\n0\r\n\r\n", error_class=INVALID),
    delivered("a negative chunk size", head(OK, CHUNKED) + b"-2\r\nok\r\n0\r\n\r\n", error_class=INVALID),
    delivered(
        "a chunk size beyond 64 bits", head(OK, CHUNKED) + b"10000000000000002\r\nok\r\n0\r\n\r\n", error_class=INVALID
    ),
    delivered("a chunk longer than its size", head(OK, CHUNKED) + b"1\r\nok\r\n0\r\n\r\n", error_class=INVALID),
    delivered("a chunk that is cut, then closed", head(OK, CHUNKED) + b"9\r\nok", error_class=RESET, end="close"),
    delivered("no last chunk, then closed", head(OK, CHUNKED) + b"2\r\nok\r\n", error_class=RESET, end="close"),
    delivered(
        "no empty line after the last chunk, then closed",
        head(OK, CHUNKED) + b"2\r\nok\r\n0\r\n",
        error_class=RESET,
        end="close",
    ),
    delivered("chunked without a chunk, then closed", head(OK, CHUNKED), error_class=RESET, end="close"),
    delivered(
        "a body that is not chunked after chunked",
        head(OK, CHUNKED) + b'{"ok": true}',
        error_class=INVALID,
        end="close",
    ),
    delivered(
        "200 KB of chunks",
        head(OK, CHUNKED) + b"4000\r\n" + (b"x" * 0x4000 + b"\r\n4000\r\n") * 12 + b"x" * 0x4000 + b"\r\n0\r\n\r\n",
        error_class=TOO_LARGE,
    ),
    delivered("bytes after the last chunk", head(OK, CHUNKED) + CHUNKED_OK + b"more"),
)

INTERIM = (
    delivered("100, then 200", head(b"HTTP/1.1 100 Continue") + head(OK, LENGTH) + b"ok", may_reuse=True),
    delivered("102, then 200", head(b"HTTP/1.1 102 Processing") + head(OK, LENGTH) + b"ok", may_reuse=True),
    delivered(
        "103 with headers, then 200",
        head(b"HTTP/1.1 103 Early Hints", b"Link: </a>", b"Retry-After: 9") + head(OK, LENGTH) + b"ok",
        may_reuse=True,
    ),
    delivered(
        "103 with Content-Length, then 200",
        head(b"HTTP/1.1 103 Early Hints", LENGTH) + head(OK, LENGTH) + b"ok",
        may_reuse=True,
    ),
    rejected(
        "103, then 500",
        head(b"HTTP/1.1 103 Early Hints") + head(b"HTTP/1.1 500 X", LENGTH) + b"no",
        status=500,
        may_reuse=True,
    ),
    delivered("199, then 200", head(b"HTTP/1.1 199 X") + head(OK, LENGTH) + b"ok", may_reuse=True),
    delivered("100 with LF alone, then 200", b"HTTP/1.1 100 Continue\n\n" + head(OK, LENGTH) + b"ok"),
    unknown("100, an empty line, then 200", head(b"HTTP/1.1 100 Continue") + b"\r\n" + head(OK, LENGTH) + b"ok"),
    delivered(
        "103 with a folded header, then 200",
        head(b"HTTP/1.1 103 Early Hints", b"Link: </a>;", b" rel=x") + head(OK, LENGTH) + b"ok",
    ),
    delivered(
        "100 four times, then 200", head(b"HTTP/1.1 100 Continue") * 4 + head(OK, LENGTH) + b"ok", may_reuse=True
    ),
    delivered(
        "100 fifty times, then 200", head(b"HTTP/1.1 100 Continue") * 50 + head(OK, LENGTH) + b"ok", may_reuse=True
    ),
    unknown(
        "over 64 KB of 100",
        head(b"HTTP/1.1 100 Continue") * 3_000 + head(OK, LENGTH) + b"ok",
        error_class=TOO_LARGE,
        note="Three clients read on without a bound.",
    ),
    unknown("100, then closed", head(b"HTTP/1.1 100 Continue"), error_class=RESET),
    unknown("100, then reset", head(b"HTTP/1.1 100 Continue"), error_class=RESET, end="reset"),
    unknown("100, then silence", head(b"HTTP/1.1 100 Continue"), error_class=TIMEOUT, end="open"),
    unknown("100, then no HTTP", head(b"HTTP/1.1 100 Continue") + b"garbage\r\n\r\n"),
    unknown(
        "101 to another protocol",
        head(b"HTTP/1.1 101 X", b"Connection: upgrade", b"Upgrade: x") + b"\x00\x01",
        note="Most clients report 101, which says nothing about the event: its response comes in the other protocol.",
    ),
    unknown(
        "101 without Upgrade, then 200",
        head(b"HTTP/1.1 101 X") + head(OK, LENGTH) + b"ok",
        note="Most clients report 101, which says nothing about the event: its response comes in the other protocol.",
    ),
)

WITHOUT_BODY = (
    delivered("204", head(b"HTTP/1.1 204 No Content"), status=204, may_reuse=True),
    delivered(
        "204 with Content-Length: 0", head(b"HTTP/1.1 204 No Content", b"Content-Length: 0"), status=204, may_reuse=True
    ),
    delivered("204 with a body and its length", head(b"HTTP/1.1 204 No Content", LENGTH) + b"ok", status=204),
    delivered("204 with a body", head(b"HTTP/1.1 204 No Content") + b"ok", status=204),
    delivered("204 with a chunked body", head(b"HTTP/1.1 204 No Content", CHUNKED) + CHUNKED_OK, status=204),
    delivered(
        "205 with Content-Length: 0",
        head(b"HTTP/1.1 205 Reset Content", b"Content-Length: 0"),
        status=205,
        may_reuse=True,
    ),
    delivered("205 with a body", head(b"HTTP/1.1 205 Reset Content", LENGTH) + b"ok", status=205, may_reuse=True),
    rejected("304", head(b"HTTP/1.1 304 Not Modified"), status=304, may_reuse=True),
    rejected("304 with a body and its length", head(b"HTTP/1.1 304 Not Modified", LENGTH) + b"ok", status=304),
    rejected(
        "a redirect",
        head(b"HTTP/1.1 307 X", b"Location: http://127.0.0.1:1/", b"Content-Length: 0"),
        status=307,
        may_reuse=True,
        note="No redirect is followed.",
    ),
    delivered(
        "a compressed body that is not gzip",
        head(OK, b"Content-Encoding: gzip", LENGTH) + b"ok",
        may_reuse=True,
        note="The body is never decompressed.",
    ),
)

RESPONSES = (*LINE_ENDS, *STATUS_LINES, *HEADERS, *LENGTHS, *TRANSFER_ENCODINGS, *INTERIM, *WITHOUT_BODY)
