# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Prints what a command found, as Airflow's own commands do: a table, JSON, YAML or plain columns.

JSON and YAML keep numbers, flags and nothing as what they are. In a table every value is one printable line, taken
literally: it may be a stranger's text.

What was done must not be lost, nor told by a wrong exit status, because a pipe was closed or a disk is full.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from airflow.cli.simple_table import AirflowConsole

from airflow_provider_hooks.cli._run import tell
from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

_MAX_CHARACTERS = 20_000


def show(
    data: JsonObject | Sequence[JsonObject],
    output: str,
    *,
    rows: Sequence[JsonObject] | None = None,
    done: str | None = None,
) -> None:
    """
    Print data in the format that was asked for.

    :param output: ``table``, ``json``, ``yaml`` or ``plain``
    :param rows: what a table shows, if not the data: of one object, its fields one below the other
    :param done: what the command did, to be said on standard error where standard output cannot be written
    :raises OutputError: if it cannot, and nothing was done
    """
    with writing(done=done):
        _print(data, output, rows=rows)


@contextmanager
def writing(*, done: str | None = None) -> Iterator[None]:
    """
    Write to standard output, and see that it is written.

    :param done: as for ``show``
    :raises OutputError: if it cannot be written, and nothing was done
    """
    try:
        yield
        sys.stdout.flush()
    except (OSError, UnicodeError, SystemExit):  # the console leaves the process where a pipe was closed
        _give_up_standard_output()
        if done is None:
            raise OutputError("standard output cannot be written") from None
        tell(f"standard output cannot be written; {done}")


class OutputError(ServiceHookError):
    """What was asked for cannot be printed."""


def _give_up_standard_output() -> None:
    """Let what is left of it go nowhere, so that Python does not fail on it again at the end of the process."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123  (not a path of anybody's)
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _print(data: JsonObject | Sequence[JsonObject], output: str, *, rows: Sequence[JsonObject] | None) -> None:
    console = AirflowConsole(markup=False, highlight=False, emoji=False)
    if output == "json":
        console.print_as_json(cast("dict[str, object]", data))
    elif output == "yaml":
        console.print_as_yaml(cast("dict[str, object]", data))
    else:
        if rows is None:
            rows = _list_fields(data) if isinstance(data, Mapping) else data
        console.print_as([{name: _write(value) for name, value in row.items()} for row in rows], output)


def _list_fields(data: Mapping[str, JsonValue]) -> list[JsonObject]:
    return [{"field": name, "value": value} for name, value in _flatten(data)]


def _flatten(data: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _write(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_write, value))
    return escape(str(value), limit=_MAX_CHARACTERS)
