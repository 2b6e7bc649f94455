# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The Dag of the stream crash suite: delivers files as anybody would, and has its own tries struck on the way.

Copied into the Dags folder of a real Airflow under the name of a run of trials, next to a file of JSON with the trials.
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
"""How long a try waits to be struck; one that slept does not wait again."""


class Striker:
    """
    Has this try struck when it comes to a point for so many times; at its end, if it never does.

    :param name: of the trial and the try
    :param next_name: of the next try, before which what was stopped does not go on
    """

    def __init__(self, strike: dict, *, name: str, next_name: str) -> None:
        self._strike, self._mark = strike, MARKS / f"{name}.armed"
        self._left = strike["number"]
        self._is_done = False
        self._supervisor = os.getppid()
        processes = [os.pidfd_open(os.getpid()), os.pidfd_open(self._supervisor)]
        marks = (MARKS / f"{name}.hit", MARKS / f"{next_name}.begun")
        told = (strike["how"], strike["seconds"], strike["resume_seconds"], *marks, *processes)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", TRIALS["killer"], *map(str, told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=processes,
            start_new_session=True,  # a supervisor that goes on ends its task's process group
        )

    def come_to(self, point: str, stream: _Stream | None = None) -> None:
        """Take note that this try is at a point; where it is the one, it does not go on before it is struck."""
        wanted, is_last_chance = self._strike["point"], point in {"before_done", "before_stop"}
        self._left -= point == wanted
        if self._left <= 0 or is_last_chance:
            if not self._is_done:
                self._strike_at(point, stream)
            if is_last_chance or point not in {"mid_block", "any_time"}:
                self._wait()

    def _strike_at(self, point: str, stream: _Stream | None) -> None:
        self._is_done = True
        told = {"point": point, "how": self._strike["how"]}
        if stream is not None:
            told |= {"batch": stream._claim.batch, "size": stream._claim.size}
        self._mark.write_text(json.dumps(told))
        self._process.stdin.write(b"!")
        self._process.stdin.flush()

    def _wait(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self._process.poll() is None and os.getppid() == self._supervisor and time.monotonic() < deadline:
            time.sleep(0.02)


def watch(striker: Striker, kind: type, method: str, *, before: str = "", after: str = "") -> None:
    """Tell the striker whenever a method is called, and has returned."""
    original = getattr(kind, method)

    def watched(self, *arguments, **named):
        stream = self if kind is _Stream else None
        if before:
            striker.come_to(before, stream)
        result = original(self, *arguments, **named)
        if after:
            striker.come_to(after, stream)
        return result

    setattr(kind, method, watched)


def arm(striker: Striker) -> None:
    """Watch every point of a try."""
    watch(striker, _Stream, "_acquire_batch", before="before_claim", after="after_claim")
    watch(striker, _Stream, "_send_claimed", before="any_time")
    watch(striker, Engine, "_send_on", before="mid_block")
    watch(striker, _Stream, "_settle_batch", before="after_block")
    watch(striker, EventRecorder, "write_unattempted", before="reporting")
    watch(striker, EventRecorder, "copy", before="reporting")
    watch(striker, _Stream, "_leave_to_next_try", before="before_stop")
    watch(striker, _Stream, "_record_unsent", before="before_stop")
    watch(striker, _Stream, "_finish", before="before_done", after="after_done")


class CrashingOperator(DeliverEventStreamOperator):
    """Delivers the events of one trial."""

    def __init__(self, *, trial: int, **kwargs):
        told = TRIALS["trials"][trial]
        super().__init__(
            events=told["events_path"],
            records_path=told["records_path"],
            concurrency=told["concurrency"],
            event_type="event.alert",
            on_invalid="skip",
            service_hook_conn_id=f"trial_{trial}",
            **kwargs,
        )
        self.trial = trial

    def execute(self, context):
        """Deliver, and be struck on the way in the first tries."""
        url = f"http://127.0.0.1:{TRIALS['port']}/{self.trial}"
        endpoint = {"conn_type": "service_hook", "host": url, "password": "s3cret-of-ours"}
        os.environ[f"AIRFLOW_CONN_TRIAL_{self.trial}"] = json.dumps(endpoint)
        strikes, number = TRIALS["trials"][self.trial]["strikes"], context["ti"].try_number
        (MARKS / f"{self.trial}.{number}.begun").write_text(f"{os.getpid()} {psutil.Process().create_time()}")
        if number <= len(strikes):
            names = {"name": f"{self.trial}.{number}", "next_name": f"{self.trial}.{number + 1}"}
            arm(Striker(strikes[number - 1], **names))
        return super().execute(context)


with DAG(Path(__file__).stem, schedule=None):
    CrashingOperator.partial(
        task_id="deliver", retries=3, retry_delay=timedelta(seconds=1), max_retry_delay=timedelta(seconds=1)
    ).expand(trial=list(range(len(TRIALS["trials"]))))
