# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A sender for these tests, in a deployment that lists one address of loopback and nothing else."""

from __future__ import annotations

import pytest
from airflow.sdk._shared.secrets_masker import _secrets_masker

from tests.security.deliveries import Sender
from tests.security.hostile import write_authority
from tests.servers import OK, raw_server
from tests.timing import PATIENT_SECONDS

_warm: list[bool] = []


@pytest.fixture(scope="session")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_authority(tmp_path_factory.mktemp("authority") / "ca.pem")


@pytest.fixture
def masked_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Airflow forget the secrets of a test: it searches for all of them at once, and some here are huge."""
    masker = _secrets_masker()
    monkeypatch.setattr(masker, "patterns", set(masker.patterns))
    monkeypatch.setattr(masker, "replacer", masker.replacer)


@pytest.fixture
def sender(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    ca_file: str,
    allow_loopback: None,
    masked_secrets: None,
) -> Sender:
    sender = Sender(monkeypatch, capfd, caplog)
    sender.set(connect_timeout=PATIENT_SECONDS, ca_file=ca_file)
    if not _warm:
        # What Airflow imports at the first delivery of a process is no part of any delivery's time and memory.
        with raw_server(OK) as receiver:
            sender.connect(receiver.url)
            assert sender.deliver().error is None
        _warm.append(True)
    return sender
