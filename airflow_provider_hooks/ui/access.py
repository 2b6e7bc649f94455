# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a user of Airflow may see and do on the pages, as Airflow's auth manager decides.

A delivery belongs to its Dag: who may read the Dag's task instances sees it, and who may edit them can send it again. A
delivery of a command, or of a Dag that no longer exists, is shown to users who may read every Dag and every connection.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException
from sqlalchemy import select

from airflow_provider_hooks._runtime.compat import find_team_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from airflow_provider_hooks.ledger.history import Delivery


class Access:
    """
    What the user of one request may see and do.

    :param user: who is logged in
    """

    def __init__(self, user: BaseUser) -> None:
        self._user = user
        self._editable: dict[str, bool] = {}
        self._teams: dict[str, str | None] = {}
        """Of each Dag, which the auth manager may decide by."""

    @cached_property
    def visible_dags(self) -> frozenset[str] | None:
        """The Dags whose deliveries the user may see, or ``None`` for all, with deliveries of no Dag."""
        manager = get_auth_manager()
        if not manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.TASK_INSTANCE, user=self._user):
            return frozenset()
        visible = frozenset(manager.get_authorized_dag_ids(user=self._user, method="GET"))
        with create_session() as session:
            is_every = visible.issuperset(session.scalars(select(DagModel.dag_id)))
        return None if is_every and self.may_read_connections() else visible

    def may_see(self, delivery: Delivery) -> bool:
        """Return whether the user may see a delivery."""
        return self.visible_dags is None or delivery.dag_id in self.visible_dags

    def prepare(self, dag_ids: Iterable[str | None]) -> None:
        """Look up in one query what is needed to decide about these Dags, which would be a query for each of them."""
        unknown = {one for one in dag_ids if one is not None} - self._teams.keys()
        if unknown:
            found = find_team_names(sorted(unknown))
            self._teams |= {one: found.get(one) for one in unknown}

    def may_edit(self, dag_id: str | None) -> bool:
        """Return whether the user may clear tasks of a Dag."""
        if dag_id is None:
            return False
        if dag_id not in self._editable:
            self._editable[dag_id] = self._may_access(dag_id, "PUT", DagAccessEntity.TASK_INSTANCE)
        return self._editable[dag_id]

    def may_read_payload(self, dag_id: str | None) -> bool:
        """Return whether the user may read the data of tasks: XComs, and what was sent."""
        return self.may_read_connections() if dag_id is None else self._may_access(dag_id, "GET", DagAccessEntity.XCOM)

    def may_read_connections(self) -> bool:
        """Return whether the user may read connections, which endpoints and registries are."""
        return get_auth_manager().is_authorized_connection(method="GET", user=self._user)

    def may_edit_connection(self, conn_id: str) -> bool:
        """Return whether the user may change a connection."""
        details = ConnectionDetails(conn_id=conn_id)
        return get_auth_manager().is_authorized_connection(method="PUT", details=details, user=self._user)

    def list_readable(self, conn_ids: Iterable[str]) -> list[str]:
        """Return the connections that the user may read."""
        manager = get_auth_manager()
        return [
            conn_id
            for conn_id in conn_ids
            if manager.is_authorized_connection(
                method="GET", details=ConnectionDetails(conn_id=conn_id), user=self._user
            )
        ]

    def _may_access(self, dag_id: str, method: ResourceMethod, entity: DagAccessEntity) -> bool:
        self.prepare([dag_id])
        details = DagDetails(id=dag_id, team_name=self._teams[dag_id])
        return get_auth_manager().is_authorized_dag(
            method=method, access_entity=entity, details=details, user=self._user
        )


def _get_access(user: Annotated[object, Depends(get_user)]) -> Access:
    return Access(user)  # type: ignore[arg-type]  # FastAPI needs no more of the type than Airflow exports


AccessDep = Annotated[Access, Depends(_get_access)]


def require_connections(access: AccessDep) -> None:
    """Refuse a user who may not read connections."""
    if not access.may_read_connections():
        raise HTTPException(403, "Only users who may read connections see endpoints and registries.")
