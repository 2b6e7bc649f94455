# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""An auth manager with a user who may see one Dag only, as the FAB auth manager has them."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

ONE_DAG = "a_dag"
OF_ONE_DAG = "of_one_dag"


class OneDagAuthManager(SimpleAuthManager):
    """Gives the user ``of_one_dag`` the rights of its role for one Dag."""

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None) -> bool:
        if user.username == OF_ONE_DAG and details is not None and details.id not in (None, ONE_DAG):
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)

    def get_authorized_dag_ids(self, *, user, method="GET", **kwargs) -> set[str]:
        found = super().get_authorized_dag_ids(user=user, method=method, **kwargs)
        return found & {ONE_DAG} if user.username == OF_ONE_DAG else found
