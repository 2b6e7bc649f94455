# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import inspect
import json
import os
import threading
from types import SimpleNamespace

import pytest
from airflow.sdk.log import redact

from airflow_provider_hooks._runtime.compat import AirflowException, AirflowFailException
from airflow_provider_hooks._runtime.variable_lock import VariableLock
from airflow_provider_hooks.exceptions import LockError
from airflow_provider_hooks.operators import registration
from airflow_provider_hooks.operators.registration import EnsureServiceHookOperator, RegisterServiceHookOperator
from airflow_provider_hooks.registries.store import parse_state
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.airflow_context import make_context
from tests.registries.platform_data import PLATFORM_DATA, name_connection
from tests.servers import find_closed_port


def register(**options):
    options = {"url": "https://example.com/hook", "secret_variable": "hooks", **options}
    return RegisterServiceHookOperator(task_id="register", **options).execute(make_context())


def test_a_hook_is_registered_and_its_secret_stored_where_endpoints_find_it(connected, variables):
    result = register()
    (hook,) = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    assert (result["hook_id"], result["created"], result["events"]) == (
        hook.hook_id,
        True,
        ["event.alert", "event.created"],
    )
    assert parse_secrets(variables.kept["hooks"]) == (hook.secret,)
    assert hook.secret not in json.dumps(result)


def test_no_events_is_an_error_and_not_all_of_them(connected, variables):
    with pytest.raises(AirflowFailException, match="events: must be a list"):
        register(events=[])


def test_running_again_registers_nothing_and_stores_the_secret_once(connected, variables):
    first, second = register(), register()
    assert len(connected.state.list_hooks()) == 1
    assert (first["hook_id"], first["created"], second["created"]) == (second["hook_id"], True, False)
    assert len(parse_secrets(variables.kept["hooks"])) == 1


def test_a_secret_that_was_lost_is_read_back_from_the_platform(connected, variables):
    register()
    kept = variables.kept.pop("hooks")
    register()
    assert variables.kept["hooks"] == kept


def test_a_second_hook_comes_in_front_of_the_first(connected, variables):
    register()
    register(url="https://example.com/other")
    hooks = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    assert parse_secrets(variables.kept["hooks"]) == tuple(hook.secret for hook in hooks)


def test_an_endpoint_gives_its_url_and_its_variable(connected, variables):
    result = register(url=None, service_hook_conn_id="service_hook_default", secret_variable=None)
    (hook,) = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    assert (hook.url, result["secret_variable"]) == (connected.receiver_url, "service_hook_secret_sandbox")
    assert parse_secrets(variables.kept["service_hook_secret_sandbox"]) == (hook.secret,)


@pytest.mark.parametrize("operator", ["register", "ensure"])
def test_a_secret_in_the_endpoints_connection_is_refused_before_any_call(connected, variables, monkeypatch, operator):
    """The platform makes another one, so that no delivery would verify."""
    stored = json.loads(os.environ["AIRFLOW_CONN_SERVICE_HOOK_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_DEFAULT", json.dumps({**stored, "password": "typed-in", "extra": {}}))
    call = register if operator == "register" else ensure
    with pytest.raises(AirflowFailException) as caught:
        call(url=None, service_hook_conn_id="service_hook_default", secret_variable="hooks")
    assert "connection 'service_hook_default': password: is set, but the hook on Sentry gets" in str(caught.value)
    assert "set secret_variable" in str(caught.value)
    assert "typed-in" not in str(caught.value)
    assert connected.state.list_hooks() == []
    assert connected.state.sentry.count_calls() == {}


@pytest.mark.parametrize("options", [{"url": None}, {"url": ""}, {"service_hook_conn_id": "service_hook_default"}])
def test_either_a_url_or_an_endpoint_must_be_given(connected, variables, options):
    with pytest.raises(AirflowFailException, match="give url or service_hook_conn_id"):
        register(**options)


def test_a_token_in_a_url_is_not_returned(connected, variables):
    assert register(url="https://example.com/hook?token=x")["url"] == "https://example.com/hook"


def test_a_hook_that_is_disabled_is_left_alone_and_reported(connected, variables):
    register()
    (hook,) = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    connected.state.sentry.change_hook(hook, is_active=False)
    with pytest.raises(AirflowFailException, match="disabled"):
        register()


def test_a_hook_with_other_events_is_left_alone_and_reported(connected, variables):
    register(events=["event.alert"])
    with pytest.raises(AirflowFailException, match="update or delete it"):
        register()
    assert len(connected.state.list_hooks()) == 1


def test_what_the_platform_would_refuse_is_refused_before_any_call(connected, variables):
    with pytest.raises(AirflowFailException, match=r"url: .*; events: "):
        register(url="example.com", events=["event.deleted"])
    assert len(connected.state.list_hooks()) == 0


def test_a_missing_feature_is_named(connected, variables):
    connected.state.sentry.features.clear()
    with pytest.raises(AirflowFailException, match="'servicehooks' feature"):
        register()


def test_a_variable_that_holds_something_else_is_left_alone(connected, variables):
    variables.kept["hooks"] = '{"something": "else"}'
    with pytest.raises(AirflowFailException, match="Variable 'hooks' begins like JSON, but is not a list"):
        register()
    assert variables.kept["hooks"] == '{"something": "else"}'


def test_a_platform_that_is_not_there_is_left_to_airflows_retries(connected, variables, monkeypatch):
    connection = connected.describe_connections()["service_hook_registry_default"]
    connection["host"] = f"http://127.0.0.1:{find_closed_port()}/api/0"
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowException, match="not sent") as caught:
        register()
    assert not isinstance(caught.value, AirflowFailException)


