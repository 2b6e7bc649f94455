# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The usual way today: one mapped ``HttpOperator`` task an event, in the same Airflow."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from send_operator import run_dag

DAG = """
import os, sys
sys.path.insert(0, {here!r})
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG
from common import prepare_by_hand, read_arguments, read_lines

sys.argv = ["bench", *{arguments!r}]
prepared = [prepare_by_hand(line) for line in read_lines(read_arguments())]
with DAG("http_benchmark", schedule=None) as dag:
    HttpOperator.partial(task_id="deliver", http_conn_id="receiver", endpoint="hook", method="POST").expand_kwargs(
        [{{"data": body.decode(), "headers": headers}} for headers, body in prepared]
    )
"""


def main() -> None:
    arguments = sys.argv[1:]
    url = arguments[arguments.index("--url") + 1]
    count = int(arguments[arguments.index("--count") + 1])
    with tempfile.TemporaryDirectory(dir=os.environ["AIRFLOW_HOME"]) as folder:
        dags = Path(folder)
        (dags / "http_benchmark.py").write_text(DAG.format(here=str(Path(__file__).parent), arguments=arguments))
        os.environ |= {
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW_CONN_RECEIVER": json.dumps({"conn_type": "http", "host": url.removesuffix("/hook")}),
        }
        seconds, cpu = run_dag(dags, "http_benchmark")
    print(json.dumps({"events": count, "seconds": seconds, "cpu": cpu, "memory": 0, "memory_before": 0}))


if __name__ == "__main__":
    main()
