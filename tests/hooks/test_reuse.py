# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Which deliveries of one hook share a connection: those of one thread and process to one unchanged endpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
import warnings
from dataclasses import replace

import pytest

from airflow_provider_hooks.hooks.endpoint import EndpointHook
from tests.airflow_context import make_context
from tests.events_data import ALERT
from tests.servers import OK, raw_server, read_request
from tests.timing import PATIENT_SECONDS


@pytest.fixture
def receiver(connect):
    """A receiver with persistent connections; the default endpoint is its URL."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(OK)
        while request := read_request(connection):
            receiver.requests.append(request)
            connection.sendall(OK)

    with raw_server(answer) as receiver:
        connect(receiver.url)
        yield receiver


def deliver(hook: EndpointHook) -> str:
    return hook.deliver("event.alert", ALERT, context=make_context())["outcome"]


def run_in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results


def test_deliveries_of_one_hook_share_a_connection(receiver):
    hook = EndpointHook()
    assert [deliver(hook) for _ in range(3)] == ["delivered"] * 3
    assert (receiver.connections, len(receiver.requests)) == (1, 3)


def test_each_thread_has_its_own_engine_and_connections(receiver):
    hook = EndpointHook()
    endpoint = hook.get_conn()
    deliver(hook)
    assert run_in_thread(lambda: deliver(hook)) == ["delivered"]
    assert (receiver.connections, len(receiver.requests)) == (2, 2)
    (other,) = run_in_thread(lambda: hook._sender.engine_for(endpoint))
    assert other is not hook._sender.engine_for(endpoint)
    assert hook._sender.engine_for(endpoint) is hook._sender.engine_for(endpoint)
    other.close()


@pytest.mark.parametrize("change", ["path", "timeout", "ca_file"])
def test_a_changed_endpoint_or_limit_closes_the_engine_and_its_connections(receiver, connect, monkeypatch, change):
    hook = EndpointHook()
    deliver(hook)
    before = hook._sender.engine_for(hook.get_conn())
    (connection,) = before._connections.values()
    if change == "path":
        connect(f"{receiver.url}/other")
    elif change == "timeout":
        connect(receiver.url, timeout=3)
    else:
        hook._sender._settings = replace(hook._settings, ca_file="/another.pem")
    assert deliver(hook) == "delivered"
    assert hook._sender.engine_for(hook.get_conn()) is not before
    assert connection.sock.fileno() == -1
    assert (receiver.connections, len(receiver.requests)) == (2, 2)


def test_a_new_secret_is_used_without_closing_the_connection(receiver, connect):
    hook = EndpointHook()
    deliver(hook)
    connect(receiver.url, password="another-secret-of-ours", scheme="sentry")
    deliver(hook)
    assert receiver.connections == 1
    signatures = {
        line for request in receiver.requests for line in request.split(b"\r\n") if b"signature" in line.lower()
    }
    assert len(signatures) == 2


class TestForks:
    def test_another_process_opens_its_own_connection(self, receiver, monkeypatch):
        hook = EndpointHook()
        deliver(hook)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert deliver(hook) == "delivered"
        assert (receiver.connections, len(receiver.requests)) == (2, 2)

    def test_the_connection_of_the_parent_is_usable_after_a_delivery_of_the_child(self, receiver):
        hook = EndpointHook()
        deliver(hook)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about forks with threads
            child = os.fork()
        if not child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            status = 1
            with contextlib.suppress(BaseException):
                status = 0 if deliver(hook) == "delivered" else 1
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert deliver(hook) == "delivered"
        assert (receiver.connections, len(receiver.requests)) == (2, 3), "one of the parent, one of the child"


def test_the_connection_test_sends_nothing_and_closes_its_connection(receiver):
    hook = EndpointHook()
    deliver(hook)
    assert hook.test_connection()[0]
    assert deliver(hook) == "delivered"
    deadline = time.monotonic() + PATIENT_SECONDS
    while receiver.connections < 2 and time.monotonic() < deadline:  # accepted in another thread
        time.sleep(0.01)
    assert (receiver.connections, len(receiver.requests)) == (2, 2)
