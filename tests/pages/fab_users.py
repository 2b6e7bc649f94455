# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Makes the tables of the FAB auth manager in Airflow's database, and a user of each role; the password is the name.

Runs as a program, with the Python that has the provider. ``one_dag`` has the role of a viewer, but for one Dag only.
"""

from __future__ import annotations

import sys


def main(dag_id: str) -> None:
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder  # noqa: PLC0415
    from airflow.providers.fab.auth_manager.models.db import FABDBManager  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415

    with create_session() as session:
        FABDBManager(session).initdb()
    with get_application_builder() as builder:
        manager = builder.sm
        manager.sync_roles()
        role = manager.add_role("OneDag")
        for permission in list(manager.find_role("Viewer").permissions):
            if permission.resource.name != "DAGs":
                manager.add_permission_to_role(role, permission)
        manager.add_permission_to_role(role, manager.create_permission("can_read", f"DAG:{dag_id}"))
        # Airflow shows pages of plugins to roles with this permission only; Op and Admin have it.
        for shown in (role, manager.find_role("User")):
            manager.add_permission_to_role(shown, manager.create_permission("can_read", "Plugins"))
        for name, role_name in {"fab_admin": "Admin", "fab_editor": "User", "one_dag": "OneDag"}.items():
            manager.add_user(name, name, "User", f"{name}@example.com", manager.find_role(role_name), password=name)


if __name__ == "__main__":
    main(sys.argv[1])
