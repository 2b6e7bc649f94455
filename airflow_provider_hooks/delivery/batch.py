# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Which slot each of several events of one task has, on every try the same.

A slot is the event's id where it has one, else its place in the list. An id that is made anew by every try would give a
try slots that no claim is in, and send again what was sent. So the slots of the first try of an asking are kept before
anything is sent, and a later try that comes with others sends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_hooks.json_types import JsonObject


class StateStore(Protocol):
    """A durable store that outlives tries and crashes, of one task instance."""

    def get(self, key: str) -> object:
        """Return what is stored under a key, or ``None``."""

    def set(self, key: str, value: JsonObject) -> None:
        """Store a value; it is durable when this returns."""


SLOTS_KEY = "service_hook_slots"
"""Where the slots are kept; a person sees it in the task's Storage tab."""


class SlotsError(ServiceHookError):
    """The events of a task cannot be told apart, or are not those of its first try."""


def name_slots(event_ids: Sequence[str | None]) -> tuple[str, ...]:
    """
    Return a slot for each event of a list: its id, or ``position.N`` where it has none.

    :raises SlotsError: if two events have the same id
    """
    given = [event_id for event_id in event_ids if event_id is not None]
    twice = sorted({event_id for event_id in given if given.count(event_id) > 1})
    if twice:
        raise SlotsError(f"two events of one task have the same id, so nothing was sent: {_list(twice)}")
    return tuple(event_id or f"position.{number}" for number, event_id in enumerate(event_ids))


def hold_to_slots(store: StateStore, slots: Sequence[str], *, generation: str) -> None:
    """
    Keep the slots of the first try of an asking, and hold every later try to them.

    They are read back before this returns, since the store refuses a try that another has followed: whoever follows
    reads these.

    :raises SlotsError: if an earlier try of this asking had others; nothing may be sent
    """
    kept = store.get(SLOTS_KEY)
    if not isinstance(kept, dict) or kept.get("generation") != generation:
        store.set(SLOTS_KEY, {"generation": generation, "slots": list(slots)})
        kept = store.get(SLOTS_KEY)
    found = kept.get("slots") if isinstance(kept, dict) else None
    if found != list(slots):
        raise SlotsError(
            "this try returned other events than the first one, so nothing was sent: give each event an id that is the "
            f"same on every try. Now: {_list(slots)}; at first: {_list(found if isinstance(found, list) else [])}. "
            "Clear the task to have these sent"
        )


def _list(names: Sequence[object]) -> str:
    return escape(", ".join(map(str, names))) or "none"
