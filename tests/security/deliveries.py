# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Deliveries through ``EndpointHook``, with their outcome, time, memory and all output."""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import json
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import parse_headers
from urllib.parse import quote, quote_plus

import psutil
import pytest

from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.http import connect as connect_module
from airflow_provider_hooks.signing import SCHEMES
from tests.airflow_context import StateStore, make_context
from tests.events_data import ALERT
from tests.timing import PATIENT_SECONDS

CONN_ID = "hostile"
SECRET = "s3cret+value/with=signs"
TIMEOUT, CONNECT_TIMEOUT = 1.0, 0.8
"""For deliveries that must time out."""


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """The result of a delivery."""

    record: dict | None
    """The record that ``deliver`` returned or that the claim has; ``None`` if there is no claim."""
    error: Exception | None
    seconds: float
    memory_growth: int | None
    """Bytes by which the memory of the process grew at its peak, if it was measured."""
    output: str
    """All output: both standard streams, the log, the error with its traceback, the stored claims and the result."""

    @property
    def outcome(self) -> tuple[str, str | None]:
        """The outcome and the error class of the record."""
        assert self.record is not None, self.error
        return self.record["outcome"], self.record["error_class"]


class Sender:
    """Delivers through an unpatched ``EndpointHook``, with a connection from the environment."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        self._monkeypatch, self._capfd, self._caplog = monkeypatch, capfd, caplog

    def set(self, **options: object) -> None:
        """Set options of the section ``[service_hooks]``."""
        for name, value in options.items():
            self._monkeypatch.setenv(f"AIRFLOW__SERVICE_HOOKS__{name.upper()}", str(value))

    def connect(self, url: str, *, password: str = SECRET, timeout: float = PATIENT_SECONDS, **extra: object) -> None:
        extra = {"timeout": timeout, **extra}
        connection = {"conn_type": "service_hook", "host": url, "password": password, "extra": extra}
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))

    def deliver(
        self,
        payload: object = None,
        *,
        run: Callable[..., object] | None = None,
        hook: EndpointHook | None = None,
        store: StateStore | None = None,
        try_number: int = 1,
        measures_memory: bool = False,
    ) -> DeliveryResult:
        """
        Deliver an event and return the result.

        :param run: an operator's ``execute``, called instead of the hook's ``deliver``
        :param measures_memory: whether the memory is sampled, which takes longer than most deliveries
        """
        store = store or StateStore()
        context = make_context(store, try_number=try_number)
        hook, error, returned = hook or EndpointHook(CONN_ID), None, None
        self._caplog.clear()
        self._capfd.readouterr()
        with _measure_memory() if measures_memory else contextlib.nullcontext() as memory:
            started = time.monotonic()
            try:
                if run is None:
                    event = dict(ALERT) if payload is None else payload
                    returned = hook.deliver("event.alert", event, context=context)
                else:
                    returned = run(context)
            except Exception as caught:  # noqa: BLE001  (the tests check its type)
                error = caught
            seconds = time.monotonic() - started
        claims = [json.loads(text) for text in store.stored.values()]
        record = returned or next((claim["record"] for claim in claims), None)
        trace = "".join(traceback.format_exception(error)) if error else ""
        outputs = (*self._capfd.readouterr(), self._caplog.text, trace, repr(error), _show(claims), _show(returned))
        return DeliveryResult(
            record=record,
            error=error,
            seconds=seconds,
            memory_growth=memory[1] - memory[0] if memory else None,
            output="\n".join(outputs),
        )


def _show(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextlib.contextmanager
def _measure_memory() -> Iterator[list[int]]:
    """Sample the resident memory; yield its size at the start and its peak."""
    process, done = psutil.Process(), threading.Event()
    sizes = [process.memory_info().rss] * 2

    def sample() -> None:
        while not done.wait(0.002):
            sizes[1] = max(sizes[1], process.memory_info().rss)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield sizes
    finally:
        done.set()
        thread.join()
        sizes[1] = max(sizes[1], process.memory_info().rss)


def list_encodings(value: str) -> Iterable[str]:
    """Return the encodings in which a receiver may send a private value back."""
    raw = value.encode()
    yield from (value, quote(value, safe=""), quote_plus(value), raw.decode("latin-1"), raw.hex())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode().rstrip("=")
        yield from (encode(before + raw).decode()[4:-4] for before in (b"x", b"xy"))  # within a longer text


def list_signatures(request: bytes) -> list[str]:
    """Return the signatures of a received request, each with and without its prefix."""
    found = []
    lines = [line.partition(": ") for line in request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")]
    for scheme in SCHEMES.values():
        for signature in next((value for name, _, value in lines if name == scheme.signature_header), "").split():
            found += [signature, *re.findall(r"[^\s,;:=]{16,}", signature)]
    return found


def find_leaks(output: str, *, secret: str = SECRET, requests: Iterable[bytes] = ()) -> list[str]:
    """Return the private values that an output contains, in any encoding and case; there must be none."""
    private_values = [secret, *(signature for request in requests for signature in list_signatures(request))]
    shown = output.lower()
    return [encoded for value in private_values for encoded in list_encodings(value) if encoded.lower() in shown]


def refuse_connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """
    Refuse every connection below the package; return a list of the addresses of the refused connections.

    A test of a blocked address opens no connection even if the address policy fails.
    """
    refused: list[object] = []

    class RefusedSocket(socket.socket):
        def connect_ex(self, address: object) -> int:
            refused.append(address)
            return errno.ECONNREFUSED

    monkeypatch.setattr(connect_module.socket, "socket", RefusedSocket)
    return refused


def split_request(request: bytes) -> tuple[Message, bytes]:
    """Return the headers and the body of a request, parsed like the HTTP server of the standard library."""
    head, _, body = request.partition(b"\r\n\r\n")
    return parse_headers(io.BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n")), body
