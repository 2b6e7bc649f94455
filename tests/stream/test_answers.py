# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Answers, whole and in parts: what is read at a glance is what the parser reads, and nothing is read without bound."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_hooks.delivery.answer import READ_BODY_BYTES, READ_HEADER_BYTES
from airflow_provider_hooks.delivery.record import ErrorClass
from airflow_provider_hooks.stream.answers import AnswerParser, read_plain_success

EMPTY = b"Content-Length: 0\r\n\r\n"
INVALID, RESET, TOO_LARGE = ErrorClass.INVALID_RESPONSE, ErrorClass.CONNECTION_RESET, ErrorClass.RESPONSE_TOO_LARGE
relaxed = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def parse(parts, *, closes: bool = True) -> AnswerParser:
    """Feed parts as a connection does: no more once the answer ended."""
    parser = AnswerParser()
    for part in parts:
        if parser.is_ended:
            break
        parser.feed(part)
    if closes and not parser.is_ended:
        parser.end()
    return parser


def tell(parser: AnswerParser):
    """Return what is known of an answer; the words of a problem may differ."""
    problem = parser.problem[0] if parser.problem else None
    return parser.status, parser.headers, bytes(parser.body), parser.is_ended, problem


def status(line: bytes, rest: bytes = EMPTY) -> bytes:
    return b"HTTP/1.1 " + line + b"\r\n" + rest


