# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The registries of a deployment, and which hooks of a platform it has declared."""

from __future__ import annotations

import os

from airflow.models.connection import Connection
from airflow.models.variable import Variable
from airflow.sdk import BaseHook
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_hooks._runtime.compat import AirflowNotFoundException
from airflow_provider_hooks._runtime.variable_store import default_variable_name
from airflow_provider_hooks.admin.task_instances import database_errors
from airflow_provider_hooks.registries.connection import CONNECTION_TYPE
from airflow_provider_hooks.registries.store import parse_state

_ENVIRONMENT_PREFIX = "AIRFLOW_CONN_"


def list_registries() -> dict[str, str | None]:
    """
    Return the platform of each registry in Airflow's database and in the environment, by connection id.

    Those of a secrets backend are not found: it cannot be listed.

    :raises ServiceHookError: if the database fails
    """
    with database_errors(), create_session() as session:
        query = select(Connection).where(Connection.conn_type == CONNECTION_TYPE)
        found = {one.conn_id: _read_platform(one) for one in session.scalars(query)}
    for name in os.environ:
        if name.startswith(_ENVIRONMENT_PREFIX):
            conn_id = name.removeprefix(_ENVIRONMENT_PREFIX).lower()
            try:
                connection = BaseHook.get_connection(conn_id)
            except (AirflowNotFoundException, ValueError):
                continue  # a text that is not a connection
            if connection.conn_type == CONNECTION_TYPE:
                found[conn_id] = _read_platform(connection)
    return dict(sorted(found.items()))


def _read_platform(connection: object) -> str | None:
    extra = getattr(connection, "extra_dejson", {})
    platform = extra.get("platform") if isinstance(extra, dict) else None
    return str(platform) if platform else None


def find_declared_hooks(conn_id: str) -> dict[str, str]:
    """
    Return the Variable of each declared hook of a registry, by the id of the hook.

    Only Variables with the name that registration chooses by default are read.

    :raises ServiceHookError: if the database fails
    """
    prefix, declared = default_variable_name(conn_id, ""), dict[str, str]()
    with database_errors(), create_session() as session:
        found = session.scalars(select(Variable).where(Variable.key.startswith(prefix, autoescape=True))).all()
        for variable in found:
            try:
                state = parse_state(str(variable.val))
            except ValueError:
                continue  # a user may have edited it
            declared |= {one.hook_id: str(variable.key) for one in state if one.hook_id and one.registry == conn_id}
    return declared
