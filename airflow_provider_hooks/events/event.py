# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""An event of any type, and the draft of an event of the user's own type."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_hooks.events.schema import format_time, parse_event_id, parse_time
from airflow_provider_hooks.events.types import EVENT_TYPES, check_event_type
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_PROBLEMS = 10
"""How many violations of a JSON Schema an error names."""
OWN_FIELDS = ("type", "id", "time", "data")
"""The fields of an event of the user's own type, as ``events_from_assets`` returns it."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """
    An event of any type, ready to be put into a format.

    Example:

    ```python
    from airflow_provider_hooks.events import Event

    event = Event(
        type="orders.late",
        id="orders-7",
        occurred_at="2026-01-01T12:00:00.000Z",
        source="https://airflow.example.com/dags/orders",
        data={"order": 7},
    )
    ```
    """

    type: str
    id: str
    occurred_at: str | None
    """ISO 8601, UTC, with milliseconds; ``None`` if the event itself does not say it."""
    source: str
    """A URI: where it comes from."""
    data: object
    """What JSON can represent; of the documented events their whole payload."""


class OwnEventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """
    An event of the user's own type, which is built only if it is to be sent.

    :param event_id: ``None``: the one of the defaults
    :param occurred_at: a time with a zone, or ``None``: the one of the defaults
    :param schema: a JSON Schema that the data must match
    :param misuse: what is wrong with other arguments, by their names
    :param ignored: names of arguments that were given and that only the documented events have
    :param defaults: ``id``, ``datetime`` and ``source``
    """

    event_type: str
    data: object
    event_id: object = None
    occurred_at: object = None
    schema: Mapping[str, object] | None = None
    misuse: Mapping[str, str] = {}
    ignored: tuple[str, ...] = ()
    defaults: Mapping[str, object]

    def build(self) -> Event:
        """
        Return the event.

        :raises ValidationError: naming each argument that is wrong, and each place where the data violates the schema
        """
        problems = ValidationErrors("the event")
        found: dict[str, str] = {}
        try:
            check_event_type(self.event_type)
        except ValueError as error:
            problems.add("event_type", str(error))
        if self.event_type in EVENT_TYPES:
            problem = f"{self.event_type} has a documented payload; use its own operator, or another name"
            problems.add("event_type", problem)
        for name, problem in self.misuse.items():
            problems.add(name, problem)
        for name in self.ignored:
            problems.add(name, "is a field of event.created and event.alert only; put it into the data")
        given = {"event_id": self.event_id, "occurred_at": self.occurred_at}
        for name, default in (("event_id", "id"), ("occurred_at", "datetime")):
            value = self.defaults[default] if given[name] is None else given[name]
            try:
                found[name] = parse_event_id(value) if name == "event_id" else format_time(parse_time(value))
            except ValueError as error:
                problems.add(name, str(error))
        if self.schema is not None:
            for place, problem in _find_violations(self.data, self.schema):
                problems.add(place, problem)
        problems.raise_if_any()
        return Event(
            type=self.event_type,
            id=found["event_id"],
            occurred_at=found["occurred_at"],
            source=str(self.defaults["source"]),
            data=self.data,
        )


def draft_own_event(
    event: object,
    *,
    event_type: str | None,
    data: object,
    event_id: object,
    occurred_at: object,
    schema: Mapping[str, object] | None,
    defaults: Mapping[str, object],
) -> OwnEventDraft:
    """
    Return the draft of an event as ``events_from_assets`` returns it; arguments that are not ``None`` win over it.

    :param event: a mapping with some of ``OWN_FIELDS``, or ``None``
    """
    fields: Mapping[object, object] = event if isinstance(event, Mapping) else {}
    misuse: dict[str, str] = {}
    if event is not None and not isinstance(event, Mapping):
        misuse["event"] = f"must be a mapping with {', '.join(OWN_FIELDS)}, not {safe_repr(event)}"
    for name in fields:
        if name not in OWN_FIELDS:
            misuse[f"event.{escape(str(name), limit=60)}"] = f"is unknown; there are {', '.join(OWN_FIELDS)}"
    named = event_type or fields.get("type")
    return OwnEventDraft(
        event_type=named if isinstance(named, str) else "",
        data=fields.get("data") if data is None else data,
        event_id=fields.get("id") if event_id is None else event_id,
        occurred_at=fields.get("time") if occurred_at is None else occurred_at,
        schema=schema,
        misuse=misuse,
        defaults=defaults,
    )


def _find_violations(data: object, schema: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each place where data violates a JSON Schema, and how; a schema is never fetched from elsewhere."""
    # Imported here: many tasks have no schema.
    from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, Mapping):
        yield "schema", f"must be a JSON Schema as a mapping, not {safe_repr(schema)}"
        return
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
        violations = list(islice(kind(schema, registry=Registry()).iter_errors(data), _MAX_PROBLEMS))
    except SchemaError as error:
        yield "schema", f"is not a JSON Schema: {escape(error.message)}"
        return
    except Unresolvable as error:
        yield "schema", f"has a reference that is not in it: {escape(str(error))}"
        return
    for violation in violations:
        place = "".join(
            f"[{part}]" if isinstance(part, int) else f".{escape(part)}" for part in violation.absolute_path
        )
        yield f"data{place}", escape(violation.message)
