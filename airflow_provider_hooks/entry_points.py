# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A table of rows by name, which other packages extend by entry points."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Protocol, TypeVar

from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str:
        """The key of the row."""


Row = TypeVar("Row", bound=Named)


class ExtensibleTable(Mapping[str, Row]):
    """
    The rows of this package, then those of entry points.

    Entry points are read only when a name is not one of this package's, or when all rows are listed. One that cannot be
    loaded is logged and left out.

    :param own: the rows of this package
    :param group: the group of the entry points
    :param title: what a row is called in the log, such as ``signing scheme``
    :param read: returns the row from what an entry point loads, or raises an exception with what is wrong with it
    """

    def __init__(self, own: Iterable[Row], *, group: str, title: str, read: Callable[[object], Row]) -> None:
        self._own = {row.name: row for row in own}
        self._group, self._title, self._read = group, title, read
        self._all: dict[str, Row] | None = None
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Row:
        own = self._own.get(name)
        return self._load()[name] if own is None else own

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def _load(self) -> dict[str, Row]:
        with self._lock:
            if self._all is None:
                found = dict(self._own)
                for entry_point in metadata.entry_points(group=self._group):
                    row = self._load_row(entry_point)
                    if row is not None and found.setdefault(row.name, row) is not row:
                        self._warn(entry_point, "the name is taken")
                self._all = found
            return self._all

    def _load_row(self, entry_point: metadata.EntryPoint) -> Row | None:
        try:
            return self._read(entry_point.load())
        except Exception as error:  # noqa: BLE001  (code of another package must not stop Airflow)
            self._warn(entry_point, escape(str(error), limit=500))
            return None

    def _warn(self, entry_point: metadata.EntryPoint, problem: str) -> None:
        name, value = escape(entry_point.name), escape(entry_point.value)
        _log.warning("The %s %s of %s is ignored: %s", self._title, name, value, problem)
