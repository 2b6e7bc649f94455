# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The connection to the database of the ledger."""

from __future__ import annotations

import os
import socket

import pytest

from tests.ledgers import describe_postgres, open_database


@pytest.mark.parametrize(("extra", "milliseconds"), [({}, 60_000), ({"tcp_user_timeout": "5000"}, 5_000)])
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_keepalive_detects_a_lost_server_within_a_minute(postgres, monkeypatch, driver, extra, milliseconds):
    monkeypatch.setattr("airflow_provider_hooks.ledger.database._DRIVERS", (driver,))
    described = describe_postgres(postgres)
    database = open_database({**described, "extra": {**described["extra"], **extra}})
    assert database.run("SELECT 1") == [(1,)]
    with socket.socket(fileno=os.dup(database._connection.fileno())) as connection:
        idle, interval, count, user_timeout = (
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )
    database.close()
    assert idle + interval * count == 60
    assert user_timeout == milliseconds
