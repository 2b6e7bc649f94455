# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
When a connection can be used for a request: what the kernel knows about it, and the care after a restart.

The kernel reports whether a TCP connection is open, and how much of what was written the peer has. Source: Linux,
``struct tcp_info`` (``include/uapi/linux/tcp.h``); ``tcpi_bytes_sent`` is there since Linux 4.19.

A receiver that reloads or restarts closes its connections, and often does so again soon. A request that it did not read
by then is lost. So after an unexpected close every connection is used once for a period, with a quarter of the requests
under way: most servers that stop finish the first request of a connection that they accepted. In the second period an
eighth of the requests reuse connections, and in each further period twice as many. The next unexpected close therefore
finds few requests. Times are those of ``time.monotonic``.
"""

from __future__ import annotations

import errno
import socket
import struct

_ESTABLISHED, _CLOSE = 1, 7
_SIZE = 216
"""Up to and including ``tcpi_bytes_retrans``."""
_BYTES_ACKED, _NOTSENT_BYTES, _BYTES_SENT = 120, 144, 200
"""Offsets of the fields, in bytes."""
FIRST_PERIOD_SECONDS, MAX_PERIOD_SECONDS = 2.0, 32.0
"""How long a period is after the first unexpected close, and at most."""
DIVISORS = (4, 8, 4, 2)
"""What the number of requests under way is divided by, in each period."""


def read_tcp_info(sock: socket.socket) -> bytes:
    """
    Return the kernel's record of a connection.

    :raises OSError: if the socket is closed
    """
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)


def is_established(info: bytes) -> bool:
    """Return whether neither side has closed the connection, as far as this side knows."""
    return info[0] == _ESTABLISHED


def take_error(sock: socket.socket) -> int:
    """Return the error number that the kernel has stored for a socket, which clears it there; 0 if there is none."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def was_closed_before(sock: socket.socket, error: int = 0) -> bool | None:
    """
    Return whether the peer had closed the connection when what was written arrived; ``None`` while that is open.

    A FIN alone does not say so: a peer may close one direction and go on reading. A reset that follows a FIN does,
    since it is the answer to bytes that found the connection closed. A reset without a FIN says nothing about what the
    peer received.

    :param error: what ``take_error`` returned before, if it was called
    """
    try:
        if read_tcp_info(sock)[0] != _CLOSE:
            return None
        # The kernel stores EPIPE for a reset after a FIN and ECONNRESET for one without.
        return (error or take_error(sock)) == errno.EPIPE
    except OSError:
        return False


def any_byte_acknowledged(sock: socket.socket, before: bytes) -> bool:
    """
    Return whether the peer acknowledged any byte that was written since.

    :param before: what ``read_tcp_info`` returned before the write
    """
    try:
        now = read_tcp_info(sock)
    except OSError:
        return True
    if len(before) < _SIZE or len(now) < _SIZE:
        return True  # an older kernel does not say how much was written before
    sent, retransmitted = struct.unpack_from("QQ", before, _BYTES_SENT)
    (waiting,) = struct.unpack_from("I", before, _NOTSENT_BYTES)
    (acknowledged,) = struct.unpack_from("Q", now, _BYTES_ACKED)
    return bool(acknowledged > sent - retransmitted + waiting + 1)  # the SYN counts as one byte


class RestartGuard:
    """Limits reuse and the requests under way after the receiver closed a connection unexpectedly."""

    def __init__(self) -> None:
        self.reuses_from = 0.0
        """When connections are reused again."""
        self.limited_until = 0.0
        """When as many requests as usual are under way again."""
        self._closed_at = 0.0
        self._period = FIRST_PERIOD_SECONDS

    def note_close(self, now: float) -> None:
        """
        Note that the receiver closed a connection unexpectedly: the first period begins again.

        Periods are twice as long from then on if connections were reused again before the requests were as many as
        usual: the receiver goes on restarting.
        """
        if now >= self.limited_until:
            self._period = FIRST_PERIOD_SECONDS
        elif now >= self.reuses_from:
            self._period = min(2 * self._period, MAX_PERIOD_SECONDS)
        self._closed_at, self.reuses_from = now, now + self._period
        self.limited_until = now + len(DIVISORS) * self._period

    def limit(self, concurrency: int, now: float) -> int:
        """
        Return how many requests may be under way.

        :param concurrency: how many usually are
        """
        if now >= self.limited_until:
            return concurrency
        period = min(int((now - self._closed_at) / self._period), len(DIVISORS) - 1)
        return max(1, concurrency // DIVISORS[period])
