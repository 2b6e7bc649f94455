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


def test_a_hook_is_registered_and_its_secret_stored_in_the_variable(connected, variables):
    result = register()
    (hook,) = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    assert (result["hook_id"], result["created"], result["events"]) == (
        hook.hook_id,
        True,
        ["event.alert", "event.created"],
    )
    assert parse_secrets(variables.stored["hooks"]) == (hook.secret,)
    assert hook.secret not in json.dumps(result)


def test_an_empty_list_of_events_is_refused(connected, variables):
    with pytest.raises(AirflowFailException, match="events: must be a list"):
        register(events=[])


def test_a_second_registration_creates_no_hook_and_stores_the_secret_once(connected, variables):
    first, second = register(), register()
    assert len(connected.state.list_hooks()) == 1
    assert (first["hook_id"], first["created"], second["created"]) == (second["hook_id"], True, False)
    assert len(parse_secrets(variables.stored["hooks"])) == 1


def test_a_lost_secret_is_read_from_the_platform(connected, variables):
    register()
    stored = variables.stored.pop("hooks")
    register()
    assert variables.stored["hooks"] == stored


def test_the_secret_of_a_second_hook_is_stored_before_that_of_the_first(connected, variables):
    register()
    register(url="https://example.com/other")
    hooks = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    assert parse_secrets(variables.stored["hooks"]) == tuple(hook.secret for hook in hooks)


def test_url_and_variable_can_come_from_an_endpoint(connected, variables):
    result = register(url=None, service_hook_conn_id="service_hook_default", secret_variable=None)
    (hook,) = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    assert (hook.url, result["secret_variable"]) == (connected.receiver_url, "service_hook_secret_sandbox")
    assert parse_secrets(variables.stored["service_hook_secret_sandbox"]) == (hook.secret,)


@pytest.mark.parametrize("operator", ["register", "ensure"])
def test_a_secret_in_the_endpoints_connection_is_refused_before_any_call(connected, variables, monkeypatch, operator):
    """The platform creates another secret, so receivers would refuse every delivery."""
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


def test_a_disabled_hook_is_reported_and_not_changed(connected, variables):
    register()
    (hook,) = connected.state.sentry.list_hooks(("sandbox", "pump-station"))
    connected.state.sentry.change_hook(hook, is_active=False)
    with pytest.raises(AirflowFailException, match="disabled"):
        register()


def test_a_hook_with_other_events_is_reported_and_not_changed(connected, variables):
    register(events=["event.alert"])
    with pytest.raises(AirflowFailException, match="update or delete it"):
        register()
    assert len(connected.state.list_hooks()) == 1


def test_arguments_that_the_platform_would_refuse_are_refused_before_any_call(connected, variables):
    with pytest.raises(AirflowFailException, match=r"url: .*; events: "):
        register(url="example.com", events=["event.deleted"])
    assert len(connected.state.list_hooks()) == 0


def test_the_error_names_a_missing_platform_feature(connected, variables):
    connected.state.sentry.features.clear()
    with pytest.raises(AirflowFailException, match="'servicehooks' feature"):
        register()


def test_a_variable_with_other_content_is_refused_and_not_changed(connected, variables):
    variables.stored["hooks"] = '{"something": "else"}'
    with pytest.raises(AirflowFailException, match="Variable 'hooks' begins like JSON, but is not a list"):
        register()
    assert variables.stored["hooks"] == '{"something": "else"}'


def test_an_unreachable_platform_is_retried_by_airflow(connected, variables, monkeypatch):
    connection = connected.describe_connections()["service_hook_registry_default"]
    connection["host"] = f"http://127.0.0.1:{find_closed_port()}/api/0"
    monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowException, match="not sent") as caught:
        register()
    assert not isinstance(caught.value, AirflowFailException)


