# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A connection to the database of the ledger: PostgreSQL or SQLite, by plain DB-API.

SQLAlchemy would add 0.7 s of import to each task. Statements are written once, with ``?`` for parameters; they use what
both databases share: ``INSERT … ON CONFLICT``, ``RETURNING``, row values. MySQL has neither of the first two.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from airflow_provider_hooks.delivery.patience import OutageError
from airflow_provider_hooks.exceptions import LedgerError, MissingExtraError, ValidationError
from airflow_provider_hooks.sanitize import escape, safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Row = tuple[Any, ...]  # as DB-API has it

Dialect = Literal["postgresql", "sqlite"]
_TYPES: Mapping[str, Dialect] = {"postgres": "postgresql", "postgresql": "postgresql", "sqlite": "sqlite"}
"""The types of Airflow connections."""
_DRIVERS = ("psycopg2", "psycopg")
"""In this order, because psycopg2 is imported in a fifth of the time."""
_MIN_SQLITE = (3, 35)
"""The first version that has ``RETURNING``."""
_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "application_name": "airflow-provider-hooks",
        "connect_timeout": "10",
        # A server that is gone without a word, as with its machine, is an outage after a minute, and not after hours.
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }
)
"""The parameters of libpq that the extra of the connection may change."""
_BUSY_SECONDS = 10.0
"""How long SQLite waits for another process that writes."""
_OUTAGES = frozenset({"08", "25", "40", "53", "55", "57", "58"})
"""
The classes of SQLSTATE that another attempt may not see: lost connection, invalid transaction state, serialization
failure or deadlock, insufficient resources, object in use, operator intervention, system error.
"""
_UNDEFINED_TABLE, _NO_PRIVILEGE = "42P01", "42501"
MIGRATE = "run: airflow service-hooks ledger migrate"


class Run(Protocol):
    """Runs one statement of a transaction."""

    def __call__(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a statement."""


class LedgerTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ledger is, from an Airflow connection. Its representation has no password."""

    conn_id: str
    dialect: Dialect
    path: str = ""
    """The file of a SQLite database."""
    parameters: tuple[tuple[str, str], ...] = ()
    """The parameters of libpq."""

    def __repr__(self) -> str:
        return f"LedgerTarget(conn_id={self.conn_id!r}, dialect={self.dialect!r})"

    @property
    def subject(self) -> str:
        """What an error about it begins with."""
        return f"the ledger (connection '{escape(self.conn_id)}')"


def read_target(
    conn_id: str,
    *,
    conn_type: str | None,
    host: str | None,
    port: int | None,
    login: str | None,
    password: str | None,
    schema: str | None,
    extra: Mapping[str, object],
) -> LedgerTarget:
    """
    Return where the ledger is from the fields of an Airflow connection of type ``postgres`` or ``sqlite``.

    :raises ValidationError: naming each field that cannot be used
    """
    subject = f"connection '{conn_id}' of [service_hooks] ledger_conn_id"
    dialect = _TYPES.get(conn_type or "")
    if dialect is None:
        known = "must be postgres, or sqlite on a single machine"
        why = "; MySQL cannot claim in one statement" if conn_type == "mysql" else ""
        raise ValidationError(subject, {"conn_type": f"{known}, not {safe_repr(conn_type)}{why}"})
    if dialect == "sqlite":
        if not (host or "").startswith("/"):
            raise ValidationError(subject, {"host": f"must be the absolute path of a file, not {safe_repr(host)}"})
        if sqlite3.sqlite_version_info < _MIN_SQLITE:
            needed = ".".join(map(str, _MIN_SQLITE))
            problem = f"sqlite needs SQLite {needed} or later; this Python has {sqlite3.sqlite_version}"
            raise ValidationError(subject, {"conn_type": problem})
        return LedgerTarget(conn_id=conn_id, dialect=dialect, path=str(host))
    given: dict[str, object] = {
        **{name: value for name, value in extra.items() if not isinstance(value, dict | list) and value is not None},
        "host": host,
        "port": port,
        "user": login,
        "password": password,
        "dbname": schema,
    }
    parameters = {**_DEFAULTS, **{name: str(value) for name, value in given.items() if value not in (None, "")}}
    return LedgerTarget(conn_id=conn_id, dialect=dialect, parameters=tuple(parameters.items()))


class Database:
    """
    One connection, opened when it is needed and opened again after it was lost. Not for several threads.

    :param target: where the ledger is
    """

    def __init__(self, target: LedgerTarget) -> None:
        self.target = target
        self._connection: Any = None  # of either driver
        self._to_native: Callable[[str], str] = str if target.dialect == "sqlite" else _to_format_style

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """
        Run one statement, which is atomic and durable when this returns, and return its rows.

        :raises OutageError: if the database does not answer; the statement may have had its effect
        :raises LedgerError: if the ledger has no tables, or the role may not use them
        """
        with self._reconnecting():
            return self._execute(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Open a transaction, and yield a function that runs a statement in it; raises as ``run``."""
        with self._reconnecting():
            self._execute("BEGIN IMMEDIATE" if self.target.dialect == "sqlite" else "BEGIN")
            yield self._execute
            self._execute("COMMIT")

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        """Connect if needed; after any error, close: a transaction that was open is rolled back."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            yield
        except Exception as error:
            self.close()
            converted = self._convert(error)
            if converted is None:
                raise
            raise converted from None

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        cursor = self._connection.cursor()
        cursor.execute(self._to_native(sql), tuple(parameters))
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Close the connection, if there is one; what was not committed is lost."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it may be lost
                connection.close()

    def _connect(self) -> Any:
        if self.target.dialect == "sqlite":
            connection = sqlite3.connect(self.target.path, timeout=_BUSY_SECONDS, isolation_level=None)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # a claim must survive a power cut
            return connection
        connection = _import_driver().connect(**dict(self.target.parameters))
        connection.autocommit = True
        if hasattr(connection, "prepare_threshold"):  # psycopg; a pooler such as PgBouncer may not know its statements
            connection.prepare_threshold = None
        with connection.cursor() as cursor:
            # A claim must survive a crash of the database, and times are read as UTC.
            cursor.execute("SET synchronous_commit = on; SET TIME ZONE 'UTC'")
        return connection

    def _convert(self, error: Exception) -> Exception | None:
        """Return what an error of the driver means; ``None`` if it is not an error of a driver."""
        text = escape(" ".join(str(error).split()))
        if isinstance(error, sqlite3.Error):
            has_no_tables, is_refused = "no such table" in text, "readonly" in text
            is_outage = isinstance(error, sqlite3.OperationalError) and not is_refused
        elif type(error).__module__.partition(".")[0] in _DRIVERS:
            state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)  # as each driver calls it
            has_no_tables, is_refused = state == _UNDEFINED_TABLE, state == _NO_PRIVILEGE
            is_outage = state is None or state[:2] in _OUTAGES
        else:
            return None
        if has_no_tables:
            return LedgerError(f"{self.target.subject} has no tables; {MIGRATE}")
        if is_refused:
            needed = "INSERT, SELECT and UPDATE on its tables, and DELETE to clean it"
            return LedgerError(f"{self.target.subject}: grant {needed} ({text})")
        return OutageError(text) if is_outage else LedgerError(f"{self.target.subject}: {text}")


@lru_cache(maxsize=256)
def _to_format_style(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _import_driver() -> Any:
    for name in _DRIVERS:
        with suppress(ImportError):
            return import_module(name)
    raise MissingExtraError("a ledger on PostgreSQL needs psycopg: pip install 'airflow-provider-hooks[ledger]'")
