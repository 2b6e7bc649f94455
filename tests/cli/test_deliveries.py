# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``deliver`` and ``ping``: the requests, the output, and the exit status."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.signing import sign
from tests.cli.cli_secrets import SECRET, TOKEN
from tests.events_data import ALERT, CREATED, FIELDS
from tests.servers import OK, find_closed_port, raw_server
from tests.versions import EXTRA_REFUSED

ALERT_FILE = json.dumps(ALERT).encode()


def as_bytes(event: object) -> bytes:
    return json.dumps(event).encode()


@pytest.fixture
def opened(monkeypatch):
    """The addresses that were resolved or connected to."""
    calls: list[object] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **_: calls.append(arguments))
    monkeypatch.setattr(
        "airflow_provider_hooks.http.engine.Engine.send_one", lambda *arguments, **_: calls.append(arguments)
    )
    return calls


@pytest.mark.parametrize(("event", "kind"), [(ALERT, "event.alert"), (CREATED, "event.created")])
def test_an_event_from_standard_input_is_delivered_once_and_the_record_printed(run, endpoint, event, kind):
    with raw_server(OK) as server:
        done = run("deliver", endpoint(server.url), "-o", "json", stdin=as_bytes(event))
        assert len(server.requests) == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert json.loads(body) == event
    assert f"X-Service-Hook-Event: {kind}".encode() in head
    record = done.json
    assert (done.code, record["outcome"], record["status_code"], record["redelivery"]) == (0, "delivered", 200, False)
    assert record["delivery_id"].encode() in head
    assert done.err == ""


def test_delivery_id_is_the_same_for_every_delivery_of_the_event(run, endpoint, tmp_path):
    path = tmp_path / "alert.json"
    path.write_bytes(ALERT_FILE)
    with raw_server(OK) as server:
        ids = {run("deliver", endpoint(server.url), str(path), "-o", "json").json["delivery_id"] for _ in range(2)}
        assert len(server.requests) == 2, "one for each call of the command"
    assert ids == {EndpointHook("an_endpoint").preview("event.alert", ALERT).info.delivery_id}


def close(connection) -> None:
    connection.close()


