# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import json

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow_context import make_context
from servers import find_closed_port, raw_server

from airflow_provider_hooks.hooks import registry
from airflow_provider_hooks.operators.registration import RegisterServiceHookOperator
from airflow_provider_hooks.signing.variable import parse_secrets


@pytest.fixture
def variables(monkeypatch):
    """Airflow's Variables, of which a test without a task runner can only read."""
    kept: dict[str, str] = {}
    monkeypatch.setattr(registry, "read_variable", kept.get)
    monkeypatch.setattr(registry, "write_variable", lambda name, text, *, description: kept.update({name: text}))
    return kept


def register(**options):
    options = {"url": "https://example.com/hook", "secret_variable": "hooks", **options}
    return RegisterServiceHookOperator(task_id="register", **options).execute(make_context())


def test_a_hook_is_registered_and_its_secret_kept_where_endpoints_find_it(connected, variables):
    told = register()
    (hook,) = connected.state.list_hooks(("sandbox", "pump-station"))
    assert (told["hook_id"], told["created"], told["events"]) == (hook.hook_id, True, ["event.alert", "event.created"])
    assert parse_secrets(variables["hooks"]) == (hook.secret,)
    assert hook.secret not in json.dumps(told)


def test_no_events_is_an_error_and_not_all_of_them(connected, variables):
    with pytest.raises(AirflowFailException, match="events: must be a list"):
        register(events=[])


def test_running_again_registers_nothing_and_keeps_the_secret_once(connected, variables):
    first, second = register(), register()
    assert connected.state.count_hooks() == 1
    assert (first["hook_id"], first["created"], second["created"]) == (second["hook_id"], True, False)
    assert len(parse_secrets(variables["hooks"])) == 1


def test_a_secret_that_was_lost_is_read_back_from_the_platform(connected, variables):
    register()
    kept = variables.pop("hooks")
    register()
    assert variables["hooks"] == kept


def test_a_second_hook_comes_in_front_of_the_first(connected, variables):
    register()
    register(url="https://example.com/other")
    hooks = connected.state.list_hooks(("sandbox", "pump-station"))
    assert parse_secrets(variables["hooks"]) == tuple(hook.secret for hook in hooks)


def test_an_endpoint_gives_its_url_and_its_variable(connected, variables):
    told = register(url=None, service_hook_conn_id="service_hook_default", secret_variable=None)
    (hook,) = connected.state.list_hooks(("sandbox", "pump-station"))
    assert (hook.url, told["secret_variable"]) == (connected.receiver_url, "service_hook_sandbox")
    assert parse_secrets(variables["service_hook_sandbox"]) == (hook.secret,)


@pytest.mark.parametrize("options", [{"url": None}, {"url": ""}, {"service_hook_conn_id": "service_hook_default"}])
def test_either_a_url_or_an_endpoint_must_be_given(connected, variables, options):
    with pytest.raises(AirflowFailException, match="either url or service_hook_conn_id"):
        register(**options)


def test_a_token_in_a_url_is_not_told(connected, variables):
    assert register(url="https://example.com/hook?token=x")["url"] == "https://example.com/hook"


def test_a_hook_that_is_disabled_is_left_alone_and_told(connected, variables):
    register()
    (hook,) = connected.state.list_hooks(("sandbox", "pump-station"))
    connected.state.change_hook(hook, is_active=False)
    with pytest.raises(AirflowFailException, match="disabled"):
        register()


def test_a_hook_with_other_events_is_left_alone_and_told(connected, variables):
    register(events=["event.alert"])
    with pytest.raises(AirflowFailException, match="update or delete it"):
        register()
    assert connected.state.count_hooks() == 1


def test_what_the_platform_would_refuse_is_refused_before_any_call(connected, variables):
    with pytest.raises(AirflowFailException, match=r"url: .*; events: "):
        register(url="example.com", events=["event.deleted"])
    assert connected.state.count_hooks() == 0


def test_a_missing_feature_is_told_in_words(connected, variables):
    connected.state.features.clear()
    with pytest.raises(AirflowFailException, match="'servicehooks' feature"):
        register()


def test_a_variable_that_holds_something_else_is_left_alone(connected, variables):
    variables["hooks"] = '{"something": "else"}'
    with pytest.raises(AirflowFailException, match="Variable 'hooks' begins like JSON, but is not a list"):
        register()
    assert variables["hooks"] == '{"something": "else"}'


def test_a_platform_that_is_not_there_is_left_to_airflows_retries(connected, variables, monkeypatch):
    connection = connected.describe_connections()["service_hook_registry_default"]
    connection["host"] = f"http://127.0.0.1:{find_closed_port()}/api/0"
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowException, match="not sent") as caught:
        register()
    assert not isinstance(caught.value, AirflowFailException)


class TestZStackWhichCannotList:
    """A raw server plays it, as the sandbox does not."""

    ENDPOINT = {"id": "wh-001", "name": "n", "url": "https://example.com/hook"}

    @pytest.fixture
    def zstack(self, allow_loopback, monkeypatch):
        state = {"gone": False}

        def play(connection):
            request = heard.requests[-1]
            if request.startswith(b"POST"):
                content, status = {"endpoint": self.ENDPOINT, "signingSecretPlaintext": "whsec_abc123def456"}, 200
            elif state["gone"]:
                content, status = {"error": {"code": "SYS.1001", "description": "gone"}}, 404
            else:
                content, status = self.ENDPOINT, 200
            body = json.dumps(content).encode()
            connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

        with raw_server(play) as heard:
            connection = {
                "conn_type": "service_hook_registry",
                "host": f"http://127.0.0.1:{heard.port}",
                "password": "t0ken-of-ours",
                "extra": {"platform": "zstack"},
            }
            monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
            yield heard, state

    def test_running_again_asks_for_the_hook_that_the_variable_remembers(self, zstack, variables):
        heard, _ = zstack
        first, second = register(events=[]), register(events=[])
        assert [request.split()[0] for request in heard.requests] == [b"POST", b"GET"]
        assert (first["hook_id"], first["created"], second["created"]) == ("wh-001", True, False)
        assert parse_secrets(variables["hooks"]) == ("whsec_abc123def456",)
        assert "abc123" not in json.dumps([first, second])

    def test_a_hook_that_is_gone_is_registered_anew(self, zstack, variables):
        heard, state = zstack
        register(events=[])
        state["gone"] = True
        assert register(events=[])["created"] is True
        assert [request.split()[0] for request in heard.requests] == [b"POST", b"GET", b"POST"]

    def test_without_a_variable_nothing_is_sent(self, zstack, variables):
        heard, _ = zstack
        with pytest.raises(AirflowFailException, match="secret_variable: is needed on ZStack"):
            register(events=[], secret_variable=None)
        assert heard.requests == []
