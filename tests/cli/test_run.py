# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Output is complete in every format; a failure to print loses no outcome and changes no exit status."""

from __future__ import annotations

import io
import json

import pytest
import yaml

from airflow_provider_hooks.cli._run import show
from tests.events_data import ALERT
from tests.servers import OK, raw_server

DATA = {"text": "a\tb\x1b[31m …", "none": None, "flag": True, "number": 1.5, "list": ["x", 2], "inner": {"deep": "[b]"}}


class Full(io.StringIO):
    """A full disk or a closed pipe, which fails on a write or, if the write is buffered, on the flush."""

    def __init__(self, error: OSError, *, on: str = "write") -> None:
        super().__init__()
        self.error, self.on = error, on

    def write(self, text: str) -> int:
        if self.on == "write":
            raise self.error
        return len(text)

    def flush(self) -> None:
        if self.on == "flush":
            raise self.error


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_data_survives_a_round_trip(capsys, output, read):
    data = {**DATA, "long": "word " * 10_000}
    show(data, output)
    assert read(capsys.readouterr().out) == data


@pytest.mark.parametrize("output", ["table", "plain"])
def test_a_table_is_literal_and_safe_for_a_terminal(capsys, output):
    show(DATA, output)
    rows = dict(
        line.replace("|", " ").split(None, 1) for line in capsys.readouterr().out.splitlines()[1:] if "b" in line
    )
    assert rows["text"].strip() == r"a\tb\x1b[31m …"
    assert rows["inner.deep"].strip() == "[b]"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError()], ids=str)
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_delivery_whose_record_cannot_be_printed_is_reported_on_stderr(run, endpoint, monkeypatch, error, output):
    with raw_server(OK) as server:
        conn_id = endpoint(server.url)
        monkeypatch.setattr("sys.stdout", Full(error))
        done = run("deliver", conn_id, "-o", output, stdin=json.dumps(ALERT).encode())
    assert done.code == 0
    assert done.err.startswith(
        "service-hooks: standard output cannot be written; delivered (HTTP 200): event.alert to an_endpoint, delivery "
    )
    assert "delivered" in done.err


@pytest.mark.parametrize("output", ["table", "plain"])
@pytest.mark.parametrize("on", ["write", "flush"])
def test_list_that_cannot_be_printed_exits_with_1(run, monkeypatch, on, output):
    monkeypatch.setattr("sys.stdout", Full(OSError(28, "No space left on device"), on=on))
    done = run("schemes", "-o", output)
    assert (done.code, done.err) == (1, "service-hooks: standard output cannot be written\n")