@pytest.mark.parametrize(
    ("answer", "outcome", "code"),
    [
        (b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nno!", "rejected", 3),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "rejected", 3),
        (close, "unknown", 5),
    ],
)
def test_exit_status_depends_on_the_outcome(run, endpoint, answer, outcome, code):
    with raw_server(answer) as server:
        done = run("deliver", endpoint(server.url), "-o", "json", stdin=ALERT_FILE)
        assert len(server.requests) == 1
    assert (done.code, done.json["outcome"]) == (code, outcome)


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_disabled_endpoint_is_reported_and_receives_no_request(run, endpoint, more):
    with raw_server(OK) as server:
        done = run("deliver", endpoint(server.url, disabled=True), *more, stdin=ALERT_FILE)
    assert (done.code, done.out) == (1, "")
    assert "connection 'an_endpoint' is disabled: nothing was sent" in done.err
    assert server.connections == 0


def test_refused_connection_is_not_sent(run, endpoint):
    conn_id = endpoint(f"http://127.0.0.1:{find_closed_port()}/hook")
    done = run("deliver", conn_id, "-o", "json", stdin=ALERT_FILE)
    assert (done.code, done.json["outcome"], done.json["error_class"]) == (4, "not_sent", "connection_refused")


def test_an_interruption_reports_that_the_event_may_have_been_received(run, endpoint, monkeypatch):
    def interrupt(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_hooks.http.engine.Engine.send_one", interrupt)
    done = run("deliver", endpoint("http://127.0.0.1:9/hook"), stdin=ALERT_FILE)
    assert (done.code, done.out, done.err) == (5, "", "service-hooks: interrupted; the event may have been received\n")


class TestDryRun:
    def test_output_is_the_request_with_secrets_masked(self, run, endpoint):
        """The request that is printed and the one that is sent are equal, byte for byte, except for the masks."""
        with raw_server(OK) as server:
            shown = run("deliver", endpoint(f"{server.url}?token=a-query-of-ours"), "--dry-run", stdin=ALERT_FILE)
            assert server.connections == 0
            run("deliver", "an_endpoint", stdin=ALERT_FILE)
        head, _, body = shown.out.partition("\n\n")
        sent_head, _, sent_body = server.requests[0].partition(b"\r\n\r\n")
        assert body.encode() == sent_body
        request_line, *lines = head.split("\n")
        assert request_line == f"POST {server.url}?*** HTTP/1.1"
        assert "Authorization: ***" in lines
        sent = sent_head.decode().replace(f"Bearer {TOKEN}", "***").split("\r\n")[1:]
        assert sorted(lines) == sorted(sent)
        assert shown.code == 0

    def test_no_connection_is_opened_and_no_name_is_resolved(self, run, endpoint, opened):
        done = run("deliver", endpoint("https://hooks.example.com/airflow"), "--dry-run", stdin=ALERT_FILE)
        assert (done.code, opened) == (0, [])
        assert done.out.startswith("POST https://hooks.example.com/airflow HTTP/1.1\nHost: hooks.example.com\n")

    @pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
    def test_other_formats_have_the_same_content(self, run, endpoint, output, read):
        conn_id = endpoint("https://hooks.example.com:443/airflow")
        event = as_bytes({**ALERT, "message": "ünï[bold]\t\u2028 :smile: " + "long " * 500})
        shown = read(run("deliver", conn_id, "--dry-run", "-o", output, stdin=event).out)
        body = shown["body"].encode()
        headers = sign("sentry", body=body, secrets=[SECRET], delivery_id=shown["delivery_id"], timestamp=0)
        assert headers.items() <= shown["headers"].items()
        assert shown["headers"]["Host"] == "hooks.example.com"
        assert json.loads(body) == json.loads(event)
        assert (shown["method"], shown["body_bytes"]) == ("POST", len(body))


class TestNoSecret:
    @pytest.mark.parametrize("output", ["table", "plain", "json", "yaml"])
    @pytest.mark.parametrize("more", [[], ["--dry-run"]])
    def test_secrets_echoed_by_the_receiver_are_not_printed(self, run, endpoint, output, more):
        echo = f"{SECRET} Bearer {TOKEN}".encode()
        answer = b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n%s" % (len(echo), echo)
        with raw_server(answer) as server:
            done = run("deliver", endpoint(f"{server.url}?key=a-query-of-ours"), "-o", output, *more, stdin=ALERT_FILE)
        assert done.code == (0 if more else 3)
        for private in (SECRET, TOKEN, "a-query-of-ours"):
            assert private not in done.out + done.err

    def test_text_of_the_receiver_is_printed_literally(self, run, endpoint):
        evil = b"[/bold][red]\x1b[31m :smile: [link=x]"
        with raw_server(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n%s" % (len(evil), evil)) as server:
            done = run("deliver", endpoint(server.url), stdin=ALERT_FILE)
        assert done.code == 3
        assert r"[/bold][red]\x1b[31m :smile: [link=x]" in done.out


@pytest.mark.parametrize(
    ("stdin", "error"),
    [
        (b"", r"standard input: FILE: is empty"),
        (b"{", r"the event: FILE: is not JSON: .*line 1"),
        (b"\xff\xfe", r"the event: FILE: is not JSON"),
        (b"NaN", r"the event: FILE: is not JSON"),
        (b"[" * 100_000, r"the event: FILE: is not JSON"),
        (b"[]", r"the event: event: must be a mapping of fields, not a list"),
        (b"7", r"must be a mapping"),
        (as_bytes({}), r"event.created: id: is missing"),
        (as_bytes({**ALERT, "level": "loud"}), r"level: must be one of fatal"),
        (as_bytes({**ALERT, "surprise": 1}), r"surprise: is not a documented field"),
        (as_bytes({**CREATED, "triggering_rules": ["x"]}), r"--event-type: must be given"),
        (b" " * 16_777_217, r"is larger than 16777216 bytes"),
    ],
)
def test_an_invalid_event_is_one_line_on_stderr(run, endpoint, opened, stdin, error):
    done = run("deliver", endpoint("https://hooks.example.com/"), stdin=stdin)
    assert (done.code, done.out, opened) == (1, "", [])
    assert re.fullmatch(f"service-hooks: .*{error}.*\n", done.err)


def test_an_event_with_the_fields_of_both_types_has_the_given_type(run, endpoint):
    both = as_bytes({**CREATED, "triggering_rules": ["x"]})
    for kind in ("event.created", "event.alert"):
        arguments = ("deliver", endpoint("https://hooks.example.com/"), "--dry-run", "--event-type", kind)
        assert f"\nX-Service-Hook-Event: {kind}\n" in run(*arguments, stdin=both).out


@pytest.mark.parametrize("name", ["/nowhere/alert.json", "/", "a\0b"])
def test_a_file_that_cannot_be_read_is_one_line(run, endpoint, name):
    done = run("deliver", endpoint("https://hooks.example.com/"), name)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "cannot be read" in done.err


CONNECTIONS = {
    "unknown": (None, "isn't defined"),
    "another type": ({"conn_type": "http", "host": "https://example.com"}, "must be service_hook"),
    "no secret": ({"conn_type": "service_hook", "host": "https://example.com"}, "needs a secret"),
    "no host": ({"conn_type": "service_hook", "password": SECRET}, "URL is empty"),
    "not allowed": ({"conn_type": "service_hook", "host": "https://10.0.0.1/", "password": SECRET}, "10.0.0.1"),
    "bad extra": ({"conn_type": "service_hook", "host": "https://e.com", "extra": "[1]"}, EXTRA_REFUSED),
    "events": (
        {
            "conn_type": "service_hook",
            "host": "https://e.com",
            "password": SECRET,
            "extra": {"events": "event.created"},
        },
        "takes only event.created",
    ),
}


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
@pytest.mark.parametrize("name", CONNECTIONS)
def test_an_invalid_connection_is_one_line_on_stderr(run, monkeypatch, opened, name, arguments):
    connection, error = CONNECTIONS[name]
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_BAD", json.dumps(connection))
    done = run("deliver", "bad", *arguments, stdin=ALERT_FILE)
    assert (done.code, done.out, done.err.count("\n"), opened) == (1, "", 1, [])
    assert error in done.err
    assert SECRET not in done.err


@pytest.mark.parametrize(
    "arguments", [["deliver"], ["deliver", "x", "-o", "xml"], ["deliver", "x", "--event-type", "a b"]]
)
def test_invalid_command_line_exits_with_2(run, arguments):
    assert run(*arguments).code == 2


class TestPing:
    def test_ping_connects_without_sending_a_request(self, run, endpoint):
        with raw_server(OK) as server:
            done = run("ping", endpoint(server.url), "-o", "json")
            assert server.requests == []
        assert done.code == 0
        assert done.json == {
            "endpoint": "an_endpoint",
            "reached": True,
            "peer_address": "127.0.0.1",
            "scheme": "sentry",
            "message": "Connected. Nothing was sent.",
        }

    def test_disabled_endpoint_is_named(self, run, endpoint):
        with raw_server(OK) as server:
            done = run("ping", endpoint(server.url, disabled=True), "-o", "json")
        assert done.code == 0
        assert done.json["message"] == (
            "Connected. Nothing was sent. The endpoint is disabled: deliveries to it are skipped."
        )

    def test_refused_connection_exits_with_4(self, run, endpoint):
        done = run("ping", endpoint(f"http://127.0.0.1:{find_closed_port()}/"), "-o", "json")
        assert (done.code, done.json["reached"], done.json["error_class"]) == (4, False, "connection_refused")

    @pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://192.0.2.1/"])
    def test_disallowed_address_exits_with_1(self, run, endpoint, url):
        done = run("ping", endpoint(url), "-o", "json")
        assert (done.code, done.json["reached"], done.json["error_class"]) == (1, False, "blocked_address")

    def test_missing_connection_is_one_error_line(self, run):
        done = run("ping", "nowhere")
        assert (done.code, done.out) == (1, "")
        assert "nowhere" in done.err


def test_event_can_be_given_as_fields_by_name(run, endpoint):
    event = as_bytes({**FIELDS, "datetime": "2026-01-01T12:00:00Z"})
    assert run("deliver", endpoint("https://hooks.example.com/"), "--dry-run", stdin=event).code == 0
