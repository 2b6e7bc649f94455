# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The sender of these tests, in a deployment whose ``allowed_networks`` has one loopback address."""

from __future__ import annotations

import pytest

from tests.security.deliveries import Sender
from tests.security.hostile import write_authority
from tests.servers import OK, raw_server
from tests.timing import PATIENT_SECONDS

_warmed_up: list[bool] = []


@pytest.fixture(scope="session")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_authority(tmp_path_factory.mktemp("authority") / "ca.pem")


@pytest.fixture
def sender(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    ca_file: str,
    allow_loopback: None,
) -> Sender:
    sender = Sender(monkeypatch, capfd, caplog)
    sender.set(connect_timeout=PATIENT_SECONDS, ca_file=ca_file)
    if not _warmed_up:
        # The first delivery of a process imports modules of Airflow, whose time and memory must not be measured.
        with raw_server(OK) as receiver:
            sender.connect(receiver.url)
            assert sender.deliver().error is None
        _warmed_up.append(True)
    return sender