def one_by_one(data: bytes):
    return [bytes([byte]) for byte in data]


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CASES = {
    "plain": (status(b"204 No Content", b"\r\n"), 204, b"", None),
    "with a body": (status(b"200 OK", b"Content-Length: 2\r\n\r\nok"), 200, b"ok", None),
    "chunked": (status(b"200 OK", CHUNKED + b"2\r\nok\r\n3\r\nay!\r\n0\r\nA: b\r\n\r\n"), 200, b"okay!", None),
    "close-delimited": (status(b"200 OK", b"Server: s\r\n\r\nto the end"), 200, b"to the end", None),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, b"to the end", None),
    "100, then 200": (status(b"100 Continue", b"\r\n") + status(b"200 OK"), 200, b"", None),
    "many 1xx, then 202": (status(b"102 P", b"\r\n") * 50 + status(b"202 OK"), 202, b"", None),
    "103 with a length": (status(b"103 E", b"Content-Length: 3\r\n\r\n") + status(b"200 OK"), 200, b"", None),
    "304": (status(b"304 X", b"\r\n"), 304, b"", None),
    "600": (status(b"600 X"), 600, b"", None),
    "999": (status(b"999 X"), 999, b"", None),
    "truncated body": (status(b"200 OK", b"Content-Length: 9\r\n\r\nshort"), 200, b"short", RESET),
    "truncated chunk": (status(b"200 OK", CHUNKED + b"9\r\nshort"), 200, b"short", RESET),
    "no last chunk": (status(b"200 OK", CHUNKED + b"2\r\nok\r\n"), 200, b"ok", RESET),
    "no chunk": (status(b"200 OK", CHUNKED + b"not a chunk"), 200, b"", INVALID),
    "truncated headers": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", None, b"", RESET),
    "only a 1xx": (status(b"100 Continue", b"\r\n"), None, b"", RESET),
    "nothing": (b"", None, b"", RESET),
    "two lengths": (status(b"200 OK", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"), None, b"", INVALID),
    "length and chunked": (status(b"200 OK", b"Content-Length: 2\r\n" + CHUNKED + b"0\r\n\r\n"), None, b"", INVALID),
    "a length that is none": (status(b"200 OK", b"Content-Length: -1\r\n\r\n"), None, b"", INVALID),
    "101": (status(b"101 X", b"Connection: upgrade\r\nUpgrade: x\r\n\r\n"), None, b"", INVALID),
    "HTTP/0.9": (b"<html>hello</html>", None, b"", INVALID),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", None, b"", INVALID),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", None, b"", INVALID),
    "HTTP/9.9": (b"HTTP/9.9 200 OK\r\n\r\n", None, b"", INVALID),
    "status 0": (status(b"0 X"), None, b"", INVALID),
    "status 99": (status(b"99 X"), None, b"", INVALID),
    "status 099": (status(b"099 X"), None, b"", INVALID),
    "status 000": (status(b"000 X"), None, b"", INVALID),
    "status 2000": (status(b"2000 X"), None, b"", INVALID),
    "status that is none": (status(b"abc X"), None, b"", INVALID),
    "a name with a blank": (status(b"204 X", b"A : b\r\n\r\n"), None, b"", INVALID),
    "a folded line": (status(b"204 X", b"A: b\r\n c: d\r\n\r\n"), None, b"", INVALID),
    "lines that end in LF": (b"HTTP/1.1 204 X\nA: b\n\n", None, b"", INVALID),
    "NUL": (status(b"204 X", b"A: \x00\r\n\r\n"), None, b"", INVALID),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_told_the_same_in_one_piece_and_byte_by_byte(case):
    data, status_code, body, problem = CASES[case]
    for parts in ([data], one_by_one(data), [data[:9], data[9:]], [data[:-1], data[-1:]]):
        parser = parse([part for part in parts if part])
        assert (parser.status, bytes(parser.body)) == (status_code, body)
        assert (parser.problem and parser.problem[0]) == problem
        assert parser.is_ended
        if problem is not None:
            assert not parser.keeps_connection


@pytest.mark.parametrize("second", [status(b"200 OK"), b"HTTP/1.1 500 X\r\n", b"H", b"garbage", b"\x00"])
@pytest.mark.parametrize(
    "first", [status(b"204 X", b"\r\n"), status(b"500 X"), status(b"200 X", CHUNKED + b"0\r\n\r\n")]
)
def test_what_follows_an_answer_ends_the_connection_and_changes_nothing(first, second):
    parser, alone = parse([first + second]), parse([first])
    assert tell(parser) == tell(alone)
    assert (parser.keeps_connection, alone.keeps_connection) == (False, True)
    assert read_plain_success(first + second) is None


@pytest.mark.parametrize(
    "kept", [b"", b"Connection: keep-alive\r\n", b"Connection:keep-alive\r\n", b"A: connection: close\r\n"]
)
def test_a_connection_is_kept_unless_the_answer_says_otherwise(kept):
    assert parse([status(b"200 OK", kept + EMPTY)]).keeps_connection
    for said in (b"close", b"Close", b"foo, close", b"close, foo", b" \tclose", b"keep-alive, close"):
        answer = status(b"200 OK", b"Connection: " + said + b"\r\n" + kept + EMPTY)
        assert not parse([answer]).keeps_connection
        assert read_plain_success(answer) is None


def test_plain_answers_are_read_at_a_glance():
    date = b"Date: Thu, 01 Jan 2026 12:00:00 GMT\r\nServer: nginx/1.25.3 (Ubuntu)\r\nX-Request-Id: 3f2-a\r\n"
    for line, rest in itertools.product(
        (b"200 OK", b"201 Created", b"202 Accepted"),
        (
            EMPTY,
            b"content-length:0\r\n\r\n",
            date + EMPTY,
            b"Content-Length: 0\r\n" + date + b"Connection: keep-alive\r\n\r\n",
        ),
    ):
        assert read_plain_success(status(line, rest)) == int(line[:3])
    for rest in (b"\r\n", date + b"\r\n", EMPTY, b"Connection: keep-alive\r\n" + date + b"\r\n"):
        assert read_plain_success(status(b"204 No Content", rest)) == 204


def test_headers_have_a_bound():
    head = b"HTTP/1.1 200 OK\r\n"
    for line in (b"A: b\r\n", b"A: " + b"x" * 8_000, status(b"100 C", b"\r\n")):
        read = 0
        parser = AnswerParser()
        parser.feed(b"" if line.startswith(b"HTTP") else head)
        while not parser.is_ended:
            parser.feed(line)
            read += len(line)
        assert read <= READ_HEADER_BYTES + len(line)
        assert parser.problem[0] is TOO_LARGE
        assert parser.status is None


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"Content-Length: 10000000000\r\n\r\n", b"x" * 65_536),
        (b"\r\n", b"x" * 65_536),
        (CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
        (CHUNKED, b"1\r\nx\r\n" * 9_000),
        (CHUNKED + b"1;", b"x" * 65_536),
        (CHUNKED + b"0\r\n", b"A: b\r\n" * 9_000),
        (CHUNKED + b"0\r\nA: ", b"x" * 65_536),
    ],
    ids=["length", "to the end", "chunks", "small chunks", "an extension of a chunk", "trailers", "a trailer"],
)
def test_what_comes_after_the_headers_has_a_bound_and_the_status_is_known(head, part):
    parser = AnswerParser()
    parser.feed(status(b"200 OK", head))
    for _ in range(20):
        if parser.is_ended:
            break
        parser.feed(part)
    assert (parser.status, parser.problem and parser.problem[0], parser.keeps_connection) == (200, TOO_LARGE, False)
    assert len(parser.body) <= READ_BODY_BYTES


def test_only_the_headers_of_the_final_answer_that_records_show_are_kept():
    hinted = status(b"103 E", b"Server: hints\r\nLocation: /hint\r\n\r\n")
    lines = b"SERVER:  one \r\nserver: two\r\nSet-Cookie: secret\r\nRetry-After: 7\r\nX-Request-Id: \xe9\r\n"
    parser = parse([hinted + status(b"200 OK", lines + CHUNKED + b"0\r\nRetry-After: 9\r\n\r\n")])
    assert parser.headers == {"server": "one", "retry-after": "7", "x-request-id": "é"}


