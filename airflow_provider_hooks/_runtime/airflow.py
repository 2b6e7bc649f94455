# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What both hooks need of Airflow: its configuration, a connection's fields, its Variables, its masking, its state."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Protocol

from airflow import sdk
from airflow.sdk import BaseHook, Variable, conf
from airflow.sdk.log import mask_secret

from airflow_provider_hooks.connection_form import ConnectionFields, check_connection_type
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.sanitize import safe_repr
from airflow_provider_hooks.settings import SECTION, Settings, parse_settings
from airflow_provider_hooks.signing.secrets import parse_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    from airflow_provider_hooks.connection_form import ConnectionType
    from airflow_provider_hooks.json_types import JsonObject


class VariableStore(Protocol):
    """
    Where Variables are written: ``airflow.sdk.Variable``, which only a running task can, or what plays it elsewhere.

    Each call is durable, and seen by everybody, when it returns.
    """

    def set(self, key: str, value: str, description: str | None = None) -> None:
        """Write a Variable."""

    def delete(self, key: str) -> object:
        """Delete a Variable, if it is there."""

    def keys(self, prefix: str | None = None) -> Sequence[str]:
        """Return the names of the Variables that begin so."""


def read_settings() -> Settings:
    """
    Read the ``[service_hooks]`` section of this deployment.

    :raises ValidationError: naming each option that cannot be used
    """
    settings = parse_settings(lambda name: conf.get(SECTION, name, fallback=None))
    if settings.ca_file and not os.access(settings.ca_file, os.R_OK):
        told = f"{safe_repr(settings.ca_file)} is no file that can be read"
        raise ValidationError(f"section {SECTION} of airflow.cfg", {"ca_file": told})
    return settings


def read_connection(kind: ConnectionType, conn_id: str) -> ConnectionFields:
    """
    Read a connection's fields and register its password with Airflow's secrets masker.

    :raises ValidationError: if it is of another type, or its extra is not a JSON object
    """
    connection = BaseHook.get_connection(conn_id)
    check_connection_type(kind, conn_id=conn_id, conn_type=connection.conn_type)
    if connection.password:
        mask_secret(connection.password)
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


def read_variable(name: str) -> str | None:
    """Return the text of a Variable that keeps secrets, each known to the masker, or ``None`` without it."""
    text = Variable.get(name, default=None)
    if not text:
        return None if text is None else ""
    try:
        for secret in parse_secrets(text):
            mask_secret(secret)
    except ValueError:
        mask_secret(text)
    return str(text)


class TaskStateStore:
    """The task instance's own state store as the ledger needs it: what is kept there never expires."""

    def __init__(self, accessor: TaskStateStoreAccessor) -> None:
        self._accessor = accessor

    def get(self, key: str) -> object:
        """Return what is kept under a key, or ``None``."""
        return self._accessor.get(key)

    def set(self, key: str, value: JsonObject) -> None:
        """Keep a value as long as its Dag run is kept."""
        self._accessor.set(key, value, retention=sdk.NEVER_EXPIRE)  # type: ignore[attr-defined]  # its stub lacks it


def open_state_store(context: Context) -> TaskStateStore:
    """
    Return the state store of the context's task instance.

    :raises ServiceHookError: if there is none, as outside of a task's run
    """
    store = context.get("task_state_store")
    if store is None:
        raise ServiceHookError("this context has no task_state_store to keep the claim in; nothing was sent")
    return TaskStateStore(store)
