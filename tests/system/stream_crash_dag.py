# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The Dag of the stream crash suite: delivers files of events, and injects faults into the first tries.

This file is copied into the Dags folder of a real Airflow, next to a JSON file of the same name with the trials.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
from airflow.sdk import DAG

from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
from airflow_provider_hooks.stream.recorder import EventRecorder
from airflow_provider_hooks.stream.stream import _Stream

TRIALS = json.loads(Path(__file__).with_suffix(".json").read_text())
MARKS = Path(TRIALS["marks"])
WAIT_SECONDS = 20
"""How long a try waits for its fault; a try that was suspended does not wait again."""


class FaultInjector:
    """
    Injects a fault the n-th time that this try reaches a point, or at the end of the try.

    :param fault: the point, the number of times, and the fault
    :param name: the trial and the number of this try
    :param next_name: the same of the next try; suspended processes continue after it has started
    """

    def __init__(self, fault: dict, *, name: str, next_name: str) -> None:
        self._fault, self._mark = fault, MARKS / f"{name}.armed"
        self._left = fault["number"]
        self._is_done = False
        self._supervisor = os.getppid()
        processes = [os.pidfd_open(os.getpid()), os.pidfd_open(self._supervisor)]
        marks = (MARKS / f"{name}.injected", MARKS / f"{next_name}.begun")
        arguments = (fault["fault"], fault["seconds"], fault["resume_seconds"], *marks, *processes)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", TRIALS["killer"], *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=processes,
            start_new_session=True,  # a supervisor that still runs kills the process group of its task
        )

    def reach(self, point: str, stream: _Stream | None = None) -> None:
        """Record that this try has reached a point; if it is the point of the fault, inject it and wait for it."""
        wanted, is_last_chance = self._fault["point"], point in {"before_done", "before_stop"}
        self._left -= point == wanted
        if self._left <= 0 or is_last_chance:
            if not self._is_done:
                self._inject(point, stream)
            if is_last_chance or point not in {"mid_batch", "any_time"}:
                self._wait()

    def _inject(self, point: str, stream: _Stream | None) -> None:
        self._is_done = True
        mark = {"point": point, "fault": self._fault["fault"]}
        if stream is not None:
            mark |= {"batch": stream._claim.batch, "size": stream._claim.size}
        self._mark.write_text(json.dumps(mark))
        self._process.stdin.write(b"!")
        self._process.stdin.flush()

    def _wait(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self._process.poll() is None and os.getppid() == self._supervisor and time.monotonic() < deadline:
            time.sleep(0.02)


def watch(injector: FaultInjector, watched_class: type, method: str, *, before: str = "", after: str = "") -> None:
    """Notify the injector when a method is called, and when it has returned."""
    original = getattr(watched_class, method)

    def watched(self, *arguments, **named):
        stream = self if watched_class is _Stream else None
        if before:
            injector.reach(before, stream)
        result = original(self, *arguments, **named)
        if after:
            injector.reach(after, stream)
        return result

    setattr(watched_class, method, watched)


def arm(injector: FaultInjector) -> None:
    """Watch every point of a try."""
    watch(injector, _Stream, "_acquire_batch", before="before_claim", after="after_claim")
    watch(injector, _Stream, "_send_claimed", before="any_time")
    watch(injector, Engine, "_send_on", before="mid_batch")
    watch(injector, _Stream, "_settle_batch", before="after_batch")
    watch(injector, EventRecorder, "write_unattempted", before="reporting")
    watch(injector, EventRecorder, "copy", before="reporting")
    watch(injector, _Stream, "_leave_to_next_try", before="before_stop")
    watch(injector, _Stream, "_record_unsent", before="before_stop")
    watch(injector, _Stream, "_finish", before="before_done", after="after_done")


class CrashingOperator(DeliverEventStreamOperator):
    """Delivers the events of one trial."""

    def __init__(self, *, trial: int, **kwargs):
        described = TRIALS["trials"][trial]
        super().__init__(
            events=described["events_path"],
            records_path=described["records_path"],
            concurrency=described["concurrency"],
            event_type="event.alert",
            on_invalid="skip",
            service_hook_conn_id=f"trial_{trial}",
            **kwargs,
        )
        self.trial = trial

    def execute(self, context):
        """Deliver, and inject the faults of the first tries."""
        url = f"http://127.0.0.1:{TRIALS['port']}/{self.trial}"
        endpoint = {"conn_type": "service_hook", "host": url, "password": "s3cret-of-ours"}
        os.environ[f"AIRFLOW_CONN_TRIAL_{self.trial}"] = json.dumps(endpoint)
        faults, number = TRIALS["trials"][self.trial]["faults"], context["ti"].try_number
        (MARKS / f"{self.trial}.{number}.begun").write_text(f"{os.getpid()} {psutil.Process().create_time()}")
        if number <= len(faults):
            names = {"name": f"{self.trial}.{number}", "next_name": f"{self.trial}.{number + 1}"}
            arm(FaultInjector(faults[number - 1], **names))
        return super().execute(context)


with DAG(Path(__file__).stem, schedule=None):
    CrashingOperator.partial(
        task_id="deliver", retries=3, retry_delay=timedelta(seconds=1), max_retry_delay=timedelta(seconds=1)
    ).expand(trial=list(range(len(TRIALS["trials"]))))
