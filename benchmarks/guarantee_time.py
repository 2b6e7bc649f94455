# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What the guarantee costs a delivery: the time that a task spends on its claim, in the task state store or the ledger.

One run of a real Airflow on PostgreSQL has 40 tasks of each kind, one after the other and in turn; each delivers one
event to a receiver on loopback. In the process of the task, every call that the guarantee adds is timed: to open the
place of the claim, to look for a claim, to claim, and to record. To open a ledger, its connection is fetched from
Airflow, and the database is connected to. PostgreSQL waits for the disk, as in production. The figures are medians. The
exit status is 1 if the ledger takes more than half of the time. Run it with ``python -m benchmarks.guarantee_time``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.ledgers import CONN_ID, create_ledger
from tests.servers import OK, raw_server
from tests.system.deployment import run_airflow
from tests.system.postgres import run_postgres

KINDS = ("task state store", "ledger")
PARTS = ("open", "look for a claim", "claim", "record")
"""The calls that the guarantee adds."""
DETAILS = ("open: connection from Airflow", "open: connect, check version", "open: connect", "open: driver", "pause")
"""What opening a ledger consists of, each with those after it; and the pauses of endpoints, which a ledger adds."""
MOST = 0.5
"""How much of the time with the task state store the ledger may take."""
DAG = """
import os, sys, time
from datetime import datetime, timedelta, timezone
from airflow.sdk import DAG, get_current_context, task
from airflow_provider_hooks._runtime import ledger
from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.events.event import OwnEventDraft
from airflow_provider_hooks.hooks import endpoint
from airflow_provider_hooks.ledger import database
from airflow_provider_hooks.ledger.claims import LedgerClaimStore

spent, inside = {}, []

def watch(owner, name, part):
    original = getattr(owner, name)

    def timed(*arguments, **named):
        # The task state store writes and reads back to claim: that is one call. Only the details of opening are nested.
        if inside and not (part.startswith("open: ") and inside[0] == "open"):
            return original(*arguments, **named)
        inside.append(part)
        began = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - began
            inside.pop()

    setattr(owner, name, timed)

for owner in (endpoint, ledger):
    watch(owner, "open_ledger", "open")
watch(endpoint, "open_task_claim", "open")
watch(ledger, "read_ledger_target", "open: connection from Airflow")
watch(ledger, "check_version", "open: connect, check version")
watch(database, "_import_driver", "open: driver")
watch(database.Database, "_connect", "open: connect")
watch(endpoint, "find_pause", "pause")
watch(endpoint, "update_pause", "pause")
for store in (TaskStateClaimStore, LedgerClaimStore):
    watch(store, "load", "look for a claim")
    watch(store, "acquire", "claim")
    watch(store, "save", "record")

def deliver(kind):
    if kind == "ledger":
        os.environ["AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID"] = CONN_ID
    is_imported = "psycopg2" in sys.modules
    began = time.perf_counter()
    record = endpoint.EndpointHook().deliver("orders.loaded", draft(), context=get_current_context())
    seconds = time.perf_counter() - began
    return {"parts": spent, "all": seconds - record["duration_ms"] / 1000, "psycopg2": is_imported}

def draft():
    defaults = {"id": "orders-1", "datetime": datetime.now(timezone.utc), "source": "https://example.com/"}
    return OwnEventDraft(event_type="orders.loaded", data={"orders": 12}, defaults=defaults)

OPTIONS = {"retries": 3, "retry_delay": timedelta(seconds=1)}  # a busy machine may not start a task in time

with DAG("guarantee_time", default_args=OPTIONS, schedule=None, is_paused_upon_creation=False, max_active_tasks=1):
    for number in range(TIMES):
        for kind in ("task state store", "ledger"):
            task(task_id=f"{kind.replace(' ', '_')}-{number}", priority_weight=TIMES - number)(deliver)(kind)
"""


def measure(folder: Path, *, times: int) -> dict[str, list[dict]]:
    """Return what each task of each kind spent, in seconds, by part."""
    # If it is set, no compiled module is stored, unlike in an installed package.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in ("home", "dags"):
        (folder / name).mkdir()
    (folder / "dags" / "guarantee_time.py").write_text(f"TIMES, CONN_ID = {times}, {CONN_ID!r}\n{DAG}")
    settings = {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
    }
    with (
        raw_server(OK) as received,
        run_postgres(waits_for_disk=True) as server,
        run_airflow(folder / "home", folder / "dags", url=server.url, **settings) as airflow,
    ):
        endpoint = {"conn_type": "service_hook", "host": received.url, "password": "a-secret-of-ours"}
        airflow.set_connections({"service_hook_default": endpoint, CONN_ID: create_ledger(server)})
        airflow.trigger("guarantee_time", "r1")
        tasks = airflow.wait_for_run("guarantee_time", "r1", seconds=60 + 20 * times)
        assert {task["state"] for task in tasks} == {"success"}, tasks[0]
        found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
        for kind in KINDS:
            for number in range(times):
                (spent,) = airflow.read_returned("guarantee_time", "r1", f"{kind.replace(' ', '_')}-{number}").values()
                found[kind].append(spent)
    return found


def find_medians(found: list[dict]) -> dict[str, float]:
    """Return the median milliseconds of each part, of all parts of the guarantee, and of the whole delivery."""
    rows = {part: [spent["parts"].get(part, 0.0) for spent in found] for part in (*PARTS, *DETAILS)}
    rows["guarantee"] = [sum(spent["parts"].get(part, 0.0) for part in PARTS) for spent in found]
    rows["delivery without its request"] = [spent["all"] for spent in found]
    return {name: statistics.median(values) * 1000 for name, values in rows.items()}


def measure_import() -> float:
    """Return the median milliseconds that a fresh process takes to import the driver."""
    program = "import time; t = time.perf_counter(); import psycopg2; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(9)]
    return statistics.median(float(run.stdout) for run in runs) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=40, help="of each kind")
    parser.add_argument("--json", type=Path, help="where to write what each task spent")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), times=arguments.tasks)
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    medians = {kind: find_medians(found[kind]) for kind in KINDS}
    print(f"{arguments.tasks} tasks of each kind, medians in ms")
    print(f"{'':<30}" + "".join(f"{kind:>18}" for kind in KINDS))
    for name in medians[KINDS[0]]:
        print(f"{name:<30}" + "".join(f"{medians[kind][name]:>18.1f}" for kind in KINDS))
    imported = sum(spent["psycopg2"] for spent in found["ledger"])
    print(
        f"psycopg2 was imported before in {imported} of {arguments.tasks}; importing it takes {measure_import():.0f} ms"
    )
    ratio = medians["ledger"]["guarantee"] / medians["task state store"]["guarantee"]
    print(f"the ledger takes {ratio:.2f} of the task state store; target: at most {MOST}")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