class TestPlatformWithoutListCall:
    OPTIONS = {"service_hook_registry_conn_id": "zstack_registry", "hook_name": "orders"}

    def test_a_second_registration_fetches_the_hook_stored_in_the_variable(self, connected, variables):
        first, second = register(**self.OPTIONS), register(**self.OPTIONS)
        zstack = connected.state.platforms["zstack"]
        assert zstack.forget_calls() == {"create": 1, "get": 1}
        (hook,) = zstack.list_hooks()
        assert (first["hook_id"], first["created"], second["created"]) == (hook.hook_id, True, False)
        assert parse_secrets(variables.stored["hooks"]) == (hook.secret,)
        assert hook.secret not in json.dumps([first, second])

    def test_a_hook_that_was_deleted_is_registered_again(self, connected, variables):
        zstack = connected.state.platforms["zstack"]
        register(**self.OPTIONS)
        zstack.remove_hook(zstack.list_hooks()[0])
        assert register(**self.OPTIONS)["created"] is True
        assert zstack.forget_calls() == {"create": 2, "get": 1}

    def test_a_missing_secret_variable_is_refused_before_any_call(self, connected, variables):
        with pytest.raises(AirflowFailException, match="secret_variable: is needed on ZStack"):
            register(**self.OPTIONS, secret_variable=None)
        assert connected.state.platforms["zstack"].forget_calls() == {}

    def test_a_lost_response_fails_without_a_retry_and_with_advice(self, connected, variables):
        connected.state.platforms["zstack"].misbehave("create", "lost")
        with pytest.raises(AirflowFailException, match="the hook may exist"):
            register(**self.OPTIONS)
        with pytest.raises(AirflowFailException, match="on_uncertain_create='create'"):
            register(**self.OPTIONS)
        assert register(**self.OPTIONS, on_uncertain_create="create")["created"] is True


def ensure(**options):
    options = {"hook_name": "orders", "url": "https://example.com/hook", **options}
    return EnsureServiceHookOperator(task_id="ensure", **options).execute(make_context())


def make_ensure_arguments(platform):
    """Return the arguments for a hook of a platform, with a template in each header."""
    spec = PLATFORM_DATA[platform].spec
    options = {"events": list(spec.events)} if spec.events else {}
    if spec.headers:
        options["headers"] = {name: f"{{{{ ti.task_id }}}}-{value}" for name, value in spec.headers.items()}
    return options


ENSURE_ARGUMENTS = {name_connection(platform): make_ensure_arguments(platform) for platform in PLATFORM_DATA}


