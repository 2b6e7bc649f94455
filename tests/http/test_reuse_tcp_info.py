# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the kernel says about real connections of loopback."""

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
    """A connection: our end, which does not block, and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def fill(sock: socket.socket) -> int:
    """Write until the peer's window is shut and the kernel holds bytes back, and return how many were written."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_048_576)
    written = 0
    while not held_back(sock):
        written += sock.send(b"x" * 65_536)
        time.sleep(0.001)
    return written


def held_back(sock: socket.socket) -> int:
    return struct.unpack_from("I", read_tcp_info(sock), 144)[0]


def read_exactly(sock: socket.socket, count: int) -> None:
    sock.settimeout(PATIENT)
    while count:
        count -= len(sock.recv(min(count, 65_536)))


class TestIsEstablished:
    def test_an_open_connection_is(self, pair):
        ours, theirs = pair
        ours.send(b"x")
        theirs.send(b"y")
        assert is_established(read_tcp_info(ours))

    @pytest.mark.parametrize("end", [socket.socket.close, reset, lambda theirs: theirs.shutdown(socket.SHUT_WR)])
    def test_one_that_the_peer_ended_in_any_way_is_not(self, pair, end):
        ours, theirs = pair
        end(theirs)
        wait_until(lambda: not is_established(read_tcp_info(ours)))

    def test_one_that_this_side_ended_is_not(self, pair):
        ours, _ = pair
        ours.shutdown(socket.SHUT_WR)
        assert not is_established(read_tcp_info(ours))

    def test_one_that_is_being_opened_is_not(self):
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            sockets = [stack.enter_context(socket.socket()) for _ in range(8)]  # more than the backlog takes
            for sock in sockets:
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            assert not is_established(read_tcp_info(sockets[-1]))

    def test_a_socket_that_is_closed_has_no_record(self, pair):
        ours, _ = pair
        ours.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            read_tcp_info(ours)


class TestAcknowledged:
    def test_nothing_written_is_nothing_acknowledged(self, pair):
        ours, _ = pair
        ours.send(b"earlier bytes")
        before = read_tcp_info(ours)
        wait_until(lambda: struct.unpack_from("Q", read_tcp_info(ours), 120)[0] == len("earlier bytes") + 1)
        assert not any_byte_acknowledged(ours, before)

    def test_one_byte_is_enough(self, pair):
        ours, theirs = pair
        ours.send(b"earlier bytes")
        before = read_tcp_info(ours)
        ours.send(b"x")
        read_exactly(theirs, len("earlier bytes") + 1)
        wait_until(lambda: any_byte_acknowledged(ours, before))

    def test_bytes_of_before_that_are_acknowledged_later_do_not_count(self, pair):
        """Such as the last bytes of a TLS handshake: some were sent, and some still wait in the kernel."""
        ours, theirs = pair
        earlier = fill(ours)
        before = read_tcp_info(ours)
        ours.send(b"the request")
        assert not any_byte_acknowledged(ours, before), "the window of the peer is shut"
        acknowledged = struct.unpack_from("Q", before, 120)[0]
        read_exactly(theirs, earlier // 2)
        wait_until(lambda: struct.unpack_from("Q", read_tcp_info(ours), 120)[0] > acknowledged)
        assert not any_byte_acknowledged(ours, before), "the peer's window holds less than the other half"
        read_exactly(theirs, earlier - earlier // 2 + 1)
        wait_until(lambda: any_byte_acknowledged(ours, before))

    def test_the_end_of_a_tls_handshake_is_not_a_byte_of_the_request(self, tmp_path):
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
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as ours:
                before = read_tcp_info(ours)  # the last message of the handshake may be on its way
                closing.set()
                thread.join(PATIENT)
                wait_until(lambda: not is_established(read_tcp_info(ours)))
                ours.send(b"a request")
                wait_until(lambda: was_closed_before(ours) is not None)
                assert not any_byte_acknowledged(ours, before)

    def test_what_cannot_be_read_counts_as_acknowledged(self, pair, monkeypatch):
        ours, _ = pair
        before = read_tcp_info(ours)
        assert any_byte_acknowledged(ours, before[:192]), "a kernel before 4.19"
        monkeypatch.setattr(reuse, "read_tcp_info", lambda _sock: before[:192])
        assert any_byte_acknowledged(ours, before)
        monkeypatch.undo()
        ours.close()
        assert any_byte_acknowledged(ours, before)


def wait_for_reset(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(PATIENT * 1000)


class TestClosedBefore:
    def test_an_open_connection_was_not_closed_yet(self, pair):
        ours, _ = pair
        ours.send(b"x")
        assert was_closed_before(ours) is None

    def test_a_fin_alone_does_not_say_that_the_peer_reads_no_more(self, pair):
        ours, theirs = pair
        theirs.shutdown(socket.SHUT_WR)
        wait_until(lambda: not is_established(read_tcp_info(ours)))
        ours.send(b"x")
        assert theirs.recv(1) == b"x"
        assert was_closed_before(ours) is None

    def test_a_reset_after_the_fin_says_so(self, pair):
        ours, theirs = pair
        theirs.close()
        wait_until(lambda: not is_established(read_tcp_info(ours)))
        ours.send(b"x")
        wait_for_reset(ours)
        assert was_closed_before(ours) is True

    def test_it_does_so_after_the_error_was_taken(self, pair):
        """As the engine does over TLS, where OpenSSL would clear the error."""
        ours, theirs = pair
        theirs.close()
        wait_until(lambda: not is_established(read_tcp_info(ours)))
        ours.send(b"x")
        wait_for_reset(ours)
        error = take_error(ours)
        assert error == errno.EPIPE
        assert was_closed_before(ours, error) is True
        assert was_closed_before(ours) is False, "without the error there is no proof"

    @pytest.mark.parametrize("written", [b"", b"x"])
    def test_a_reset_alone_does_not(self, pair, written):
        ours, theirs = pair
        if written:
            ours.send(written)
        reset(theirs)
        wait_for_reset(ours)
        error = take_error(ours)
        assert error == errno.ECONNRESET
        assert was_closed_before(ours, error) is False

    def test_a_peer_that_did_not_read_all_resets_and_proves_nothing(self, pair):
        ours, theirs = pair
        ours.send(b"x" * 100)
        assert theirs.recv(1) == b"x"
        theirs.close()
        wait_for_reset(ours)
        assert was_closed_before(ours) is False

    def test_a_socket_that_is_closed_proves_nothing(self, pair):
        ours, _ = pair
        ours.close()
        assert was_closed_before(ours) is False


def test_there_is_no_error_to_take_from_an_open_connection(pair):
    assert take_error(pair[0]) == 0
