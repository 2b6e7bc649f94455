# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
One event, one task: what a delivery costs beyond an operator that does nothing, in a separate Airflow.

Between the two is an operator that only makes the same calls to Airflow: it has the same template fields, which Airflow
renders and stores, reads the configuration and the connection, masks the secret, and reads, writes, reads back and
settles a claim. No delivery with this guarantee can take less.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.system.deployment import run_airflow

DAG = """
from airflow.sdk import DAG, BaseOperator, conf
from airflow.sdk.log import mask_secret
from airflow_provider_hooks.operators.delivery import DeliverEventCreatedOperator

class NothingOperator(BaseOperator):
    def execute(self, context):
        return {"nothing": True}

class ClaimOnlyOperator(BaseOperator):
    template_fields = DeliverEventCreatedOperator.template_fields

    def __init__(self, *, message, **kwargs):
        super().__init__(**kwargs)
        for name in self.template_fields:
            setattr(self, name, None)
        self.message = message

    def execute(self, context):
        from airflow.sdk import BaseHook

        conf.getsection("service_hooks")
        mask_secret(BaseHook.get_connection("service_hook_default").password)
        store, claim = context["task_state_store"], {"claim": "c" * 600}
        store.get("claim")
        store.set("claim", claim)
        store.get("claim")
        store.set("claim", claim)
        return {"nothing": True}

with DAG("single_task", schedule=None, is_paused_upon_creation=False, max_active_tasks=1):
    for number in range(TIMES):
        NothingOperator(task_id=f"nothing-{number}")
        ClaimOnlyOperator(task_id=f"claim-{number}", message="One event")
        DeliverEventCreatedOperator(task_id=f"deliver-{number}", message="One event")
"""
KINDS = ("nothing", "claim", "deliver")
MOST_MILLISECONDS = 20
"""How much longer than a task with the same Airflow calls a delivery may take."""


def measure(home: Path, url: str, *, times: int) -> dict[str, float]:
    """Return the median milliseconds of each kind of task, from its start to its end as Airflow keeps them."""
    # If it is set, no compiled module is stored, unlike in an installed package.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    dags = home / "dags"
    dags.mkdir(exist_ok=True)
    (dags / "single_task.py").write_text(DAG.replace("TIMES", str(times)))
    connection = json.dumps({"conn_type": "service_hook", "host": url, "password": "a-secret-of-ours"})
    with run_airflow(
        home,
        dags,
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__PARALLELISM="1",
        AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL="300",
        AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS="127.0.0.1",
        AIRFLOW_CONN_SERVICE_HOOK_DEFAULT=connection,
    ) as deployment:
        deployment.trigger("single_task", "r1")
        tasks = deployment.wait_for_run("single_task", "r1", seconds=60 + 10 * times)
    assert {task["state"] for task in tasks} == {"success"}, tasks
    return {
        kind: statistics.median(task["duration"] * 1000 for task in tasks if task["task_id"].startswith(f"{kind}-"))
        for kind in KINDS
    }


def describe(seconds: dict[str, float]) -> str:
    """Report what a delivery costs, and how much of that is not Airflow's."""
    nothing, claim, deliver = (seconds[kind] for kind in KINDS)
    beyond = f"{deliver - claim:.1f} ms, target: at most {MOST_MILLISECONDS}"
    return "\n".join(
        [
            f"a task that does nothing: {nothing:.0f} ms",
            f"one that only makes the same calls to Airflow: {claim:.0f} ms, {claim - nothing:+.0f} ms",
            f"one that delivers: {deliver:.0f} ms, {deliver - nothing:+.0f} ms",
            f"a delivery beyond the same calls to Airflow: {beyond}",
        ]
    )


if __name__ == "__main__":
    print(describe(measure(Path(sys.argv[1]), sys.argv[2], times=int(sys.argv[3]))))
