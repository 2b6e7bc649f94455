# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Short pauses in the tests of streams, which wait for a receiver that cannot be reached."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.stream import throttle


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "BACKOFF_SECONDS", 0.005)
    monkeypatch.setattr(throttle, "MAX_BACKOFF_SECONDS", 0.02)
