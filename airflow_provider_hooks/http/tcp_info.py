# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What the kernel knows about a TCP connection: whether it is open, and how much of what was written the peer has.

Source: Linux, ``struct tcp_info`` (``include/uapi/linux/tcp.h``); ``tcpi_bytes_sent`` is there since Linux 4.19.
"""

from __future__ import annotations

import errno
import socket
import struct

_ESTABLISHED, _CLOSE, _CLOSE_WAIT, _LAST_ACK = 1, 7, 8, 9
_SIZE = 216
"""Up to and including ``tcpi_bytes_retrans``."""
_BYTES_ACKED, _NOTSENT_BYTES, _BYTES_SENT = 120, 144, 200
"""Offsets of the fields, in bytes."""


def read_tcp_info(sock: socket.socket) -> bytes:
    """
    Return the kernel's record of a connection.

    :raises OSError: if the socket is closed
    """
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)


def is_established(info: bytes) -> bool:
    """Return whether neither side has closed the connection, as far as this side knows."""
    return info[0] == _ESTABLISHED


def closed_in_order(sock: socket.socket) -> bool | None:
    """
    Return whether the peer closed the connection with a FIN; ``None`` if the kernel has not seen it close yet.

    A reset that comes after the FIN is a reaction to bytes that found the connection closed; a reset without a FIN says
    nothing about what the peer received.
    """
    try:
        state = read_tcp_info(sock)[0]
        if state in {_CLOSE_WAIT, _LAST_ACK}:
            return True
        if state != _CLOSE:
            return None
        # The kernel stores EPIPE for a reset after a FIN and ECONNRESET for one without, until the error is read once.
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE
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
