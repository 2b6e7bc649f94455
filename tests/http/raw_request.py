# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Single requests sent by the real engine, and the attempt that a record stores for each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from airflow_provider_hooks.delivery.record import Attempt, attempt_from_result
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import Connector, Limits
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.http.urls import Target, parse_url

BODY = b'{"id":"abc"}'


@dataclass(frozen=True)
class RawRequest:
    """A request as the engine sends it."""

    request: bytes


def make_raw_request(target: Target, headers: Mapping[str, str] = {}, body: bytes = BODY) -> RawRequest:
    lines = {"Host": target.authority, **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return RawRequest(f"POST {target.request_target} HTTP/1.1\r\n{head}\r\n".encode() + body)


@contextmanager
def open_engine(url: str, *, policy: NetworkPolicy, limits: Limits) -> Iterator[Engine[RawRequest]]:
    engine: Engine[RawRequest] = Engine(Connector(parse_url(url), policy=policy, limits=limits), timeout=limits.timeout)
    try:
        yield engine
    finally:
        engine.close()


def send_once(
    url: str,
    *,
    policy: NetworkPolicy,
    limits: Limits,
    headers: Mapping[str, str] = {},
    body: bytes = BODY,
    sensitive: tuple[str, ...] = (),
) -> Attempt:
    """Send one request on a new connection."""
    with open_engine(url, policy=policy, limits=limits) as engine:
        return send_with(engine, url, headers=headers, body=body, sensitive=sensitive)


def send_with(
    engine: Engine[RawRequest],
    url: str,
    *,
    headers: Mapping[str, str] = {},
    body: bytes = BODY,
    sensitive: tuple[str, ...] = (),
) -> Attempt:
    """Send one request on a new or a reused connection of the engine."""
    started = time.monotonic()
    attempt = attempt_from_result(engine.send_one(make_raw_request(parse_url(url), headers, body)), sensitive=sensitive)
    assert attempt.duration_ms <= (time.monotonic() - started) * 1000 + 1
    return attempt