class TestEnsure:
    @pytest.mark.parametrize(("registry", "options"), list(ENSURE_ARGUMENTS.items()))
    def test_the_result_has_the_change_and_no_secret(self, connected, variables, registry, options):
        first, second = (
            ensure(service_hook_registry_conn_id=registry, **options),
            ensure(service_hook_registry_conn_id=registry, **options),
        )
        third = ensure(service_hook_registry_conn_id=registry, **options, url="https://example.com/moved")
        assert [result["change"] for result in (first, second, third)] == ["created", "unchanged", "updated"]
        assert {hook["url"] for hook in third["hooks"]} == {"https://example.com/moved"}
        assert first["secret_variable"] == f"service_hook_secret_{registry}:orders"
        stored = parse_state(variables.stored[first["secret_variable"]])
        assert {hook.hook_id for hook in stored} == {hook["hook_id"] for hook in third["hooks"]}
        private = [hook.secret for hook in connected.state.list_hooks() if hook.secret] + ["s3cret"]
        assert not any(secret in json.dumps([first, second, third]) for secret in private)

    def test_headers_are_rendered_and_masked_without_being_a_template_field(self, connected, variables):
        ensure(service_hook_registry_conn_id="akinon_registry", **make_ensure_arguments("akinon"))
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

    def test_url_and_variable_can_come_from_an_endpoint(self, connected, variables):
        result = ensure(url=None, service_hook_conn_id="service_hook_default")
        (hook,) = connected.state.list_hooks()
        assert (hook.url, result["secret_variable"]) == (connected.receiver_url, "service_hook_secret_sandbox")
        assert parse_secrets(variables.stored["service_hook_secret_sandbox"]) == (hook.secret,)

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
        assert variables.stored == {}

    @pytest.mark.parametrize("flag", [True, "True", "true"])
    def test_is_active_can_be_a_bool_or_its_text(self, connected, variables, flag):
        assert ensure(is_active=flag)["change"] == "created"

    def test_a_rate_limited_call_is_retried_by_airflow(self, connected, variables):
        connected.state.sentry.misbehave("list", "limited", seconds=30)
        with pytest.raises(AirflowException, match="the limit applies until") as caught:
            ensure()
        assert not isinstance(caught.value, AirflowFailException)

    def test_a_call_waits_for_a_rate_limit_up_to_max_wait_of_the_connection(self, connected, variables, monkeypatch):
        connection = connected.describe_connections()["service_hook_registry_default"]
        connection["extra"]["max_wait"] = 5
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
        connected.state.sentry.misbehave("list", "limited", seconds=1)
        assert ensure()["change"] == "created"

    def test_the_lock_is_renewed_before_every_call_and_while_waiting(self, connected, variables, monkeypatch):
        renewals, waits = [], []
        monkeypatch.setattr(VariableLock, "renew", lambda _lock: renewals.append(1))
        monkeypatch.setattr(VariableLock, "wait", lambda _lock, seconds: waits.append(seconds))
        connection = connected.describe_connections()["service_hook_registry_default"]
        connection["extra"]["max_wait"] = 60
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
        connected.state.sentry.misbehave("list", "limited", seconds=30)
        ensure()
        assert len(renewals) >= sum(connected.state.sentry.forget_calls().values()) == 3
        assert len(waits) == 1

    def test_a_run_that_lost_the_lock_writes_no_variable(self, connected, variables, monkeypatch):
        def raise_lock_error(_lock):
            raise LockError("another run took over")

        monkeypatch.setattr(VariableLock, "ensure_held", raise_lock_error)
        with pytest.raises(AirflowException, match="took over") as caught:
            ensure(service_hook_registry_conn_id="zstack_registry")
        assert not isinstance(caught.value, AirflowFailException)
        assert variables.stored == {}
        assert connected.state.platforms["zstack"].forget_calls() == {}, "the lock is checked before the call"

    def test_the_lock_expires_after_the_timeout_of_the_longest_call(self, connected, variables, monkeypatch):
        connection = connected.describe_connections()["service_hook_registry_default"]
        connection["extra"]["timeout"] = 7
        monkeypatch.setenv("AIRFLOW_CONN_SERVICE_HOOK_REGISTRY_DEFAULT", json.dumps(connection))
        written, set_variable = [], variables.set
        monkeypatch.setattr(
            variables, "set", lambda key, *rest, **named: (written.append(key), set_variable(key, *rest, **named))
        )
        ensure()
        assert next(key for key in written if "__lock__" in key).endswith("-67s")

    def test_a_variable_that_cannot_be_written_is_reported_before_any_call(self, connected, variables, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_HOOKS", "a-secret")
        with pytest.raises(AirflowFailException, match="comes from the environment"):
            ensure(secret_variable="hooks")
        assert connected.state.sentry.forget_calls() == {}

    def test_a_hook_name_with_a_hash_does_not_change_another_variable(self, connected, variables):
        ensure()
        before = variables.stored["service_hook_secret_service_hook_registry_default:orders"]
        ensure(hook_name="orders#2", url="https://example.com/2")
        assert variables.stored["service_hook_secret_service_hook_registry_default:orders"] == before

    def test_two_runs_at_once_register_one_hook_and_lose_no_secret(self, connected, variables):
        for registry, options in ENSURE_ARGUMENTS.items():
            result = []

            def run_ensure(registry=registry, options=options, result=result):
                result.append(ensure(service_hook_registry_conn_id=registry, **options)["change"])

            threads = [threading.Thread(target=run_ensure) for _ in range(4)]
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
        assert set(parse_secrets(variables.stored["hooks"])) == secrets


class TestSignatures:
    """The signatures and docstrings; ``registration_types.py`` has the calls that a type checker rejects."""

    OPERATORS = [
        operator_class
        for name, operator_class in vars(registration).items()
        if name.endswith("Operator") and not name.startswith("_") and operator_class.__module__ == registration.__name__
    ]

    def test_all_operators_are_checked(self):
        assert {operator_class.__name__ for operator_class in self.OPERATORS} == {
            "DeleteServiceHookOperator",
            "EnsureServiceHookOperator",
            "ListServiceHooksOperator",
            "RegisterServiceHookOperator",
            "RotateServiceHookSecretOperator",
            "UpdateServiceHookOperator",
        }

    @pytest.mark.parametrize("operator_class", OPERATORS)
    def test_each_operator_has_keyword_arguments_that_are_documented(self, operator_class):
        assert "__init__" in vars(operator_class)
        _, *own, rest = inspect.signature(operator_class.__init__).parameters.values()
        assert rest.kind is inspect.Parameter.VAR_KEYWORD
        assert {one.kind for one in own} == {inspect.Parameter.KEYWORD_ONLY}
        assert set(operator_class.template_fields) <= {one.name for one in own}
        for one in own:
            assert one.name == "task_id" or f":param {one.name}: " in operator_class.__doc__


@pytest.mark.parametrize(("partial", "is_rendered"), [({"headers": {}}, True), ({}, False)])
def test_headers_of_a_mapped_task_are_rendered_only_if_given_in_partial(connected, variables, partial, is_rendered):
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
