# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""How every command runs: quiet unless asked, with access to Airflow's database, and its errors as one line each."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowSecretsBackendAccessDenied
from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_hooks.cli.exit_codes import ExitCode
from airflow_provider_hooks.exceptions import (
    HookConflictError,
    HookUncertainError,
    LockError,
    RegistryError,
    ServiceHookError,
)
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

_OF_REGISTRIES = (RegistryError, HookConflictError, HookUncertainError, LockError)
_MAX_CHARACTERS = 4_000
_INTERRUPTED = 130
"""What a shell says of a command that Ctrl+C ended."""


def command(function: Callable[[Namespace], ExitCode]) -> Callable[[Namespace], None]:
    """Make a function the body of a command: what it returns is the exit status, what it raises a line on stderr."""

    @suppress_logs_and_warning
    @providers_configuration_loaded
    @functools.wraps(function)
    def run(args: Namespace) -> None:
        # As Airflow's own commands say it: connections and Variables are read from the database too.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        leave(lambda: function(args))

    return run


def leave(body: Callable[[], ExitCode]) -> None:
    """
    Run the body of a command and leave the process with its status.

    :raises SystemExit: unless it is ``DONE``
    """
    try:
        code = int(body())
    except (ServiceHookError, AirflowException, AirflowSecretsBackendAccessDenied) as error:
        tell(str(error))
        code = int(ExitCode.REGISTRY if isinstance(error, _OF_REGISTRIES) else ExitCode.REFUSED)
    except KeyboardInterrupt:
        tell("interrupted")
        code = _INTERRUPTED
    if code != ExitCode.DONE:
        raise SystemExit(code)


def tell(text: str) -> None:
    """Say one line on standard error."""
    print(f"service-hooks: {escape(text, limit=_MAX_CHARACTERS)}", file=sys.stderr)  # noqa: T201  (the command's output)