class TestZStackWhichCannotList:
    OPTIONS = {"service_hook_registry_conn_id": "zstack_registry", "hook_name": "orders"}

    def test_running_again_asks_for_the_hook_that_the_variable_remembers(self, connected, variables):
        first, second = register(**self.OPTIONS), register(**self.OPTIONS)
        zstack = connected.state.platforms["zstack"]
        assert zstack.forget_calls() == {"create": 1, "get": 1}
        (hook,) = zstack.list_hooks()
        assert (first["hook_id"], first["created"], second["created"]) == (hook.hook_id, True, False)
        assert parse_secrets(variables.kept["hooks"]) == (hook.secret,)
        assert hook.secret not in json.dumps([first, second])

    def test_a_hook_that_is_gone_is_registered_again(self, connected, variables):
        zstack = connected.state.platforms["zstack"]
        register(**self.OPTIONS)
        zstack.remove_hook(zstack.list_hooks()[0])
        assert register(**self.OPTIONS)["created"] is True
        assert zstack.forget_calls() == {"create": 2, "get": 1}

    def test_without_a_variable_nothing_is_sent(self, connected, variables):
        with pytest.raises(AirflowFailException, match="secret_variable: is needed on ZStack"):
            register(**self.OPTIONS, secret_variable=None)
        assert connected.state.platforms["zstack"].forget_calls() == {}

    def test_a_lost_answer_fails_at_once_and_says_what_to_do(self, connected, variables):
        connected.state.platforms["zstack"].misbehave("create", "lost")
        with pytest.raises(AirflowFailException, match="may be registered nevertheless"):
            register(**self.OPTIONS)
        with pytest.raises(AirflowFailException, match="on_uncertain_create='create'"):
            register(**self.OPTIONS)
        assert register(**self.OPTIONS, on_uncertain_create="create")["created"] is True


def ensure(**options):
    options = {"hook_name": "orders", "url": "https://example.com/hook", **options}
    return EnsureServiceHookOperator(task_id="ensure", **options).execute(make_context())


def declare(platform):
    """Return the arguments that declare the hook of a platform, with a template in each header."""
    spec = PLATFORM_DATA[platform].spec
    options = {"events": list(spec.events)} if spec.events else {}
    if spec.headers:
        options["headers"] = {name: f"{{{{ ti.task_id }}}}-{value}" for name, value in spec.headers.items()}
    return options


DECLARED = {name_connection(platform): declare(platform) for platform in PLATFORM_DATA}


