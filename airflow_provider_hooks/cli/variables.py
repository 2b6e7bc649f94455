# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Airflow's Variables from a process with access to the database, such as a command, where no task runner exists."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.models import Variable
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class StoredVariables:
    """Writes, deletes and lists Variables, each call in its own transaction, as the Execution API does."""

    def set(self, key: str, value: str, description: str | None = None) -> None:
        """
        Write a Variable.

        :raises ServiceHookError: if the database fails
        """
        with _database_errors():
            Variable.set(key, value, description=description)

    def delete(self, key: str) -> None:
        """
        Delete a Variable, if it exists.

        :raises ServiceHookError: if the database fails
        """
        with _database_errors():
            Variable.delete(key)

    def keys(self, prefix: str | None = None) -> Sequence[str]:
        """
        Return the names of the Variables that begin with a prefix; the comparison is case-sensitive.

        :raises ServiceHookError: if the database fails
        """
        start = prefix or ""
        with _database_errors(), create_session() as session:
            found = session.scalars(select(Variable.key).where(Variable.key.startswith(start, autoescape=True)))
            return [key for key in found if key and key.startswith(start)]


@contextmanager
def _database_errors() -> Iterator[None]:
    """Report a database error without its SQL statement, whose parameters are secrets."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = escape(str(getattr(error, "orig", None) or type(error).__name__))
        raise ServiceHookError(f"Airflow's database cannot be used: {reason}") from None
