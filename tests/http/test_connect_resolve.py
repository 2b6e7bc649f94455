# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import socket

import pytest

from airflow_provider_hooks.exceptions import ResolverError
from airflow_provider_hooks.http.connect import resolve


def test_each_resolved_address_is_returned_once(monkeypatch):
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_args, **_options: [(2, 1, 6, "", ("10.0.0.1", 1))] * 2 + [(10, 1, 6, "", ("::1", 1))],
    )
    assert resolve("host", 1) == ["10.0.0.1", "::1"]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_resolver_failure_is_raised_as_resolver_error(monkeypatch, error):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ResolverError, match="could not be resolved"):
        resolve("host", 1)
