# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One event, one task: what a delivery costs beyond an operator that does nothing, in a whole Airflow of its own."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent / "tests"), str(Path(__file__).parent.parent / "tests" / "system")]

from deployment import run_airflow  # noqa: E402  (the tests' own)

DAG = """
from airflow.sdk import DAG, BaseOperator
from airflow_provider_hooks.operators.delivery import DeliverEventCreatedOperator

class NothingOperator(BaseOperator):
    def __init__(self, *, number, **kwargs):
        super().__init__(**kwargs)
        self.number = number

    def execute(self, context):
        return {"nothing": self.number}

with DAG("single_task", schedule=None, is_paused_upon_creation=False, max_active_tasks=1):
    NothingOperator.partial(task_id="nothing").expand(number=list(range(TIMES)))
    DeliverEventCreatedOperator.partial(task_id="deliver", message="One event").expand(
        event_id=[f"event-{number}" for number in range(TIMES)]
    )
"""


def measure(home: Path, url: str, *, times: int) -> tuple[float, float]:
    """Return the median milliseconds of a task that does nothing, and of one that delivers."""
    dags = home / "dags"
    dags.mkdir(exist_ok=True)
    (dags / "single_task.py").write_text(DAG.replace("TIMES", str(times)))
    connection = json.dumps({"conn_type": "service_hook", "host": url, "password": "a-secret-of-ours"})
    with run_airflow(
        home,
        dags,
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__PARALLELISM="1",
        AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS="127.0.0.1",
        AIRFLOW_CONN_SERVICE_HOOK_DEFAULT=connection,
    ) as deployment:
        deployment.trigger("single_task", "r1")
        tasks = deployment.wait_for_run("single_task", "r1", seconds=60 + 10 * times)
    assert {task["state"] for task in tasks} == {"success"}, tasks

    def find_median(task_id: str) -> float:
        return statistics.median(task["duration"] * 1000 for task in tasks if task["task_id"] == task_id)

    return find_median("nothing"), find_median("deliver")


if __name__ == "__main__":
    nothing, deliver = measure(Path(sys.argv[1]), sys.argv[2], times=int(sys.argv[3]))
    print(json.dumps({"nothing_ms": round(nothing, 1), "deliver_ms": round(deliver, 1)}))
