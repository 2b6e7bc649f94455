# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The FAB auth manager, whose roles can be for one Dag: a second API server on the database of the first.

It runs in the environment that ``make test-pages`` installs for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from airflow_provider_hooks.sandbox.local_airflow import read_health, start_airflow
from airflow_provider_hooks.sandbox.ui import RunningUi
from tests.conftest import REPOSITORY
from tests.pages import fab_users
from tests.pages.conftest import RUN_SECONDS, Visitor
from tests.pages.views import DAG_ID, DELIVERIES, ENDPOINTS, expect_ids, find_rows, wait_for
from tests.servers import find_free_port

PYTHON = REPOSITORY / ".venv-fab" / "bin" / "python"
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"


@pytest.fixture(scope="session")
def fab(ui: RunningUi, other_dag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUi]:
    """The same Airflow with another API server, whose users and roles are those of FAB."""
    assert PYTHON.exists(), "the FAB auth manager is not installed: make test-pages installs it"
    port = find_free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **ui.environment,
        "PATH": os.pathsep.join([str(PYTHON.parent), ui.environment["PATH"]]),
        "AIRFLOW__CORE__AUTH_MANAGER": FAB,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
    }
    log = tmp_path_factory.mktemp("fab") / "log"
    with log.open("ab") as output:
        command = [str(PYTHON), fab_users.__file__, DAG_ID]
        done = subprocess.run(command, env=environment, stdout=output, stderr=output, timeout=RUN_SECONDS, check=False)
        assert done.returncode == 0, log.read_text()
    with start_airflow("api-server", environment=environment, log=log, python=str(PYTHON)) as process:

        def is_up() -> bool:
            assert process.poll() is None, log.read_text()
            return read_health(address) is not None

        wait_for(is_up)
        yield RunningUi(address=address, sandbox=ui.sandbox, environment=environment)


@pytest.fixture(scope="session")
def members(fab: RunningUi, chromium: Browser) -> dict[str, Visitor]:
    names = ("fab_admin", "fab_editor", "one_dag")
    return {name: Visitor(chromium=chromium, address=fab.address, name=name, password=name) for name in names}


def list_rows(page, fab: RunningUi) -> list[dict]:
    return page.request.get(f"{fab.address}/service-hooks/api/deliveries?limit=200").json()["deliveries"]


@pytest.mark.parametrize("name", ["fab_admin", "fab_editor"])
def test_role_for_all_dags_sees_and_changes_their_deliveries(open_page, members, fab, other_dag, name):
    page = open_page(members[name], DELIVERIES)
    rows = list_rows(page, fab)
    assert {DAG_ID, other_dag} <= {one["dag_id"] for one in rows}
    assert (None in {one["dag_id"] for one in rows}) is (name == "fab_admin")
    expect_ids(page, [one["id"] for one in rows])
    assert page.get_by_role("button", name="Resend delivery").count() > 0
    assert (page.get_by_role("link", name="Endpoints", exact=True).count() > 0) is (name == "fab_admin")


def test_role_for_one_dag_sees_its_deliveries_and_changes_none(open_page, members, fab, watch, other_dag):
    watch.expected = ("403 (Forbidden)", "404 (Not Found)")
    everything = list_rows(open_page(members["fab_admin"], DELIVERIES), fab)
    mine = [one["id"] for one in everything if one["dag_id"] == DAG_ID]
    others = [one["id"] for one in everything if one["dag_id"] != DAG_ID]
    page = open_page(members["one_dag"], DELIVERIES)
    expect_ids(page, mine)
    assert find_rows(page).get_by_role("button").count() == 0
    assert page.get_by_role("checkbox").count() == 0
    page.goto(f"{fab.address}{DELIVERIES}?dag={other_dag}")
    expect_ids(page, [])
    for number in others:
        assert page.request.get(f"{fab.address}/service-hooks/api/deliveries/{number}").status == 404
    page.goto(f"{fab.address}{DELIVERIES}?delivery={others[0]}")
    expect(page.get_by_role("alert").filter(has_text="Not found (HTTP 404)")).to_be_visible()
    page.goto(f"{fab.address}{ENDPOINTS}")
    expect(page.get_by_role("alert").filter(has_text="(HTTP 403)")).to_be_visible()
    for dag_id, ids in ((DAG_ID, mine[:1]), (other_dag, others[:1])):
        for action in ("resend", "mark-received"):
            url = f"{fab.address}/service-hooks/api/dags/{dag_id}/{action}"
            assert page.request.post(url, data={"ids": ids}).status == 403
