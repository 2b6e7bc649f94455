# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The operator itself, in a task of a real Airflow: every guard, every claim in Airflow's state store, every record.

The run is ``dag.test()``: the real Execution API and a real SQLite, in this process, so that the claims cost their full
price on the sender's core.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

DAG = """
import os, sys
sys.path.insert(0, {here!r})
from airflow.sdk import DAG
from common import measured, read_arguments
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator

class MeasuredOperator(DeliverEventStreamOperator):
    def execute(self, context):
        arguments = read_arguments()
        with measured(arguments):
            result = super().execute(context)
        assert result["delivered"] == result["total"], result
        return result

with DAG("bulk_benchmark", schedule=None) as dag:
    MeasuredOperator(
        task_id="deliver", events={events!r}, records_path={records!r}, shard={shard!r}, on_invalid="skip"
    )
"""


def main() -> None:
    values = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    home = Path(values["--home"])
    shard = json.loads(values.get("--shard", "null"))
    with tempfile.TemporaryDirectory(dir=home) as folder:
        dags = Path(folder) / "dags"
        dags.mkdir()
        values_of_dag = {
            "here": str(Path(__file__).parent),
            "events": values["--events"],
            "records": f"{folder}/records",
        }
        (dags / "bulk_benchmark.py").write_text(DAG.format(**values_of_dag, shard=shard and tuple(shard)))
        os.environ |= {
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
            "AIRFLOW__SERVICE_HOOKS__CA_FILE": values.get("--ca", ""),
            "AIRFLOW_CONN_SERVICE_HOOK_DEFAULT": json.dumps(
                {"conn_type": "service_hook", "host": values["--url"], "password": values["--secret"]}
            ),
        }
        for name in ("--home", "--shard", "--secret"):
            if name in sys.argv:
                place = sys.argv.index(name)
                del sys.argv[place : place + 2]
        run_dag(dags, "bulk_benchmark")


def run_dag(dags: Path, dag_id: str) -> tuple[float, float]:
    """Run a Dag of a folder in this process; return the seconds and the CPU seconds that it took."""
    # Airflow reads its configuration when it is first imported.
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415
    from airflow.sdk.execution_time import supervisor  # noqa: PLC0415

    supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)
    bag = DagBag(dag_folder=str(dags), bundle_path=dags, bundle_name="benchmarks")
    assert not bag.import_errors, bag.import_errors
    started, cpu = time.monotonic(), time.process_time()
    run = bag.dags[dag_id].test()
    assert run.state == "success", run.state
    return time.monotonic() - started, time.process_time() - cpu


if __name__ == "__main__":
    main()
