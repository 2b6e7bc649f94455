# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A store of hook states in an Airflow Variable: read strictly, and read back after each write."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from airflow.sdk import Variable

from airflow_provider_hooks._runtime.airflow import read_variable
from airflow_provider_hooks._runtime.compat import mask_secret, require_listing
from airflow_provider_hooks._runtime.variable_lock import LOCK_INFIX
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError, VariableUnreadableError
from airflow_provider_hooks.registries.store import format_state, parse_state
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_hooks._runtime.airflow import VariableStore
    from airflow_provider_hooks.registries.store import HookState

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}", re.ASCII)
"""Names that Airflow's client puts into a path unescaped; of its 250 characters the lock needs some."""


def default_variable_name(service_hook_registry_conn_id: str, hook_name: str) -> str:
    """Return the Variable of a declaration that names none; Airflow's UI masks names that contain ``secret``."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", hook_name)[:80]
    if plain != hook_name:
        plain += f":{hashlib.sha256(hook_name.encode()).hexdigest()[:8]}"
    # Nothing after the connection id has a colon in it, so two declarations never share a name.
    return f"service_hook_secret_{service_hook_registry_conn_id}:{plain}"


def check_variable_name(name: object) -> None:
    """
    Return if this is a valid name of a Variable for hooks.

    :raises ValidationError: if it could address another Variable, or is too long
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problem = f"must be 1 to 200 letters, digits, '_', '-', '.' and ':', not {safe_repr(name)}"
        raise ValidationError("service hook", {"secret_variable": problem})
    if LOCK_INFIX in name:
        raise ValidationError("service hook", {"secret_variable": f"must not contain '{LOCK_INFIX}', as locks do"})


class VariableHookStore:
    """
    Stores hooks in an Airflow Variable.

    :param name: the Variable's name
    :param store: where it is written; by default through the running task
    """

    def __init__(self, name: str, *, store: VariableStore | None = None) -> None:
        self.name = name
        self._store = store or require_listing(Variable)
        self.before_write: Callable[[], None] = lambda: None
        """Called before each write; may raise to prevent it."""
        self._state: HookState | None = None

    def check(self) -> None:
        """
        Return if a task can write the Variable.

        :raises ServiceHookError: if it is set in the environment or a secrets backend
        """
        in_environment = f"AIRFLOW_VAR_{self.name.upper()}" in os.environ
        if in_environment or (read_variable(self.name) is not None and not self._is_listed()):
            raise ServiceHookError(
                f"the Variable '{self.name}' comes from the environment or a secrets backend, where a task cannot "
                "write; unset it there, or use another name"
            )

    def read(self) -> HookState:
        """
        Return the state. It is read once: only the holder of the lock writes it.

        :raises ServiceHookError: if the Variable has another form
        :raises VariableUnreadableError: if the Variable exists and cannot be read
        """
        if self._state is not None:
            return self._state
        text = read_variable(self.name)
        if text is None and self._is_listed():
            # Airflow reads a Variable whose backend fails as one that does not exist.
            raise VariableUnreadableError(f"the Variable '{self.name}' exists but cannot be read now; it is unchanged")
        try:
            self._state = parse_state(text or "")
        except ValueError as error:
            raise ServiceHookError(f"the Variable '{self.name}' {error}; it is unchanged") from None
        return self._state

    def write(self, state: HookState) -> None:
        """
        Write the Variable and read it back.

        :raises ServiceHookError: if it does not read back as written
        """
        self.before_write()
        for one in state:
            if one.secret:
                mask_secret(one.secret)
        text = format_state(state)
        self._store.set(self.name, text, description="Service hooks and their signing secrets, newest first")
        if read_variable(self.name) != text:
            raise ServiceHookError(f"the Variable '{self.name}' does not read back with the value that was written")
        self._state = state

    def _is_listed(self) -> bool:
        return self.name in list(self._store.keys(prefix=self.name))
