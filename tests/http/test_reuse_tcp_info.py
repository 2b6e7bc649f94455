# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The TCP state that the kernel reports for real loopback connections."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_hooks.http import reuse
from airflow_provider_hooks.http.reuse import (
    any_byte_acknowledged,
    is_established,
    read_tcp_info,
    take_error,
    was_closed_before,
)
from tests.security.hostile import issue, reset, write_authority

PATIENT = 20.0
"""Seconds that a step of a test may take on a slow machine."""


def wait_until(is_true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENT
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the local socket, which does not block, and the socket of the peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        local = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    local.setblocking(False)
    with local, peer:
        yield local, peer


def fill(sock: socket.socket) -> int:
    """Write until the peer's window is shut and the kernel holds bytes back, and return how many were written."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_048_576)
    written = 0
    while not count_unsent_bytes(sock):
        written += sock.send(b"x" * 65_536)
        time.sleep(0.001)
    return written


def count_unsent_bytes(sock: socket.socket) -> int:
    return struct.unpack_from("I", read_tcp_info(sock), 144)[0]


def read_exactly(sock: socket.socket, count: int) -> None:
    sock.settimeout(PATIENT)
    while count:
        count -= len(sock.recv(min(count, 65_536)))


class TestIsEstablished:
    def test_open_connection_is_established(self, pair):
        local, peer = pair
        local.send(b"x")
        peer.send(b"y")
        assert is_established(read_tcp_info(local))

    @pytest.mark.parametrize("end", [socket.socket.close, reset, lambda peer: peer.shutdown(socket.SHUT_WR)])
    def test_connection_ended_by_the_peer_is_not_established(self, pair, end):
        local, peer = pair
        end(peer)
        wait_until(lambda: not is_established(read_tcp_info(local)))

    def test_connection_ended_by_this_side_is_not_established(self, pair):
        local, _ = pair
        local.shutdown(socket.SHUT_WR)
        assert not is_established(read_tcp_info(local))

    def test_connection_being_opened_is_not_established(self):
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            sockets = [stack.enter_context(socket.socket()) for _ in range(8)]  # more than fit in the backlog
            for sock in sockets:
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            assert not is_established(read_tcp_info(sockets[-1]))

    def test_closed_socket_raises_os_error(self, pair):
        local, _ = pair
        local.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            read_tcp_info(local)


class TestAcknowledged:
    def test_no_byte_is_acknowledged_if_none_was_written(self, pair):
        local, _ = pair
        local.send(b"earlier bytes")
        before = read_tcp_info(local)
        wait_until(lambda: struct.unpack_from("Q", read_tcp_info(local), 120)[0] == len("earlier bytes") + 1)
        assert not any_byte_acknowledged(local, before)

    def test_first_acknowledged_byte_counts(self, pair):
        local, peer = pair
        local.send(b"earlier bytes")
        before = read_tcp_info(local)
        local.send(b"x")
        read_exactly(peer, len("earlier bytes") + 1)
        wait_until(lambda: any_byte_acknowledged(local, before))

    def test_earlier_bytes_acknowledged_later_do_not_count(self, pair):
        """Such as the last bytes of a TLS handshake: some were sent, and some still wait in the kernel."""
        local, peer = pair
        earlier = fill(local)
        before = read_tcp_info(local)
        local.send(b"the request")
        assert not any_byte_acknowledged(local, before), "the window of the peer is shut"
        acknowledged = struct.unpack_from("Q", before, 120)[0]
        read_exactly(peer, earlier // 2)
        wait_until(lambda: struct.unpack_from("Q", read_tcp_info(local), 120)[0] > acknowledged)
        assert not any_byte_acknowledged(local, before), "the peer's window holds less than the other half"
        read_exactly(peer, earlier - earlier // 2 + 1)
        wait_until(lambda: any_byte_acknowledged(local, before))

    def test_last_message_of_a_tls_handshake_is_not_a_byte_of_the_request(self, tmp_path):
        context = ssl.create_default_context(cafile=write_authority(tmp_path / "ca.pem"))
        server_context = issue("127.0.0.1")
        closing = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                with server_context.wrap_socket(listener.accept()[0], server_side=True):
                    closing.wait(PATIENT)

            thread = threading.Thread(target=serve)
            thread.start()
            connection = socket.create_connection(listener.getsockname())
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as local:
                before = read_tcp_info(local)  # the last message of the handshake may be on its way
                closing.set()
                thread.join(PATIENT)
                wait_until(lambda: not is_established(read_tcp_info(local)))
                local.send(b"a request")
                wait_until(lambda: was_closed_before(local) is not None)
                assert not any_byte_acknowledged(local, before)

    def test_unreadable_tcp_info_counts_as_acknowledged(self, pair, monkeypatch):
        local, _ = pair
        before = read_tcp_info(local)
        assert any_byte_acknowledged(local, before[:192]), "a kernel before 4.19"
        monkeypatch.setattr(reuse, "read_tcp_info", lambda _sock: before[:192])
        assert any_byte_acknowledged(local, before)
        monkeypatch.undo()
        local.close()
        assert any_byte_acknowledged(local, before)


def wait_for_reset(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(PATIENT * 1000)


class TestClosedBefore:
    def test_open_connection_is_not_reported_as_closed(self, pair):
        local, _ = pair
        local.send(b"x")
        assert was_closed_before(local) is None

    def test_fin_alone_does_not_prove_a_close(self, pair):
        local, peer = pair
        peer.shutdown(socket.SHUT_WR)
        wait_until(lambda: not is_established(read_tcp_info(local)))
        local.send(b"x")
        assert peer.recv(1) == b"x"
        assert was_closed_before(local) is None

    def test_reset_after_the_fin_proves_a_close(self, pair):
        local, peer = pair
        peer.close()
        wait_until(lambda: not is_established(read_tcp_info(local)))
        local.send(b"x")
        wait_for_reset(local)
        assert was_closed_before(local) is True

    def test_reset_after_the_fin_proves_a_close_with_the_error_taken_before(self, pair):
        """As the engine does over TLS, where OpenSSL would clear the error."""
        local, peer = pair
        peer.close()
        wait_until(lambda: not is_established(read_tcp_info(local)))
        local.send(b"x")
        wait_for_reset(local)
        error = take_error(local)
        assert error == errno.EPIPE
        assert was_closed_before(local, error) is True
        assert was_closed_before(local) is False, "without the error there is no proof"

    @pytest.mark.parametrize("written", [b"", b"x"])
    def test_reset_alone_does_not_prove_a_close(self, pair, written):
        local, peer = pair
        if written:
            local.send(written)
        reset(peer)
        wait_for_reset(local)
        error = take_error(local)
        assert error == errno.ECONNRESET
        assert was_closed_before(local, error) is False

    def test_reset_by_a_peer_with_unread_bytes_does_not_prove_a_close(self, pair):
        local, peer = pair
        local.send(b"x" * 100)
        assert peer.recv(1) == b"x"
        peer.close()
        wait_for_reset(local)
        assert was_closed_before(local) is False

    def test_closed_socket_does_not_prove_a_close(self, pair):
        local, _ = pair
        local.close()
        assert was_closed_before(local) is False


def test_open_connection_has_no_error(pair):
    assert take_error(pair[0]) == 0
