# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Kills or suspends a task of the stream crash suite from another process, so that any instruction can be interrupted.

The task starts this script. The script waits for one byte from the task, then for the given seconds. If the task ends
first, its pipe is closed and no signal is sent, since the supervisor may belong to another task by then.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

WAIT_SECONDS = 120


def inject(fault: str, task: int, supervisor: int, *, next_try: str, resume_seconds: float) -> None:
    """Send the signals of a fault to the task or its supervisor, each given by a pidfd."""
    if fault == "kill_task":
        signal.pidfd_send_signal(task, signal.SIGKILL)
        return
    if fault == "kill_supervisor":
        signal.pidfd_send_signal(supervisor, signal.SIGKILL)
        return
    # The task, and with "freeze" its supervisor too, are suspended until the next try is running, and then continue.
    # The supervisor is signalled first: the system sends SIGHUP to a task that is suspended when its supervisor dies.
    signal.pidfd_send_signal(supervisor, signal.SIGKILL if fault == "orphan" else signal.SIGSTOP)
    signal.pidfd_send_signal(task, signal.SIGSTOP)
    deadline = time.monotonic() + WAIT_SECONDS
    while not os.path.exists(next_try) and time.monotonic() < deadline:  # noqa: PTH110  (pathlib takes long to import)
        time.sleep(0.05)
    time.sleep(resume_seconds)
    for process in (task,) if fault == "orphan" else (task, supervisor):
        signal.pidfd_send_signal(process, signal.SIGCONT)


if __name__ == "__main__":
    (
        fault_argument,
        delay_argument,
        resume_argument,
        injected_argument,
        next_try_argument,
        task_argument,
        supervisor_argument,
    ) = sys.argv[1:]
    if os.read(0, 1):
        has_ended, _, _ = select.select([0], [], [], float(delay_argument))
        if not has_ended:
            os.close(os.open(injected_argument, os.O_CREAT))
            with contextlib.suppress(ProcessLookupError):
                inject(
                    fault_argument,
                    int(task_argument),
                    int(supervisor_argument),
                    next_try=next_try_argument,
                    resume_seconds=float(resume_argument),
                )
