# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Hostile receivers on loopback; each is a context manager that yields its ``RawReceiver``."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import itertools
import socket
import ssl
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers import OK, Answer, RawReceiver, find_closed_port, raw_server

Receiver = Callable[[], contextlib.AbstractContextManager[RawReceiver]]

MEGABYTE = 1_048_576
EMPTY = b"Content-Length: 0\r\n\r\n"


def responding(answer: bytes | Answer) -> Receiver:
    """Read one request, then send bytes or call a function with the connection, and close it."""
    return functools.partial(raw_server, answer)


@contextlib.contextmanager
def refusing() -> Iterator[RawReceiver]:
    yield RawReceiver(port=find_closed_port())


@contextlib.contextmanager
def black_hole() -> Iterator[RawReceiver]:
    """A listener whose queue is full: the kernel drops every further SYN, like a firewall that drops packets."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield RawReceiver(port=listener.getsockname()[1])


@contextlib.contextmanager
def never_accepting() -> Iterator[RawReceiver]:
    """A process that hangs: the kernel completes connections and receives bytes, and the process never reads them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield RawReceiver(port=listener.getsockname()[1])


@contextlib.contextmanager
def redirecting(status: int, *, address: str) -> Iterator[RawReceiver]:
    """Redirect to another listener on loopback, and fail if that receives a connection."""
    with socket.create_server((address, 0)) as other:
        location = f"Location: http://{address}:{other.getsockname()[1]}/\r\n".encode()
        with raw_server(b"HTTP/1.1 %d X\r\n" % status + location + EMPTY) as receiver:
            yield receiver
        other.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            other.accept()
            raise AssertionError("the redirect was followed")


# TLS


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA()


def write_authority(path: Path) -> str:
    """Write the certificate of the authority that issues all certificates here except the self-signed one."""
    _authority().cert_pem.write_to_path(str(path))
    return str(path)


def issue(name: str, **options: dt.datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert(name, **options).configure_cert(context)
    return context


def serving_tls(name: str = "127.0.0.1", **options: dt.datetime) -> Receiver:
    return lambda: raw_server(OK, tls=issue(name, **options))


@contextlib.contextmanager
def self_signed(directory: Path) -> Iterator[RawReceiver]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
    file = directory / "self-signed.pem"
    file.write_bytes(b"".join(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with raw_server(OK, tls=context) as receiver:
        yield receiver


@contextlib.contextmanager
def hanging_in_the_handshake() -> Iterator[RawReceiver]:
    """Accept connections and read bytes, but never answer the first TLS message."""
    with raw_server(OK) as receiver:
        receiver.scheme = "https"
        yield receiver


# Functions that are called after a request was read; each ends when the peer closes the connection.


def stay_silent(connection: socket.socket) -> None:
    connection.recv(1)


def send_and_hang(head: bytes) -> Answer:
    """Send the head, and nothing more until the peer closes the connection."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        stay_silent(connection)

    return answer


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drip(head: bytes, slow: bytes) -> Answer:
    """Send the head at once, and the rest one byte at a time, for longer than any timeout here."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for byte in itertools.islice(itertools.cycle(slow), 300):
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    return answer


def endless(head: bytes, part: bytes) -> Answer:
    """Send the head, and the part repeatedly until the peer closes the connection."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(part)

    return answer


@functools.cache
def gzip_bomb(megabytes: int) -> bytes:
    """Return a response whose body is about a thousandth of its decompressed size, which is never in memory."""
    packer, block = zlib.compressobj(9, wbits=31, strategy=zlib.Z_RLE), bytes(MEGABYTE)
    body = b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def serving_gzip_bomb(megabytes: int) -> Receiver:
    return lambda: raw_server(gzip_bomb(megabytes))


def status(line: bytes, headers: bytes = EMPTY) -> Receiver:
    return responding(b"HTTP/1.1 " + line + b"\r\n" + headers)


CHUNK = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
_PAST = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
EXPIRED = {"not_before": _PAST, "not_after": _PAST + dt.timedelta(days=1)}
HEADERS_150 = b"".join(b"X-%d: y\r\n" % number for number in range(150))
BIG_LINE = b"A: " + b"x" * 70_000 + b"\r\n"
TWO_LENGTHS = b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BYTES_1000 = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
GIGABYTES_10 = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
