# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
How every command runs: its log level, its access to Airflow's database, its input, output, errors and exit status.

Output has the formats of Airflow's own commands: a table, JSON, YAML or plain columns. JSON and YAML keep the types of
numbers, booleans and null. In a table every value is one printable line, shown literally, because it may come from a
receiver or a platform.

A closed pipe or a full disk must not hide the outcome of a delivery, nor change the exit status.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from airflow.cli.simple_table import AirflowConsole
from airflow.utils.cli import suppress_logs_and_warning

from airflow_provider_hooks._runtime.compat import (
    AirflowException,
    AirflowSecretsBackendAccessDenied,
    providers_configuration_loaded,
)
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.exceptions import (
    HookConflictError,
    HookUncertainError,
    LockError,
    RegistryError,
    ServiceHookError,
    ValidationError,
)
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_hooks.admin.stored import StoredDeliveries
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

MAX_INPUT_BYTES = 16_777_216

_REGISTRY_ERRORS = (RegistryError, HookConflictError, HookUncertainError, LockError)
_MAX_ERROR_CHARACTERS = 4_000
_MAX_CELL_CHARACTERS = 20_000
_INTERRUPTED = 130
"""The exit status that a shell reports for a command that was ended by Ctrl+C."""


class OutputError(ServiceHookError):
    """Standard output cannot be written."""


def command(function: Callable[[Namespace], ExitCode]) -> Callable[[Namespace], None]:
    """Turn a function into a command: its return value is the exit status, an exception is one line on stderr."""

    @suppress_logs_and_warning
    @providers_configuration_loaded
    @functools.wraps(function)
    def run(args: Namespace) -> None:
        # Airflow's own commands set this too: connections and Variables are then also read from the database.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        exit_with(lambda: function(args))

    return run


def exit_with(body: Callable[[], ExitCode]) -> None:
    """
    Run the body of a command and exit with the status that it returns.

    :raises SystemExit: unless the status is ``DONE``
    """
    try:
        code = int(body())
    except (ServiceHookError, AirflowException, AirflowSecretsBackendAccessDenied) as error:
        eprint(str(error))
        code = int(ExitCode.REGISTRY if isinstance(error, _REGISTRY_ERRORS) else ExitCode.REFUSED)
    except KeyboardInterrupt:
        eprint("interrupted")
        code = _INTERRUPTED
    if code != ExitCode.DONE:
        raise SystemExit(code)


def eprint(text: str) -> None:
    """Print one line on standard error."""
    line = f"service-hooks: {escape(text, limit=_MAX_ERROR_CHARACTERS)}"
    print(line, file=sys.stderr)  # noqa: T201  (the command's output)


@contextmanager
def open_stored_for_command() -> Iterator[StoredDeliveries]:
    """
    Open the deliveries of this deployment, and print what is not found there; raises as ``open_stored``.

    It is imported when it is needed: most commands read no deliveries.
    """
    from airflow_provider_hooks.admin.stored import open_stored  # noqa: PLC0415

    with open_stored() as stored:
        if stored.limits:
            eprint("; ".join(stored.limits))
        yield stored


def read_input(path: str) -> bytes:
    """
    Return the content of a file, or of standard input if the path is ``-``.

    :raises ValidationError: if it cannot be read, is empty, or is larger than ``MAX_INPUT_BYTES``
    """
    subject = "standard input" if path == "-" else f"file {safe_repr(path)}"
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(MAX_INPUT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ValidationError(subject, {"FILE": f"cannot be read: {reason}"}) from None
    if not content:
        raise ValidationError(subject, {"FILE": "is empty"})
    if len(content) > MAX_INPUT_BYTES:
        raise ValidationError(subject, {"FILE": f"is larger than {MAX_INPUT_BYTES} bytes"})
    return content


def show(
    data: JsonObject | Sequence[JsonObject],
    output: str,
    *,
    rows: Sequence[JsonObject] | None = None,
    done: str | None = None,
) -> None:
    """
    Print data in the requested format.

    :param output: ``table``, ``json``, ``yaml`` or ``plain``
    :param rows: the rows of a table, if they differ from the data; by default an object has one row for each field
    :param done: a summary of what the command did, for standard error if standard output cannot be written
    :raises OutputError: if standard output cannot be written and ``done`` is ``None``
    """
    with stdout_guard(done=done):
        _print(data, output, rows=rows)


@contextmanager
def stdout_guard(*, done: str | None = None) -> Iterator[None]:
    """
    Flush standard output after the block, and report a failure to write it.

    :param done: as for ``show``
    :raises OutputError: if standard output cannot be written and ``done`` is ``None``
    """
    try:
        yield
        sys.stdout.flush()
    except (OSError, UnicodeError, SystemExit):  # Airflow's console raises SystemExit on a closed pipe
        _discard_stdout()
        if done is None:
            raise OutputError("standard output cannot be written") from None
        eprint(f"standard output cannot be written; {done}")


def _discard_stdout() -> None:
    """Redirect what is still buffered to the null device, so that Python's flush at exit does not fail again."""
    with suppress(OSError), open(os.devnull, "wb") as null:  # noqa: PTH123  (a device, not a path)
        os.dup2(null.fileno(), sys.stdout.fileno())


def _print(data: JsonObject | Sequence[JsonObject], output: str, *, rows: Sequence[JsonObject] | None) -> None:
    console = AirflowConsole(markup=False, highlight=False, emoji=False)
    if output == "json":
        console.print_as_json(cast("dict[str, object]", data))
    elif output == "yaml":
        console.print_as_yaml(cast("dict[str, object]", data))
    else:
        if rows is None:
            rows = _list_fields(data) if isinstance(data, Mapping) else data
        console.print_as([{name: _format_cell(value) for name, value in row.items()} for row in rows], output)


def _list_fields(data: Mapping[str, JsonValue]) -> list[JsonObject]:
    return [{"field": name, "value": value} for name, value in _flatten(data)]


def _flatten(data: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _format_cell(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_format_cell, value))
    return escape(str(value), limit=_MAX_CELL_CHARACTERS)
