# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A task's context for operators without a database: a dictionary stands for the task state store."""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

from pydantic import JsonValue, TypeAdapter

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""A secret that is valid for every scheme."""


_JSON = TypeAdapter(JsonValue)


class StateStore:
    """Stores JSON, as Airflow's accessor does, and refuses other values, such as a tuple."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.retention: object = None

    def get(self, key, default=None):
        return json.loads(self.stored[key]) if key in self.stored else default

    def set(self, key, value, *, retention=None):
        self.stored[key] = json.dumps(_JSON.validate_python(value))
        self.retention = retention


def make_context(
    store: StateStore | None = None, *, try_number: int = 1, max_tries: int = 3, retries: int = 3, **ti_fields: object
) -> dict[str, object]:
    """Return a context; another try has the same store, and a cleared task another ``max_tries``."""
    ti = SimpleNamespace(
        dag_id="a_dag",
        task_id="a_task",
        run_id="a_run",
        map_index=-1,
        try_number=try_number,
        max_tries=max_tries,
        log_url="http://localhost:8080/dags/a_dag/runs/a_run/tasks/a_task?try_number=1",
    )
    vars(ti).update(ti_fields)
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)
    dag_run = SimpleNamespace(data_interval_end=noon, run_after=noon)
    task = SimpleNamespace(retries=retries)
    return {"ti": ti, "task": task, "dag_run": dag_run, "task_state_store": store or StateStore()}
