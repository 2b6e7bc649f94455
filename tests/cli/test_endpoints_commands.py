# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``endpoints list``, ``pause`` and ``resume``: their output, and their effect on deliveries."""

from __future__ import annotations

import pytest

from tests.servers import OK, raw_server

FAILED = b"HTTP/1.1 500 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
EVENT = ("--event-type", "orders.loaded", "--data", "{}")


def test_paused_endpoint_receives_no_delivery_until_it_is_resumed(run, endpoint, ledger):
    with raw_server(OK) as server:
        conn_id = endpoint(server.url)
        paused = run("endpoints", "pause", conn_id, "--reason", "maintenance", "-o", "json")
        assert (paused.code, paused.json["changed"]) == (0, True), paused.err
        assert run("endpoints", "pause", conn_id, "-o", "json").json["changed"] is False
        done = run("deliver", conn_id, *EVENT, "-o", "json")
        assert (done.code, done.json["error_class"]) == (4, "endpoint_paused")
        assert done.json["message"].endswith(": maintenance")
        assert not server.requests
        assert run("endpoints", "resume", conn_id, "-o", "json").json["changed"] is True
        assert run("endpoints", "resume", conn_id, "-o", "json").json["changed"] is False
        assert run("deliver", conn_id, *EVENT).code == 0
        assert len(server.requests) == 1


def test_the_health_of_each_endpoint_is_listed(run, endpoint, ledger):
    for answer in (OK, FAILED, FAILED):
        with raw_server(answer) as server:
            conn_id = endpoint(server.url)
            run("deliver", conn_id, *EVENT)
    run("endpoints", "pause", "another")
    first, another = run("endpoints", "list", "-o", "json").json
    assert (another["endpoint"], another["deliveries"], another["success_percent"]) == ("another", 0, None)
    assert another["reason"] == "paused by a user"
    assert (first["endpoint"], first["deliveries"], first["delivered"]) == (conn_id, 3, 1)
    assert (first["success_percent"], first["failures_in_a_row"], first["paused_at"]) == (33.3, 2, None)


@pytest.mark.parametrize("command", [("list",), ("pause", "an_endpoint"), ("resume", "an_endpoint")])
def test_commands_require_a_ledger(run, command):
    done = run("endpoints", *command)
    assert (done.code, done.out) == (1, "")
    assert "ledger_conn_id" in done.err
