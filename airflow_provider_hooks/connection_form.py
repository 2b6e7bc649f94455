# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a connection type is: a table of fields, from which the form in the UI, the docs and the reading all come.

The tables themselves stand beside what is read from them: ``delivery.endpoint`` and ``registries.registry``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, kw_only=True)
class ExtraField:
    """One field of a connection's form that is kept in its ``extra``."""

    name: str
    label: str
    description: str
    type: str = "string"
    choices: Collection[str] | None = None
    default: str | None = None
    minimum: float | None = None


@dataclass(frozen=True, kw_only=True)
class StandardField:
    """One of the fields that every Airflow connection has, as this type uses it."""

    name: str
    label: str
    description: str
    placeholder: str


@dataclass(frozen=True, kw_only=True)
class ConnectionType:
    """A connection type: which standard fields it uses under which names, and what it adds."""

    name: str
    label: str
    hook_class: str
    standard: tuple[StandardField, ...]
    """The standard fields in use; the others are hidden, but for the description."""
    extra: tuple[ExtraField, ...]


@dataclass(frozen=True, kw_only=True)
class ConnectionFields:
    """What somebody typed into a connection, before it is judged."""

    conn_id: str
    host: str = field(repr=False)
    password: str | None = field(repr=False)
    extra: Mapping[str, object] = field(repr=False)
    unused: tuple[str, ...] = ()
    """The standard fields that are set although no type of ours uses them."""


_STANDARD_FIELDS = ("host", "schema", "login", "password", "port", "extra")


def describe_form(kind: ConnectionType) -> dict[str, object]:
    """Return a connection type as Airflow's provider metadata wants it, with its whole form."""
    return {
        "connection-type": kind.name,
        "hook-class-name": kind.hook_class,
        "hook-name": kind.label,
        "conn-fields": {field.name: _describe_field(field) for field in kind.extra},
        "ui-field-behaviour": {
            "hidden-fields": [name for name in _STANDARD_FIELDS if name not in {one.name for one in kind.standard}],
            "relabeling": {one.name: one.label for one in kind.standard},
            "placeholders": {one.name: one.placeholder for one in kind.standard},
        },
    }


def read_extra(kind: ConnectionType, fields: ConnectionFields, problems: ValidationErrors) -> dict[str, str]:
    """
    Return the extra fields of text and numbers that are set, as stripped text; note what cannot be used.

    That is a field that is unknown, of another type, or not among its choices.

    A standard field that is set and would be ignored is noted too, because somebody meant something by it.

    ``null`` and blank text count as not set, as Airflow's form saves untouched fields.
    """
    for name in fields.unused:
        problems.add(name, "is not used by this type and must be empty; all of the address is in host")
    known = {field.name: field for field in kind.extra}
    for name in fields.extra:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            told = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            problems.add(f"extra.{escape(str(name), limit=60)}", f"is not a field of {kind.name}; {told}")
    values: dict[str, str] = {}
    for name, known_field in known.items():
        value = fields.extra.get(name)
        if known_field.type == "object":
            continue  # whoever reads it judges it
        if isinstance(value, bool) or not (value is None or isinstance(value, str | int | float)):
            problems.add(f"extra.{name}", "must be text")
            continue
        text = "" if value is None else str(value).strip()
        if text and known_field.choices is not None and text not in known_field.choices:
            problems.add(f"extra.{name}", f"must be one of {', '.join(known_field.choices)}, not {safe_repr(text)}")
        elif text:
            values[name] = text
    return values


def read_seconds(name: str, text: str | None, default: float, problems: ValidationErrors) -> float:
    """Return a positive number of seconds, or note that it is not one."""
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3_600:  # noqa: PLR2004  (an hour)
        problems.add(f"extra.{name}", f"must be a number of seconds above 0 and up to 3600, not {safe_repr(text)}")
    return seconds


def check_connection_type(kind: ConnectionType, *, conn_id: str, conn_type: str | None) -> None:
    """
    Return if a connection is of the type that a hook works with.

    :raises ValidationError: naming both types, because Airflow itself does not check
    """
    if conn_type != kind.name:
        problems = ValidationErrors(f"connection '{conn_id}'")
        problems.add("conn_type", f"must be {kind.name} ({kind.label}), not {safe_repr(conn_type)}")
        problems.raise_if_any()


def _describe_field(field: ExtraField) -> dict[str, object]:
    schema: dict[str, object] = {"type": [field.type, "null"]}
    if field.choices is not None:
        schema["enum"] = list(field.choices)
    if field.default is not None:
        schema["default"] = field.default
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    return {"label": field.label, "description": field.description, "schema": schema}
