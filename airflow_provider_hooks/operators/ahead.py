# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a delivering task does while it would wait for Airflow: a fifth of its time, and it changes nothing else.

Nothing but importing is done in another thread: ``dag.test()`` answers one caller at a time.
"""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    from airflow_provider_hooks.json_types import JsonObject

_NEEDED = ("airflow_provider_hooks.hooks.endpoint", "airflow_provider_hooks.delivery.sender")
"""In the order in which a delivery comes to need them."""


def import_ahead() -> None:
    """Begin to import what a delivery needs, unless it is there; an import that fails is told by the one after it."""
    if not sys.modules.keys() >= set(_NEEDED):
        threading.Thread(target=_import, name="import-ahead", daemon=True).start()


def _import() -> None:
    with suppress(Exception):
        for name in _NEEDED:
            importlib.import_module(name)


def read_ahead(context: Context, key: str) -> Context:
    """Read a key of the task's state store, and return a context whose store gives that when it is first asked."""
    store = context.get("task_state_store")
    if store is None:
        return context
    ahead = context.copy()
    ahead["task_state_store"] = cast("TaskStateStoreAccessor", _ReadAhead(store, key))
    return ahead


class _ReadAhead:
    """A state store of which one key was read."""

    def __init__(self, store: TaskStateStoreAccessor, key: str) -> None:
        self._store = store
        self._read = {key: store.get(key)}

    def get(self, key: str) -> object:
        return self._read.pop(key) if key in self._read else self._store.get(key)

    def set(self, key: str, value: JsonObject, **options: object) -> None:
        self._read.pop(key, None)
        self._store.set(key, value, **options)  # type: ignore[arg-type]  # the store's own
