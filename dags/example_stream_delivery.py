# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Deliver a file of events, each at most once, with two mapped tasks in parallel.

The file has one line of JSON for each event. Each shard delivers the lines that begin in its part of the file, with its
own claims and records. A retry sends exactly what its shard has not sent, and nothing twice.
"""

import json
import os

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator

FOLDER = ObjectStoragePath(os.environ.get("REPLAYS", "file:///tmp/replays"))
SHARDS = 2


@task
def write_events(*, ts):
    """Write the events to a file and return its path; the file is complete before anything is sent."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{ts}.jsonl"
    names = {"project": "orders", "project_id": "42", "project_name": "Orders", "url": "https://example.com/orders"}
    with path.open("w") as file:
        for number in range(1_000):
            event = {"id": f"order-{number}", "message": f"Order {number} was loaded", "datetime": ts, **names}
            file.write(json.dumps(event) + "\n")
    return str(path)


with DAG("example_stream_delivery", schedule=None, default_args={"retries": 3}, tags=["service hooks"], doc_md=__doc__):
    DeliverEventStreamOperator.partial(
        task_id="deliver",
        events=write_events(),
        records_path=str(FOLDER / "records"),
        rate_limit=2_000,
    ).expand(shard=[(index, SHARDS) for index in range(SHARDS)])
