# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Runs the stream operator with the URL of a server and returns the records."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from airflow.sdk.bases.operator import ExecutorSafeguard

from airflow_provider_hooks._runtime.compat import AirflowException, AirflowFailException
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator as StreamOperator
from tests.airflow_context import SECRET, StateStore, make_context

RETRIES = 10
"""The number of retries of the task; each is another call of ``execute`` with the same state store."""
RETRY_SECONDS = 1.0
"""The pause before a retry; Airflow's default of 5 minutes would only slow the tests down."""


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """The records of a stream, the number of tries, and the seconds that they took together."""

    records: list[Mapping[str, object]]
    tries: int
    seconds: float


def run_stream(url: str, events: Path, *, folder: Path, rate_limit: float | None, ca_file: Path | None) -> StreamResult:
    """Deliver a file of events with the operator's defaults, and retry as Airflow does, until no retry is left."""
    environment = {
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        "AIRFLOW__SERVICE_HOOKS__CA_FILE": str(ca_file or ""),
        "AIRFLOW_CONN_SERVICE_HOOK_DEFAULT": json.dumps({"conn_type": "service_hook", "host": url, "password": SECRET}),
    }
    store, started = StateStore(), time.monotonic()
    tries = 0
    is_outside_a_runner = mock.patch.object(ExecutorSafeguard, "test_mode", True)
    with mock.patch.dict(os.environ, environment), is_outside_a_runner:
        for tries in range(1, RETRIES + 2):
            context = make_context(store, try_number=tries, max_tries=RETRIES, xcom_push=lambda key, value: None)
            operator = StreamOperator(
                task_id="a_task", events=str(events), records_path=str(folder / "records"), rate_limit=rate_limit
            )
            try:
                operator.execute(context)
            except AirflowFailException:  # the task fails without a retry
                break
            except AirflowException:  # Airflow retries the task
                time.sleep(RETRY_SECONDS)
            else:
                break
    seconds = time.monotonic() - started
    parts = sorted((folder / "records").rglob("segment-*.jsonl"))
    records = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    return StreamResult(records=records, tries=tries, seconds=seconds)
