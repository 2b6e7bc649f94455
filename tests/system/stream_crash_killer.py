# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Strikes at a task from outside, at any instruction: run by the task of the stream crash suite, on an interpreter alone.

It waits until the task writes a byte to it, and so many seconds more. A task that ended before has closed the pipe, and
nobody is struck: its supervisor may be somebody else's by then.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

WAIT_SECONDS = 120


def strike(how: str, task: int, supervisor: int, *, next_try: str, resume_seconds: float) -> None:
    """Strike at the task or its supervisor, each given by a descriptor that never leads to another process."""
    if how == "kill_task":
        signal.pidfd_send_signal(task, signal.SIGKILL)
        return
    if how == "kill_supervisor":
        signal.pidfd_send_signal(supervisor, signal.SIGKILL)
        return
    # The task, and in one way its supervisor too, sleep until another try is under way; then they go on. A task that
    # slept before its supervisor died would be hung up on by the system.
    signal.pidfd_send_signal(supervisor, signal.SIGKILL if how == "orphan" else signal.SIGSTOP)
    signal.pidfd_send_signal(task, signal.SIGSTOP)
    deadline = time.monotonic() + WAIT_SECONDS
    while not os.path.exists(next_try) and time.monotonic() < deadline:  # noqa: PTH110  (pathlib takes long to import)
        time.sleep(0.05)
    time.sleep(resume_seconds)
    for process in (task,) if how == "orphan" else (task, supervisor):
        signal.pidfd_send_signal(process, signal.SIGCONT)


if __name__ == "__main__":
    told_how, told_seconds, told_resume, told_hit, told_next, told_task, told_supervisor = sys.argv[1:]
    if os.read(0, 1):
        has_ended, _, _ = select.select([0], [], [], float(told_seconds))
        if not has_ended:
            os.close(os.open(told_hit, os.O_CREAT))
            with contextlib.suppress(ProcessLookupError):
                strike(
                    told_how,
                    int(told_task),
                    int(told_supervisor),
                    next_try=told_next,
                    resume_seconds=float(told_resume),
                )