class TestEnsure:
    @pytest.mark.parametrize(("registry", "options"), list(DECLARED.items()))
    def test_it_returns_what_changed_and_no_secret(self, connected, variables, registry, options):
        first, second = (
            ensure(service_hook_registry_conn_id=registry, **options),
            ensure(service_hook_registry_conn_id=registry, **options),
        )
        third = ensure(service_hook_registry_conn_id=registry, **options, url="https://example.com/moved")
        assert [result["change"] for result in (first, second, third)] == ["created", "unchanged", "updated"]
        assert {hook["url"] for hook in third["hooks"]} == {"https://example.com/moved"}
        assert first["secret_variable"] == f"service_hook_secret_{registry}:orders"
        kept = parse_state(variables.kept[first["secret_variable"]])
        assert {one.hook_id for one in kept} == {hook["hook_id"] for hook in third["hooks"]}
        private = [hook.secret for hook in connected.state.list_hooks() if hook.secret] + ["s3cret"]
        assert not any(secret in json.dumps([first, second, third]) for secret in private)

    def test_headers_are_rendered_masked_and_no_template_field(self, connected, variables):
        ensure(service_hook_registry_conn_id="akinon_registry", **declare("akinon"))
        (hook,) = connected.state.platforms["akinon"].list_hooks()
        assert hook.headers == {"X-Key": "a_task-s3cret-key"}
        assert redact("it is a_task-s3cret-key") == "it is ***"
        assert "headers" not in EnsureServiceHookOperator.template_fields

    def test_headers_are_masked_before_any_call(self, connected, variables):
        connected.state.platforms["akinon"].misbehave("list", "error")
        with pytest.raises(AirflowException, match="HTTP 500"):
            ensure(
                service_hook_registry_conn_id="akinon_registry",
                events=["a.b"],
                headers={"X-Key": "a-header-never-sent"},
            )
        assert redact("it is a-header-never-sent") == "it is ***"

    def test_an_endpoint_gives_its_url_and_its_variable(self, connected, variables):
        result = ensure(url=None, service_hook_conn_id="service_hook_default")
        (hook,) = connected.state.list_hooks()
        assert (hook.url, result["secret_variable"]) == (connected.receiver_url, "service_hook_secret_sandbox")
        assert parse_secrets(variables.kept["service_hook_secret_sandbox"]) == (hook.secret,)

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (
                {"is_active": "maybe", "on_uncertain_create": "resend", "hook_name": " ", "url": None},
                "hook_name: .*is_active: .*on_uncertain_create: .*url: ",
            ),
            ({"hook_id": "../x"}, "hook_id: must be the id that Sentry returned"),
            ({"secret_variable": "x" * 201}, "secret_variable: must be 1 to 200 letters"),
            ({"events": "event.alert,event.created"}, "events: must be a list"),
            ({"events": 5}, "events: must be a list, not 5"),
            ({"on_uncertain_create": ["x"]}, "on_uncertain_create: must be fail or create"),
            ({"url": 5}, "url: must be text, not 5"),
            ({"headers": "{{ nope }}", "service_hook_registry_conn_id": "akinon_registry"}, "headers: "),
            (
                {"headers": {"A": "{{ var.value.nope }}"}, "service_hook_registry_conn_id": "akinon_registry"},
                "headers: ",
            ),
            (
                {"url": "nope", "hook_id": "../x", "secret_variable": 7, "is_active": "maybe"},
                "is_active: .*url: .*secret_variable: .*hook_id: ",
            ),
        ],
    )
    def test_an_invalid_argument_is_reported_before_any_call(self, connected, variables, options, problem):
        with pytest.raises(AirflowFailException, match=problem):
            ensure(**options)
        assert connected.state.sentry.forget_calls() == {}
        assert variables.kept == {}

    @pytest.mark.parametrize("flag", [True, "True", "true"])
    def test_a_flag_may_have_been_rendered_as_text(self, connected, variables, flag):
        assert ensure(is_active=flag)["change"] == "created"

    def test_too_many_calls_are_left_to_airflows_retries(self, connected, variables):
        connected.state.sentry.misbehave("list", "limited", seconds=30)
        with pytest.raises(AirflowException, match="the limit applies until") as caught:
            ensure()
        assert not isinstance(caught.value, AirflowFailException)

    def test_a_connection_can_say_how_long_to_wait(self, connected, variables, monkeypatch):
        connection = connected.describe_connections()["service_hook_registry_default"]
        connection["extra"]["max_wait"] = 5
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
        connected.state.sentry.misbehave("list", "limited", seconds=1)
        assert ensure()["change"] == "created"

    def test_the_lock_is_shown_to_live_before_every_call_and_while_waiting(self, connected, variables, monkeypatch):
        beats, waits = [], []
        monkeypatch.setattr(VariableLock, "renew", lambda _lock: beats.append(1))
        monkeypatch.setattr(VariableLock, "wait", lambda _lock, seconds: waits.append(seconds))
        connection = connected.describe_connections()["service_hook_registry_default"]
        connection["extra"]["max_wait"] = 60
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
        connected.state.sentry.misbehave("list", "limited", seconds=30)
        ensure()
        assert len(beats) >= sum(connected.state.sentry.forget_calls().values()) == 3
        assert len(waits) == 1

    def test_a_run_that_lost_the_lock_writes_no_variable(self, connected, variables, monkeypatch):
        def lost(_lock):
            raise LockError("another run took over")

        monkeypatch.setattr(VariableLock, "ensure_held", lost)
        with pytest.raises(AirflowException, match="took over") as caught:
            ensure(service_hook_registry_conn_id="zstack_registry")
        assert not isinstance(caught.value, AirflowFailException)
        assert variables.kept == {}
        assert connected.state.platforms["zstack"].forget_calls() == {}, "the lock is checked before the call"

    def test_the_lock_outlives_the_longest_call(self, connected, variables, monkeypatch):
        connection = connected.describe_connections()["service_hook_registry_default"]
        connection["extra"]["timeout"] = 7
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
        written, put = [], variables.set
        monkeypatch.setattr(
            variables, "set", lambda key, *rest, **named: (written.append(key), put(key, *rest, **named))
        )
        ensure()
        assert next(key for key in written if "__lock__" in key).endswith("-67s")

    def test_a_variable_that_cannot_be_written_is_reported_before_any_call(self, connected, variables, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "a-secret")
        with pytest.raises(AirflowFailException, match="comes from the environment"):
            ensure(secret_variable="hooks")
        assert connected.state.sentry.forget_calls() == {}

    def test_a_name_with_marks_in_it_touches_no_other_variable(self, connected, variables):
        ensure()
        before = variables.kept["service_hook_secret_service_hook_registry_default:orders"]
        ensure(hook_name="orders#2", url="https://example.com/2")
        assert variables.kept["service_hook_secret_service_hook_registry_default:orders"] == before

    def test_two_runs_at_once_register_one_hook_and_lose_no_secret(self, connected, variables):
        for registry, options in DECLARED.items():
            result = []

            def declare(registry=registry, options=options, result=result):
                result.append(ensure(service_hook_registry_conn_id=registry, **options)["change"])

            threads = [threading.Thread(target=declare) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert sorted(result) == ["created", "unchanged", "unchanged", "unchanged"]
        registered = {name: len(one.list_hooks()) for name, one in connected.state.platforms.items()}
        assert registered == {name: data.first_calls["create"] for name, data in PLATFORM_DATA.items()}

    def test_different_hooks_at_once_in_one_variable_are_all_stored(self, connected, variables):
        threads = [
            threading.Thread(
                target=ensure,
                kwargs={
                    "hook_name": f"n{number}",
                    "url": f"https://example.com/{number}",
                    "secret_variable": "hooks",
                    "service_hook_registry_conn_id": "zstack_registry",
                },
            )
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        secrets = {hook.secret for hook in connected.state.platforms["zstack"].list_hooks()}
        assert len(secrets) == 6
        assert set(parse_secrets(variables.kept["hooks"])) == secrets


class TestSignatures:
    """``registration_types.py`` has what a type checker rejects."""

    OPERATORS = [
        kind
        for name, kind in vars(registration).items()
        if name.endswith("Operator") and not name.startswith("_") and kind.__module__ == registration.__name__
    ]

    def test_these_are_the_operators(self):
        assert {kind.__name__ for kind in self.OPERATORS} == {
            "DeleteServiceHookOperator",
            "EnsureServiceHookOperator",
            "ListServiceHooksOperator",
            "RegisterServiceHookOperator",
            "RotateServiceHookSecretOperator",
            "UpdateServiceHookOperator",
        }

    @pytest.mark.parametrize("kind", OPERATORS)
    def test_each_spells_its_arguments_and_documents_them(self, kind):
        assert "__init__" in vars(kind)
        _, *own, rest = inspect.signature(kind.__init__).parameters.values()
        assert rest.kind is inspect.Parameter.VAR_KEYWORD
        assert {one.kind for one in own} == {inspect.Parameter.KEYWORD_ONLY}
        assert set(kind.template_fields) <= {one.name for one in own}
        for one in own:
            assert one.name == "task_id" or f":param {one.name}: " in kind.__doc__


@pytest.mark.parametrize(("partial", "is_rendered"), [({"headers": {}}, True), ({}, False)])
def test_mapped_headers_are_external_text_and_not_rendered(connected, variables, partial, is_rendered):
    operator = EnsureServiceHookOperator(
        task_id="ensure",
        hook_name="orders",
        url="https://example.com/hook",
        events=["a.b"],
        service_hook_registry_conn_id="akinon_registry",
        headers={"X-Key": "{{ ti.task_id }}"},
    )
    context = make_context(map_index=0)
    context["dag"] = SimpleNamespace(task_dict={"ensure": SimpleNamespace(partial_kwargs=partial)})
    operator.execute(context)
    (hook,) = connected.state.platforms["akinon"].list_hooks()
    assert hook.headers == {"X-Key": "a_task" if is_rendered else "{{ ti.task_id }}"}
