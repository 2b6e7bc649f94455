# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A connection type is a table of fields, for the form in the UI, the docs and the parsing.

The tables are in the modules that parse the connections: ``delivery.endpoint`` and ``registries``.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.exceptions import ValidationError, ValidationErrors
from airflow_provider_hooks.sanitize import escape, quote_setting, safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class ExtraField:
    """One field of a connection's form that is stored in its ``extra``."""

    name: str
    label: str
    description: str
    type: str = "string"
    format: str | None = None
    """How the form shows it, such as ``multiline``."""
    choices: Mapping[str, str] | None = None
    """What is stored for each choice, and the text that the form shows for it."""
    default: str | None = None
    is_required: bool = False


@dataclass(frozen=True, kw_only=True)
class StandardField:
    """One of the fields that every Airflow connection has, and how this type uses it."""

    name: str
    label: str
    description: str
    placeholder: str


@dataclass(frozen=True, kw_only=True)
class ConnectionType:
    """A connection type: the standard fields that it uses, their labels, and its own fields."""

    name: str
    label: str
    hook_class: str
    standard: tuple[StandardField, ...]
    """The standard fields in use; the form hides the others, except for the description."""
    extra: tuple[ExtraField, ...]
    advice: Mapping[str, str] = field(default_factory=dict)
    """What to do in place of setting a standard field that is not used, by its name."""


@dataclass(frozen=True, kw_only=True)
class ConnectionFields:
    """The fields of a connection as the user entered them, before they are checked."""

    conn_id: str
    host: str = field(repr=False)
    password: str | None = field(repr=False)
    extra: Mapping[str, object] = field(repr=False)
    unused: tuple[str, ...] = ()
    """Standard fields that are set but unused by this type."""


_STANDARD_FIELDS = ("host", "schema", "login", "password", "port", "extra")


def describe_form(kind: ConnectionType) -> dict[str, object]:
    """Return a connection type with its form, as Airflow's provider metadata needs it."""
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
    Return the extra fields that are set, as stripped text, but for objects; add a problem for each wrong field.

    A field is wrong if it is unknown, of another type, or not among its choices. So is a standard field that is set and
    would be ignored. ``null``, ``false`` and blank text count as not set: Airflow's form saves fields that were left
    empty. A field that is switched on has the text ``true``.
    """
    for name in fields.unused:
        advice = kind.advice.get(name, "the whole address is in host")
        problems.add(name, f"is not used by this type and must be empty; {advice}")
    known = {field.name: field for field in kind.extra}
    for name in fields.extra:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            problems.add(f"extra.{escape(str(name), limit=60)}", f"is not a field of {kind.name}; {hint}")
    values: dict[str, str] = {}
    for name, known_field in known.items():
        value = fields.extra.get(name)
        if value is None or known_field.type == "object":
            continue  # an object is checked by the module that parses it
        text, problem = _read_switch(value) if known_field.type == "boolean" else _read_text(value, known_field)
        if problem:
            problems.add(f"extra.{name}", problem)
        elif text:
            values[name] = text
    return values


def _read_text(value: object, field: ExtraField) -> tuple[str, str | None]:
    """Return the text of a field, and what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        several = ", with commas between several values" if isinstance(value, list) else ""
        return "", f"must be text{several}"
    text = str(value).strip()
    if text and field.choices is not None and text not in field.choices:
        return "", f"must be one of {', '.join(field.choices)}, not {quote_setting(text)}"
    return text, None


def _read_switch(value: object) -> tuple[str, str | None]:
    """Return ``true`` for a field that is switched on, and what is wrong with it; a URI has text for it."""
    text = str(value).strip().lower()
    if text not in {"true", "false", ""}:
        return "", f"must be true or false, not {safe_repr(value)}"
    return text if text == "true" else "", None


def read_seconds(name: str, text: str | None, default: float, problems: ValidationErrors) -> float:
    """Return a positive number of seconds, or add a problem."""
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3_600:  # noqa: PLR2004  (an hour)
        problems.add(f"extra.{name}", f"must be a number of seconds above 0 and up to 3600, not {quote_setting(text)}")
    return seconds


class StoredConnection(Protocol):
    """A connection as Airflow stores it."""

    conn_id: str
    conn_type: str | None
    host: str | None
    password: str | None
    schema: str | None
    login: str | None
    port: int | None
    extra: str | None


def read_fields(kind: ConnectionType, connection: StoredConnection) -> ConnectionFields:
    """
    Return the fields of a connection of the type that a hook needs; Airflow itself does not check the type.

    :raises ValidationError: if it is of another type, naming both, or its extra is not a JSON object
    """
    conn_id = connection.conn_id
    if connection.conn_type != kind.name:
        message = f"must be {kind.name} ({kind.label}), not {safe_repr(connection.conn_type)}"
        raise ValidationError(f"connection '{conn_id}'", {"conn_type": message})
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ValidationError(f"connection '{conn_id}'", {"extra": "must be a JSON object"})
    return ConnectionFields(
        conn_id=conn_id,
        host=connection.host or "",
        password=connection.password,
        extra=extra,
        unused=tuple(name for name in ("schema", "login", "port") if getattr(connection, name)),
    )


def _describe_field(field: ExtraField) -> dict[str, object]:
    # Without "null" the form marks a field as required. A "minimum" would have it change a number that is too small.
    schema: dict[str, object] = {"type": field.type if field.is_required else [field.type, "null"]}
    if field.choices is not None:
        schema["enum"] = list(field.choices)
        schema["values_display"] = dict(field.choices)
    if field.format is not None:
        schema["format"] = field.format
    if field.default is not None:
        schema["default"] = field.default
    # The form shows a description as plain text.
    return {"label": field.label, "description": field.description.replace("`", ""), "schema": schema}
