# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Prints what a command found, as Airflow's own commands do: a table, JSON, YAML or plain columns.

JSON and YAML keep numbers, flags and nothing as what they are. In a table every value is one printable line, taken
literally: it may be a stranger's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from airflow.cli.simple_table import AirflowConsole

from airflow_provider_hooks.text import printable

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject, JsonValue

_MAX_CHARACTERS = 20_000


def show(data: JsonObject | Sequence[JsonObject], output: str, *, rows: Sequence[JsonObject] | None = None) -> None:
    """
    Print data in the format that was asked for.

    :param output: ``table``, ``json``, ``yaml`` or ``plain``
    :param rows: what a table shows, if not the data: of one object, its fields one below the other
    """
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
    return printable(str(value), limit=_MAX_CHARACTERS)
