# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``sandbox``: the sandbox of ``python -m airflow_provider_hooks.sandbox``, in the foreground."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow_provider_hooks.cli._run import leave
from airflow_provider_hooks.cli.exit_codes import ExitCode
from airflow_provider_hooks.sandbox.__main__ import serve

if TYPE_CHECKING:
    from argparse import Namespace


def run_sandbox(args: Namespace) -> None:
    """Serve the sandbox until interrupted; its warnings are shown."""

    def run() -> ExitCode:
        token = os.environ.get("SANDBOX_TOKEN")
        serve(host=args.host, port=args.port, anywhere=args.anywhere, token=token, answer=args.answer)
        return ExitCode.DONE

    leave(run)
