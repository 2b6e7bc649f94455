# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``ledger migrate`` and ``check``, on SQLite and PostgreSQL, and with roles of limited rights."""

from __future__ import annotations

import pytest

from airflow_provider_hooks._runtime.ledger import close_ledgers
from tests.ledgers import CONN_ID, describe_postgres, open_database
from tests.servers import OK, raw_server


def test_the_tables_are_created_once(run, name_ledger, ledger_connection):
    name_ledger(ledger_connection)
    missing = run("ledger", "check")
    assert (missing.code, missing.out) == (1, "")
    assert "has no tables; run: airflow service-hooks ledger migrate" in missing.err
    created = run("ledger", "migrate", "-o", "json")
    assert created.code == 0, created.err
    described = {"ledger": CONN_ID, "database": created.json["database"]}
    assert created.json == {**described, "change": "created", "version_before": 0, "version_after": 1}
    again = run("ledger", "migrate", "-o", "json")
    assert again.json == {**described, "change": "unchanged", "version_before": 1, "version_after": 1}
    assert run("ledger", "check", "-o", "json").json["version"] == 1


@pytest.mark.parametrize("command", ["migrate", "check"])
def test_tables_of_a_newer_version_stay_unchanged(run, name_ledger, database, ledger_connection, command):
    name_ledger(ledger_connection)
    database.run("INSERT INTO service_hook_ledger (version) VALUES (7)")
    done = run("ledger", command)
    assert (done.code, done.out) == (1, "")
    assert "has tables of version 7; this package knows version 1 at most" in done.err


@pytest.mark.parametrize("command", ["migrate", "check"])
def test_a_deployment_without_a_ledger_is_one_error_that_names_the_option(run, command):
    done = run("ledger", command)
    assert (done.code, done.out) == (1, "")
    assert done.err == "service-hooks: this deployment has no ledger: set [service_hooks] ledger_conn_id\n"


def test_unreachable_database_is_one_error(run, name_ledger):
    name_ledger({"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "x", "schema": "x"})
    done = run("ledger", "check")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "does not answer" in done.err


def test_insert_select_and_update_rights_are_sufficient(run, name_ledger, restricted, endpoint):
    _, worker = restricted("INSERT, SELECT, UPDATE")
    name_ledger(worker)
    assert run("ledger", "check").code == 0
    with raw_server(OK) as server:
        once = ("--event-type", "orders.loaded", "--data", "{}", "--event-id", "one", "--once", "event")
        for _ in range(2):
            done = run("deliver", endpoint(server.url), *once, "-o", "json")
            assert (done.code, done.json["outcome"]) == (0, "delivered"), done.err
        assert len(server.requests) == 1
    close_ledgers()


@pytest.mark.parametrize("rights", ["SELECT", "INSERT, SELECT", "SELECT, UPDATE"])
def test_missing_rights_are_reported_with_the_required_ones(run, name_ledger, restricted, rights):
    _, worker = restricted(rights)
    name_ledger(worker)
    done = run("ledger", "check")
    assert (done.code, done.out) == (1, "")
    # A role without any right on the version's table is reported the same way.
    assert "grant INSERT, SELECT and UPDATE on its tables" in done.err


def test_a_role_that_may_not_create_tables_is_refused(run, name_ledger, postgres, restricted):
    _, worker = restricted("INSERT, SELECT, UPDATE")
    database = open_database(describe_postgres(postgres))
    schema = dict(database.target.parameters)["options"].partition("=")[2]
    database.run(f"GRANT USAGE ON SCHEMA {schema} TO {worker['login']}")
    database.close()
    name_ledger({**worker, "extra": {"options": f"-csearch_path={schema}"}})
    done = run("ledger", "migrate")
    assert (done.code, done.out) == (1, "")
    assert "may not create tables; run this command with a role that may" in done.err