# What may be drawn: answers that are nearly right

NAMES = [
    b"Content-Length", b"content-length", b"Content-Length ", b"CONTENT-LENGTH", b"\tContent-Length",
    b"X-Content-Length", b"Transfer-Encoding", b"transfer-encodinG", b"Transfer-Encoding ", b"Connection",
    b"CONNECTION", b"Connection ", b"Proxy-Connection", b"Upgrade", b"Keep-Alive", b"Date", b"Server", b" folded",
    b"", b"A\x00", b"\xc3\xa9", b"Content_Length", b"TE", b"Trailer",
]  # fmt: skip
VALUES = [
    b"0", b" 0", b"  0", b"0 ", b"00", b"+0", b"-0", b"0x0", b"0,0", b"0, 0", b"", b"1", b"2", b"\t0", b"0\x00",
    b"\xb2", b"18446744073709551616", b"chunked", b" chunked", b"Chunked", b"gzip, chunked", b"identity", b"close",
    b" close", b" Close", b"  close", b" foo, close", b" keep-alive", b"keep-alive, close", b" upgrade", b" x",
    b"\xe9",
]  # fmt: skip
line_ends = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n\t", b"\n\r\n", b""])
USUAL_LINES = [
    b"HTTP/1.1 204 No Content", b"HTTP/1.1 200 OK", b"HTTP/1.1 202 Accepted", b"HTTP/1.1 200 OK", b"HTTP/1.1 204 X",
]  # fmt: skip
ODD_LINES = [
    b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 204", b"HTTP/1.1 204 ", b"HTTP/1.1  204 X", b"HTTP/1.1 204\tX",
    b"HTTP/1.1 2\xb24 X", b"HTTP/1.1 204X", b"HTTP/1.0 204 X", b"http/1.1 204 X", b"HTTP/1.10 204 X",
    b"HTTP/1.1 304 X", b"HTTP/1.1 100 C", b"HTTP/1.1 205 R", b"HTTP/1.1 299 X", b"HTTP/1.1 204 \x00",
    b"HTTP/1.1 204 \xe9", b"HTTP/1.1 101 X", b"HTTP/1.1 500 X", b" HTTP/1.1 204 X", b"HTTP/1.1 204 X\x0b",
]  # fmt: skip
headers = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from([b":"] * 9 + [b"", b" :", b"::"]), st.sampled_from(VALUES), line_ends
    ),
    max_size=4,
)
answers = st.builds(
    lambda line, end, fields, last, rest: line + end + b"".join(map(b"".join, fields)) + last + rest,
    st.sampled_from(USUAL_LINES * 3 + ODD_LINES),
    line_ends,
    headers,
    st.sampled_from([b"\r\n"] * 6 + [b"Content-Length: 0\r\n\r\n"] * 6 + [b"\n", b""]),
    st.sampled_from([b""] * 9 + [b"x", b"\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]),
)


@settings(relaxed, max_examples=1_500)
@given(answer=answers)
def test_what_is_read_at_a_glance_is_what_the_parser_reads(answer):
    at_a_glance = read_plain_success(answer)
    if at_a_glance is not None:
        parser = parse([answer], closes=False)
        assert (parser.status, parser.is_ended, parser.keeps_connection) == (at_a_glance, True, True)
        assert (parser.problem, bytes(parser.body)) == (None, b"")
        assert b"\r\ntransfer-encoding" not in answer.lower()


@relaxed
@given(data=st.binary(max_size=80) | answers, seed=st.randoms(use_true_random=False))
def test_any_bytes_split_anywhere_tell_the_same_as_in_one_piece(data, seed):
    cuts = sorted(seed.sample(range(len(data) + 1), min(len(data), seed.randint(0, 6)))) if data else []
    parts = [data[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(data)]) if begin < end]
    whole = parse([data] if data else [])
    for divided in (parse(parts), parse(one_by_one(data))):
        assert tell(divided) == tell(whole)
        assert divided.keeps_connection >= whole.keeps_connection, "in parts, a second answer is not seen yet"
        assert (divided.ended_at is None) == (divided.status is None)
    read_plain_success(data)


@pytest.mark.parametrize("case", CASES)
def test_no_case_is_read_at_a_glance_as_anything_else(case):
    data, status_code, body, problem = CASES[case]
    for at_a_glance in (read_plain_success(data), read_plain_success(data + EMPTY)):
        assert at_a_glance is None or (at_a_glance, b"", None) == (status_code, body, problem)
