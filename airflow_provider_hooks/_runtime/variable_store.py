# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Airflow Variables as the memory of registered hooks, read strictly and written so that it is seen to stand."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from airflow.sdk import Variable

from airflow_provider_hooks._runtime.airflow import read_variable
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.signing.variable import format_kept_hooks, parse_kept_hooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_hooks._runtime.airflow import VariableStore
    from airflow_provider_hooks.registries.store import Kept

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}", re.ASCII)
"""What Airflow's own client puts into a path as it is; of 250 characters, so that the lock's name fits."""


def default_variable_name(service_hook_registry_conn_id: str, hook_name: str) -> str:
    """Return the Variable of a declaration that names none; Airflow's UI masks what has ``secret`` in its name."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", hook_name)[:80]
    if plain != hook_name:
        plain += f"_{hashlib.sha256(hook_name.encode()).hexdigest()[:8]}"
    return f"service_hook_secret_{service_hook_registry_conn_id}_{plain}"


def check_variable_name(name: object) -> None:
    """
    Return if this can name the Variable of a memory.

    :raises ValidationError: if it could lead to another Variable, or is too long
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        told = f"must be 1 to 200 letters, digits, '_', '-', '.' and ':', not {safe_repr(name)}"
        raise ValidationError("service hook", {"secret_variable": told})


class UnreadableError(ServiceHookError):
    """A Variable is there, and its backend does not give it now."""

    retryable = True


class VariableHookStore:
    """
    Remembers hooks in an Airflow Variable.

    :param name: the Variable's name
    :param store: where it is written, if not by the running task
    """

    def __init__(self, name: str, *, store: VariableStore | None = None) -> None:
        self.name = name
        self._store = store or Variable
        self.before_write: Callable[[], None] = lambda: None
        """Is called before each write, and may raise to keep it from being made."""
        self._kept: Kept | None = None

    def check(self) -> None:
        """
        Return if the Variable is where a task can write, or nowhere yet.

        :raises ServiceHookError: if it is set in the environment or a secrets backend
        """
        in_environment = f"AIRFLOW_VAR_{self.name.upper()}" in os.environ
        if in_environment or (read_variable(self.name) is not None and not self._is_listed()):
            raise ServiceHookError(
                f"the Variable '{self.name}' comes from the environment or a secrets backend, where a task cannot "
                "write; unset it there, or name another"
            )

    def read(self) -> Kept:
        """
        Return what the Variable holds. It is read once: whoever changes it holds the lock, so nobody else writes it.

        :raises ServiceHookError: if it holds something else, or is there and cannot be read
        """
        if self._kept is not None:
            return self._kept
        text = read_variable(self.name)
        if text is None and self._is_listed():
            # Airflow reads a Variable whose backend fails as one that is not there.
            raise UnreadableError(f"the Variable '{self.name}' is there and cannot be read now; it is unchanged")
        try:
            self._kept = parse_kept_hooks(text or "")
        except ValueError as error:
            raise ServiceHookError(f"the Variable '{self.name}' {error}; it is unchanged") from None
        return self._kept

    def _is_listed(self) -> bool:
        return self.name in list(self._store.keys(prefix=self.name))

    def write(self, kept: Kept) -> None:
        """
        Write the Variable and see that it reads back.

        :raises ServiceHookError: if it does not
        """
        self.before_write()
        text = format_kept_hooks(kept)
        self._store.set(self.name, text, description="Service hooks and their signing secrets, newest first")
        if read_variable(self.name) != text:
            raise ServiceHookError(f"the Variable '{self.name}' does not read back as it was written")
        self._kept = kept
